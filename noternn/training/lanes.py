"""A batch in parts of its lanes, side by side on the cores that are granted: the same numbers on any.

A recurrent network computes one moment after the other, which gives torch's own threads little to share.
Lanes do not depend on each other: half of them on each of two cores take little more than half the time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import reduce
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from noternn.model.lstm import NoteLSTM
from noternn.model.modes import one_thread

LEAST_LANES = 8  # that are worth a division: with fewer a part takes nearly the time of the whole
LANES_OF_A_PART = 16  # at least, where a batch has more parts than two
LEAST_WORK = 2**27  # multiplications of a batch, forward: with fewer, calling torch takes most of the time

Gradients = list[Tensor | None]
T = TypeVar("T")


def parts_of(num_lanes: int, work: int) -> list[slice]:
    """The lanes of each part, whatever the number of cores: sums in other parts would round otherwise.

    Args:
        num_lanes: of the batch.
        work: its multiplications, forward: tokens times weights.

    Returns:
        A power of two of parts that are alike within a lane, at least two; or all lanes as one part.
    """
    num_parts = 1
    if num_lanes >= LEAST_LANES and work >= LEAST_WORK:
        shares = max(num_lanes // LANES_OF_A_PART, 2)
        num_parts = 1 << (shares.bit_length() - 1)
    ends = [num_lanes * number // num_parts for number in range(num_parts + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def side_by_side(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """What the tasks return, in their order, computed in as many threads as torch may take.

    Each computes in one thread, with gradients, autocast and inference mode as they are for the caller.
    """
    num_threads = min(len(tasks), torch.get_num_threads())
    modes = _Modes.now()

    def run(number: int) -> list[T]:
        torch.set_num_threads(1)  # of this thread
        with modes.entered():
            return [task() for task in tasks[number::num_threads]]

    with one_thread():
        if len(tasks) == 1:
            return [tasks[0]()]
        if num_threads == 1:
            return run(0)
        with ThreadPoolExecutor(num_threads - 1) as pool:  # waits, whatever happens
            others = [pool.submit(run, number) for number in range(1, num_threads)]
            shares = [run(0), *(other.result() for other in others)]
    return [shares[number % num_threads][number // num_threads] for number in range(len(tasks))]


class _Modes(NamedTuple):
    """What torch knows of each thread alone."""

    computes_gradients: bool
    is_inference: bool
    is_autocast: bool
    autocast_type: torch.dtype

    @classmethod
    def now(cls) -> _Modes:
        """Of the calling thread."""
        return cls(
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.get_autocast_dtype("cpu"),
        )

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Take them over; without the cache of autocast, which all threads share and any may empty."""
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(self.is_inference))
            stack.enter_context(torch.set_grad_enabled(self.computes_gradients))
            if self.is_autocast:
                stack.enter_context(torch.autocast("cpu", self.autocast_type, cache_enabled=False))
            yield


class Twins:
    """Networks that share all weights with one and have gradients of their own, made when first asked for.

    Args:
        network: on the CPU.
    """

    def __init__(self, network: NoteLSTM) -> None:
        self.network = network
        self._twins: list[NoteLSTM] = []

    def of(self, num_parts: int) -> list[NoteLSTM]:
        """A twin for each part of a batch."""
        if any(not _share_weights(twin, self.network) for twin in self._twins):
            self._twins.clear()  # the network has moved
        while len(self._twins) < num_parts:
            self._twins.append(_twin(self.network))
        return self._twins[:num_parts]


def _twin(network: NoteLSTM) -> NoteLSTM:
    shared: dict[int, Any] = {id(buffer): buffer for buffer in network.buffers()}
    for parameter in network.parameters():
        shared[id(parameter)] = nn.Parameter(parameter.detach(), parameter.requires_grad)
    return copy.deepcopy(network, shared)


def _share_weights(twin: nn.Module, network: nn.Module) -> bool:
    pairs = zip(twin.parameters(), network.parameters(), strict=True)
    return all(one.data_ptr() == other.data_ptr() for one, other in pairs)


def gradients_of(loss: Tensor, network: nn.Module) -> Gradients:
    """The gradient of a loss by each weight; None for one that it does not depend on, or that is frozen."""
    wanted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    found = iter(torch.autograd.grad(loss, wanted, allow_unused=True))
    return [next(found) if parameter.requires_grad else None for parameter in network.parameters()]


def with_gradients(loss: Tensor, parts: Sequence[Gradients], network: nn.Module) -> Tensor:
    """A loss of which `backward` gives each weight the sum of known gradients, in the order of the parts."""
    sums = [_sum(each) for each in zip(*parts, strict=True)]
    known: Tensor = _Known.apply(loss, sums, *network.parameters())  # type: ignore[no-untyped-call]
    return known


def _sum(gradients: Sequence[Tensor | None]) -> Tensor | None:
    there = [gradient for gradient in gradients if gradient is not None]
    return (
        reduce(torch.add, there) if there else None
    )  # in no place of theirs: two weights may have one gradient


class _Known(torch.autograd.Function):
    """A value whose gradients were computed before."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: Gradients, *_: Tensor) -> Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, []
        if weight.item() != 1:
            gradients = [None if each is None else each * weight for each in gradients]
        return None, None, *gradients
