"""An LSTM layer that trains in bfloat16 on a CPU, compiled for processors with units for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

try:
    from noternn.model import bf16_steps as bf16_steps
except ImportError:  # there was no compiler, or none that knows such units
    bf16_steps = None  # type: ignore[assignment]

UNITS = 16  # of a register
TILE = 4 * UNITS  # hidden units that are computed together: a layer's size must be a multiple of it

State = tuple[Tensor, Tensor]


def recur(values: Tensor, state: State, weights: tuple[Tensor, ...]) -> tuple[Tensor, State]:
    """What an LSTM layer makes of values, with numbers rounded to bfloat16 where they are multiplied.

    Sums, gates, cells and what is returned have 32 bits; where nothing is compiled oneDNN rounds these too.
    oneDNN's layer also goes back at the speed of 32 bits where a batch has few rows.

    Args:
        values: (batch, time, input_size) of 32 bits, on the CPU.
        state: hidden units and cells, each (1, batch, hidden_size).
        weights: w_ih, w_hh, b_ih and b_hh as `nn.LSTM` has them.

    Returns:
        The hidden units (batch, time, hidden_size), and the state after the last time.
    """
    if not _is_compiled(weights[1].shape[1]):
        with torch.autocast("cpu", torch.bfloat16):
            # with biases, 1 layer, no dropout, training, one direction, batch first
            output, hidden, cell = torch.lstm(values, state, weights, True, 1, 0.0, True, False, True)
        return output.float(), (hidden.float(), cell.float())
    w_ih, w_hh, b_ih, b_hh = weights
    found: tuple[Tensor, Tensor, Tensor] = _Recurrence.apply(values, *state, w_ih, w_hh, b_ih + b_hh)  # type: ignore[no-untyped-call]
    output, hidden, cell = found
    return output, (hidden, cell)


def _is_compiled(hidden_size: int) -> bool:
    """Whether there is a recurrence for this processor and a layer of this size."""
    return bf16_steps is not None and torch.cpu._is_avx512_bf16_supported() and hidden_size % TILE == 0


class _Recurrence(torch.autograd.Function):
    """The compiled recurrence; all that need not wait for the step before is a product of matrices."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, hidden: Tensor, cell: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        (batch, time, _), size = values.shape, w_hh.shape[1]
        inputs, w_ih, w_hh = (part.bfloat16() for part in (values.flatten(0, 1), w_ih, w_hh))
        read = torch.addmm(bias.bfloat16(), inputs, w_ih.T)
        hiddens = inputs.new_empty(batch, time + 1, size)
        cells = cell.new_empty(batch, time + 1, size)
        hiddens[:, 0], cells[:, 0] = hidden[0], cell[0]
        gates, output = cell.new_empty(batch, time, 4 * size), cell.new_empty(batch, time, size)
        _call("forward", _tiles_of_gates(w_hh), read, hiddens, cells, gates, output)
        ctx.save_for_backward(inputs, hiddens, cells, gates, w_ih, w_hh)
        return output, output[None, :, -1].clone(), cells[None, :, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, output: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor | None, ...]:
        inputs, hiddens, cells, gates, w_ih, w_hh = ctx.saved_tensors
        of_sums, of_state = inputs.new_empty(gates.shape), torch.cat([hidden, cell])
        _call("backward", _tiles_of_units(w_hh), of_sums, of_state, cells, gates, output.contiguous())
        of_sums = of_sums.flatten(0, 1)
        of_values = (of_sums @ w_ih).float().view(*output.shape[:2], -1) if ctx.needs_input_grad[0] else None
        of_w_ih = (of_sums.T @ inputs).float()
        of_w_hh = (of_sums.T @ hiddens[:, :-1].flatten(0, 1)).float()
        of_bias = of_sums.sum(0, dtype=torch.float32)
        return of_values, of_state[:1], of_state[1:], of_w_ih, of_w_hh, of_bias


def _call(name: str, *parts: Tensor) -> None:
    """Call the compiled recurrence; numpy knows no bfloat16, so that it gets the bits."""
    arrays = [
        part.view(torch.int16).numpy() if part.dtype == torch.bfloat16 else part.numpy() for part in parts
    ]
    getattr(bf16_steps, name)(*arrays, *parts[-1].shape)


def _tiles_of_gates(w_hh: Tensor) -> Tensor:
    """The weights by 16 units with their four gates, in pairs of what they multiply.

    Args:
        w_hh: (4 * size, size).
    """
    size = w_hh.shape[1]
    pairs = w_hh.view(torch.int32).view(4, size // UNITS, UNITS, size // 2)
    return pairs.permute(1, 3, 0, 2).contiguous().view(torch.bfloat16)


def _tiles_of_units(w_hh: Tensor) -> Tensor:
    """The weights by 64 units whose gradient they make, in pairs of what they multiply; as above."""
    size = w_hh.shape[1]
    return w_hh.view(2 * size, 2, size // TILE, TILE).permute(2, 0, 3, 1).contiguous()
