"""What ends a note that no note-off ends, and what is said of it; the notes are in `hostile_files`."""

from __future__ import annotations

import pytest
from hostile_files import END_OF_TRACK, note, off, on, one_track, track, tracks
from hypothesis import given
from hypothesis import strategies as st

from noternn.music.midi_endings import pair
from noternn.music.midi_parser import parse_midi

SILENCE = b"\x30\xb0\x7b\x00"
SAID = {
    "nothing where every note has its note-off": (one_track(note() + note(64)), []),
    "a hit of no length is kept": (one_track(note(36, 9, duration=0)), []),
    "a note of no length": (
        one_track(note() + 2 * note(70, duration=0)),
        ["2 notes of no length dropped (first: track 1, beat 2)"],
    ),
    "a second strike": (
        tracks(b"", note(), on(60, 96) + on(60, 96) + off(60)),
        ["1 notes ended by a second strike of their key (first: track 3, beat 2)"],
    ),
    "All Notes Off": (
        one_track(on(60) + on(64) + SILENCE + note(67)),
        ["2 notes ended by All Notes Off (first: track 1, beat 1)"],
    ),
    "the end": (
        one_track(on(60) + note(64) + note(64)),
        ["1 notes ended by the end of the file (first: track 1, beat 1)"],
    ),
    "an end in another track": (tracks(on(60), off(60)), []),
    "two kinds": (
        one_track(note(70, duration=0) + on(60) + on(60, 96) + off(60)),
        [
            "1 notes of no length dropped (first: track 1, beat 1)",
            "1 notes ended by a second strike of their key (first: track 1, beat 1)",
        ],
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_what_was_dropped_or_ended_otherwise_is_counted_with_its_place(case: str) -> None:
    data, remarks = SAID[case]
    assert [str(remark) for remark in parse_midi(data).remarks] == remarks


def test_a_place_counts_beats_of_film_time() -> None:
    data = b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\xe7\x01"  # 25 ticks a second, 12.5 a beat of the parser
    data += track(on(60, 25) + off(64, 50), END_OF_TRACK)
    assert [remark.first for remark in parse_midi(data).remarks] == ["track 1, beat 3"]


def test_every_hit_of_a_drum_track_without_lengths_is_kept() -> None:
    hits = b"".join(b"\x18" + note(36 + i % 5, 9, duration=0)[1:] for i in range(1000))
    notes = parse_midi(one_track(hits)).notes
    assert notes.shape[1] == 1000
    assert set(notes[1].tolist()) == {1}
    assert parse_midi(one_track(hits)).remarks == ()


def test_every_hit_of_a_drum_track_that_ends_them_at_once_is_kept() -> None:
    hits = b"".join(on(36, 24, 9) for _ in range(100)) + b"".join(off(36, 0, 9) for _ in range(100))
    assert parse_midi(one_track(hits)).notes.shape[1] == 100


ticks = st.lists(st.integers(0, 12), max_size=8).map(sorted)


@given(ticks, ticks)
def test_a_note_ends_at_a_note_off_after_it_began_or_at_its_own_tick(
    onsets: list[int], offs: list[int]
) -> None:
    ends = pair(onsets, offs)
    used = [end for end in ends if end is not None]
    assert all(end >= onset for onset, end in zip(onsets, ends, strict=True) if end is not None)
    assert len(used) <= len(offs)
    assert all(used.count(end) <= offs.count(end) for end in used)
    assert used == sorted(used)  # the first to begin ends first


@given(ticks)
def test_notes_that_have_a_note_off_each_end_in_order(onsets: list[int]) -> None:
    offs = [onset + 13 for onset in onsets]
    assert pair(onsets, offs) == offs


@given(st.integers(1, 6), st.integers(1, 6))
def test_the_note_off_of_many_strikes_is_that_of_the_last(num_strikes: int, num_notes: int) -> None:
    onsets = list(range(num_strikes)) + [20 + 2 * i for i in range(num_notes - 1)]
    offs = [num_strikes] + [21 + 2 * i for i in range(num_notes - 1)]
    assert pair(onsets, offs) == [None] * (num_strikes - 1) + offs
