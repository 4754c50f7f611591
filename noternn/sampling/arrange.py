"""Compose around notes that are given: a gap is filled, or a melody gets its harmony."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from noternn.config.sampling import Sampling
from noternn.music.piece import Piece
from noternn.sampling.band import Instruments
from noternn.sampling.composer import Composer
from noternn.sampling.events import check_is_event
from noternn.sampling.given import ComposedNote, Given, GivenNote, given_notes
from noternn.sampling.particles import draw
from noternn.sampling.wishes import ANYTHING, BELOW, Wishes
from noternn.tokenizer.grid import DRUM

LOOKAHEAD = 24  # notes after a gap that say how well it is filled
LAST_BEATS = 4  # of a piece, in which it may end
MAX_IDS = 4096  # of a stage


@dataclass(frozen=True)
class Filled:
    """What was composed around given notes.

    Args:
        piece: the given notes as they are, and the others.
        composed: the others alone.
        log_evidence: see `Drawn`.
    """

    piece: Piece
    composed: Piece = field(compare=False)
    log_evidence: float

    @property
    def num_composed(self) -> int:
        """How many others."""
        return self.composed.num_notes


def infill(
    composer: Composer,
    piece: Piece,
    span: tuple[int, int],
    options: Sampling,
    num_particles: int,
    wishes: Wishes = ANYTHING,
    lookahead: int = LOOKAHEAD,
    instruments: str = "",
) -> Filled:
    """Compose what begins in a span of a piece anew; all else stays.

    Args:
        composer: has an `EventTokenizer`.
        piece: with notes before or after the span.
        span: from a tick on, up to another.
        options: how to choose.
        num_particles: see `noternn.sampling.particles.draw`.
        wishes: of what is composed.
        lookahead: so many notes after the span weigh the particles.
        instruments: names of those that play, see `Composer.compose_each`; "" for those of what stays.

    Raises:
        UserError: if nothing can be composed there.
    """
    start, end = span[0], min(span[1], max(piece.end, span[0] + 1))
    is_out = (piece.onset >= start) & (piece.onset < end)
    if not composer.codec.tokenizer.writes_drums:
        is_out &= ~piece.is_drum
    kept = piece.select(~is_out)
    notes = _given(composer, kept)
    heard = _heard(composer, notes)
    band = heard if heard and not instruments else _band(composer, heard, options, instruments)
    return _fill(composer, kept, notes, (start, end), options, num_particles, wishes, band, lookahead)


def harmonize(
    composer: Composer,
    melody: Piece,
    options: Sampling,
    num_particles: int,
    wishes: Wishes = BELOW,
    instruments: str = "",
) -> Filled:
    """Compose notes around given ones, from the first onset to the last end.

    Args:
        composer: has an `EventTokenizer`.
        melody: the notes that are given.
        options: how to choose.
        num_particles: see `noternn.sampling.particles.draw`.
        wishes: of what is composed.
        instruments: names of those that play, see `Composer.compose_each`; "" for those of the melody and of
            a training piece's band, however long the melody is.

    Raises:
        UserError: if nothing can be composed there.
    """
    span = int(melody.onset.min(initial=0)), melody.end
    notes = _given(composer, melody)
    band = _band(composer, _heard(composer, notes), options, instruments)
    return _fill(composer, melody, notes, span, options, num_particles, wishes, band)


def _given(composer: Composer, kept: Piece) -> list[GivenNote]:
    check_is_event(composer.codec)
    return given_notes(composer.codec, kept)


def _heard(composer: Composer, notes: list[GivenNote]) -> frozenset[int]:
    """The instruments of given notes; none where the tokens tell none apart."""
    return Instruments(composer.codec).heard(id_ for note in notes for id_ in note.ids)


def _band(
    composer: Composer, heard: frozenset[int], options: Sampling, instruments: str
) -> frozenset[int] | None:
    """The named instruments, or those of given notes and of a training piece's band; None for any."""
    players = [composer.codec.vocabulary.id(f"Program_{'drum' if own == DRUM else own}") for own in heard]
    return composer.playing([sorted(players)], options.seed, instruments)[0]


def _fill(
    composer: Composer,
    kept: Piece,
    notes: list[GivenNote],
    span: tuple[int, int],
    options: Sampling,
    num_particles: int,
    wishes: Wishes,
    band: frozenset[int] | None,
    lookahead: int = 0,
) -> Filled:
    codec = composer.codec
    beat = codec.tokenizer.steps_per_beat
    start, end = (round(tick * beat / kept.ticks_per_beat) for tick in span)
    if band is not None:
        wishes = wishes.among(Instruments(codec).mask(band))
    plan = Given(codec, notes, [(start, end)], wishes, lookahead, end - LAST_BEATS * beat)
    drawn = draw(composer.network, codec, plan, options, num_particles, MAX_IDS, band=band)
    composed = _placed(kept, drawn.plan.notes, beat)
    together, composed = (
        replace(part, is_pedalled=composer.pedal) for part in (_together(kept, composed), composed)
    )
    return Filled(together, composed, drawn.log_evidence)


def _placed(kept: Piece, composed: tuple[ComposedNote, ...], steps_per_beat: int) -> Piece:
    """The notes that were composed, on the ticks of the piece that was kept."""
    rows = np.array(composed, dtype=np.int64).reshape(-1, len(ComposedNote._fields))
    onset, program, pitch, steps, velocity = rows.T
    step = kept.ticks_per_beat / steps_per_beat
    ticks = np.rint(onset * step).astype(np.int64)
    ends = np.rint((onset + steps) * step).astype(np.int64)
    pitched = ~kept.is_drum
    loudness = int(np.median(kept.velocity)) if kept.num_notes else 80
    has_programs = bool(program.any())
    instrument = int(np.bincount(kept.program[pitched]).argmax()) if pitched.any() and not has_programs else 0
    return Piece.from_notes(
        ticks,
        np.maximum(1, ends - ticks),
        pitch,
        velocity=np.where(velocity > 0, velocity, loudness),
        program=np.where(program == DRUM, 0, program + instrument),
        is_drum=program == DRUM,
        ticks_per_beat=kept.ticks_per_beat,
        tempos=kept.tempos,
        metres=kept.metres,
        name=kept.name,
    )


def _together(kept: Piece, composed: Piece) -> Piece:
    """The notes of both."""
    if not composed.num_notes:
        return kept
    return Piece.from_notes(
        np.concatenate([kept.onset, composed.onset]),
        np.concatenate([kept.duration, composed.duration]),
        np.concatenate([kept.pitch, composed.pitch]),
        velocity=np.concatenate([kept.velocity, composed.velocity]),
        program=np.concatenate([kept.program, composed.program]),
        is_drum=np.concatenate([kept.is_drum, composed.is_drum]),
        ticks_per_beat=kept.ticks_per_beat,
        tempos=kept.tempos,
        metres=kept.metres,
        name=kept.name,
        remarks=kept.remarks,
    )
