"""Means over seeds with their intervals, against published tables of Student's t."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from noternn.runs.estimates import estimate, students_t

# NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2: two-sided 95 %, by degrees of freedom.
PUBLISHED = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228,
    11: 2.201, 12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110, 18: 2.101, 19: 2.093,
    20: 2.086, 21: 2.080, 22: 2.074, 23: 2.069, 24: 2.064, 25: 2.060, 26: 2.056, 27: 2.052, 28: 2.048,
    29: 2.045, 30: 2.042, 40: 2.021, 50: 2.009, 60: 2.000, 80: 1.990, 100: 1.984,
}  # fmt: skip


def factor_of(count: int) -> float:
    """By what the standard error of so many values is multiplied."""
    values = [float(number) for number in range(count)]
    mean = sum(values) / count
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count)
    return estimate(values).spread / error


@pytest.mark.parametrize(("freedom", "quantile"), PUBLISHED.items())
def test_the_interval_is_that_of_the_published_table(freedom: int, quantile: float) -> None:
    assert students_t(freedom) == quantile
    assert factor_of(freedom + 1) == pytest.approx(quantile, abs=1e-9)


def test_the_interval_does_not_jump_between_any_two_numbers_of_seeds() -> None:
    factors = [factor_of(count) for count in range(2, 201)]
    steps = [before - after for before, after in pairwise(factors)]
    assert min(steps) > -1e-9
    assert all(after <= before + 0.0011 for before, after in pairwise(steps))  # of three decimals
    assert factors[-1] == pytest.approx(1.972)


def test_a_single_value_has_no_interval() -> None:
    mean, spread, count = estimate([1.0])
    assert (mean, count) == (1.0, 1)
    assert math.isnan(spread)


def test_the_interval_of_three_seeds() -> None:
    mean, spread, count = estimate([1.0, 2.0, 3.0])
    assert (mean, count) == (2.0, 3)
    assert spread == pytest.approx(4.303 / math.sqrt(3))
