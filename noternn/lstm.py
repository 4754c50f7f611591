"""`NoteLSTM`: ids and a state -> logits of the next id and the state after it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]  # (hidden, cell), each (num_layers, batch, hidden_size)


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
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(
            embedding_dim,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,  # torch warns where there is no layer between
        )
        if num_fc_layers == 1:
            self.head: nn.Module = nn.Linear(hidden_size, vocab_size)
        else:
            width = (hidden_size + vocab_size) // 2
            self.head = nn.Sequential(
                nn.Linear(hidden_size, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, vocab_size)
            )

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits of the id after each one.

        Args:
            ids: (batch, time) integers.
            state: what an earlier call returned, or None at the start of pieces.

        Returns:
            logits (batch, time, vocab_size) and the state after the last id.
        """
        embedded = self.dropout(self.embedding(ids))  # (batch, time, embedding_dim)
        recur = self._layer_by_layer if embedded.device.type == "mps" else self.lstm
        hidden, state = recur(embedded, state)  # (batch, time, hidden_size)
        return self.head(self.dropout(hidden)), state

    def _layer_by_layer(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """What `self.lstm` computes, with the dropout between its layers done here.

        On Apple's GPUs some releases of torch have wrong gradients where several layers with dropout are
        one call (pytorch#190056).
        """
        hidden, cell = self.initial_state(len(inputs)) if state is None else state
        last: list[State] = []
        for layer, weights in enumerate(self.lstm.all_weights):
            inputs = self.dropout(inputs) if layer else inputs
            before = (hidden[layer : layer + 1], cell[layer : layer + 1])
            inputs, *after = torch.lstm(
                inputs, before, list[Tensor](weights), True, 1, 0.0, self.training, False, True
            )  # with biases, 1 layer, no dropout, one direction, batch first
            last.append((after[0], after[1]))
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
