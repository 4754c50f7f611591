"""How long a run will still take here, by what its steps and epochs have taken so far."""

from __future__ import annotations

import time
from collections.abc import Callable

WARM_UP_STEPS = 3  # which also make buffers and choose kernels
LEAST_STEPS = 10
LEAST_SECONDS = 2.0
EVALUATION = 0.35  # of the time that training takes for a token: forward alone, without dropout
NUM_EPOCHS = 3  # the last ones, of which the time is taken: a machine may be busy for a while


class TimeLeft:
    """Measures how long an epoch takes: at first by its first steps, then by whole epochs.

    Args:
        num_evaluated: tokens that are evaluated after each epoch.
        clock: seconds since some moment.
    """

    def __init__(self, num_evaluated: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.num_evaluated = num_evaluated
        self._clock = clock
        self._began: float | None = None  # the running epoch, or what is left of it here
        self._is_whole = True  # whether that is all of it
        self._epochs: list[float] = []
        self._num_steps = 0
        self._since = 0.0  # the end of warming up
        self._num_tokens = 0  # in the steps since then
        self._seconds = 0.0  # that they took

    def begin(self, is_whole: bool) -> None:
        """Note that the first epoch begins, or what is left of it; later calls do nothing."""
        if self._began is None:
            self._began, self._is_whole = self._clock(), is_whole

    def end_step(self, num_tokens: int) -> None:
        """Note that so many tokens of a batch were trained on."""
        self._num_steps += 1
        if self._epochs:
            return
        if self._num_steps == WARM_UP_STEPS:
            self._since = self._clock()
        elif self._num_steps > WARM_UP_STEPS:
            self._num_tokens += num_tokens
            self._seconds = self._clock() - self._since

    def end_epoch(self) -> None:
        """Note that an epoch is over, its evaluation too: the next one begins."""
        now = self._clock()
        if self._is_whole and self._began is not None:
            self._epochs.append(now - self._began)
        self._began, self._is_whole = now, True

    def seconds(self, num_epochs: float, num_tokens: int) -> float | None:
        """For so many more epochs of training on so many tokens each; None before anything can be said.

        Args:
            num_epochs: may be a fraction.
            num_tokens: of an epoch, by the batches.
        """
        if self._epochs:
            last = self._epochs[-NUM_EPOCHS:]
            return num_epochs * sum(last) / len(last)
        is_enough = self._num_steps >= WARM_UP_STEPS + LEAST_STEPS and self._seconds >= LEAST_SECONDS
        if not is_enough:
            return None
        return num_epochs * self._seconds / self._num_tokens * (num_tokens + EVALUATION * self.num_evaluated)


def in_words(seconds: float) -> str:
    """A length of time, as exact as a guess is."""
    if seconds < 95:
        return f"{max(10, 10 * round(seconds / 10))} s"
    if seconds < 95 * 60:
        return f"{round(seconds / 60)} min"
    minutes = 10 * round(seconds / 600)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
