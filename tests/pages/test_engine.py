"""The scripts that compose in a page give what the steppers and tokenizers give: run by Node.js."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_runs import DEFAULT, NETWORKS, PLAIN, codec_of, needs_node, run_node, trained, varied
from helpers import small_piece
from numpy.typing import NDArray
from tokenizer_cases import CHORDS, EVENTS, legal_walk, name_of, small_codec

from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.model.lstm import NoteLSTM
from noternn.model.plain import Plain, plain_of
from noternn.model.stepper import ModuleStepper
from noternn.pages.engine import ENGINE, engine_of, rounded
from noternn.sampling.band import Instruments
from noternn.sampling.sampler import sample_batch
from noternn.tokenizer import (
    BOS_ID,
    BpeTokenizer,
    EventTokenizer,
    FramesTokenizer,
    Merges,
    Tokenizer,
    VoicesTokenizer,
)
from noternn.tokenizer.pace import Pace

pytestmark = needs_node
NUM_POINTS = 20_000
TOKENIZERS = [*EVENTS, *CHORDS, FramesTokenizer(), VoicesTokenizer()]
STEPS = """
const network = new Network(data.model, decodeWeights(data.weights, data.model.bits));
const plain = values => Array.from(values, value => value == -Infinity ? null : value);
const steps = data.ids.map(id => plain(network.step(id)));
network.rewind(5);
const again = data.ids.slice(5).map(id => plain(network.step(id)));
"""
START = "const network = new Network(data.model, decodeWeights(data.weights, 32));\nnetwork.step(1);"
SAMPLES = """
const codec = new Codec(data.model);
let number = 0;
const sampler = new Sampler(data.model, network, codec, data.options, () => data.points[number++]);
while (!((sampler.numNotes >= data.num_notes && sampler.mayEnd) || sampler.mustEnd)) sampler.next();
"""
TOKENS = """
const codec = new Codec(data.model);
const columns = notes => notes.map(({onset, duration, pitch, velocity, program}) =>
  [onset, duration, pitch, velocity, program]);
