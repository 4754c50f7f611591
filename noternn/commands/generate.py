"""`noternn generate`: compose MIDI files with a trained network."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from noternn.commands import arranged
from noternn.commands.bounded import add_max_copied, checkpoint_of
from noternn.commands.composed import (
    NUM_TRIED,
    SETTINGS,
    SUFFIXES,
    Composing,
    Sample,
    copied_in,
    file_bytes,
    given_of,
)
from noternn.commands.options import (
    add_label,
    add_setting,
    check_output,
    positive_float,
    positive_int,
    run_at,
    within,
    write,
)
from noternn.config.sampling import DRAWING, Sampling
from noternn.errors import UserError, install
from noternn.files import replacing, write_text

if TYPE_CHECKING:
    from noternn.music.soundfont import SoundFont
    from noternn.sampling.provenance import Provenance

NUM_NOTES = 500  # without --num-notes; the samples of a run are shorter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="RUN_OR_CHECKPOINT",
        help="a run's folder or a .ckpt file; of a sweep its best job",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT.mid",
        help="the file to write: MIDI, or a score as OUT.musicxml",
    )
    _add_length(parser)
    for name in SETTINGS:
        if name in DRAWING:
            initial = f"as the end of the run has found, else {getattr(Sampling, name)}"
            add_setting(parser.add_argument, Sampling, name, otherwise=initial)
        elif name != "num_notes":
            add_setting(parser.add_argument, Sampling, name)
    parser.add_argument(
        "--num-samples",
        type=positive_int,
        default=1,
        metavar="N",
        help="write OUT_001.mid and on, made together with the seeds from --seed on (1)",
    )
    _add_start(parser)
    parser.add_argument(
        "--healthy",
        action="store_true",
        help=f"compose {NUM_TRIED} for each sample, and keep the one most like the run's held-out music",
    )
    parser.add_argument("--copy", action="store_true", help=argparse.SUPPRESS)
    add_max_copied(parser)
    _add_file(parser)


def _add_length(parser: argparse.ArgumentParser) -> None:
    """Declare how long samples are and how they end."""
    length = parser.add_mutually_exclusive_group()
    add_setting(length.add_argument, Sampling, "num_notes", NUM_NOTES)
    length.add_argument(
        "--beats", type=arranged.beats, metavar="X", help="or quarter notes; with --exact nothing rings on"
    )
    length.add_argument(
        "--seconds", type=positive_float, metavar="X", help="or seconds; with --exact nothing rings on"
    )
    ending = parser.add_mutually_exclusive_group()
    ending.add_argument(
        "--exact", action="store_true", help="stop at the length, instead of an end within an eighth of it"
    )
    ending.add_argument(
        "--until-end", action="store_true", help="end anywhere before the length, where an end is likely"
    )


def _add_start(parser: argparse.ArgumentParser) -> None:
    """Declare what samples are composed from, and for whom."""
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--primer", type=Path, metavar="IN.mid", help="a MIDI file or score to continue")
    start.add_argument(
        "--opening",
        action="store_true",
        help="continue the opening of a validation piece, which --seed chooses; needs the run's corpus",
    )
    arranged.add_arguments(parser, start)
    parser.add_argument(
        "--primer-beats",
        type=positive_float,
        metavar="X",
        help="continue the first X quarter notes of --primer alone, from its first note on",
    )
    parser.add_argument(
        "--instruments",
        metavar="NAMES",
        default="",
        help="which play, such as piano,bass,drums: families, instruments and programs of General MIDI "
        "(a training piece's band)",
    )
    add_label(parser)


def _add_file(parser: argparse.ArgumentParser) -> None:
    """Declare what is written of samples, and what is heard."""
    parser.add_argument(
        "--tempo",
        type=tempo,
        metavar="BPM",
        help="quarter notes a minute (those of the given music, else of most of the training music)",
    )
    parser.add_argument(
        "--only-new", action="store_true", help="write the composed notes alone, where they stand"
    )
    parser.add_argument(
        "--audit",
        action="store_true",
        help="say what is copied from the training pieces, here and in the file; needs the run's corpus",
    )
    parser.add_argument(
        "--card",
        type=Path,
        metavar="OUT.json",
        help="also write where each sample comes from, which the file itself says too: see noternn verify",
    )
    parser.add_argument("--wav", action="store_true", help="also write the sound, as OUT.wav")
    parser.add_argument("--ogg", action="store_true", help="also write the sound, as OUT.ogg (the extra ogg)")
    parser.add_argument(
        "--soundfont",
        type=Path,
        metavar="FILE.sf2",
        help="whose instruments play (General MIDI's that come with the extra sound, else a synthesizer)",
    )


def tempo(text: str) -> float:
    """Read a tempo that a MIDI file can hold."""
    from noternn.music.midi import SLOWEST, is_writable_tempo

    return within(text, is_writable_tempo, f"{SLOWEST:.2f} to 60,000,000 quarter notes a minute", float)


def run(options: argparse.Namespace) -> None:
    """Compose MIDI files with a checkpoint."""
    from noternn.health.checkup import check
    from noternn.health.yardstick import Yardstick
    from noternn.runs.folder import refuse_links_on_the_way

    if options.copy:
        raise UserError("--copy is gone: networks that are trained now have a memory instead (model.memory)")
    if options.output.suffix.lower() not in SUFFIXES:
        raise UserError(f"-o {options.output}: it must end in .mid or .midi, or .musicxml for a score")
    check_output("--card", options.card, ".json")
    refuse_links_on_the_way(options.output)
    arranged.check(options)
    sounds = [suffix for suffix in (".wav", ".ogg") if getattr(options, suffix[1:])]
    font = _font(options, sounds)
    options.checkpoint = run_at(options.checkpoint)
    composing = Composing(options, checkpoint_of(options.checkpoint, options.max_copied))
    held_out = composing.folder.health  # of a run's folder; a checkpoint alone has none
    yardstick = Yardstick.load(held_out) if held_out.is_file() else None
    against = composing.against if options.audit else None
    if options.healthy:
        samples = composing.healthiest(options.num_samples, yardstick)
    else:
        samples = composing.compose(options.num_samples)
    given, paths = given_of(options), _output_paths(options.output, len(samples))
    cards = _output_paths(options.card, len(samples)) if options.card else [None] * len(samples)
    for path, sample, card in zip(paths, samples, cards, strict=True):
        copied = copied_in(sample, against) if against else None
        record = composing.provenance(sample, given, copied)
        try:
            _save(sample, record, path, sounds, font)
        except OSError as error:
            raise UserError(f"-o {path}: cannot be written: {error.strerror or error}") from error
        said = [f"{path}: {sample.what}"]
        said += [check(sample.written, yardstick).sentence] if yardstick else []
        said += [copied.sentence] if copied else []
        print("; ".join(said))
        if card:
            write("--card", card, partial(write_text, text=record.text(indent=1) + "\n"))


def _save(sample: Sample, record: Provenance, path: Path, sounds: list[str], font: SoundFont | None) -> None:
    """Write a sample as a MIDI file or score, and as sound."""
    from noternn.music.sound import save_audio

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(file_bytes(sample.written, path.suffix, record.text()))
    for suffix in sounds:
        save_audio(sample.written, path.with_suffix(suffix), font=font)


def _font(options: argparse.Namespace, sounds: list[str]) -> SoundFont | None:
    """What plays the sounds, the files of these suffixes; None for the small synthesizer, which is said."""
    from noternn.music.sound import check_audio_path
    from noternn.music.soundfont import FULL_RATE, installed_font, read_font

    for suffix in sounds:
        check_audio_path(options.output.with_suffix(suffix))
    if options.soundfont:
        if not sounds:
            raise UserError("--soundfont: it plays into a file; give --wav or --ogg with it")
        return read_font(options.soundfont, FULL_RATE)
    font = installed_font(FULL_RATE) if sounds else None
    if sounds and not font:
        print(f"a plain synthesizer plays; for recorded instruments: {install('sound')}", file=sys.stderr)
    return font


def _output_paths(path: Path, num_samples: int) -> list[Path]:
    """out.mid for one sample, out_001.mid and on for several."""
    if num_samples == 1:
        return [path]
    return [path.with_stem(f"{path.stem}_{number:03d}") for number in range(1, num_samples + 1)]
