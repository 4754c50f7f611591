"""Probabilities -> ids: what is left to choose from, temperature, the tokenizer's grammar, one by one.

Each id is drawn in these steps:

1. The grammar: what may not come next has probability 0.
2. The repetition penalty: pitches of the last notes become less probable, p -> p ** penalty.
3. Top-k, top-p and min-p each keep the most probable ids, all three judged on what 2 gave; what all of them
   keep is left. So their order does not matter, and neither does the temperature to them.
4. The temperature: p -> p ** (1 / temperature) among what is left. Raised, it makes bolder choices among what
   the network holds possible, and never reaches for what it does not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError
from noternn.model.lstm import NoteLSTM
from noternn.model.stepper import MAX_STREAMS, DraftStepper, Stepper, build_stepper
from noternn.tokenizer import BOS_ID, EOS_ID, Codec, State

BuildStepper = Callable[[NoteLSTM, int], Stepper]  # for so many streams

MAX_TOKENS_PER_NOTE = 64  # a sample that writes only shifts and rests ends here
MAX_TOKENS_PER_BEAT = 1024  # and one that never moves on; dense orchestral music has about 250
TOKENS_BETWEEN_LOOKS = 32  # at how far a sample has come that is measured in beats


@dataclass(frozen=True)
class SamplingOptions:
    """How to compose. Greedy, the most probable id every time, is `top_k=1`.

    Args:
        num_notes: notes to add to the primer; with `beats` it is not looked at.
        temperature: above 0; probabilities are raised to the power 1 / temperature.
        top_k: choose among the most probable tokens only; 0 for all.
        seed: of the random choices.
        top_p: choose among the fewest most probable tokens that together have this probability, above 0; 1
            for all. The nucleus of Holtzman et al. (The Curious Case of Neural Text Degeneration, ICLR 2020).
        min_p: choose among tokens that are at least this part of the most probable one's probability, 0 to
            1; 0 for all (Nguyen et al., Turning Up the Heat: Min-p Sampling, arXiv 2407.01082).
        repetition_penalty: at least 1, which is none. After Keskar et al. (CTRL, arXiv 1909.05858), who
            divide logits by it; the zero of logits being arbitrary, log-probabilities are multiplied here.
            So what is certain stays, and nothing gets more likely by being repeated. It acts on tokens of
            pitches and chords alone: a rhythm is made of few durations and shifts that return, and so is
            what drums play.
        repetition_window: how many of the last such tokens, those of the primer included, are penalized.
        beats: add so many quarter notes to the primer, from its last end on, instead of notes. Samples
            then go a little further, see `noternn.sampling.composer.Composer`.
    """

    num_notes: int
    temperature: float
    top_k: int
    seed: int
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    repetition_window: int = 16
    beats: float | None = None


def probabilities(
    log_probs: NDArray[np.float64],
    mask: NDArray[np.bool_],
    options: SamplingOptions,
    repeated: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """The distribution that is sampled from, shape (..., vocab_size).

    Args:
        log_probs: (..., vocab_size) of the network.
        mask: (..., vocab_size) what may come next; at least one of each is true.
        options: how to choose.
        repeated: (..., vocab_size) what the repetition penalty acts on; None for nothing.
    """
    kept = _penalized(log_probs, mask, options.repetition_penalty, repeated)
    order = np.argsort(-kept, axis=-1, kind="stable")
    num_kept = _num_kept(np.take_along_axis(kept, order, axis=-1), options)
    is_left = np.arange(kept.shape[-1]) < num_kept[..., None]
    left = np.empty_like(is_left)
    np.put_along_axis(left, order, is_left, axis=-1)
    kept = np.where(left, kept, -np.inf)
    with np.errstate(over="ignore"):  # at the lowest temperatures all but the most probable become 0
        weights = np.exp((kept - kept.max(axis=-1, keepdims=True)) / options.temperature)
    normalized: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return normalized


def _penalized(
    log_probs: NDArray[np.float64],
    mask: NDArray[np.bool_],
    penalty: float,
    repeated: NDArray[np.bool_] | None,
) -> NDArray[np.float64]:
    """Log-probabilities of what the grammar allows, less of what is repeated; -inf elsewhere."""
    kept = np.where(mask, log_probs, -np.inf)
    if repeated is None or penalty == 1:
        return kept
    kept -= np.logaddexp.reduce(kept, axis=-1, keepdims=True)
    return np.where(repeated, penalty * kept, kept)


def _num_kept(descending: NDArray[np.float64], options: SamplingOptions) -> NDArray[np.int64]:
    """How many of the most probable ids top-k, top-p and min-p leave: (...) from (..., vocab_size)."""
    vocab_size = descending.shape[-1]
    num_kept = np.full(descending.shape[:-1], min(options.top_k or vocab_size, vocab_size))
    if options.top_p < 1:
        below = _cumulative(descending)[..., :-1] < options.top_p
        num_kept = np.minimum(num_kept, 1 + below.sum(axis=-1))
    if options.min_p > 0:
        is_near = descending - descending[..., :1] >= np.log(options.min_p)
        num_kept = np.minimum(num_kept, is_near.sum(axis=-1))
    return num_kept


def _cumulative(descending: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of the most probable one, two, ... ids together, up to 1."""
    cumulative = np.cumsum(np.exp(descending - descending[..., :1]), axis=-1)
    shares: NDArray[np.float64] = cumulative / cumulative[..., -1:]
    return shares


