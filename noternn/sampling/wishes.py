"""What is asked of the notes that are composed: a key, a range, how many at once, no copies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from noternn.sampling.copies import Bound
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

    @property
    def need_particles(self) -> bool:
        """Whether more is asked than a bound, which any sample keeps."""
        return self.ids is not None or self.most_at_once is not None or self.is_below

    def among(self, ids: NDArray[np.bool_]) -> Wishes:
        """The same, of some ids alone, (vocab_size,)."""
        return replace(self, ids=ids if self.ids is None else self.ids & ids)


ANYTHING, BELOW = Wishes(), Wishes(is_below=True)


def ids_within(codec: Codec, pitch_classes: Iterable[int], lowest: int, highest: int) -> NDArray[np.bool_]:
    """Which ids say no pitch outside of some pitch classes and a range, (vocab_size,); drums say none."""
    classes = sorted(set(pitch_classes))
    allowed = np.ones(len(codec.vocabulary), dtype=np.bool_)
    for id_ in range(len(SPECIAL_TOKENS), len(allowed)):
        said = codec.decode([id_])
        pitch = said.pitch[~said.is_drum]
        allowed[id_] = bool((np.isin(pitch % 12, classes) & (pitch >= lowest) & (pitch <= highest)).all())
    return allowed
