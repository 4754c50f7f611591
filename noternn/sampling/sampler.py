"""Continue primers id by id, many streams together: the network, the grammar, and when a sample is over."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.model.lstm import NoteLSTM
from noternn.model.modes import evaluating, one_thread
from noternn.model.products import MAX_STREAMS
from noternn.model.stepper import DraftStepper, Stepper, build_stepper
from noternn.sampling.band import OPENING_BEATS, Instruments, Passing
from noternn.sampling.events import Sounding
from noternn.sampling.probabilities import ROUNDING, UNDECIDED, choose, draw, is_close, probabilities
from noternn.sampling.wishes import ANYTHING, Wishes
from noternn.tokenizer import BOS_ID, EOS_ID, Codec, State
from noternn.tokenizer.bands import BAND_NOTES
from noternn.tokenizer.pace import Pace, note_counts

BuildStepper = Callable[[NoteLSTM, int], Stepper]  # for so many streams

MAX_TOKENS_PER_NOTE = 64  # a sample that writes only shifts and rests ends here
MAX_TOKENS_PER_BEAT = 1024  # and one that never moves on; dense orchestral music has about 250
POINTS = 256  # random numbers of a stream that are made at once
TOKENS_BETWEEN_LOOKS = 32  # at how far a sample has come that is measured in beats


def sample_batch(
    network: NoteLSTM,
    codec: Codec,
    primer: Sequence[int],
    options: Sampling,
    num_samples: int,
    build: BuildStepper = build_stepper,
    beats: float | None = None,
    pace: Pace | None = None,
    band: frozenset[int] | None = None,
) -> list[list[int]]:
    """Several continuations of one primer, see `sample_each`."""
    bands = [band] * num_samples
    return sample_each(network, codec, [primer] * num_samples, options, build, beats, pace, bands)


@one_thread()
def sample_each(
    network: NoteLSTM,
    codec: Codec,
    primers: Sequence[Sequence[int]],
    options: Sampling,
    build: BuildStepper = build_stepper,
    beats: float | None = None,
    pace: Pace | None = None,
    bands: Sequence[frozenset[int] | None] | None = None,
    wishes: Wishes = ANYTHING,
) -> list[list[int]]:
    """A continuation of each primer, which advance together: much faster than one after the other.

    Args:
        network: put into evaluation mode for the time of sampling.
        codec: its tokenizer's grammar says what may come next.
        primers: what to continue, ids without BOS and EOS; empty to start from nothing. Read once as far as
            they agree.
        options: how to choose.
        build: makes what gives the log-probabilities.
        beats: add so many quarter notes to the primer, from its last end on, instead of `options.num_notes`
            notes. Samples then go a little further, see `noternn.sampling.composer.Composer`.
        pace: of the training pieces: samples go no longer without a note; None for `Pace.default`.
        bands: for each primer the instruments that play, see `Instruments`; None keeps to those that are
            heard in the primer and in the first `OPENING_BEATS` of the sample.
        wishes: of what is composed.

    Returns:
        For each k `primers[k]` and what follows it, drawn with the seed `options.seed + k`: `num_notes` notes
        or `beats`, without BOS and EOS. A piece may end by itself only after them; it is shorter only if the
        grammar allows nothing but the end.

    Raises:
        UserError: on a repetition penalty for tokens that hold notes (`Tokenizer.holds_notes`), or if the
            wishes leave nothing that may come.
    """
    grammar = Grammar(codec, options, beats, pace, wishes)
    streams = [
        Stream(grammar, primer, np.random.default_rng(options.seed + k), bands[k] if bands else None)
        for k, primer in enumerate(primers)
    ]
    with evaluating(network):
        for start in range(0, len(streams), MAX_STREAMS):
            group = streams[start : start + MAX_STREAMS]
            _continue(build(network, len(group)), grammar, group)
    return [stream.ids for stream in streams]


def end_in_beats(codec: Codec, primer: Sequence[int], beats: float) -> float:
    """Where a sample of so many `beats` ends: quarter notes from the first onset of its primer."""
    piece = codec.decode(primer)
    return (piece.span[1] if piece.span else piece.end) / piece.ticks_per_beat + beats


class Grammar:
    """A codec's grammar over ids, and when a sample is long enough; what was asked once is kept.

    Its states are numbered in the order in which they come up. What is known of each stands in lists.

    Args:
        codec, options, beats, pace, wishes: see `sample_each`.

    Raises:
        UserError: on a repetition penalty for tokens that hold notes (`Tokenizer.holds_notes`).
    """

    def __init__(
        self,
        codec: Codec,
        options: Sampling,
        beats: float | None,
        pace: Pace | None,
        wishes: Wishes,
    ) -> None:
        if options.repetition_penalty != 1 and codec.tokenizer.holds_notes:
            raise UserError(
                f"repetition penalty {options.repetition_penalty:g}: this tokenizer writes a held note anew "
                "in every step, so that a penalty would cut notes short; leave it at 1"
            )
        self.codec = codec
        self.options = options
        self.beats = beats
        self.pace = pace or Pace.default(codec.tokenizer.steps_per_beat)
        self.bound, self.crowd = wishes.bound, wishes.crowd_of(codec)
        self._composed = codec if wishes.ids is None else Codec(codec.tokenizer, codec.vocabulary, wishes.ids)
        tokens, tokenizer = codec.vocabulary.tokens, codec.tokenizer
        self.has_notes, self.steps = note_counts(codec) > 0, codec.token_steps()
        self.note_counts: list[int] = note_counts(codec).tolist()
        self.num_steps: list[int] = self.steps.tolist()
        self.is_pitched = [tokenizer.transposed(token, 1) != token for token in tokens]  # drums stay
        self.penalizes = options.repetition_penalty != 1
        self.instruments = Instruments(codec)
        self.opening_steps = OPENING_BEATS * tokenizer.steps_per_beat
        self._numbers: dict[tuple[State, frozenset[int] | None], int] = {}
        self._states: list[tuple[State, frozenset[int] | None]] = []
        self._passing: list[Passing | None] = []
        self._next: list[dict[int, int]] = []  # by the id that comes
        self.masks = np.zeros((16, len(tokens)), dtype=np.bool_)  # which ids may come next but EOS; grows
        self.must_end: list[bool] = []
        self.may_end: list[bool] = []
        self.most = (  # ids of a sample
            MAX_TOKENS_PER_NOTE * options.num_notes if beats is None else MAX_TOKENS_PER_BEAT * (1 + beats)
        )

    def start(self, band: frozenset[int] | None) -> int:
        """The state at the start of a sample in which none but a band may play; None for all."""
        return self._number(self.codec.tokenizer.start, band)

    def _number(self, state: State, band: frozenset[int] | None) -> int:
        """The number of a state in which none but a band may play; None for all."""
        place = state, band
        if place in self._numbers:
            return self._numbers[place]
        number = self._numbers[place] = len(self._states)
        if number == len(self.masks):
            self.masks = np.concatenate([self.masks, np.zeros_like(self.masks)])
        self.masks[number] = self._composed.mask(state)
        self.masks[number, EOS_ID] = False
        passing = None
        if band is not None:
            passing = self.instruments.passing(self.masks[number], band)
            played = self.masks[number] & self.instruments.mask(band)
            self.masks[number] = played if played.any() else self.masks[number]
        self._states.append(place)
        self._passing.append(passing)
        self._next.append({})
        self.must_end.append(not self.masks[number].any())
        self.may_end.append(self.codec.tokenizer.is_complete(state))
        return number

    def advance(self, number: int, id_: int) -> int:
        """The state after an id."""
        known = self._next[number]
        if id_ not in known:
            token, (state, band) = self.codec.vocabulary.tokens[id_], self._states[number]
            known[id_] = self._number(self.codec.tokenizer.advance(state, token), band)
        return known[id_]

    def passed_on(
        self, log_probs: NDArray[np.float64], rows: Sequence[tuple[int, Stream]]
    ) -> NDArray[np.float64]:
        """Log-probabilities with those of instruments that do not play given to a band, see `Passing`."""
        passing = [(k, how) for k, stream in rows if (how := self._passing[stream.state]) is not None]
        if not passing:
            return log_probs
        changed = log_probs.copy()
        for k, how in passing:
            how.on(changed[k])
        return changed

    def with_band(self, number: int, band: frozenset[int]) -> int:
        """The same state, after which none but a band may play."""
        return self._number(self._states[number][0], band)

    def is_opening(self, stream: Stream) -> bool:
        """Whether instruments may still come in."""
        return stream.at < self.opening_steps and stream.num_heard < BAND_NOTES

    def repeated(self, streams: Sequence[Stream]) -> NDArray[np.bool_] | None:
        """What the repetition penalty acts on, (num_streams, vocab_size)."""
        if not self.penalizes:
            return None
        repeated = np.zeros((len(streams), len(self.is_pitched)), dtype=np.bool_)
        for row, stream in zip(repeated, streams, strict=True):
            row[list(stream.recent)] = True
        return repeated

    def lingers(self, stream: Stream, id_: int) -> bool:
        """Whether a stream would go without a note for longer than the training pieces do."""
        steps = self.num_steps[id_]
        if steps and stream.steps_since + steps > self.most_steps(stream):
            return True
        return not self.note_counts[id_] and stream.tokens_since >= self.pace.tokens

    def most_steps(self, stream: Stream) -> int:
        """The grid steps that a stream may go from one note to the next.

        A beat, once it is slower than the slowest training piece and has rested longer than any.
        """
        pace = self.pace
        left = pace.steps_per_note * stream.num_notes + pace.steps - (stream.num_steps - stream.steps_since)
        return int(min(pace.steps, max(left, self.codec.tokenizer.steps_per_beat)))

    def mask_onward(self, stream: Stream) -> NDArray[np.bool_]:
        """What may come next in a stream that must not linger, (vocab_size,): all if nothing else is left.

        Where the grammar has no note next it rules out what might come again and again.
        """
        allowed = self.masks[stream.state]
        onward = allowed & ((self.steps == 0) | (stream.steps_since + self.steps <= self.most_steps(stream)))
        if stream.tokens_since >= self.pace.tokens:
            notes = onward & self.has_notes
            onward = notes if notes.any() else onward & ~self._chains(stream.state)
        found: NDArray[np.bool_] = onward if onward.any() else allowed
        return found

    def oversteps(self, stream: Stream, id_: int) -> bool:
        """Whether an id would copy more than may be, or more notes would sound."""
        if self.crowd is not None and not self.crowd.allowed(stream.sounding, self.masks[stream.state])[id_]:
            return True
        return self.bound is not None and stream.place is not None and self.bound.copies(stream.place, id_)

    def mask_bounded(self, stream: Stream, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What of a mask copies no more than may be, and lets no more sound, (vocab_size,)."""
        for ids in (mask, self.masks[stream.state]):
            allowed = ids if self.crowd is None else self.crowd.allowed(stream.sounding, ids)
            if self.bound is not None and stream.place is not None:
                allowed = self.bound.allowed(stream.place, allowed)
            if allowed.any() or not ids.any():
                return allowed
        raise UserError(
            "all notes that may come next copy more of the training pieces than may be"
            if self.crowd is None
            else "no note may come next: fewer may sound at once than do, or all would copy more than may be"
        )

    def _chains(self, number: int) -> NDArray[np.bool_]:
        """Which ids may come again right after themselves, (vocab_size,)."""
        ids = np.flatnonzero(self.masks[number])
        chains = np.zeros_like(self.has_notes)
        chains[ids] = [bool(self.masks[self.advance(number, id_)][id_]) for id_ in ids.tolist()]
        return chains

    def is_over(self, stream: Stream) -> bool:
        """Whether a stream has its notes or beats and may end, or must."""
        state = stream.state
        has_all = stream.num_notes >= self.options.num_notes if self.beats is None else self._has_come(stream)
        return (has_all and self.may_end[state]) or stream.num_added >= self.most or self.must_end[state]

    def _has_come(self, stream: Stream) -> bool:
        """Whether a stream's last onset is no longer before its end, looked at now and then."""
        if not stream.has_come and stream.num_added % TOKENS_BETWEEN_LOOKS == 0:
            piece = self.codec.decode(stream.ids)
            at = piece.span[1] if piece.span else piece.onset.max(initial=0)
            stream.has_come = at / piece.ticks_per_beat >= stream.end
        return stream.has_come


