"""What a tokenizer loses of a piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noternn.music.piece import Piece
from noternn.tokenizer.base import Tokenizer
from noternn.tokenizer.grid import grid_times


@dataclass(frozen=True)
class RoundTrip:
    """What is lost between a piece and its tokens.

    Args:
        num_notes: notes before, drums and duplicates included.
        kept_fraction: share of them that come back with the same pitch on the same grid step, counted
            from where the tokens begin; 1 for a piece without notes.
        onset_error_beats: mean absolute error of the onsets of the notes kept, in beats; 0 if none is.
        duration_error_beats: the same of their durations.
    """

    num_notes: int
    kept_fraction: float
    onset_error_beats: float
    duration_error_beats: float


def round_trip(
    tokenizer: Tokenizer, piece: Piece, written: tuple[Sequence[str], NDArray[np.uint32]] | None = None
) -> RoundTrip:
    """Write `piece` as tokens, read them again and compare; what a vocabulary loses to UNK is not in it.

    Args:
        tokenizer: any.
        piece: any.
        written: its `tokenizer.tokenize_indexed(piece)`, if that is known already.
    """
    back = tokenizer.detokenize_indexed(*(written or tokenizer.tokenize_indexed(piece)))
    origin = int(next(iter(tokenizer.onsets(piece)), 0))
    pairs = _same_notes(piece, back, origin, tokenizer.steps_per_beat)  # (num_kept, 2)
    if not len(pairs):
        return RoundTrip(piece.num_notes, 0.0 if piece.num_notes else 1.0, 0.0, 0.0)
    before, after = pairs.T
    onset_error = piece.onset[before] / piece.ticks_per_beat - origin / tokenizer.steps_per_beat
    onset_error -= back.onset[after] / back.ticks_per_beat
    duration_error = piece.duration[before] / piece.ticks_per_beat
    duration_error -= back.duration[after] / back.ticks_per_beat
    return RoundTrip(
        num_notes=piece.num_notes,
        kept_fraction=len(pairs) / piece.num_notes,
        onset_error_beats=float(np.abs(onset_error).mean()),
        duration_error_beats=float(np.abs(duration_error).mean()),
    )


def _same_notes(before: Piece, after: Piece, origin: int, steps_per_beat: int) -> NDArray[np.int64]:
    """Indices of the notes in both pieces, each note once, shape (num_kept, 2)."""
    longest = np.argsort(-before.duration, kind="stable")  # of coinciding notes a tokenizer keeps the longest
    wanted = _note_keys(before, origin, steps_per_beat)[longest]
    keys = _note_keys(after, 0, steps_per_beat)
    order = np.lexsort((-after.duration, keys))
    there = keys[order]
    # The n-th longest of some equal notes before belongs to the n-th longest of them after.
    by_key = np.argsort(wanted, kind="stable")
    number = np.empty_like(by_key)
    number[by_key] = np.arange(len(by_key)) - np.searchsorted(wanted[by_key], wanted[by_key])
    place = np.searchsorted(there, wanted) + number
    is_kept = place < np.searchsorted(there, wanted, side="right")
    return np.stack([longest[is_kept], order[place[is_kept]]], axis=1)


def _note_keys(piece: Piece, origin: int, steps_per_beat: int) -> NDArray[np.int64]:
    """One number for the onset, pitch and kind of each note; equal for equal ones."""
    step = grid_times(piece, steps_per_beat)[0] - origin
    keys: NDArray[np.int64] = (step << 8) + (piece.pitch << 1 | piece.is_drum)  # a step may be below 0
    return keys
