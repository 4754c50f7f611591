"""Parts of a piece with so many notes."""

from __future__ import annotations

import numpy as np

from noternn.music.piece import Piece


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
