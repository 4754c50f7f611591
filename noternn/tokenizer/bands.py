"""Which instruments play together in pieces: the bands that a sample may have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from noternn.tokenizer.bpe import JOINT
from noternn.tokenizer.codec import Codec
from noternn.tokenizer.grid import DRUM
from noternn.tokenizer.pace import note_counts
from noternn.tokenizer.vocabulary import PROGRAM

MAX_BANDS = 64  # of training pieces that are kept
BAND_NOTES = 512  # of a piece's beginning, whose instruments are its band


def programs_of(codec: Codec) -> list[frozenset[int]]:
    """The programs that each id says, (vocab_size,); drums are 128."""
    return [frozenset(map(_program, _said(token))) for token in codec.vocabulary.tokens]


def bands_of(
    pieces: Sequence[NDArray[np.int64]], codec: Codec, most: int = MAX_BANDS
) -> tuple[frozenset[int], ...]:
    """The bands of some pieces: the instruments of the first 512 notes of each.

    Args:
        pieces: of each the ids, (num_tokens,) with BOS and EOS.
        codec: of their vocabulary.
        most: pieces that are looked at, evenly spread.

    Returns:
        A band a piece, in their order; none where the tokenizer tells no instruments apart.
    """
    said = programs_of(codec)
    if not any(said):
        return ()
    counts = note_counts(codec)
    chosen = np.unique(np.linspace(0, len(pieces) - 1, min(most, len(pieces))).round().astype(int))
    bands = []
    for number in chosen.tolist():
        ids = pieces[number]
        heard = ids[np.cumsum(counts[ids]) <= BAND_NOTES].tolist()
        bands.append(frozenset[int]().union(*(said[id_] for id_ in set(heard))))
    return tuple(band for band in bands if band)


def _said(token: str) -> list[str]:
    """The instruments that a token says, as text."""
    return [part.removeprefix(PROGRAM) for part in token.split(JOINT) if part.startswith(PROGRAM)]


def _program(text: str) -> int:
    return int(text) if text.isdecimal() else DRUM
