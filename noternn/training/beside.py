"""Which training pieces are measured beside the validation pieces, so that their losses compare."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GOLDEN = (5**0.5 - 1) / 2  # multiples of it, modulo 1, are spread evenly however many there are
DRAWS = 3  # the generator of the choice, beside those of other draws of one seed


def beside(
    training: NDArray[np.int64], validation: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose training pieces that hold as many tokens as the validation pieces, of all lengths.

    Pieces are read from their start, and whole, as validation is: a network knows more of a piece the more of
    it stands before, so excerpts of all pieces would not compare. On held-out pieces on both sides, where the
    gap should be 0, the openings of all pieces gave -0.15 nats a token on 40 pieces of a game (-0.44 with
    `model.memory`) and -0.11 on 191 tunes, and the first pieces by name 0.34 on the game; these here between
    -0.04 and 0.01, as little scattered as any others of as many tokens. No piece counts for more than the
    longest validation piece does.

    Args:
        training: (num_pieces,) tokens of each.
        validation: the same of the others.
        seed: decides the choice.

    Returns:
        (num_chosen,) which training pieces, and how many tokens of each are read: all, but for giants and
        the last one.
    """
    rng = np.random.default_rng((seed, DRAWS))
    shuffled = rng.permutation(len(training))  # pieces of one length come in any order
    by_length = shuffled[np.argsort(training[shuffled], kind="stable")]
    places = (np.arange(len(training)) * GOLDEN + rng.random()) % 1
    order = by_length[np.argsort(places)]
    read = np.minimum(training[order], validation.max(initial=0))
    left = validation.sum() - (np.cumsum(read) - read)  # before each piece
    is_read = left > 1  # an id that predicts another
    return order[is_read], np.minimum(read, left)[is_read]
