"""What `noternn generate` composes around given notes: --infill and --melody, and what they ask."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noternn.commands.bounded import bound_of
from noternn.commands.options import positive_int
from noternn.config.sampling import Sampling
from noternn.errors import UserError

if TYPE_CHECKING:
    from noternn.sampling.arrange import Filled
    from noternn.sampling.composer import Composer
    from noternn.sampling.wishes import Wishes

NUM_PARTICLES = 64
NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
SIGNS = {"": 0, "#": 1, "b": -1}
SCALES = {"major": [0, 2, 4, 5, 7, 9, 11], "minor": [0, 2, 3, 5, 7, 8, 9, 10, 11]}


def add_arguments(parser: argparse.ArgumentParser, start: Any) -> None:
    """Declare the options; those that say where a sample begins go to the group `start`."""
    start.add_argument(
        "--infill",
        type=Path,
        metavar="IN.mid",
        help="compose --bars or --beats of this file anew; all else stays",
    )
    start.add_argument(
        "--melody", type=Path, metavar="IN.mid", help="compose notes below this melody, which stays as it is"
    )
    parser.add_argument(
        "--bars", type=bars, metavar="A-B", help="of --infill: from bar A to bar B, both included"
    )
    parser.add_argument(
        "--keep",
        type=_tracks,
        metavar="TRACKS",
        help="of --melody: soprano keeps the highest notes; programs such as 0,40, or piano or drums, "
        "keep these, and notes are composed above them too",
    )
    parser.add_argument(
        "--key",
        type=key,
        metavar="KEY",
        help="compose in this scale alone: C-major, F#-minor (with the sixth and seventh raised or not), or "
        "C,D,E,G,A",
    )
    parser.add_argument("--range", type=pitches, metavar="LOW-HIGH", help="compose these MIDI pitches alone")
    parser.add_argument(
        "--max-polyphony", type=positive_int, metavar="N", help="let at most N notes sound together"
    )
    parser.add_argument(
        "--particles",
        type=positive_int,
        default=NUM_PARTICLES,
        metavar="N",
        help=f"of --infill and --melody: how many samples side by side vie ({NUM_PARTICLES})",
    )


def key(text: str) -> list[int]:
    """Read the pitch classes of `C-major`, `F#-minor` or, one by one, `C,D,E,G,A`."""
    tonic, dash, mode = text.partition("-")
    names = [_pitch_class(name) for name in (tonic.split(",") if not dash else [tonic])]
    scale = SCALES.get(mode.lower(), []) if dash else [0]
    if None in names or not scale:
        raise argparse.ArgumentTypeError(f"{text}: it must be like C-major, F#-minor or C,D,E,G,A")
    return [(name + step) % 12 for name in names if name is not None for step in scale]


def _pitch_class(name: str) -> int | None:
    letter, sign = name[:1].upper(), name[1:]
    if letter not in NATURALS or sign not in SIGNS:
        return None
    return (NATURALS[letter] + SIGNS[sign]) % 12


def pitches(text: str) -> tuple[int, int]:
    """Read `48-84`, MIDI pitches."""
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) <= 127):
        raise argparse.ArgumentTypeError(f"{text}: it must be two MIDI pitches 0 to 127, such as 48-84")
    return int(first), int(last)


def bars(text: str) -> tuple[int, int]:
    """Read `9-12` or `9`, from 1 on."""
    first, _, last = text.partition("-")
    try:
        span = int(first), int(last or first)
    except ValueError:
        span = 0, 0
    if not 1 <= span[0] <= span[1]:
        raise argparse.ArgumentTypeError(
            f"{text}: it must be a bar from 1 on, such as 9, or two, such as 9-12"
        )
    return span


def beats(text: str) -> float | tuple[float, float]:
    """Read a number of quarter notes above 0, or for --infill two times such as `32-48`."""
    first, dash, last = text.partition("-")
    try:
        numbers = float(first), float(last or first)
    except ValueError:
        numbers = 0.0, 0.0
    if dash and 0 <= numbers[0] < numbers[1] < float("inf"):
        return numbers
    if dash or not 0 < numbers[0] < float("inf"):
        raise argparse.ArgumentTypeError(
            f"{text}: it must be above 0, or for --infill two times such as 32-48"
        )
    return numbers[0]


def _tracks(text: str) -> str | list[int]:
    if text in ("soprano", "piano", "drums"):
        return text
    programs = [int(part) if part.isdecimal() else -1 for part in text.split(",")]
    if any(not 0 <= program <= 127 for program in programs):
        raise argparse.ArgumentTypeError(f"{text}: it must be soprano, piano, drums or programs 0 to 127")
    return programs


def wished(options: argparse.Namespace, composer: Composer) -> Wishes:
    """What --key, --range, --max-polyphony and --max-copied ask."""
    from noternn.sampling.wishes import ANYTHING, Wishes, ids_within

    wishes = ANYTHING
    if (options.key, options.range, options.max_polyphony) != (None, None, None):
        lowest, highest = options.range or (0, 127)
        ids = ids_within(composer.codec, options.key or range(12), lowest, highest)
        wishes = Wishes(ids, options.max_polyphony)
    if options.max_copied is None or is_chosen(options, composer):
        return wishes
    return replace(wishes, bound=bound_of(options.checkpoint, composer.codec, options.max_copied))


def is_chosen(options: argparse.Namespace, composer: Composer) -> bool:
    """Whether --max-copied chooses among samples, since their tokens do not tell when each note begins."""
    from noternn.sampling.copies import is_bounded

    return options.max_copied is not None and not is_bounded(composer.codec)


def check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        UserError: see there.
    """
    is_span = isinstance(options.beats, tuple)
    if options.infill and (options.bars is None) == (not is_span):
        raise UserError("--infill needs --bars A-B or --beats A-B: what is to be composed anew")
    for name, is_given in (("--bars", options.bars), ("--beats A-B", is_span)):
        if is_given and not options.infill:
            raise UserError(f"{name} says where --infill IN.mid composes; it needs that file")
    if options.primer_beats and not options.primer:
        raise UserError("--primer-beats says how much of --primer IN.mid is continued; it needs that file")
    if options.keep and not options.melody:
        raise UserError("--keep says what of --melody IN.mid stays; it needs that file")


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """The options of this module that were given, by their names, as a command line takes them."""
    told: dict[str, Any] = {}
    if options.bars:
        told["bars"] = span_text(options.bars)
    if options.keep is not None:
        told["keep"] = options.keep if isinstance(options.keep, str) else ",".join(map(str, options.keep))
    if options.key is not None:
        told["key"] = ",".join(SHARPS[pitch_class] for pitch_class in options.key)
    if options.range is not None:
        told["range"] = span_text(options.range)
    if options.max_copied is not None:
        told["max-copied"] = options.max_copied
    if options.max_polyphony is not None:
        told["max-polyphony"] = options.max_polyphony
    if options.infill or options.melody:
        told["particles"] = options.particles
    return told