def choose(probs: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.int64]:
    """Ids drawn with probabilities `probs`.

    Args:
        probs: (..., vocab_size).
        point: (...) evenly random in [0, 1).

    Returns:
        Ids, shape (...).
    """
    cumulative = np.cumsum(probs, axis=-1)
    chosen: NDArray[np.int64] = (cumulative <= point[..., None] * cumulative[..., -1:]).sum(axis=-1)
    return chosen


def is_close(
    log_probs: NDArray[np.float64],
    mask: NDArray[np.bool_],
    point: NDArray[np.float64],
    options: SamplingOptions,
    tolerance: float,
    repeated: NDArray[np.bool_] | None = None,
) -> bool:
    """Whether log-probabilities that differ by up to `tolerance` nats might draw another id.

    They would if they moved an edge between two ids over the random point, or changed what top-k, top-p or
    min-p leave. All but `point`, (1,), have the shape (1, vocab_size).
    """
    penalty = 1.0 if repeated is None else options.repetition_penalty
    if penalty != 1:  # the sum that they are divided by is off as well
        tolerance *= 2 * penalty
    descending = np.sort(_penalized(log_probs, mask, penalty, repeated)[mask])[::-1]
    if _cut_is_close(descending, options, tolerance):
        return True
    edges = np.cumsum(probabilities(log_probs, mask, options, repeated), axis=-1)
    # each weight changes by a factor of up to exp(tolerance / temperature), so an edge by half of that share
    return bool(np.abs(edges - point[..., None]).min() < tolerance / options.temperature)


def _cut_is_close(descending: NDArray[np.float64], options: SamplingOptions, tolerance: float) -> bool:
    """Whether other ids might be left if each of these log-probabilities were off by `tolerance`."""
    num_kept = int(_num_kept(descending, options))
    if num_kept < len(descending) and descending[num_kept - 1] - descending[num_kept] < 2 * tolerance:
        return True  # another id might be the last one
    limit = options.top_k or len(descending)
    shares = _cumulative(descending)[:limit]  # each changes by up to half of the tolerance
    at_p = options.top_p < 1 and np.abs(shares - options.top_p).min() < tolerance
    below_first = descending[1:limit] - descending[0]  # both may move
    at_min = options.min_p > 0 and (np.abs(below_first - np.log(options.min_p)) < 2 * tolerance).any()
    return bool(at_p or at_min)


def sample_ids(network: NoteLSTM, codec: Codec, primer: Sequence[int], options: SamplingOptions) -> list[int]:
    """Continue a primer by `num_notes` notes or `beats`; the piece may end by itself only after them.

    Args:
        network: put into evaluation mode for the time of sampling.
        codec: its tokenizer's grammar says what may come next.
        primer: ids without BOS and EOS; empty to start from nothing.
        options: how to choose.

    Returns:
        The primer and what follows it, without BOS and EOS. Fewer notes or beats than asked for only if
        the grammar allows nothing but the end.

    Raises:
        UserError: on a repetition penalty for tokens that hold notes (`Tokenizer.holds_notes`).
    """
    return sample_each(network, codec, [primer], options)[0]


