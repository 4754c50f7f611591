"""Training pieces cut in two, so that a network learns to begin in the midst of music."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.corpus.pieces import Pieces
from noternn.training.recalled import Recalled

LEAST = 64  # tokens of each part


class Parts(NamedTuple):
    """Pieces of which some are cut in two, the parts of a piece side by side.

    Args:
        source: (num_parts,) the piece that each part is of.
        order: (num_parts,) its number among all pieces and, after them, the second parts.
        lengths: (num_parts,) its tokens.
        second: the second parts, each after BOS.
    """

    source: NDArray[np.int64]
    order: NDArray[np.int64]
    lengths: NDArray[np.int64]
    second: Pieces

    def of(self, pieces: Pieces) -> Pieces:
        """Their tokens."""
        return pieces.followed_by(self.second).openings(self.order, self.lengths)

    def recalled(self, whole: Recalled) -> Recalled:
        """What they suggest: of second parts it is looked up now, without what is before the cut."""
        return whole.followed_by(self.second).openings(self.order, self.lengths)


def cut(pieces: Pieces, token_steps: NDArray[np.int64], share: float, rng: np.random.Generator) -> Parts:
    """Cut a share of the pieces where an onset begins; the time before it is in neither part.

    What was heard before a cut is unknown after it: neither the state nor the memory of the piece reaches
    beyond. So a network sees many beginnings, and not only those of whole pieces.

    Args:
        pieces: of an `EventTokenizer`, with BOS and EOS.
        token_steps: (vocab_size,) grid steps by which each id moves time on.
        share: of the pieces, each by chance.
        rng: names pieces and places.
    """
    moves = token_steps > 0
    parts: list[tuple[int, int, int]] = []  # source, number and length of each
    second: list[NDArray[np.int64]] = []
    for number, ids in enumerate(pieces):
        onsets = _onsets(moves[ids])
        if not (rng.random() < share and len(onsets)):
            parts.append((number, number, len(ids)))
            continue
        at = int(rng.choice(onsets))
        parts.append((number, number, int(np.flatnonzero(~moves[ids[:at]])[-1]) + 1))
        parts.append((number, len(pieces) + len(second), len(ids) - at + 1))
        second.append(np.concatenate([ids[:1], ids[at:]]))
    source, order, lengths = np.array(parts, dtype=np.int64).reshape(-1, 3).T
    return Parts(source, order, lengths, Pieces.of(second))


def _onsets(moves: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where in a piece an onset begins after some time, far enough from both of its ends.

    Args:
        moves: (num_tokens,) which of its ids move time on.
    """
    onsets = np.flatnonzero(moves[:-1] & ~moves[1:]) + 1
    return onsets[(onsets > LEAST) & (onsets < len(moves) - LEAST)]