class Stream:
    """One primer and its continuation under way."""

    def __init__(
        self,
        grammar: Grammar,
        primer: Sequence[int],
        rng: np.random.Generator,
        band: frozenset[int] | None = None,
    ) -> None:
        self.grammar = grammar
        self.primer = primer
        self.ids: list[int] = []  # so far, the primer included
        self.num_added = -len(primer)  # ids beyond the primer
        self.num_notes = 0  # added to the primer
        self.num_steps = 0  # of the grid, since then
        self.steps_since = 0  # the last note, its token included
        self.tokens_since = 0
        self.has_come = False  # to the last onset before its end, if that is told in beats
        self.state = grammar.start(band)
        self.at = 0  # grid steps from the first note on, the primer included
        self.num_heard = 0  # notes, the primer included
        self.is_open = bool(grammar.instruments.known) and band is None  # to other instruments
        self.recent: deque[int] = deque(maxlen=grammar.options.repetition_window)
        self.end = 0.0  # in beats, if they are asked for
        if grammar.beats is not None:
            self.end = end_in_beats(grammar.codec, primer, grammar.beats)
        self.place = grammar.bound.start() if grammar.bound else None
        self.sounding = Sounding()  # where it is asked how many sound
        self._rng = rng
        self._points: list[float] = []  # the next ones last

    def copy(self, rng: np.random.Generator) -> Stream:
        """One that goes its own way, with random numbers of its own."""
        other = copy.copy(self)
        other.ids, other.recent = [*self.ids], self.recent.copy()
        other._rng, other._points = rng, []  # one of its own kind
        return other

    def point(self) -> float:
        """The next number of its generator, evenly random in [0, 1)."""
        if not self._points:  # many at once are the same as one by one
            self._points = self._rng.random(POINTS)[::-1].tolist()
        return self._points.pop()

    def append(self, id_: int) -> None:
        """Go on by an id."""
        grammar = self.grammar
        notes, steps = grammar.note_counts[id_], grammar.num_steps[id_]
        if grammar.bound is not None and self.place is not None:
            self.place = grammar.bound.after(self.place, id_, is_given=self.num_added < 0)
        if grammar.crowd is not None:
            self.sounding = grammar.crowd.after(self.sounding, id_)
        if self.num_added >= 0:
            self.num_notes += notes
            self.num_steps += steps
        self.num_added += 1
        self.steps_since = steps if notes else self.steps_since + steps
        self.tokens_since = 0 if notes else self.tokens_since + 1
        self.ids.append(id_)
        self.state = grammar.advance(self.state, id_)
        self.at += steps
        self.num_heard += notes
        if self.is_open and self.num_added >= 0 and not grammar.is_opening(self):
            self.is_open = False
            self.state = grammar.with_band(self.state, grammar.instruments.heard(self.ids))
        if grammar.penalizes and grammar.is_pitched[id_]:
            self.recent.append(id_)


