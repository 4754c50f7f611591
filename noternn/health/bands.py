"""What a band is like in numbers: its groove, and who plays on."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.music.piece import Piece

Ints = NDArray[np.int64]

STEPS = 12  # of a quarter note, to which onsets are rounded
SIXTEENTH = 3
BARS = (4 * STEPS, 3 * STEPS)
MIN_HITS = 8  # of which less can be anything
DRUMS = 128


class Band(NamedTuple):
    """The measures of a band; NaN where there is none.

    Args:
        on_grid_fraction: share of the drum hits on sixteenths, counted from where most of them are.
        drum_return_fraction: share of the drum hits that the same drum strikes again a bar later, at the same
            place; of bars of four and of three quarter notes the larger. Hits without a whole bar after them
            do not count.
        longest_drone: of all pitched instruments, where there are several, the most onsets in a row at which
            one sounds the same pitches.
        num_instruments: that play, the drums as one.
        band_kept_fraction: of the instruments of the first quarter of the time, how many of them play in each
            later quarter, in the mean.
    """

    on_grid_fraction: float
    drum_return_fraction: float
    longest_drone: float
    num_instruments: float
    band_kept_fraction: float


def measure_band(piece: Piece) -> Band:
    """The measures of a piece of one note or more."""
    step = (2 * STEPS * piece.onset + piece.ticks_per_beat) // (2 * piece.ticks_per_beat)
    instrument = np.where(piece.is_drum, DRUMS, piece.program)
    drums = np.unique(step[piece.is_drum] * 128 + piece.pitch[piece.is_drum])  # each hit once
    names = np.unique(instrument)
    is_band = len(names) > 1
    pitched = names[names != DRUMS].tolist()
    drones = [_longest_drone(step[instrument == p], piece.pitch[instrument == p]) for p in pitched]
    return Band(
        on_grid_fraction=_on_grid(drums // 128),
        drum_return_fraction=max((_returning(drums, bar) for bar in BARS), key=_or_below),
        longest_drone=float(max(drones, default=0)) if is_band and drones else math.nan,
        num_instruments=float(len(names)) if is_band else math.nan,
        band_kept_fraction=_kept(step, instrument) if is_band else math.nan,
    )


def _or_below(value: float) -> float:
    return -1.0 if math.isnan(value) else value


def _on_grid(steps: Ints) -> float:
    if len(steps) < MIN_HITS:
        return math.nan
    return float(np.bincount(steps % SIXTEENTH).max() / len(steps))


def _returning(hits: Ints, bar: int) -> float:
    """The share of hits, step and drum in one number each, that come again a bar later."""
    if not len(hits):
        return math.nan
    counted = hits[hits // 128 + bar <= hits[-1] // 128]
    if len(counted) < MIN_HITS:
        return math.nan
    return float(np.isin(counted + 128 * bar, hits).mean())


def _longest_drone(steps: Ints, pitches: Ints) -> int:
    """The most onsets in a row with the same pitches, of one instrument."""
    chords: dict[int, set[int]] = {}
    for step, pitch in zip(steps.tolist(), pitches.tolist(), strict=True):
        chords.setdefault(step, set()).add(pitch)
    longest = run = 0
    previous: set[int] | None = None
    for _, chord in sorted(chords.items()):
        run = run + 1 if chord == previous else 1
        longest, previous = max(longest, run), chord
    return longest


def _kept(steps: Ints, instruments: Ints) -> float:
    length = int(steps.max() - steps.min()) + 1
    quarter = 4 * (steps - steps.min()) // length
    opening, *later = (set(instruments[quarter == k].tolist()) for k in range(4))
    return float(np.mean([len(opening & there) / len(opening) for there in later]))
