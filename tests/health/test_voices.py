"""Parallel fifths and octaves are counted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from noternn.health.voices import parallels
from noternn.music.piece import Piece


def piece(*chords: tuple[int, ...]) -> Piece:
    """Of chords, each of a beat."""
    onset = np.repeat(np.arange(len(chords)), [len(chord) for chord in chords])
    return Piece.from_notes(onset * 480, 480, np.concatenate(chords))


@pytest.mark.parametrize(
    ("chords", "share"),
    [
        ([(48, 55), (50, 57)], 1.0),  # fifths
        ([(48, 60, 64), (50, 62, 65)], 1 / 3),  # octaves, one pair of three
        ([(48, 55), (50, 56)], 0.0),  # a fifth becomes a tritone
        ([(48, 52), (50, 54)], 0.0),  # thirds
        ([(48, 55), (48, 55), (48, 57)], 0.0),  # repeated, and one moves alone
        ([(55, 67), (48, 60)], 1.0),  # downwards
    ],
)
def test_parallels_are_counted_by_pairs_of_voices(chords: list[tuple[int, ...]], share: float) -> None:
    assert parallels([piece(*chords)]) == pytest.approx(share)


def test_one_voice_has_none() -> None:
    assert math.isnan(parallels([piece((60,), (62,), (64,))]))


def test_a_held_note_is_a_voice_that_does_not_move() -> None:
    held = Piece.from_notes([0, 0, 480], [960, 480, 480], [48, 55, 57])
    assert parallels([held]) == 0
