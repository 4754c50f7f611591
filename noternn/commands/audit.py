"""`noternn audit`: say what samples copy from the music that a network learned from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from noternn.commands.options import add_own_label, check_outputs, write
from noternn.datasets.sources import folder_sources, named_sources
from noternn.errors import UserError
from noternn.files import write_text
from noternn.terminal import printable

if TYPE_CHECKING:
    from noternn.audit.against import Against
    from noternn.audit.report import Sample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "samples", type=Path, metavar="SAMPLE_OR_FOLDER", help="a MIDI file, a score or a folder of them"
    )
    parser.add_argument(
        "--against",
        required=True,
        metavar="RUN_OR_CORPUS",
        help="a run's folder, whose training pieces count; or a dataset, folder or file, all of which does",
    )
    add_own_label(parser)
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="write all that was found as JSON")
    parser.add_argument("--csv", type=Path, metavar="OUT.csv", help="write a row for each sample")
    parser.add_argument(
        "--picture", type=Path, metavar="FOLDER", help="draw each sample in the colors of its sources"
    )
    parser.add_argument(
        "--listen", type=Path, metavar="FOLDER", help="write copied passages and their sources as MIDI"
    )


def run(options: argparse.Namespace) -> None:
    """Print what samples copy from the music that a network was trained on, beside what real pieces copy."""
    check_outputs(options, "json", "csv")
    from noternn.audit import report
    from noternn.audit.against import load
    from noternn.commands.against import reference_at

    path, name = options.samples, printable(str(options.samples))
    sources = folder_sources(path) if path.is_dir() else named_sources(path, printable(path.name))
    if not path.exists() and not any(source.path.exists() for source in sources):
        raise UserError(
            f"{name}: there is no such file or folder; give a MIDI file, a score or a folder of them"
        )
    if not sources:
        raise UserError(f"{name}: there are no MIDI files or scores in it")
    against = load(reference_at(options.against, options.label))
    samples, skipped = report.audit_samples(sources, against)
    print(report.as_text(samples, skipped, against))
    if options.json:
        text = json.dumps(report.as_plain(samples, skipped, against), indent=1, ensure_ascii=False)
        write("--json", options.json, lambda path: write_text(path, text))
    if options.csv:
        write("--csv", options.csv, lambda path: report.save_table(samples, against, path))
    if options.picture or options.listen:
        _save_exhibits(samples, against, options)


def _save_exhibits(samples: Sequence[Sample], against: Against, options: argparse.Namespace) -> None:
    """Write what the audit found to see and to hear."""
    from noternn.audit import exhibits

    names = [sample.name for sample in samples]
    kinds = (
        ("--picture", options.picture, ".png", exhibits.save_attribution),
        ("--listen", options.listen, ".mid", exhibits.save_side_by_side),
    )
    for option, folder, suffix, save in kinds:
        if folder is None:
            continue
        for sample, name in zip(samples, exhibits.file_names(names, suffix), strict=True):
            if suffix == ".png" or sample.audit.near.passages:
                write(option, folder / name, partial(save, sample, against))
