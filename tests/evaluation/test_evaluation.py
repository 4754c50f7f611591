"""`python -m noternn evaluate`: every way is an honest likelihood, and the plain one is the run's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import TrainTiny, small_piece
from numpy.typing import NDArray

from noternn.__main__ import main
from noternn.evaluation.likelihood import Options, evaluate
from noternn.evaluation.loading import TrainedRun, load_runs
from noternn.evaluation.predictors import (
    Predictor,
    dynamic,
    ensemble,
    keys_around,
    over_keys,
    static,
)
from noternn.model.lstm import NoteLSTM
from noternn.music.midi import write_midi
from noternn.tokenizer import Codec, EventTokenizer, Vocabulary

Capture = pytest.CaptureFixture[str]
Ints = NDArray[np.int64]
VOCAB_SIZE = 17
RNG = np.random.default_rng(0)
PIECES = [RNG.integers(1, VOCAB_SIZE, length) for length in (30, 2, 17, 9, 23, 12, 3)]


def build(seed: int = 0, vocab_size: int = VOCAB_SIZE) -> NoteLSTM:
    torch.manual_seed(seed)
    return NoteLSTM(
        vocab_size, embedding_dim=6, hidden_size=8, num_layers=2, dropout=0.5, num_fc_layers=2
    ).eval()


def assert_same(predict: Predictor, other: Predictor, atol: float = 1e-5) -> None:
    both = zip(predict(PIECES), other(PIECES), strict=True)
    for mine, theirs in both:
        np.testing.assert_allclose(mine, theirs, atol=atol)


def reference_nll(network: NoteLSTM, piece: Ints) -> NDArray[np.float64]:
    """Of each token of a piece, in one pass, slowly and obviously."""
    ids = torch.from_numpy(piece)
    with torch.no_grad():
        log_probs = network(ids[None, :-1])[0][0].log_softmax(-1)  # (time, vocab)
    return np.array([-float(log_probs[t, ids[t + 1]]) for t in range(len(piece) - 1)])


def everything(predict: Predictor, pieces: Sequence[Ints], vocab_size: int) -> list[NDArray[np.float64]]:
    """The probabilities of all ids, (num_tokens - 1, vocab_size) for each piece."""
    found = []
    for piece in pieces:
        others = [np.array([*piece[:t], id_]) for t in range(1, len(piece)) for id_ in range(vocab_size)]
        found.append(np.exp([each[-1] for each in predict(others)]).reshape(-1, vocab_size))
    return found


def token_nlls(network: NoteLSTM, pieces: Sequence[Ints]) -> list[NDArray[np.float64]]:
    """The nll of each token of some pieces but the first, (num_tokens - 1,) each."""
    return [-log_probs for log_probs in static(network)(pieces)]


def test_token_nlls_are_those_of_whole_pieces() -> None:
    network = build()
    for nll, piece in zip(token_nlls(network, PIECES), PIECES, strict=True):
        np.testing.assert_allclose(nll, reference_nll(network, piece), atol=1e-5)


@pytest.mark.parametrize("window_length", [1, 7, 100])
@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_batch_size_and_window_change_nothing(batch_size: int, window_length: int) -> None:
    assert_same(static(build(), batch_size, window_length), static(build()))


def test_the_order_of_the_pieces_changes_nothing() -> None:
    network = build()
    backwards = token_nlls(network, PIECES[::-1])[::-1]
    for nll, other in zip(token_nlls(network, PIECES), backwards, strict=True):
        np.testing.assert_allclose(nll, other, atol=1e-5)


# Dynamic evaluation


def test_a_rate_of_zero_is_the_static_network() -> None:
    assert_same(dynamic(build(), 0.0, window_length=5), static(build()))


def test_a_rate_changes_only_what_comes_after_the_first_window() -> None:
    adapted = dynamic(build(), 0.5, window_length=5)(PIECES[:1])[0]
    fixed = static(build())(PIECES[:1])[0]
    np.testing.assert_allclose(adapted[:5], fixed[:5], atol=1e-6)
    assert np.abs(adapted[5:] - fixed[5:]).min() > 1e-6


def test_dynamic_evaluation_begins_each_piece_with_the_weights_as_trained() -> None:
    network = build()
    alone = dynamic(network, 0.5, 5)(PIECES[2:3])[0]
    among = dynamic(network, 0.5, 5)(PIECES)[2]
    np.testing.assert_array_equal(alone, among)


# Keys and ensembles

CODEC = Codec(
    EventTokenizer(), Vocabulary([f"Pitch_{pitch}" for pitch in range(55, 67)] + ["Shift_6", "Duration_6"])
)


def melody(*pitches: int) -> Ints:
    tokens = [
        "<bos>",
        *(token for p in pitches for token in (f"Pitch_{p}", "Duration_6", "Shift_6")),
        "<eos>",
    ]
    return np.array([CODEC.vocabulary.id(token) for token in tokens])


def test_the_nearest_keys_come_first() -> None:
    assert keys_around(5) == [0, 1, -1, 2, -2]


def test_one_key_is_the_network() -> None:
    network = build(vocab_size=len(CODEC.vocabulary))
    pieces = [melody(60, 62, 64), melody(55, 66)]
    averaged = everything(over_keys(static(network), CODEC, 1), pieces, len(CODEC.vocabulary))
    for mine, theirs in zip(
        averaged, everything(static(network), pieces, len(CODEC.vocabulary)), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_keys_are_averaged_as_probabilities() -> None:
    network = build(vocab_size=len(CODEC.vocabulary))
    predict = static(network)
    (averaged,) = over_keys(predict, CODEC, 3)([melody(60, 62)])
    each = [predict([melody(60 + k, 62 + k)])[0] for k in (0, 1, -1)]
    np.testing.assert_allclose(np.exp(averaged), np.mean(np.exp(each), axis=0), atol=1e-6)


def test_probabilities_over_keys_never_add_up_to_more_than_one() -> None:
    network = build(vocab_size=len(CODEC.vocabulary))
    pieces = [melody(60, 66, 62), melody(55, 60), melody(60, 61)]
    for probs in everything(over_keys(static(network), CODEC, 5), pieces, len(CODEC.vocabulary)):
        total = probs.sum(axis=1)
        assert (total < 1 + 1e-6).all()
        assert (total > 0.5).all()


def test_an_ensemble_of_a_network_with_itself_is_the_network() -> None:
    predict = static(build())
    assert_same(ensemble([predict, predict]), predict)


def test_an_ensemble_averages_probabilities() -> None:
    networks = [static(build(seed)) for seed in (0, 1)]
    both = [np.exp(network(PIECES)[0]) for network in networks]
    mean = np.exp(ensemble(networks)(PIECES)[0])
    np.testing.assert_allclose(mean, (both[0] + both[1]) / 2, atol=1e-6)


# Runs


@pytest.fixture(scope="module")
def run_dir(train_tiny: TrainTiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with four validation and three test pieces; nothing may be written to it."""
    folder = tmp_path_factory.mktemp("run") / "run"
    train_tiny(folder, "dataset.validation_fraction=0.4", "dataset.test_fraction=0.3", "seed=10")
    return folder


