"""Dropout whose masks come from a generator of one's own, so that threads need not take turns to draw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.nn import functional

_GENERATOR: ContextVar[torch.Generator | None] = ContextVar("generator", default=None)


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Take masks from a generator, in this thread alone; elsewhere they come from torch's own.

    Args:
        generator: of the device on which the network computes.
    """
    token = _GENERATOR.set(generator)
    try:
        yield
    finally:
        _GENERATOR.reset(token)


def dropout(values: Tensor, probability: float) -> Tensor:
    """As torch's function of this name in training, with the same masks from the same random numbers."""
    generator = _GENERATOR.get()
    if generator is None:
        return functional.dropout(values, probability)
    mask = torch.empty_like(values).bernoulli_(1 - probability, generator=generator)
    return values * mask.div_(1 - probability)


class Dropout(nn.Module):
    """As torch's module of this name, by `dropout`.

    Args:
        probability: that a value is dropped, from 0 to below 1.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, values: Tensor) -> Tensor:
        """Drop values while training."""
        return dropout(values, self.probability) if self.training and self.probability else values
