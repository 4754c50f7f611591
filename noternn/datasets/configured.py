"""A configured dataset -> its files, those that are wanted, or one line that says where to put them."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from noternn.config.dataset import Dataset, FolderDataset, FramesDataset, InstalledDataset, UnionDataset
from noternn.datasets.foreign import why_foreign
from noternn.datasets.packages import PACKAGES, how_to_install, licence_of
from noternn.datasets.ready_made import folder_splits, part_splits, table_splits
from noternn.datasets.sources import (
    MORE,
    MUSIC_SUFFIXES,
    Source,
    folder_sources,
    frame_sources,
    installed_sources,
    matching_sources,
    sample_sources,
)
from noternn.errors import UserError

log = logging.getLogger(__name__)


def sources_of(dataset: Dataset) -> list[Source]:
    """The files of a dataset that its `include`, `exclude` and `max_files` leave, then those of `more`.

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
    if dataset.max_files is not None:
        sources = sample_sources(sources, dataset.max_files)
    more = [(corpus, source) for corpus in dataset.more for source in installed_sources(corpus)]
    return [*sources, *(replace(source, name=f"{MORE}{corpus}/{source.name}") for corpus, source in more)]


def licences_of(dataset: Dataset, sources: Sequence[Source]) -> dict[str, str]:
    """The terms of the music of a dataset, by the names of its parts, as far as they are known."""
    more = {name: licence_of(name) for name in dataset.more}
    if isinstance(dataset, UnionDataset):
        there = {source.name.partition("/")[0] for source in sources}
        return {name: licence_of(name) for name in [*dataset.paths, *dataset.corpora] if name in there} | more
    name = dataset.corpus if isinstance(dataset, InstalledDataset) else dataset.name
    return {name: licence_of(name)} | more


def ready_made_split(dataset: Dataset, sources: Sequence[Source]) -> dict[str, str] | None:
    """The split of the files by their names where somebody has made one; None to split by content.

    `dataset.split` is `auto` (by folders called train, valid and test, if all files lie in such, or by the
    lists of these names in a file of frames), `content`, or the path of a CSV table; files that the table
    does not name have no split and are left out.

    Raises:
        UserError: if the table cannot be used.
    """
    readable = [source.name for source in sources if source.kind != "foreign"]
    names = [name for name in readable if not name.startswith(MORE)]
    more = {name: "train" for name in readable if name.startswith(MORE)}
    if dataset.split == "content":
        return None
    if dataset.split != "auto":
        return table_splits(Path(os.path.expanduser(dataset.split)), names) | more
    is_one_file = isinstance(dataset, FramesDataset)
    splits = part_splits(names) if is_one_file else folder_splits(names)
    if splits:
        parts = "lists" if is_one_file else "folders"
        log.info("the %s of dataset=%s are its split; dataset.split=content makes one", parts, dataset.name)
    return splits and splits | more


def _all_sources(dataset: Dataset) -> list[Source]:
    if isinstance(dataset, InstalledDataset):
        return installed_sources(dataset.corpus)
    if isinstance(dataset, UnionDataset):
        return _union_sources(dataset)
    if isinstance(dataset, FramesDataset):
        return _frame_sources(dataset)
    assert isinstance(dataset, FolderDataset)
    sources = _below(dataset.path)
    if not sources:
        raise UserError(_no_files(dataset.name, dataset.path, how_to_install([dataset.name])))
    if all(source.kind == "foreign" for source in sources):
        why = f"{sources[0].name} {why_foreign(sources[0].path)}"
        number = len(sources)
        raise UserError(
            f"dataset={dataset.name}: none of the {number} files of music in {dataset.path} is read: {why}"
        )
    return sources


def _union_sources(dataset: UnionDataset) -> list[Source]:
    parts = {name: _below(path) for name, path in dataset.paths.items()}
    missing = [f"{name} ({dataset.paths[name]})" for name, sources in parts.items() if not sources]
    advice = how_to_install(name for name, sources in parts.items() if not sources)
    for corpus in dataset.corpora:
        try:
            parts[corpus] = installed_sources(corpus)
        except UserError as error:
            if not dataset.paths:
                raise
            missing.append(f"{corpus} ({error})")
    found = [replace(s, name=f"{name}/{s.name}") for name, sources in parts.items() for s in sources]
    if not found:
        raise UserError(_no_files(dataset.name, ", ".join(dataset.paths.values()), advice))
    if missing:
        more = f"; to have it: {advice}" if advice else ""
        log.warning(
            "dataset %s: no music for %s; going on without%s", dataset.name, " and ".join(missing), more
        )
    return found


def _frame_sources(dataset: FramesDataset) -> list[Source]:
    path = Path(os.path.expanduser(dataset.path))
    if not path.is_file():
        raise UserError(
            f"dataset={dataset.name}: there is no file {dataset.path}; get it from {dataset.origin}, "
            "or give dataset.path=FILE"
        )
    return frame_sources(path, dataset.frames_per_beat, voices=dataset.voices, limits=dataset.limits)


def _below(path: str) -> list[Source]:
    return folder_sources(Path(os.path.expanduser(path)))


def _no_files(name: str, path: str, advice: str | None) -> str:
    missing = f"dataset={name}: there are no MIDI files or scores ({', '.join(MUSIC_SUFFIXES)}) in {path}"
    if advice:
        return f"{missing}; {advice}, or unpack the package and give {_where(name)}"
    return f"{missing}; put yours there, or run dataset=bach, which is installed"


def _where(name: str) -> str:
    """The setting that says where the files of a package lie."""
    return "dataset.path=FOLDER" if name in PACKAGES else "dataset.paths.NAME=FOLDER"
