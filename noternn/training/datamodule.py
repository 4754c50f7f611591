"""`MidiDataModule`: a corpus as batches of windows, in lanes along which the state is carried."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from noternn.corpus.loading import Corpus
from noternn.corpus.pieces import Pieces
from noternn.corpus.splits import SPLITS
from noternn.datasets.sources import MORE
from noternn.tokenizer.pitch_kinds import PitchKinds
from noternn.training.beside import beside
from noternn.training.cuts import cut
from noternn.training.recalled import Recalled

UNTOLD = 0.1  # share of the training pieces whose label is not told, so that a network can do without one


class Batch(NamedTuple):
    """The next window of some lanes; a lane reads one piece after the other.

    Args:
        inputs: (batch, time) ids.
        targets: (batch, time) the id after each input; PAD where the piece has ended.
        lane: (batch,) the lane of each row, so that its state can be found.
        is_start: (batch,) whether the row begins a piece, so that its state is zero.
        piece: (batch,) the piece that each row reads; an array, which stays on the CPU.
        num_lanes: with how many lanes the epoch began; of several ranks the mean.
        suggested: (batch, time, 2, n) what the piece's past suggests after each input, see
            `suggestions`; None for a network without a memory.
        labels: (batch,) the number of each piece's label, 0 for none; None for a network without labels.
    """

    inputs: Tensor
    targets: Tensor
    lane: Tensor
    is_start: Tensor
    piece: NDArray[np.int64]
    num_lanes: float
    suggested: Tensor | None = None
    labels: Tensor | None = None

    def of(self, rows: slice) -> Batch:
        """Some of its rows."""
        inputs, targets, lane, is_start, piece, num_lanes, *others = self
        by_row = (inputs[rows], targets[rows], lane[rows], is_start[rows], piece[rows])
        return Batch(*by_row, num_lanes, *(None if part is None else part[rows] for part in others))


class Variation(NamedTuple):
    """Each piece in another key or louder.

    Args:
        tables: (num_tables, vocab_size + 1) the id that stands for each; what is no id stays as it is.
        table: (num_pieces,) which of them each piece is read by.
    """

    tables: NDArray[np.int64]
    table: NDArray[np.int64]

    def of(self, pieces: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids of some pieces, (batch, ...), as they are to be read."""
        table = self.table[pieces].reshape(-1, *(1,) * (ids.ndim - 1))
        return self.tables[table, ids]


