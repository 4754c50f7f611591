"""The network one id a stream at a time: what composing needs, with the weights read once a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from noternn.model.draft import CompiledDraft, can_draft
from noternn.model.intervals import REACH, PitchConvolution
from noternn.model.lstm import NetworkState, NoteLSTM
from noternn.model.past import Recalled, build_past, gather_each, recall_each
from noternn.model.products import Pairs, Product, build_products, rowwise_products
from noternn.model.weights import class_table, gated_layers, input_table, memory_tables


class Stepper(Protocol):
    """A network in evaluation mode and the states of some streams; it starts with one stream."""

    def step(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """Log-probabilities of the next id, shape (num_streams, vocab_size), after one more id each."""

    def select(self, streams: Sequence[int]) -> None:
        """Go on with these streams, by their numbers, in this order; one may stand there several times."""


class Lanes(Stepper, Protocol):
    """Streams that need not advance together."""

    def read(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """What `step` returns for the last of some ids, at least one, of a single stream."""

    def step_some(self, ids: Sequence[int], streams: Sequence[int]) -> NDArray[np.float64]:
        """Go on by an id each in these streams alone.

        Returns:
            What `step` would give for each of them, (len(streams), vocab_size), bit for bit on a CPU.
        """


def build_lanes(network: NoteLSTM) -> Lanes:
    """The fastest lanes for where the network is; see `build_stepper`."""
    return PreparedStepper(network, build_products) if _is_prepared(network) else ModuleStepper(network)


def build_stepper(network: NoteLSTM, num_streams: int) -> Stepper:
    """The fastest stepper for where the network is.

    On a CPU a stream's numbers do not depend, bit for bit, on how many others are stepped with it, but for
    the drafts of one stream: see `DraftStepper`. The weights are copied: a network that changes later needs
    another stepper.
    """
    if not _is_prepared(network):
        return ModuleStepper(network)
    return DraftStepper(network) if num_streams == 1 else PreparedStepper(network, build_products)


def _is_prepared(network: NoteLSTM) -> bool:
    weight = network.embedding.weight
    return weight.device.type == "cpu" and weight.dtype == torch.float32


class ModuleStepper:
    """The network's own `forward`, on any device."""

    def __init__(self, network: NoteLSTM) -> None:
        self.network = network
        self.device = network.embedding.weight.device
        self.state: NetworkState | None = None
        self.recall = None if network.memory is None else network.memory.recall()

    def step(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """See `Stepper`."""
        return self._step(ids, None)

    @torch.no_grad()
    def _step(self, ids: Sequence[int], streams: Sequence[int] | None) -> NDArray[np.float64]:
        inputs = torch.tensor(ids, device=self.device)[:, None]  # (num_streams, 1)
        suggested = None
        if self.recall is not None:
            suggested = torch.from_numpy(self.recall.append(ids, streams)).to(self.device)[:, None]
        logits, self.state = self.network(inputs, self.state, suggested)
        return _log_softmax(logits[:, 0].cpu())

    def read(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """See `Lanes`."""
        for id_ in ids:
            log_probs = self.step([id_])
        return log_probs

    def step_some(self, ids: Sequence[int], streams: Sequence[int]) -> NDArray[np.float64]:
        """See `Lanes`."""
        assert self.state is not None
        which, whole = torch.tensor(streams, device=self.device), self.state
        self.state = whole.map(lambda part: part[:, which].contiguous())
        log_probs = self._step(ids, streams)
        for part, stepped in zip(whole, self.state, strict=True):
            part[:, which] = stepped
        self.state = whole
        return log_probs

    def select(self, streams: Sequence[int]) -> None:
        """See `Stepper`."""
        assert self.state is not None
        which = torch.tensor(streams, device=self.device)
        self.state = self.state.map(lambda part: part[:, which].contiguous())
        if self.recall is not None:
            self.recall.select(streams)


class PreparedStepper:
    """The network's equations over weights laid out once, for float32 on a CPU.

    `nn.LSTM` lays its weights out anew at every call, which takes longer than a step. Here all that
    comes before the first layer's recurrent weights is looked up in a table and added, and each further
    layer is one product with its input and recurrent weights side by side.

    Args:
        network: whose weights are copied.
        build: makes the products with some (weight, bias), such as `build_products`.
    """

    @torch.no_grad()
    def __init__(self, network: NoteLSTM, build: Callable[[Pairs], Sequence[Product]]) -> None:
        self.network = network
        self.size = network.hidden_size
        self.is_before_pitch = network.before_pitch.tolist()
        intervals = network.intervals
        layers = gated_layers(network)
        linear = [module for module in network.head.modules() if isinstance(module, nn.Linear)]
        pairs = [(layers[0][1], torch.zeros(4 * self.size))]
        pairs += [(torch.cat([w_ih, w_hh], 1), bias) for w_ih, w_hh, bias in layers[1:]]
        pairs += [(module.weight, module.bias) for module in linear]
        if intervals is not None:
            classes = class_table(network, layers[0][0])
            pairs += [(classes.T, torch.zeros(classes.shape[1]))]
            pairs += [(intervals.scores.weight, intervals.scores.bias)]
        self.convolution = intervals.convolution if intervals is not None else None
        if self.convolution is not None:
            pairs += [(self.convolution.hidden.weight, self.convolution.hidden.bias)]
            self.kernel = self._kernel(self.convolution)
        self.memory = network.memory
        self.recall = None if self.memory is None else self.memory.recall()
        if self.memory is not None:
            pairs += [(self.memory.boosts.weight, self.memory.boosts.bias)]
        products = list(build(pairs))
        self.boosts = products.pop() if self.memory is not None else None
        self.channels = products.pop() if self.convolution is not None else None
        self.scores = products.pop() if intervals is not None else None
        classes_product = products.pop() if intervals is not None else None
        self.recurrent, self.head = products[: len(layers)], products[len(layers) :]
        tables = [input_table(network, *layers[0][::2])]
        if self.memory is not None:
            tables += memory_tables(network, self.memory, layers[0][0])
            self.first_id, self.first_class = (
                len(tables[0]),
                len(tables[0]) + len(tables[1]),
            )  # rows of the table
        self.past = build_past(network, torch.cat(tables), classes_product)
        hidden, cell, *_ = network.initial_state(1)
        self.hidden, self.cell = list(hidden), list(cell)

    def _kernel(self, convolution: PitchConvolution) -> Tensor:
        """The convolution's weights, for `_convolve`."""
        if convolution.is_compiled:
            return convolution.laid_out()
        return convolution.weight.flatten(1).T.contiguous()

    def step(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """See `Stepper`."""
        return self._step(ids, None)

    @torch.no_grad()
    def step_some(self, ids: Sequence[int], streams: Sequence[int]) -> NDArray[np.float64]:
        """See `Lanes`."""
        which = torch.tensor(streams)
        hidden, cell, kept = self.hidden, self.cell, self.past.state
        self.hidden, self.cell = ([part[which] for part in parts] for parts in (hidden, cell))
        self.past.select(streams)
        log_probs = self._step(ids, streams)
        for part, stepped in zip((*hidden, *cell), (*self.hidden, *self.cell), strict=True):
            part[which] = stepped
        self.hidden, self.cell = hidden, cell
        self.past.put_back(kept, streams)
        return log_probs

    @torch.no_grad()
    def _step(self, ids: Sequence[int], streams: Sequence[int] | None) -> NDArray[np.float64]:
        recalled = self.past.recall(ids)
        if self.recall is not None:
            self.suggested = torch.from_numpy(self.recall.append(ids, streams))
            recalled = self._with_suggested(recalled, self.suggested)
        return self._log_probs(ids, self._run_layers(self.past.gather(recalled)))

    @torch.no_grad()
    def read(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """See `Lanes`."""
        recalled = recall_each(self.past, ids)
        if self.recall is not None:
            suggested = torch.from_numpy(np.concatenate([self.recall.append([id_]) for id_ in ids]))
            recalled, self.suggested = self._with_suggested(recalled, suggested), suggested[-1:]
        for looked_up in gather_each(self.past, recalled):
            values = self._run_layers(looked_up[None])
        return self._log_probs(ids[-1:], values)

    def _with_suggested(self, recalled: Recalled, suggested: Tensor) -> Recalled:
        """What was recalled, and the rows of what the pieces' past suggests."""
        assert self.memory is not None
        rows, counts = recalled
        ids, classes = self.memory.rows(suggested)
        return torch.cat([rows, ids + self.first_id, classes + self.first_class], 1), counts

    def _run_layers(self, looked_up: Tensor) -> Tensor:
        """The values that the head reads, (n, size), from what was looked up, (n, width)."""
        gates, values = looked_up[:, : 4 * self.size], looked_up[:, 4 * self.size :]
        for layer, product in enumerate(self.recurrent):
            if layer:
                gates = product(torch.cat([values, self.hidden[layer]], 1))
            else:
                gates = product(self.hidden[0]).add_(gates)
            output = self._advance(layer, gates)
            values = values + output if self.network.residual else output
        return values

    def _advance(self, layer: int, gates: Tensor) -> Tensor:
        """The layer's new hidden state from its gates before their non-linearities, (n, 4 * size)."""
        i, f, o = gates[:, : 3 * self.size].sigmoid_().chunk(3, dim=1)
        g = gates[:, 3 * self.size :].tanh_()
        cell = self.cell[layer].mul_(f).addcmul_(i, g)
        self.hidden[layer] = torch.tanh(cell).mul_(o)
        hidden: Tensor = self.hidden[layer]
        return hidden

    def _log_probs(self, ids: Sequence[int], values: Tensor) -> NDArray[np.float64]:
        below = values
        for product in self.head[:-1]:
            below = product(below).relu_()
        logits = self.head[-1](below)
        if self.scores is not None:
            which = [stream for stream, id_ in enumerate(ids) if self.is_before_pitch[id_]]
            if which:
                self._score(logits, values, torch.tensor(which))
        if self.memory is not None and self.boosts is not None:
            logits = logits + self.memory.spread(self.boosts(values), self.suggested)
        allowed = self.network.allowed_after(torch.tensor(ids))
        if allowed is not None:
            logits.masked_fill_(~allowed, -torch.inf)
        return _log_softmax(logits)

    def _score(self, logits: Tensor, values: Tensor, which: Tensor) -> None:
        """Add what the last pitches of some streams say of the next one."""
        assert self.scores is not None
        values = values[which]
        convolved = None
        if self.convolution is not None and self.channels is not None:
            convolved = self._convolve(self.channels(values), self.convolution, which)
        self.past.add_scores(logits, which, self.scores(values), convolved)

    def _convolve(self, hidden: Tensor, convolution: PitchConvolution, which: Tensor) -> Tensor:
        """The scores of pitches, (n, pitches); each stream is a matrix of its own, for the same bits."""
        pitches, ages = self.past.pitches[which], self.past.ages[which]
        if convolution.is_compiled:
            found = convolution.sums(self.kernel, pitches, ages)  # (n, pitches, channels)
        else:
            rolls = convolution.rolls(pitches, ages)
            windows = rolls.unfold(2, 2 * REACH + 1, 1).transpose(1, 2).flatten(2)  # (n, pitches, weights)
            found = torch.from_numpy(np.matmul(windows.numpy(), self.kernel.numpy()))
        channels = found.add_(hidden[:, None]).relu_()
        return torch.from_numpy(np.matmul(channels.numpy(), convolution.output.weight[0].numpy()))

    def select(self, streams: Sequence[int]) -> None:
        """See `Stepper`."""
        which = torch.tensor(streams)
        self.hidden = [part[which] for part in self.hidden]
        self.cell = [part[which] for part in self.cell]
        self.past.select(streams)
        if self.recall is not None:
            self.recall.select(streams)

    def take_over(self, hidden: Sequence[Tensor], cell: Sequence[Tensor]) -> None:
        """Go on with these units, each (num_streams, size)."""
        self.hidden, self.cell = ([part.clone() for part in parts] for parts in (hidden, cell))


class DraftStepper:
    """One stream, in a fraction of the time that products which are the same for any number of streams take.

    Its log-probabilities are off by rounding, far less than `TOLERANCE`. Where that might change what is
    drawn, `settle` gives the exact ones: it leads a `PreparedStepper` through the ids since its last step.
    """

    TOLERANCE = 1e-5  # nats; the largest difference seen was 7e-6, with a trained network after 1,000 ids

    def __init__(self, network: NoteLSTM) -> None:
        self.network = network
        self.draft: CompiledDraft | PreparedStepper
        self.draft = CompiledDraft(network) if can_draft() else PreparedStepper(network, rowwise_products)
        self.exact: PreparedStepper | None = None  # few samples need it
        self.pending: list[int] = []

    def step(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """See `Stepper`."""
        self.pending += ids
        return self.draft.step(ids)

    def settle(self) -> NDArray[np.float64]:
        """What the last `step` would have returned without the draft's rounding."""
        self.exact = self.exact or PreparedStepper(self.network, build_products)
        log_probs = self.exact.read(self.pending)
        self.pending.clear()
        self.draft.take_over(self.exact.hidden, self.exact.cell)
        return log_probs

    def select(self, streams: Sequence[int]) -> None:
        """See `Stepper`."""
        assert list(streams) == [0]


def _log_softmax(logits: Tensor) -> NDArray[np.float64]:
    log_probs: NDArray[np.float64] = logits.double().log_softmax(-1).numpy()
    return log_probs
