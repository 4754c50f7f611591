"""Which instruments play: a band that somebody names, or one like those of the training pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError
from noternn.music.instruments import INSTRUMENT_FAMILIES, instrument_name, program_of
from noternn.tokenizer import Codec
from noternn.tokenizer.bands import BAND_NOTES, programs_of
from noternn.tokenizer.grid import DRUM
from noternn.tokenizer.pace import note_counts

OPENING_BEATS = 32  # quarter notes, after which no instrument comes in, as after `BAND_NOTES`: eight bars


class Passing(NamedTuple):
    """Whose probability goes over to whom, so that a band plays as much as those would have played.

    A network that has heard little holds instruments possible that do not play. Without them the others
    would not strike more often: times and drums would be more probable instead, and the band falls silent.

    Args:
        pitched: ids of instruments, drums aside.
        own: those of them that may come.
    """

    pitched: NDArray[np.int64]
    own: NDArray[np.int64]

    def on(self, log_probs: NDArray[np.float64]) -> None:
        """Change log-probabilities, (vocab_size,), in place: the own ones have all of it, in their shares."""
        shift = np.logaddexp.reduce(log_probs[self.pitched]) - np.logaddexp.reduce(log_probs[self.own])
        if np.isfinite(shift):
            log_probs[self.own] += shift


class Instruments:
    """The instruments of a vocabulary, as programs; drums are 128.

    Args:
        codec: with the vocabulary.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.of_id = programs_of(codec)
        self.is_pitched = np.array([bool(said - {DRUM}) for said in self.of_id], dtype=np.bool_)
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

    def passing(self, mask: NDArray[np.bool_], band: frozenset[int]) -> Passing | None:
        """Which probability goes over to a band's instruments, drums aside; None where none does.

        Args:
            mask: (vocab_size,) what the grammar allows.
            band: that plays.
        """
        pitched = mask & self.is_pitched
        own = pitched & self.mask(band)
        if not own.any() or own.sum() == pitched.sum():
            return None
        return Passing(np.flatnonzero(pitched), np.flatnonzero(own))

    def heard(self, ids: Iterable[int]) -> frozenset[int]:
        """The instruments that some ids say."""
        return frozenset[int]().union(*(self.of_id[id_] for id_ in ids))

    def playing(
        self, primer: Sequence[int], bands: Sequence[frozenset[int]], seed: int
    ) -> frozenset[int] | None:
        """The instruments that play after a primer, which are its own and those of a training piece's band.

        Of the bands that share most instruments with the primer the seed names one. In it each instrument of
        the primer that it lacks, drums aside, takes the place of the one with the nearest program. After a
        primer of eight bars or 512 notes nobody comes in.

        Args:
            primer: ids without BOS and EOS.
            bands: of training pieces, see `noternn.tokenizer.bands.bands_of`.
            seed: of the sample.

        Returns:
            None where no band is known: then those play that are heard in the opening.
        """
        if not self.known or not bands:
            return None
        heard = self.heard(primer)
        if not self.is_opening(primer):
            return heard
        most = max(len(heard & band) for band in bands)
        alike = [band for band in bands if len(heard & band) == most]
        band = set(alike[seed % len(alike)])
        for own in sorted(heard - band - {DRUM}):
            others = band - heard - {DRUM}
            band -= {min(others, key=lambda other: (abs(other - own), other))} if others else set()
        return heard | band

    def is_opening(self, ids: Sequence[int]) -> bool:
        """Whether some ids are shorter than eight bars and 512 notes."""
        steps = int(self.codec.token_steps()[list(ids)].sum())
        num_notes = int(note_counts(self.codec)[list(ids)].sum())
        return steps < OPENING_BEATS * self.codec.tokenizer.steps_per_beat and num_notes < BAND_NOTES

    def band_after(self, ids: Sequence[int], band: frozenset[int] | None) -> frozenset[int] | None:
        """The instruments that may play after some ids; None for all.

        Args:
            ids: that stand, without BOS.
            band: that plays; None keeps to the instruments of these ids, where the opening is over.
        """
        if band is not None or not self.known or self.is_opening(ids):
            return band
        return self.heard(ids)

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