class LaneLoader:
    """Every piece once, in windows, over at most `batch_size` lanes a rank; sized and repeatable.

    It knows which batch is next, so that Lightning can go on within an epoch (`load_state_dict`).

    Each lane takes the next piece as soon as its last one ends. Rows of lanes that have run out of
    pieces are left out, so that no token is counted twice or dropped, whatever the batch size.

    Ranks share out the lanes of one plan: together their rows are those that a single one would have with
    all lanes. So all have as many batches, of which some may hold no row.

    Args:
        pieces: the ids of each, at least 2.
        batch_size: most lanes of a rank.
        window_length: longest window in tokens.
        seed: None reads the pieces longest first in windows of `window_length`. A number shuffles
            them and draws each window's length from the upper quarter of the range, so that over
            the epochs the state is cut at every place of a piece.
        variation: what is served in the place of the pieces as they are; None for nothing else.
        recalled: what the pieces suggest of their own past; None for a network without a memory.
        labels: (num_pieces,) the number of each piece's label; None for a network without labels.
        rank: which lanes are served: n, n + `num_ranks`, ..., as 0, 1, ...
        num_ranks: among how many the lanes are shared out.
    """

    def __init__(
        self,
        pieces: Pieces,
        batch_size: int,
        window_length: int,
        seed: int | Sequence[int] | None = None,
        variation: Variation | None = None,
        recalled: Recalled | None = None,
        labels: NDArray[np.int64] | None = None,
        *,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        self.pieces = pieces
        self.recalled = recalled
        self.labels = labels
        self.variation = variation
        self.lengths = pieces.lengths
        self.batch_size = batch_size
        self.window_length = window_length
        self.seed = seed
        self.rank = rank
        self.num_ranks = num_ranks
        self.num_lanes = min(batch_size * num_ranks, len(self.lengths))
        sizes = [int(self._is_ours(lane).sum()) * length for lane, _, _, length in self._steps()]
        self._length = len(sizes)
        #: in all batches of this rank, what lies behind the ends of pieces too
        self.num_tokens = sum(sizes)
        self._start = 0  # the batch at which the next iteration begins
        self._next = 0  # the batch that the current iteration gives next

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Batch]:
        self._next, self._start = self._start, 0
        for lane, piece, position, length in itertools.islice(self._steps(), self._next, None):
            self._next += 1
            ours = self._is_ours(lane)
            yield self._batch(lane[ours] // self.num_ranks, piece[ours], position[ours], length)

    def _is_ours(self, lane: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which lanes this rank serves."""
        ours: NDArray[np.bool_] = lane % self.num_ranks == self.rank
        return ours

    def state_dict(self) -> dict[str, int]:
        """Which batch is next."""
        return {"next": self._next}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Begin the next iteration, and only that, at the batch that was next."""
        self._start = state["next"]

    def _steps(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], int]]:
        """For every batch its lanes, the piece and the position of each, and the window's length."""
        num_pieces = len(self.lengths)
        rng = np.random.default_rng(self.seed)
        shuffled = self.seed is not None
        order = rng.permutation(num_pieces) if shuffled else np.argsort(-self.lengths, kind="stable")
        lane = np.arange(self.num_lanes)
        piece, position, taken = order[: len(lane)], np.zeros(len(lane), dtype=np.int64), len(lane)
        while len(lane):
            shortest = max(1, 3 * self.window_length // 4) if shuffled else self.window_length
            length = int(rng.integers(shortest, self.window_length + 1))
            longest_left = int((self.lengths[piece] - 1 - position).max())
            yield lane, piece, position, min(length, longest_left)
            position = position + length
            ended = position >= self.lengths[piece] - 1
            following = order[taken : taken + ended.sum()]
            taken += len(following)
            refilled = np.flatnonzero(ended)[: len(following)]
            piece = piece.copy()
            piece[refilled], position[refilled], ended[refilled] = following, 0, False
            lane, piece, position = lane[~ended], piece[~ended], position[~ended]

    def _batch(
        self,
        lane: NDArray[np.int64],
        piece: NDArray[np.int64],
        position: NDArray[np.int64],
        length: int,
    ) -> Batch:
        ids = self.pieces.windows(piece, position, length + 1)  # (batch, time + 1)
        suggested = self.recalled.windows(piece, position, length) if self.recalled else None
        if self.variation:
            ids = self.variation.of(piece, ids)
            if suggested is not None:  # what a piece repeats it repeats in any key
                suggested[:, :, 0] = self.variation.of(piece, suggested[:, :, 0])
        rows = torch.from_numpy(ids)
        lanes, is_start = torch.from_numpy(lane.copy()), torch.from_numpy(position == 0)
        mean_lanes = self.num_lanes / self.num_ranks
        past = None if suggested is None else torch.from_numpy(suggested)
        labels = None if self.labels is None else torch.from_numpy(self.labels[piece])
        return Batch(rows[:, :-1], rows[:, 1:], lanes, is_start, piece, mean_lanes, past, labels)


class MidiDataModule(pl.LightningDataModule):
    """Serves a corpus: training pieces in windows that vary, validation and test as they are.

    Where the corpus has labels, that of a tenth of the training pieces is not told, anew in each epoch.

    From settings, for any Trainer (see `noternn.launch.command_line`, `noternn.corpus.loading`):

        config = settings(["dataset=fiddle", "datamodule.batch_size=32"])
        data = data_module(config, corpus_of(config))
        trainer.fit(module, datamodule=data)

    Args:
        corpus: with its splits.
        batch_size: most lanes of a batch, of each rank where the trainer has several.
        window_length: longest window in tokens: how far gradients reach back.
        seed: decides the order of the training pieces.
        transpose: each epoch, every training piece is moved by up to so many semitones, up or down.
        velocity: and made louder or softer by up to so many of the tokenizer's bins.
        cut: each epoch, this share of the training pieces is cut in two, see `noternn.training.cuts.cut`.
        memory: how many ids each search of a piece's own past suggests, see `PieceMemory`; 0 for none.
        part_memory: whether to search each instrument's own past too, where the tokens tell instruments.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        batch_size: int,
        window_length: int,
        seed: int,
        transpose: int = 0,
        velocity: int = 0,
        cut: float = 0,
        memory: int = 0,
        part_memory: bool = False,
    ) -> None:
        super().__init__()
        self.corpus = corpus
        self.batch_size = batch_size
        self.window_length = window_length
        self.seed = seed
        self.transpose = transpose
        self.velocity = velocity
        self.cut = cut
        self.memory = memory
        self.part_memory = part_memory
        self._recalled: dict[str, Recalled] = {}

    def train_dataloader(self) -> LaneLoader:
        """The training pieces in this epoch's order; Lightning asks anew for each epoch."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        seed = (self.seed, epoch)
        variation = self._variation(np.random.default_rng((*seed, 1)))
        labels = self._labels("train")
        if labels is not None:
            is_told = np.random.default_rng((*seed, 2)).random(len(labels)) >= UNTOLD
            labels = labels * is_told
        pieces, recalled = self._ids("train"), self._recall("train")
        if not self.cut:
            return self._loader(pieces, recalled, labels, seed, variation)
        parts = cut(pieces, self.corpus.codec.token_steps(), self.cut, np.random.default_rng((*seed, 3)))
        return self._loader(
            parts.of(pieces),
            parts.recalled(recalled) if recalled else None,
            None if labels is None else labels[parts.source],
            seed,
            variation and Variation(variation.tables, variation.table[parts.source]),
        )

    def _variation(self, rng: np.random.Generator) -> Variation | None:
        """A key and a loudness for every training piece."""
        if not (self.transpose or self.velocity):
            return None
        least, most = self.corpus.encoded.transpositions.T
        semitones = rng.integers(least, most + 1)
        bins = rng.integers(-self.velocity, self.velocity + 1, len(semitones))
        return Variation(
            self._tables, (semitones + self.transpose) * (2 * self.velocity + 1) + bins + self.velocity
        )

    @cached_property
    def _tables(self) -> NDArray[np.int64]:
        semitones = range(-self.transpose, self.transpose + 1)
        bins = range(-self.velocity, self.velocity + 1)
        tables = [self.corpus.codec.variation(s, b) for s in semitones for b in bins]
        return np.stack([np.append(table, len(table)) for table in tables])

    def val_dataloader(self) -> list[LaneLoader]:
        """The validation pieces, and as much of the training pieces, both in evaluation order."""
        return [self.eval_loader("validation"), self._train_eval_loader()]

    def test_dataloader(self) -> LaneLoader:
        """The test pieces."""
        return self.eval_loader("test")

    def eval_loader(self, split: str) -> LaneLoader:
        """One split, every token once."""
        assert split in SPLITS
        return self._loader(self._ids(split), self._recall(split), self._labels(split))

    def train_eval_pieces(self) -> Pieces:
        """Training pieces, or their openings, on which the training loss is measured in evaluation mode.

        As many tokens as validation has, in pieces of all lengths, the same in every epoch: see `beside`.
        """
        return self._ids("train").openings(*self._beside)

    @cached_property
    def _beside(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        training, validation = (self._ids(split).lengths for split in ("train", "validation"))
        names = self.corpus.encoded.names["train"]
        own = np.flatnonzero([not name.startswith(MORE) for name in names])  # as what is validated on
        chosen, num_tokens = beside(training[own], validation, self.seed)
        return own[chosen], num_tokens

    def _train_eval_loader(self) -> LaneLoader:
        recalled, labels = self._recall("train"), self._labels("train")
        return self._loader(
            self.train_eval_pieces(),
            recalled.openings(*self._beside) if recalled else None,
            None if labels is None else labels[self._beside[0]],
        )

    def _labels(self, split: str) -> NDArray[np.int64] | None:
        return self.corpus.label_rows(split, self.corpus.label_names)

    def _ids(self, split: str) -> Pieces:
        return self.corpus.encoded.ids[split]

    def _loader(
        self,
        pieces: Pieces,
        recalled: Recalled | None,
        labels: NDArray[np.int64] | None,
        seed: Sequence[int] | None = None,
        variation: Variation | None = None,
    ) -> LaneLoader:
        rank, num_ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        options = (self.batch_size, self.window_length, seed, variation, recalled, labels)
        return LaneLoader(pieces, *options, rank=rank, num_ranks=num_ranks)

    def _recall(self, split: str) -> Recalled | None:
        """What the pieces of a split suggest of their own past; looked up once, not in every epoch."""
        if self.memory and split not in self._recalled:
            kinds = PitchKinds(self.corpus.codec, by_part=self.part_memory)
            cache = self.corpus.tokenized.cache
            self._recalled[split] = Recalled(self._ids(split), kinds, self.memory, cache)
        return self._recalled.get(split)
