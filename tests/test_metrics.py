"""What is reported: losses by several units, and the numbers of a sample."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noternn.metrics import NllMeter, SplitSize, frame_averages, rates, sample_statistics
from noternn.piece import Piece

FAST = settings(max_examples=50, deadline=None, derandomize=True, database=None)


def size(
    num_tokens: int = 300, num_notes: int = 100, beats: float = 50.0, seconds: float = 25.0
) -> SplitSize:
    return SplitSize(1, num_tokens, num_notes, beats, seconds, 0.0)


@FAST
@given(
    st.floats(0, 20),
    st.integers(1, 10**7),
    st.integers(1, 10**7),
    st.floats(0.01, 10**6),
    st.floats(0.01, 10**6),
)
def test_every_unit_shares_out_the_same_total(
    nll: float, num_tokens: int, num_notes: int, beats: float, seconds: float
) -> None:
    of = rates(nll, size(num_tokens, num_notes, beats, seconds))
    total = nll * num_tokens
    assert of["nats_per_note"] * num_notes == pytest.approx(total)
    assert of["nats_per_beat"] * beats == pytest.approx(total)
    assert of["nats_per_second"] * seconds == pytest.approx(total)


def test_rates_of_a_split_without_music_are_nan() -> None:
    assert all(math.isnan(value) for value in rates(1.0, size(0, 0, 0.0, 0.0)).values())


@FAST
@given(st.lists(st.floats(0, 30), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_mean_nll_does_not_depend_on_the_batches(nlls: list[float], chance: random.Random) -> None:
    meter = NllMeter()
    start = 0
    while start < len(nlls):
        end = start + chance.randint(1, 10)
        meter.update(sum(nlls[start:end]), len(nlls[start:end]))
        start = end
    assert meter.mean() == pytest.approx(sum(nlls) / len(nlls))
    assert meter.num_tokens == len(nlls)


def test_mean_nll_of_nothing_is_nan() -> None:
    assert math.isnan(NllMeter().mean())


def test_batch_without_tokens_changes_no_mean() -> None:
    meter = NllMeter()
    meter.update(6.0, 3)
    meter.update(0.0, 0)
    assert meter.mean() == 2.0


def test_frames_are_averaged_in_three_ways() -> None:
    # frames of 1 + 2 = 3, 0.5 and 2.5 nats; then one of 4; EOS (9 and 7 nats) ends no frame
    first = np.array([1.0, 2.0, 0.5, 2.0, 0.5, 9.0]), np.array([0, 1, 1, 0, 1, 0])
    second = np.array([4.0, 7.0]), np.array([1, 0])
    assert frame_averages([first, second]) == {
        "nats_per_frame": pytest.approx((3 + 0.5 + 2.5 + 4) / 4),
        "nats_per_frame_after_first": pytest.approx((0.5 + 2.5) / 2),
        "nats_per_frame_by_piece": pytest.approx((2 + 4) / 2),
    }


def test_averages_without_frames_are_nan() -> None:
    no_frames = np.array([3.0]), np.array([0])
    assert all(math.isnan(value) for value in frame_averages([no_frames]).values())
    assert all(math.isnan(value) for value in frame_averages([]).values())
    one = frame_averages([no_frames, (np.array([2.0]), np.array([1]))])
    assert one["nats_per_frame"] == one["nats_per_frame_by_piece"] == 2.0
    assert math.isnan(one["nats_per_frame_after_first"])


def test_one_repeated_note_shows_as_repetition() -> None:
    s = sample_statistics(Piece.from_notes([0, 480, 960, 1440], 480, 60))
    assert (s.num_notes, s.num_pitches, s.longest_repetition, s.beats) == (4, 1, 4, 4.0)
    assert s.silent_fraction == 0.0


def test_repetition_ends_where_the_pitch_changes() -> None:
    piece = Piece.from_notes([0, 480, 960, 1440, 1920], 480, [60, 62, 62, 62, 60])
    assert sample_statistics(piece).longest_repetition == 3


def test_repeated_chord_is_a_repetition_and_a_chord_alone_is_none() -> None:
    chords = Piece.from_notes([0, 0, 480, 480, 960, 960], 480, [60, 64, 60, 64, 60, 65])
    s = sample_statistics(chords)
    assert (s.num_notes, s.num_pitches, s.longest_repetition) == (6, 3, 2)


def test_silence_is_the_share_of_time_in_which_nothing_sounds() -> None:
    piece = Piece.from_notes([0, 480, 1440], [240, 480, 480], [60, 62, 64])
    # sounding 0-240, 480-960, 1440-1920
    assert sample_statistics(piece).silent_fraction == pytest.approx(720 / 1920)


def test_silence_before_the_first_note_does_not_count() -> None:
    s = sample_statistics(Piece.from_notes([960, 1440], 480, [60, 62]))
    assert (s.silent_fraction, s.beats) == (0.0, 2.0)


def test_overlapping_notes_are_counted_once() -> None:
    piece = Piece.from_notes([0, 240, 480, 1920], [1440, 240, 240, 480], [48, 60, 62, 64])
    # sounding 0-1440 and 1920-2400
    assert sample_statistics(piece).silent_fraction == pytest.approx(480 / 2400)


@FAST
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), min_size=1, max_size=15))
def test_silence_equals_a_count_of_ticks(notes: list[tuple[int, int]]) -> None:
    sounding = {tick for onset, duration in notes for tick in range(onset, onset + duration)}
    first, end = min(onset for onset, _ in notes), max(onset + duration for onset, duration in notes)
    piece = Piece.from_notes([onset for onset, _ in notes], [duration for _, duration in notes], 60)
    expected = 1 - len(sounding) / (end - first)
    assert sample_statistics(piece).silent_fraction == pytest.approx(expected)


def test_statistics_of_a_piece_without_notes() -> None:
    s = sample_statistics(Piece.from_notes([], [], []))
    assert (s.num_notes, s.num_pitches, s.longest_repetition, s.beats) == (0, 0, 0, 0.0)
    assert math.isnan(s.silent_fraction)
