"""`noternn listen`: write a page that plays and shows the samples of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from noternn.commands.options import check_output, run_at, write
from noternn.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "folder",
        type=Path,
        metavar="RUN",
        help="a run's folder, also of one that still trains; of a sweep its best job",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="OUT.html", help="the page (RUN/listen.html)")


def run(options: argparse.Namespace) -> None:
    """Write the page on which the samples of a run are heard and seen."""
    options.folder = run_at(options.folder)
    output = options.output or options.folder / "listen.html"
    check_output("-o", output, ".html")
    from noternn.audit.against import load, reference_of_run
    from noternn.health.yardstick import Yardstick
    from noternn.pages.listen import read_run, save_page, with_audit, with_health
    from noternn.runs.folder import RunFolder

    run, folder = read_run(options.folder), RunFolder(options.folder)
    for line in run.left_out:
        print(f"left out: {line}", file=sys.stderr)
    try:
        if folder.health.is_file():
            run = with_health(run, Yardstick.load(folder.health))
        if folder.is_run:
            run = with_audit(run, load(reference_of_run(options.folder)))
    except UserError as error:
        print(f"without what is copied, or healthy: {error}", file=sys.stderr)
    write("-o", output, lambda path: save_page(run, path))
