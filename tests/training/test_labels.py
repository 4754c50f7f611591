"""A label of each piece that the network is told: it lowers the loss, and composes what is called so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import TrainTiny, rows_of

from noternn import api
from noternn.__main__ import main
from noternn.errors import UserError
from noternn.evaluation.likelihood import Options, evaluate
from noternn.evaluation.loading import load_runs
from noternn.model.build import network_for
from noternn.model.checkpoint import checkpoint_path, load_checkpoint
from noternn.music.midi import read_midi, write_midi
from noternn.music.piece import Piece
from noternn.runs.card import read_card
from noternn.sampling.composer import load_composer
from noternn.tokenizer import BOS_ID
from noternn.training.ancestor import ancestor_of
from noternn.training.datamodule import MidiDataModule

PITCHES = {"high": (79, 80, 82, 84, 86, 87), "low": (40, 43, 45, 47, 50, 51)}
NUM_TUNES = 24  # of each label
QUICK = (
    *(
        "model.labels=folder",
        "augmentation=none",
        "checkpoint.every_n_epochs=1000",
        "datamodule.batch_size=4",
    ),
    *(
        "model.memory=0",
        "dataset.validation_fraction=0.25",
        "optimizer.weight_decay=0",
        "module.ema_decay=0",
        "optimizer.lr=0.02",
    ),
)


def tune(label: str, seed: int) -> Piece:
    """Three notes, high or low."""
    pitches = np.random.default_rng((seed, label == "low")).choice(PITCHES[label], 3)
    return Piece.from_notes(np.arange(3) * 480, np.full(3, 480), pitches, velocity=np.full(3, 80), name=label)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of high tunes and one of low ones."""
    folder = tmp_path_factory.mktemp("music")
    for label in PITCHES:
        for seed in range(NUM_TUNES):
            write_midi(tune(label, seed), folder / label / f"tune_{seed:02d}.mid")
    return folder


