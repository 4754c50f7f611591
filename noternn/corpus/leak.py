"""The leak between splits: how much of the validation notes stands in passages copied from training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.corpus.duplicates import hash_rows
from noternn.music.steps import MIN_DIFFERENT

PASSAGE_NOTES = 16
BLOCK_STEPS = 2**18  # looked at together, which takes about 30 MB


def copied_fraction(validation: Sequence[NDArray[np.uint32]], train: Iterable[NDArray[np.uint32]]) -> float:
    """Share of the validation notes that stand in a passage of 16 or more notes that training holds.

    A passage counts wherever it stands and in whatever key, if it has at least 5 different steps.

    Args:
        validation: the steps of each validation piece, see `noternn.music.steps.note_steps`.
        train: the steps of each training piece.

    Returns:
        0 to 1; 0 without notes.
    """
    passages = [_passages(block) for block in _blocks(validation)]
    known = np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *(hashes for hashes, _ in passages)]))
    is_copied = np.zeros(len(known), dtype=np.bool_)
    for block in _blocks(train):
        is_copied[_places(known, _hashes(block)[block.starts])] = True
    copied = (notes[is_copied[np.searchsorted(known, hashes)]] for hashes, notes in passages)
    num_copied = sum(_num_covered(notes) for notes in copied)
    num_notes = sum(len(steps) + 1 for steps in validation)
    return num_copied / num_notes if num_notes else 0.0


class _Block(NamedTuple):
    """Many pieces as one: a few large arrays are quicker than many small ones.

    Args:
        steps: (num_steps,) the steps of all pieces, one piece after the other.
        starts: (num_passages,) the steps at which a passage begins that lies within one piece.
        notes: (num_passages,) the notes at which it begins; each piece has one more than steps.
    """

    steps: NDArray[np.uint32]
    starts: NDArray[np.int64]
    notes: NDArray[np.int64]


def _blocks(pieces: Iterable[NDArray[np.uint32]]) -> Iterator[_Block]:
    """The pieces in blocks of bounded size."""
    waiting: list[NDArray[np.uint32]] = []
    size = 0
    for steps in pieces:
        waiting.append(steps)
        size += len(steps)
        if size >= BLOCK_STEPS:
            yield _block(waiting)
            waiting, size = [], 0
    if waiting:
        yield _block(waiting)


def _block(pieces: Sequence[NDArray[np.uint32]]) -> _Block:
    lengths = np.array([len(steps) for steps in pieces])
    first = np.repeat(np.cumsum(lengths) - lengths, np.maximum(lengths - PASSAGE_NOTES + 2, 0))
    number = np.repeat(np.arange(len(pieces)), np.maximum(lengths - PASSAGE_NOTES + 2, 0))
    within = np.arange(len(first)) - np.searchsorted(number, number)
    starts = first + within
    return _Block(np.concatenate(pieces), starts, starts + number)


def _places(known: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The places in the sorted `known` of the hashes that it holds."""
    places = np.searchsorted(known, hashes)
    found = places < len(known)
    found[found] = known[places[found]] == hashes[found]
    return places[found]


def _windows(steps: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The steps of the passage of 16 notes that begins at each step, (num_steps - 14, 15), as a view."""
    if len(steps) < PASSAGE_NOTES - 1:
        return np.zeros((0, PASSAGE_NOTES - 1), dtype=np.uint32)
    return np.lib.stride_tricks.sliding_window_view(steps, PASSAGE_NOTES - 1)


def _hashes(block: _Block) -> NDArray[np.uint64]:
    """A hash of each of the windows, also of those that lie in two pieces."""
    return hash_rows(_windows(block.steps))


def _passages(block: _Block) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of the passages of 16 notes that count, and the note at which each starts."""
    steps = np.sort(_windows(block.steps)[block.starts], axis=1)
    counts = 1 + (np.diff(steps, axis=1) != 0).sum(axis=1) >= MIN_DIFFERENT
    return _hashes(block)[block.starts[counts]], block.notes[counts]


def _num_covered(starts: NDArray[np.int64]) -> int:
    """How many notes stand in at least one of the passages that start there."""
    return int(np.minimum(np.diff(starts, append=np.inf), PASSAGE_NOTES).sum())
