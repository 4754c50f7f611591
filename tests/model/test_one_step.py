"""A network's step as ONNX gives what the stepper gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_runs import NETWORKS, codec_of, trained
from helpers import small_piece

from noternn.model.one_step import STATE, save_onnx
from noternn.model.plain import described
from noternn.model.stepper import ModuleStepper
from noternn.tokenizer import BOS_ID, EventTokenizer, FramesTokenizer, Tokenizer

pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("tokenizer", [EventTokenizer(), FramesTokenizer()], ids=["event", "frames"])
def test_log_probabilities_are_those_of_the_stepper(tmp_path: Path, name: str, tokenizer: Tokenizer) -> None:
    run = trained(codec_of(tokenizer), NETWORKS[name])
    save_onnx(run.network, described(run), tmp_path / "a.onnx")
    session = runtime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    told = json.loads(session.get_modelmeta().custom_metadata_map["noternn"])
    assert told["tokens"] == list(run.codec.vocabulary.tokens)
    pieces = [run.codec.encode(small_piece(seed))[1:120].tolist() for seed in range(2)]
    steppers = [ModuleStepper(run.network) for _ in pieces]
    memory = run.network.memory
    recalls = [memory.recall() for _ in pieces] if memory else []
    state: list[Any] = [part.numpy() for part in run.network.initial_state(len(pieces))]
    for ids in zip([BOS_ID, *pieces[0]], [BOS_ID, *pieces[1]], strict=False):
        expected = np.concatenate([s.step([id_]) for s, id_ in zip(steppers, ids, strict=True)])
        given = {f"{name}_in": part for name, part in zip(STATE, state, strict=True)} | {"ids": np.array(ids)}
        if memory:
            given["suggested"] = np.concatenate([r.append([i]) for r, i in zip(recalls, ids, strict=True)])
        wanted = {value.name for value in session.get_inputs()}  # what a network does not read is left out
        found, *state = session.run(None, {name: part for name, part in given.items() if name in wanted})
        is_possible = np.isfinite(expected)
        assert (np.isfinite(found) == is_possible).all()
        np.testing.assert_allclose(found[is_possible], expected[is_possible], rtol=0, atol=2e-5)


def test_a_step_of_many_streams_is_the_forward_pass() -> None:
    from noternn.model.one_step import OneStep

    run = trained(codec_of(EventTokenizer()), NETWORKS["places"])
    ids = torch.tensor([1, 5, 7])
    log_probs, *state = OneStep(run.network)(ids, *run.network.initial_state(3))
    logits, expected = run.network(ids[:, None])
    torch.testing.assert_close(log_probs, logits[:, 0].log_softmax(-1))
    for part, own in zip(state, expected, strict=True):
        torch.testing.assert_close(part, own)
