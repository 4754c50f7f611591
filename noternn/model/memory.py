"""The piece's own past in what a network reads and predicts: `PieceMemory`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, pad

from noternn.model.recall import NUM_CLASSES, Recall, build_recall, num_searches
from noternn.tokenizer.pitch_kinds import PitchKinds


class PieceMemory(nn.Module):
    """Reads what `suggestions` finds in the piece's own past, and makes it more probable.

    A copy mechanism (Gu et al., CopyNet, ACL 2016; Merity et al., Pointer Sentinel Mixture Models, ICLR 2017)
    in which a search points, and the hidden units, the search and the length of its match say how far a
    suggested id is raised. A state of fixed size forgets what a piece said a minute ago; a search does not.

    Args:
        kinds: of the vocabulary.
        count: how many ids each search suggests.
        embedding_dim: width of an id's vector.
        input_size: width of what is read.
        hidden_size: width of what the boosts are made of.
    """

    first_row: Tensor
    first_class: Tensor

    def __init__(
        self, kinds: PitchKinds, count: int, embedding_dim: int, input_size: int, hidden_size: int
    ) -> None:
        super().__init__()
        self.kinds = kinds
        self.count = count
        width = num_searches(kinds) * count
        deviation = (width * embedding_dim) ** -0.5
        self.projection = nn.Parameter(deviation * torch.randn(count, embedding_dim, input_size))
        self.classes = nn.Parameter(0.1 * torch.randn(width * NUM_CLASSES + 1, input_size))
        self.boosts = nn.Linear(hidden_size, width * NUM_CLASSES)
        nn.init.zeros_(self.boosts.weight)  # a new network raises nothing
        nn.init.zeros_(self.boosts.bias)
        rows = [place % count * (kinds.vocab_size + 1) for place in range(width)]
        classes = [place * NUM_CLASSES for place in range(width)]
        self.register_buffer("first_row", torch.tensor(rows), persistent=False)
        self.register_buffer("first_class", torch.tensor(classes), persistent=False)

    def recall(self) -> Recall:
        """What a new piece suggests."""
        return build_recall(self.kinds, self.count)

    def tables(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """What suggested ids and the classes of their matches add to the first layer's input.

        Args:
            weight: (vocab_size, embedding_dim) the ids' vectors.

        Returns:
            (count, vocab_size + 1, input_size), alike for all searches, the last rows for no suggestion; and
            (num_searches * count * NUM_CLASSES + 1, input_size), the last for none.
        """
        is_told = torch.ones_like(self.classes[:, :1])
        is_told[-1] = 0
        return pad(weight @ self.projection, (0, 0, 0, 1)), self.classes * is_told

    def rows(self, suggested: Tensor) -> tuple[Tensor, Tensor]:
        """Where in each of the `tables` suggestions stand, the first two dimensions of it as one.

        Args:
            suggested: (..., 2, num_searches * count) as `suggestions` gives them.

        Returns:
            Each (..., num_searches * count).
        """
        ids, classes = suggested.unbind(-2)
        is_there = ids < self.kinds.vocab_size
        return ids + self.first_row, torch.where(is_there, classes + self.first_class, len(self.classes) - 1)

    def read(self, weight: Tensor, suggested: Tensor) -> Tensor:
        """What the suggestions say, (batch, time, input_size)."""
        sums = [
            embedding_bag(row.flatten(0, 1), table.flatten(0, -2), mode="sum")
            for row, table in zip(self.rows(suggested), self.tables(weight), strict=True)
        ]
        return (sums[0] + sums[1]).view(*suggested.shape[:2], -1)

    def spread(self, boosts: Tensor, suggested: Tensor) -> Tensor:
        """What the boosts add to the logits of the ids.

        Args:
            boosts: (..., num_searches * count * NUM_CLASSES) what the layer `boosts` gives.
            suggested: (..., 2, num_searches * count).

        Returns:
            (..., vocab_size).
        """
        ids, classes = suggested.unbind(-2)
        each = boosts.gather(-1, classes + self.first_class)
        sums = each.new_zeros(*each.shape[:-1], self.kinds.vocab_size + 1)
        return sums.scatter_add(-1, ids, each)[..., :-1]