def span_text(span: float | tuple[float, float]) -> float | str:
    """A number as it is, or two as a command line takes them."""
    return "{}-{}".format(*span) if isinstance(span, tuple) else span


def compose(
    options: argparse.Namespace, composer: Composer, sampling: Sampling, num_samples: int
) -> tuple[str, list[Filled]] | None:
    """Where notes were composed, for the line of each sample, and the samples; None where nothing is given.

    Raises:
        UserError: if a file cannot be read, or nothing can be composed there.
    """
    if not options.infill and not options.melody:
        return None
    work, where = _infilled(options, composer) if options.infill else _harmonized(options, composer)
    return where, [work(replace(sampling, seed=sampling.seed + k)) for k in range(num_samples)]


def _infilled(options: argparse.Namespace, composer: Composer) -> tuple[Callable[[Sampling], Filled], str]:
    from noternn.datasets.sources import read_file
    from noternn.sampling.arrange import infill

    piece = read_file(options.infill, composer.pedal)
    if options.bars:
        first, last = options.bars
        starts = piece.bar_ticks(max(1, piece.end))
        if last > len(starts):
            raise UserError(f"--bars {first}-{last}: {options.infill} has {len(starts)} bars")
        span = round(starts[first - 1]), round([*starts, piece.end][last])
        where = f"in bars {first} to {last} of {options.infill}"
    else:
        span = tuple(round(beat * piece.ticks_per_beat) for beat in options.beats)
        where = "in beats {:g} to {:g} of {}".format(*options.beats, options.infill)
        if span[0] >= piece.end:
            raise UserError(f"--beats {options.beats[0]:g}-: {options.infill} ends at beat {piece.beats:g}")
    wishes = wished(options, composer)
    asked, names = (options.particles, wishes), options.instruments
    return lambda sampling: infill(composer, piece, span, sampling, *asked, instruments=names), where


def _harmonized(options: argparse.Namespace, composer: Composer) -> tuple[Callable[[Sampling], Filled], str]:
    from noternn.datasets.sources import read_file
    from noternn.music.piece import select_tracks
    from noternn.sampling.arrange import harmonize

    piece = read_file(options.melody, composer.pedal)
    is_soprano = options.keep in (None, "soprano")
    kept = piece if options.keep is None else select_tracks(piece, "melody" if is_soprano else options.keep)
    if not composer.codec.tokenizer.written(kept).num_notes:
        raise UserError(
            f"{options.melody}: there are no notes to keep that this network's tokenizer can write"
        )
    wishes = replace(wished(options, composer), is_below=is_soprano)
    where = f"{'below' if is_soprano else 'around'} {kept.num_notes} notes of {options.melody}"
    asked, names = (options.particles, wishes), options.instruments
    return lambda sampling: harmonize(composer, kept, sampling, *asked, instruments=names), where
