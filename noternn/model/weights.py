"""The weights of a network as steps take them: sigmoids side by side, and one table of what is looked up."""

from __future__ import annotations

import torch
from torch import Tensor

from noternn.model.lstm import NoteLSTM
from noternn.model.memory import PieceMemory

Layer = tuple[Tensor, Tensor, Tensor]  # input (4 * size, in), recurrent (4 * size, size), bias (4 * size,)


def gated_layers(network: NoteLSTM) -> list[Layer]:
    """The weights of each layer, by gates in the order of input, forget, output, cell."""
    i, f, g, o = torch.arange(4 * network.hidden_size).chunk(4)  # torch's order of the gates
    order = torch.cat([i, f, o, g])
    layers = [[part[order] for part in layer.parameters()] for layer in network.layers]
    return [(w_ih, w_hh, b_ih + b_hh) for w_ih, w_hh, b_ih, b_hh in layers]


def input_table(network: NoteLSTM, w_ih: Tensor, bias: Tensor) -> Tensor:
    """What comes before the first layer's recurrent weights, (rows, width).

    The rows are those of the last ids, the oldest first, of the places and of the last pitches. The bias of
    the layer is in those of the latest id.
    """
    tables = _first_layer(network, network.input_tables(network.embedding.weight), w_ih)
    tables[-1] += torch.nn.functional.pad(bias, (0, tables.shape[-1] - len(bias)))
    parts = [tables.flatten(0, 1), *(_first_layer(network, place, w_ih) for place in network.places)]
    if network.intervals is not None:
        parts.append(_first_layer(network, network.intervals.table.flatten(0, 1), w_ih))
    return torch.cat(parts)


def memory_tables(network: NoteLSTM, memory: PieceMemory, w_ih: Tensor) -> tuple[Tensor, Tensor]:
    """What suggested ids and the classes of their matches come to before the same weights, (rows, width)."""
    ids, classes = memory.tables(network.embedding.weight)
    return _first_layer(network, ids.flatten(0, 1), w_ih), _first_layer(network, classes, w_ih)


def class_table(network: NoteLSTM, w_ih: Tensor) -> Tensor:
    """What each count of `Intervals.counts` comes to before the same weights, (counts, width)."""
    assert network.intervals is not None
    return _first_layer(network, network.intervals.classes.weight.T, w_ih)


def _first_layer(network: NoteLSTM, tables: Tensor, w_ih: Tensor) -> Tensor:
    """What is added to the first layer's gates and, if it is residual, the layer's input beside them."""
    gates = tables @ w_ih.T
    return torch.cat([gates, tables], -1) if network.residual else gates
