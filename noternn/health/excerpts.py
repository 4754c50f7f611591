"""Parts of a piece with so many notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from noternn.music.piece import Piece

T = TypeVar("T")


def excerpts(piece: Piece, num_notes: int) -> list[Piece]:
    """As few parts of so many notes as cover a piece, evenly spaced; a shorter piece is whole.

    Notes that ring on after the last onset of a part are cut where the next note of the piece begins or, at
    the end of the piece, are whole.
    """
    if piece.num_notes <= num_notes:
        return [piece]
    num_parts = -(-piece.num_notes // num_notes)
    starts = np.linspace(0, piece.num_notes - num_notes, num_parts).round().astype(int).tolist()
    place = np.arange(piece.num_notes)
    parts = []
    for start in starts:
        part = piece.select((place >= start) & (place < start + num_notes))
        later = piece.onset[start + num_notes :]
        later = later[later > part.onset[-1]]
        parts.append(part.until(int(later[0])) if len(later) else part)
    return parts


def whole_excerpts(piece: Piece, num_notes: int) -> list[Piece]:
    """Excerpts of so many notes, without what is shorter."""
    return [part for part in excerpts(piece, num_notes) if part.num_notes >= num_notes]


def in_turn(each: Sequence[Sequence[T]]) -> list[T]:
    """Of each list the first, then the second."""
    most = max(map(len, each), default=0)
    return [parts[k] for k in range(most) for parts in each if k < len(parts)]
