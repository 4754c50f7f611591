"""The ids of many pieces, read from the token cache when they are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from noternn.tokenizer import PAD_ID


@dataclass(frozen=True)
class Stretch:
    """Tokens of many pieces, one after the other, as they lie in one file of the cache.

    Args:
        indices: (num_tokens,) unsigned indices into `table`; mapped, not loaded.
        table: (num_distinct,) the id of each of them.
    """

    indices: NDArray[np.unsignedinteger]
    table: NDArray[np.int64]


class Pieces(Sequence[NDArray[np.int64]]):
    """Pieces as ids. Only what is asked for is read, so that a corpus may be larger than the memory.

    Args:
        stretches: where the tokens are.
        stretch: (num_pieces,) the stretch that holds each piece.
        start: (num_pieces,) where in it the piece begins.
        lengths: (num_pieces,) tokens of each piece.
    """

    def __init__(
        self,
        stretches: Sequence[Stretch],
        stretch: NDArray[np.int32],
        start: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> None:
        self.stretches = stretches
        self.stretch = stretch
        self.start = start
        self.lengths = lengths

    @classmethod
    def of(cls, pieces: Sequence[NDArray[np.int64]]) -> Pieces:
        """Pieces that are in memory already, each (num_tokens,)."""
        lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
        ids = np.concatenate([np.zeros(0, dtype=np.int64), *pieces])
        table = np.arange(ids.max(initial=0) + 1)
        starts = np.cumsum(lengths) - lengths
        return cls([Stretch(ids.astype(np.uint32), table)], np.zeros(len(pieces), np.int32), starts, lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.int64]: ...
    @overload
    def __getitem__(self, index: slice) -> Pieces: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.int64] | Pieces:
        """The ids of one piece, (num_tokens,), or some of the pieces."""
        if isinstance(index, slice):
            return Pieces(self.stretches, self.stretch[index], self.start[index], self.lengths[index])
        stretch, start = self.stretches[self.stretch[index]], self.start[index]
        ids: NDArray[np.int64] = stretch.table[stretch.indices[start : start + self.lengths[index]]]
        return ids

    def taken(self, order: NDArray[np.int64]) -> Pieces:
        """Some of the pieces, in the order of their indices."""
        return Pieces(self.stretches, self.stretch[order], self.start[order], self.lengths[order])

    def openings(self, order: NDArray[np.int64], lengths: NDArray[np.int64]) -> Pieces:
        """The first tokens of some of the pieces: so many of each, no more than it has."""
        return Pieces(self.stretches, self.stretch[order], self.start[order], lengths)

    def followed_by(self, others: Pieces) -> Pieces:
        """These pieces and others."""
        stretch = np.concatenate([self.stretch, others.stretch + np.int32(len(self.stretches))])
        start = np.concatenate([self.start, others.start])
        lengths = np.concatenate([self.lengths, others.lengths])
        return Pieces([*self.stretches, *others.stretches], stretch, start, lengths)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return (self[i] for i in range(len(self)))

    def windows(
        self, pieces: NDArray[np.int64], positions: NDArray[np.int64], length: int
    ) -> NDArray[np.int64]:
        """`length` ids of each of some pieces from a position on, PAD where the piece has ended.

        Args:
            pieces: (batch,) which pieces.
            positions: (batch,) where in each.
            length: how many ids.

        Returns:
            (batch, length) ids.
        """
        ids = np.full((len(pieces), length), PAD_ID, dtype=np.int64)
        starts = self.start[pieces] + positions
        sizes = np.minimum(length, self.lengths[pieces] - positions)
        columns = (self.stretch[pieces].tolist(), starts.tolist(), sizes.tolist())
        for row, (number, start, size) in zip(ids, zip(*columns, strict=True), strict=True):
            stretch = self.stretches[number]
            row[:size] = stretch.table[stretch.indices[start : start + size]]
        return ids
