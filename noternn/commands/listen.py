"""`noternn listen`: write a page that plays and shows the samples of a run, or any music."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from noternn.commands.options import check_output, run_at, write
from noternn.datasets.sources import MUSIC_SUFFIXES
from noternn.errors import UserError

if TYPE_CHECKING:
    from noternn.pages.listen import HeardRun

PAGE = "listen.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="RUN_OR_FILE",
        help="a run's folder, also while it trains; of a sweep its best job; or MIDI files and scores",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT.html",
        help=f"the page (RUN/{PAGE}; of files {PAGE} in this folder)",
    )


def run(options: argparse.Namespace) -> None:
    """Write the page on which the samples of a run, or files, are heard and seen."""
    paths: list[Path] = options.paths
    is_music = len(paths) > 1 or Path(paths[0].name.split("#")[0]).suffix.lower() in MUSIC_SUFFIXES
    folder = run_at(paths[0]) if paths[0].is_dir() or not is_music else None
    if folder and len(paths) > 1:
        raise UserError(f"{folder}: give one run alone, or MIDI files and scores")
    output = options.output or (folder / PAGE if folder else Path(PAGE))
    check_output("-o", output, ".html")
    from noternn.pages.listen import read_files, save_page

    heard = _read_run(folder) if folder else read_files(paths)
    for line in heard.left_out:
        print(f"left out: {line}", file=sys.stderr)
    write("-o", output, lambda path: save_page(heard, path))


def _read_run(path: Path) -> HeardRun:
    """A run with what is known of the health of its samples, and of what they copy."""
    from noternn.audit.against import load, reference_of_run
    from noternn.health.yardstick import Yardstick
    from noternn.pages.listen import read_run, with_audit, with_health
    from noternn.runs.folder import RunFolder

    heard, folder = read_run(path), RunFolder(path)
    try:
        if folder.health.is_file():
            heard = with_health(heard, Yardstick.load(folder.health))
        if folder.is_run:
            heard = with_audit(heard, load(reference_of_run(path)))
    except UserError as error:
        print(f"without what is copied, or healthy: {error}", file=sys.stderr)
    return heard
