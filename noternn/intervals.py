"""`Intervals`: the last pitches as intervals, in what a network reads and in what it predicts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, pad

SPANS = (8, 8, 16, 32)  # of the last pitches, the latest first: in each their pitch classes are counted
MEMORY = sum(SPANS)  # pitches
MAX_INTERVAL = 24  # semitones; further apart is as far in what is read, and nothing in what is predicted
NUM_PLACES = 128 + 1 + 2 * MAX_INTERVAL + 1  # of pitches, of none, of some too low or high; the last stays 0


class Intervals(nn.Module):
    """Reads how the last pitches lie to the latest one, and scores the next pitch by how it lies to each.

    Music keeps its intervals in another key, but its ids all change. What is learned of intervals holds in
    every key and octave at once, and of voices that go on in steps or come back to a note. Of the last
    `MEMORY` pitches it also reads how many stand on each step above the latest, octaves aside, which tells
    the key and the chord.

    Args:
        token_pitches: (vocab_size,) the pitch that each id says, -1 for one that says none.
        num_pitches: how many of the last pitches, 1 to `MEMORY`.
        input_size: width of what is read.
        hidden_size: width of what the scores are made of.
    """

    pitches: Tensor
    place: Tensor
    span: Tensor
    weight: Tensor

    def __init__(
        self, token_pitches: Sequence[int], num_pitches: int, input_size: int, hidden_size: int
    ) -> None:
        super().__init__()
        self.num_pitches = num_pitches
        self.register_buffer("pitches", torch.tensor(list(token_pitches)) + 1)  # 0 for none
        places = [pitch + 1 + MAX_INTERVAL if pitch >= 0 else NUM_PLACES - 1 for pitch in token_pitches]
        self.register_buffer("place", torch.tensor(places))
        rows = 2 * MAX_INTERVAL + 2  # the last of them for no pitch
        self.table = nn.Parameter(0.1 * torch.randn(num_pitches, rows, input_size))
        spans = [span for span, length in enumerate(SPANS) for _ in range(length)]  # of each of the last
        self.register_buffer("span", torch.tensor([12 * span for span in spans]))
        self.register_buffer("weight", torch.tensor([SPANS[span] ** -0.5 for span in spans]))
        self.classes = nn.Linear(12 * len(SPANS), input_size, bias=False)
        self.scores = nn.Linear(hidden_size, num_pitches * (2 * MAX_INTERVAL + 1))

    def recall(self, ids: Tensor, recent: Tensor) -> tuple[Tensor, Tensor]:
        """The last pitches after each id, and those to go on from.

        Args:
            ids: (batch, time).
            recent: (MEMORY, batch) the last pitches before them plus 1, the latest first; 0 for none.

        Returns:
            The last pitches plus 1 after each id, (batch, time, MEMORY), and after all, as `recent`.
        """
        heard = self.pitches[ids]
        count = (heard > 0).cumsum(1)
        # all pitches in their order of time, after them a place for what is none
        memory = pad(recent.flip(0).T, (0, ids.shape[1] + 1))
        nowhere = memory.shape[1] - 1
        memory = memory.scatter(1, torch.where(heard > 0, MEMORY + count - 1, nowhere), heard)
        ago = torch.arange(MEMORY, device=ids.device)
        place = (MEMORY - 1 + count)[..., None] - ago  # (batch, time, MEMORY)
        pitches = memory.gather(1, place.flatten(1)).view(place.shape)
        return pitches, pitches[:, -1].T

    def rows(self, pitches: Tensor) -> Tensor:
        """The row of the table, its first two dimensions as one, for each of the last pitches.

        Args:
            pitches: (..., MEMORY) as `recall` gives them.

        Returns:
            (..., num_pitches).
        """
        pitches = pitches[..., : self.num_pitches]
        interval = (pitches - pitches[..., :1]).clamp(-MAX_INTERVAL, MAX_INTERVAL) + MAX_INTERVAL
        row = torch.where(pitches > 0, interval, self.table.shape[1] - 1)
        return row + torch.arange(self.num_pitches, device=row.device) * self.table.shape[1]

    def counts(self, pitches: Tensor) -> Tensor:
        """How many of the last pitches stand on each of the 12 steps above the latest, by span.

        Args:
            pitches: (..., MEMORY) as `recall` gives them.

        Returns:
            (..., 12 * number of spans), each span divided by the root of its length.
        """
        step = (pitches - pitches[..., :1]) % 12 + self.span
        zeros = self.weight.new_zeros(*pitches.shape[:-1], self.classes.in_features)
        return zeros.scatter_add(-1, step, self.weight * (pitches > 0))

    def read(self, pitches: Tensor) -> Tensor:
        """What the last pitches say, (batch, time, input_size)."""
        rows = self.rows(pitches)
        lying = embedding_bag(rows.flatten(0, 1), self.table.flatten(0, 1), mode="sum")
        sounding: Tensor = self.classes(self.counts(pitches))
        return sounding + lying.view(*rows.shape[:2], -1)

    def spread(self, scores: Tensor, pitches: Tensor) -> Tensor:
        """What the scores of intervals add to the logits of the ids.

        Args:
            scores: (..., num_pitches * (2 * MAX_INTERVAL + 1)) what the layer `scores` gives.
            pitches: (..., MEMORY) as `recall` gives them.

        Returns:
            (..., vocab_size).
        """
        pitches = pitches[..., : self.num_pitches, None]
        each = scores.view(*pitches.shape[:-1], -1) * (pitches > 0)
        place = pitches + torch.arange(each.shape[-1], device=pitches.device)  # of the pitch at each interval
        sums = each.new_zeros(*each.shape[:-2], NUM_PLACES)
        return sums.scatter_add(-1, place.flatten(-2), each.flatten(-2)).index_select(-1, self.place)
