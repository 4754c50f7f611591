"""How long it takes to index a corpus, and to look for a sample in it, beside a plain search."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noternn.audit.index import Index
from noternn.audit.streams import Ints, Notes, streams_of
from noternn.audit.suffixes import SuffixArray
from noternn.bench.ingest import NUM_PIECES
from noternn.bench.timing import interleaved
from noternn.corpus.cache import ArrayCache, Entry
from noternn.datasets.sources import installed_sources
from noternn.music.piece import Piece

SCAN = "a scan of the corpus"
FINGERPRINT = 64 * "0"


def bench_audit(
    num_pieces: int = 1000, notes_per_piece: int = 1000, sample_notes: int = 500, repeats: int = 3
) -> tuple[str, list[dict[str, Any]]]:
    """Index a corpus and audit a sample half of which is copied.

    The corpus is chorales again and again, joined to pieces of one length, with every twentieth note another.

    Args:
        num_pieces, notes_per_piece: of the corpus.
        sample_notes: of the sample.
        repeats: of what is timed, but for the building.

    Returns:
        what was done, in a line, and a row for each step: milliseconds of the processor, megabytes on the
        disk, and for the search of one stream how many times faster than a scan it is.
    """
    rng = np.random.default_rng(0)
    stock = [source.read() for source in installed_sources("bach")[:NUM_PIECES]]
    pieces = [_joined(stock, notes_per_piece, rng) for _ in range(num_pieces)]
    names = [f"{i:04d}" for i in range(num_pieces)]
    half = pieces[0].select(np.arange(notes_per_piece) < sample_notes // 2)
    sample = _after(half, _joined(stock, sample_notes - half.num_notes, rng))
    start = time.process_time()
    index = Index.build(pieces, names)
    built = time.process_time() - start
    with tempfile.TemporaryDirectory() as folder:
        cache = ArrayCache(Path(folder))
        entry = cache.get(FINGERPRINT, lambda: Entry(index.arrays, {}))
        on_disk = sum(file.stat().st_size for file in Path(folder).rglob("*.npy")) / 1e6
        by_index, by_scan = _searches(index, sample)
        timings = interleaved(
            {
                "read from the disk": lambda: Index(names, dict(_found(cache).arrays)),
                f"a sample of {sample.num_notes} notes, audited": lambda: index.audit(sample),
                "its notes in one stream, by the index": by_index,
                f"the same, by {SCAN}": by_scan,
            },
            repeats,
        )
        del entry
    *_, ours, scan = timings
    rows: list[dict[str, Any]] = [
        {"name": "index, built", "cpu_ms": 1000 * built, "disk_mb": on_disk, "times_scan": None},
        *({"name": t.name, "cpu_ms": 1000 * t.seconds, "disk_mb": None, "times_scan": None} for t in timings),
    ]
    rows[-2]["times_scan"], rows[-1]["times_scan"] = scan.seconds / ours.seconds, 1.0
    return f"{num_pieces:,} pieces of {index.num_notes.sum():,} notes", rows


def _found(cache: ArrayCache) -> Entry:
    entry = cache.find(FINGERPRINT)
    assert entry is not None
    return entry


def _joined(stock: list[Piece], num_notes: int, rng: np.random.Generator) -> Piece:
    """Some chorales one after the other, cut, with every twentieth note another."""
    piece = stock[rng.integers(len(stock))]
    while piece.num_notes < num_notes:
        piece = _after(piece, stock[rng.integers(len(stock))])
    piece = piece.select(np.arange(piece.num_notes) < num_notes)
    other = np.clip(piece.pitch + rng.integers(-7, 8, num_notes), 0, 127)
    pitch = np.where(rng.random(num_notes) < 0.05, other, piece.pitch)
    return Piece.from_notes(piece.onset, piece.duration, pitch, ticks_per_beat=piece.ticks_per_beat)


def _after(first: Piece, second: Piece) -> Piece:
    """Two pieces as one."""
    ticks = first.ticks_per_beat
    onset = np.rint(second.onset * ticks / second.ticks_per_beat).astype(np.int64) + first.end
    duration = np.maximum(1, np.rint(second.duration * ticks / second.ticks_per_beat).astype(np.int64))
    return Piece.from_notes(
        np.append(first.onset, onset),
        np.append(first.duration, duration),
        np.append(first.pitch, second.pitch),
        ticks_per_beat=ticks,
    )


def _searches(index: Index, sample: Piece) -> tuple[Callable[[], Ints], Callable[[], Ints]]:
    """The longest match of each place of a sample's first stream, in two ways."""
    text, query = index.arrays["text"], streams_of(sample, Notes.of(sample))[0].steps
    suffixes = SuffixArray(text, index.arrays["order"], index.arrays["piece"])
    return lambda: suffixes.longest(query)[0], lambda: scan(text, query)


def scan(text: NDArray[np.uint32], query: NDArray[np.uint32]) -> Ints:
    """The longest match of each place of a query, (num_places,), by going through the text for each."""
    lengths = np.zeros(len(query), dtype=np.int64)
    padded = np.append(text, np.uint32(2**32 - 1))
    for start in range(len(query)):
        places = np.flatnonzero(text == query[start])
        while len(places):
            lengths[start] += 1
            if start + lengths[start] == len(query):
                break
            places = places[padded[places + lengths[start]] == query[start + lengths[start]]]
    return lengths