@pytest.fixture(scope="module")
def labelled(music: Path, train_tiny: TrainTiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with labels; do not write to it."""
    run_dir = tmp_path_factory.mktemp("labelled")
    train_tiny(run_dir, *QUICK, "trainer.max_epochs=8", folder=music)
    settings = load_checkpoint(run_dir / "best.ckpt")["noternn"]["config"]
    (run_dir / ".hydra").mkdir()
    (run_dir / ".hydra" / "config.yaml").write_text(json.dumps(settings))
    return run_dir


def test_the_right_label_lowers_the_loss_and_a_wrong_one_raises_it(labelled: Path) -> None:
    columns = evaluate(load_runs([labelled]), Options())
    nats = {column.name: column.units["nats_per_note"] for column in columns}
    assert list(nats) == ["network", "no label", "wrong label"]
    assert nats["network"] < min(nats["no label"], nats["wrong label"]) - 0.1
    run_nats = min(float(row["val/nats_per_note"]) for row in rows_of(labelled))
    assert nats["network"] == pytest.approx(run_nats, abs=1e-4)


def test_what_is_composed_is_what_the_label_says(labelled: Path, tmp_path: Path) -> None:
    heights = {}
    for label in ("high", "low:2"):
        path = tmp_path / f"{label[:3]}.mid"
        asked = ["--label", label, "--num-notes", "4", "--num-samples", "20", "--seed", "3"]
        assert main(["generate", str(labelled), "-o", str(path), *asked]) == 0
        heights[label] = np.mean([read_midi(p).pitch[0] for p in tmp_path.glob(f"{label[:3]}_*.mid")])
    assert heights["high"] > heights["low:2"] + 10


def test_a_mix_of_labels_lies_between(labelled: Path) -> None:
    network = api.load(labelled)
    firsts = [network.compose(1, seed=seed, label="high:0.5,low:0.5").pitch[0] for seed in range(12)]
    assert {pitch > 60 for pitch in firsts} == {False, True}
    both = (network.compose(4, label=label, seed=1).pitch.tolist() for label in ("low", "low:1"))
    assert next(both) == next(both)


@pytest.fixture(scope="module")
def bands(train_tiny: TrainTiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was told who plays: a flute and a tuba, or a piano; do not write to it."""
    folder = tmp_path_factory.mktemp("bands")
    for label, programs in (("high", (73, 58)), ("low", (0,))):
        for seed in range(8):
            one = tune(label, seed)
            both = Piece.from_notes(
                np.tile(one.onset, len(programs)), 480, np.tile(one.pitch, len(programs)),
                program=np.repeat(programs, one.num_notes),
            )  # fmt: skip
            write_midi(both, folder / label / f"tune_{seed:02d}.mid")
    run_dir = tmp_path_factory.mktemp("played")
    train_tiny(run_dir, *QUICK, "tokenizer.program=true", "trainer.max_epochs=1", folder=folder)
    return run_dir


@pytest.mark.parametrize(
    ("label", "played"),
    [
        ("high", [{58, 73}]),
        ("low:2", [{0}]),
        ("high:0.7,low:0.3", [{58, 73}, {0}]),
        ("", [{58, 73}, {0}]),
    ],
)
def test_the_instruments_are_those_of_the_labels_pieces(
    bands: Path, label: str, played: list[set[int]]
) -> None:
    composer = load_composer(checkpoint_path(bands)).told(label)
    found = composer.playing([[]] * 32, seed=0)
    assert {frozenset(band or ()) for band in found} == set(map(frozenset, played))


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("hihg", r"--label hihg: there is no label 'hihg'; there are high, low \(did you mean high\?\)"),
        ("high:0.8,low", "give a share to each label or to none"),
        ("high:11", "a share must be above 0 and at most 10"),
    ],
)
def test_what_is_no_label_is_told_in_a_line(labelled: Path, label: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        api.load(labelled).compose(4, label=label)


def test_a_network_without_labels_says_so(tiny_run: Path) -> None:
    with pytest.raises(UserError, match="--label zelda: this network was trained without labels"):
        api.load(tiny_run).compose(4, label="zelda")


def test_the_record_names_the_labels(labelled: Path, tiny_run: Path) -> None:
    assert json.loads((labelled / "summary.json").read_text())["labels"] == ["high", "low"]
    assert read_card(labelled).sections["What it learned from"]["labels"] == "high, low"
    assert "labels" not in json.loads((tiny_run / "summary.json").read_text())
    assert "labels" not in load_checkpoint(tiny_run / "best.ckpt")["noternn"]


def test_each_piece_has_its_label_but_for_a_tenth_in_training(labelled: Path) -> None:
    [run] = load_runs([labelled])
    data = MidiDataModule(run.corpus, batch_size=4, window_length=16, seed=0)
    names = run.corpus.encoded.names
    for split, loader in (("validation", data.eval_loader("validation")), ("train", data.train_dataloader())):
        right = np.array([1 if name.startswith("high") else 2 for name in names[split]])
        found = np.zeros_like(right)
        for batch in loader:
            assert batch.labels is not None
            found[batch.piece] = batch.labels.numpy()
        untold = found == 0
        assert (found[~untold] == right[~untold]).all()
        assert (0 < untold.mean() < 0.4) if split == "train" else not untold.any()


def test_a_stopped_run_goes_on_bit_for_bit_but_not_with_other_labels(
    labelled: Path, music: Path, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    folder, run = shutil.copytree(music, tmp_path / "music"), tmp_path / "run"
    train_tiny(run, *QUICK, "trainer.max_epochs=1", folder=folder)
    again = (*QUICK, f"resume={run}", "trainer.max_epochs=2")
    swapped = (folder / "high" / "tune_00.mid").rename(folder / "low" / "tune.mid")
    with pytest.raises(UserError, match="had other labels"):
        train_tiny(run, *again, folder=folder)
    swapped.rename(folder / "high" / "tune_00.mid")
    train_tiny(run, *again, folder=folder)
    assert rows_of(run) == rows_of(labelled)[:2]


def test_a_label_that_all_pieces_have_tells_nothing(train_tiny: TrainTiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.labels=folder: all training pieces have no label"):
        train_tiny(tmp_path / "run", "model.labels=folder")


def test_another_starts_from_it_with_its_labels(labelled: Path) -> None:
    start = ancestor_of(str(labelled))
    assert start.trained.labels is not None
    network = network_for(start.trained.codec, start.content["config"]["model"], num_labels=2).eval()
    start.give_to(network, start.tokens, ("low", "new"))
    ids = torch.tensor([[BOS_ID, 7, 9]])
    for row, name in ((1, "low"), (2, ""), (0, "")):
        told = network(ids, labels=torch.tensor([row]))[0]
        torch.testing.assert_close(told, start.trained.labels.told(name)(ids)[0])


def test_health_and_copying_of_one_label(
    labelled: Path, music: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = str(music / "high" / "tune_00.mid")
    for command in ("health", "audit"):
        assert main([command, sample, "--against", str(labelled), "--label", "low"]) == 0
        assert main([command, sample, "--against", str(labelled), "--label", "lo"]) == 1
        told = capsys.readouterr()
        assert "there is no such label; there are high, low (did you mean low?)" in told.err
