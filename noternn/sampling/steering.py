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
from noternn.health.voices import count_parallels
from noternn.model.course import BLOCK, PLACES, Course, Usual
from noternn.model.lstm import NoteLSTM
from noternn.model.modes import evaluating, one_thread
from noternn.model.products import MAX_STREAMS
from noternn.model.stepper import Lanes, build_lanes
from noternn.music.piece import Piece
from noternn.sampling.particles import normalized, resampled
from noternn.sampling.sampler import Grammar, Stream, draw_next, sample_each, shared_start
from noternn.sampling.scoring import SIDE_BY_SIDE, token_nlls
from noternn.sampling.wishes import ANYTHING, Wishes
from noternn.tokenizer import BOS_ID, Codec
from noternn.tokenizer.pace import Pace, note_counts
from noternn.tokenizer.pitch_kinds import BEATS_A_BAR

MIN_PIECES = 3  # held-out ones, of which a course can be told: ten files have as many
MIN_BLOCKS = 5  # of notes, of which a mean and a spread can be told
MAX_PIECES = 32
MAX_NOTES = 1200  # of each
LEAST_SPREAD = 0.1
# What is added before a logarithm is taken, so that little and nothing are alike.
LEAST_NATS, LEAST_DENSITY, LEAST_POLYPHONY, LEAST_PARALLEL = 0.05, 0.2, 0.3, 0.01
LEAST_BEATS = 0.5  # in which a block of notes is played
ON_TIME = 1 / 24  # beats
NO_DRUMS = 0.75  # what stands for the share of drum hits that return where there are none
# Within so many standard deviations of its mean density says nothing: the ends of phrases are slow.
FREE_DENSITY = 1.5

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
    if len(openings) < MIN_PIECES or not found[0] or len(shapes) < MIN_BLOCKS:
        return None
    surprise: list[Usual] = []
    for values in found:  # short pieces have no later places: they go on like the last that there is
        surprise.append(_usual(values) if len(values) >= MIN_BLOCKS or not surprise else surprise[-1])
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
        that begin on a sixteenth; the logarithm of the share of parallel pairs of voices (see
        `noternn.health.voices.parallels`); of the drum hits of the last bar but one the share that the same
        drum strikes again a bar later, where bars are of four beats; and the logarithm of the number of
        distinct pitches and one, drums left out.
    """
    number = np.arange(piece.num_notes)
    last = piece.select((number >= end - 2 * BLOCK) & (number < end))
    onset, duration = last.onset / piece.ticks_per_beat, last.duration / piece.ticks_per_beat
    begin = float(onset[0])
    beats = max(float(onset[-1]) - begin, LEAST_BEATS)
    sounding = (np.minimum(onset + duration, begin + beats) - onset).clip(0)[~last.is_drum]
    density, polyphony = len(onset) / beats, float(sounding.sum()) / beats
    on_grid = float((np.abs(4 * onset - np.round(4 * onset)) < 4 * ON_TIME).mean())
    num_parallel, num_pairs = count_parallels(last)
    return (
        float(np.log(density + LEAST_DENSITY)),
        float(np.log(polyphony + LEAST_POLYPHONY)),
        on_grid,
        float(np.log(num_parallel / max(1, num_pairs) + LEAST_PARALLEL)),
        _drums_back(piece, end),
        float(np.log(1 + len(np.unique(last.pitch[~last.is_drum])))),
    )


def _drums_back(piece: Piece, end: int) -> float:
    """See `shape`; `NO_DRUMS` without hits, and before there are two bars."""
    onset = piece.onset[:end] / piece.ticks_per_beat
    begin = onset[-1] - 2 * BEATS_A_BAR
    if begin < onset[0] - ON_TIME:
        return NO_DRUMS
    is_hit = piece.is_drum[:end] & (onset > begin + ON_TIME / 2)
    step = np.round((onset[is_hit] - begin) / ON_TIME).astype(np.int64)
    bar = round(BEATS_A_BAR / ON_TIME)
    hits = 128 * step + piece.pitch[:end][is_hit]
    earlier = np.unique(hits[step <= bar])
    return float(np.isin(earlier + 128 * bar, hits).mean()) if len(earlier) else NO_DRUMS


def continue_each(
    network: NoteLSTM,
    codec: Codec,
    primers: Sequence[Sequence[int]],
    options: Sampling,
    beats: float | None = None,
    pace: Pace | None = None,
    bands: Sequence[frozenset[int] | None] | None = None,
    wishes: Wishes = ANYTHING,
    course: Course | None = None,
) -> list[list[int]]:
    """What `sample_each` gives, steered if `options.steering` is more than 1.

    So many streams begin each sample. After every `BLOCK` notes each is weighted by how usual its last notes
    are for held-out music, in surprise and in what `shape` tells. Those of low weight are replaced by copies
    of others (a particle filter, see `noternn.sampling.particles.draw`). One wrong note makes the next one
    likelier; here it costs the stream its place.

    Args:
        network, codec, primers, options, beats, pace, bands, wishes: see `sample_each`.
        course: of held-out music; None where the checkpoint does not say.

    Raises:
        UserError: if samples are to be steered without a course, or as `sample_each`.
    """
    if options.steering == 1:
        return sample_each(
            network, codec, primers, options, beats=beats, pace=pace, bands=bands, wishes=wishes
        )
    if course is None:
        raise UserError(
            f"steering {options.steering}: this checkpoint does not say how held-out music goes along: an "
            "earlier version wrote it, its run is not over, or it has fewer than 3 validation pieces; leave "
            "it at 1"
        )
    grammar = Grammar(codec, options, beats, pace, wishes)
    flocks = [
        _Flock(grammar, primer, options.seed + k, bands[k] if bands else None, course)
        for k, primer in enumerate(primers)
    ]
    together = max(1, MAX_STREAMS // options.steering)
    with evaluating(network):
        for start in range(0, len(flocks), together):
            _run(build_lanes(network), grammar, flocks[start : start + together])
    return [flock.chosen() for flock in flocks]


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

    def _copy(self, stream: Stream) -> Stream:
        """One that goes its own way, with random numbers of its own."""
        return stream.copy(np.random.default_rng(self.rng.integers(2**63)))

    def chosen(self) -> list[int]:
        """The ids of one of its streams."""
        return self.streams[int(self.rng.integers(len(self.streams)))].ids

    def look(self, nats: Floats, notes: int) -> list[int]:
        """Choose the streams that go on: their numbers, in the order in which they stand from now on.

        Args:
            nats: what the last notes of each stream cost, (num_streams,).
            notes: that each has, or would have if it were not over.
        """
        weights = [self._likeness(s, n, notes) for s, n in zip(self.streams, nats, strict=True)]
        chosen = resampled(normalized(np.array(weights)), self.rng.random())
        self.streams = [self._copy(self.streams[k]) for k in chosen]
        return chosen

    def _likeness(self, stream: Stream, nats: float, notes: int) -> float:
        """How usual the last notes of a stream are, as the logarithm of normal densities."""
        surprise = nats / max(1, stream.num_notes - notes + BLOCK)
        place = _place(max(0, stream.num_heard - 1) // BLOCK)
        away = _away(float(np.log(surprise + LEAST_NATS)), self.course.surprise[place])
        return -0.5 * away**2 + likeness_of(self.grammar.codec, self.course, stream.ids)


def likeness_of(codec: Codec, course: Course, ids: Sequence[int]) -> float:
    """How usual the last notes of some ids are in what `shape` tells: the logarithm of normal densities."""
    piece = codec.decode(ids)
    if piece.num_notes < 2:
        return 0.0
    density, *others = map(_away, shape(piece, piece.num_notes), course.shape)  # of those that it knows
    away = [max(0.0, abs(density) - FREE_DENSITY), *others]
    return -0.5 * sum(z**2 for z in away)


def _away(value: float, usual: Usual) -> float:
    """How far a value is from what is usual, in standard deviations."""
    mean, spread = usual
    return (value - mean) / spread


@one_thread()
def _run(lanes: Lanes, grammar: Grammar, flocks: Sequence[_Flock]) -> None:
    """Compose some samples side by side."""
    size = grammar.options.steering
    log_probs = _read(lanes, [flock.primer for flock in flocks])
    each = np.repeat(np.arange(len(flocks)), size)
    lanes.select(each.tolist())
    log_probs = log_probs[each]  # (num_streams, vocab_size)
    nats = np.zeros(len(each))  # of each stream since the last look
    notes = 0  # of each, at least, when they are looked at
    progress = tqdm(desc="composing", unit=" notes", leave=False, disable=None)
    while True:
        streams = [stream for flock in flocks for stream in flock.streams]
        under_way = [k for k, stream in enumerate(streams) if not grammar.is_over(stream)]
        if not under_way:
            break
        going = {k // size for k in under_way}  # which samples
        notes += BLOCK
        while active := [k for k in under_way if streams[k].num_notes < notes]:
            ids = draw_next(lanes, grammar, log_probs, [(k, streams[k]) for k in active])
            for k, id_ in zip(active, ids, strict=True):
                allowed = log_probs[k][grammar.masks[streams[k].state]]
                nats[k] += np.logaddexp.reduce(allowed) - log_probs[k, id_]
                streams[k].append(id_)
            log_probs[active] = lanes.step_some(ids, active)
            under_way = [k for k in under_way if not grammar.is_over(streams[k])]
        chosen = [
            size * n + k
            for n, flock in enumerate(flocks)
            for k in (flock.look(nats[size * n : size * (n + 1)], notes) if n in going else range(size))
        ]
        lanes.select(chosen)
        log_probs, nats = log_probs[chosen], np.zeros(len(each))
        progress.update(BLOCK)
    progress.close()


def _read(lanes: Lanes, primers: Sequence[Sequence[int]]) -> Floats:
    """Begin a stream with each primer: the log-probabilities that follow, (num_primers, vocab_size)."""
    shared = shared_start(primers)
    log_probs = np.repeat(lanes.read([BOS_ID, *shared]), len(primers), axis=0)
    lanes.select([0] * len(primers))
    for at in range(len(shared), max(map(len, primers))):
        longer = [k for k, ids in enumerate(primers) if len(ids) > at]
        log_probs[longer] = lanes.step_some([primers[k][at] for k in longer], longer)
    return log_probs
