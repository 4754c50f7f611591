"""Which ids say whose note is being written, where a tokenizer tells instruments apart: `Parts`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.tokenizer.bpe import JOINT
from noternn.tokenizer.codec import Codec

Ints = NDArray[np.int64]

PREFIX = "Program_"  # of the tokens that announce an instrument


class Parts(NamedTuple):
    """The instruments of a vocabulary, the drums among them, each a part.

    Args:
        part: (vocab_size,) the part whose note each id announces, -1 for none.
        within: (vocab_size,) 1 for ids that go on with an announced note and do not end it, else 0.
    """

    part: Ints
    within: Ints

    @property
    def num_parts(self) -> int:
        """How many parts there are."""
        return int(self.part.max()) + 1


def parts_of(codec: Codec) -> Parts | None:
    """The parts of a codec's vocabulary; None where it tells none."""
    tokens = codec.vocabulary.tokens
    announcing = [id_ for id_, token in enumerate(tokens) if token.startswith(PREFIX)]
    if not announcing or any(JOINT in token for token in tokens):
        return None
    part = np.full(len(tokens), -1)
    part[announcing] = np.arange(len(announcing))
    ends = codec.before([tokens[id_] for id_ in announcing])
    within = ~ends & (part < 0) & (codec.token_steps() == 0)
    return Parts(part, within.astype(np.int64))
