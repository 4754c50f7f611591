"""The compiled reader of events gives what the plain loop gives, or leaves the file to it."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

import hostile_files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noternn.music import midi_parser
from noternn.music.limits import DEFAULT_LIMITS, Limits
from noternn.music.midi_events import TrackEvents, read_tracks
from noternn.music.midi_parser import parse_midi, scan, track_spans
from noternn.music.piece import PieceError

NOTTINGHAM = Path(__file__).parents[3] / "shared" / "data" / "nottingham_midi"
needs_compiled = pytest.mark.skipif(midi_parser.midi_scan is None, reason="midi_scan.c was not compiled")
NOTE = b"\x00\x90\x3c\x50" + b"\x60\x80\x3c\x00"


def content(events: TrackEvents) -> tuple[object, ...]:
    arrays = events.notes.tolist(), events.causes.tolist(), events.strays.tolist()
    lists = events.tracks, events.programs, events.kits, events.silences, events.pedals
    return *arrays, *lists, events.tempos, events.metres, events.num_unusual, events.max_port


def is_scanned(data: bytes, spans: list[tuple[int, int]], limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether the compiled reader reads the tracks: exactly those that the loop reads, and to the same."""
    scanned = scan(data, spans, limits)
    try:
        expected = read_tracks(data, spans, limits)
    except PieceError:
        assert scanned is None
        return False
    assert scanned is not None
    assert content(scanned) == content(expected)
    return True


def is_scanned_alone(track: bytes, limits: Limits = DEFAULT_LIMITS) -> bool:
    return is_scanned(track, [(0, len(track))], limits)


def spans_of(data: bytes) -> list[tuple[int, int]]:
    """The tracks of a file; none where it has no header or is cut."""
    if not data.startswith(b"MThd") or len(data) < 14:
        return []
    try:
        return list(track_spans(data, struct.unpack(">H", data[10:12])[0], DEFAULT_LIMITS))
    except PieceError:
        return []


@needs_compiled
def test_every_labelled_file_is_read_alike_or_left_to_the_loop() -> None:
    every = (file.make() for file in hostile_files.all_files())
    whole = [data for data in every if len(data) < 300_000 and spans_of(data)]
    assert sum(is_scanned(data, spans_of(data)) for data in whole) > 200


@needs_compiled
def test_mutants_are_read_alike_or_left_to_the_loop() -> None:
    random = Random(0)
    seeds = [data for file in hostile_files.all_files() if 14 < len(data := file.make()) < 2000]
    mutants = [hostile_files.mutant(random.choice(seeds), random) for _ in range(2000)]
    assert sum(is_scanned(data, spans_of(data)) for data in mutants) > 100


@needs_compiled
def test_a_track_that_is_cut_anywhere_is_read_alike_or_left_to_the_loop() -> None:
    track = NOTE + b"\x00\xff\x51\x03\x07\x00\x00\x83\x00\xff\x58\x04\x03\x02\x18\x08"
    track += b"\x00\xf2\x01\x02\x00\xc0\x05\x00\xf0\x03\x01\x02\xf7\x00\xb0\x40\x7f" + NOTE
    whole = [is_scanned_alone(track[:end]) for end in range(len(track) + 1)]
    assert 1 < sum(whole) < len(whole)


@needs_compiled
@pytest.mark.parametrize("byte", range(256))
def test_every_status_and_data_byte_is_read_alike_or_left_to_the_loop(byte: int) -> None:
    for place in range(len(NOTE)):
        is_scanned_alone(NOTE[:place] + bytes([byte]) + NOTE[place + 1 :] + NOTE)
    is_scanned_alone(NOTE + bytes([0, byte, 1, 1]) + NOTE)
    is_scanned_alone(NOTE + bytes([0, 0xFF, byte, 4, 1, byte, 1, 1]) + NOTE)
    is_scanned_alone(b"\x00\x90\x3c\x50" + bytes([1, 0xB0, byte, 1]) + NOTE)


@needs_compiled
@pytest.mark.parametrize("byte", [*range(0, 256, 16), *range(1, 16), 0x41, 0x42, 0x43, 0x4C, 0x7E, 0x7F])
def test_messages_on_drum_kits_are_kept_alike_whatever_byte_is_changed(byte: int) -> None:
    for message in KIT_MESSAGES:
        for place in range(len(message)):
            changed = message[:place] + bytes([byte]) + message[place + 1 :]
            for status, prefix in ((0xF0, b""), (0xF7, b"\xf0"), (0xF7, b"")):
                data = prefix + changed
                assert is_scanned_alone(NOTE + bytes([0, status, len(data)]) + data + NOTE)
            assert is_scanned_alone(NOTE + bytes([0, 0xF0, place]) + message[:place] + NOTE)


