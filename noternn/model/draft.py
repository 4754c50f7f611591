"""The compiled step of one stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from noternn.model import past
from noternn.model.intervals import AGES, LAGS, REACH, PitchConvolution
from noternn.model.lstm import NoteLSTM
from noternn.model.weights import class_table, gated_layers, input_table, memory_tables


def can_draft() -> bool:
    """Whether there is a compiled step."""
    return past.steps is not None


class CompiledDraft:
    """The network's equations by `steps.c`, for float32 on a CPU and one stream.

    Its sums have an order of their own, and its exponentials are within 2e-7 of the true ones.

    Args:
        network: whose weights are copied.
    """

    @torch.no_grad()
    def __init__(self, network: NoteLSTM) -> None:
        layers = gated_layers(network)
        w_ih, _, bias = layers[0]
        kept = past.CompiledPast(network, input_table(network, w_ih, bias), None)
        size, vocab_size = network.hidden_size, network.embedding.num_embeddings
        hidden, cell, *_ = network.initial_state(1)
        self.hidden, self.cell = hidden.numpy(), cell.numpy()  # (layers, 1, size)
        self.log_probs = np.zeros((1, vocab_size))
        inputs = [weight.T.flatten() for weight, _, _ in layers[1:]] or [torch.zeros(0)]
        biases = [bias for _, _, bias in layers[1:]] or [torch.zeros(0)]
        allowed = network.allowed_after(torch.arange(vocab_size))
        weights = [
            kept.table,
            torch.zeros(0) if network.intervals is None else class_table(network, w_ih),
            torch.cat([weight.T.flatten() for _, weight, _ in layers]),
            torch.cat(inputs),
            torch.cat(biases),
            *_head(network, size),
            *_interval_weights(network),
            network.before_pitch,
            torch.zeros(0, dtype=torch.bool) if allowed is None else allowed,
            *_memory_weights(network, w_ih),
        ]
        copied = [part.detach().contiguous().numpy().copy() for part in weights]
        self.ids = kept.ids
        self.recall = None if network.memory is None else network.memory.recall()
        num_suggested = 0 if network.memory is None else len(network.memory.first_class)
        self.suggested = np.zeros((2, num_suggested), dtype=np.int64)
        self.buffers: tuple[NDArray[Any], ...] = (
            *kept.buffers, self.hidden, self.cell, self.log_probs, *copied[:-4], self.suggested, *copied[-4:],
        )  # fmt: skip
        convolution = None if network.intervals is None else network.intervals.convolution
        self.sizes = (*kept.sizes, size, len(layers), network.residual, *_convolution_sizes(convolution))

    def step(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """See `Stepper`; of one stream."""
        self.ids[0] = ids[0]
        if self.recall is not None:
            self.suggested[:] = self.recall.append(ids)[0]
        past.steps.draft(self.buffers, *self.sizes)
        return self.log_probs.copy()

    def take_over(self, hidden: Sequence[Tensor], cell: Sequence[Tensor]) -> None:
        """Go on with these units of each layer, each (1, size)."""
        self.hidden[:], self.cell[:] = (
            np.stack([part.numpy() for part in parts]) for parts in (hidden, cell)
        )


def _head(network: NoteLSTM, size: int) -> list[Tensor]:
    """The first fully connected layer, if there are two, and the last one: each its weight and its bias."""
    *first, last = [module for module in network.head.modules() if isinstance(module, nn.Linear)]
    pairs = [(first[0].weight.T, first[0].bias)] if first else [(torch.zeros(size, 0), torch.zeros(0))]
    return [part for pair in [*pairs, (last.weight.T, last.bias)] for part in pair]


def _interval_weights(network: NoteLSTM) -> list[Tensor]:
    """The layer of scores and where they go; the convolution's layer, kernel, output and what it looks up."""
    reals, integers = torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    if network.intervals is None:
        return [reals, reals, integers, *[reals] * 4, *[integers] * 3]
    scores, convolution = network.intervals.scores, network.intervals.convolution
    given = [scores.weight.T, scores.bias, network.intervals.place]
    if convolution is None:
        return [*given, *[reals] * 4, *[integers] * 3]
    classes = len(LAGS) + torch.bucketize(torch.arange(AGES[-1] + 1), convolution.ages, right=True)
    kernel, output = convolution.laid_out(), convolution.output.weight
    hidden = convolution.hidden.weight.T, convolution.hidden.bias
    return [*given, *hidden, kernel, output, convolution.lag, classes, convolution.column]


def _memory_weights(network: NoteLSTM, w_ih: Tensor) -> list[Tensor]:
    """What suggested ids and their classes come to before the first layer; how far each is raised."""
    if network.memory is None:
        return [torch.zeros(0)] * 4
    boosts = network.memory.boosts
    return [*memory_tables(network, network.memory, w_ih), boosts.weight, boosts.bias]


def _convolution_sizes(convolution: PitchConvolution | None) -> tuple[int, int, int, int]:
    """How many channels and pitches, the lowest pitch, and the reach in semitones."""
    if convolution is None:
        return 0, 0, 0, 0
    return len(convolution.weight), convolution.num_pitches, convolution.lowest, REACH
