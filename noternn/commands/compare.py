"""`noternn compare`: print runs side by side."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="RUN", help="folders of runs, finished or not, or of sweeps"
    )


def run(options: argparse.Namespace) -> None:
    """Print some runs side by side: what differs between them, and what each came to so far."""
    from noternn.runs.comparison import as_text, read_runs

    print(as_text(read_runs(options.folders)))
