"""Networks with a memory of their piece: in training, evaluation and composing they are told the same."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_runs import varied

from noternn.corpus.cache import ArrayCache
from noternn.corpus.pieces import Pieces
from noternn.evaluation.likelihood import Options, evaluate
from noternn.evaluation.loading import load_runs
from noternn.evaluation.predictors import dynamic, static
from noternn.model.checkpoint import CHECKPOINT_KEY, load_checkpoint
from noternn.model.recall import suggestions
from noternn.model.stepper import build_stepper
from noternn.music.midi import write_midi
from noternn.tokenizer import BOS_ID, EOS_ID, Codec, EventTokenizer, Vocabulary
from noternn.tokenizer.pitch_kinds import PitchKinds
from noternn.training.datamodule import LaneLoader, Variation
from noternn.training.recalled import Recalled
from tests.helpers import TrainTiny, rows_of, same_weights

MEMORY = ("model.memory=2", "dataset.validation_fraction=0.4", "seed=10")
CODEC = Codec(EventTokenizer(), Vocabulary([*(f"Pitch_{p}" for p in range(50, 70)), "Shift_6", "Duration_6"]))
KINDS = PitchKinds(CODEC)
RNG = np.random.default_rng(0)
PIECES = [
    np.array([BOS_ID, *np.tile(RNG.integers(9, 19, length), 3), EOS_ID]) for length in (3, 11, 6, 1, 20, 9)
]


@pytest.fixture(scope="module")
def run_dir(train_tiny: TrainTiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory") / "run"
    train_tiny(folder, *MEMORY)
    return folder


def test_a_resumed_run_is_the_run_that_never_stopped(
    run_dir: Path, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    epochs = len(rows_of(run_dir))
    train_tiny(tmp_path, *MEMORY, f"trainer.max_epochs={epochs - 1}")
    train_tiny(tmp_path, *MEMORY, f"trainer.max_epochs={epochs}", f"resume={tmp_path}")
    assert rows_of(tmp_path) == rows_of(run_dir)
    assert same_weights(tmp_path / "last.ckpt", run_dir / "last.ckpt")
    assert (tmp_path / "sample.mid").read_bytes() == (run_dir / "sample.mid").read_bytes()


def test_validation_evaluation_and_steps_agree(run_dir: Path) -> None:
    (run,) = load_runs([run_dir])
    (column,) = evaluate([run], Options())
    best = min(float(row["val/nll"]) for row in rows_of(run_dir))
    assert column.units["nats_per_token"] == pytest.approx(best, rel=1e-5)
    network = run.composer.network
    piece = run.corpus.encoded.ids["validation"][0]
    stepper = build_stepper(network, 1)
    stepped = [-stepper.step([id_])[0, after] for id_, after in pairwise(piece)]
    nlls = -static(network, window_length=7)([piece])[0]
    np.testing.assert_allclose(nlls, stepped, atol=1e-5)
    adapting = -dynamic(network, 0.0, 5)([piece])[0]
    np.testing.assert_allclose(adapting, stepped, atol=1e-5)


@pytest.fixture(scope="module")
def band_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six pieces in several instruments, with drums."""
    folder = tmp_path_factory.mktemp("bands")
    for seed in range(6):
        write_midi(varied(seed, EventTokenizer(program=True)), folder / f"band_{seed}.mid")
    return folder


BAND = (*MEMORY, "tokenizer.program=true")


def test_of_a_band_each_part_is_looked_up_and_the_place_is_told(
    band_dir: Path, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train_tiny(whole, *BAND, "trainer.max_epochs=2", folder=band_dir)
    train_tiny(halves, *BAND, "trainer.max_epochs=1", folder=band_dir)
    train_tiny(halves, *BAND, "trainer.max_epochs=2", f"resume={halves}", folder=band_dir)
    assert rows_of(halves) == rows_of(whole)
    assert same_weights(halves / "last.ckpt", whole / "last.ckpt")
    (run,) = load_runs([whole])
    network = run.composer.network
    assert network.periods == (12, 48)
    assert network.options["position_beats"] == [1, 4]
    assert network.memory is not None
    assert network.memory.kinds.parts is not None
    piece = run.corpus.encoded.ids["validation"][0]
    nlls = -static(network, window_length=7)([piece])[0]
    stepper = build_stepper(network, 1)
    stepped = [-stepper.step([id_])[0, after] for id_, after in pairwise(piece)]
    np.testing.assert_allclose(nlls, stepped, atol=1e-5)


def test_networks_from_before_there_were_parts_have_none(
    band_dir: Path, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    before = "model.part_memory=false", "model.position_beats=[]"
    train_tiny(tmp_path, *BAND, "trainer.max_epochs=1", *before, folder=band_dir)
    checkpoint = load_checkpoint(tmp_path / "last.ckpt")
    del checkpoint[CHECKPOINT_KEY]["config"]["model"]["part_memory"]
    torch.save(checkpoint, tmp_path / "last.ckpt")
    train_tiny(tmp_path, *BAND, "trainer.max_epochs=2", before[0], f"resume={tmp_path}", folder=band_dir)
    assert len(rows_of(tmp_path)) == 2
    (run,) = load_runs([tmp_path])
    assert run.composer.network.memory is not None
    assert run.composer.network.memory.kinds.parts is None
    assert run.composer.network.periods == ()


@pytest.mark.parametrize("tokenizer", ["chord", "frames"])
def test_other_tokenizers_have_a_memory_too(tokenizer: str, train_tiny: TrainTiny, tmp_path: Path) -> None:
    summary = train_tiny(tmp_path, *MEMORY, f"tokenizer={tokenizer}", "trainer.max_epochs=1")
    assert summary["val/nll"] > 0


def loader(variation: Variation | None, cache: ArrayCache) -> LaneLoader:
    pieces = Pieces.of(PIECES)
    return LaneLoader(pieces, 3, 5, 1, variation, Recalled(pieces, KINDS, 2, cache))


@pytest.mark.parametrize("semitones", [0, 1, -3])
def test_batches_tell_what_each_piece_suggests_in_its_key(semitones: int, tmp_path: Path) -> None:
    there = np.append(CODEC.variation(semitones), len(CODEC.vocabulary))
    variation = Variation(there[None], np.zeros(len(PIECES), dtype=np.int64)) if semitones else None
    expected = {}
    for piece in PIECES:
        moved = there[piece] if semitones else piece
        both = suggestions(piece, KINDS, 2)
        both[:, 0] = there[both[:, 0]] if semitones else both[:, 0]
        expected[tuple(moved.tolist())] = both
    found = 0
    for cache in (ArrayCache(tmp_path), ArrayCache(tmp_path), ArrayCache(None)):  # made, mapped, in memory
        read: dict[int, list[int]] = {}
        told: dict[int, list[list[list[int]]]] = {}
        for batch in loader(variation, cache):
            assert batch.suggested is not None
            for row, lane in enumerate(batch.lane.tolist()):
                if batch.is_start[row]:
                    read[lane], told[lane] = [], []
                real = int((batch.targets[row] != 0).sum())
                read[lane] += batch.inputs[row, :real].tolist()
                told[lane] += batch.suggested[row, :real].tolist()
                piece = (*read[lane], int(there[EOS_ID]) if semitones else EOS_ID)
                if piece in expected:
                    assert told[lane] == expected[piece][:-1].tolist()
                    found += 1
    assert found == 3 * len(PIECES)
