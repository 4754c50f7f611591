"""The last pitches as intervals, in what a network reads (`Intervals`) and in what it predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv1d, embedding_bag, pad

try:
    from noternn.model import pitch_sums as pitch_sums
except ImportError:  # there was no compiler
    pitch_sums = None  # type: ignore[assignment]

SPANS = (8, 8, 16, 32)  # of the last pitches, the latest first: in each their pitch classes are counted
MEMORY = sum(SPANS)  # pitches
MAX_INTERVAL = 24  # semitones; further apart is as far in what is read, and nothing in what is predicted
NUM_PLACES = 128 + 1 + 2 * MAX_INTERVAL + 1  # of pitches, of none, of some too low or high; the last stays 0
REACH = 12  # semitones up and down that a convolution sees
LAGS = (1, 1, 1, 1, 2, 2, 4, 4, 16, 32)  # of the last pitches, the latest first: what it tells apart
AGES = (*range(1, 18), 25, 33, 65)  # grid steps since an onset, in classes: each up to 16, 17 to 24, ...
LEAST_ROWS = 64  # of a batch that are worth a thread

T = TypeVar("T")


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
        num_channels: of the `PitchConvolution` that scores pitches too; 0 for none.
    """

    pitches: Tensor
    place: Tensor
    span: Tensor
    weight: Tensor

    def __init__(
        self,
        token_pitches: Sequence[int],
        num_pitches: int,
        input_size: int,
        hidden_size: int,
        num_channels: int = 0,
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
        self.convolution = (
            PitchConvolution(token_pitches, hidden_size, num_channels) if num_channels else None
        )

    @property
    def says_pitch(self) -> Tensor:
        """Which ids say a pitch, (vocab_size,) booleans."""
        return self.pitches > 0

    def recall(self, ids: Tensor, onsets: Tensor, recent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last pitches after each id, how long ago they began, and those to go on from.

        Args:
            ids: (batch, time).
            onsets: (batch, time) grid steps since the piece began, after each id.
            recent: (2, batch, MEMORY) the last pitches before them plus 1, the latest first, 0 for none; and
                their onsets.

        Returns:
            The last pitches plus 1 after each id and the grid steps since their onsets, both
            (batch, time, MEMORY), and `recent` after all ids.
        """
        heard = self.pitches[ids]
        count = (heard > 0).cumsum(1)
        # all pitches in their order of time, after them a place for what is none
        memory = pad(recent.flip(2), (0, ids.shape[1] + 1))
        nowhere = memory.shape[2] - 1
        column = torch.where(heard > 0, MEMORY + count - 1, nowhere)
        memory = memory.scatter(2, column.expand(2, -1, -1), torch.stack([heard, onsets]))
        ago = torch.arange(MEMORY, device=ids.device)
        place = (MEMORY - 1 + count)[..., None] - ago  # (batch, time, MEMORY)
        pitches, began = memory.gather(2, place.flatten(1).expand(2, -1, -1)).view(2, *place.shape)
        return pitches, onsets[..., None] - began, torch.stack([pitches[:, -1], began[:, -1]])

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

    def score(self, values: Tensor, pitches: Tensor, ages: Tensor) -> Tensor:
        """What is added to the logits of the ids.

        Args:
            values: (n, hidden_size).
            pitches, ages: (n, MEMORY) as `recall` gives them.

        Returns:
            (n, vocab_size).
        """
        added = self.spread(self.scores(values), pitches)
        return added if self.convolution is None else added + self.convolution(values, pitches, ages)

    def spread(self, scores: Tensor, pitches: Tensor) -> Tensor:
        """What the scores of intervals add to the logits of the ids.

        Args:
            scores: (..., num_pitches * (2 * MAX_INTERVAL + 1)) what the layer `scores` gives.
            pitches: (..., MEMORY) as `recall` gives them.

        Returns:
            (..., vocab_size).
        """
        pitches = pitches[..., : self.num_pitches, None]
        each = scores.view(*pitches.shape[:-1], 2 * MAX_INTERVAL + 1) * (pitches > 0)
        place = pitches + torch.arange(each.shape[-1], device=pitches.device)  # of the pitch at each interval
        sums = each.new_zeros(*each.shape[:-2], NUM_PLACES)
        return sums.scatter_add(-1, place.flatten(-2), each.flatten(-2)).index_select(-1, self.place)


class PitchConvolution(nn.Module):
    """Scores every pitch by what began at and around it, with the same weights for all pitches.

    The last pitches are laid out twice as piano rolls: by how many pitches, and by how many grid steps ago
    they began. A convolution along the pitches, `REACH` semitones up and down, and what the network's hidden
    units add make the channels of each pitch; its score is a weighted sum of those above 0. Unlike
    `Intervals.scores` it tells what stands together: a third below, where a moment ago there was this pitch.
    (Johnson, EvoMusArt 2017, runs an LSTM for every pitch to the same end.)

    Args:
        token_pitches: (vocab_size,) the pitch that each id says, -1 for one that says none, not all -1.
        hidden_size: width of the hidden units.
        num_channels: of each pitch.
    """

    lag: Tensor
    ages: Tensor
    column: Tensor

    def __init__(self, token_pitches: Sequence[int], hidden_size: int, num_channels: int) -> None:
        super().__init__()
        told = [pitch for pitch in token_pitches if pitch >= 0]
        self.lowest, self.num_pitches = min(told), max(told) - min(told) + 1
        lags = [lag for lag, length in enumerate(LAGS) for _ in range(length)]  # of each of the last
        self.register_buffer("lag", torch.tensor(lags))
        self.register_buffer("ages", torch.tensor(AGES))
        columns = [pitch - self.lowest if pitch >= 0 else self.num_pitches for pitch in token_pitches]
        self.register_buffer("column", torch.tensor(columns))
        self.num_rolls = len(LAGS) + len(AGES) + 1
        width = 2 * REACH + 1
        deviation = (self.num_rolls * width) ** -0.5
        self.weight = nn.Parameter(
            deviation * (2 * torch.rand(num_channels, self.num_rolls, width) - 1)
        )  # as torch's
        self.hidden = nn.Linear(hidden_size, num_channels)
        self.output = nn.Linear(num_channels, 1, bias=False)

    def rolls(self, pitches: Tensor, ages: Tensor) -> Tensor:
        """How often each pitch is among the last, by lag and by age.

        Args:
            pitches: (n, MEMORY) as `Intervals.recall` gives them.
            ages: (n, MEMORY) as `Intervals.recall` gives them.

        Returns:
            (n, num_rolls, num_pitches + 2 * REACH), with `REACH` columns of zeros on both sides.
        """
        width = self.num_pitches + 2 * REACH
        column = (pitches - 1 - self.lowest).clamp(min=0) + REACH
        age = torch.bucketize(ages, self.ages, right=True) + len(LAGS)
        place = torch.cat([column + self.lag * width, column + age * width], 1)
        is_heard = (pitches > 0).to(self.weight.dtype).repeat(1, 2)
        zeros = self.weight.new_zeros(len(pitches), self.num_rolls * width)
        return zeros.scatter_add(1, place, is_heard).view(len(pitches), self.num_rolls, width)

    def forward(self, values: Tensor, pitches: Tensor, ages: Tensor) -> Tensor:
        """What is added to the logits of the ids.

        Args:
            values: (..., hidden_size).
            pitches: (..., MEMORY) as `Intervals.recall` gives them.
            ages: (..., MEMORY) as `Intervals.recall` gives them.

        Returns:
            (..., vocab_size).
        """
        found = self.convolve(pitches.flatten(0, -2), ages.flatten(0, -2))
        channels = (found + self.hidden(values).flatten(0, -2)[:, None]).relu()
        scores = self.spread(channels @ self.output.weight[0])
        return scores.view(*pitches.shape[:-1], scores.shape[1])

    def convolve(self, pitches: Tensor, ages: Tensor) -> Tensor:
        """What the last pitches make of the channels of every pitch, (n, num_pitches, channels).

        Args:
            pitches: (n, MEMORY) as `Intervals.recall` gives them.
            ages: (n, MEMORY) as `Intervals.recall` gives them.
        """
        if self.is_compiled:
            return self.sums(self.laid_out(), pitches, ages)
        return conv1d(self.rolls(pitches, ages), self.weight).transpose(1, 2)

    @property
    def is_compiled(self) -> bool:
        """Whether `sums` can be called."""
        is_there = pitch_sums is not None and self.weight.device.type == "cpu"
        return is_there and self.weight.dtype == torch.float32

    def laid_out(self) -> Tensor:
        """The weights as `sums` takes them: channels innermost, from the lowest pitch that one adds to."""
        return self.weight.permute(1, 2, 0).flip(1).contiguous()

    def sums(self, weight: Tensor, pitches: Tensor, ages: Tensor) -> Tensor:
        """`convolve` from the pitches that are heard; no row depends on how many there are.

        Args:
            weight: as `laid_out` gives it.
            pitches, ages: see `convolve`.
        """
        sizes = self.num_pitches, len(self.weight), REACH, self.lowest
        heard = pitches.contiguous(), ages.contiguous(), self.lag, self.ages
        found: Tensor = _Sums.apply(weight, *heard, sizes)  # type: ignore[no-untyped-call]
        return found

    def spread(self, scores: Tensor) -> Tensor:
        """Scores of pitches, (n, num_pitches), at the ids that say them, (n, vocab_size); else 0."""
        return pad(scores, (0, 1)).index_select(-1, self.column)


class _Sums(torch.autograd.Function):
    """`PitchConvolution.convolve` from the pitches that are heard, many times faster than from the rolls."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        pitches: Tensor,
        ages: Tensor,
        lag: Tensor,
        starts: Tensor,
        sizes: tuple[int, ...],
    ) -> Tensor:
        ctx.save_for_backward(pitches, ages, lag, starts)
        ctx.sizes, ctx.shape = sizes, weight.shape
        sums = weight.new_zeros(len(pitches), sizes[0], sizes[1])
        kernel = weight.detach()

        def add(rows: slice) -> None:
            arrays = _arrays(pitches[rows], ages[rows], lag, starts, kernel, sums[rows])
            pitch_sums.weight_to_sums(*arrays, *sizes)

        _in_threads(add, len(pitches))
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        pitches, ages, lag, starts = ctx.saved_tensors
        gradient = gradient.contiguous()

        def add(rows: slice) -> Tensor:
            total = gradient.new_zeros(ctx.shape)
            arrays = _arrays(pitches[rows], ages[rows], lag, starts, total, gradient[rows])
            pitch_sums.sums_to_weight(*arrays, *ctx.sizes)
            return total

        totals = _in_threads(add, len(pitches))
        return torch.stack(totals).sum(0), None, None, None, None, None


def _arrays(*tensors: Tensor) -> list[NDArray[Any]]:
    return [tensor.numpy() for tensor in tensors]


def _in_threads(function: Callable[[slice], T], num_rows: int) -> list[T]:
    """What the function makes of shares of the rows, side by side on as many threads as torch takes."""
    num_threads = max(1, min(torch.get_num_threads(), num_rows // LEAST_ROWS))
    ends = [num_rows * share // num_threads for share in range(num_threads + 1)]
    shares = [slice(start, end) for start, end in pairwise(ends)]
    if num_threads == 1:
        return [function(shares[0])]
    with ThreadPoolExecutor(num_threads) as pool:
        return list(pool.map(function, shares))
