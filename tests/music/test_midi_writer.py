"""What `write_midi` writes is what was meant, for our reader, for two others, and for a player."""

from __future__ import annotations

import io
import logging
from collections import defaultdict
from pathlib import Path

import miditoolkit
import mido
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noternn.music.keys import Key
from noternn.music.midi import read_midi, write_midi
from noternn.music.piece import Piece

Row = tuple[int, int, int, int, int, bool]  # onset, duration, pitch, velocity, program, is_drum
fast = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def piece_of(rows: list[Row]) -> Piece:
    onset, duration, pitch, velocity, program, is_drum = zip(*rows, strict=True)
    return Piece.from_notes(
        onset, duration, pitch, velocity=velocity, program=program, is_drum=is_drum, ticks_per_beat=96
    )


def rows_of(piece: Piece) -> list[Row]:
    columns = (piece.onset, piece.duration, piece.pitch, piece.velocity, piece.program, piece.is_drum)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def struck_once(rows: list[Row]) -> list[Row]:
    """The notes as they are written: found one by one, by looking at all others."""
    found = set()
    for onset, _, pitch, _, program, is_drum in rows:
        like = [row for row in rows if (row[2], row[4], row[5]) == (pitch, program, is_drum)]
        together = [row for row in like if row[0] == onset]
        later = [row[0] - onset for row in like if row[0] > onset]
        duration = min([max(row[1] for row in together), *later])
        found.add((onset, duration, pitch, max(row[3] for row in together), program, is_drum))
    return sorted(found)


def written(piece: Piece, folder: Path) -> bytes:
    write_midi(piece, folder / "piece.mid")
    return (folder / "piece.mid").read_bytes()


def played(data: bytes) -> list[Row]:
    """What a player hears that merges the tracks, and knows one program a channel and which keys sound."""
    events = []
    for number, track in enumerate(mido.MidiFile(file=io.BytesIO(data)).tracks):
        tick, port = 0, 0
        for place, message in enumerate(track):
            tick += message.time
            port = message.port if message.type == "midi_port" else port
            events.append((tick, number, place, port, message))
    program: defaultdict[tuple[int, int], int] = defaultdict(int)
    sounding: dict[tuple[int, int, int], tuple[int, int, int]] = {}
    heard: list[Row] = []
    for tick, _, _, port, message in sorted(events, key=lambda event: event[:3]):
        if message.type == "program_change":
            program[port, message.channel] = message.program
        if message.type not in ("note_on", "note_off"):
            continue
        key = (port, message.channel, message.note)
        if key in sounding:
            onset, velocity, number = sounding.pop(key)
            is_drum = message.channel == 9
            heard.append((onset, tick - onset, message.note, velocity, 0 if is_drum else number, is_drum))
        if message.type == "note_on":
            sounding[key] = (tick, message.velocity, program[port, message.channel])
    assert not sounding
    return sorted(heard)


def miditoolkit_reads(data: bytes) -> list[Row]:
    midi = miditoolkit.MidiFile(file=io.BytesIO(data))
    return sorted(
        (note.start, note.end - note.start, note.pitch, note.velocity, track.program, track.is_drum)
        for track in midi.instruments
        for note in track.notes
    )


def symusic_reads(data: bytes) -> list[Row]:
    symusic = pytest.importorskip("symusic")
    return sorted(
        (note.time, note.duration, note.pitch, note.velocity, track.program, track.is_drum)
        for track in symusic.Score.from_midi(data).tracks
        for note in track.notes
    )


def some_rows(num_programs: int, max_tick: int, max_size: int) -> st.SearchStrategy[list[Row]]:
    instrument = st.tuples(st.integers(0, num_programs - 1), st.just(False)) | st.just((0, True))
    row = st.builds(
        lambda onset, duration, pitch, velocity, instrument: (onset, duration, pitch, velocity, *instrument),
        *(st.integers(0, max_tick), st.integers(1, 60), st.integers(60, 62), st.integers(1, 127)),
        instrument,
    )
    return st.lists(row, min_size=1, max_size=max_size)


