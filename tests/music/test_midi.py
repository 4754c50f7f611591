"""Reading and writing MIDI files."""

from __future__ import annotations

import dataclasses
import os
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noternn.music.limits import DEFAULT_LIMITS, Limits
from noternn.music.midi import read_midi, write_midi
from noternn.music.piece import Piece, PieceError

NOTTINGHAM = Path(__file__).parents[3] / "shared" / "data" / "nottingham_midi"
END_OF_TRACK = b"\x00\xff\x2f\x00"
ONE_NOTE = b"\x00\x90\x3c\x50\x60\x80\x3c\x00"  # middle C for 96 ticks


def header(midi_format: int = 0, num_tracks: int = 1, division: int = 96) -> bytes:
    return b"MThd" + struct.pack(">LHHH", 6, midi_format, num_tracks, division)


def track(events: bytes) -> bytes:
    data = events + END_OF_TRACK
    return b"MTrk" + struct.pack(">L", len(data)) + data


def read_bytes(folder: Path, data: bytes, **options: Any) -> Piece:
    path = folder / "piece.mid"
    path.write_bytes(data)
    return read_midi(path, **options)


def note_rows(piece: Piece) -> list[list[int]]:
    columns = (piece.onset, piece.duration, piece.pitch, piece.velocity, piece.program, piece.is_drum)
    rows: list[list[int]] = np.stack(columns, axis=1).tolist()
    return rows


def assert_same_music(first: Piece, second: Piece) -> None:
    assert note_rows(first) == note_rows(second)
    assert first.ticks_per_beat == second.ticks_per_beat
    assert first.tempos == second.tempos
    assert first.metres == second.metres


@st.composite
def voices(draw: st.DrawFn) -> list[tuple[int, int, int, int, int, bool]]:
    """Notes of some instruments and pitches; equal pitches of one instrument do not overlap."""
    instrument = st.one_of(st.tuples(st.integers(0, 127), st.just(False)), st.just((0, True)))
    keys = draw(st.lists(st.tuples(instrument, st.integers(0, 127)), min_size=1, max_size=8, unique=True))
    notes = []
    for (program, is_drum), pitch in keys:
        steps = st.tuples(st.integers(0, 2000), st.integers(1, 2000), st.integers(1, 127))
        tick = 0
        for rest, duration, velocity in draw(st.lists(steps, min_size=1, max_size=6)):
            notes.append((tick + rest, duration, pitch, velocity, program, is_drum))
            tick += rest + duration
    return notes


def tempo_maps() -> st.SearchStrategy[list[tuple[int, float]]]:
    """Tempos that are whole microseconds a beat, as MIDI holds them, each another than the one before."""
    beats = st.integers(1, 0xFFFFFF).map(lambda microseconds: 60e6 / microseconds)
    later = st.dictionaries(st.integers(1, 20_000), beats, max_size=4)
    maps = st.builds(lambda first, rest: sorted({0: first, **rest}.items()), beats, later)
    return maps.filter(lambda tempos: all(a[1] != b[1] for a, b in pairwise(tempos)))


def metre_maps() -> st.SearchStrategy[list[tuple[int, int, int]]]:
    metre = st.tuples(st.integers(1, 255), st.sampled_from([1, 2, 4, 8, 16, 32]))
    later = st.dictionaries(st.integers(1, 20_000), metre, max_size=4)
    return st.builds(
        lambda first, rest: [(tick, *metre) for tick, metre in sorted({0: first, **rest}.items())],
        metre,
        later,
    )


@given(voices(), tempo_maps(), metre_maps(), st.integers(1, 0x7FFF))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reading_undoes_writing(
    tmp_path: Path,
    notes: list[tuple[int, int, int, int, int, bool]],
    tempos: list[tuple[int, float]],
    metres: list[tuple[int, int, int]],
    ticks_per_beat: int,
) -> None:
    onset, duration, pitch, velocity, program, is_drum = zip(*notes, strict=True)
    piece = Piece.from_notes(
        onset,
        duration,
        pitch,
        velocity=velocity,
        program=program,
        is_drum=is_drum,
        ticks_per_beat=ticks_per_beat,
        tempos=tempos,
        metres=metres,
    )
    write_midi(piece, tmp_path / "piece.mid")
    assert_same_music(read_midi(tmp_path / "piece.mid"), piece)


