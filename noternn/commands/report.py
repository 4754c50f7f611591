"""`noternn report`: compare the arms of sweeps, with spreads over seeds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from noternn.commands.options import check_output, write
from noternn.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="of sweeps or runs; their runs are one study"
    )
    parser.add_argument("--baseline", metavar="ARM", help="what others are compared with (the first by name)")
    parser.add_argument(
        "--study",
        type=Path,
        metavar="experiments/NAME",
        help="write results.csv and figures there, and the table into its README.md",
    )
    parser.add_argument(
        "--html",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="OUT.html",
        help="instead write a page of runs, finished or not, with curves and samples (FOLDER/report.html)",
    )


def run(options: argparse.Namespace) -> None:
    """Print what the runs of some sweeps came to, with spreads over seeds; record them, or draw a page."""
    if options.html:
        _save_report_page(options)
        if not (options.study or options.baseline):
            return
    from noternn.runs.study import read_study
    from noternn.runs.study_record import as_markdown, record

    study = read_study(options.folders, options.baseline)
    print(as_markdown(study))
    if options.study:
        try:
            written = record(study, options.study)
        except OSError as error:
            raise UserError(
                f"--study {options.study}: cannot be written: {error.strerror or error}"
            ) from error
        print(f"written: {', '.join(map(str, written))}", file=sys.stderr)


def _save_report_page(options: argparse.Namespace) -> None:
    """Write the page of some runs, finished or not: where `--html` says, or into the first folder."""
    first = options.folders[0]
    output = options.html if options.html.name else first / "report.html"
    check_output("--html", output, ".html")
    from noternn.pages.report import check_charts, save_page
    from noternn.runs.comparison import read_runs

    check_charts()
    runs = read_runs(options.folders)
    title = ", ".join(folder.resolve().name for folder in options.folders)
    write("--html", output, lambda path: save_page(runs, title, path))