@pytest.fixture(scope="module")
def run(run_dir: Path) -> TrainedRun:
    return load_runs([run_dir])[0]


def result(columns: Sequence[Any], name: str) -> float:
    return next(column.units["nats_per_token"] for column in columns if column.name == name)


def test_the_network_is_what_the_run_said_of_it(run_dir: Path, run: TrainedRun) -> None:
    summary = json.loads((run_dir / "summary.json").read_text())
    (column,) = evaluate([run], Options())
    expected = {"nats_per_token": summary["val/nll"]}
    expected |= {
        unit: summary[f"val/{unit}"] for unit in ("nats_per_note", "nats_per_beat", "nats_per_second")
    }
    assert column.units == pytest.approx(expected, rel=1e-5)
    around = (summary["val/nll_low"], summary["val/nll_high"])
    assert column.intervals["nats_per_token"] == pytest.approx(around, rel=1e-4)


def test_all_ways_stand_in_one_table(run_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    arguments = ["--dynamic", "--keys", "3", "--json", str(tmp_path / "out.json")]
    assert main(["evaluate", str(run_dir), *arguments]) == 0
    out = capsys.readouterr().out
    assert "network + dynamic + 3 keys" in " ".join(out.split())
    assert all(f"nats per {unit} " in out for unit in ("token", "note", "beat", "second"))
    assert "rate " in out
    assert "semitones" in out
    columns = json.loads((tmp_path / "out.json").read_text())["columns"]
    assert [column["name"] for column in columns] == ["network", "+ dynamic", "+ 3 keys"]
    assert all(column["nats_per_note"] > 0 for column in columns)


def test_the_test_split_is_read_only_if_asked_for(run_dir: Path, capsys: Capture) -> None:
    assert main(["evaluate", str(run_dir)]) == 0
    assert "test" not in capsys.readouterr().out.replace(str(run_dir), "")
    assert main(["evaluate", str(run_dir), "--split", "test"]) == 0
    assert "this is the test split: choose nothing by it" in capsys.readouterr().out


def test_the_rate_for_test_is_that_of_validation(run: TrainedRun) -> None:
    columns = [evaluate([run], Options(split=split, dynamic=True))[-1] for split in ("validation", "test")]
    assert columns[0].settings == columns[1].settings
    assert columns[0].units != columns[1].units


def test_an_ensemble_of_a_run_with_itself_is_the_run(run: TrainedRun) -> None:
    columns = evaluate([run, run], Options())
    assert [column.name for column in columns] == ["network 1", "network 2", "ensemble"]
    assert result(columns, "ensemble") == pytest.approx(result(columns, "network 1"), abs=1e-6)


def refusal(capsys: Capture, *arguments: str) -> str:
    capsys.readouterr()
    assert main(["evaluate", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_runs_of_another_split_are_no_ensemble(run_dir: Path, tiny_run: Path, capsys: Capture) -> None:
    assert "another vocabulary or split" in refusal(capsys, str(run_dir), str(tiny_run))


def test_a_corpus_that_has_changed_is_refused(
    train_tiny: TrainTiny, midi_folder: Any, tmp_path: Path, capsys: Capture
) -> None:
    folder = midi_folder(6)
    train_tiny(tmp_path / "run", "trainer.max_epochs=1", folder=folder)
    write_midi(small_piece(99), folder / "new.mid")
    assert "its corpus is not what it was trained on" in refusal(capsys, str(tmp_path / "run"))


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: Capture) -> None:
    assert "no checkpoint there" in refusal(capsys, str(tmp_path))


@pytest.mark.parametrize(
    "dataset", [{"name": "folder"}, {"name": "x", "limits": 3}, None, {"limits": {}, "path": 7}], ids=range(4)
)
def test_a_checkpoint_that_names_no_corpus_is_refused(
    tiny_run: Path, tmp_path: Path, capsys: Capture, dataset: object
) -> None:
    checkpoint = torch.load(tiny_run / "best.ckpt", weights_only=True)
    checkpoint["noternn"]["config"]["dataset"] = dataset
    torch.save(checkpoint, tmp_path / "best.ckpt")
    assert "name no corpus" in refusal(capsys, str(tmp_path))


# Sampling


def frames_options(tmp_path: Path) -> list[str]:
    """Of a run on a file of frames, which has a split of its own."""
    rng = np.random.default_rng(0)
    content = {
        split: [[sorted({*rng.integers(60, 66, 3).tolist()}) for _ in range(9)] for _ in range(6)]
        for split in ("train", "valid", "test")
    }
    path = tmp_path / "frames.json"
    path.write_text(json.dumps(content))
    return ["dataset=jsb_frames", f"dataset.path={path}", "tokenizer=frames", "tokenizer.steps_per_beat=1"]


def test_runs_of_several_seeds_share_a_split_that_is_given(train_tiny: TrainTiny, tmp_path: Path) -> None:
    options = frames_options(tmp_path)
    for seed in (0, 1):
        train_tiny(tmp_path / str(seed), *options, f"seed={seed}", "trainer.max_epochs=1")
    first, second = load_runs([tmp_path / "0", tmp_path / "1"])
    assert first.corpus is second.corpus


def test_a_corpus_of_frames_is_told_in_nats_a_frame_too(train_tiny: TrainTiny, tmp_path: Path) -> None:
    train_tiny(tmp_path / "run", *frames_options(tmp_path))
    runs = load_runs([tmp_path / "run"])
    (column,) = evaluate(runs, Options("test"))
    pieces = list(runs[0].corpus.encoded.ids["test"])
    nlls = token_nlls(runs[0].composer.network, pieces)
    total = sum(nll[:-1].sum() for nll in nlls)  # the end of a piece is not scored
    assert column.units["nats_per_frame"] == pytest.approx(total / (6 * 9))
    assert column.units["nats_per_frame_by_piece"] == pytest.approx(total / (6 * 9))
