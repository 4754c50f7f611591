"""`noternn generate`: compose MIDI files with a trained network."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from noternn.commands import arranged
from noternn.commands.options import add_label, add_setting, fraction, positive_float, positive_int, run_at
from noternn.config.sampling import DRAWING, Sampling
from noternn.errors import UserError, install

if TYPE_CHECKING:
    from noternn.health.yardstick import Yardstick
    from noternn.music.piece import Piece
    from noternn.music.soundfont import SoundFont
    from noternn.sampling.clock import Clock
    from noternn.sampling.composer import Composer
    from noternn.tokenizer import Codec

NUM_TRIED = 8  # samples of which --healthy takes one
NUM_NOTES = 500  # without --num-notes; the samples of a run are shorter
SETTINGS = [field.name for field in fields(Sampling) if field.name not in ("primer_notes", "way", "ending")]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="RUN_OR_CHECKPOINT",
        help="a run's folder or a .ckpt file; of a sweep its best job",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT.mid", help="the file to write"
    )
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
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--primer", type=Path, metavar="IN.mid", help="a MIDI file or score to continue")
    start.add_argument(
        "--opening",
        action="store_true",
        help="continue the opening of a validation piece, which --seed chooses; needs the run's corpus",
    )
    arranged.add_arguments(parser, start)
    parser.add_argument(
        "--instruments",
        metavar="NAMES",
        default="",
        help="which play, such as piano,bass,drums: families, instruments and programs of General MIDI "
        "(those of the first eight bars)",
    )
    add_label(parser)
    parser.add_argument(
        "--healthy",
        action="store_true",
        help=f"compose {NUM_TRIED} for each sample, and keep the one most like the run's held-out music",
    )
    parser.add_argument("--copy", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--max-copied",
        type=fraction,
        metavar="SHARE",
        help="take the run's best checkpoint whose samples have at most this share of their notes, "
        "0 to 1, in passages of 16 that stand note for note in training pieces; with a wrong note now and "
        "then it may be more: see near_16 in the run's table of audits",
    )
    _add_sound(parser)


def _add_sound(parser: argparse.ArgumentParser) -> None:
    """Declare the options of what is heard."""
    parser.add_argument("--wav", action="store_true", help="also write the sound, as OUT.wav")
    parser.add_argument("--ogg", action="store_true", help="also write the sound, as OUT.ogg (the extra ogg)")
    parser.add_argument(
        "--soundfont",
        type=Path,
        metavar="FILE.sf2",
        help="whose instruments play (General MIDI's that come with the extra sound, else a synthesizer)",
    )


def run(options: argparse.Namespace) -> None:
    """Compose MIDI files with a checkpoint."""
    from noternn.health.checkup import check
    from noternn.health.measures import measure
    from noternn.health.yardstick import Yardstick
    from noternn.music.midi import write_midi
    from noternn.music.sound import save_audio
    from noternn.runs.folder import RunFolder, refuse_links_on_the_way
    from noternn.sampling.composer import load_composer

    if options.copy:
        raise UserError("--copy is gone: networks that are trained now have a memory instead (model.memory)")
    if options.output.suffix.lower() not in (".mid", ".midi"):
        raise UserError(f"-o {options.output}: it must end in .mid or .midi")
    refuse_links_on_the_way(options.output)
    arranged.check(options)
    sounds = [suffix for suffix in (".wav", ".ogg") if getattr(options, suffix[1:])]
    font = _font(options, sounds)
    options.checkpoint = run_at(options.checkpoint)
    checkpoint = _checkpoint(options.checkpoint, options.max_copied)
    composer = load_composer(checkpoint).told(options.label)
    folder = RunFolder(options.checkpoint if options.checkpoint.is_dir() else checkpoint.parent)
    given = {name: value for name in SETTINGS if (value := getattr(options, name)) is not None}
    ending = "exact" if options.exact else "any" if options.until_end else "own"
    sampling = Sampling(**{**composer.drawing, **given}, ending=ending)
    held_out = folder.health  # of a run's folder; a checkpoint alone has none
    yardstick = Yardstick.load(held_out) if held_out.is_file() else None
    if options.healthy:
        pieces, origins = _healthy(options, composer, sampling, yardstick)
    else:
        pieces, origins = _compose(options, composer, sampling)
    paths = _output_paths(options.output, len(pieces))
    for path, piece, origin in zip(paths, pieces, origins, strict=True):
        try:
            write_midi(piece, path)
            for suffix in sounds:
                save_audio(piece, path.with_suffix(suffix), font=font)
        except OSError as error:
            raise UserError(f"-o {path}: cannot be written: {error.strerror or error}") from error
        s = measure(piece)
        print(
            f"{path}: {origin}{s.num_notes} notes, {s.num_pitches} pitches, {s.beats:.0f} beats, "
            f"longest repetition {s.longest_repetition}, silent {s.silent_fraction:.0%}"
            + (f"; {check(piece, yardstick).sentence}" if yardstick else "")
        )


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


def _compose(
    options: argparse.Namespace, composer: Composer, sampling: Sampling
) -> tuple[list[Piece], list[str]]:
    """The samples, and where each comes from, for its line."""
    from noternn.sampling.wishes import ANYTHING

    around = arranged.compose(options, composer, sampling)
    if around is not None:
        return around
    primers, clock, origins = _primers(options, composer.codec)
    tempo = clock.last_tempo if clock else composer.tempo
    beats = options.beats if options.seconds is None else options.seconds * tempo / 60
    wishes = arranged.wished(options, composer)
    asked = {} if wishes is ANYTHING else {"wishes": wishes, "num_particles": options.particles}
    instruments = options.instruments
    return composer.compose_each(primers, sampling, beats, clock, instruments=instruments, **asked), origins


def _healthy(
    options: argparse.Namespace, composer: Composer, sampling: Sampling, yardstick: Yardstick | None
) -> tuple[list[Piece], list[str]]:
    """What `_compose` gives, of `NUM_TRIED` samples each the one that is most like held-out music."""
    from noternn.health.checkup import check

    if yardstick is None:
        raise UserError("--healthy: there is nothing to compare with; give a finished run's folder")
    wanted, options.num_samples = options.num_samples, NUM_TRIED * options.num_samples
    pieces, origins = _compose(options, composer, sampling)
    checkups = [check(piece, yardstick) for piece in pieces]
    order = ("healthy", "unusual")
    ranks = [
        (order.index(c.verdict) if c.verdict in order else len(order), c.num_outside, k)
        for k, c in enumerate(checkups)
    ]
    chosen = [min(ranks[k::wanted])[-1] for k in range(wanted)]
    return [pieces[k] for k in chosen], [f"the healthiest of {NUM_TRIED}, {origins[k]}" for k in chosen]


def _checkpoint(run: Path, max_copied: float | None) -> Path:
    """The checkpoint of the best epoch, or of the best one whose samples copy at most so much."""
    from noternn.model.checkpoint import checkpoint_path

    if max_copied is None:
        return checkpoint_path(run)
    from noternn.audit.curve import choose_checkpoint

    path = choose_checkpoint(run, max_copied)
    print(f"composing with {path}", file=sys.stderr)
    return path


def _primers(options: argparse.Namespace, codec: Codec) -> tuple[list[list[int]], Clock | None, list[str]]:
    """What each sample continues, its clock if it has one, and where it comes from, for the sample's line."""
    if options.opening:
        from noternn.evaluation.loading import held_out_openings, load_runs

        seeds = range(options.seed, options.seed + options.num_samples)
        primers, names = held_out_openings(load_runs([options.checkpoint])[0], seeds)
        return primers, None, [f"after the opening of {name}, " for name in names]
    primer: list[int] = []
    clock: Clock | None = None
    if options.primer:
        from noternn.sampling.primers import encode_primer

        primer, clock, line = encode_primer(options.primer, codec)
        print(line, file=sys.stderr)
    return [primer] * options.num_samples, clock, [""] * options.num_samples


def _output_paths(path: Path, num_samples: int) -> list[Path]:
    """out.mid for one sample, out_001.mid and on for several."""
    if num_samples == 1:
        return [path]
    return [path.with_stem(f"{path.stem}_{number:03d}") for number in range(1, num_samples + 1)]
