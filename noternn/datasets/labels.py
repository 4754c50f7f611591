"""The label of each piece, by the folder or dataset that it comes from, or by a CSV table."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from noternn.config.checks import choices
from noternn.config.dataset import Dataset, UnionDataset
from noternn.config.model import NO_LABELS
from noternn.datasets.ready_made import NAMES, ends_of, parts_of, read_table
from noternn.datasets.sources import MORE
from noternn.errors import UserError
from noternn.terminal import printable

log = logging.getLogger(__name__)

LABEL_COLUMN = "label"


def labels_of(dataset: Dataset, by: str, names: Sequence[str]) -> dict[str, str]:
    """The label of each piece that has one.

    Args:
        dataset: that the pieces are of.
        by: `none`. `folder`: the folder below the dataset's path (within train, valid or test where these are
            its split) that a file lies in, directly or deeper. `dataset`: of the pieces of a union, and of
            those of `dataset.more`, which they come from. Or the path of a CSV table, with a column `label`
            and one of files, as `table_splits` takes it.
        names: of the pieces.

    Raises:
        UserError: if the table cannot be read.
    """
    if by == NO_LABELS:
        return {}
    if by == "folder":
        found = {name: _folder(name) for name in names}
    elif by == "dataset":
        found = {name: _dataset(dataset, name) for name in names}
    else:
        found = _by_table(Path(os.path.expanduser(by)), names)
    return {name: label for name, label in found.items() if label}


def names_labelled(label: str, labelled: Mapping[str, str]) -> set[str]:
    """The names of the pieces that have a label.

    Args:
        label: that is asked for.
        labelled: what `labels_of` gave.

    Raises:
        UserError: if none has it, with the labels that there are.
    """
    found = {name for name, own in labelled.items() if own == label}
    if not found:
        known = sorted({printable(name) for name in labelled.values()})
        there = f"there are {choices(label, known)}" if known else "no piece has one (model.labels)"
        raise UserError(f"--label {printable(label)}: there is no such label; {there}")
    return found


def _folder(name: str) -> str:
    folders = parts_of(name.removeprefix(MORE))[:-1]
    if folders and folders[0].lower() in NAMES:
        folders = folders[1:]
    return folders[0] if folders else ""


def _dataset(dataset: Dataset, name: str) -> str:
    if name.startswith(MORE) or isinstance(dataset, UnionDataset):
        return parts_of(name.removeprefix(MORE))[0]
    return dataset.name


def _by_table(path: Path, names: Sequence[str]) -> dict[str, str]:
    ends = ends_of(names)
    labels: dict[str, str] = {}
    for line, file, given in read_table(path, LABEL_COLUMN, "model.labels"):
        found = ends.get("/".join(parts_of(file)), [])
        label = given.strip()
        if len(found) == 1 and labels.setdefault(found[0], label) != label:
            raise UserError(f"model.labels={path}: {found[0]} has another label in line {line} than before")
    if left := len(names) - len(labels):
        log.info("%s: it names no label for %d of %d pieces", path, left, len(names))
    return labels