def test_drums_keep_their_flag_beside_a_piano_of_the_same_program(tmp_path: Path) -> None:
    piece = Piece.from_notes([0, 0], [240, 240], [38, 60], is_drum=[True, False])
    write_midi(piece, tmp_path / "piece.mid")
    again = read_midi(tmp_path / "piece.mid")
    assert dict(zip(again.pitch.tolist(), again.is_drum.tolist(), strict=True)) == {60: False, 38: True}


def test_a_drum_kit_has_program_0(tmp_path: Path) -> None:
    events = b"\x00\xc9\x19" + b"\x00\x99\x24\x50\x60\x89\x24\x00"
    piece = read_bytes(tmp_path, header() + track(events))
    assert (piece.program.tolist(), piece.is_drum.tolist()) == ([0], [True])


def test_velocities_and_programs_are_read_from_every_track(tmp_path: Path) -> None:
    violin = b"\x00\xc0\x28" + b"\x00\x90\x45\x21\x60\x80\x45\x00"
    bass = b"\x00\xc1\x20" + b"\x00\x91\x24\x6f\x60\x81\x24\x00"
    piece = read_bytes(tmp_path, header(1, 2) + track(violin) + track(bass))
    assert note_rows(piece) == [[0, 96, 36, 111, 32, False], [0, 96, 69, 33, 40, False]]


def test_more_than_fifteen_programs_stay_apart(tmp_path: Path) -> None:
    piece = Piece.from_notes([0] * 40, 480, 60, program=range(40), metres=[(0, 4, 4)])
    write_midi(piece, tmp_path / "piece.mid")
    assert_same_music(read_midi(tmp_path / "piece.mid"), piece)


def test_tempo_map_is_read(tmp_path: Path) -> None:
    events = b"\x00\xff\x51\x03\x0f\x42\x40" + ONE_NOTE + b"\x00\xff\x51\x03\x07\xa1\x20"
    assert read_bytes(tmp_path, header() + track(events)).tempos == ((0, 60.0), (96, 120.0))


def test_tempos_of_several_tracks_are_in_time_order(tmp_path: Path) -> None:
    late = b"\x81\x00\xff\x51\x03\x0f\x42\x40"
    early = ONE_NOTE + b"\x00\xff\x51\x03\x04\x93\xe0"
    piece = read_bytes(tmp_path, header(1, 2) + track(late) + track(early))
    assert piece.tempos == ((0, 120.0), (96, 200.0), (128, 60.0))


def test_a_file_without_tempo_and_metre_has_120_beats_a_minute_and_no_metre(tmp_path: Path) -> None:
    piece = read_bytes(tmp_path, header() + track(ONE_NOTE))
    assert (piece.tempos, piece.metres) == (((0, 120.0),), ())


def test_metre_map_is_read(tmp_path: Path) -> None:
    events = b"\x00\xff\x58\x04\x06\x03\x18\x08" + ONE_NOTE
    assert read_bytes(tmp_path, header() + track(events)).metres == ((0, 6, 8),)


def test_a_piece_without_metre_is_written_as_four_four(tmp_path: Path) -> None:
    write_midi(Piece.from_notes([0], [480], [60]), tmp_path / "piece.mid")
    assert read_midi(tmp_path / "piece.mid").metres == ((0, 4, 4),)


def test_note_on_of_velocity_0_ends_a_note(tmp_path: Path) -> None:
    piece = read_bytes(tmp_path, header() + track(b"\x00\x90\x3c\x50\x60\x90\x3c\x00"))
    assert note_rows(piece) == [[0, 96, 60, 80, 0, False]]


def test_notes_of_length_0_are_dropped(tmp_path: Path) -> None:
    piece = read_bytes(tmp_path, header() + track(b"\x00\x90\x40\x50\x00\x80\x40\x00" + ONE_NOTE))
    assert piece.pitch.tolist() == [60]


def test_the_loudest_of_equal_notes_is_kept(tmp_path: Path) -> None:
    loud = b"\x00\x90\x3c\x70\x60\x80\x3c\x00"
    piece = read_bytes(tmp_path, header(1, 3) + track(ONE_NOTE) + track(loud) + track(ONE_NOTE))
    assert note_rows(piece) == [[0, 96, 60, 0x70, 0, False]]


