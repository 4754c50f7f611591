"""What `auto` in a tokenizer's settings stands for: decided on the music that it is to write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from noternn.config.checks import AUTO
from noternn.config.tokenizer import DECIDED

LEAST_NOTES = 0.05  # share that are drums or of another instrument than most of their piece
LEAST_PIECES = 0.2  # share of the pieces in which so many are
LEAST_LOUDER = 0.25  # share of the notes that are not as loud as the one before: marks change 9 % of quartets

Facts = Mapping[str, NDArray[Any]]  # columns of `PieceFacts`


def is_open(tokenizer: Mapping[str, Any]) -> bool:
    """Whether anything is left to decide."""
    return any(tokenizer.get(name) == AUTO for name in DECIDED)


def without_auto(tokenizer: Mapping[str, Any], value: bool = False) -> dict[str, Any]:
    """The settings with a value in the place of each `auto`."""
    return {name: value if name in DECIDED and given == AUTO else given for name, given in tokenizer.items()}


def decided(tokenizer: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """The settings with what `auto` stands for.

    Instruments and drums are written where `LEAST_PIECES` of the pieces have some; voices of one instrument
    are none. Loudness is written where it is played: marks and accents, a few degrees, are none.

    Args:
        tokenizer: its settings.
        facts: of the pieces that it is to write.
    """
    bands = band_shares(facts)
    has_bands = bands.total >= LEAST_NOTES and bands.pieces >= LEAST_PIECES
    found = {"program": has_bands, "velocity": louder_share(facts) >= LEAST_LOUDER}
    return {name: bool(found[name]) if value == AUTO else value for name, value in tokenizer.items()}


class BandShares(NamedTuple):
    """How much of some pieces a band plays.

    Args:
        drums: share of the notes that are drums.
        total: share that are drums or of another instrument than most of their piece.
        pieces: share of the pieces in which `LEAST_NOTES` of the notes are.
    """

    drums: float
    total: float
    pieces: float


def band_shares(facts: Facts) -> BandShares:
    """How much of some pieces a band plays; nothing where there are none."""
    notes, drums = facts["num_notes"], facts["num_drum_notes"]
    others = drums + facts["num_other_notes"]
    all_notes = max(1, int(notes.sum()))
    pieces = float((others >= LEAST_NOTES * notes).mean()) if len(notes) else 0.0
    return BandShares(float(drums.sum() / all_notes), float(others.sum() / all_notes), pieces)


def louder_share(facts: Facts) -> float:
    """The share of the notes that are louder or softer than the one before of their instrument."""
    return float(facts["num_louder_notes"].sum() / max(1, facts["num_notes"].sum()))


def sentences(tokenizer: Mapping[str, Any], facts: Facts) -> list[str]:
    """A line for each `auto` that was decided to keep something.

    Args:
        tokenizer: the settings with `auto`.
        facts: of the pieces.
    """
    chosen, told = decided(tokenizer, facts), []
    if tokenizer.get("program") == AUTO and chosen["program"]:
        share = f"{100 * band_shares(facts).total:.0f} %"
        told.append(
            f"instruments and drums are kept (tokenizer.program=true): {share} of the notes are drums or of "
            "another instrument than most of their piece"
        )
    if tokenizer.get("velocity") == AUTO and chosen["velocity"]:
        share = f"{100 * louder_share(facts):.0f} %"
        told.append(
            f"loudness is kept (tokenizer.velocity=true): {share} of the notes are louder or softer "
            "than the one before"
        )
    return told
