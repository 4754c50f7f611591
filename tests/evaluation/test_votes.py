"""Votes of a blind test -> strengths with intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noternn.__main__ import main
from noternn.errors import UserError
from noternn.evaluation.votes import QUANTILE, Vote, fit, judge, read_votes

Capture = pytest.CaptureFixture[str]
HEADER = "trial,a,b,preferred,person,rating_a,rating_b,seconds\n"


def simulated(strengths: dict[str, float], num_votes: int, seed: int) -> list[Vote]:
    """Listeners who prefer by the model of Bradley and Terry."""
    rng = np.random.default_rng(seed)
    votes = []
    for _ in range(num_votes):
        a, b = rng.permutation(list(strengths))[:2].tolist()
        is_a = rng.random() < 1 / (1 + np.exp(strengths[b] - strengths[a]))
        votes.append(Vote(a, b, "a" if is_a else "b", "neither", 4 if is_a else 2, 3))
    return votes


@pytest.mark.parametrize("num_votes", [60, 240])
def test_intervals_hold_the_known_preference_in_95_of_100_tries(num_votes: int) -> None:
    true = np.array([0.15, 0.45, -0.65, 0.05])
    rng = np.random.default_rng(0)
    held = []
    for _ in range(500):
        wins = np.zeros((4, 4))
        for i, j in zip(*np.triu_indices(4, 1), strict=True):
            won = rng.binomial(num_votes // 6, 1 / (1 + np.exp(true[j] - true[i])))
            wins[i, j] += won
            wins[j, i] += num_votes // 6 - won
        values, covariance = fit(wins)
        held.append(np.abs(values - true) <= QUANTILE * np.sqrt(np.diag(covariance)))
    assert 0.93 <= np.mean(held) <= 0.97


def test_the_preferred_source_comes_first() -> None:
    judgement = judge(simulated({"good": 1.0, "fair": 0.0, "bad": -1.0}, 300, 0))
    assert [strength.source for strength in judgement.strengths] == ["good", "fair", "bad"]
    first, *_, last = judgement.strengths
    assert first.low > last.high
    assert judgement.votes_needed(0, 2) < 1
    assert sum(strength.value for strength in judgement.strengths) == pytest.approx(0)
    assert first.rating > last.rating


def test_a_source_that_wins_always_has_a_finite_strength_and_a_wide_interval() -> None:
    votes = [Vote("a", "b", "a", "a", 5, 1)] * 4
    first, second = judge(votes).strengths
    assert np.isfinite([first.value, first.low, first.high]).all()
    assert first.low < second.high
    assert (first.person, second.person) == (1, 0)


def test_neither_is_half_a_vote_for_each() -> None:
    first, second = judge([Vote("a", "b", "neither", "neither", 3, 3)] * 6).strengths
    assert first.value == pytest.approx(0, abs=1e-9)
    assert second.value == pytest.approx(0, abs=1e-9)


def test_tables_are_judged_with_what_is_known_of_runs(
    tiny_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    rows = "".join(f'{i},"{tiny_run}","a person",b,b,2,4,20\n' for i in range(1, 13))
    (tmp_path / "a.csv").write_text(HEADER + rows)
    (tmp_path / "b.csv").write_text(HEADER + '1,"a person","x, y",neither,a,4,4,20\n')
    assert main(["blind", "--votes", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    heads = "source votes strength 95 % interval a person's rating nats a note health copied"
    assert lines[0].split() == heads.split()
    assert lines[4] == "13 votes of 2 listeners; a strength is the log of the odds to be preferred"
    assert f"is preferred to {tiny_run}" in out or "too few votes to tell" in out


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEADER,
        "a,b\n1,2\n",
        HEADER + "1,a,a,a,a,1,1,3\n",
        HEADER + "1,a,b,c,a,1,1,3\n",
        HEADER + "1,a,b,a,a,0,1,3\n",
        HEADER + "1,a,b\n",
        "\0",
    ],
)
def test_other_tables_are_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError):
        read_votes([tmp_path / "a.csv"])


def test_a_page_or_votes_must_be_asked_for(capsys: Capture) -> None:
    assert main(["blind"]) == 1
    assert capsys.readouterr().err.startswith("error: blind: give RUN ...")