def test_notes_of_unequal_length_are_all_kept(tmp_path: Path) -> None:
    longer = b"\x00\x90\x3c\x50\x70\x80\x3c\x00"
    assert read_bytes(tmp_path, header(1, 2) + track(ONE_NOTE) + track(longer)).duration.tolist() == [96, 112]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(b"\x00\xff\x59\x02\x09\x07", id="key signature"),
        pytest.param(b"\x00\xff\x59\x00", id="empty key signature"),
        pytest.param(b"\x00\xff\x54\x05\xff\xff\xff\xff\xff", id="film offset"),
    ],
)
def test_a_broken_event_that_holds_no_music_does_not_lose_the_music(tmp_path: Path, event: bytes) -> None:
    assert read_bytes(tmp_path, header() + track(event + ONE_NOTE)).num_notes == 1


def test_a_meta_event_of_unknown_type_takes_its_time(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, header() + track(b"\x30\xff\x4b\x01\x00" + ONE_NOTE)).onset.tolist() == [48]


def test_the_name_is_that_of_the_file_or_as_given(tmp_path: Path) -> None:
    write_midi(Piece.from_notes([0], [480], [60]), tmp_path / "bwv10.7.mid")
    assert read_midi(tmp_path / "bwv10.7.mid").name == "bwv10.7"
    assert read_midi(tmp_path / "bwv10.7.mid", "Bach").name == "Bach"


BROKEN = {
    "empty": (b"", "file is empty"),
    "text": (b"hello, this is text", "not a MIDI file (does not begin with MThd)"),
    "half a header": (header()[:10], "ends in the middle of the header"),
    "format 2": (header(2) + track(ONE_NOTE), "independent sequences (MIDI format 2)"),
    "format 7": (header(7) + track(ONE_NOTE), "there is no MIDI format 7"),
    "division 0": (header(division=0) + track(ONE_NOTE), "its beat has 0 ticks"),
    "film frames": (header(division=0xEE28) + track(ONE_NOTE), "film frames (SMPTE), but in 18 a second"),
    "cut": ((header() + track(ONE_NOTE))[:-6], "ends in the middle of a track"),
    "missing track": (header(1, 2) + track(ONE_NOTE), "ends in the middle of a track"),
    "no track header": (header() + b"XTrk" + track(ONE_NOTE)[4:], "no MTrk header"),
    "no tracks": (header(1, 0), "holds no tracks"),
    "no notes": (header() + track(b""), "holds no notes"),
    "a note without end": (header() + track(b"\x00\x90\x3c\x50"), "holds no notes"),
    "tempo 0": (header() + track(b"\x00\xff\x51\x03\x00\x00\x00" + ONE_NOTE), "tempo without duration"),
    "empty tempo": (header() + track(b"\x00\xff\x51\x00" + ONE_NOTE), "an event or a track cannot be read"),
    "metre 0/4": (
        header() + track(b"\x00\xff\x58\x04\x00\x02\x18\x08" + ONE_NOTE),
        "an event or a track cannot be read",
    ),
    "data byte": (header() + track(b"\x00\x90\xbc\x50"), "data byte must be in range"),
    "late": (
        header() + track(b"\xff\xff\xff\xff\x7f\x90\x3c\x50\x60\x80\x3c\x00"),
        "it lasts 357,913,942 beats",
    ),
}


