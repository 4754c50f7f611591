"""How voices move together: parallel fifths and octaves, which part-writing avoids."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, pairwise

import numpy as np

from noternn.music.piece import Piece

PARALLEL = (0, 7)  # octaves and unisons, and fifths, modulo 12
MIN_VOICES, MAX_VOICES = 2, 6


def parallels(pieces: Iterable[Piece]) -> float:
    """Share of pairs of voices that go on in parallel fifths, octaves or unisons, 0 to 1; NaN without any.

    From an onset to the next, where equally many notes sound at both (2 to 6) and not the same ones, each
    pair of voices counts, by height. It is parallel if both move by as many semitones and stand 0 or 7
    semitones apart, modulo 12. Drums do not count.
    """
    counts = np.array([count_parallels(piece) for piece in pieces]).reshape(-1, 2).sum(axis=0)
    return float(counts[0] / counts[1]) if counts[1] else float("nan")


def count_parallels(piece: Piece) -> tuple[int, int]:
    """How many pairs of voices `parallels` calls parallel, of how many."""
    num_pairs = num_parallel = 0
    for before, after in pairwise(_chords(piece)):
        if len(before) != len(after) or not MIN_VOICES <= len(after) <= MAX_VOICES or before == after:
            continue
        steps = [b - a for a, b in zip(before, after, strict=True)]
        for low, high in combinations(range(len(after)), 2):
            num_pairs += 1
            moves = steps[low] == steps[high] != 0
            num_parallel += moves and (after[high] - after[low]) % 12 in PARALLEL
    return num_parallel, num_pairs


def _chords(piece: Piece) -> list[list[int]]:
    """The pitches that sound at each onset, the lowest first."""
    pitched = piece.select(~piece.is_drum)
    end = pitched.onset + pitched.duration
    return [
        sorted(pitched.pitch[(pitched.onset <= tick) & (end > tick)].tolist())
        for tick in np.unique(pitched.onset)
    ]
