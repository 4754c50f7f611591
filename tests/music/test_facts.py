"""What a corpus tells of a piece."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noternn.music.facts import (
    MAJOR_PROFILE,
    MINOR_PROFILE,
    PieceFacts,
    find_key,
    key_name,
    piece_facts,
    programs_of,
)
from noternn.music.piece import Piece

MakePiece = Callable[[int], Piece]
NOTES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 20), st.integers(0, 127)), min_size=1, max_size=30
)
C_MAJOR_CADENCE = [60, 64, 67, 65, 69, 72, 67, 71, 74, 60, 64, 67]
A_MINOR_CADENCE = [57, 60, 64, 62, 65, 69, 64, 68, 71, 57, 60, 64]


def facts_of(pitches: list[int], **options: object) -> PieceFacts:
    onset = np.arange(len(pitches)) * 480
    return piece_facts(Piece.from_notes(onset, 480, pitches, **options))  # type: ignore[arg-type]


def test_lengths_count_from_the_first_onset_and_follow_the_tempo() -> None:
    piece = Piece.from_notes([960, 1440], [480, 960], [60, 62], tempos=((0, 60.0), (1440, 120.0)))
    facts = piece_facts(piece)
    assert (facts.beats, facts.seconds, facts.tempo) == (3.0, 2.0, 90.0)
    assert facts.num_tempo_changes == 1


def test_a_tempo_that_is_given_again_is_no_change() -> None:
    assert facts_of([60, 62], tempos=((0, 90.0), (480, 90.0))).num_tempo_changes == 0


@pytest.mark.parametrize(
    ("pitches", "name"), [(C_MAJOR_CADENCE, "C major"), (A_MINOR_CADENCE, "A minor")], ids=str
)
def test_a_cadence_is_in_its_key(pitches: list[int], name: str) -> None:
    facts = facts_of(pitches)
    assert key_name(facts.tonic, facts.is_minor) == name
    assert 0.7 < facts.key_correlation <= 1


@given(st.integers(-11, 11), st.booleans())
def test_a_transposed_piece_has_its_key_transposed(semitones: int, is_minor: bool) -> None:
    pitches = np.array(A_MINOR_CADENCE if is_minor else C_MAJOR_CADENCE) + semitones
    tonic, minor, _ = find_key(pitches, np.full(len(pitches), 3))
    assert (tonic, minor) == (((9 if is_minor else 0) + semitones) % 12, is_minor)


@given(NOTES)
def test_the_key_is_the_one_of_24_with_the_greatest_correlation(notes: list[tuple[int, int, int]]) -> None:
    _, duration, pitch = np.array(notes).T
    sounding = np.array([duration[pitch % 12 == c].sum() for c in range(12)], dtype=float)
    tonic, is_minor, correlation = find_key(pitch, duration)
    if sounding.std() == 0:
        assert (tonic, is_minor, correlation) == (-1, False, 0.0)
        return
    every = [
        np.corrcoef(sounding, np.roll(p, t))[0, 1] for p in (MAJOR_PROFILE, MINOR_PROFILE) for t in range(12)
    ]
    assert correlation == pytest.approx(max(every))
    assert every[tonic + 12 * is_minor] == pytest.approx(max(every))


def test_no_key_fits_where_all_pitch_classes_sound_alike() -> None:
    facts = facts_of(list(range(60, 72)))
    assert key_name(facts.tonic, facts.is_minor) == "none"


@given(NOTES)
def test_polyphony_and_silence_are_what_counting_every_tick_gives(notes: list[tuple[int, int, int]]) -> None:
    onset, duration, pitch = np.array(notes).T
    sounding = np.zeros(int((onset + duration).max()), dtype=int)
    for start, length in zip(onset, duration, strict=True):
        sounding[start : start + length] += 1
    sounding = sounding[onset.min() :]
    silences = "".join("x" if number else "-" for number in sounding).split("x")
    facts = piece_facts(Piece.from_notes(onset, duration, pitch, ticks_per_beat=10))
    assert facts.polyphony == pytest.approx(sounding[sounding > 0].mean())
    assert facts.longest_silence_beats == pytest.approx(max(map(len, silences)) / 10)


@given(st.sets(st.integers(0, 127), min_size=1))
def test_programs_are_found_again(programs: set[int]) -> None:
    used = sorted(programs)
    facts = facts_of([60] * len(used), program=used)
    assert np.flatnonzero(programs_of(facts.programs_low, facts.programs_high)[0]).tolist() == used


def test_drums_have_no_program_pitch_or_key() -> None:
    facts = facts_of([36, 38], is_drum=True, program=0)
    assert (facts.num_notes, facts.num_drum_notes) == (2, 2)
    assert (facts.programs_low, facts.programs_high, facts.tonic, facts.polyphony) == (0, 0, -1, 0.0)
    assert (facts.lowest_pitch, facts.highest_pitch) == (-1, -1)


def test_the_metre_is_the_one_in_force_longest() -> None:
    facts = facts_of([60] * 12, metres=((0, 4, 4), (4 * 480, 3, 4), (10 * 480, 2, 4)))
    assert (facts.metre, facts.num_metre_changes) == ("3/4", 2)


def test_a_metre_of_no_length_is_passed_over() -> None:
    assert facts_of([60] * 8, metres=((0, 0, 4),)).metre == ""


def test_a_pickup_is_no_change_of_metre() -> None:
    facts = facts_of([60] * 9, metres=((0, 1, 4), (480, 4, 4)))
    assert (facts.metre, facts.num_metre_changes) == ("4/4", 0)


def test_facts_are_plain_scalars_of_their_types(make_piece: MakePiece) -> None:
    facts = piece_facts(make_piece(1))
    types = {"int": int, "float": float, "bool": bool, "str": str}
    for field in dataclasses.fields(PieceFacts):
        assert type(getattr(facts, field.name)) is types[str(field.type)], field.name
