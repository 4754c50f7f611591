"""Means over seeds with their confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
NUM_HALVINGS = 60  # of the interval in which the quantile's angle lies: to the last bit


class Estimate(NamedTuple):
    """A mean over seeds.

    Args:
        mean: of the values.
        spread: half the width of the 95 % confidence interval, by Student's t; NaN for a single value.
        num_values: how many there are.
    """

    mean: float
    spread: float
    num_values: int

    @property
    def is_beyond_spread(self) -> bool:
        """Whether the interval leaves out 0."""
        return abs(self.mean) > self.spread


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of some values of equal weight, with its confidence interval."""
    count = len(values)
    if count < 2:
        return Estimate(float(values[0]) if count else float("nan"), float("nan"), count)
    error = float(np.std(values, ddof=1)) / count**0.5
    return Estimate(float(np.mean(values)), students_t(count - 1) * error, count)


@cache
def students_t(freedom: int) -> float:
    """The two-sided 95 % quantile of Student's t, with three decimals as tables have it.

    Args:
        freedom: degrees of freedom, at least 1.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < CONFIDENCE else (low, middle)
    return round(math.sqrt(freedom) * math.tan(low), 3)


def _within(angle: float, freedom: int) -> float:
    """The probability that |t| is at most sqrt(freedom) * tan(angle): a finite sum.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    cosine, is_odd = math.cos(angle), freedom % 2
    term, total = cosine if is_odd else 1.0, 0.0
    for k in range(2 + is_odd, freedom + 1, 2):
        total += term
        term *= cosine**2 * (k - 1) / k
    if is_odd:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total
