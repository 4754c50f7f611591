"""Pieces: order, ranges, time, keys, and when two are the same music."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noternn.music.piece import Piece, select_tracks

FAST = settings(max_examples=50, deadline=None, derandomize=True, database=None)
STEPS_PER_BEAT = 12  # the grid of music_hash

Note = tuple[int, int, int]  # onset and duration in steps, pitch

note_lists = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 48), st.integers(24, 103)), min_size=1, max_size=12
)


def piece_of(notes: list[Note], ticks_per_step: int = 40, **options: Any) -> Piece:
    onset, duration, pitch = np.array(notes).T
    return Piece.from_notes(
        onset * ticks_per_step,
        duration * ticks_per_step,
        pitch,
        ticks_per_beat=STEPS_PER_BEAT * ticks_per_step,
        **options,
    )


def test_notes_are_sorted_by_onset_then_drums_last_then_program_then_pitch_from_the_top() -> None:
    piece = Piece.from_notes(
        [480, 0, 0, 0, 0],
        240,
        [60, 40, 72, 60, 64],
        program=[0, 0, 5, 0, 0],
        is_drum=[False, True, False, False, False],
    )
    columns = (piece.onset, piece.is_drum, piece.program, piece.pitch)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == [
        (0, False, 0, 64),
        (0, False, 0, 60),
        (0, False, 5, 72),
        (0, True, 0, 40),
        (480, False, 0, 60),
    ]


@FAST
@given(note_lists, st.randoms(use_true_random=False))
def test_order_of_the_given_notes_does_not_matter(notes: list[Note], random: Any) -> None:
    shuffled = random.sample(notes, len(notes))
    first, second = piece_of(notes), piece_of(shuffled)
    for field in ("onset", "duration", "pitch"):
        assert getattr(first, field).tolist() == getattr(second, field).tolist()


def test_scalar_is_repeated_for_every_note() -> None:
    piece = Piece.from_notes([0, 480], 240, [60, 62], velocity=99, program=7)
    assert piece.duration.tolist() == [240, 240]
    assert piece.velocity.tolist() == [99, 99]
    assert piece.program.tolist() == [7, 7]
    assert piece.is_drum.tolist() == [False, False]


@pytest.mark.parametrize(
    ("column", "value", "allowed"),
    [
        ("onset", -1, "at least 0"),
        ("duration", 0, "at least 1"),
        ("pitch", -1, "0 to 127"),
        ("pitch", 128, "0 to 127"),
        ("velocity", 0, "1 to 127"),
        ("velocity", 128, "1 to 127"),
        ("program", -1, "0 to 127"),
        ("program", 128, "0 to 127"),
    ],
)
def test_value_out_of_range_is_refused(column: str, value: int, allowed: str) -> None:
    notes: dict[str, Any] = {"onset": [0, 480], "duration": [240, 240], "pitch": [60, 62]}
    notes |= {column: [60, value]}
    with pytest.raises(ValueError, match=rf"{column} must be {allowed}; got .*{value}"):
        Piece.from_notes(**notes)


@pytest.mark.parametrize("column", ["duration", "pitch", "velocity", "program", "is_drum"])
def test_columns_of_different_length_are_refused(column: str) -> None:
    notes: dict[str, Any] = {"onset": [0, 480], "duration": [240, 240], "pitch": [60, 62]}
    with pytest.raises(ValueError, match="broadcast"):
        Piece.from_notes(**notes | {column: [1, 1, 1]})


def test_piece_without_notes_has_no_length() -> None:
    piece = Piece.from_notes([], [], [])
    assert (piece.num_notes, piece.end, piece.beats, piece.duration_seconds) == (0, 0, 0.0, 0.0)


def test_end_is_where_the_longest_sounding_note_ends() -> None:
    piece = Piece.from_notes([0, 480], [1920, 240], [60, 62])
    assert (piece.end, piece.beats) == (1920, 4.0)


def test_seconds_follow_every_tempo_change() -> None:
    piece = Piece.from_notes([0], [1920], [60], tempos=[(0, 120), (960, 60), (1440, 240)])
    assert piece.seconds(np.array([0, 480, 960, 1200, 1440, 1920])) == pytest.approx(
        [0, 0.5, 1, 1.5, 2, 2.25]
    )
    assert piece.duration_seconds == pytest.approx(2.25)


def slow_seconds(piece: Piece, tick: int) -> float:
    """Sum over the tempo segments before `tick`, one after the other."""
    ends = [start for start, _ in piece.tempos[1:]] + [tick]
    total = 0.0
    for (start, bpm), end in zip(piece.tempos, ends, strict=True):
        total += max(0, min(end, tick) - start) / piece.ticks_per_beat * 60 / bpm
    return total


@FAST
@given(
    st.lists(st.tuples(st.integers(1, 5000), st.floats(20, 300)), max_size=6, unique_by=lambda t: t[0]),
    st.lists(st.integers(0, 6000), min_size=1, max_size=6),
    st.integers(1, 960),
)
def test_seconds_equal_the_sum_over_tempo_segments(
    changes: list[tuple[int, float]], ticks: list[int], ticks_per_beat: int
) -> None:
    tempos = [(0, 100.0), *sorted(changes)]
    piece = Piece.from_notes([0], [1], [60], tempos=tempos, ticks_per_beat=ticks_per_beat)
    assert piece.seconds(np.array(ticks)).tolist() == pytest.approx([slow_seconds(piece, t) for t in ticks])


@FAST
@given(note_lists, st.integers(-24, 24))
def test_transposing_back_gives_the_same_piece(notes: list[Note], semitones: int) -> None:
    piece = piece_of(notes)
    there = piece.transpose(semitones)
    assert (there.pitch - piece.pitch == semitones).all()
    assert there.transpose(-semitones).pitch.tolist() == piece.pitch.tolist()


def test_transposing_leaves_drums_and_all_but_the_pitches() -> None:
    piece = Piece.from_notes([0, 0, 480], 240, [60, 36, 64], is_drum=[False, True, False], velocity=33)
    there = piece.transpose(5)
    assert there.pitch.tolist() == [65, 36, 69]
    for field in dataclasses.fields(Piece):
        if field.name != "pitch":
            assert np.array_equal(getattr(there, field.name), getattr(piece, field.name))


@pytest.mark.parametrize("semitones", [-61, 64])
def test_transposing_out_of_the_midi_range_is_refused(semitones: int) -> None:
    with pytest.raises(ValueError, match=f"transposed by {semitones} must be 0 to 127"):
        Piece.from_notes([0, 480], 240, [60, 64]).transpose(semitones)


@FAST
@given(note_lists, st.integers(0, 5000))
def test_until_keeps_what_sounds_before_a_tick(notes: list[Note], tick: int) -> None:
    piece = piece_of(notes)
    before = piece.until(tick)
    sounding = {
        (t, pitch)
        for onset, duration, pitch in zip(piece.onset, piece.duration, piece.pitch, strict=True)
        for t in range(onset, min(onset + duration, tick))
    }
    assert before.end <= tick
    assert sounding == {
        (t, pitch)
        for onset, duration, pitch in zip(before.onset, before.duration, before.pitch, strict=True)
        for t in range(onset, onset + duration)
    }
    assert before.num_notes == (piece.onset < tick).sum()


def test_until_cuts_the_span_too() -> None:
    piece = Piece.from_notes([0, 480], 480, 60, span=(0, 1920))
    assert piece.until(720).span == (0, 720)
    assert piece.until(720).duration.tolist() == [480, 240]


def test_select_keeps_the_chosen_notes_and_the_maps() -> None:
    piece = Piece.from_notes(
        [0, 480, 960], 240, [60, 62, 64], tempos=[(0, 90)], metres=[(0, 3, 4)], ticks_per_beat=96, name="a"
    )
    part = piece.select(np.array([True, False, True]))
    assert part.pitch.tolist() == [60, 64]
    assert part.onset.tolist() == [0, 960]
    assert (part.tempos, part.metres, part.ticks_per_beat, part.name) == (((0, 90.0),), ((0, 3, 4),), 96, "a")


def test_selecting_nothing_leaves_a_piece_without_notes() -> None:
    piece = Piece.from_notes([0, 480], 240, [60, 62])
    assert piece.select(np.zeros(2, dtype=bool)).num_notes == 0


@FAST
@given(note_lists, st.integers(-24, 24), st.integers(1, 200), st.integers(0, 96))
def test_hash_ignores_key_resolution_and_silence_before_the_start(
    notes: list[Note], semitones: int, ticks_per_step: int, delay: int
) -> None:
    moved = [(onset + delay, duration, pitch + semitones) for onset, duration, pitch in notes]
    assert piece_of(moved, ticks_per_step).music_hash() == piece_of(notes).music_hash()


@pytest.mark.parametrize(
    "difference",
    [
        {"tempos": ((0, 61.5), (960, 200.0))},
        {"metres": ((0, 3, 4),)},
        {"velocity": 5},
        {"program": 40},
        {"name": "another"},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_hash_ignores(difference: dict[str, Any], make_piece: Callable[[int], Piece]) -> None:
    piece = make_piece(0)
    columns = (piece.onset, piece.duration, piece.pitch)
    assert Piece.from_notes(*columns, **difference).music_hash() == piece.music_hash()


@pytest.mark.parametrize("column", ["onset", "duration", "pitch"])
def test_hash_changes_with_one_note(column: str, make_piece: Callable[[int], Piece]) -> None:
    piece = make_piece(0)
    columns = {name: getattr(piece, name).copy() for name in ("onset", "duration", "pitch")}
    columns[column][20] += 40 if column != "pitch" else 1
    assert Piece.from_notes(**columns).music_hash() != piece.music_hash()


def test_hash_changes_with_a_missing_note(make_piece: Callable[[int], Piece]) -> None:
    piece = make_piece(0)
    assert piece.select(np.arange(piece.num_notes) != 20).music_hash() != piece.music_hash()


def test_hash_ignores_drums_beside_other_notes() -> None:
    melody = Piece.from_notes([480, 960], 240, [60, 62])
    with_drums = Piece.from_notes([0, 480, 960], 240, [36, 60, 62], is_drum=[True, False, False])
    assert with_drums.music_hash() == melody.music_hash()


def test_hash_tells_drum_pieces_apart() -> None:
    first = Piece.from_notes([0, 480], 240, [36, 38], is_drum=True)
    second = Piece.from_notes([0, 480], 240, [36, 40], is_drum=True)
    assert first.music_hash() != second.music_hash()


def test_hash_of_a_piece_without_notes_exists() -> None:
    assert Piece.from_notes([], [], []).music_hash()


def test_hash_does_not_change_between_versions() -> None:
    # It decides every split: a change of it moves all pieces, and must raise CACHE_VERSION.
    piece = Piece.from_notes([0, 480, 960], [480, 240, 480], [60, 64, 67])
    assert piece.music_hash().startswith("cc273e17e69bd231")


# Tracks

BAND = Piece.from_notes(
    [0, 0, 0, 0, 480],
    [480, 480, 480, 240, 480],
    [72, 60, 48, 36, 74],
    program=[40, 0, 7, 0, 8],
    is_drum=[False, False, False, True, False],
)


@pytest.mark.parametrize(
    ("tracks", "pitches"),
    [
        ("all", [72, 60, 48, 36, 74]),
        ("pitched", [72, 60, 48, 74]),
        ("drums", [36]),
        ("piano", [60, 48]),
        ([40, 8], [72, 74]),
        ([0], [60]),
        ([99], []),
        ("melody", [72, 74]),
    ],
    ids=str,
)
def test_tracks_are_chosen_by_instrument(tracks: str | list[int], pitches: list[int]) -> None:
    assert sorted(select_tracks(BAND, tracks).pitch.tolist()) == sorted(pitches)


def melody_of(*notes: Note) -> list[Note]:
    """Of (onset, duration, pitch), 48 ticks a beat: two of 3 ticks are a sixteenth of a beat apart."""
    columns = np.array(notes, dtype=np.int64).reshape(-1, 3).T
    melody = select_tracks(Piece.from_notes(*columns, ticks_per_beat=48), "melody")
    return list(zip(melody.onset.tolist(), melody.duration.tolist(), melody.pitch.tolist(), strict=True))


def test_melody_is_the_highest_note_of_a_chord() -> None:
    assert melody_of((0, 48, 60), (0, 48, 64), (0, 24, 67)) == [(0, 24, 67)]


def test_melody_holds_no_note_that_begins_under_a_higher_one() -> None:
    assert melody_of((0, 96, 72), (48, 96, 60), (96, 48, 71)) == [(0, 96, 72), (96, 48, 71)]


def test_melody_ends_a_note_where_the_next_begins() -> None:
    assert melody_of((0, 96, 60), (48, 48, 72)) == [(0, 48, 60), (48, 48, 72)]


def test_melody_goes_on_in_a_lower_note_played_legato() -> None:
    assert melody_of((0, 50, 72), (48, 48, 71)) == [(0, 48, 72), (48, 48, 71)]


def test_melody_is_the_top_of_a_chord_that_is_spread() -> None:
    assert melody_of((0, 96, 60), (1, 95, 64), (3, 93, 67)) == [(3, 93, 67)]


def test_melody_of_a_unison_is_its_longest_note() -> None:
    assert melody_of((0, 24, 60), (0, 48, 60)) == [(0, 48, 60)]


def test_piece_of_drums_has_no_melody() -> None:
    assert select_tracks(BAND.select(BAND.is_drum), "melody").num_notes == 0


@FAST
@given(note_lists)
def test_melody_is_that_of_the_rule_applied_note_by_note(notes: list[Note]) -> None:
    def is_hidden(note: Note) -> bool:
        time = note[0] + 3
        return any(on <= time < on + duration and pitch > note[2] for on, duration, pitch in notes)

    tops: dict[int, Note] = {}
    for note in sorted(notes, key=lambda note: (note[2], note[1])):
        if not is_hidden(note):
            tops[note[0]] = note
    onsets = [*sorted(tops), 10**9]
    expected = [(on, min(tops[on][1], after - on), tops[on][2]) for on, after in itertools.pairwise(onsets)]
    assert melody_of(*notes) == expected


# Bars and beats


@pytest.mark.parametrize(
    ("metres", "places"),
    [
        ((), {0: (1, 1), 480: (1, 2), 1919: (1, 4 + 479 / 480), 1920: (2, 1)}),
        (((0, 1, 4), (480, 3, 4)), {0: (1, 1), 480: (2, 1), 1920: (3, 1)}),
        (((0, 6, 8),), {1200: (1, 3.5), 1440: (2, 1)}),
        (((960, 3, 4),), {480: (1, 2), 960: (2, 1), 2400: (3, 1)}),
        (((0, 3, 4), (2000, 4, 4)), {1999: (2, 1 + 559 / 480), 2000: (3, 1), 3920: (4, 1)}),
        (((0, 0, 4),), {1920: (2, 1)}),
    ],
    ids=str,
)
def test_time_is_counted_in_bars_and_quarter_notes(
    metres: tuple[tuple[int, int, int], ...], places: dict[int, tuple[int, float]]
) -> None:
    piece = Piece.from_notes([0], 480, [60], metres=metres)
    bars, beats = piece.bars_and_beats(list(places))
    assert bars.tolist() == [bar for bar, _ in places.values()]
    assert beats == pytest.approx([beat for _, beat in places.values()])


def test_bars_that_are_no_whole_number_of_ticks_are_counted_right() -> None:
    piece = Piece.from_notes([0], 1, [60], ticks_per_beat=1, metres=((0, 3, 32),))
    bars, beats = piece.bars_and_beats(np.arange(0, 30, 3))
    assert bars.tolist() == [1 + 8 * i for i in range(10)]
    assert beats == pytest.approx(np.ones(10))
