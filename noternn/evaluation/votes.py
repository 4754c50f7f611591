"""What listeners prefer: votes of a blind test -> a strength of each source of music, with its interval."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError
from noternn.files import read_text
from noternn.terminal import one_line

COLUMNS = ("trial", "a", "b", "preferred", "person", "rating_a", "rating_b", "seconds")
ANSWERS = ("a", "b", "neither")
RATINGS = range(1, 6)
QUANTILE = 1.959964  # of the normal distribution: 95 % lie within so many standard errors
MAX_STEPS, TOLERANCE = 100, 1e-10
PRIOR_VOTES = 1e-3  # of each pair, half for either: a source that has won every vote has a finite strength


class Vote(NamedTuple):
    """A comparison by one listener.

    Args:
        a, b: the sources of the two excerpts.
        preferred: "a", "b" or "neither".
        person: which of them was taken for a person's: the same.
        rating_a, rating_b: 1 to 5.
    """

    a: str
    b: str
    preferred: str
    person: str
    rating_a: int
    rating_b: int


@dataclass(frozen=True)
class Strength:
    """How often a source is preferred.

    Args:
        source: what composed it.
        num_votes: in which it was heard.
        value: natural log of the odds with which it is preferred to a source of average strength.
        low, high: the 95 % interval of that.
        person: in what share of its votes it was taken for a person's.
        rating: mean, 1 to 5.
    """

    source: str
    num_votes: int
    value: float
    low: float
    high: float
    person: float
    rating: float


@dataclass(frozen=True)
class Judgement:
    """What some votes amount to.

    Args:
        strengths: of all sources, the strongest first.
        covariance: of their values, in that order.
    """

    strengths: Sequence[Strength]
    covariance: NDArray[np.float64]

    def difference(self, first: int, second: int) -> tuple[float, float]:
        """By how much one strength is above another, and the standard error of that."""
        cov = self.covariance
        variance = cov[first, first] + cov[second, second] - 2 * cov[first, second]
        return self.strengths[first].value - self.strengths[second].value, math.sqrt(max(0.0, variance))

    def votes_needed(self, first: int, second: int) -> float:
        """How many times as many such votes would tell the two apart; at most 1 if these do."""
        value, error = self.difference(first, second)
        return math.inf if value == 0 else (QUANTILE * error / value) ** 2


def read_votes(paths: Iterable[Path]) -> list[Vote]:
    """The votes in tables that the page has saved.

    Raises:
        UserError: if one is no such table.
    """
    votes = []
    for path in paths:
        try:
            rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
            votes += [_vote(row) for row in rows]
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise UserError(f"{path}: no table of votes ({' '.join(str(error).split())})") from error
    if not votes:
        raise UserError("there are no votes in these tables")
    return votes


def _vote(row: dict[str, str]) -> Vote:
    vote = Vote(
        one_line(row["a"]),
        one_line(row["b"]),
        row["preferred"],
        row["person"],
        int(row["rating_a"]),
        int(row["rating_b"]),
    )
    if not {vote.preferred, vote.person} <= set(ANSWERS) or vote.a == vote.b:
        raise ValueError("an answer is none")
    if vote.rating_a not in RATINGS or vote.rating_b not in RATINGS:
        raise ValueError("a rating is not 1 to 5")
    return vote


def judge(votes: Sequence[Vote]) -> Judgement:
    """The strengths of all sources by the model of Bradley and Terry (Biometrika 1952).

    The odds with which one source is preferred to another are the ratio of their strengths. Who prefers
    neither is half a vote for each. Intervals are those of maximum likelihood (Wald), as if all votes were
    independent: votes of the same listener are alike, so with few listeners they are too narrow.
    """
    sources = sorted({source for vote in votes for source in (vote.a, vote.b)})
    place = {source: i for i, source in enumerate(sources)}
    wins = np.zeros((len(sources), len(sources)))  # of the row over the column
    for vote in votes:
        share = {"a": 1.0, "b": 0.0, "neither": 0.5}[vote.preferred]
        wins[place[vote.a], place[vote.b]] += share
        wins[place[vote.b], place[vote.a]] += 1 - share
    values, covariance = fit(wins)
    order = np.argsort(-values, kind="stable")
    strengths = [_strength(sources[i], values[i], covariance[i, i], votes) for i in order.tolist()]
    return Judgement(strengths, covariance[np.ix_(order, order)])


def fit(wins: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-strengths with a mean of 0, and their covariance.

    Args:
        wins: (num_sources, num_sources) how often the row was preferred to the column.
    """
    size = len(wins)
    wins = wins + PRIOR_VOTES / 2 * (1 - np.eye(size))
    number = wins + wins.T
    values = np.zeros(size)
    for _ in range(MAX_STEPS):
        probability = 1 / (1 + np.exp(values[None] - values[:, None]))  # that the row is preferred
        gradient = (wins - number * probability).sum(1)
        step = np.linalg.pinv(_information(number, probability)) @ gradient
        values = values + step * min(1.0, 2 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < TOLERANCE:
            break
    probability = 1 / (1 + np.exp(values[None] - values[:, None]))
    covariance = np.asarray(np.linalg.pinv(_information(number, probability)), dtype=np.float64)
    return values - values.mean(), covariance


def _information(number: NDArray[np.float64], probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fisher's information of the log-strengths."""
    weight = number * probability * (1 - probability)
    information: NDArray[np.float64] = np.diag(weight.sum(1)) - weight
    return information


def _strength(source: str, value: float, variance: float, votes: Sequence[Vote]) -> Strength:
    heard = [vote for vote in votes if source in (vote.a, vote.b)]
    taken = [vote.person == ("a" if vote.a == source else "b") for vote in heard]
    ratings = [vote.rating_a if vote.a == source else vote.rating_b for vote in heard]
    reach = QUANTILE * math.sqrt(variance)
    return Strength(
        source,
        len(heard),
        float(value),
        float(value - reach),
        float(value + reach),
        sum(taken) / len(heard),
        sum(ratings) / len(heard),
    )
