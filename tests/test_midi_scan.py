"""Reading all events at once gives what the plain loop gives, or leaves the file to it."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

import hostile_files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noternn.limits import DEFAULT_LIMITS, Limits
from noternn.midi_events import TrackEvents, read_tracks
from noternn.midi_parser import track_spans
from noternn.midi_scan import scan_events
from noternn.piece import PieceError

NOTTINGHAM = Path(__file__).parents[2] / "shared" / "data" / "nottingham_midi"


def content(events: TrackEvents) -> tuple[object, ...]:
    notes = sorted(map(tuple, events.notes.T.tolist()))
    return notes, events.programs, events.pedals, events.tempos, events.metres


def is_scanned(data: bytes, spans: list[tuple[int, int]], limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether the tracks are read at once; what is found must be right."""
    scanned = scan_events(data, spans, limits)
    if scanned is None:
        return False
    assert content(scanned) == content(read_tracks(data, spans, limits))
    return True


def spans_of(data: bytes) -> list[tuple[int, int]]:
    """The tracks of a file; none where it has no header or is cut."""
    if not data.startswith(b"MThd") or len(data) < 14:
        return []
    try:
        return list(track_spans(data, struct.unpack(">H", data[10:12])[0], DEFAULT_LIMITS))
    except PieceError:
        return []


def test_every_labelled_file_is_read_alike_or_left_to_the_loop() -> None:
    whole = [data for file in hostile_files.all_files() if spans_of(data := file.make())]
    assert sum(is_scanned(data, spans_of(data)) for data in whole) > 200


def test_mutants_are_read_alike_or_left_to_the_loop() -> None:
    random = Random(0)
    seeds = [data for file in hostile_files.all_files() if 14 < len(data := file.make()) < 2000]
    mutants = [hostile_files.mutant(random.choice(seeds), random) for _ in range(2000)]
    assert sum(is_scanned(data, spans_of(data)) for data in mutants) > 100


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


data_byte = st.integers(0, 127)
notes = st.tuples(st.sampled_from([0x80, 0x90, 0x91]), st.integers(60, 62), st.sampled_from([0, 1, 90]))
others = st.one_of(
    st.tuples(st.sampled_from([0xB0, 0xE1]), st.sampled_from([1, 64]), data_byte),
    st.tuples(st.sampled_from([0xC0, 0xC1, 0xD0]), data_byte),
    st.sampled_from([(0xF0, 2, 0x90, 0xF7), (0xFF, 0x51, 3, 7, 0, 0), (0xFF, 0x58, 4, 3, 2, 24, 8)]),
    st.just((0xFF, 0x01, 0x81, 0x00, *[0x90] * 128)),  # a text whose length takes two bytes
)
delta = st.sampled_from([0, 1, 96, 128, 20_000, 2_097_152])


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


@pytest.mark.parametrize("limits", [Limits(max_events=3), Limits(max_notes=0), Limits(max_changes=0)])
def test_a_file_beyond_a_limit_is_left_to_the_loop(limits: Limits) -> None:
    data = b"\x00\xc0\x05" + b"\x00\x90\x3c\x50\x60\x80\x3c\x00"
    assert is_scanned(data, [(0, len(data))])
    assert not is_scanned(data, [(0, len(data))], limits)


def test_a_time_of_five_bytes_is_left_to_the_loop() -> None:
    note = b"\x90\x3c\x50\x60\x80\x3c\x00"
    for before in (b"", b"\x00\xc0\x05", b"\x00\xff\x01\x00"):
        for time in (b"\x80\x80\x80\x80\x07", b"\x80\x80\x80\x07"):
            data = before + time + note + time + b"\xc0\x05" + time + b"\x06"
            assert is_scanned(data, [(0, len(data))]) == (len(time) == 4)
