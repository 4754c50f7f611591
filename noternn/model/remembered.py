"""What some streams have read, and what that suggests, an id at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from noternn.model.lstm import NoteLSTM
from noternn.model.memory import PieceMemory
from noternn.model.recall import Recall


class Remembered:
    """What each of some streams has read, and what that suggests.

    Args:
        memory: of the network.
    """

    def __init__(self, memory: PieceMemory) -> None:
        self.recalls = [Recall(memory.kinds, memory.count)]

    def suggest(self, ids: Sequence[int]) -> Tensor:
        """What is suggested after one more id each, (num_streams, 2, 2 * count)."""
        return torch.tensor([recall.append(id_) for recall, id_ in zip(self.recalls, ids, strict=True)])

    def repeat(self, num_streams: int) -> None:
        """Go on with this many streams, all like the first."""
        self.recalls = [self.recalls[0].copy() for _ in range(num_streams)]


def build_remembered(network: NoteLSTM) -> Remembered | None:
    """At the start of a piece; None for a network without a memory."""
    return None if network.memory is None else Remembered(network.memory)