const walks = data.walks.map(ids => {
  let state = codec.start;
  return ids.map(id => {
    state = codec.advance(state, id);
    return [[...codec.mask(state)].map((is, i) => is ? i : -1).filter(i => i >= 0), codec.isComplete(state)];
  });
});
"""


def with_weights(network: NoteLSTM, tensors: dict[str, NDArray[np.float32]]) -> NoteLSTM:
    with torch.no_grad():
        for name, part in network.named_parameters():
            part.copy_(torch.from_numpy(tensors[name]))
    return network


def data_of(plain: Plain, bits: int, **others: Any) -> dict[str, Any]:
    engine = engine_of(*plain, bits)
    return {"model": json.loads(engine.model), "weights": engine.weights, **others}


def options_of(sampling: Sampling) -> dict[str, Any]:
    names = "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "repetition_window"
    return {name: getattr(sampling, name) for name in names}


def largest_difference(found: Any, expected: NDArray[np.float64]) -> float:
    values = np.array([[-math.inf if value is None else value for value in row] for row in found])
    is_possible = np.isfinite(expected)
    assert (np.isfinite(values) == is_possible).all()
    return float(np.abs(values[is_possible] - expected[is_possible]).max())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("bits", [16, 32])
def test_log_probabilities_are_those_of_the_stepper(tmp_path: Path, name: str, bits: int) -> None:
    codec = codec_of(EventTokenizer())
    run = trained(codec, NETWORKS[name])
    ids = [BOS_ID, *(i for seed in range(3) for i in codec.encode(small_piece(seed))[1:-1].tolist())]
    plain = plain_of(run)
    stepper = ModuleStepper(with_weights(run.network, rounded(plain.tensors, bits)))
    expected = np.array([stepper.step([id_])[0] for id_ in ids])
    steps, again = run_node(tmp_path, STEPS, "[steps, again]", data_of(plain, bits, ids=ids))
    assert largest_difference(steps, expected) < 1e-5
    assert again == steps[5:]


def test_of_a_band_each_instruments_past_is_looked_up(tmp_path: Path) -> None:
    tokenizer = EventTokenizer(program=True, velocity=True)
    codec = codec_of(tokenizer)
    run = trained(codec, {**DEFAULT, "part_memory": True})
    assert run.network.memory is not None
    assert run.network.memory.kinds.parts is not None
    piece = codec.encode(varied(0, tokenizer))[1:-1].tolist()
    ids = [BOS_ID, *piece, *piece, *codec.encode(varied(1, tokenizer))[1:-1].tolist(), *piece]
    stepper = ModuleStepper(run.network)
    expected = np.array([stepper.step([id_])[0] for id_ in ids])
    steps, again = run_node(tmp_path, STEPS, "[steps, again]", data_of(plain_of(run), 32, ids=ids))
    assert largest_difference(steps, expected) < 1e-5
    assert again == steps[5:]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=name_of)
def test_ids_are_the_same_for_the_same_random_numbers(tmp_path: Path, tokenizer: Tokenizer) -> None:
    run = trained(codec_of(tokenizer), DEFAULT, Pace(2 * tokenizer.steps_per_beat, 5, 3.0))
    sampling = Sampling(num_notes=300, top_p=1.0, temperature=0.8, min_p=0.01, seed=3)
    expected = sample_batch(run.network, run.codec, [], sampling, 1, pace=run.pace)[0]
    found = run_node(
        tmp_path,
        "const network = new Network(data.model, decodeWeights(data.weights, 32));\nnetwork.step(1);"
        + SAMPLES,
        "sampler.ids",
        data_of(
            plain_of(run),
            32,
            options=options_of(sampling),
            num_notes=sampling.num_notes,
            points=np.random.default_rng(3).random(NUM_POINTS).tolist(),
        ),
    )
    assert found == expected


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(num_notes=100, top_k=5, seed=1),
        Sampling(num_notes=100, top_p=0.7, seed=2),
        Sampling(num_notes=100, top_k=1, top_p=1.0, repetition_penalty=1.3, repetition_window=4, seed=1),
    ],
    ids=["top-k", "top-p", "repetition penalty"],
)
def test_all_ways_of_drawing_draw_the_same(tmp_path: Path, sampling: Sampling) -> None:
    run = trained(codec_of(EventTokenizer()), PLAIN)
    expected = sample_batch(run.network, run.codec, [], sampling, 1, pace=run.pace)[0]
    points = np.random.default_rng(sampling.seed).random(NUM_POINTS).tolist()
    data = data_of(plain_of(run), 32, options=options_of(sampling), num_notes=100, points=points)
    assert run_node(tmp_path, START + SAMPLES, "sampler.ids", data) == expected


@pytest.mark.parametrize("seed", [0, 1])
def test_a_page_plays_the_same_band(tmp_path: Path, seed: int) -> None:
    codec = codec_of(EventTokenizer(program=True))
    bands = frozenset({0, 40, 128}), frozenset({5, 127}), frozenset({5, 40})
    run = trained(codec, PLAIN)._replace(bands=bands)
    primer = codec.encode(varied(0, codec.tokenizer))[1:40].tolist()
    sampling = Sampling(num_notes=100, top_p=1.0, seed=seed)
    points = np.random.default_rng(seed).random(NUM_POINTS).tolist()
    data = data_of(plain_of(run), 32, options=options_of(sampling), points=points)
    script = """
const codec = new Codec(data.model);
let number = 0;
const sampler = new Sampler(data.model, network, codec, data.options, () => data.points[number++]);
sampler.seed = data.seed;
sampler.begin(data.primer);
while (!((sampler.numNotes >= 100 && sampler.mayEnd) || sampler.mustEnd)) sampler.next();
"""
    for start in ([], primer):
        band = Instruments(codec).playing(start, bands, seed)
        expected = sample_batch(run.network, codec, start, sampling, 1, pace=run.pace, band=band)[0]
        told = data | {"seed": seed, "primer": start}
        assert run_node(tmp_path, START + script, "sampler.ids", told) == expected


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=name_of)
def test_the_grammar_allows_the_same_ids(tmp_path: Path, tokenizer: Tokenizer) -> None:
    codec = small_codec(tokenizer) if not tokenizer.alphabet else codec_of(tokenizer)
    walks = [[codec.vocabulary.id(token) for token in legal_walk(codec, seed, 60)] for seed in range(6)]
    rng = np.random.default_rng(0)
    walks += [rng.integers(3, len(codec.vocabulary), 40).tolist() for _ in range(4)]  # among them UNK
    expected = []
    for walk in walks:
        state, seen = tokenizer.start, []
        for id_ in walk:
            state = tokenizer.advance(state, codec.vocabulary.tokens[id_])
            mask = codec.mask(state).copy()
            mask[2] = False
            seen.append([np.flatnonzero(mask).tolist(), tokenizer.is_complete(state)])
        expected.append(seen)
    model = json.loads(engine_of(*plain_of(trained(codec, PLAIN)), 16).model)
    assert run_node(tmp_path, TOKENS, "walks", {"model": model, "walks": walks}) == expected


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=name_of)
def test_notes_become_the_same_tokens_and_come_back(tmp_path: Path, tokenizer: Tokenizer) -> None:
    codec = codec_of(tokenizer)
    pieces = [varied(seed, tokenizer) for seed in range(6)]
    step = pieces[0].ticks_per_beat // tokenizer.steps_per_beat
    notes = [
        [
            {
                "onset": onset // step,
                "duration": max(1, (onset + duration) // step - onset // step),
                "pitch": pitch,
                "velocity": velocity,
                "program": 128 if is_drum else program,
            }
            for onset, duration, pitch, velocity, program, is_drum in zip(
                *(getattr(piece, name).tolist() for name in ("onset", "duration", "pitch", "velocity")),
                piece.program.tolist(),
                piece.is_drum.tolist(),
                strict=True,
            )
        ]
        for piece in pieces
    ]
    model = json.loads(engine_of(*plain_of(trained(codec, PLAIN)), 16).model)
    found = run_node(
        tmp_path,
        TOKENS,
        "data.notes.map(notes => codec.encode(notes)).map(ids => [ids, columns(codec.decode(ids).notes)])",
        {"model": model, "walks": [], "notes": notes},
    )
    for piece, (ids, decoded) in zip(pieces, found, strict=True):
        assert ids == codec.encode(piece)[1:-1].tolist()
        back = codec.decode(ids)
        unit = back.ticks_per_beat // tokenizer.steps_per_beat
        expected = zip(
            (back.onset // unit).tolist(),
            (back.duration // unit).tolist(),
            back.pitch.tolist(),
            back.velocity.tolist(),
            np.where(back.is_drum, 128, back.program).tolist(),
            strict=True,
        )
        assert sorted(map(tuple, decoded)) == sorted(expected)


def test_a_plain_network_makes_300_tokens_a_second(tmp_path: Path) -> None:
    codec = codec_of(EventTokenizer())
    run = trained(codec, {**DEFAULT, "embedding_dim": 128, "hidden_size": 256, "pitch_channels": 16})
    timed = """
