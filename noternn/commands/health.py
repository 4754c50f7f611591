"""`noternn health`: compare samples with held-out music, and say in words what is wrong with them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from noternn.commands.options import add_own_label, check_outputs, write
from noternn.datasets.sources import folder_sources, read_file
from noternn.errors import PieceError, UserError
from noternn.files import write_text
from noternn.health.checkup import as_rows, check, describe
from noternn.music.piece import Piece
from noternn.tables import write_csv


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "samples", type=Path, metavar="SAMPLE_OR_FOLDER", help="a MIDI file or score, or many"
    )
    parser.add_argument(
        "--against",
        required=True,
        metavar="RUN_OR_CORPUS",
        help="whose validation pieces are the yardstick: a run's folder, a dataset or a folder of music",
    )
    add_own_label(parser)
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="write a row for each sample as JSON")
    parser.add_argument("--csv", type=Path, metavar="OUT.csv", help="write the same as CSV")


def run(options: argparse.Namespace) -> None:
    """Print what some samples are like beside held-out music, and what is wrong with them in words."""
    check_outputs(options, "json", "csv")
    from noternn.commands.against import nats_at, yardstick_at

    pieces = _samples(options.samples)
    yardstick = yardstick_at(options.against, options.label)
    nats = nats_at(options.against, yardstick)
    checkups = [check(piece, yardstick, name, nats) for name, piece in pieces.items()]
    rows = as_rows(checkups)
    if options.json:
        write("--json", options.json, lambda path: write_text(path, json.dumps(rows, indent=1)))
    if options.csv:
        write("--csv", options.csv, lambda path: write_csv(path, rows, list(rows[0])))
    print(describe(checkups, yardstick))


def _samples(path: Path) -> dict[str, Piece]:
    """The pieces of a file or folder by their names; a file that cannot be read is named and left out."""
    if not path.is_dir():
        return {str(path): read_file(path)}
    pieces = {}
    for source in folder_sources(path):
        try:
            pieces[source.name] = source.read()
        except PieceError as error:
            print(f"skipped {source.name}: {error}", file=sys.stderr)
    if not pieces:
        raise UserError(f"{path}: there are no MIDI files or scores in it that can be read")
    return pieces
