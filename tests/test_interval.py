"""The interval of a mean over pieces: how often it holds the truth, and what it does with odd pieces."""

from __future__ import annotations

import numpy as np
import pytest

from noternn.metrics import interval


@pytest.mark.parametrize(("num_pieces", "least"), [(10, 0.89), (40, 0.91)])
def test_the_interval_holds_the_truth_in_about_95_of_100(num_pieces: int, least: float) -> None:
    rng = np.random.default_rng(0)
    sizes = rng.lognormal(6, 0.5, 100_000)
    sums = sizes * rng.gamma(16, 0.15, len(sizes)) * (sizes / sizes.mean()) ** 0.1  # long pieces are harder
    truth, held = sums.sum() / sizes.sum(), 0
    for _ in range(400):
        drawn = rng.integers(len(sizes), size=num_pieces)
        found = interval(sums[drawn], sizes[drawn], num_draws=500)
        assert found is not None
        held += found[0] <= truth <= found[1]
    assert least <= held / 400 <= 0.98


def test_more_pieces_narrow_it_and_it_is_the_same_again() -> None:
    rng = np.random.default_rng(1)
    sizes, means = rng.integers(100, 900, 200).astype(float), rng.gamma(9, 0.2, 200)
    few, many = (interval(sizes[:n] * means[:n], sizes[:n]) for n in (8, 200))
    assert few is not None
    assert many is not None
    assert many[1] - many[0] < (few[1] - few[0]) / 2
    assert interval(sizes * means, sizes) == many


def test_pieces_that_are_alike_leave_no_doubt_and_two_say_nothing() -> None:
    sizes = np.array([10.0, 20.0, 30.0])
    assert interval(2 * sizes, sizes) == pytest.approx((2.0, 2.0))
    assert interval(2 * sizes[:2], sizes[:2]) is None
    assert interval(sizes, np.zeros(3)) is None


def test_nats_are_never_negative() -> None:
    sizes = np.array([2560.0, 9460.0, 1070.0, 930.0, 4490.0])
    found = interval(sizes * [3.3, 0.1, 2.3, 0.1, 1.1], sizes)
    assert found is not None
    assert found[0] == 0
    assert found[1] > 1
