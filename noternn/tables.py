"""Tables: CSV files that are written whole or not at all, and text for the terminal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from noternn.files import read_text, write_text
from noternn.terminal import one_line

MAX_BYTES = 50_000_000  # of a table; an epoch takes some hundred


def write_csv(path: Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Write the named columns of some rows; a missing value is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, float]]:
    """The rows of a table of numbers; what is left empty is NaN.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no such table; the message is one line.
    """
    lines = io.StringIO(read_text(path, MAX_BYTES), newline="")
    try:
        return [
            {name: float("nan" if value == "" else value) for name, value in row.items()}
            for row in csv.DictReader(lines)
        ]
    except (TypeError, csv.Error) as error:  # rows of different lengths
        raise ValueError(
            "its rows are not of one length" if isinstance(error, TypeError) else str(error)
        ) from error


def format_table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """A table for the terminal: text to the left, numbers to the right; floats get four decimals."""
    cells = [[one_line(column) for column in columns]] + [
        [_cell(row.get(column)) for column in columns] for row in rows
    ]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    is_text = [any(_is_text(row.get(column)) for row in rows) for column in columns]
    lines = [
        "  ".join(
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(line, widths, is_text, strict=True)
        )
        for line in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def _is_text(value: object) -> bool:
    """Whether a value is words; a number that is already written out is not."""
    return isinstance(value, str) and not re.fullmatch(r"-|[+-]?[\d,]+(\.\d+)?( %)?", value)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 100 else f"{value:.0f}"
    return one_line(str(value))
