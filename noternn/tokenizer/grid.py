"""Times in steps of a grid, and the tokens that write a number of steps."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from noternn.music.piece import Piece

DRUM = 128  # stands after the programs 0 to 127
FINEST_GRID = 480  # steps in a beat; a finer grid is finer than the files are
Symbol = tuple[str, int]  # kind and value of a token: "Shift_12" is ("Shift", 12)


def grid_times(piece: Piece, steps_per_beat: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Onsets and durations of the notes in steps, each of shape (num_notes,).

    Onsets and ends are rounded to the nearest step, so that notes that touch still touch and none
    comes to overlap the next; a note that would have no length lasts one step.
    """
    ticks = np.concatenate((piece.onset, piece.onset + piece.duration))
    # in integers and with halves up: rounding halves to even makes an even rhythm uneven
    steps = (ticks * (2 * steps_per_beat) + piece.ticks_per_beat) // (2 * piece.ticks_per_beat)
    onset, end = steps.reshape(2, -1)
    return onset, np.maximum(end - onset, 1)


def frame_bounds(piece: Piece, steps_per_beat: int) -> tuple[int, int]:
    """The grid steps at which a piece begins and ends: its `span`, or the first onset and the last end."""
    onset, duration = grid_times(piece, steps_per_beat)
    bounds = [] if piece.span is None else [_nearest(tick, piece, steps_per_beat) for tick in piece.span]
    if len(onset):
        bounds += [int(onset.min()), int((onset + duration).max())]
    return min(bounds, default=0), max(bounds, default=0)


def sounding_steps(piece: Piece, steps_per_beat: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The steps in which each note sounds, counted from where the piece begins, and the note's index.

    Returns:
        Each (num_sounding,), where a note stands as often as it lasts steps.
    """
    onset, duration = grid_times(piece, steps_per_beat)
    note = np.repeat(np.arange(len(onset)), duration)
    within = np.arange(len(note)) - np.repeat(np.cumsum(duration) - duration, duration)
    return onset[note] + within - frame_bounds(piece, steps_per_beat)[0], note


def _nearest(tick: int, piece: Piece, steps_per_beat: int) -> int:
    return (2 * tick * steps_per_beat + piece.ticks_per_beat) // (2 * piece.ticks_per_beat)


def distinct_notes(
    piece: Piece, steps_per_beat: int, program: bool, drums_first: bool = False
) -> tuple[NDArray[np.int64], ...]:
    """Onset, program, pitch, duration, velocity of the notes on the grid, each (num_notes,).

    Their order is onset, program (drums last, or first), pitch descending. Of notes that coincide in these
    the longest duration and the largest velocity are kept. Without `program` all have program 0.
    """
    onset, duration = grid_times(piece, steps_per_beat)
    programs = np.where(piece.is_drum, DRUM, piece.program) if program else np.zeros_like(onset)
    rank = programs_in_order(programs) if program and drums_first else programs
    place = (onset << 8 | rank) << 7 | 127 - piece.pitch
    columns = onset, programs, piece.pitch, duration, piece.velocity
    if (place[1:] > place[:-1]).all():
        return columns
    order = place.argsort()
    in_order = place.take(order)
    first = np.flatnonzero(np.concatenate(([True], in_order[1:] != in_order[:-1])))
    longest = np.maximum.reduceat(duration.take(order), first)
    loudest = np.maximum.reduceat(piece.velocity.take(order), first)
    return *(column.take(order.take(first)) for column in columns[:3]), longest, loudest


def programs_in_order(programs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each program in an onset that drums begin: 0 for them, then 1 to 128."""
    place: NDArray[np.int64] = (programs + 1) % (DRUM + 1)
    return place


def ticks_per_step(steps_per_beat: int) -> int:
    """Ticks of a step in the pieces that tokenizers make; a beat has 480 or a few less."""
    return max(1, 480 // steps_per_beat)


def grid_piece(notes: NDArray[np.int64], steps_per_beat: int, tempo: float) -> Piece:
    """The piece of rows onset, program, pitch, duration, velocity, shape (5, num_notes), as `distinct_notes`.

    A duration of 0, which is unknown, is taken for a beat.
    """
    onset, program, pitch, duration, velocity = notes
    step = ticks_per_step(steps_per_beat)
    return Piece.from_notes(
        onset * step,
        np.where(duration > 0, duration, steps_per_beat) * step,
        pitch,
        velocity=velocity,
        program=np.where(program == DRUM, 0, program),
        is_drum=program == DRUM,
        ticks_per_beat=steps_per_beat * step,
        tempos=((0, tempo),),
    )


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