const network = new Network(data.model, decodeWeights(data.weights, 16));
network.step(1);
"""
    rate = "sampler.ids.length / ((process.cpuUsage(begun).user) / 1e6)"
    sampling = Sampling(num_notes=400, top_k=10, top_p=1.0)
    points = np.random.default_rng(0).random(NUM_POINTS).tolist()
    data = data_of(plain_of(run), 16, options=options_of(sampling), num_notes=400, points=points)
    script = f"{timed}const begun = process.cpuUsage();{SAMPLES}"
    assert run_node(tmp_path, script, rate, data) > 300


def test_what_a_page_cannot_run_is_refused() -> None:
    merges = Merges((("Pitch_60", "Duration_12"),))
    codec = codec_of(BpeTokenizer(EventTokenizer(), merges))
    with pytest.raises(UserError, match="cannot write the tokens of BpeTokenizer"):
        plain_of(trained(codec, PLAIN))
    run = trained(codec_of(EventTokenizer()), PLAIN)
    run.network.register_parameter("novelty", torch.nn.Parameter(torch.zeros(1)))
    with pytest.raises(UserError, match="does not know its part novelty"):
        plain_of(run)


def test_weights_beyond_16_bits_are_refused() -> None:
    run = trained(codec_of(EventTokenizer()), PLAIN)
    with torch.no_grad():
        run.network.embedding.weight[0, 0] = 1e6
    with pytest.raises(UserError, match="--bits 32"):
        engine_of(*plain_of(run), 16)
    engine_of(*plain_of(run), 32)


def test_a_browser_gives_the_same_1000_tokens(browser: Any) -> None:
    run = trained(codec_of(EventTokenizer()), {**DEFAULT, "embedding_dim": 64, "hidden_size": 96})
    sampling = Sampling(num_notes=420, top_k=10, top_p=1.0, seed=5)
    expected = sample_batch(run.network, run.codec, [], sampling, 1, pace=run.pace)[0]
    assert len(expected) > 1000
    stepper = ModuleStepper(run.network)
    log_probs = np.array([stepper.step([id_])[0] for id_ in [BOS_ID, *expected]])
    points = np.random.default_rng(sampling.seed).random(NUM_POINTS).tolist()
    data = data_of(plain_of(run), 32, options=options_of(sampling), num_notes=420, points=points)
    page = browser.new_page()
    plain = "const plain = values => Array.from(values, value => value == -Infinity ? null : value);"
    again = "network.rewind(0);\nconst steps = [1, ...sampler.ids].map(id => plain(network.step(id)));"
    script = "\n".join([ENGINE, START, SAMPLES, plain, again, "return [sampler.ids, steps];"])
    found, steps = page.evaluate(f"data => {{\n{script}\n}}", data)
    page.close()
    assert found == expected
    assert largest_difference(steps, log_probs) < 1e-5
