"""Numbers of training steps that a device computes, read so that the host seldom waits for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from noternn.model.lstm import is_far

STEPS_BETWEEN = 32  # readings, on other devices than a CPU

Take = Callable[[int, Sequence[float]], None]


class Readings:
    """What the last steps came to: on a CPU read at once, on other devices together after some steps.

    To read a number of a GPU is to wait until it has done all that it was told to do. If it is waited for in
    every step, it stands still while the host prepares the next one.
    """

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def note(self, take: Take, step: int, numbers: Tensor) -> None:
        """Keep numbers, and read what is due.

        Args:
            take: is called with the step and the numbers, in the order in which they were noted.
            step: whose numbers they are.
            numbers: (n,) below 2^24 where they are integers.
        """
        self._waiting.append(_Waiting(take, step, numbers.detach()))
        if not is_far(numbers) or step - self._waiting[0].step >= STEPS_BETWEEN:
            self.read()

    def read(self) -> None:
        """Read all that is kept."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        numbers: list[float] = torch.cat([each.numbers.float() for each in waiting]).tolist()
        for each in waiting:
            count = len(each.numbers)
            each.take(each.step, numbers[:count])
            numbers = numbers[count:]


class _Waiting(NamedTuple):
    take: Take
    step: int
    numbers: Tensor
