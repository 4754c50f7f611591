"""From note to note: what neither the key nor the start of a passage changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noternn.music.piece import Piece

MIN_DIFFERENT = 5  # steps in a passage: fewer is an ostinato or a scale, which pieces share by chance
STEPS_PER_BEAT = 12
MAX_GAP = 2**16 - 1  # grid steps
NUM_STEPS = (MAX_GAP + 1) * 256  # different ones


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
    return steps_between(notes >> 7, notes & 0x7F)


def steps_between(onset: NDArray[np.int64], pitch: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The steps from each note to the next, (num_notes - 1,), each below `NUM_STEPS`.

    Args:
        onset: (num_notes,) in grid steps, in order.
        pitch: (num_notes,)
    """
    steps = np.minimum(np.diff(onset), MAX_GAP) * 256 + np.diff(pitch) + 128
    return np.asarray(steps, dtype=np.uint32)
