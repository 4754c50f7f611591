"""Sequential Monte Carlo: samples side by side, weighted by how probable what is asked of them is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.model.lstm import NoteLSTM
from noternn.model.modes import evaluating, one_thread
from noternn.model.products import MAX_STREAMS
from noternn.model.stepper import Lanes, build_lanes
from noternn.sampling.band import Instruments
from noternn.sampling.probabilities import choose, probabilities
from noternn.tokenizer import BOS_ID, EOS_ID, UNK_ID, Codec, State
from noternn.tokenizer.pace import note_counts

S = TypeVar("S")
T = TypeVar("T")
MOST_JUDGED = 64  # candidates
RESAMPLED_BELOW = 0.5  # of the particles: the effective sample size at which they are resampled


class Plan(Protocol[S]):
    """What is asked of a sample: which ids may come, and where it may end. Its states are never changed."""

    start: S

    def allowed(self, state: S, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which ids may come next of those that the grammar allows, (vocab_size,), a new array.

        EOS is among them only where the sample may end by it.
        """

    def advance(self, state: S, id_: int) -> S:
        """The state after an id."""

    def stage(self, state: S) -> int:
        """Never falls. Where it grows, particles wait for each other, and may be resampled."""

    def is_done(self, state: S) -> bool:
        """Whether the sample is whole without an EOS."""


@dataclass
class _Particle(Generic[S]):
    """A sample under way.

    `log_prob` is the network's of the pitches that were drawn, and `before` that before each last note.
    """

    ids: list[int]
    grammar: State
    plan: S
    log_prob: float = 0.0
    before: tuple[float, ...] = ()

    def copy(self) -> _Particle[S]:
        """One that goes its own way."""
        return replace(self, ids=[*self.ids])


@dataclass
class _Ended(Generic[S]):
    """A sample that is whole, the logarithm of its weight, and whether all last notes are in that."""

    log_weight: float
    ids: list[int]
    plan: S
    has_notes: bool = True


@dataclass(frozen=True)
class Drawn(Generic[T]):
    """A sample of `draw`.

    Args:
        ids: without BOS and EOS.
        plan: the plan's state after them.
        log_evidence: an estimate of how probable, in nats, it is that a sample does what is asked.
        num_resampled: how often the particles were resampled.
    """

    ids: list[int]
    plan: T
    log_evidence: float
    num_resampled: int


class _Stuck(Exception):  # noqa: N818  # no error: it is answered
    """No particle can go on, and none has ended."""


@one_thread()
def draw(
    network: NoteLSTM,
    codec: Codec,
    plan: Plan[S],
    options: Sampling,
    num_particles: int,
    most: int,
    sharpness: float = 1,
    sharp_notes: int = 0,
    build: Callable[[NoteLSTM], Lanes] = build_lanes,
    band: frozenset[int] | None = None,
    judge: Callable[[list[int]], float] | None = None,
) -> Drawn[S]:
    """A sample that does what a plan asks, drawn with the seed of `options`.

    Particles are drawn id by id from the network among what the plan allows, and each is weighted by the
    network's probability that what comes is allowed. Those of low weight are replaced by copies of others
    (bootstrap filter: Gordon et al., IEE Proceedings F 140, 1993). EOS is never drawn: every place where a
    particle may end is a candidate, weighted by how probable the end is there, and one is chosen.

    With the temperature 1 and no filter the distribution of what comes out nears, with more particles, that
    of the network's own samples that do what is asked. Filters choose among what is allowed, and weights do
    not know of them.

    Args:
        network: put into evaluation mode for the time of sampling.
        codec: its tokenizer's grammar says what may come next.
        plan: what is asked.
        options: how to choose, and the seed.
        num_particles: from 1 on.
        most: ids of a stage.
        sharpness: the power to which the probability of an end is raised: above 1 the end comes where it is
            most likely, and more often than the network would end there.
        sharp_notes: of so many notes before the end the probability of their pitches is raised with it: how
            long they are tells the network that the end is near, and not whether they are the right ones.
        build: makes what gives the log-probabilities.
        band: the instruments that play, to which the probability of others goes, see
            `noternn.sampling.band.Passing`; None for all.
        judge: the logarithm of one more weight of a sample under way, from its ids. It counts where particles
            are resampled, and where one of the `MOST_JUDGED` candidates is chosen that weigh most without it.

    Raises:
        UserError: if no particle can do what is asked.
    """
    try:
        with evaluating(network):
            lanes = build(network)
            filter_ = _Filter(lanes, codec, plan, options, num_particles, sharpness, sharp_notes, band, judge)
            return filter_.run(most)
    except _Stuck:
        raise UserError(
            f"none of {num_particles} particles found notes that do what was asked: "
            "ask for less, or try more particles"
        ) from None


