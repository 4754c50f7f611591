"""Samples that are steered: of several side by side those go on that are most like held-out music."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.model.course import BLOCK, PLACES, Course, Usual
from noternn.model.lstm import NoteLSTM
from noternn.model.stepper import Lanes, build_lanes
from noternn.model.threads import one_thread
from noternn.music.piece import Piece
from noternn.sampling.copies import Bound
from noternn.sampling.particles import normalized, resampled
from noternn.sampling.sampler import Grammar, Stream, draw_next, sample_each
from noternn.sampling.scoring import SIDE_BY_SIDE, token_nlls
from noternn.tokenizer import BOS_ID, Codec
from noternn.tokenizer.pace import Pace, note_counts
from noternn.tokenizer.pitch_kinds import BEATS_A_BAR

MIN_PIECES = 5  # held-out ones, of which a course can be told
MAX_PIECES = 32
MAX_NOTES = 1200  # of each
LEAST_SPREAD = 0.1
# What is added before a logarithm is taken, so that little and nothing are alike.
LEAST_NATS, LEAST_DENSITY, LEAST_POLYPHONY = 0.05, 0.2, 0.3
LEAST_BEATS = 0.5  # in which a block of notes is played
ON_TIME = 1 / 24  # beats

Floats = NDArray[np.float64]


def course_of(
    network: NoteLSTM, codec: Codec, held_out: Sequence[NDArray[np.int64]], pieces: Iterable[Piece]
) -> Course | None:
    """How held-out music goes along; None where it is too little to tell.

    Args:
        network: in evaluation mode.
        codec: of its ids.
        held_out: of each held-out piece the ids, (num_tokens,) with BOS and EOS.
        pieces: real music, held out or not, for what is no matter of the network.
    """
    counts = note_counts(codec)
    found: list[list[float]] = [[] for _ in PLACES]
    openings = [_opening(ids[:-1], counts) for ids in held_out[:MAX_PIECES]]
    for start in range(0, len(openings), SIDE_BY_SIDE):
        some = openings[start : start + SIDE_BY_SIDE]
        for ids, nats in zip(some, token_nlls(network, some), strict=True):
            for number, each in enumerate(_by_block(nats, counts[ids[1:]])):
                found[_place(number)].append(float(np.log(each + LEAST_NATS)))
    shapes = [
        shape(piece, end)
        for piece in islice(pieces, MAX_PIECES)
        for end in range(2 * BLOCK, min(piece.num_notes, MAX_NOTES) + 1, BLOCK)
    ]
    if len(openings) < MIN_PIECES or not found[0] or len(shapes) < MIN_PIECES:
        return None
    surprise: list[Usual] = []
    for values in found:  # short pieces have no later places: they go on like the last that there is
        surprise.append(_usual(values) if len(values) >= MIN_PIECES or not surprise else surprise[-1])
    return Course(tuple(surprise), tuple(_usual(column) for column in zip(*shapes, strict=True)))


def _opening(ids: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ids with the first `MAX_NOTES` notes."""
    return ids[: int(np.searchsorted(counts[ids].cumsum(), MAX_NOTES)) + 1]


def _by_block(nats: Floats, notes: NDArray[np.int64]) -> Floats:
    """Nats a note of each whole block of `BLOCK` notes, from those of every id and the notes it adds."""
    num_notes = notes.cumsum()
    ends = np.searchsorted(num_notes, np.arange(BLOCK, num_notes[-1] + 1, BLOCK))
    return np.diff(nats.cumsum()[ends], prepend=0.0) / BLOCK


def _place(block: int) -> int:
    return bisect_right(PLACES, block) - 1


def _usual(values: Sequence[float]) -> Usual:
    return float(np.mean(values)), max(float(np.std(values)), LEAST_SPREAD)


def shape(piece: Piece, end: int) -> tuple[float, ...]:
    """What the last two blocks of notes are like, up to the note `end`.

    Returns:
        Logarithms of notes a beat, and of notes that sound at a time, drums left out; the share of the notes
        that begin on a sixteenth; and of those of the last bar the share that stand in the rhythm of the bar
        before, where the same instrument or drum began at the same place. Bars are of four beats.
    """
    notes = slice(max(0, end - 2 * BLOCK), end)
    onset, duration = (part[notes] / piece.ticks_per_beat for part in (piece.onset, piece.duration))
    begin = float(onset[0])
    beats = max(float(onset[-1]) - begin, LEAST_BEATS)
    sounding = (np.minimum(onset + duration, begin + beats) - onset).clip(0)[~piece.is_drum[notes]]
    density, polyphony = len(onset) / beats, float(sounding.sum()) / beats
    on_grid = float((np.abs(4 * onset - np.round(4 * onset)) < 4 * ON_TIME).mean())
    return (
        float(np.log(density + LEAST_DENSITY)),
        float(np.log(polyphony + LEAST_POLYPHONY)),
        on_grid,
        _in_rhythm(piece, end),
    )


def _in_rhythm(piece: Piece, end: int) -> float:
    """See `shape`; of a piece that has no bar before, 0.5."""
    onset = piece.onset[:end] / piece.ticks_per_beat
    begin = onset[-1] - BEATS_A_BAR
    if begin - BEATS_A_BAR < onset[0] - ON_TIME:
        return 0.5
    first = int(np.searchsorted(onset, begin - BEATS_A_BAR - ON_TIME))
    part = np.where(piece.is_drum[first:end], -1 - piece.pitch[first:end], piece.program[first:end])
    step = np.round(onset[first:] / ON_TIME).astype(np.int64)
    key = part.astype(np.int64) * 2**40 + step
    last = onset[first:] > begin + ON_TIME / 2
    before = key + int(BEATS_A_BAR / ON_TIME)
    return float(np.isin(key[last], before).mean())


