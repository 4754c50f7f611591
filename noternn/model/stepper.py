"""The network one id a stream at a time: what composing needs, with the weights read once a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from noternn.model.intervals import REACH, PitchConvolution
from noternn.model.lstm import NetworkState, NoteLSTM

MAX_STREAMS = 64  # more at once gain nothing: the weights are read once for all of these


class Stepper(Protocol):
    """A network in evaluation mode and the states of some streams; it starts with one stream."""

    def step(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """Log-probabilities of the next id, shape (num_streams, vocab_size), after one more id each."""

    def repeat(self, num_streams: int) -> None:
        """Go on with this many streams, all in the state of the first."""


def build_stepper(network: NoteLSTM, num_streams: int) -> Stepper:
    """The fastest stepper for where the network is.

    On a CPU a stream's numbers do not depend, bit for bit, on how many others are stepped with it, but for
    the drafts of one stream: see `DraftStepper`. The weights are copied: a network that changes later needs
    another stepper.
    """
    weight = network.embedding.weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return ModuleStepper(network)
    return DraftStepper(network) if num_streams == 1 else PreparedStepper(network, build_products)


class ModuleStepper:
    """The network's own `forward`, on any device."""

    def __init__(self, network: NoteLSTM) -> None:
        self.network = network
        self.device = network.embedding.weight.device
        self.state: NetworkState | None = None

    @torch.no_grad()
    def step(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """See `Stepper`."""
        inputs = torch.tensor(ids, device=self.device)[:, None]  # (num_streams, 1)
        logits, self.state = self.network(inputs, self.state)
        return _log_softmax(logits[:, 0].cpu())

    def repeat(self, num_streams: int) -> None:
        """See `Stepper`."""
        assert self.state is not None
        self.state = self.state.map(
            lambda part: part[:, :1].expand(-1, num_streams, *part.shape[2:]).contiguous()
        )


class PreparedStepper:
    """The network's equations over weights laid out once, for float32 on a CPU.

    `nn.LSTM` lays its weights out anew at every call, which takes longer than a step. Here all that
    comes before the first layer's recurrent weights is looked up in tables and added, and each further
    layer is one product with its input and recurrent weights side by side.

    Args:
        network: whose weights are copied.
        build: makes the products with some (weight, bias), such as `build_products`.
    """

    @torch.no_grad()
    def __init__(self, network: NoteLSTM, build: Callable[[Pairs], Sequence[Product]]) -> None:
        self.network = network
        self.size = network.hidden_size
        i, f, g, o = torch.arange(4 * self.size).chunk(4)  # torch's order of the gates
        order = torch.cat([i, f, o, g])  # the three sigmoids side by side
        layers = [[part[order] for part in layer.parameters()] for layer in network.layers]
        w_ih, w_hh, b_ih, b_hh = layers[0]
        bias = b_ih + b_hh
        self.tables = self._tables(network.input_tables(network.embedding.weight), w_ih)
        self.tables[-1] += torch.nn.functional.pad(bias, (0, self.tables.shape[-1] - len(bias)))
        self.places = [self._tables(table, w_ih) for table in network.places]
        self.intervals = network.intervals
        if self.intervals is not None:
            self.read_intervals = self._tables(self.intervals.table.flatten(0, 1), w_ih)
            classes = self._tables(self.intervals.classes.weight.T, w_ih)  # (counts, as much as above)
        linear = [module for module in network.head.modules() if isinstance(module, nn.Linear)]
        pairs = [(w_hh, torch.zeros(4 * self.size))]
        pairs += [(torch.cat([w_ih, w_hh], 1), b_ih + b_hh) for w_ih, w_hh, b_ih, b_hh in layers[1:]]
        pairs += [(module.weight, module.bias) for module in linear]
        if self.intervals is not None:
            pairs += [(classes.T, torch.zeros(classes.shape[1]))]
            pairs += [(self.intervals.scores.weight, self.intervals.scores.bias)]
        self.convolution = self.intervals.convolution if self.intervals is not None else None
        if self.convolution is not None:
            pairs += [(self.convolution.hidden.weight, self.convolution.hidden.bias)]
            self.kernel = self._kernel(self.convolution)
        products = list(build(pairs))
        self.channels = products.pop() if self.convolution is not None else None
        self.scores = products.pop() if self.intervals is not None else None
        self.classes = products.pop() if self.intervals is not None else None
        self.recurrent, self.head = products[: len(layers)], products[len(layers) :]
        hidden, cell, self.recent, self.clock, self.pitches = network.initial_state(1)
        self.hidden, self.cell = list(hidden), list(cell)

    def _tables(self, tables: Tensor, w_ih: Tensor) -> Tensor:
        """What is added to the first layer's gates and, if it is residual, the layer's input beside them."""
        gates = tables @ w_ih.T
        return torch.cat([gates, tables], -1) if self.network.residual else gates

    def _kernel(self, convolution: PitchConvolution) -> Tensor:
        """The convolution's weights, for `_convolve`."""
        if convolution.is_compiled:
            return convolution.laid_out()
        return convolution.weight.flatten(1).T.contiguous()

    def _look_up(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """What is added to the first layer's gates, (n, 4 * size), and its input if it is residual."""
        known = torch.cat([self.recent, ids[None]])  # (num_input_tokens, n)
        self.recent = known[1:]
        row = self.tables[0, known[0]]
        for table, column in zip(self.tables[1:], known[1:], strict=True):
            row = row + table[column]
        if self.network.tells_time:
            columns, onsets, self.clock = self.network.places_after(ids[:, None], self.clock)
            for table, place in zip(self.places, columns, strict=True):
                row = row + table[place[:, 0]]
        if self.intervals is not None and self.classes is not None:
            pitches, ages, self.pitches = self.intervals.recall(ids[:, None], onsets, self.pitches)
            self.ages = ages[:, 0]
            row = row + self.classes(self.intervals.counts(pitches[:, 0]))
            for column in self.intervals.rows(pitches[:, 0]).T:
                row = row + self.read_intervals[column]
        return row[:, : 4 * self.size], row[:, 4 * self.size :]

    @torch.no_grad()
    def step(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """See `Stepper`."""
        last = torch.tensor(ids)
        looked_up, values = self._look_up(last)
        for layer, product in enumerate(self.recurrent):
            if layer:
                gates = product(torch.cat([values, self.hidden[layer]], 1))
            else:
                gates = product(self.hidden[0]).add_(looked_up)
            output = self._advance(layer, gates)
            values = values + output if self.network.residual else output
        logits = self._logits(values)
        if self.network.followers is not None:
            logits.masked_fill_(~self.network.followers[last], -torch.inf)
        return _log_softmax(logits)

    def _logits(self, values: Tensor) -> Tensor:
        below = values
        for product in self.head[:-1]:
            below = product(below).relu_()
        logits = self.head[-1](below)
        if self.intervals is not None and self.scores is not None:
            logits.add_(self.intervals.spread(self.scores(values), self.pitches[0]))
        if self.convolution is not None and self.channels is not None:
            logits.add_(self._convolve(self.channels(values), self.convolution))
        return logits

    def _convolve(self, hidden: Tensor, convolution: PitchConvolution) -> Tensor:
        """What the convolution adds to the logits; each stream is a matrix of its own, for the same bits."""
        if convolution.is_compiled:
            found = convolution.sums(self.kernel, self.pitches[0], self.ages)  # (n, pitches, channels)
        else:
            rolls = convolution.rolls(self.pitches[0], self.ages)
            windows = rolls.unfold(2, 2 * REACH + 1, 1).transpose(1, 2).flatten(2)  # (n, pitches, weights)
            found = torch.from_numpy(np.matmul(windows.numpy(), self.kernel.numpy()))
        channels = found.add_(hidden[:, None]).relu_()
        scores = np.matmul(channels.numpy(), convolution.output.weight[0].numpy())
        return convolution.spread(torch.from_numpy(scores))

    def _advance(self, layer: int, gates: Tensor) -> Tensor:
        """The layer's new hidden state from its gates before their non-linearities, (n, 4 * size)."""
        i, f, o = gates[:, : 3 * self.size].sigmoid_().chunk(3, dim=1)
        g = gates[:, 3 * self.size :].tanh_()
        cell = self.cell[layer].mul_(f).addcmul_(i, g)
        self.hidden[layer] = torch.tanh(cell).mul_(o)
        hidden: Tensor = self.hidden[layer]
        return hidden

    def repeat(self, num_streams: int) -> None:
        """See `Stepper`."""
        self.hidden = [part[:1].repeat(num_streams, 1) for part in self.hidden]
        self.cell = [part[:1].repeat(num_streams, 1) for part in self.cell]
        self.recent = self.recent[:, :1].repeat(1, num_streams)
        self.clock = self.clock[:, :1].repeat(1, num_streams)
        self.pitches = self.pitches[:, :1].repeat(1, num_streams, 1)


class DraftStepper:
    """One stream, in half the time that products which are the same for any number of streams take.

    Its log-probabilities are off by rounding, far less than `TOLERANCE`. Where that might change what is
    drawn, `settle` gives the exact ones: it steps a `PreparedStepper` through the ids since its last step.
    """

    TOLERANCE = 1e-5  # nats; the largest difference seen was 3e-6, with weights four times as large as usual

    def __init__(self, network: NoteLSTM) -> None:
        self.network = network
        self.draft = PreparedStepper(network, _rowwise)
        self.exact: PreparedStepper | None = None  # few samples need it
        self.pending: list[int] = []

    def step(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """See `Stepper`."""
        self.pending += ids
        return self.draft.step(ids)

    def settle(self) -> NDArray[np.float64]:
        """What the last `step` would have returned without the draft's rounding."""
        self.exact = self.exact or PreparedStepper(self.network, build_products)
        for id_ in self.pending:
            log_probs = self.exact.step([id_])
        self.pending.clear()
        self.draft.hidden = [part.clone() for part in self.exact.hidden]
        self.draft.cell = [part.clone() for part in self.exact.cell]
        return log_probs

    def repeat(self, num_streams: int) -> None:
        """See `Stepper`."""
        assert num_streams == 1


def _log_softmax(logits: Tensor) -> NDArray[np.float64]:
    log_probs: NDArray[np.float64] = logits.double().log_softmax(-1).numpy()
    return log_probs


# Products in which no row depends on how many there are. A BLAS promises no such thing: it takes other
# routines, with other orders of summation, for one row than for several.


class PackedProduct:
    """`rows @ weight.T + bias` over weights in the layout that oneDNN wants; see `is_steady`."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.bias = bias
        # torch.compile's own way to oneDNN; there is no public one that keeps the layout
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), MAX_STREAMS)

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows (n, in) -> (n, out)."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.packed, self.bias, "none", [], "")
        return result

    def is_steady(self, width: int) -> bool:
        """Whether rows, of this width, come out the same alone and among others on this machine."""
        rows = torch.randn(MAX_STREAMS, width, generator=torch.Generator().manual_seed(0))
        alone = torch.cat([self(rows[k : k + 1]) for k in range(7)])
        return torch.equal(self(rows)[:7], alone) and torch.equal(self(rows[:7]), alone)


class RowwiseProduct:
    """`rows @ weight.T + bias`, a row after the other: the same alone and among others by construction."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight = np.ascontiguousarray(weight.detach().numpy().T)
        self.bias = bias

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows (n, in) -> (n, out)."""
        stack = rows.numpy()[:, None]  # (n, 1, in): numpy multiplies each matrix of a stack by itself
        return torch.from_numpy(np.matmul(stack, self.weight)[:, 0]).add_(self.bias)


Product = PackedProduct | RowwiseProduct
Pairs = Sequence[tuple[Tensor, Tensor]]  # weight (out, in) and bias (out,)


def build_products(pairs: Pairs) -> Sequence[Product]:
    """Packed if this machine has such products, and they are steady."""
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if has_onednn and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        packed = [PackedProduct(weight, bias) for weight, bias in pairs]
        if all(p.is_steady(weight.shape[1]) for p, (weight, _) in zip(packed, pairs, strict=True)):
            return packed
    return _rowwise(pairs)


def _rowwise(pairs: Pairs) -> Sequence[Product]:
    return [RowwiseProduct(weight, bias) for weight, bias in pairs]
