"""`NoteLSTM`: ids and a state -> logits of the next id and the state after it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, embedding_bag

from noternn.model import bf16_layer
from noternn.model.dropout import Dropout, dropout
from noternn.model.intervals import MEMORY, Intervals
from noternn.model.memory import PieceMemory
from noternn.model.recall import Ints, suggestions
from noternn.tokenizer.pitch_kinds import PitchKinds

LABEL_SCALE = 4.0  # so that a label learns about as fast as a token, of which vector and projection learn


class NetworkState(NamedTuple):
    """What is carried along the streams of a batch.

    Args:
        hidden: (num_layers, batch, hidden_size).
        cell: the same shape.
        recent: (num_input_tokens - 1, batch) the last ids.
        clock: (2, batch) the grid steps since the piece began, and how many ids came since time last moved.
        pitches: (2, batch, MEMORY) the last pitches and their onsets, see `Intervals`.
    """

    hidden: Tensor
    cell: Tensor
    recent: Tensor
    clock: Tensor
    pitches: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> NetworkState:
        """The state of which each part is what the function gives for it."""
        return NetworkState(*map(function, self))


class Place(NamedTuple):
    """What the network is told of where a piece stands.

    Args:
        token_steps: (vocab_size,) by how many grid steps each id moves time on.
        periods: lengths in grid steps of a beat, a bar ...: in each the place after every id is told.
        num_slots: how many ids at most are counted since time last moved; 0 does not tell.
    """

    token_steps: Sequence[int]
    periods: Sequence[int] = ()
    num_slots: int = 0


class NoteLSTM(nn.Module):
    """Embedding, LSTM and one or two fully connected layers.

    Two fully connected layers have a ReLU between them (without a non-linearity they would be one
    linear map) and meet at the mean of hidden_size and vocab_size, as in the original Note-RNN.

    Every dropout is a probability from 0 to below 1.

    Args:
        vocab_size: number of ids.
        embedding_dim: width of an id's vector.
        hidden_size: width of each LSTM layer.
        num_layers: number of LSTM layers.
        dropout: of the units between the LSTM layers and, unless told otherwise, at the other places.
        num_fc_layers: 1 or 2.
        input_dropout: of the units that the first layer reads.
        output_dropout: of the units that the fully connected layers read.
        embedding_dropout: of whole ids: all that an id's vector says, wherever it stands in the window
            (Gal and Ghahramani, NeurIPS 2016).
        weight_dropout: of the recurrent weights, anew in each window (DropConnect; Merity et al., ICLR 2018).
        variational: drop the same units at all times of a window, instead of others at each.
        residual: every layer adds to what it reads, instead of taking its place.
        num_input_tokens: how many of the last ids the first layer reads at once, each by its own weights.
        tied: the last fully connected layer has the embedding's weights; with one such layer embedding_dim
            must be hidden_size.
        place: what is told of the place in the piece.
        num_pitches: how many of the last pitches are read and predicted from as intervals, see `Intervals`.
        pitch_channels: of the convolution that scores pitches too, where there are intervals; 0 for none.
        token_pitches: (vocab_size,) the pitch that each id says, -1 for none; needed for `num_pitches`.
        followers: (vocab_size, vocab_size) whether an id may follow another; None if any may.
        memory: how many ids each search of the piece's own past suggests, see `PieceMemory`; 0 for none.
        kinds: of the vocabulary; needed for `memory`.
        before_pitch: (vocab_size,) after which ids one that says a pitch may come. Where there are intervals
            they are scored there alone, and elsewhere no pitch has any probability. None takes it from
            `followers`.
        num_labels: how many labels pieces may have. A vector of a piece's label is added to what the first
            layer reads, at every step: what was told at the start alone would have to survive in the state
            for a whole piece, while gradients reach back a window. (Such a global condition is that of van
            den Oord et al., WaveNet, 2016.) A label says nothing until it has learned to.
    """

    followers: Tensor | None
    before_pitch: Tensor
    token_steps: Tensor

    #: True where the layers multiply numbers of bfloat16 in training; other products are too small to gain
    trains_in_bfloat16 = False

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        num_fc_layers: int,
        *,
        input_dropout: float | None = None,
        output_dropout: float | None = None,
        embedding_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        variational: bool = False,
        residual: bool = False,
        num_input_tokens: int = 1,
        tied: bool = False,
        place: Place | None = None,
        num_pitches: int = 0,
        pitch_channels: int = 0,
        token_pitches: Sequence[int] = (),
        followers: Tensor | None = None,
        memory: int = 0,
        kinds: PitchKinds | None = None,
        before_pitch: Tensor | None = None,
        num_labels: int = 0,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {}  # those that `build_network` was given
        self.hidden_size = hidden_size
        self.dropout = dropout
        self.input_dropout = dropout if input_dropout is None else input_dropout
        self.output_dropout = dropout if output_dropout is None else output_dropout
        self.embedding_dropout = embedding_dropout
        self.weight_dropout = weight_dropout
        self.variational = variational
        self.residual = residual
        self.num_input_tokens = num_input_tokens
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        is_projected = residual or num_input_tokens > 1
        width = hidden_size if is_projected else embedding_dim
        self.projection = None
        if is_projected:
            deviation = (num_input_tokens * embedding_dim) ** -0.5
            self.projection = nn.Parameter(
                deviation * torch.randn(num_input_tokens, embedding_dim, hidden_size)
            )
        place = place or Place([0] * vocab_size)
        self.periods = tuple(place.periods)
        self.num_slots = place.num_slots
        self.register_buffer("token_steps", torch.tensor(list(place.token_steps)))
        sizes = [*self.periods, *([self.num_slots] if self.num_slots else [])]
        self.places = nn.ParameterList(0.1 * torch.randn(size, width) for size in sizes)
        self.intervals = None
        if num_pitches and max(token_pitches, default=-1) >= 0:  # else no token says one
            self.intervals = Intervals(token_pitches, num_pitches, width, hidden_size, pitch_channels)
        self.memory = None
        if memory and kinds is not None:
            self.memory = PieceMemory(kinds, memory, embedding_dim, width, hidden_size)
        # Row 0 is of no label.
        self.labels = nn.Parameter(torch.zeros(num_labels + 1, width)) if num_labels else None
        self.layers = nn.ModuleList(
            nn.LSTM(hidden_size if layer else width, hidden_size, batch_first=True)
            for layer in range(num_layers)
        )
        self.head = self._build_head(vocab_size, num_fc_layers, tied)
        self.register_buffer("followers", followers)
        if before_pitch is None:
            before_pitch = _before_pitch(vocab_size, token_pitches, followers)
        self.register_buffer("before_pitch", before_pitch)

    def _build_head(self, vocab_size: int, num_fc_layers: int, tied: bool) -> nn.Module:
        if num_fc_layers == 1:
            last = nn.Linear(self.hidden_size, vocab_size)
            head: nn.Module = last
        else:
            width = self.embedding.embedding_dim if tied else (self.hidden_size + vocab_size) // 2
            last = nn.Linear(width, vocab_size)
            first = nn.Linear(self.hidden_size, width)
            head = nn.Sequential(first, nn.ReLU(), Dropout(self.output_dropout), last)
        if tied:
            last.weight = self.embedding.weight
        return head

    def forward(
        self,
        ids: Tensor,
        state: NetworkState | None = None,
        suggested: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> tuple[Tensor, NetworkState]:
        """Logits of the id after each one.

        Args:
            ids: (batch, time) integers.
            state: what an earlier call returned, or None at the start of pieces.
            suggested: (batch, time, 2, n) what `suggested` gives for the ids; None without a memory.
            labels: (batch,) the label of each piece, counted from 1; 0, and None, for no label.

        Returns:
            logits (batch, time, vocab_size) and the state after the last id.
        """
        hidden, cell, recent, clock, pitches = self.initial_state(len(ids)) if state is None else state
        known = torch.cat([recent.T, ids], 1)  # (batch, num_input_tokens - 1 + time)
        values = self._embed(known)  # (batch, time, width)
        if self.tells_time:
            columns, onsets, clock = self.places_after(ids, clock)
            for column, table in zip(columns, self.places, strict=True):
                values = values + embedding(column, table)
        if self.intervals is not None:
            last_pitches, ages, pitches = self.intervals.recall(ids, onsets, pitches)
            values = values + self.intervals.read(last_pitches)
        if self.labels is not None:
            rows = torch.zeros_like(ids[:, 0]) if labels is None else labels
            values = values + LABEL_SCALE * embedding(rows, self.labels)[:, None]
        values = self._drop(values, self.input_dropout)
        if self.memory is not None:
            assert suggested is not None, "a network with a memory needs what it suggests"
            values = values + self.memory.read(self.embedding.weight, suggested)
        last: list[tuple[Tensor, Tensor]] = []
        for number, layer in enumerate(self.layers):
            before = hidden[number : number + 1].contiguous(), cell[number : number + 1].contiguous()
            read = self._drop(values, self.dropout) if number else values
            output, after = self._recur(layer, read, before)  # (batch, time, hidden_size)
            values = values + output if self.residual else output
            last.append(after)
        boosts = None if self.memory is None else self.memory.boosts(values)
        values = self._drop(values, self.output_dropout)
        logits = self.head(values)
        if self.intervals is not None:
            logits = self._score_pitches(logits, values, ids, (last_pitches, ages))
        if self.memory is not None and boosts is not None and suggested is not None:
            logits = logits + self.memory.spread(boosts, suggested)
        allowed = self.allowed_after(ids)
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -torch.inf)
        hiddens, cells = zip(*last, strict=True)
        recent = known[:, ids.shape[1] :].T
        return logits, NetworkState(torch.cat(hiddens), torch.cat(cells), recent, clock, pitches)

    def _score_pitches(
        self, logits: Tensor, values: Tensor, ids: Tensor, heard: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Add what the last pitches say of the next; where none may come, pitches are masked later.

        A CPU computes where a pitch may come alone. To know where that is others would have to be waited for.
        """
        assert self.intervals is not None
        if is_far(ids):
            scores = self.intervals.score(values.flatten(0, 1), *(part.flatten(0, 1) for part in heard))
            return logits + scores.view(logits.shape)
        row = self.before_pitch[ids].flatten().nonzero()[:, 0]
        there = (part.flatten(0, 1)[row] for part in heard)
        scores = self.intervals.score(values.flatten(0, 1).index_select(0, row), *there)
        return logits.flatten(0, 1).index_add(0, row, scores).view(logits.shape)

    def suggested(self, ids: Ints) -> Tensor | None:
        """What the memory suggests after each id of a piece, (num_tokens, 2, n); None without one.

        Args:
            ids: (num_tokens,) of the piece from its start.
        """
        if self.memory is None:
            return None
        return torch.from_numpy(suggestions(ids, self.memory.kinds, self.memory.count))

    def allowed_after(self, ids: Tensor) -> Tensor | None:
        """Which ids may come after some, (..., vocab_size) booleans for ids (...); None if any may."""
        followers = None if self.followers is None else self.followers[ids]
        if self.intervals is None:
            return followers
        allowed = self.before_pitch[ids][..., None] | ~self.intervals.says_pitch
        return allowed if followers is None else allowed & followers

    @property
    def tells_time(self) -> bool:
        """Whether it is told where a piece stands, or how long ago pitches began."""
        return len(self.places) > 0 or self.intervals is not None

    def input_tables(self, weight: Tensor) -> Tensor:
        """What each id adds to the first layer's input, by how long ago it came.

        Args:
            weight: (vocab_size, embedding_dim) the ids' vectors.

        Returns:
            (num_input_tokens, vocab_size, width), the oldest first.
        """
        return weight[None] if self.projection is None else weight @ self.projection

    def _embed(self, known: Tensor) -> Tensor:
        """The sums of what the last ids say, (batch, time, width)."""
        weight = self.embedding.weight
        if self.training and self.embedding_dropout:
            weight = weight * dropout(torch.ones_like(weight[:, :1]), self.embedding_dropout)
        if self.projection is None:
            return embedding(known, weight)
        tables = self.input_tables(weight)
        windows = known.unfold(1, self.num_input_tokens, 1)  # (batch, time, num_input_tokens)
        row = windows + torch.arange(self.num_input_tokens, device=known.device) * len(weight)
        sums = embedding_bag(row.flatten(0, 1), tables.flatten(0, 1), mode="sum")
        return sums.view(*windows.shape[:2], -1)

    def places_after(self, ids: Tensor, clock: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Where a piece stands after each id.

        Returns:
            the rows of `places` that tell it, each (batch, time); the grid steps since the piece began,
            (batch, time); and `clock` after all.
        """
        steps = self.token_steps[ids]
        time = clock[0][:, None] + steps.cumsum(1)
        index = torch.arange(ids.shape[1], device=ids.device)
        moved = (
            torch.where(steps > 0, index, -1).cummax(1).values
        )  # where time last moved; -1 before the window
        slot = torch.where(moved >= 0, index - moved, clock[1][:, None] + index)
        columns = [time % period for period in self.periods]
        if self.num_slots:
            columns.append(slot.clamp(max=self.num_slots - 1))
        return columns, time, torch.stack([time[:, -1], slot[:, -1] + 1])

    @torch.no_grad()
    def told(self, shares: Sequence[float] = ()) -> NoteLSTM:
        """A network without labels that does what this one does when it is told a mix of them.

        What is added for a label is the same at every step, so it stands in a table of places: of the place
        in a span of one grid step, in which there is but one.

        Args:
            shares: of each label. What they leave of 1 is the share of no label. If they add up to more it is
                negative: what tells a label from none is exaggerated, much as classifier-free guidance does
                (Ho and Salimans, 2022).
        """
        if self.labels is None:
            return self
        given = torch.tensor([1.0 - sum(shares), *shares, *[0.0] * (len(self.labels) - 1 - len(shares))])
        network = copy.deepcopy(self, {id(self.labels): None})
        network.periods = (1, *self.periods)
        vector = LABEL_SCALE * given.to(self.labels)[None] @ self.labels
        network.places = nn.ParameterList([vector, *network.places])
        return network

    def _recur(
        self, layer: nn.Module, values: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if not (self.training and (self.weight_dropout or self.trains_in_bfloat16)):
            output, after = layer(values, state)
            return output, after
        w_ih, w_hh, b_ih, b_hh = layer.parameters()
        weights = w_ih, dropout(w_hh, self.weight_dropout) if self.weight_dropout else w_hh, b_ih, b_hh
        if self.trains_in_bfloat16:
            return bf16_layer.recur(values, state, weights)
        # with biases, 1 layer, no dropout, training, one direction, batch first
        output, hidden, cell = torch.lstm(values, state, weights, True, 1, 0.0, True, False, True)
        return output, (hidden, cell)

    def _drop(self, values: Tensor, probability: float) -> Tensor:
        """Dropout of units, (batch, time, units)."""
        if not (self.training and probability):
            return values
        if not self.variational:
            return dropout(values, probability)
        return values * dropout(torch.ones_like(values[:, :1]), probability)

    def initial_state(self, batch_size: int) -> NetworkState:
        """The all-zero state before the first id of `batch_size` pieces: before it all ids are PAD."""
        weight = self.embedding.weight
        shape = (len(self.layers), batch_size, self.hidden_size)
        zeros = self.token_steps.new_zeros
        recent, clock = zeros(self.num_input_tokens - 1, batch_size), zeros(2, batch_size)
        pitches = zeros(2, batch_size, MEMORY if self.intervals is not None else 0)
        return NetworkState(weight.new_zeros(shape), weight.new_zeros(shape), recent, clock, pitches)


def _before_pitch(vocab_size: int, token_pitches: Sequence[int], followers: Tensor | None) -> Tensor:
    """Whether an id that says a pitch may follow each id, (vocab_size,) booleans."""
    if followers is None or not token_pitches:
        return torch.ones(vocab_size, dtype=torch.bool)
    says_pitch = torch.tensor([pitch >= 0 for pitch in token_pitches], device=followers.device)
    return followers[:, says_pitch].any(1)


def is_far(numbers: Tensor) -> bool:
    """Whether the host would have to wait for them: they are not on the CPU."""
    return numbers.device.type != "cpu"


def select_lanes(state: NetworkState, lane: Tensor, is_start: Tensor) -> NetworkState:
    """The states of some lanes, zero for those where a piece starts.

    Args:
        state: of all lanes.
        lane: (batch,) indices of lanes.
        is_start: (batch,) booleans.
    """

    def select(part: Tensor) -> Tensor:
        keep = (~is_start).to(part.dtype).view(1, -1, *(1,) * (part.dim() - 2))
        return part[:, lane] * keep

    return state.map(select)


def of_lanes(state: NetworkState, lanes: slice) -> NetworkState:
    """The states of lanes that follow each other."""
    return state.map(lambda part: part[:, lanes])


def store_lanes(state: NetworkState, lane: Tensor, new: NetworkState) -> None:
    """Write the states of some lanes back, cut off from the graph that made them."""
    with torch.no_grad():
        for part, new_part in zip(state, new, strict=True):
            part[:, lane] = new_part.detach().to(part.dtype)