def shared_start(primers: Sequence[Sequence[int]]) -> list[int]:
    """The ids with which all primers begin."""
    columns = zip(*primers, strict=False)
    return [column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns)]


def _continue(stepper: Stepper, grammar: Grammar, streams: Sequence[Stream]) -> None:
    """Fill some streams, which have no ids yet."""
    log_probs = stepper.step([BOS_ID])
    for id_ in shared_start([stream.primer for stream in streams]):
        for stream in streams:
            stream.append(id_)
        log_probs = stepper.step([id_])
    stepper.select([0] * len(streams))
    log_probs = np.repeat(log_probs, len(streams), axis=0)  # (num_streams, vocab_size)
    ids = [BOS_ID] * len(streams)  # of streams that are over any: they are stepped on, and not looked at
    under_way = list(enumerate(streams))
    while True:
        under_way = [(k, s) for k, s in under_way if s.num_added < 0 or not grammar.is_over(s)]
        if not under_way:
            return
        drawing = [(k, s) for k, s in under_way if s.num_added >= 0]
        if drawing:
            drawn = draw_next(stepper, grammar, log_probs, drawing)
            for (k, _), id_ in zip(drawing, drawn, strict=True):
                ids[k] = id_
        for k, stream in under_way:
            if stream.num_added < 0:
                ids[k] = stream.primer[len(stream.ids)]
            stream.append(ids[k])
        log_probs = stepper.step(ids)


