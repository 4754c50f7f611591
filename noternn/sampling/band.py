"""Which instruments play on: a band that somebody names, or the one that a sample has begun with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError
from noternn.music.instruments import INSTRUMENT_FAMILIES, instrument_name, program_of
from noternn.tokenizer import Codec
from noternn.tokenizer.bpe import JOINT
from noternn.tokenizer.grid import DRUM
from noternn.tokenizer.pace import note_counts
from noternn.tokenizer.vocabulary import PROGRAM

OPENING_BEATS = 32  # quarter notes, after which no instrument comes in: eight bars
OPENING_NOTES = 512  # after which none does, where a tokenizer does not tell times so


class Instruments:
    """The instruments of a vocabulary, as programs; drums are 128.

    Args:
        codec: with the vocabulary.
    """

    def __init__(self, codec: Codec) -> None:
        self.of_id = [frozenset(map(_program, _said(token))) for token in codec.vocabulary.tokens]
        self._masks: dict[frozenset[int], NDArray[np.bool_]] = {}

    @cached_property
    def known(self) -> frozenset[int]:
        """All of them; none where the tokenizer tells no instruments apart."""
        return frozenset[int]().union(*self.of_id)

    def mask(self, band: frozenset[int]) -> NDArray[np.bool_]:
        """Which ids say no other instruments than those of a band, (vocab_size,)."""
        if band not in self._masks:
            self._masks[band] = np.array([said <= band for said in self.of_id])
        return self._masks[band]

    def heard(self, ids: Iterable[int]) -> frozenset[int]:
        """The instruments that some ids say."""
        return frozenset[int]().union(*(self.of_id[id_] for id_ in ids))

    def allowed_after(
        self, codec: Codec, ids: Sequence[int], band: frozenset[int] | None
    ) -> NDArray[np.bool_] | None:
        """Which ids may come after some, (vocab_size,); None for all.

        Args:
            codec: of the ids.
            ids: that stand, without BOS.
            band: that plays; None keeps to the instruments of these ids, where the opening is over.
        """
        if not self.known:
            return None
        if band is None:
            steps = int(codec.token_steps()[list(ids)].sum())
            is_over = steps >= OPENING_BEATS * codec.tokenizer.steps_per_beat
            if not is_over and int(note_counts(codec)[list(ids)].sum()) < OPENING_NOTES:
                return None
        return self.mask(self.heard(ids) if band is None else band)

    def named(self, names: str) -> frozenset[int]:
        """The band that is meant by names such as "piano,bass,drums".

        Args:
            names: families and instruments of General MIDI, programs from 0 to 127, and drums.

        Raises:
            UserError: on a name that is none, or an instrument that the vocabulary lacks.
        """
        if not self.known:
            raise UserError(
                f"instruments {names}: this network tells none apart; "
                "train one with tokenizer=event tokenizer.program=true"
            )
        band: set[int] = set()
        for name in filter(None, (part.strip() for part in names.split(","))):
            try:
                meant = _meant(name) & self.known
            except UserError as error:
                raise UserError(f"instruments {names}: {error}") from error
            if not meant:
                played = ", ".join(instrument_name(p == DRUM, p % DRUM) for p in sorted(self.known))
                raise UserError(f"instruments {names}: this network never heard {name}; it plays {played}")
            band |= meant
        if not band:
            raise UserError(f"instruments {names}: they name none")
        return frozenset(band)


def _meant(name: str) -> frozenset[int]:
    """The programs that a name stands for."""
    plain = name.lower().replace("_", " ")
    if plain == "drums":
        return frozenset([DRUM])
    if plain in INSTRUMENT_FAMILIES:
        first = 8 * INSTRUMENT_FAMILIES.index(plain)
        return frozenset(range(first, first + 8))
    if name.isdecimal():
        return frozenset([int(name)]) if int(name) < DRUM else frozenset[int]()
    return frozenset([program_of(name)])


def _said(token: str) -> list[str]:
    """The instruments that a token says, as text."""
    return [part.removeprefix(PROGRAM) for part in token.split(JOINT) if part.startswith(PROGRAM)]


def _program(text: str) -> int:
    return int(text) if text.isdecimal() else DRUM