@pytest.mark.parametrize(("data", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_refused_with_the_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(PieceError) as caught:
        read_bytes(tmp_path, data)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PieceError, match="cannot be opened: No such file"):
        read_midi(tmp_path / "missing.mid")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PieceError, match="is a folder"):
        read_midi(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes exist on POSIX only")
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mid")
    with pytest.raises(PieceError, match="is not a regular file"):
        read_midi(tmp_path / "pipe.mid")


def test_a_file_above_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.mid"
    with path.open("wb") as file:
        file.truncate(DEFAULT_LIMITS.max_bytes + 1)
    with pytest.raises(PieceError, match="at most 20 MB"):
        read_midi(path)


SECOND_NOTE = b"\x00\x90\x40\x50\x60\x80\x40\x00"  # E for 96 ticks

BEYOND_LIMITS = {
    "max_megabytes": (header() + track(ONE_NOTE), Limits(max_megabytes=0.00002), "at most 2e-05 MB"),
    "max_tracks": (
        header(1, 2) + 2 * track(ONE_NOTE),
        Limits(max_tracks=1),
        "too many tracks: 2; at most 1 ",
    ),
    "max_notes": (header() + track(2 * ONE_NOTE), Limits(max_notes=1), "too many notes: more than 1,"),
    "max_events": (header() + track(ONE_NOTE), Limits(max_events=2), "too many events: more than 2,"),
    "max_changes": (
        header() + track(b"\x00\xc0\x05\x00\xc0\x06" + ONE_NOTE),
        Limits(max_changes=1),
        "too many changes of program: more than 1,",
    ),
    "max_beats": (header() + track(2 * ONE_NOTE), Limits(max_beats=1), "it lasts 2 beats; at most 1 "),
    "max_sounding_beats": (
        header() + track(ONE_NOTE + SECOND_NOTE),
        Limits(max_sounding_beats=1),
        "last 2 beats together; at most 1 ",
    ),
}


@pytest.mark.parametrize("setting", BEYOND_LIMITS)
def test_a_file_beyond_a_limit_is_refused_with_the_name_of_the_setting(tmp_path: Path, setting: str) -> None:
    data, limits, reason = BEYOND_LIMITS[setting]
    with pytest.raises(PieceError, match=reason) as caught:
        read_bytes(tmp_path, data, limits=limits)
    assert f"(dataset.limits.{setting})" in str(caught.value)
    assert read_bytes(tmp_path, data).num_notes > 0


def test_every_limit_is_tested() -> None:
    in_processes = {"max_seconds"}  # see test_workers.py
    assert BEYOND_LIMITS.keys() | in_processes == {field.name for field in dataclasses.fields(Limits)}


DOWN, UP = b"\xb0\x40\x40", b"\xb0\x40\x3f"  # the pedal, at the values where it turns

PEDALED = {  # events -> onset, duration, pitch of the notes
    "held until the pedal goes up": (b"\x00" + DOWN + ONE_NOTE + b"\x30" + UP, [(0, 144, 60)]),
    "up before the end": (b"\x00" + DOWN + b"\x00\x90\x3c\x50\x30" + UP + b"\x30\x80\x3c\x00", [(0, 96, 60)]),
    "down after the end": (ONE_NOTE + b"\x01" + DOWN + b"\x30" + UP, [(0, 96, 60)]),
    "down at the end": (ONE_NOTE + b"\x00" + DOWN + b"\x30" + UP, [(0, 144, 60)]),
    "up at the end": (b"\x00" + DOWN + ONE_NOTE + b"\x00" + UP, [(0, 96, 60)]),
    "up and down again": (
        b"\x00" + DOWN + ONE_NOTE + b"\x30" + UP + b"\x00" + DOWN + b"\x30" + UP,
        [(0, 144, 60)],
    ),
    "the pitch struck again": (
        b"\x00" + DOWN + ONE_NOTE + b"\x10" + ONE_NOTE[1:] + b"\x30" + UP,
        [(0, 112, 60), (112, 144, 60)],
    ),
    "another pitch struck": (
        b"\x00" + DOWN + ONE_NOTE + SECOND_NOTE + b"\x30" + UP,
        [(0, 240, 60), (96, 144, 64)],
    ),
    "never up: until the piece ends": (b"\x00" + DOWN + ONE_NOTE + SECOND_NOTE, [(0, 192, 60), (96, 96, 64)]),
    "another channel's pedal": (b"\x00\xb1\x40\x40" + ONE_NOTE + SECOND_NOTE, [(0, 96, 60), (96, 96, 64)]),
    "another program's note": (
        b"\x00" + DOWN + ONE_NOTE + b"\x00\xc0\x05" + ONE_NOTE + b"\x30" + UP,
        [(0, 240, 60), (96, 144, 60)],
    ),
    "another controller": (b"\x00\xb0\x42\x40" + ONE_NOTE + SECOND_NOTE, [(0, 96, 60), (96, 96, 64)]),
}


@pytest.mark.parametrize("case", PEDALED)
def test_the_pedal_holds_notes_where_asked_for(tmp_path: Path, case: str) -> None:
    events, notes = PEDALED[case]
    piece = read_bytes(tmp_path, header() + track(events), pedal=True)
    rows = zip(piece.onset.tolist(), piece.duration.tolist(), piece.pitch.tolist(), strict=True)
    assert sorted(rows) == sorted(notes)


def test_the_pedal_may_lie_in_another_track(tmp_path: Path) -> None:
    pedal = track(b"\x00" + DOWN + b"\x81\x10" + UP)
    assert read_bytes(tmp_path, header(1, 2) + track(ONE_NOTE) + pedal, pedal=True).duration.tolist() == [144]


def test_the_pedal_is_passed_over_where_not_asked_for(tmp_path: Path) -> None:
    events = b"\x00" + DOWN + ONE_NOTE + b"\x30" + UP
    assert read_bytes(tmp_path, header() + track(events)).duration.tolist() == [96]


def test_pedals_are_scaled_with_the_ticks_of_film_time(tmp_path: Path) -> None:
    data = header(division=0xE701) + track(b"\x00" + DOWN + ONE_NOTE + b"\x30" + UP)  # 25 ticks a second
    piece = read_bytes(tmp_path, data, pedal=True)
    assert piece.seconds(piece.duration).tolist() == [144 / 25]


def test_notes_held_by_the_pedal_are_bounded(tmp_path: Path) -> None:
    events = b"\x00" + DOWN + ONE_NOTE + b"\xff\xff\xff\x7f" + UP
    with pytest.raises(PieceError, match="at most 100,000 are read"):
        read_bytes(tmp_path, header() + track(events), pedal=True)


@given(st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_gives_a_piece_or_a_piece_error(tmp_path: Path, place: int, value: int) -> None:
    data = bytearray(header(1, 2) + track(b"\x00\xff\x51\x03\x0f\x42\x40\x00\xff\x59\x02\x00\x00"))
    data += track(b"\x00\xc0\x28" + 4 * ONE_NOTE)
    data[place % len(data)] = value
    try:
        piece = read_bytes(tmp_path, bytes(data))
    except PieceError:
        return
    assert piece.num_notes > 0


def test_equal_pieces_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.mid", "b.mid"):
        write_midi(Piece.from_notes([0, 480, 0], 480, [60, 64, 36], is_drum=[0, 0, 1]), tmp_path / name)
    assert (tmp_path / "a.mid").read_bytes() == (tmp_path / "b.mid").read_bytes()


def test_writing_makes_folders_and_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    write_midi(Piece.from_notes([0], [480], [60]), tmp_path / "new" / "folder" / "piece.mid")
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["piece.mid"]


def test_a_piece_without_notes_can_be_written(tmp_path: Path) -> None:
    write_midi(Piece.from_notes([], [], []), tmp_path / "empty.mid")
    with pytest.raises(PieceError, match="holds no notes"):
        read_midi(tmp_path / "empty.mid")


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(Piece.from_notes([0], [1], [60], tempos=[(0, 3.0)]), id="slow"),
        pytest.param(Piece.from_notes([0], [1], [60], metres=[(0, 4, 3)]), id="thirds"),
        pytest.param(Piece.from_notes([0], [1], [60], ticks_per_beat=40_000), id="fine"),
    ],
)
def test_what_midi_cannot_hold_is_refused_and_the_old_file_stays(tmp_path: Path, piece: Piece) -> None:
    (tmp_path / "piece.mid").write_bytes(b"old")
    with pytest.raises(ValueError, match="must be"):
        write_midi(piece, tmp_path / "piece.mid")
    assert (tmp_path / "piece.mid").read_bytes() == b"old"


def test_nottingham_files_survive_reading_writing_and_reading(tmp_path: Path) -> None:
    paths = sorted(NOTTINGHAM.glob("*.mid"))[:60]
    if not paths:
        pytest.skip(f"the Nottingham tunes are not at {NOTTINGHAM}")
    for path in paths:
        piece = read_midi(path)
        write_midi(piece, tmp_path / "again.mid")
        assert_same_music(read_midi(tmp_path / "again.mid"), piece)
