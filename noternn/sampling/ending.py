"""Samples that end by themselves: near a length that is asked for, where the network finds the end likely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.model.course import Course
from noternn.model.lstm import NoteLSTM
from noternn.sampling.band import Instruments
from noternn.sampling.copies import Place
from noternn.sampling.events import Sounding
from noternn.sampling.particles import draw
from noternn.sampling.sampler import end_in_beats
from noternn.sampling.steering import continue_each, likeness_of
from noternn.sampling.wishes import ANYTHING, Wishes
from noternn.tokenizer import EOS_ID, Codec
from noternn.tokenizer.pace import Pace, note_counts

MARGIN = 1 / 8  # of the length, before it and after it
NUM_PLACES = 1600  # notes of all particles together, at which a sample may end
LEAST_PARTICLES, MOST_PARTICLES = 16, 64
SHARPNESS, SHARP_NOTES = 4, 4  # see `noternn.sampling.particles.draw`; measured, see docs/composing.md
IDS_BETWEEN_MEETINGS = 64
MAX_IDS = 4096  # of a sample's last part


class Progress(NamedTuple):
    """How far a sample has come: ids, notes or grid steps (see `Ending`), and since the last note.

    Args:
        num_ids, length: so far.
        since, idle: grid steps and ids since the last note.
        last: the last id.
    """

    num_ids: int
    length: float
    since: int = 0
    idle: int = 0
    last: int = EOS_ID
    sounding: Sounding = Sounding()  # where it is asked how many sound
    place: Place | None = None  # where it is asked what is copied


class Ending:
    """A `Plan`: some ids that stand, and others until an end.

    Args:
        codec: of the ids.
        ids: that stand, without BOS.
        length: with them.
        low: length from which on the sample may end.
        high: length that it does not go beyond.
        is_timed: whether lengths are in grid steps; else in notes.
        pace: goes no longer without a note.
        wishes: of what is composed.
        num_given: of the ids that stand, which are not composed.

    Raises:
        UserError: if it is asked how many notes sound, and the tokenizer does not write one after the other.
    """

    def __init__(
        self,
        codec: Codec,
        ids: Sequence[int],
        length: float,
        low: float,
        high: float,
        is_timed: bool,
        pace: Pace,
        wishes: Wishes = ANYTHING,
        num_given: int = 0,
    ) -> None:
        self.ids, self.low, self.high, self.pace = list(ids), low, high, pace
        self.steps, self.notes = codec.token_steps(), note_counts(codec)
        self.adds = self.steps if is_timed else self.notes
        self.start = Progress(0, length, place=wishes.bound.start() if wishes.bound else None)
        self.wishes, self.num_given = wishes, num_given
        self.crowd = wishes.crowd_of(codec)

    def allowed(self, state: Progress, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """See `Plan`."""
        if state.num_ids < len(self.ids):
            forced = np.zeros_like(mask)
            forced[self.ids[state.num_ids]] = True
            return forced
        allowed: NDArray[np.bool_] = mask & (state.length + self.adds <= self.high)
        if not state.sounding.ends:  # no note sounds, which might keep others away
            allowed &= (self.steps == 0) | (state.since + self.steps <= self.pace.steps)
        if state.idle >= self.pace.tokens:  # a note that gets longer and longer
            allowed[state.last] = False
        if self.wishes.ids is not None:
            allowed &= self.wishes.ids
        if self.crowd is not None:
            allowed = self.crowd.allowed(state.sounding, allowed)
        if self.wishes.bound is not None and state.place is not None:
            allowed = self.wishes.bound.allowed(state.place, allowed)
        allowed[EOS_ID] = mask[EOS_ID] and state.length >= self.low
        return allowed

    def advance(self, state: Progress, id_: int) -> Progress:
        """See `Plan`."""
        number, steps = state.num_ids + 1, int(self.steps[id_])
        if self.crowd is not None:
            state = state._replace(sounding=self.crowd.after(state.sounding, id_))
        if self.wishes.bound is not None and state.place is not None:
            place = self.wishes.bound.after(state.place, id_, is_given=state.num_ids < self.num_given)
            state = state._replace(place=place)
        if number <= len(self.ids):
            return state._replace(num_ids=number)
        since, idle = (steps, 0) if self.notes[id_] else (state.since + steps, state.idle + 1)
        length = state.length + float(self.adds[id_])
        return state._replace(num_ids=number, length=length, since=since, idle=idle, last=id_)

    def stage(self, state: Progress) -> int:
        """See `Plan`: nothing is known before the end, so particles seldom wait."""
        return state.num_ids // IDS_BETWEEN_MEETINGS

    def is_done(self, state: Progress) -> bool:  # noqa: ARG002
        """See `Plan`."""
        return False


def end_each(
    network: NoteLSTM,
    codec: Codec,
    primers: Sequence[Sequence[int]],
    options: Sampling,
    beats: float | None,
    pace: Pace,
    wishes: Wishes = ANYTHING,
    num_particles: int | None = None,
    bands: Sequence[frozenset[int] | None] | None = None,
    course: Course | None = None,
) -> list[list[int] | None]:
    """What `sample_each` gives, but samples end by themselves.

    `options.ending` "own": from an eighth before the length that is asked for to an eighth after it; "any":
    anywhere up to that length. The notes before are drawn as ever. Then particles go on, and of all places
    where one of them may end a place is chosen at which the network finds the end likely.

    Args:
        network, codec, primers, options, beats, pace: see `sample_each`.
        wishes: of what is composed.
        num_particles: see `draw`; None for more of them where there are fewer places to end.
        bands: the instruments that play, see `sample_each`.
        course: see `continue_each`.

    Returns:
        For each primer it and what follows; None where no end was found.

    Raises:
        UserError: see `sample_each`.
    """
    margin = MARGIN if options.ending == "own" else 1.0
    is_timed = beats is not None
    length: float = options.num_notes if beats is None else beats * codec.tokenizer.steps_per_beat
    begun: list[list[int]] = [list(primer) for primer in primers]
    if options.ending == "own":
        least = replace(options, num_notes=max(1, int((1 - margin) * length)))
        sooner = None if beats is None else (1 - margin) * beats
        asked = (least, sooner, pace, bands, wishes, course)
        begun = continue_each(network, codec, primers, *asked)
    instruments = Instruments(codec)
    judge = None if course is None or options.steering == 1 else partial(likeness_of, codec, course)
    samples: list[list[int] | None] = []
    for k, (primer, ids) in enumerate(zip(primers, begun, strict=True)):
        own = replace(options, seed=options.seed + k)
        at = end_in_beats(codec, primer, 0) * codec.tokenizer.steps_per_beat if is_timed else 0
        low, high = at + (1 - margin) * length, at + (1 + margin * (options.ending == "own")) * length
        stands = _until(codec, ids, len(primer), low) if is_timed else ids
        counts = codec.token_steps()[stands] if is_timed else note_counts(codec)[stands[len(primer) :]]
        band = instruments.band_after(stands, bands[k] if bands else None)
        wished = wishes if band is None else wishes.among(instruments.mask(band))
        plan = Ending(
            codec, stands, int(counts.sum()), max(1.0, low), high, is_timed, pace, wished, len(primer)
        )
        number = num_particles or _num_particles(high - low, codec, ids, is_timed)
        try:
            drawn = draw(
                network, codec, plan, own, number, MAX_IDS, SHARPNESS, SHARP_NOTES, band=band, judge=judge
            )
            samples.append(drawn.ids)
        except UserError:
            samples.append(None)
    return samples


def _num_particles(span: float, codec: Codec, ids: list[int], is_timed: bool) -> int:
    """How many particles have `NUM_PLACES` notes in a span of grid steps, or else of notes.

    Args:
        span: its length.
        codec: of the ids.
        ids: that tell how many notes there are to a step.
        is_timed: whether the span is in grid steps.
    """
    if is_timed:
        span *= note_counts(codec)[ids].sum() / max(1, codec.token_steps()[ids].sum())
    return int(min(max(NUM_PLACES / max(1.0, span), LEAST_PARTICLES), MOST_PARTICLES))


def _until(codec: Codec, ids: list[int], num_given: int, step: float) -> list[int]:
    """Ids up to the first place from a time on, in grid steps, at which no note is half-written."""
    times = np.cumsum(codec.token_steps()[ids])
    state = codec.tokenizer.start
    for number, (id_, time) in enumerate(zip(ids, times.tolist(), strict=True), 1):
        state = codec.tokenizer.advance(state, codec.vocabulary.tokens[id_])
        if number >= num_given and time >= step and codec.tokenizer.is_complete(state):
            return ids[:number]
    return ids
