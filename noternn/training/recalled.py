"""What pieces suggest of their own past, made once and then read from the cache: `Recalled`."""

from __future__ import annotations

import copy
import hashlib
import logging

import numpy as np
from numpy.typing import NDArray

from noternn.corpus.cache import ArrayCache, Entry
from noternn.corpus.pieces import Pieces
from noternn.model.recall import num_searches, suggestions
from noternn.tokenizer.pitch_kinds import PitchKinds

log = logging.getLogger(__name__)

VERSION = 3  # of `suggestions`: another one makes the entries anew
LONG = 200_000  # tokens that take so many seconds that it is told


class Recalled:
    """The `suggestions` of many pieces.

    Args:
        pieces: whose past is searched.
        kinds, count: see `suggestions`.
        cache: where they are kept.
    """

    def __init__(self, pieces: Pieces, kinds: PitchKinds, count: int, cache: ArrayCache) -> None:
        self.kinds = kinds
        self.count = count
        self.width = num_searches(kinds) * count
        self.lengths = pieces.lengths
        self.starts = _starts(pieces.lengths)
        self.entry = np.zeros(len(pieces), dtype=np.int64)  # which of the entries each piece is in
        self.entries = [cache.get(self._fingerprint(pieces), lambda: self._make(pieces))]

    def _fingerprint(self, pieces: Pieces) -> str:
        """A hash of all that decides what is suggested."""
        digest = hashlib.sha256(f"recalled {VERSION} {self.count}".encode())
        digest.update(f"{self.kinds.bar}".encode())
        parts = self.kinds.parts or ()
        for array in (self.kinds.kind, self.kinds.height, self.kinds.steps, *parts, *pieces):
            digest.update(str(len(array)).encode())
            digest.update(array.astype(np.int32).tobytes())
        return digest.hexdigest()

    def _make(self, pieces: Pieces) -> Entry:
        if pieces.lengths.sum() > LONG:
            log.info("looking up what each piece repeats of itself ...")
        return self._looked_up(pieces)

    def _looked_up(self, pieces: Pieces) -> Entry:
        dtype = np.uint16 if self.kinds.vocab_size < 2**16 else np.uint32
        found = np.empty((pieces.lengths.sum(), self.width), dtype=dtype)
        classes = np.empty(found.shape, dtype=np.uint8)
        for piece, start in zip(pieces, _starts(pieces.lengths), strict=True):
            both = suggestions(piece, self.kinds, self.count)
            rows = slice(start, start + len(piece))
            found[rows], classes[rows] = both[:, 0], both[:, 1]
        return Entry({"suggested": found, "classes": classes}, {})

    def openings(self, order: NDArray[np.int64], lengths: NDArray[np.int64]) -> Recalled:
        """The same of the first tokens of some of the pieces, see `Pieces.openings`."""
        some = copy.copy(self)
        some.starts, some.lengths, some.entry = self.starts[order], lengths, self.entry[order]
        return some

    def followed_by(self, others: Pieces) -> Recalled:
        """The same and what others suggest, which is looked up now and not kept."""
        both = copy.copy(self)
        both.starts = np.concatenate([self.starts, _starts(others.lengths)])
        both.lengths = np.concatenate([self.lengths, others.lengths])
        both.entry = np.concatenate([self.entry, np.full(len(others), len(self.entries))])
        both.entries = [*self.entries, self._looked_up(others)]
        return both

    def windows(
        self, pieces: NDArray[np.int64], positions: NDArray[np.int64], length: int
    ) -> NDArray[np.int64]:
        """What is suggested after each of `length` ids of some pieces; anything where a piece has ended.

        Args:
            pieces: (batch,) which pieces.
            positions: (batch,) where in each.
            length: how many ids.

        Returns:
            (batch, length, 2, 2 * count).
        """
        both = np.zeros((len(pieces), length, 2, self.width), dtype=np.int64)
        starts = (self.starts[pieces] + positions).tolist()
        sizes = np.minimum(length, self.lengths[pieces] - positions).tolist()
        arrays = [
            (entry.arrays["suggested"], entry.arrays["classes"]) for entry in self.entries
        ]  # mapped once
        entries = self.entry[pieces].tolist()
        for row, number, start, size in zip(both, entries, starts, sizes, strict=True):
            found, classes = arrays[number]
            row[:size, 0], row[:size, 1] = found[start : start + size], classes[start : start + size]
        return both


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each piece begins, one after the other."""
    return np.cumsum(lengths) - lengths
