"""`noternn samplers`: compare ways of sampling from one network."""

from __future__ import annotations

import argparse
from pathlib import Path

from noternn.commands.options import check_outputs, positive_int, write
from noternn.tables import format_table, write_csv


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument(
        "--num-samples", type=positive_int, default=16, metavar="N", help="with each way (16)"
    )
    parser.add_argument(
        "--num-notes", type=positive_int, default=200, metavar="N", help="of each sample (200)"
    )
    parser.add_argument("--csv", type=Path, metavar="OUT.csv", help="write the same as a table")


def run(options: argparse.Namespace) -> None:
    """Print what a network composes with one way of sampling and another."""
    check_outputs(options, "csv")
    from noternn.commands.against import yardstick_at
    from noternn.evaluation.loading import load_runs
    from noternn.evaluation.samplers import compare

    run = load_runs([options.folder])[0]
    rows = compare(run, yardstick_at(str(options.folder)), options.num_samples, options.num_notes)
    if options.csv:
        write("--csv", options.csv, lambda path: write_csv(path, rows, list(rows[0])))
    columns = {
        "name": ("way", "{}"),
        "nats_per_note": ("nats a note", "{:.2f}"),
        "num_pitches": ("pitches", "{:.0f}"),
        "longest_repetition": ("in a row", "{:.0f}"),
        "local_scale_consistency": ("in one scale", "{:.0%}"),
        "repeated_fraction": ("heard before", "{:.0%}"),
        "healthy": ("healthy", "{}"),
        "unusual": ("unusual", "{}"),
        "unhealthy": ("unhealthy", "{}"),
        "copied_16": ("copied", "{:.1%}"),
        "longest": ("longest", "{}"),
        "near_16": ("with wrong notes", "{:.1%}"),
        "near_longest": ("longest so", "{}"),
    }
    shown = [{title: form.format(row[key]) for key, (title, form) in columns.items()} for row in rows]
    print(format_table(shown, [title for title, _ in columns.values()]))
