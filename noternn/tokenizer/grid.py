"""Times in steps of a grid, and the tokens that write a number of steps."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from noternn.piece import Piece

DRUM = 128  # stands after the programs 0 to 127: drums come last in an onset
FINEST_GRID = 480  # steps in a beat; a finer grid is finer than the files are
Symbol = tuple[str, int]  # kind and value of a token: "Shift_12" is ("Shift", 12)


def grid_times(piece: Piece, steps_per_beat: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Onsets and durations of the notes in steps, each of shape (num_notes,).

    Onsets and ends are rounded to the nearest step, so that notes that touch still touch and none
    comes to overlap the next; a note that would have no length lasts one step.
    """
    onset = _round_to_step(piece.onset, piece.ticks_per_beat, steps_per_beat)
    end = _round_to_step(piece.onset + piece.duration, piece.ticks_per_beat, steps_per_beat)
    return onset, np.maximum(end - onset, 1)


def _round_to_step(ticks: NDArray[np.int64], ticks_per_beat: int, steps_per_beat: int) -> NDArray[np.int64]:
    # in integers and with halves up: rounding halves to even makes an even rhythm uneven
    steps: NDArray[np.int64] = (2 * ticks * steps_per_beat + ticks_per_beat) // (2 * ticks_per_beat)
    return steps


def distinct_notes(piece: Piece, steps_per_beat: int, program: bool) -> NDArray[np.int64]:
    """Rows onset, program, pitch, duration, velocity of the notes on the grid, shape (5, num_notes).

    Their order is onset, program (drums last), pitch descending. Of notes that coincide in these the
    longest is kept, with the largest velocity. Without `program` all have program 0.
    """
    onset, duration = grid_times(piece, steps_per_beat)
    programs = np.where(piece.is_drum, DRUM, piece.program) if program else np.zeros_like(onset)
    place = (onset << 8 | programs) << 7 | 127 - piece.pitch
    notes = np.stack([onset, programs, piece.pitch, duration, piece.velocity])
    if (np.diff(place) > 0).all():
        return notes
    order = np.lexsort((-duration, place))
    first = np.flatnonzero(np.diff(place[order], prepend=-1))  # the longest of the notes that coincide
    distinct = notes[:, order[first]]
    distinct[4] = np.maximum.reduceat(piece.velocity[order], first)
    return distinct


def ticks_per_step(steps_per_beat: int) -> int:
    """Ticks of a step in the pieces that tokenizers make; a beat has 480 or a few less."""
    return max(1, 480 // steps_per_beat)


def symbols(kind: str, values: Iterable[int]) -> dict[str, Symbol]:
    """The tokens `kind_value` and what they stand for."""
    return {f"{kind}_{value}": (kind, value) for value in values}


def chain(kind: str, steps: int, maximum: int) -> list[str]:
    """The one way to write `steps` as tokens `kind_n`: maximal ones while they fit, then the remainder."""
    full, remainder = divmod(steps, maximum)
    tokens = [f"{kind}_{maximum}"] * full
    if remainder:
        tokens.append(f"{kind}_{remainder}")
    return tokens


def check_argument(name: str, value: int, low: int, high: int) -> None:
    """Raise ValueError unless `value` is within `low` to `high`."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be {low} to {high}; got {value}")
