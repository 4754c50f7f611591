"""The leak between splits: how much of the validation notes stands in passages copied from training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from noternn.corpus.duplicates import hash_rows
from noternn.piece import Piece

PASSAGE_NOTES = 16
MIN_DIFFERENT = 5  # steps in a passage: fewer is an ostinato or a scale, which pieces share by chance
STEPS_PER_BEAT = 12
MAX_GAP = 2**16 - 1  # grid steps


def note_steps(piece: Piece) -> NDArray[np.uint32]:
    """From each pitched note to the next in order of (onset, pitch): what both key and start leave alone.

    A step is the difference in pitch and the time between the onsets on a grid of 1/12 beat. Two notes
    of one pitch and onset are one.

    Returns:
        (num_notes - 1,) the steps as numbers.
    """
    pitched = piece.select(~piece.is_drum)
    grid = np.rint(pitched.onset * STEPS_PER_BEAT / pitched.ticks_per_beat).astype(np.int64)
    notes = np.unique(grid << 7 | pitched.pitch)
    gaps, intervals = np.diff(notes >> 7), np.diff(notes & 0x7F)
    steps = np.minimum(gaps, MAX_GAP) * 256 + intervals + 128
    return np.asarray(steps, dtype=np.uint32)


def copied_fraction(validation: Sequence[NDArray[np.uint32]], train: Iterable[NDArray[np.uint32]]) -> float:
    """Share of the validation notes that stand in a passage of 16 or more notes that training holds.

    A passage counts wherever it stands and in whatever key, if it has at least 5 different steps.

    Args:
        validation: the `note_steps` of each validation piece.
        train: those of each training piece.

    Returns:
        0 to 1; 0 without notes.
    """
    passages = [_passages(steps) for steps in validation]
    known = np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *(hashes for hashes, _ in passages)]))
    is_copied = np.zeros(len(known), dtype=np.bool_)
    for steps in train:
        is_copied[_places(known, _passages(steps)[0])] = True
    num_copied = sum(_num_covered(starts[np.isin(hashes, known[is_copied])]) for hashes, starts in passages)
    num_notes = sum(len(steps) + 1 for steps in validation)
    return num_copied / num_notes if num_notes else 0.0


def _places(known: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Where in the sorted `known` those of the hashes stand that are in it."""
    places = np.searchsorted(known, hashes)
    found = places < len(known)
    found[found] = known[places[found]] == hashes[found]
    return places[found]


def _passages(steps: NDArray[np.uint32]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of the passages of 16 notes that count, and the note at which each starts."""
    if len(steps) < PASSAGE_NOTES - 1:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    passages = np.lib.stride_tricks.sliding_window_view(steps, PASSAGE_NOTES - 1)  # (num_passages, 15)
    num_different = 1 + (np.diff(np.sort(passages, axis=1), axis=1) != 0).sum(axis=1)
    starts = np.flatnonzero(num_different >= MIN_DIFFERENT)
    return hash_rows(passages[starts].astype(np.int64)), starts


def _num_covered(starts: NDArray[np.int64]) -> int:
    """How many notes stand in at least one of the passages that start there."""
    return int(np.minimum(np.diff(starts, append=np.inf), PASSAGE_NOTES).sum())
