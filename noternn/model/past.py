"""What a network remembers of the ids before the last, beside its units, and what it makes of that.

Both kinds come to the same bits; where it was compiled, `CompiledPast` is many times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noternn.model.intervals import MAX_INTERVAL
from noternn.model.lstm import NoteLSTM
from noternn.model.products import MAX_STREAMS, Product

try:
    from noternn.model import steps as steps
except ImportError:  # there was no compiler
    steps = None  # type: ignore[assignment]

Recalled = tuple[Tensor, Tensor]  # rows of the table (n, rows a stream), counts (n, 12 * number of spans)


class Past(Protocol):
    """The last ids of some streams, where they stand in their pieces, and their last pitches.

    `pitches` and `ages` are both (num_streams, MEMORY), as `Intervals.recall` gives them.
    """

    pitches: Tensor
    ages: Tensor
    #: recent (num_input_tokens - 1, n), clock (2, n), pitches (2, n, memory)
    state: tuple[Any, ...]

    def recall(self, ids: Sequence[int]) -> Recalled:
        """What is to be added after one more id each, for `gather`."""

    def gather(self, recalled: Recalled) -> Tensor:
        """The sums of all that comes before the first layer's recurrent weights, (n, width)."""

    def add_scores(self, logits: Tensor, which: Tensor, scores: Tensor, convolved: Tensor | None) -> None:
        """Add what the last pitches say of the next one.

        Args:
            logits: (num_streams, vocab_size), changed in place.
            which: (n,) the streams that are meant.
            scores: (n, num_pitches * (2 * MAX_INTERVAL + 1)).
            convolved: (n, pitches) the scores of the convolution, if there is one.
        """

    def select(self, streams: Sequence[int]) -> None:
        """Go on with these streams, by their numbers, in this order; one may stand there several times."""

    def put_back(self, state: tuple[Any, ...], streams: Sequence[int]) -> None:
        """Go on with a state in which the streams of now stand in the places of these."""


class TorchPast:
    """By torch.

    Args:
        network: whose past it is.
        table: (rows, width) what each of the last ids, each place and each of the last pitches adds.
        classes: the product with the weights of `Intervals.classes`, if there are intervals.
    """

    def __init__(self, network: NoteLSTM, table: Tensor, classes: Product | None) -> None:
        self.network, self.table, self.classes = network, table, classes
        self.state: tuple[Tensor, ...] = network.initial_state(1)[2:]
        self.pitches, self.ages = self.state[2]
        vocab_size = network.embedding.num_embeddings
        sizes = [vocab_size] * network.num_input_tokens + [len(table) for table in network.places]
        self.first_row = torch.tensor([0, *sizes]).cumsum(0)  # of each part of the table
        self.before = len(sizes)  # rows that are added before the counts are

    def recall(self, ids: Sequence[int]) -> Recalled:
        """See `Past`."""
        network, last = self.network, torch.tensor(ids)
        recent, clock, last_pitches = self.state
        known = torch.cat([recent, last[None]])  # (num_input_tokens, n)
        columns = list(known)
        counts = torch.zeros(len(ids), 0)
        if network.tells_time:
            places, onsets, clock = network.places_after(last[:, None], clock)
            columns += [place[:, 0] for place in places]
        rows = torch.stack(columns, 1) + self.first_row[: self.before]
        if network.intervals is not None:
            pitches, ages, last_pitches = network.intervals.recall(last[:, None], onsets, last_pitches)
            self.pitches, self.ages = pitches[:, 0], ages[:, 0]
            counts = network.intervals.counts(self.pitches)
            rows = torch.cat([rows, network.intervals.rows(self.pitches) + self.first_row[-1]], 1)
        self.state = known[1:], clock, last_pitches
        return rows, counts

    def gather(self, recalled: Recalled) -> Tensor:
        """See `Past`."""
        rows, counts = recalled
        first, *others = rows.T
        sums = self.table[first]
        for number, row in enumerate(others, 1):
            if number == self.before and self.classes is not None:
                sums = sums + self.classes(counts)
            sums = sums + self.table[row]
        return sums

    def add_scores(self, logits: Tensor, which: Tensor, scores: Tensor, convolved: Tensor | None) -> None:
        """See `Past`."""
        intervals = self.network.intervals
        assert intervals is not None
        added = logits[which] + intervals.spread(scores, self.pitches[which])
        if convolved is not None and intervals.convolution is not None:
            added += intervals.convolution.spread(convolved)
        logits[which] = added

    def select(self, streams: Sequence[int]) -> None:
        """See `Past`."""
        which = torch.tensor(streams)
        self.state = tuple(part[:, which] for part in self.state)

    def put_back(self, state: tuple[Any, ...], streams: Sequence[int]) -> None:
        """See `Past`."""
        which = torch.tensor(streams)
        whole = tuple(part.clone() for part in state)
        for part, stepped in zip(whole, self.state, strict=True):
            part[:, which] = stepped
        self.state = whole


