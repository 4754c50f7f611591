"""How long a run will still take, by a clock that is set by hand."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from helpers import TrainTiny

from noternn.training import time_left as module
from noternn.training.time_left import LEAST_STEPS, WARM_UP_STEPS, TimeLeft, in_words


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def steps(time_left: TimeLeft, clock: Clock, number: int, seconds: float, num_tokens: int = 100) -> None:
    for _ in range(number):
        clock.now += seconds
        time_left.end_step(num_tokens)


def test_the_first_steps_say_how_long_an_epoch_takes_but_for_the_slow_ones_at_the_start() -> None:
    clock = Clock()
    time_left = TimeLeft(num_evaluated=0, clock=clock)
    time_left.begin(is_whole=True)
    steps(time_left, clock, WARM_UP_STEPS, seconds=50)
    steps(time_left, clock, LEAST_STEPS - 1, seconds=1)
    assert time_left.seconds(20, 3000) is None
    steps(time_left, clock, 1, seconds=1)
    assert time_left.seconds(20, 3000) == pytest.approx(20 * 30)
    assert time_left.seconds(0.5, 3000) == pytest.approx(15)


def test_evaluating_takes_a_share_of_the_time_of_training() -> None:
    clock = Clock()
    time_left = TimeLeft(num_evaluated=1000, clock=clock)
    time_left.begin(is_whole=True)
    steps(time_left, clock, 20, seconds=1)
    assert time_left.seconds(1, 3000) == pytest.approx(30 + 10 * module.EVALUATION)


def test_steps_of_no_time_say_nothing() -> None:
    time_left = TimeLeft(0, clock := Clock())
    time_left.begin(is_whole=True)
    steps(time_left, clock, 1000, seconds=0)
    assert time_left.seconds(20, 3000) is None


def test_whole_epochs_know_better_and_the_last_ones_best() -> None:
    clock = Clock()
    time_left = TimeLeft(0, clock)
    for seconds in (7, 10, 11, 12):
        time_left.begin(is_whole=True)
        steps(time_left, clock, seconds, seconds=1)
        time_left.end_epoch()
    assert time_left.seconds(4, 3000) == pytest.approx(44)


def test_what_was_left_of_an_epoch_is_none() -> None:
    clock = Clock()
    time_left = TimeLeft(0, clock)
    time_left.begin(is_whole=False)
    steps(time_left, clock, 2, seconds=1)
    time_left.end_epoch()
    assert time_left.seconds(4, 3000) is None
    steps(time_left, clock, 30, seconds=1)
    time_left.end_epoch()
    assert time_left.seconds(4, 3000) == pytest.approx(120)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(2, "10 s"), (43, "40 s"), (94, "90 s"), (95, "2 min"), (171, "3 min"), (5400, "90 min"),
     (5700, "1 h 40 min"), (7100, "2 h"), (200_000, "55 h 30 min")],
)  # fmt: skip
def test_times_are_told_as_exactly_as_they_are_known(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_a_run_tells_once_how_long_it_will_take_and_after_each_epoch_what_is_left(
    train_tiny: TrainTiny,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(module, "WARM_UP_STEPS", 1)
    monkeypatch.setattr(module, "LEAST_STEPS", 1)
    caplog.set_level(logging.INFO)
    train_tiny(tmp_path, "trainer.max_epochs=3", "datamodule.batch_size=1", "early_stopping=patience")
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if " here for " in line] == [
        "about 10 s here for 3 epochs; it may end sooner"
    ]
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert [bool(re.search(r" s, about \d+ (s|min) left", line)) for line in epochs] == [True, True, False]