def sample_batch(
    network: NoteLSTM,
    codec: Codec,
    primer: Sequence[int],
    options: SamplingOptions,
    num_samples: int,
    build: BuildStepper = build_stepper,
) -> list[list[int]]:
    """Several continuations of one primer, see `sample_each`."""
    return sample_each(network, codec, [primer] * num_samples, options, build)


def sample_each(
    network: NoteLSTM,
    codec: Codec,
    primers: Sequence[Sequence[int]],
    options: SamplingOptions,
    build: BuildStepper = build_stepper,
) -> list[list[int]]:
    """A continuation of each primer, which advance together: much faster than one after the other.

    Args:
        network: see `sample_ids`, as all that follow up to `options`.
        codec: its grammar.
        primers: what to continue. Read once as far as they agree.
        options: how to choose.
        build: makes what gives the log-probabilities.

    Returns:
        For each k what `sample_ids` gives for `primers[k]` with the seed `options.seed + k`.
    """
    if options.repetition_penalty != 1 and codec.tokenizer.holds_notes:
        raise UserError(
            f"repetition penalty {options.repetition_penalty:g}: this tokenizer writes a held note anew in "
            "every step, so that a penalty would cut notes short; leave it at 1"
        )
    grammar = _Grammar(codec, options)
    streams = [
        _Stream(grammar, primer, np.random.default_rng(options.seed + k)) for k, primer in enumerate(primers)
    ]
    was_training = network.training
    network.eval()
    try:
        for start in range(0, len(streams), MAX_STREAMS):
            group = streams[start : start + MAX_STREAMS]
            _continue(build(network, len(group)), grammar, group)
    finally:
        network.train(was_training)
    return [stream.ids for stream in streams]


def end_in_beats(codec: Codec, primer: Sequence[int], beats: float) -> float:
    """Where a sample of so many `beats` ends: quarter notes from the first onset of its primer."""
    piece = codec.decode(primer)
    return (piece.span[1] if piece.span else piece.end) / piece.ticks_per_beat + beats


class _Grammar:
    """A codec's grammar over ids, and when a sample is long enough; what was asked once is kept."""

    def __init__(self, codec: Codec, options: SamplingOptions) -> None:
        self.codec = codec
        self.options = options
        self.start = codec.tokenizer.start
        tokens, tokenizer = codec.vocabulary.tokens, codec.tokenizer
        self.note_counts = [tokenizer.note_count(token) for token in tokens]
        self.is_pitched = [tokenizer.transposed(token, 1) != token for token in tokens]  # drums stay
        self._masks: dict[State, NDArray[np.bool_]] = {}
        self._next: dict[tuple[State, int], State] = {}

    def mask(self, state: State) -> NDArray[np.bool_]:
        """Which ids may come next but EOS."""
        if state not in self._masks:
            mask = self.codec.mask(state).copy()
            mask[EOS_ID] = False
            self._masks[state] = mask
        return self._masks[state]

    def advance(self, state: State, id_: int) -> State:
        """The state after an id."""
        if (state, id_) not in self._next:
            token = self.codec.vocabulary.tokens[id_]
            self._next[state, id_] = self.codec.tokenizer.advance(state, token)
        return self._next[state, id_]

    def repeated(self, streams: Sequence[_Stream]) -> NDArray[np.bool_] | None:
        """What the repetition penalty acts on, (num_streams, vocab_size)."""
        if self.options.repetition_penalty == 1:
            return None
        repeated = np.zeros((len(streams), len(self.is_pitched)), dtype=np.bool_)
        for row, stream in zip(repeated, streams, strict=True):
            row[list(stream.recent)] = True
        return repeated

    def is_over(self, stream: _Stream) -> bool:
        """Whether a stream has its notes or beats and may end, or must."""
        beats, num_notes = self.options.beats, self.options.num_notes
        has_all = stream.num_notes >= num_notes if beats is None else self._has_come(stream)
        most = MAX_TOKENS_PER_NOTE * num_notes if beats is None else MAX_TOKENS_PER_BEAT * (1 + beats)
        return (
            (has_all and self.codec.tokenizer.is_complete(stream.state))
            or stream.num_added >= most
            or not self.mask(stream.state).any()
        )

    def _has_come(self, stream: _Stream) -> bool:
        """Whether a stream's last onset is no longer before its end, looked at now and then."""
        if not stream.has_come and stream.num_added % TOKENS_BETWEEN_LOOKS == 0:
            piece = self.codec.decode(stream.ids)
            at = piece.span[1] if piece.span else piece.onset.max(initial=0)
            stream.has_come = at / piece.ticks_per_beat >= stream.end
        return stream.has_come


