"""Continue primers id by id, many streams together: the network, the grammar, and when a sample is over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.model.lstm import NoteLSTM
from noternn.model.stepper import MAX_STREAMS, DraftStepper, Stepper, build_stepper
from noternn.sampling.probabilities import choose, is_close, probabilities
from noternn.tokenizer import BOS_ID, EOS_ID, Codec, State

BuildStepper = Callable[[NoteLSTM, int], Stepper]  # for so many streams

MAX_TOKENS_PER_NOTE = 64  # a sample that writes only shifts and rests ends here
MAX_TOKENS_PER_BEAT = 1024  # and one that never moves on; dense orchestral music has about 250
TOKENS_BETWEEN_LOOKS = 32  # at how far a sample has come that is measured in beats


def sample_batch(
    network: NoteLSTM,
    codec: Codec,
    primer: Sequence[int],
    options: Sampling,
    num_samples: int,
    build: BuildStepper = build_stepper,
    beats: float | None = None,
) -> list[list[int]]:
    """Several continuations of one primer, see `sample_each`."""
    return sample_each(network, codec, [primer] * num_samples, options, build, beats)


def sample_each(
    network: NoteLSTM,
    codec: Codec,
    primers: Sequence[Sequence[int]],
    options: Sampling,
    build: BuildStepper = build_stepper,
    beats: float | None = None,
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

    Returns:
        For each k `primers[k]` and what follows it, drawn with the seed `options.seed + k`: `num_notes` notes
        or `beats`, without BOS and EOS. A piece may end by itself only after them; it is shorter only if the
        grammar allows nothing but the end.

    Raises:
        UserError: on a repetition penalty for tokens that hold notes (`Tokenizer.holds_notes`).
    """
    if options.repetition_penalty != 1 and codec.tokenizer.holds_notes:
        raise UserError(
            f"repetition penalty {options.repetition_penalty:g}: this tokenizer writes a held note anew in "
            "every step, so that a penalty would cut notes short; leave it at 1"
        )
    grammar = _Grammar(codec, options, beats)
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

    def __init__(self, codec: Codec, options: Sampling, beats: float | None) -> None:
        self.codec = codec
        self.options = options
        self.beats = beats
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
        beats, num_notes = self.beats, self.options.num_notes
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
    ids: list[int] = field(default_factory=list)  # so far, the primer included
    num_notes: int = 0  # added to the primer
    has_come: bool = False  # to the last onset before its end, if that is told in beats

    def __post_init__(self) -> None:
        self.state, beats = self.grammar.start, self.grammar.beats
        self.recent: deque[int] = deque(maxlen=self.grammar.options.repetition_window)
        self.end = 0.0  # in beats, if they are asked for
        if beats is not None:
            self.end = end_in_beats(self.grammar.codec, self.primer, beats)

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
