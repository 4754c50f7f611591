"""`noternn evaluate`: measure trained networks on held-out pieces, in several ways."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from noternn.commands.options import check_outputs, positive_int, write
from noternn.files import write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="folders of runs; several are an ensemble"
    )
    parser.add_argument(
        "--split", choices=("validation", "test"), default="validation", help="which pieces (validation)"
    )
    parser.add_argument("--dynamic", action="store_true", help="adapt the weights within each piece")
    parser.add_argument(
        "--keys", type=positive_int, default=1, metavar="N", help="average over N transpositions (1)"
    )
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="write the same as JSON")


def run(options: argparse.Namespace) -> None:
    """Print what the best weights of some runs come to on held-out pieces, one way and another."""
    check_outputs(options, "json")
    from noternn.evaluation import likelihood
    from noternn.evaluation.loading import load_runs

    ways = likelihood.Options(options.split, options.keys, options.dynamic)
    runs = load_runs(options.runs)
    columns = likelihood.evaluate(runs, ways)
    print(likelihood.as_text(runs, ways, columns))
    if options.json:
        text = json.dumps(likelihood.as_plain(runs, ways, columns), indent=1)
        write("--json", options.json, lambda path: write_text(path, text))
