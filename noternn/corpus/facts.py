"""What there is to say of a piece, whatever tokenizer writes it."""

from __future__ import annotations

from dataclasses import dataclass

from noternn.piece import Piece


@dataclass(frozen=True)
class PieceFacts:
    """Numbers of one piece.

    Args:
        beats: quarter notes from the first onset to the last end.
        seconds: the same in seconds.
        tempo: beats per minute over the whole piece.
    """

    beats: float
    seconds: float
    tempo: float


def piece_facts(piece: Piece) -> PieceFacts:
    """The facts of a piece of at least one note."""
    onset = int(piece.onset.min())
    start_seconds, end_seconds = piece.seconds(piece.onset[[0]]).item(), piece.duration_seconds
    beats = (piece.end - onset) / piece.ticks_per_beat
    seconds = end_seconds - start_seconds
    return PieceFacts(beats=beats, seconds=seconds, tempo=60 * beats / seconds)