class _Filter(Generic[S]):
    """The particles under way."""

    def __init__(
        self,
        lanes: Lanes,
        codec: Codec,
        plan: Plan[S],
        options: Sampling,
        num_particles: int,
        sharpness: float,
        sharp_notes: int,
        band: frozenset[int] | None,
        judge: Callable[[list[int]], float] | None,
    ) -> None:
        self.sharpness, self.sharp_notes, self.judge = sharpness, sharp_notes, judge
        self.note_counts: list[int] = note_counts(codec).tolist()
        self.band, self.instruments = band, Instruments(codec)
        self.lanes, self.codec, self.plan, self.options = lanes, codec, plan, options
        self.num_particles = num_particles
        self.rng = np.random.default_rng(options.seed)
        self.particles = [_Particle([], codec.tokenizer.start, plan.start)]
        self.log_probs = np.zeros((num_particles, len(codec.vocabulary)))  # after the last id of each
        self.log_weights = np.zeros(num_particles)
        self.ended: list[_Ended[S]] = []
        self.num_resampled = 0

    def run(self, most: int) -> Drawn[S]:
        """Go through all stages."""
        self._lead()
        while True:
            under_way = [k for k, weight in enumerate(self.log_weights) if weight > -np.inf]
            if not under_way:
                break
            stage = min(self.plan.stage(self.particles[k].plan) for k in under_way)
            self._go_through(stage, most)
            if np.isfinite(self.log_weights).any():
                self._resample_if_few_count()
        if not self.ended:
            raise _Stuck
        candidates = [ended for ended in self.ended if ended.has_notes] or self.ended
        if judge := self.judge:
            likeliest = sorted(candidates, key=lambda ended: -ended.log_weight)[:MOST_JUDGED]
            candidates = [replace(e, log_weight=e.log_weight + judge(e.ids)) for e in likeliest]
        weights = np.array([ended.log_weight for ended in candidates])
        place = choose(normalized(weights), np.array(self.rng.random()))
        chosen = candidates[int(weights.argmax() if self.options.top_k == 1 else place)]
        evidence = float(np.logaddexp.reduce(weights) - np.log(self.num_particles))
        return Drawn(chosen.ids, chosen.plan, evidence, self.num_resampled)

    def _lead(self) -> None:
        """Go on with one particle while there is nothing to choose, then with all."""
        (particle,) = self.particles
        while not self.plan.is_done(particle.plan):
            ids = np.flatnonzero(self._allowed(particle)).tolist()
            if len(ids) != 1 or ids == [EOS_ID]:
                break
            self._append(particle, ids[0])
        self.log_probs[:] = self.lanes.read([BOS_ID, *particle.ids])
        self.particles = [particle.copy() for _ in self._numbers]
        self.lanes.select([0] * self.num_particles)

    @property
    def _numbers(self) -> range:
        return range(self.num_particles)

    def _allowed(self, particle: _Particle[S]) -> NDArray[np.bool_]:
        return self.plan.allowed(particle.plan, self.codec.mask(particle.grammar))

    def _append(self, particle: _Particle[S], id_: int) -> None:
        particle.ids.append(id_)
        particle.grammar = self.codec.tokenizer.advance(particle.grammar, self.codec.vocabulary.tokens[id_])
        particle.plan = self.plan.advance(particle.plan, id_)

    def _go_through(self, stage: int, most: int) -> None:
        """Until every particle has come to a later stage, has ended or cannot go on."""
        for _ in range(most):
            active = [k for k in self._numbers if self._is_in(stage, k)]
            if not active:
                return
            self._advance(active)
        for k in self._numbers:
            if self._is_in(stage, k):
                self.log_weights[k] = -np.inf

    def _is_in(self, stage: int, k: int) -> bool:
        if self.log_weights[k] == -np.inf:
            return False
        particle = self.particles[k]
        if self.plan.is_done(particle.plan):
            self._end(k, self.log_weights[k])
            self.log_weights[k] = -np.inf
            return False
        return self.plan.stage(particle.plan) == stage

    def _end(self, k: int, log_weight: float) -> None:
        particle = self.particles[k]
        has_notes = len(particle.before) >= self.sharp_notes
        if self.sharp_notes and has_notes:
            log_weight += (self.sharpness - 1) * (particle.log_prob - particle.before[0])
        self.ended.append(_Ended(log_weight, [*particle.ids], particle.plan, has_notes))

    def _advance(self, active: Sequence[int]) -> None:
        """One more id of some particles; those that can end here are candidates."""
        legal = np.stack([self.codec.mask(self.particles[k].grammar) for k in active])
        allowed = np.stack([self._allowed(self.particles[k]) for k in active])
        log_probs = self.log_probs[active]
        if self.band is not None:
            for row, mask in zip(log_probs, legal, strict=True):
                if passing := self.instruments.passing(mask, self.band):
                    passing.on(row)
        log_probs[allowed[:, UNK_ID], UNK_ID] = 0  # it must come: what it stands for cannot be weighed
        total = _log_sum(log_probs, legal)
        for row in np.flatnonzero(allowed[:, EOS_ID]).tolist():
            k = active[row]
            ends = self.log_weights[k] + self.sharpness * (log_probs[row, EOS_ID] - total[row])
            if ends > -np.inf:
                self._end(k, ends)
        allowed[:, EOS_ID] = False
        with np.errstate(invalid="ignore"):
            change = _log_sum(log_probs, allowed) - total
        self.log_weights[active] += np.where(np.isfinite(change), change, -np.inf)
        alive = np.flatnonzero(np.isfinite(self.log_weights[active])).tolist()
        if not len(alive):
            return
        probs = probabilities(log_probs[alive], allowed[alive], self.options)
        ids = choose(probs, self.rng.random(len(alive))).tolist()
        streams = [active[row] for row in alive]
        for k, row, id_ in zip(streams, alive, ids, strict=True):
            self._append(self.particles[k], id_)
            self._note(self.particles[k], id_, float(log_probs[row, id_] - total[row]))
        for start in range(0, len(streams), MAX_STREAMS):
            part = slice(start, start + MAX_STREAMS)
            self.log_probs[streams[part]] = self.lanes.step_some(ids[part], streams[part])

    def _note(self, particle: _Particle[S], id_: int, log_prob: float) -> None:
        """How probable an id was that was drawn, if it says notes."""
        if self.sharp_notes and self.note_counts[id_]:
            before = particle.before + (particle.log_prob,) * self.note_counts[id_]
            particle.before = before[-self.sharp_notes :]
            particle.log_prob += log_prob

    def _resample_if_few_count(self) -> None:
        weights = self.log_weights
        if judge := self.judge:
            both = zip(self.particles, weights, strict=True)
            weights = np.array([w + judge(p.ids) if w > -np.inf else w for p, w in both])
        if effective_size(weights) >= RESAMPLED_BELOW * self.num_particles:
            return
        chosen = in_place(resampled(normalized(weights), self.rng.random()))
        mean = np.logaddexp.reduce(self.log_weights) - np.log(self.num_particles)
        self.particles = [self.particles[k].copy() for k in chosen]
        self.lanes.select(chosen)
        self.log_probs = self.log_probs[chosen]
        self.log_weights = np.full(self.num_particles, mean)
        self.num_resampled += 1