@needs_compiled
def test_nottingham_tunes_are_all_read_at_once() -> None:
    files = [path.read_bytes() for path in sorted(NOTTINGHAM.glob("*.mid"))]
    if not files:
        pytest.skip(f"the Nottingham tunes are not at {NOTTINGHAM}")
    assert all(is_scanned(data, spans_of(data)) for data in files)


def quantity(value: int) -> bytes:
    found = [value & 0x7F]
    while value := value >> 7:
        found.append(value & 0x7F | 0x80)
    return bytes(reversed(found))


KIT_MESSAGES = [
    *(hostile_files.GM_ON, hostile_files.GM2_ON, hostile_files.GS_RESET, hostile_files.XG_ON),
    *(hostile_files.gs_part(1, 1), hostile_files.xg_part(1, 2)),
]
data_byte = st.integers(0, 127)
notes = st.tuples(st.sampled_from([0x80, 0x90, 0x91]), st.integers(60, 62), st.sampled_from([0, 1, 90]))
others = st.one_of(
    st.tuples(st.sampled_from([0xB0, 0xE1]), st.sampled_from([0, 1, 64, 120, 121, 123, 127]), data_byte),
    st.tuples(st.sampled_from([0xC0, 0xC1, 0xD0]), data_byte),
    st.tuples(st.just(0xFF), st.just(0x21), st.just(1), st.sampled_from([0, 1, 200])),
    st.sampled_from([(0xF0, len(message), *message) for message in KIT_MESSAGES]),
    st.sampled_from([(0xF0, 2, 0x90, 0xF7), (0xFF, 0x51, 3, 7, 0, 0), (0xFF, 0x58, 4, 3, 2, 24, 8)]),
    st.just((0xFF, 0x01, 0x81, 0x00, *[0x90] * 128)),  # a text whose length takes two bytes
)
delta = st.sampled_from([0, 1, 96, 128, 20_000, 2_097_152, 2**34])


@needs_compiled
@given(
    st.lists(st.lists(st.tuples(delta, notes | others), max_size=30), min_size=1, max_size=3), st.booleans()
)
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_sound_tracks_are_read_at_once(
    tracks: list[list[tuple[int, tuple[int, ...]]]], runs_on: bool
) -> None:
    data, spans = b"", []
    for events in tracks:
        begin, status = len(data), 0
        for time, (first, *rest) in events:
            is_implied = runs_on and first == status
            data += quantity(time) + (b"" if is_implied else bytes([first])) + bytes(rest)
            status = first if first < 0xF0 else status
        data += b"\x00\xff\x2f\x00"
        spans.append((begin, len(data)))
    assert is_scanned(data, spans)


@needs_compiled
@pytest.mark.parametrize(
    ("track", "name", "most"),
    [
        (NOTE * 3, "max_notes", 3),
        (NOTE * 3, "max_events", 7),
        (b"\x00\xc0\x05\x00\xc0\x06\x00\xc0\x06", "max_changes", 2),
        (b"\x00\xff\x51\x03\x07\x00\x00" * 2, "max_changes", 2),
        (b"\x00\xff\x58\x04\x03\x02\x18\x08" * 2, "max_changes", 2),
    ],
)
def test_a_limit_is_where_the_loop_has_it(track: bytes, name: str, most: int) -> None:
    data, spans = track + track, [(0, len(track)), (len(track), 2 * len(track))]
    assert is_scanned_alone(track, Limits(**{name: most}))
    assert not is_scanned_alone(track, Limits(**{name: most - 1}))
    assert not is_scanned(data, spans, Limits(**{name: most}))  # of all tracks together
    assert not is_scanned_alone(track, Limits(**{name: 0}))


@needs_compiled
def test_a_time_of_five_bytes_is_read_and_one_of_six_left_to_the_loop() -> None:
    track = b"\xff\xff\xff\xff\x7f\x90\x3c\x50" + b"\xff\xff\xff\xff\x7f\x3c\x00"
    assert is_scanned_alone(track)
    assert not is_scanned_alone(b"\xff\xff\xff\xff\xff\x7f\x90\x3c\x50")


@needs_compiled
@pytest.mark.parametrize("span", [(-1, 4), (0, 9), (5, 4), (0, 2**70)])
def test_a_span_outside_the_data_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises((ValueError, OverflowError)):
        scan(NOTE, [span], DEFAULT_LIMITS)


def test_without_the_compiled_reader_a_file_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [file.make() for file in hostile_files.all_files() if file.kind == "odd"]
    compiled = [parse_midi(data) for data in files]
    monkeypatch.setattr(midi_parser, "midi_scan", None)
    for data, one in zip(files, compiled, strict=True):
        other = parse_midi(data)
        assert one.notes.tolist() == other.notes.tolist()
        assert (one.ticks_per_beat, one.tempos, one.metres) == (
            other.ticks_per_beat,
            other.tempos,
            other.metres,
        )