@dataclass(eq=False)
class _Stream:
    """One primer and its continuation under way."""

    grammar: _Grammar
    primer: Sequence[int]
    rng: np.random.Generator
    ids: list[int] = field(default_factory=list)  # so far, those of the primer included
    num_notes: int = 0  # added to the primer
    has_come: bool = False  # to the last onset before its end, if that is told in beats

    def __post_init__(self) -> None:
        options = self.grammar.options
        self.state = self.grammar.start
        self.recent: deque[int] = deque(maxlen=options.repetition_window)
        self.end = 0.0  # in beats, if they are asked for
        if options.beats is not None:
            self.end = end_in_beats(self.grammar.codec, self.primer, options.beats)

    @property
    def num_added(self) -> int:
        return len(self.ids) - len(self.primer)

    def append(self, id_: int) -> None:
        self.num_notes += self.grammar.note_counts[id_] if self.num_added >= 0 else 0
        self.ids.append(id_)
        self.state = self.grammar.advance(self.state, id_)
        if self.grammar.is_pitched[id_]:
            self.recent.append(id_)


def _continue(stepper: Stepper, grammar: _Grammar, streams: Sequence[_Stream]) -> None:
    """Fill some streams, which have no ids yet."""
    log_probs = stepper.step([BOS_ID])
    columns = zip(*(stream.primer for stream in streams), strict=False)
    for id_, *_ in takewhile(lambda column: len(set(column)) == 1, columns):
        for stream in streams:
            stream.append(id_)
        log_probs = stepper.step([id_])
    stepper.repeat(len(streams))
    log_probs = np.repeat(log_probs, len(streams), axis=0)  # (num_streams, vocab_size)
    ids = [BOS_ID] * len(streams)  # of streams that are over any: they are stepped on, and not looked at
    while True:
        reading = [k for k, s in enumerate(streams) if s.num_added < 0]
        drawing = [k for k, s in enumerate(streams) if s.num_added >= 0 and not grammar.is_over(s)]
        if not reading and not drawing:
            return
        for k in reading:
            ids[k] = streams[k].primer[len(streams[k].ids)]
        if drawing:
            drawn = _draw(stepper, grammar, log_probs, [(k, streams[k]) for k in drawing])
            for k, id_ in zip(drawing, drawn, strict=True):
                ids[k] = id_
        for k in reading + drawing:
            streams[k].append(ids[k])
        log_probs = stepper.step(ids)


def _draw(
    stepper: Stepper,
    grammar: _Grammar,
    log_probs: NDArray[np.float64],
    rows: Sequence[tuple[int, _Stream]],
) -> list[int]:
    """The next id of some streams, which stand in these rows of `log_probs`."""
    options, streams = grammar.options, [stream for _, stream in rows]
    mask = np.stack([grammar.mask(stream.state) for stream in streams])
    point = np.array([stream.rng.random() for stream in streams])
    repeated = grammar.repeated(streams)
    if isinstance(stepper, DraftStepper) and is_close(
        log_probs, mask, point, options, stepper.TOLERANCE, repeated
    ):
        log_probs = stepper.settle()
    probs = probabilities(log_probs[[k for k, _ in rows]], mask, options, repeated)
    drawn: list[int] = choose(probs, point).tolist()
    return drawn
