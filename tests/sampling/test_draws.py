"""The compiled draw against the one in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from noternn.config.sampling import Sampling
from noternn.model.lstm import NoteLSTM
from noternn.sampling import probabilities as module
from noternn.sampling.probabilities import ROUNDING, UNDECIDED, choose, draw, probabilities
from noternn.sampling.sampler import sample_batch
from noternn.tokenizer import Codec, EventTokenizer, Vocabulary

needs_compiler = pytest.mark.skipif(module.draws is None, reason="draws.c was not compiled")
MANY = settings(max_examples=300, deadline=None, derandomize=True, database=None)
SIZE = 9
choices = st.builds(
    lambda **given: Sampling(**given),
    top_k=st.integers(0, SIZE + 1),
    top_p=st.floats(0.01, 1),
    min_p=st.just(0.0) | st.floats(0, 1),
    temperature=st.just(1.0) | st.floats(0.05, 20),
)
logs = arrays(np.float64, SIZE, elements=st.floats(-15, 0) | st.sampled_from([-2.0, -np.inf]))
masks = arrays(np.bool_, SIZE)
points = st.floats(0, 1, exclude_max=True)


def drawn_from(
    log_probs: NDArray[np.float64],
    mask: NDArray[np.bool_],
    point: float,
    options: Sampling,
    tolerance: float = ROUNDING,
) -> int:
    zero = np.zeros(1, dtype=np.int64)
    return int(draw(log_probs[None], zero, mask[None], zero, np.array([point]), options, tolerance)[0])


@needs_compiler
@MANY
@given(logs, masks, points, choices)
def test_it_draws_the_id_that_is_chosen_from_the_probabilities(
    log_probs: NDArray[np.float64], mask: NDArray[np.bool_], point: float, options: Sampling
) -> None:
    found = drawn_from(log_probs, mask, point, options)
    if found != UNDECIDED:
        assert found == choose(probabilities(log_probs, mask, options), np.array(point))


@needs_compiler
@MANY
@given(
    logs,
    masks,
    st.floats(0, 1, exclude_max=True),
    choices,
    arrays(np.float64, SIZE, elements=st.floats(-1, 1)),
)
def test_what_it_decides_is_the_same_for_log_probabilities_within_the_tolerance(
    log_probs: NDArray[np.float64],
    mask: NDArray[np.bool_],
    point: float,
    options: Sampling,
    error: NDArray[np.float64],
) -> None:
    tolerance = 0.01
    found = drawn_from(log_probs, mask, point, options, tolerance)
    if found != UNDECIDED:
        moved = probabilities(log_probs + tolerance * error, mask, options)
        assert found == choose(moved, np.array(point))


@needs_compiler
@pytest.mark.parametrize(
    "options",
    [Sampling(top_k=10, top_p=1.0), Sampling(min_p=0.02), Sampling(top_p=0.8, temperature=1.5)],
    ids=["top_k", "min_p", "top_p"],
)
def test_it_decides_nearly_always(options: Sampling) -> None:
    rng, everything = np.random.default_rng(0), np.ones(50, dtype=bool)
    log_probs = np.log(rng.dirichlet(np.ones(50), 2000))
    ids = [drawn_from(p, everything, rng.random(), options, 2e-5) for p in log_probs]
    assert ids.count(UNDECIDED) < 40
    assert UNDECIDED not in [drawn_from(p, everything, rng.random(), options) for p in log_probs]


@needs_compiler
def test_where_nothing_may_come_or_a_number_is_none_it_decides_nothing() -> None:
    options, nothing = Sampling(), np.zeros(3, dtype=bool)
    assert drawn_from(np.log([0.5, 0.3, 0.2]), nothing, 0.5, options) == UNDECIDED
    assert drawn_from(np.array([-1, np.nan, -2]), ~nothing, 0.5, options) == UNDECIDED
    assert drawn_from(np.full(3, -np.inf), ~nothing, 0.5, options) == UNDECIDED


@needs_compiler
def test_rows_and_states_outside_are_refused() -> None:
    log_probs, masks, one = np.zeros((2, 3)), np.ones((4, 3), dtype=bool), np.array([0.5])
    for which, state in ((2, 0), (-1, 0), (0, 4), (0, -1)):
        with pytest.raises(ValueError, match="outside"):
            draw(log_probs, np.array([which]), masks, np.array([state]), one, Sampling())


@pytest.mark.parametrize(
    "given_",
    [
        {},
        {"top_k": 5},
        {"top_p": 1.0, "temperature": 1.3},
        {"min_p": 0.1},
        {"top_k": 1},
        {"repetition_penalty": 1.3},
    ],
    ids=str,
)
def test_samples_are_the_same_without_a_compiler(
    given_: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [*(f"Pitch_{p}" for p in range(60, 68)), "Duration_6", "Duration_12", "Shift_6", "Shift_12"]
    codec = Codec(EventTokenizer(), Vocabulary(tokens))
    network = NoteLSTM(len(codec.vocabulary), 6, 8, 1, 0.0, 1)
    samples = []
    for _ in range(2):
        options = [Sampling(num_notes=30, seed=seed, **given_) for seed in range(3)]
        samples.append([sample_batch(network, codec, [], o, n) for o in options for n in (1, 3)])
        monkeypatch.setattr(module, "draws", None)
        monkeypatch.setattr("noternn.model.past.steps", None)
    assert samples[0] == samples[1]
