"""A configured dataset -> its files, those that are wanted, or one line that says where to put them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from noternn.config import Dataset, FolderDataset, ScoreDataset, UnionDataset
from noternn.corpus.sources import (
    Source,
    folder_sources,
    matching_sources,
    sample_sources,
    score_sources,
)
from noternn.errors import UserError

log = logging.getLogger(__name__)


def sources_of(dataset: Dataset) -> list[Source]:
    """The files of a dataset that its `include`, `exclude` and `max_files` leave.

    Raises:
        UserError: if there are none.
    """
    found = _all_sources(dataset)
    sources = matching_sources(found, dataset.include, dataset.exclude)
    if not sources:
        settings = ("include", dataset.include), ("exclude", dataset.exclude)
        given = " and ".join(f"dataset.{name}={patterns}" for name, patterns in settings if patterns)
        raise UserError(
            f"{given}: none of the {len(found)} files of dataset={dataset.name} is left; "
            f"patterns are compared with whole names such as {found[0].name!r}"
        )
    return sources if dataset.max_files is None else sample_sources(sources, dataset.max_files)


def _all_sources(dataset: Dataset) -> list[Source]:
    if isinstance(dataset, ScoreDataset):
        return score_sources(dataset.corpus)
    if isinstance(dataset, UnionDataset):
        return _union_sources(dataset)
    assert isinstance(dataset, FolderDataset)
    sources = folder_sources(Path(os.path.expanduser(dataset.path)))
    if not sources:
        raise UserError(_no_files(dataset.name, dataset.path))
    return sources


def _union_sources(dataset: UnionDataset) -> list[Source]:
    found: list[Source] = []
    missing = []
    for name, path in dataset.paths.items():
        sources = folder_sources(Path(os.path.expanduser(path)))
        found += [Source(s.path, f"{name}/{s.name}", s.kind) for s in sources]
        if not sources:
            missing.append(f"{name} ({path})")
    if not found:
        raise UserError(_no_files(dataset.name, ", ".join(dataset.paths.values())))
    if missing:
        log.warning("dataset %s: no MIDI files for %s; going on without", dataset.name, " and ".join(missing))
    return found


def _no_files(name: str, path: str) -> str:
    return (
        f"dataset={name}: there are no MIDI files (.mid, .midi) in {path}; put yours there, "
        "or run dataset=bach, which is installed"
    )
