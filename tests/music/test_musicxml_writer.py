"""Scores that are written hold the same notes for this package's reader and for music21."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from music21 import chord, converter, note
from music21.percussion import PercussionChord

from noternn.datasets.sources import read_file
from noternn.music.keys import NO_KEY, Key, key_of, spelled
from noternn.music.midi import midi_file, read_midi_bytes
from noternn.music.musicxml_writer import GRID, PLAIN, lengths, musicxml_file
from noternn.music.piece import Piece

METRES = [
    ((0, 4, 4),),
    ((0, 3, 4),),
    ((0, 1, 4), (480, 4, 4)),
    ((0, 5, 8), (1200, 7, 8)),
    ((0, 2, 4), (960, 3, 4)),
]


def odd_piece(seed: int) -> Piece:
    """Notes that overlap anyhow, on a grid of 1/4, 1/12 or 1/16, of several instruments, some drums."""
    rng = np.random.default_rng(seed)
    n, step = 20, 480 // int(rng.choice([4, 12, 16]))
    is_drum = rng.random(n) < 0.3 * (seed % 2)
    return Piece.from_notes(
        rng.integers(0, 32, n) * step,
        rng.integers(1, 40, n) * step,
        rng.integers(30, 90, n),
        program=np.where(is_drum, 0, rng.choice([0, 0, 40, 56], n)),
        is_drum=is_drum,
        metres=METRES[seed % len(METRES)],
        tempos=((0, 100.5), (960, 133.0)),
    )


Row = tuple[int, int, int, int]


def rows(piece: Piece) -> list[Row]:
    """(onset, end, pitch, program, or -1 for drums) of each note, times in steps of `GRID`."""
    scale = GRID / piece.ticks_per_beat
    columns = (piece.onset * scale, (piece.onset + piece.duration) * scale, piece.pitch)
    kind = np.where(piece.is_drum, -1, piece.program)
    return sorted(tuple(map(round, row)) for row in zip(*columns, kind, strict=True))


def rows_of_music21(path: Path) -> list[tuple[int, int, int]]:
    """(onset, end, pitch) of each pitched note as music21 reads it, tied ones put together."""
    found: list[list[int]] = []
    for part in converter.parse(path, forceSource=True).parts:
        last: dict[int, list[int]] = {}
        for element in sorted(part.flatten().notes, key=lambda element: float(element.offset)):
            start = round(float(element.offset) * GRID)
            end = start + round(float(element.quarterLength) * GRID)
            if isinstance(element, PercussionChord | note.Unpitched):
                continue
            for one in element.notes if isinstance(element, chord.Chord) else [element]:
                tie, before = one.tie or element.tie, last.get(one.pitch.midi)
                if tie and tie.type != "start" and before and before[1] == start:
                    before[1] = end
                else:
                    last[one.pitch.midi] = [start, end, one.pitch.midi]
                    found.append(last[one.pitch.midi])
    return sorted((start, end, pitch) for start, end, pitch in found)


@pytest.mark.parametrize("seed", [1, 4])
def test_a_score_holds_what_a_midi_file_of_the_piece_does(seed: int, tmp_path: Path) -> None:
    piece, path = odd_piece(seed), tmp_path / "score.musicxml"
    path.write_bytes(musicxml_file(piece))
    expected, read = read_midi_bytes(midi_file(piece), ""), read_file(path)
    assert rows(read) == rows(expected)
    assert read.tempos == ((0, 100.5), (2 * read.ticks_per_beat, 133.0))
    assert [metre[1:] for metre in read.metres] == [metre[1:] for metre in expected.metres]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # drums that music21 does not know
        assert rows_of_music21(path) == sorted(row[:3] for row in rows(expected) if row[3] >= 0)


def test_equal_pieces_give_equal_bytes_and_a_text_is_in_them() -> None:
    first, second = (musicxml_file(odd_piece(2).until(960), '{"a": "b & c"}') for _ in range(2))
    assert first == second
    assert b'<miscellaneous-field name="noternn">{"a": "b &amp; c"}<' in first


@pytest.mark.parametrize("program", [0, 40])
def test_a_piano_has_two_staves_and_a_violin_one(program: int) -> None:
    piece = Piece.from_notes([0, 0], 480, [72, 40], program=program)
    assert (b"<staves>2</staves>" in musicxml_file(piece)) == (program == 0)


def test_a_piece_without_notes_is_a_bar_of_silence(tmp_path: Path) -> None:
    path = tmp_path / "score.musicxml"
    path.write_bytes(musicxml_file(Piece.from_notes([], [], [])))
    assert b"<rest" in path.read_bytes()


def test_every_span_of_a_bar_is_made_of_lengths_that_a_note_can_have() -> None:
    for start in range(GRID):
        for end in range(start + 1, 4 * GRID + 1):
            parts = list(lengths(start, end))
            assert (parts[0][0], parts[-1][1]) == (start, end)
            assert all(before[1] == after[0] for before, after in pairwise(parts))
            assert all(last - first in PLAIN for first, last in parts)


def test_a_key_is_found_and_notes_are_spelled_in_it() -> None:
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0])
    for tonic, fifths in ((60, 0), (67, 1), (58, -2), (63, -3)):
        piece = Piece.from_notes(np.arange(11) * 480, 480, scale + tonic)
        assert key_of(piece) == Key(fifths, False)
    minor = Piece.from_notes(np.arange(8) * 480, 480, np.array([0, 2, 3, 5, 7, 8, 7, 0]) + 57)
    assert key_of(minor) == Key(0, True)
    assert key_of(Piece.from_notes([], [], [])) is None
    assert spelled(61, NO_KEY) == ("C", 1, 4)
    assert spelled(61, Key(-3, False)) == ("D", -1, 4)
    assert spelled(71, Key(-6, False)) == ("C", -1, 5)
    assert spelled(60, Key(6, False)) == ("B", 1, 3)
