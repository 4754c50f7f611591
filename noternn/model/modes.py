"""Ways of computing that hold for a time: in one thread, in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in the calling thread alone.

    Sums then do not depend on the number of cores. Products as small as those of composing gain nothing from
    a second thread, which only burns a core while it waits.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode for a time."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