@given(some_rows(3, 100, 40))
@fast
def test_notes_that_overlap_come_back_as_they_were_written(tmp_path: Path, rows: list[Row]) -> None:
    data = written(piece_of(rows), tmp_path)
    expected = struck_once(rows)
    assert rows_of(read_midi(tmp_path / "piece.mid")) == expected
    assert read_midi(tmp_path / "piece.mid").remarks == ()
    assert miditoolkit_reads(data) == symusic_reads(data) == played(data) == expected


@given(some_rows(40, 1500, 120))
@fast
def test_many_instruments_come_back_whatever_channels_they_share(tmp_path: Path, rows: list[Row]) -> None:
    data = written(piece_of(rows), tmp_path)
    expected = struck_once(rows)
    assert rows_of(read_midi(tmp_path / "piece.mid")) == expected
    assert miditoolkit_reads(data) == symusic_reads(data) == played(data) == expected


def test_all_instruments_in_turn_need_one_port(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [(100 * i, 90, 60, 80, i % 128, False) for i in range(300)]
    data = written(piece_of(rows), tmp_path)
    assert b"\xff\x21" not in data
    assert played(data) == rows_of(read_midi(tmp_path / "piece.mid")) == sorted(rows)
    assert not caplog.records


def test_more_instruments_at_one_time_than_channels_take_ports_and_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [(0, 480, 60 + i % 3, 80, i, False) for i in range(128)] + [(0, 96, 36, 80, 0, True)]
    data = written(piece_of(rows), tmp_path)
    assert played(data) == rows_of(read_midi(tmp_path / "piece.mid")) == sorted(rows)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "more than 15 instruments sound at one time" in caplog.text
    assert "9 ports" in caplog.text


def test_fifteen_instruments_have_a_channel_each(tmp_path: Path) -> None:
    rows = [(10 * i, 480, 60, 80, i, False) for i in range(15)]
    midi = mido.MidiFile(file=io.BytesIO(written(piece_of(rows), tmp_path)))
    channels = [{message.channel for message in track if not message.is_meta} for track in midi.tracks[1:]]
    assert channels == [{channel} for channel in range(16) if channel != 9]
    assert all(track[1].type == "program_change" and track[1].time == 0 for track in midi.tracks[1:])


def test_a_pitch_struck_while_it_sounds_ends_there(tmp_path: Path) -> None:
    rows = [(0, 480, 60, 80, 0, False), (96, 96, 60, 70, 0, False)]
    data = written(piece_of(rows), tmp_path)
    assert played(data) == [(0, 96, 60, 80, 0, False), (96, 96, 60, 70, 0, False)]


def test_a_piece_of_many_notes_is_written_in_time(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    onset = np.arange(20_000) * 10
    piece = Piece.from_notes(
        onset, random.integers(1, 300, 20_000), random.integers(30, 90, 20_000), program=onset // 10 % 60
    )
    write_midi(piece, tmp_path / "piece.mid")
    assert rows_of(read_midi(tmp_path / "piece.mid"))


def test_tracks_are_named_as_general_midi_does_and_a_key_is_signed(tmp_path: Path) -> None:
    piece = piece_of([(0, 10, 60, 80, 0, False), (0, 10, 62, 80, 40, False), (0, 10, 36, 80, 0, True)])
    write_midi(piece, tmp_path / "a.mid", key=Key(-3, True))
    conductor, *tracks = mido.MidiFile(tmp_path / "a.mid").tracks
    assert [track.name for track in tracks] == ["Acoustic Grand Piano", "Violin", "Drums"]
    assert [message.key for message in conductor if message.type == "key_signature"] == ["Cm"]
    assert {message.channel for message in tracks[2] if message.type == "note_on"} == {9}
