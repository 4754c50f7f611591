"""Tunes in ABC and the notes that they give; those of `abc_cases.tsv` were written down by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from noternn.music.piece import Piece
from noternn.music.repeats import Repeats
from noternn.music.score import read_score_bytes

CASES = [line.split("\t") for line in (Path(__file__).parent / "abc_cases.tsv").read_text().splitlines()[1:]]
ESCAPES = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "\\\\": "\\"}


def unescaped(text: str) -> str:
    parts = text.split("\\\\")
    for short, long in list(ESCAPES.items())[:3]:
        parts = [part.replace(short, long) for part in parts]
    return "\\".join(parts)


def read(text: str, repeats: Repeats = "printed") -> Piece:
    return read_score_bytes(text.encode(), ".abc", "tune", repeats=repeats)


def notes_of(piece: Piece) -> list[tuple[float, float, int]]:
    """(onset, length, pitch) in quarter notes."""
    beats = (
        (onset / 480, duration / 480) for onset, duration in zip(piece.onset, piece.duration, strict=True)
    )
    return sorted(
        (onset, length, int(pitch)) for (onset, length), pitch in zip(beats, piece.pitch, strict=True)
    )


def expected_notes(text: str) -> list[tuple[float, float, int]]:
    words = (word.replace("+", ":").split(":") for word in text.split())
    return sorted((float(onset), float(length), int(pitch)) for onset, length, pitch in words)


@pytest.mark.parametrize(("text", "notes"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_a_tune_gives_its_notes(text: str, notes: str) -> None:
    found, expected = notes_of(read(unescaped(text))), expected_notes(notes)
    assert [note[2] for note in found] == [note[2] for note in expected]
    for note, wanted in zip(found, expected, strict=True):
        assert note == pytest.approx(wanted, abs=2e-3)
