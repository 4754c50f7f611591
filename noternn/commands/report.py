"""`noternn report`: compare the arms of sweeps, with spreads over seeds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from noternn.commands.options import check_output, write
from noternn.errors import UserError, require


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
        output = options.html if options.html.name else options.folders[0] / "report.html"
        check_output("--html", output, ".html")
        require("report", "--html")
        from noternn.pages.report import save_page
        from noternn.runs.comparison import read_runs

        runs = read_runs(options.folders)
        title = ", ".join(folder.resolve().name for folder in options.folders)
        write("--html", output, lambda path: save_page(runs, title, path))
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