def _log_sum(log_probs: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The logarithm of the probability of what a mask allows, (n,), both (n, vocab_size)."""
    sums: NDArray[np.float64] = np.logaddexp.reduce(np.where(mask, log_probs, -np.inf), axis=-1)
    return sums


def normalized(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights with the sum 1, (n,), from their logarithms."""
    weights = np.exp(log_weights - log_weights.max())
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def effective_size(log_weights: NDArray[np.float64]) -> float:
    """How many particles of equal weight would say as much (Kong et al., JASA 89, 1994)."""
    return float(1 / (normalized(log_weights) ** 2).sum())


def resampled(weights: NDArray[np.float64], point: float) -> list[int]:
    """Numbers of particles, as many as there are, each about as often as its weight says.

    Systematic resampling (Carpenter et al., IEE Proceedings Radar 146, 1999): of n particles that of weight w
    comes n * w times, rounded down or up.

    Args:
        weights: (n,) with the sum 1.
        point: evenly random in [0, 1).
    """
    places = (np.arange(len(weights)) + point) / len(weights)
    edges = np.cumsum(weights)
    chosen: list[int] = np.searchsorted(edges / edges[-1], places, side="right").tolist()
    return chosen


def in_place(chosen: Sequence[int]) -> list[int]:
    """The same numbers in an order in which each that is chosen stands in its own place: little is moved."""
    placed: list[int | None] = [None] * len(chosen)
    left = []
    for number in chosen:
        if placed[number] is None:
            placed[number] = number
        else:
            left.append(number)
    return [left.pop() if number is None else number for number in placed]