def draw_next(
    stepper: Stepper,
    grammar: Grammar,
    log_probs: NDArray[np.float64],
    rows: Sequence[tuple[int, Stream]],
) -> list[int]:
    """The next id of some streams, which stand in these rows of `log_probs`."""
    options, masks = grammar.options, grammar.masks
    which = np.array([k for k, _ in rows])
    states = np.array([stream.state for _, stream in rows])
    point = np.array([stream.point() for _, stream in rows])
    is_draft = isinstance(stepper, DraftStepper)
    tolerance = DraftStepper.TOLERANCE if is_draft else ROUNDING
    passed = grammar.passed_on(log_probs, rows)
    if passed is not log_probs:  # what two sums over others are off by is added
        log_probs, tolerance = passed, 3 * tolerance
    repeated = grammar.repeated([stream for _, stream in rows])
    drawn = np.full(len(rows), UNDECIDED)
    if not grammar.penalizes:
        drawn = draw(log_probs, which, masks, states, point, options, tolerance)
    left = np.flatnonzero(drawn == UNDECIDED)
    exact = None if is_draft else log_probs
    if len(left):
        mask = masks[states[left]]
        of_left = None if repeated is None else repeated[left]
        if isinstance(stepper, DraftStepper) and is_close(
            log_probs, mask, point, options, tolerance, of_left
        ):
            exact = log_probs = grammar.passed_on(stepper.settle(), rows)
        probs = probabilities(log_probs[which[left]], mask, options, of_left)
        drawn[left] = choose(probs, point[left])
    ids: list[int] = drawn.tolist()
    for n, (k, stream) in enumerate(rows):
        lingers = grammar.lingers(stream, ids[n])
        if lingers or grammar.oversteps(stream, ids[n]):
            if exact is None:
                assert isinstance(stepper, DraftStepper)
                exact = grammar.passed_on(stepper.settle(), rows)
            mask = grammar.mask_onward(stream) if lingers else grammar.masks[stream.state]
            mask = grammar.mask_bounded(stream, mask)
            probs = probabilities(exact[k], mask, options, None if repeated is None else repeated[n])
            ids[n] = int(choose(probs, np.array(stream.point())))
    return ids
