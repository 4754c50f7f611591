"""A small transformer, to compare: what the same number of weights costs without recurrence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

MAX_LENGTH = 512  # ids that it sees


class Transformer(nn.Module):
    """A decoder whose layers normalize first, with learned positions and tied embeddings.

    Args:
        vocab_size: how many ids there are.
        width: of an id's vector.
        num_layers: each has four heads and `4 * width` hidden units. The defaults make 0.9 million weights,
            about as many as the default network has.
    """

    def __init__(self, vocab_size: int, width: int = 128, num_layers: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.places = nn.Parameter(0.02 * torch.randn(MAX_LENGTH, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(
            layer, num_layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.head = nn.Linear(width, vocab_size)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor, _: Any = None) -> tuple[Tensor, tuple[()]]:
        """Logits (batch, time, vocab_size) of the id after each of (batch, time); no state is carried."""
        num_ids = ids.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(num_ids, device=ids.device)
        values = self.embedding(ids) + self.places[:num_ids]
        return self.head(self.layers(values, mask, is_causal=True)), ()
