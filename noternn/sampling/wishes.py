"""What is asked of the notes that are composed: a key, a range, how many at once, no copies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError
from noternn.sampling.copies import Bound
from noternn.sampling.events import Crowd
from noternn.tokenizer import SPECIAL_TOKENS, Codec


@dataclass(frozen=True, eq=False)
class Wishes:
    """What is asked of the notes that are composed.

    Args:
        ids: (vocab_size,) which ids may come; None for all.
        most_at_once: how many notes may sound together, given ones included; None for any number.
        is_below: whether they stay below the given notes that sound.
        bound: on what they copy; None for none.
    """

    ids: NDArray[np.bool_] | None = None
    most_at_once: int | None = None
    is_below: bool = False
    bound: Bound | None = None

    def crowd_of(self, codec: Codec) -> Crowd | None:
        """The bound on how many notes sound; None without one.

        Raises:
            UserError: if the tokenizer does not write one note after the other.
        """
        return None if self.most_at_once is None else Crowd(codec, self.most_at_once)

    def among(self, ids: NDArray[np.bool_]) -> Wishes:
        """The same, of some ids alone, (vocab_size,)."""
        return replace(self, ids=ids if self.ids is None else self.ids & ids)


ANYTHING, BELOW = Wishes(), Wishes(is_below=True)


def ids_within(codec: Codec, pitch_classes: Iterable[int], lowest: int, highest: int) -> NDArray[np.bool_]:
    """Which ids say no pitch outside of some pitch classes and a range, (vocab_size,); drums say none.

    Raises:
        UserError: if no pitch is left.
    """
    classes = sorted(set(pitch_classes))
    allowed = np.ones(len(codec.vocabulary), dtype=np.bool_)
    is_any = False  # of those that say a pitch
    known: set[int] = set()
    for id_, token in islice(enumerate(codec.vocabulary.tokens), len(SPECIAL_TOKENS), None):
        if codec.tokenizer.transposed(token, 1) == token:
            continue  # it says no pitch: drums stay, which alone would be read as pitches
        pitch = codec.decode([id_]).pitch
        allowed[id_] = bool((np.isin(pitch % 12, classes) & (pitch >= lowest) & (pitch <= highest)).all())
        is_any |= bool(allowed[id_])
        known |= set(pitch.tolist())
    if not is_any:
        heard = f"it knows {min(known)} to {max(known)}" if known else "it knows none"
        raise UserError(
            f"no pitch that this network knows alone or in a chord is in the key and range: {heard}"
        )
    return allowed
