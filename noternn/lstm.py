"""`NoteLSTM`: ids and a state -> logits of the next id and the state after it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]  # (hidden, cell), each (num_layers, batch, hidden_size)


class Dropout(nn.Dropout):
    """`nn.Dropout` whose random numbers cost a fifth on a CPU.

    Four units share 64 random bits, so that the probability is rounded to a 65,536th; the units that are
    left are scaled by what it really is. (One number a unit, as torch draws them, took 13 % of a training
    step of three layers of 512.)
    """

    STEPS = 2**16

    def forward(self, input: Tensor) -> Tensor:
        """The input with units dropped, in training mode."""
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        num_dropped = min(round(self.p * self.STEPS), self.STEPS - 1)
        bits = torch.empty((input.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        number = bits.view(torch.int16)[: input.numel()].view(input.shape)  # -STEPS / 2 to STEPS / 2 - 1
        keep = (number >= num_dropped - self.STEPS // 2).to(input.dtype)
        return input * keep.mul_(self.STEPS / (self.STEPS - num_dropped))


class NoteLSTM(nn.Module):
    """Embedding, LSTM and one or two fully connected layers.

    Two fully connected layers have a ReLU between them (without a non-linearity they would be one
    linear map) and meet at the mean of hidden_size and vocab_size, as in the original Note-RNN.

    Args:
        vocab_size: number of ids.
        embedding_dim: width of an id's vector.
        hidden_size: width of each LSTM layer.
        num_layers: number of LSTM layers.
        dropout: probability of dropping a unit after the embedding, between the LSTM layers, after
            the last one and between the fully connected layers; 0 to below 1.
        num_fc_layers: 1 or 2.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        num_fc_layers: int,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.dropout = Dropout(dropout)
        self.lstm = nn.LSTM(
            embedding_dim,
            hidden_size,
            num_layers,
            dropout=dropout if num_layers > 1 else 0.0,  # torch warns where there is no layer between
        )
        if num_fc_layers == 1:
            self.head: nn.Module = nn.Linear(hidden_size, vocab_size)
        else:
            width = (hidden_size + vocab_size) // 2
            self.head = nn.Sequential(
                nn.Linear(hidden_size, width), nn.ReLU(), Dropout(dropout), nn.Linear(width, vocab_size)
            )

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits of the id after each one.

        Args:
            ids: (batch, time) integers.
            state: what an earlier call returned, or None at the start of pieces.

        Returns:
            logits (batch, time, vocab_size) and the state after the last id.
        """
        embedded = self.dropout(self.embedding(ids.T))  # (time, batch, embedding_dim)
        state = self.initial_state(len(ids)) if state is None else state
        recur = self.lstm if embedded.is_cuda else self._layer_by_layer
        hidden, state = recur(embedded, state)  # (time, batch, hidden_size)
        return self.head(self.dropout(hidden)).transpose(0, 1), state

    def _layer_by_layer(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """What `self.lstm` computes, with the dropout between its layers done here.

        On a CPU that is faster, and on Apple's GPUs some releases of torch have wrong gradients where
        several layers with dropout are one call (pytorch#190056). cuDNN does best with all in one.
        """
        last: list[State] = []
        for layer, weights in enumerate(self.lstm.all_weights):
            inputs = self.dropout(inputs) if layer else inputs
            before = (state[0][layer : layer + 1], state[1][layer : layer + 1])
            inputs, hidden, cell = torch.lstm(
                inputs, before, list[Tensor](weights), True, 1, 0.0, self.training, False, False
            )  # with biases, 1 layer, no dropout, one direction, time first
            last.append((hidden, cell))
        hiddens, cells = zip(*last, strict=True)
        return inputs, (torch.cat(hiddens), torch.cat(cells))

    def initial_state(self, batch_size: int) -> State:
        """The all-zero state before the first id of `batch_size` pieces."""
        weight = self.embedding.weight
        shape = (self.lstm.num_layers, batch_size, self.lstm.hidden_size)
        return weight.new_zeros(shape), weight.new_zeros(shape)


def num_parameters(network: nn.Module) -> int:
    """How many trainable numbers a network has."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def select_lanes(state: State, lane: Tensor, is_start: Tensor) -> State:
    """The states of some lanes, zero for those where a piece starts.

    Args:
        state: of all lanes.
        lane: (batch,) indices of lanes.
        is_start: (batch,) booleans.
    """
    keep = (~is_start).to(state[0].dtype)[None, :, None]
    return state[0][:, lane] * keep, state[1][:, lane] * keep


def store_lanes(state: State, lane: Tensor, new: State) -> None:
    """Write the states of some lanes back, cut off from the graph that made them."""
    with torch.no_grad():
        state[0][:, lane] = new[0].detach().to(state[0].dtype)
        state[1][:, lane] = new[1].detach().to(state[1].dtype)
