"""What samples are audited against: a run's training pieces or a corpus, and what real pieces copy."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from noternn.audit.figures import RealFigures, measure, spread
from noternn.audit.index import VERSION, Index
from noternn.config.model import NO_LABELS
from noternn.config.schema import dataset_of
from noternn.corpus.cache import CACHE_VERSION, ArrayCache, Entry
from noternn.corpus.reading import Reader, ReadingOptions, Skipped
from noternn.datasets.configured import sources_of
from noternn.datasets.labels import labels_of, names_labelled
from noternn.datasets.sources import Source
from noternn.errors import UserError
from noternn.files import read_json
from noternn.music.piece import Piece
from noternn.runs.folder import MAX_SPLIT_BYTES, RunFolder
from noternn.runs.record import read_settings
from noternn.terminal import printable

log = logging.getLogger(__name__)

MAX_NAMED = 5  # of the pieces that are told to be missing


@dataclass(frozen=True)
class Reference:
    """Files that samples are compared with, before they are read.

    Args:
        title: what messages call them.
        corpus: the pieces that may have been copied.
        held_out: real pieces that were not learned from.
        options: how files are read.
        cache_dir: where the index and the pieces are kept; None keeps them nowhere.
        num_processes: see `noternn.corpus.reading.Reader`.
        music_hashes: what `Piece.music_hash` must be of pieces by their names, and which must be there.
        compares: whether it is measured what real pieces copy, which takes longer than the index.
    """

    title: str
    corpus: Sequence[Source]
    held_out: Sequence[Source]
    options: ReadingOptions
    cache_dir: Path | None
    num_processes: int | None = None
    music_hashes: Mapping[str, str] = field(default_factory=dict)
    compares: bool = True


@dataclass(frozen=True)
class Against:
    """What samples are compared with.

    Args:
        title: what messages call it.
        index: of the corpus; its pieces are sorted by name.
        real: what real pieces copy from it.
        sources: of its pieces, (num_pieces,).
        options: how they were read.
        skipped: files that could not be read.
        near: as `real`, of passages that go on after differing notes, see `noternn.audit.index.Audit.near`.
        cache_dir: where their pieces may be kept.
    """

    title: str
    index: Index
    real: RealFigures
    sources: Sequence[Source]
    options: ReadingOptions
    skipped: Sequence[Skipped]
    near: RealFigures = field(default_factory=RealFigures.nothing)
    cache_dir: Path | None = None

    def piece(self, number: int) -> Piece:
        """A piece of the corpus, read again.

        Raises:
            PieceError: if that is no longer possible.
        """
        return self.options.read(self.sources[number], self.cache_dir)


def reference_of_run(run: Path, label: str = "") -> Reference:
    """The training pieces of a run, and its validation pieces as held-out ones.

    They are found by the run's split.json and by the settings that Hydra left beside it, without torch.

    Args:
        run: its folder.
        label: of the pieces that are taken; "" takes all.

    Raises:
        UserError: if these cannot be read, or if no piece has the label.
    """
    try:
        config = read_settings(run)
    except UserError as error:
        raise _unreadable(run, error.__cause__ or error) from error
    try:
        split = read_json(RunFolder(run).split, MAX_SPLIT_BYTES)
        dataset = dataset_of(config["dataset"])
        cache_dir, num_processes = (config["datamodule"][name] for name in ("cache_dir", "num_processes"))
        hashes = {name: dict(split[name]) for name in ("train", "validation")}
        by = str(config.get("model", {}).get("labels", NO_LABELS))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(run, error) from error
    sources = {source.name: source for source in sources_of(dataset)}
    missing = sorted(name for names in hashes.values() for name in names if name not in sources)
    if missing:
        raise UserError(_changed(run, missing))
    title = printable(str(run))
    if label:
        title = f"{title}, {printable(label)}"
        wanted = names_labelled(label, labels_of(dataset, by, list(hashes["train"] | hashes["validation"])))
        hashes = {split: {n: h for n, h in names.items() if n in wanted} for split, names in hashes.items()}
    return Reference(
        title,
        [sources[name] for name in hashes["train"]],
        [sources[name] for name in hashes["validation"]],
        ReadingOptions.of(dataset),
        Path(cache_dir) if cache_dir else None,
        num_processes,
        hashes["train"] | hashes["validation"],
    )


def _unreadable(run: Path, error: BaseException) -> UserError:
    folder = RunFolder(run)
    settings = folder.settings.relative_to(run)
    return UserError(
        f"{run}: its {folder.split.name} or {settings} cannot be read ({' '.join(str(error).split())}); "
        "give the folder of a run, or the dataset that it was trained on"
    )


def load(reference: Reference) -> Against:
    """The index and the figures of real pieces, from the cache or made and kept there.

    Raises:
        UserError: if there is nothing to compare with, or if files are not what the run was trained on.
    """
    key = {
        "version": [VERSION, CACHE_VERSION],
        "options": reference.options.plain(),
        "corpus": _files(reference.corpus),
        "held_out": _files(reference.held_out),
        **({} if reference.compares else {"compares": False}),
    }
    fingerprint = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    entry = ArrayCache(reference.cache_dir).get(fingerprint, lambda: _make(reference))
    hashes = entry.values["music_hashes"]
    changed = sorted(n for n, expected in reference.music_hashes.items() if hashes.get(n) != expected)
    if changed:
        raise UserError(_changed(reference.title, changed))
    arrays = dict(entry.arrays)
    real, near = (
        RealFigures(arrays.pop(f"{rule}held_out"), arrays.pop(f"{rule}others")) for rule in ("", "near_")
    )
    by_name = {source.name: source for source in reference.corpus}
    index = Index(entry.values["names"], arrays)
    if not index.names:
        reasons = "; ".join(": ".join(pair) for pair in entry.values["skipped"][:3])
        raise UserError(f"{reference.title}: none of its files could be read ({reasons})")
    return Against(
        reference.title,
        index,
        real,
        [by_name[name] for name in index.names],
        reference.options,
        [Skipped(*pair) for pair in entry.values["skipped"]],
        near,
        reference.cache_dir,
    )


def _changed(run: object, names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_NAMED]) + (" ..." if len(names) > MAX_NAMED else "")
    return (
        f"{run}: {len(names)} of the pieces that it was trained and validated on are not there as they were "
        f"({shown}); put back the files, or give the dataset itself"
    )


def _files(sources: Sequence[Source]) -> list[tuple[str, str, str]]:
    """What decides what is read of some files."""
    return sorted((s.name, f"{s.kind}{s.frames_per_beat or ''}", s.content_hash()) for s in sources)


def _make(reference: Reference) -> Entry:
    """Read the files, build the index, and measure real pieces with it."""
    sources = [*reference.corpus, *reference.held_out]
    pieces: dict[str, Piece] = {}
    skipped = []
    read = reference.options, reference.num_processes, len(sources), reference.cache_dir
    with Reader(as_it_is, *read) as reader:
        for result in reader.read(sources):
            if isinstance(result, Skipped):
                skipped.append((result.name, result.reason))
            else:
                pieces[result.name] = result
    held_out_names = {source.name for source in reference.held_out}
    corpus = {name: pieces[name] for name in sorted(pieces) if name not in held_out_names}
    held_out = [pieces[name] for name in sorted(pieces) if name in held_out_names]
    log.info("building the index of %d pieces", len(corpus))
    index = Index.build(corpus.values(), list(corpus))
    is_compared = reference.compares and len(index.names) > 1  # without others there is nothing
    measured = spread(len(index.names)) if is_compared else []
    members = list(corpus.values())
    kept = [held_out[i] for i in spread(len(held_out))]
    if measured or kept:
        log.info("measuring what %d real pieces copy", len(measured) + len(kept))
    arrays: dict[str, Any] = dict(index.arrays)
    arrays["held_out"], arrays["near_held_out"] = measure(index, kept, [None] * len(kept))
    arrays["others"], arrays["near_others"] = measure(index, [members[i] for i in measured], measured)
    hashes = {name: piece.music_hash() for name, piece in pieces.items()}
    return Entry(arrays, {"names": index.names, "skipped": sorted(skipped), "music_hashes": hashes})


def as_it_is(name: str, piece: Piece) -> Piece:
    """What a `Reader` makes of a piece that is wanted itself, under the name of its source."""
    return replace(piece, name=name)
