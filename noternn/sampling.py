"""Probabilities -> ids: temperature, top-k and the tokenizer's grammar, one token after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noternn.lstm import NoteLSTM
from noternn.stepper import MAX_STREAMS, DraftStepper, Stepper, build_stepper
from noternn.tokenizer import BOS_ID, EOS_ID, Codec, State

BuildStepper = Callable[[NoteLSTM, int], Stepper]  # for so many streams

MAX_TOKENS_PER_NOTE = 64  # a sample that writes only shifts and rests ends here


@dataclass(frozen=True)
class SamplingOptions:
    """How to compose.

    Args:
        num_notes: notes to add to the primer.
        temperature: above 0; probabilities are raised to the power 1 / temperature.
        top_k: choose among the most probable tokens only; 0 for all.
        seed: of the random choices.
    """

    num_notes: int
    temperature: float
    top_k: int
    seed: int


def probabilities(
    log_probs: NDArray[np.float64], mask: NDArray[np.bool_], temperature: float, top_k: int
) -> NDArray[np.float64]:
    """The distribution that is sampled from, shape (..., vocab_size).

    Args:
        log_probs: (..., vocab_size) of the network.
        mask: (..., vocab_size) what may come next; at least one of each is true.
        temperature: above 0.
        top_k: how many of the most probable allowed ids keep their probability; 0 for all.
    """
    kept = np.where(mask, log_probs, -np.inf)
    if 0 < top_k < kept.shape[-1]:
        order = np.argsort(-kept, axis=-1, kind="stable")
        np.put_along_axis(kept, order[..., top_k:], -np.inf, axis=-1)
    with np.errstate(over="ignore"):  # at the lowest temperatures all but the most probable become 0
        weights = np.exp((kept - kept.max(axis=-1, keepdims=True)) / temperature)
    normalized: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return normalized


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
) -> bool:
    """Whether log-probabilities that differ by up to `tolerance` nats might draw another id.

    They would if they moved an edge between two ids over the random point, or another id among the `top_k`.
    """
    kept = np.sort(log_probs[mask])[::-1]
    at_cut = options.top_k and options.top_k < len(kept)
    if at_cut and kept[options.top_k - 1] - kept[options.top_k] < 2 * tolerance:
        return True
    edges = np.cumsum(probabilities(log_probs, mask, options.temperature, options.top_k), axis=-1)
    # each weight changes by a factor of up to exp(tolerance / temperature), so an edge by half of that share
    return bool(np.abs(edges - point[..., None]).min() < tolerance / options.temperature)


def sample_ids(network: NoteLSTM, codec: Codec, primer: Sequence[int], options: SamplingOptions) -> list[int]:
    """Continue a primer by `num_notes` notes; the piece may end by itself only after them.

    Args:
        network: put into evaluation mode for the time of sampling.
        codec: its tokenizer's grammar says what may come next.
        primer: ids without BOS and EOS; empty to start from nothing.
        options: how to choose.

    Returns:
        The primer and what follows it, without BOS and EOS. Fewer notes than asked for only if
        the grammar allows nothing but the end.
    """
    return sample_batch(network, codec, primer, options, 1)[0]


def sample_batch(
    network: NoteLSTM,
    codec: Codec,
    primer: Sequence[int],
    options: SamplingOptions,
    num_samples: int,
    build: BuildStepper = build_stepper,
) -> list[list[int]]:
    """Several continuations of a primer, which advance together: much faster than one after the other.

    Args:
        network: see `sample_ids`, as all that follow up to `num_samples`.
        codec: its grammar.
        primer: what to continue.
        options: how to choose.
        num_samples: how many.
        build: makes what gives the log-probabilities.

    Returns:
        For each k below `num_samples` what `sample_ids` gives with the seed `options.seed + k`.
    """
    grammar = _Grammar(codec)
    seeds = range(options.seed, options.seed + num_samples)
    was_training = network.training
    network.eval()
    try:
        added = [
            stream.added
            for start in range(0, num_samples, MAX_STREAMS)
            for stream in _continue(
                build(network, len(seeds[start : start + MAX_STREAMS])),
                grammar,
                primer,
                options,
                seeds[start : start + MAX_STREAMS],
            )
        ]
    finally:
        network.train(was_training)
    return [[*primer, *ids] for ids in added]


class _Grammar:
    """A codec's grammar over ids; what was asked once is kept."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.start = codec.tokenizer.start
        self.note_counts = [codec.tokenizer.note_count(token) for token in codec.vocabulary.tokens]
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

    def is_over(self, stream: _Stream, num_notes: int) -> bool:
        """Whether a stream has its notes and may end, or must."""
        has_all = stream.num_notes >= num_notes and self.codec.tokenizer.is_complete(stream.state)
        return (
            has_all
            or len(stream.added) >= MAX_TOKENS_PER_NOTE * num_notes
            or not self.mask(stream.state).any()
        )


@dataclass
class _Stream:
    """One continuation under way."""

    state: State
    rng: np.random.Generator
    added: list[int]
    num_notes: int = 0

    def append(self, id_: int, grammar: _Grammar) -> None:
        self.added.append(id_)
        self.num_notes += grammar.note_counts[id_]
        self.state = grammar.advance(self.state, id_)


def _continue(
    stepper: Stepper,
    grammar: _Grammar,
    primer: Sequence[int],
    options: SamplingOptions,
    seeds: Sequence[int],
) -> list[_Stream]:
    state = grammar.start
    log_probs = stepper.step([BOS_ID])
    for id_ in primer:
        state = grammar.advance(state, id_)
        log_probs = stepper.step([id_])
    stepper.repeat(len(seeds))
    log_probs = np.repeat(log_probs, len(seeds), axis=0)  # (num_streams, vocab_size)
    streams = [_Stream(state, np.random.default_rng(seed), []) for seed in seeds]
    ids = [BOS_ID] * len(seeds)  # of streams that are over any: they are stepped on, and not looked at
    while active := [k for k, s in enumerate(streams) if not grammar.is_over(s, options.num_notes)]:
        mask = np.stack([grammar.mask(streams[k].state) for k in active])
        point = np.array([streams[k].rng.random() for k in active])
        if isinstance(stepper, DraftStepper) and is_close(log_probs, mask, point, options, stepper.TOLERANCE):
            log_probs = stepper.settle()
        probs = probabilities(log_probs[active], mask, options.temperature, options.top_k)
        for k, id_ in zip(active, choose(probs, point).tolist(), strict=True):
            streams[k].append(id_, grammar)
            ids[k] = id_
        log_probs = stepper.step(ids)
    return streams
