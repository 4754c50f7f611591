"""What is reported: losses by several units."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noternn.metrics import NllMeter, SplitSize, frame_averages, rates

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