class CompiledPast:
    """By `steps.c`; arguments as those of `TorchPast`."""

    def __init__(self, network: NoteLSTM, table: Tensor, classes: Product | None) -> None:
        intervals = network.intervals
        self.table, self.classes = table.contiguous(), classes
        self.num_pitches = 0 if intervals is None else intervals.num_pitches
        num_places = len(network.places)
        self.before = network.num_input_tokens + num_places
        self.num_rows = self.before + self.num_pitches
        self.num_counts = 0 if intervals is None else intervals.classes.in_features
        self.sizes = (network.num_input_tokens, network.num_slots, self.num_pitches, MAX_INTERVAL)
        none = torch.zeros(0, dtype=torch.int64)
        heard, spans, weights = none, none, torch.zeros(0)
        self.place = self.column = none.numpy()
        if intervals is not None:
            heard, spans, weights = intervals.pitches, intervals.span, intervals.weight
            self.place = intervals.place.numpy()
            if intervals.convolution is not None:
                self.column = intervals.convolution.column.numpy()
        periods = torch.tensor(network.periods, dtype=torch.int64)
        constants = (network.token_steps, heard, periods, spans, weights)
        self.constants = tuple(np.ascontiguousarray(part.numpy()) for part in constants)
        self.memory = len(spans)
        self.state = tuple(part.numpy() for part in network.initial_state(1)[2:])
        self._allocate(1)

    def _allocate(self, num_streams: int) -> None:
        """Room for what a step writes beside the state."""
        n = num_streams
        self.ids = np.zeros(n, dtype=np.int64)
        self.buffers: tuple[NDArray[Any], ...] = (
            *self.state,
            np.zeros((n, self.memory), dtype=np.int64),  # ages
            np.zeros((n, self.num_rows), dtype=np.int64),
            np.zeros((n, self.num_counts), dtype=np.float32),
            self.ids,
            *self.constants,  # of ids (vocab_size,) steps, pitches plus 1; periods; spans (memory,), weights
        )
        pitches, self.ages, rows, counts = (torch.from_numpy(part) for part in self.buffers[2:6])
        self.pitches = pitches[0]
        self.recalled = rows, counts

    def recall(self, ids: Sequence[int]) -> Recalled:
        """See `Past`; what it returns is overwritten by the next call."""
        self.ids[:] = ids
        steps.recall(self.buffers, *self.sizes)
        return self.recalled

    def gather(self, recalled: Recalled) -> Tensor:
        """See `Past`."""
        rows, counts = recalled
        sums = torch.zeros(len(rows), self.table.shape[1]) if self.classes is None else self.classes(counts)
        steps.add_rows((sums.numpy(), rows.numpy(), self.table.numpy()), len(rows), self.before)
        return sums

    def add_scores(self, logits: Tensor, which: Tensor, scores: Tensor, convolved: Tensor | None) -> None:
        """See `Past`."""
        given = np.zeros(0, dtype=np.float32) if convolved is None else convolved.numpy()
        heard = self.buffers[2][0]
        buffers = (logits.numpy(), which.numpy(), scores.numpy(), heard, self.place, given, self.column)
        steps.add_scores(buffers, len(logits), self.num_pitches, MAX_INTERVAL)

    def select(self, streams: Sequence[int]) -> None:
        """See `Past`."""
        which = np.array(streams)
        self.state = tuple(np.ascontiguousarray(part[:, which]) for part in self.state)
        self._allocate(len(which))

    def put_back(self, state: tuple[Any, ...], streams: Sequence[int]) -> None:
        """See `Past`."""
        for part, stepped in zip(state, self.state, strict=True):
            part[:, np.array(streams)] = stepped
        self.state = state
        self._allocate(state[0].shape[1])


def build_past(network: NoteLSTM, table: Tensor, classes: Product | None) -> Past:
    """Compiled if it can be."""
    kind = TorchPast if steps is None else CompiledPast
    return kind(network, table, classes)


def recall_each(past: Past, ids: Sequence[int]) -> Recalled:
    """What `recall` gives after each further id of a single stream, one below the other."""
    recalled = [tuple(part.clone() for part in past.recall([id_])) for id_ in ids]
    rows, counts = (torch.cat(parts) for parts in zip(*recalled, strict=True))
    return rows, counts


def gather_each(past: Past, recalled: Recalled) -> Tensor:
    """What `gather` gives for each of any number of rows, (number, width)."""
    rows, counts = recalled
    spans = [slice(start, start + MAX_STREAMS) for start in range(0, len(rows), MAX_STREAMS)]
    return torch.cat([past.gather((rows[span], counts[span])) for span in spans])
