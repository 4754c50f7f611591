"""Particles: what is drawn has the distribution of the network's samples that do what is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.model.lstm import NoteLSTM
from noternn.music.piece import Piece
from noternn.sampling.ending import Ending
from noternn.sampling.given import Given, Writing, given_notes
from noternn.sampling.particles import MOST_JUDGED, Drawn, draw, effective_size, in_place, resampled
from noternn.sampling.wishes import Wishes
from noternn.tokenizer import BOS_ID, EOS_ID, Codec, EventTokenizer, Vocabulary
from noternn.tokenizer.pace import Pace

FAST = settings(max_examples=50, deadline=None, derandomize=True, database=None)
TOKENIZER = EventTokenizer(steps_per_beat=1, max_shift_beats=2, max_duration_beats=2)
CODEC = Codec(TOKENIZER, Vocabulary(["Pitch_60", "Pitch_64", "Shift_1", "Shift_2", "Duration_1"]))
weights = st.lists(st.floats(0.01, 1), min_size=1, max_size=40).map(lambda w: np.array(w) / sum(w))


def piece(*notes: tuple[int, int]) -> Piece:
    """Of (onset in beats, pitch); each lasts a beat."""
    onset, pitch = np.array(notes).T
    return Piece.from_notes(onset * 480, 480, pitch)


class Table:
    """Lanes of a network that looks at the last id alone, far from an even choice."""

    def __init__(self, _: NoteLSTM | None = None) -> None:
        logits = 2 * np.random.default_rng(3).normal(size=(len(CODEC.vocabulary),) * 2)
        self.log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)

    def read(self, ids: list[int]) -> np.ndarray:
        return self.log_probs[ids[-1:]]

    def step(self, ids: list[int]) -> np.ndarray:
        return self.log_probs[ids]

    def step_some(self, ids: list[int], _: list[int]) -> np.ndarray:
        return self.log_probs[ids]

    def select(self, _: list[int]) -> None:
        pass


TABLE = Table().log_probs
NETWORK = NoteLSTM(len(CODEC.vocabulary), 2, 2, 1, 0.0, 1).eval()


def drawn(plan: Given, seed: int, num_particles: int) -> Drawn[Writing]:
    return draw(NETWORK, CODEC, plan, Sampling(top_p=1.0, seed=seed), num_particles, 64, build=Table)


def paths(plan: Given) -> Iterator[tuple[tuple[int, ...], float]]:
    """Each sample that does what a plan asks, without BOS and EOS, and its probability to the network."""
    steps: list[tuple[list[int], object, object, float]] = [([], TOKENIZER.start, plan.start, 0.0)]
    while steps:
        ids, grammar, state, log_prob = steps.pop()
        if plan.is_done(state):
            yield tuple(ids), np.exp(log_prob)
            continue
        legal = CODEC.mask(grammar)
        log_probs = TABLE[[BOS_ID, *ids][-1]]
        log_probs = log_probs - np.logaddexp.reduce(log_probs[legal])
        for id_ in np.flatnonzero(plan.allowed(state, legal)).tolist():
            if id_ == EOS_ID:
                yield tuple(ids), np.exp(log_prob + log_probs[EOS_ID])
            else:
                token = CODEC.vocabulary.tokens[id_]
                after = TOKENIZER.advance(grammar, token), plan.advance(state, id_)
                steps.append(([*ids, id_], *after, log_prob + log_probs[id_]))


def filled(lookahead: int = 1) -> Given:
    """Beats 1 to 3 between a note before and two after."""
    notes = given_notes(CODEC, piece((0, 60), (3, 64), (4, 60)))
    return Given(CODEC, notes, [(1, 3)], Wishes(), lookahead)


def harmonized() -> Given:
    """Two notes with others below them, and the end."""
    return Given(CODEC, given_notes(CODEC, piece((0, 64), (2, 64))), [(0, 3)], Wishes(is_below=True), 0)


@pytest.mark.parametrize("plan", [filled(2), harmonized()])
def test_what_is_drawn_has_the_conditional_distribution(plan: Given) -> None:
    exact = dict(paths(plan))
    total, num_draws = sum(exact.values()), 150
    assert len(exact) > 5
    found = Counter(tuple(drawn(plan, seed, 16).ids) for seed in range(num_draws))
    assert found.keys() <= exact.keys()
    expected = {ids: num_draws * prob / total for ids, prob in exact.items()}
    common = [ids for ids, count in expected.items() if count >= 5]
    rest = [num_draws - sum(found[ids] for ids in common), num_draws - sum(expected[ids] for ids in common)]
    pairs = [(found[ids], expected[ids]) for ids in common] + [(rest[0], max(rest[1], 1))]
    chi_square = sum((number - count) ** 2 / count for number, count in pairs)
    degrees = len(pairs) - 1
    assert chi_square < degrees + 4 * np.sqrt(2 * degrees) + 4


@pytest.mark.parametrize("num_particles", [1, 4])
def test_the_evidence_is_the_probability_that_a_sample_does_what_is_asked(num_particles: int) -> None:
    plan = filled()
    exact = sum(dict(paths(plan)).values())
    lead = np.exp(led_log_prob(plan))  # the notes before the gap are not weighed
    found = [np.exp(drawn(plan, seed, num_particles).log_evidence) for seed in range(100)]
    assert np.mean(found) == pytest.approx(exact / lead, abs=4 * np.std(found) / np.sqrt(len(found)))


def led_log_prob(plan: Given) -> float:
    """Of the ids that come before the first choice."""
    ids, grammar, state, total = [BOS_ID], TOKENIZER.start, plan.start, 0.0
    while len(allowed := np.flatnonzero(plan.allowed(state, CODEC.mask(grammar)))) == 1:
        log_probs = TABLE[ids[-1]]
        total += log_probs[allowed[0]] - np.logaddexp.reduce(log_probs[CODEC.mask(grammar)])
        ids.append(int(allowed[0]))
        grammar = TOKENIZER.advance(grammar, CODEC.vocabulary.tokens[ids[-1]])
        state = plan.advance(state, ids[-1])
    return total


def test_the_same_seed_draws_the_same() -> None:
    first, second = (draw(NETWORK, CODEC, filled(), Sampling(), 8, 64) for _ in range(2))
    assert first == second


def test_what_cannot_be_done_is_said() -> None:
    silent = np.zeros(len(CODEC.vocabulary), dtype=np.bool_)
    plan = Given(CODEC, given_notes(CODEC, piece((9, 60))), [(0, 3)], Wishes(ids=silent), 1)
    with pytest.raises(UserError, match="none of 5 particles"):
        draw(NETWORK, CODEC, plan, Sampling(), 5, 64)


@FAST
@given(weights, st.floats(0, 0.999))
def test_each_particle_is_resampled_about_as_often_as_its_weight_says(
    shares: np.ndarray, point: float
) -> None:
    chosen = resampled(shares, point)
    counts = np.bincount(chosen, minlength=len(shares))
    assert len(chosen) == len(shares)
    assert (abs(counts - len(shares) * shares) <= 1 + 1e-9).all()
    assert sorted(in_place(chosen)) == sorted(chosen)
    stay = [number for number, own in enumerate(in_place(chosen)) if number == own]
    assert stay == sorted(set(chosen))


@FAST
@given(weights)
def test_the_effective_size_is_between_one_and_all(shares: np.ndarray) -> None:
    assert 1 - 1e-9 <= effective_size(np.log(shares)) <= len(shares) + 1e-9
    assert effective_size(np.log(np.full(7, 1 / 7))) == pytest.approx(7)


class TwoEnds(Table):
    """An end is likely after the longer duration, and far less so after the shorter one."""

    def __init__(self, _: NoteLSTM | None = None) -> None:
        probs = np.full((len(ENDS.vocabulary),) * 2, 0.1)
        probs[ENDS.vocabulary.id("Duration_1"), EOS_ID] = 0.01
        probs[ENDS.vocabulary.id("Duration_2"), EOS_ID] = 0.05
        self.log_probs = np.log(probs / probs.sum(axis=1, keepdims=True))


ENDS = Codec(TOKENIZER, Vocabulary(["Pitch_60", "Shift_1", "Duration_1", "Duration_2"]))


def test_sharply_a_sample_ends_where_an_end_is_most_likely() -> None:
    network = NoteLSTM(len(ENDS.vocabulary), 2, 2, 1, 0.0, 1)
    lasts = {}
    for sharpness in (1, 20):
        plan = Ending(ENDS, [], 0, 4, 6, is_timed=False, pace=Pace.default(1))
        samples = [
            draw(network, ENDS, plan, Sampling(top_p=1.0, seed=seed), 8, 64, sharpness, build=TwoEnds).ids
            for seed in range(30)
        ]
        counts = [sum(ENDS.vocabulary.tokens[id_] == "Pitch_60" for id_ in ids) for ids in samples]
        assert 4 <= min(counts) <= max(counts) <= 6
        lasts[sharpness] = {ENDS.vocabulary.tokens[ids[-1]] for ids in samples}
    assert lasts == {1: {"Duration_1", "Duration_2"}, 20: {"Duration_2"}}


class LongNotes(Table):
    """The longest duration is likely after itself, which makes one note longer and longer."""

    def __init__(self, _: NoteLSTM | None = None) -> None:
        probs = np.full((len(ENDS.vocabulary),) * 2, 0.1)
        longest = ENDS.vocabulary.id("Duration_2")
        probs[longest, longest] = 30
        self.log_probs = np.log(probs / probs.sum(axis=1, keepdims=True))


def test_a_note_does_not_go_on_for_ever_while_an_end_is_looked_for() -> None:
    network, pace = NoteLSTM(len(ENDS.vocabulary), 2, 2, 1, 0.0, 1), Pace(16, 5, 16.0)
    plan = Ending(ENDS, [], 0, 4, 6, is_timed=False, pace=pace)
    for seed in range(10):
        ids = draw(network, ENDS, plan, Sampling(top_p=1.0, seed=seed), 4, 64, build=LongNotes).ids
        duration = ENDS.decode(ids).duration
        assert duration.max() <= 2 * (pace.tokens + 1) * ENDS.decode(ids).ticks_per_beat


NOTES = Codec(TOKENIZER, Vocabulary(["Pitch_60", "Pitch_72", "Shift_1", "Duration_1"]))


class LikelyNotes(Table):
    """An end is as likely after either pitch, and the higher one is more likely to come."""

    def __init__(self, _: NoteLSTM | None = None) -> None:
        probs = np.full((len(NOTES.vocabulary),) * 2, 0.1)
        probs[:, NOTES.vocabulary.id("Pitch_72")] = 0.2
        probs[NOTES.vocabulary.id("Duration_1"), NOTES.vocabulary.id("Pitch_60")] = 1e-9  # no chords
        self.log_probs = np.log(probs / probs.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(("sharp_notes", "lasts"), [(0, {60, 72}), (2, {72})])
def test_the_last_notes_are_sharpened_with_the_end(sharp_notes: int, lasts: set[int]) -> None:
    network = NoteLSTM(len(NOTES.vocabulary), 2, 2, 1, 0.0, 1)
    plan = Ending(NOTES, [], 0, 4, 9, is_timed=False, pace=Pace.default(1))
    found: set[int] = set()
    for seed in range(12):
        options = Sampling(top_p=1.0, seed=seed)
        ids = draw(network, NOTES, plan, options, 16, 64, 20, sharp_notes, build=LikelyNotes).ids
        found |= set(NOTES.decode(ids).pitch[-2:].tolist())
    assert found == lasts


def test_of_the_likeliest_ends_one_is_chosen_that_is_judged_well() -> None:
    network = NoteLSTM(len(NOTES.vocabulary), 2, 2, 1, 0.0, 1)
    plan = Ending(NOTES, [], 0, 4, 9, is_timed=False, pace=Pace.default(1))
    low = NOTES.vocabulary.id("Pitch_60")
    judged: list[list[int]] = []

    def judge(ids: list[int]) -> float:
        judged.append(ids)
        return 50.0 * ids.count(low)

    most = []
    for seed in range(4):
        judged.clear()
        ids = draw(
            network, NOTES, plan, Sampling(top_p=1.0, seed=seed), 32, 64, build=LikelyNotes, judge=judge
        ).ids
        assert ids in judged
        assert len(judged) == MOST_JUDGED
        most.append(ids.count(low) == max(each.count(low) for each in judged))
    assert all(most)


def test_a_sample_of_fewer_notes_than_are_sharpened_ends_too() -> None:
    network = NoteLSTM(len(NOTES.vocabulary), 2, 2, 1, 0.0, 1)
    plan = Ending(NOTES, [], 0, 1, 2, is_timed=False, pace=Pace.default(1))
    ids = draw(network, NOTES, plan, Sampling(top_p=1.0), 4, 64, 4, 4, build=LikelyNotes).ids
    assert 1 <= NOTES.decode(ids).num_notes <= 2
