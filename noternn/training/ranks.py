"""What the processes of a run tell each other, on the CPU, so that no GPU waits for it.

With one process, a run alone, every function answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist

from noternn.metrics import NllMeter
from noternn.model.lstm import NetworkState

_groups: dict[str, Any] = {}  # the processes, as they talk on the CPU


def num_ranks() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _is_joined() else 1


def this_rank() -> int:
    """The number of this process; 0 writes what the run leaves."""
    return dist.get_rank() if _is_joined() else 0


def largest_of_all(values: Sequence[float]) -> list[float]:
    """Each of some numbers, the largest that any process has given."""
    if num_ranks() == 1:
        return list(values)
    largest = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(largest, dist.ReduceOp.MAX, group=_group())
    numbers: list[float] = largest.tolist()
    return numbers


def told_by_all(value: Any) -> list[Any]:
    """What each process has given, by rank."""
    if num_ranks() == 1:
        return [value]
    values: list[Any] = [None] * num_ranks()
    dist.all_gather_object(values, value, group=_group())
    return values


def meter_of_all(meter: NllMeter) -> NllMeter:
    """The meter of all processes' batches, summed in the order of the ranks: the same in each of them."""
    whole = NllMeter()
    for total, num_tokens in told_by_all((meter.total, meter.num_tokens)):
        whole.update(total, num_tokens)
    return whole


def state_of_all(state: NetworkState | None) -> NetworkState | None:
    """The state of all lanes, in their order, on the CPU; lane n is with rank n % num_ranks.

    Args:
        state: of this process's lanes; None where it has none yet.
    """
    if num_ranks() == 1:
        return state
    states = told_by_all(None if state is None else tuple(state.map(lambda part: part.cpu())))
    known = {rank: NetworkState(*parts) for rank, parts in enumerate(states) if parts is not None}
    if not known:
        return None
    num_lanes = sum(part.hidden.shape[1] for part in known.values())
    whole = next(iter(known.values())).map(
        lambda part: part.new_zeros(part.shape[0], num_lanes, *part.shape[2:])
    )
    for rank, parts in known.items():
        for into, part in zip(whole, parts, strict=True):
            into[:, rank :: num_ranks()] = part
    return whole


def share_of(state: NetworkState) -> NetworkState:
    """The state of this process's lanes, of that of all."""
    return state.map(lambda part: part[:, this_rank() :: num_ranks()].clone())


def part_ways() -> None:
    """Forget the other processes; a later run of this one finds its own."""
    _groups.clear()
    if _is_joined():
        dist.destroy_process_group()


def _is_joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def _group() -> Any:
    """The processes as gloo connects them, beside NCCL where they train on GPUs."""
    if dist.get_backend() == "gloo":
        return None
    if "gloo" not in _groups:
        _groups["gloo"] = dist.new_group(backend="gloo")
    return _groups["gloo"]
