"""Splits that somebody else has made: folders called train, valid and test, or a table of files."""

from __future__ import annotations

import csv
import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from noternn.errors import UserError
from noternn.terminal import printable

log = logging.getLogger(__name__)

NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
FILE_COLUMNS = ("file", "filename", "midi_filename", "path", "name")
SPLIT_COLUMN = "split"


def folder_splits(names: Sequence[str]) -> dict[str, str] | None:
    """The split of every file by the first folder of its name.

    Args:
        names: of the files, which are paths.

    Returns:
        None unless all files lie in folders called train, valid or test (or validation, val, dev, training,
        testing), and there is a training and a validation split.
    """
    splits = {name: NAMES.get(parts_of(name)[0].lower()) for name in names if len(parts_of(name)) > 1}
    named = {name: split for name, split in splits.items() if split}
    is_whole = len(named) == len(names) and {"train", "validation"} <= set(named.values())
    return named if is_whole else None


def part_splits(names: Sequence[str]) -> dict[str, str] | None:
    """As `folder_splits`, of the pieces of a file that is a split, such as `file.json#train/0`."""
    splits = folder_splits([name.rpartition("#")[2] for name in names])
    return splits and dict(zip(names, splits.values(), strict=True))


def table_splits(path: Path, names: Sequence[str]) -> dict[str, str]:
    """The split of every file that a CSV table names, as MAESTRO's does.

    The table has a column `split` (train, validation or test, or the names that `folder_splits` takes) and
    one of files: file, filename, midi_filename, path or name. A file is found by its path in the corpus
    or by the end of its path, if no other file ends so. A warning counts what only one of the two has.

    Raises:
        UserError: if the table cannot be read, names an unknown split, puts a file into two splits, or leaves
            one empty.
    """
    rows = [(line, file, _split(path, given)) for line, file, given in read_table(path)]
    ends = ends_of(names)
    splits: dict[str, str] = {}
    lines: dict[str, int] = {}  # in which each is named first
    missing = []
    for line, file, split in rows:
        found = ends.get("/".join(parts_of(file)), [])
        if len(found) == 1:
            name = found[0]
            if splits.setdefault(name, split) != split:
                raise UserError(
                    f"dataset.split={path}: {printable(name)} is of {splits[name]} in line {lines[name]} and "
                    f"of {split} in line {line}; it must be of one"
                )
            lines.setdefault(name, line)
        else:
            missing.append(file)
    if missing:
        log.warning(
            "%s: %d of its %d files are not in the corpus, or not under a name of their own (%s, ...)",
            path, len(missing), len(rows), missing[0],
        )  # fmt: skip
    if left_out := len(names) - len(splits):
        log.warning("%s: it names no split for %d of %d files: they are left out", path, left_out, len(names))
    counts = Counter(splits.values())
    for split in ("train", "validation"):
        if not counts[split]:
            raise UserError(f"dataset.split={path}: it puts no file of the corpus into {split}")
    return splits


def ends_of(names: Sequence[str]) -> dict[str, list[str]]:
    """The files whose paths end in each of the ends of their paths."""
    ends: dict[str, list[str]] = {}
    for name in names:
        parts = parts_of(name)
        for i in range(len(parts)):
            ends.setdefault("/".join(parts[i:]), []).append(name)
    return ends


def read_table(
    path: Path, column: str = SPLIT_COLUMN, setting: str = "dataset.split"
) -> list[tuple[int, str, str]]:
    """Each file of a CSV table, with the number of the line before it and what a column says after it.

    Raises:
        UserError: names the setting if the table cannot be read.
    """
    others = ", auto or content" if column == SPLIT_COLUMN else ""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            numbered = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no CSV table in UTF-8"
        raise UserError(f"{setting}={path}: {reason}; give a CSV table{others}") from error
    columns = numbered[0][1].keys() if numbered else ()
    file_column = next((name for name in FILE_COLUMNS if name in columns), None)
    if file_column is None or column not in columns:
        allowed = f"one of {', '.join(FILE_COLUMNS)}, and {column}"
        given = ", ".join(map(str, columns)) or "none"
        raise UserError(f"{setting}={path}: its columns must be {allowed}; it has {given}")
    return [(line, row[file_column] or "", row[column] or "") for line, row in numbered]


def _split(path: Path, given: str) -> str:
    given = given.strip().lower()
    if given not in NAMES:
        raise UserError(f"dataset.split={path}: split {given!r}; it must be train, validation or test")
    return NAMES[given]


def parts_of(name: str) -> list[str]:
    """The folders and the name of a file in the path that names it."""
    return name.replace(os.sep, "/").split("/")