def continue_each(
    network: NoteLSTM,
    codec: Codec,
    primers: Sequence[Sequence[int]],
    options: Sampling,
    beats: float | None = None,
    pace: Pace | None = None,
    bands: Sequence[frozenset[int] | None] | None = None,
    bound: Bound | None = None,
    course: Course | None = None,
) -> list[list[int]]:
    """What `sample_each` gives, steered if `options.steering` is more than 1.

    So many streams begin each sample. After every `BLOCK` notes each is weighted by how usual its last notes
    are for held-out music, in surprise and in what `shape` tells. Those of low weight are replaced by copies
    of others (a particle filter, see `noternn.sampling.particles.draw`). One wrong note makes the next one
    likelier; here it costs the stream its place.

    Args:
        network, codec, primers, options, beats, pace, bands, bound: see `sample_each`.
        course: of held-out music; None where the checkpoint does not say.

    Raises:
        UserError: if samples are to be steered without a course, or as `sample_each`.
    """
    if options.steering == 1:
        return sample_each(network, codec, primers, options, beats=beats, pace=pace, bands=bands, bound=bound)
    if course is None:
        raise UserError(
            f"steering {options.steering}: this checkpoint does not say how held-out music goes along: an "
            "earlier version wrote it, its run is not over, or it has fewer than 5 validation pieces; leave "
            "it at 1"
        )
    grammar = Grammar(codec, options, beats, pace, bound)
    was_training = network.training
    network.eval()
    try:
        return [
            _Flock(grammar, primer, options.seed + k, bands[k] if bands else None, course).run(
                build_lanes(network)
            )
            for k, primer in enumerate(primers)
        ]
    finally:
        network.train(was_training)


class _Flock:
    """The streams of one sample.

    Args:
        grammar: of its streams.
        primer: that they continue.
        seed: of the sample.
        band: the instruments that play, see `sample_each`.
        course: see `continue_each`.
    """

    def __init__(
        self, grammar: Grammar, primer: Sequence[int], seed: int, band: frozenset[int] | None, course: Course
    ) -> None:
        self.grammar, self.primer, self.course = grammar, primer, course
        self.rng = np.random.default_rng(seed)
        first = Stream(grammar, primer, self.rng, band)
        for id_ in primer:
            first.append(id_)
        self.streams = [self._copy(first) for _ in range(grammar.options.steering)]
        self.nats = np.zeros(len(self.streams))  # of each stream since the last look
        self.notes = 0  # of each, at least, when they are looked at

    def _copy(self, stream: Stream) -> Stream:
        """One that goes its own way, with random numbers of its own."""
        return stream.copy(np.random.default_rng(self.rng.integers(2**63)))

    @one_thread()
    def run(self, lanes: Lanes) -> list[int]:
        """The ids of the sample."""
        log_probs = np.repeat(lanes.read([BOS_ID, *self.primer]), len(self.streams), axis=0)
        lanes.select([0] * len(self.streams))
        progress = tqdm(desc="composing", unit=" notes", leave=False, disable=None)
        while not all(map(self.grammar.is_over, self.streams)):
            self.notes += BLOCK
            while active := self._under_way():
                ids = draw_next(lanes, self.grammar, log_probs, [(k, self.streams[k]) for k in active])
                for k, id_ in zip(active, ids, strict=True):
                    allowed = log_probs[k][self.grammar.masks[self.streams[k].state]]
                    self.nats[k] += np.logaddexp.reduce(allowed) - log_probs[k, id_]
                    self.streams[k].append(id_)
                log_probs[active] = lanes.step_some(ids, active)
            chosen = self._look()
            lanes.select(chosen)
            log_probs = log_probs[chosen]
            progress.update(BLOCK)
        progress.close()
        return self.streams[int(self.rng.integers(len(self.streams)))].ids

    def _under_way(self) -> list[int]:
        """The numbers of the streams that go on before the next look."""
        return [
            k
            for k, stream in enumerate(self.streams)
            if stream.num_notes < self.notes and not self.grammar.is_over(stream)
        ]

    def _look(self) -> list[int]:
        """Choose the streams that go on: their numbers, in the order in which they stand from now on."""
        weights = [self._likeness(s, n) for s, n in zip(self.streams, self.nats, strict=True)]
        chosen = resampled(normalized(np.array(weights)), self.rng.random())
        self.streams = [self._copy(self.streams[k]) for k in chosen]
        self.nats[:] = 0
        return chosen

    def _likeness(self, stream: Stream, nats: float) -> float:
        """How usual the last notes of a stream are, as the logarithm of normal densities."""
        course, piece = self.course, self.grammar.codec.decode(stream.ids)
        surprise = nats / max(1, stream.num_notes - self.notes + BLOCK)
        place = _place(max(0, stream.num_heard - 1) // BLOCK)
        usual = [(float(np.log(surprise + LEAST_NATS)), course.surprise[place])]
        if piece.num_notes > 1:
            usual += zip(shape(piece, piece.num_notes), course.shape, strict=True)
        return -0.5 * sum(((value - mean) / spread) ** 2 for value, (mean, spread) in usual)
