"""The commands beside training: `python -m noternn generate` and `tokens`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from noternn.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run a command; its results go to stdout, messages to stderr."""
    options = build_parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # as `| head` does once it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def generate(options: argparse.Namespace) -> None:
    """Compose MIDI files with a checkpoint."""
    from noternn.generation import checkpoint_path, encode_primer, load_composer
    from noternn.metrics import sample_statistics
    from noternn.midi import write_midi
    from noternn.sampling import SamplingOptions

    if options.output.suffix.lower() not in (".mid", ".midi"):
        raise UserError(f"-o {options.output}: it must end in .mid or .midi")
    composer = load_composer(checkpoint_path(options.checkpoint))
    primer: list[int] = []
    if options.primer:
        primer, line = encode_primer(options.primer, composer.codec)
        print(line, file=sys.stderr)
    sampling = SamplingOptions(options.num_notes, options.temperature, options.top_k, options.seed)
    pieces = composer.compose_many(primer, sampling, options.num_samples)
    for path, piece in zip(_output_paths(options.output, len(pieces)), pieces, strict=True):
        try:
            write_midi(piece, path)
        except OSError as error:
            raise UserError(f"-o {path}: cannot be written: {error.strerror or error}") from error
        s = sample_statistics(piece)
        print(
            f"{path}: {s.num_notes} notes, {s.num_pitches} pitches, {s.beats:.0f} beats, "
            f"longest repetition {s.longest_repetition}, silent {s.silent_fraction:.0%}"
        )


def _output_paths(path: Path, num_samples: int) -> list[Path]:
    """out.mid for one sample, out_001.mid and on for several."""
    if num_samples == 1:
        return [path]
    return [path.with_stem(f"{path.stem}_{number:03d}") for number in range(1, num_samples + 1)]


def tokens(options: argparse.Namespace) -> None:
    """Print the tokens of a MIDI file against its bars and beats, and what they lose."""
    from noternn.midi import read_named_midi
    from noternn.tables import format_table
    from noternn.tokenizer import build_tokenizer, round_trip

    piece = read_named_midi(options.file)
    tokenizer = build_tokenizer(options.tokenizer)
    groups = tokenizer.tokens_by_onset(piece)
    if not groups:
        raise UserError(f"{options.file}: holds no notes that this tokenizer can write (only drums?)")
    ticks = [onset * piece.ticks_per_beat / tokenizer.steps_per_beat for onset, _ in groups]
    bars, beats = piece.bars_and_beats(ticks)
    rows = [
        {"bar": bar, "beat": f"{beat:.2f}", "tokens": " ".join(group)}
        for bar, beat, (_, group) in zip(bars.tolist(), beats.tolist(), groups, strict=True)
    ]
    print(format_table(rows, ["bar", "beat", "tokens"]))
    trip = round_trip(tokenizer, piece)
    print(
        f"{piece.num_notes} notes, {sum(len(group) for _, group in groups)} tokens; "
        f"{trip.kept_fraction:.1%} of the notes come back, with errors of {trip.onset_error_beats:.3f} beats "
        f"in onset, {trip.duration_error_beats:.3f} in duration"
    )


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(prog="python -m noternn", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    g = commands.add_parser("generate", help="compose a MIDI file with a trained network")
    g.add_argument(
        "checkpoint", type=Path, metavar="RUN_OR_CHECKPOINT", help="a run's folder or a .ckpt file"
    )
    g.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.mid", help="the file to write")
    g.add_argument("--num-notes", type=_positive_int, default=500, help="notes to compose (500)")
    g.add_argument(
        "--temperature", type=_positive_float, default=1.0, help="above 1 is bolder, below 1 safer (1.0)"
    )
    g.add_argument(
        "--top-k", type=_natural, default=10, help="choose among the K most probable tokens, 0 for all (10)"
    )
    g.add_argument("--seed", type=_natural, default=0, help="the same seed gives the same file (0)")
    g.add_argument(
        "--num-samples",
        type=_positive_int,
        default=1,
        metavar="N",
        help="write OUT_001.mid and on, made together with the seeds from --seed on (1)",
    )
    g.add_argument("--primer", type=Path, metavar="IN.mid", help="a MIDI file to continue")
    g.set_defaults(run=generate)
    t = commands.add_parser("tokens", help="print a MIDI file as tokens, against bars and beats")
    t.add_argument("file", type=Path, metavar="FILE.mid", help="the file to read")
    t.add_argument(
        "--tokenizer", choices=("event", "chord"), default="event", help="with its defaults (event)"
    )
    t.set_defaults(run=tokens)
    return parser


def _positive_int(text: str) -> int:
    return _number(int(text), minimum=1)


def _natural(text: str) -> int:
    return _number(int(text), minimum=0)


def _number(value: int, minimum: int) -> int:
    if value < minimum:
        raise argparse.ArgumentTypeError(f"{value}: it must be at least {minimum}")
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: it must be above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
