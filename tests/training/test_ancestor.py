"""A run that starts from the weights of another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers import TrainTiny, rows_of, same_weights, small_piece

from noternn.__main__ import main
from noternn.errors import UserError
from noternn.evaluation.loading import load_runs
from noternn.model.checkpoint import BASE_CHECKPOINT, load_checkpoint, write_small
from noternn.music.midi import write_midi
from noternn.runs.card import read_card
from noternn.tables import read_csv
from noternn.training.ancestor import music_of


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other pieces, in part at pitches that the first ones lack."""
    folder = tmp_path_factory.mktemp("music")
    for seed in range(8):
        write_midi(small_piece(20 + seed).transpose(seed + 7), folder / f"piece_{seed}.mid")
    return folder


@pytest.fixture(scope="module")
def tuned(
    tiny_run: Path, music: Path, train_tiny: TrainTiny, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("tuned") / "run"
    train_tiny(folder, f"init_from={tiny_run}", "trainer.max_epochs=2", folder=music)
    return folder


def test_it_starts_lower_than_from_scratch(
    tuned: Path, music: Path, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    train_tiny(tmp_path, "trainer.max_epochs=2", folder=music)
    assert float(rows_of(tuned)[0]["val/nll"]) < float(rows_of(tmp_path)[0]["val/nll"])


def test_the_record_says_where_the_weights_come_from(tuned: Path, tiny_run: Path) -> None:
    summary = json.loads((tuned / "summary.json").read_text())
    start = summary["started_from"]
    assert start["init_from"] == str(tiny_run)
    assert start["dataset"] == "folder"
    assert len(start["sha256"]) == 64
    assert summary["licences"] == {"folder": "not known to NoteRNN"}
    assert load_checkpoint(tuned / "best.ckpt")["noternn"]["started_from"] == start


def test_the_card_says_where_the_weights_come_from(tuned: Path, tiny_run: Path) -> None:
    facts = read_card(tuned).sections["What it learned from"]
    assert facts["started from"] == f"{tiny_run}, which learned from folder"
    assert facts["licence of the start's music"] == "folder: not known to NoteRNN"


def test_what_is_copied_of_the_starts_music_is_watched(tuned: Path, tiny_run: Path) -> None:
    shares = [row["audit/start_16"] for row in read_csv(tuned / "audit.csv")]
    assert all(0 <= share <= 1 for share in shares)
    assert json.loads((tuned / "summary.json").read_text())["audit/start_16"] == shares[-1]
    assert "audit/start_16" not in read_csv(tiny_run / "audit.csv")[0]


def test_where_the_starts_music_is_gone_nothing_is_looked_for(tiny_run: Path, tmp_path: Path) -> None:
    content = load_checkpoint(tiny_run / "best.ckpt")["noternn"]
    assert music_of(content, None) is not None
    content["config"]["dataset"]["path"] = str(tmp_path)
    assert music_of(content, None) is None


def test_the_vocabularies_are_joined(tuned: Path, tiny_run: Path) -> None:
    own, before = (
        set(load_checkpoint(run / "best.ckpt")["noternn"]["vocabulary"]) for run in (tuned, tiny_run)
    )
    assert before < own


def test_a_stopped_run_goes_on_bit_for_bit_though_its_start_is_gone(
    tiny_run: Path, music: Path, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    start = shutil.copytree(tiny_run, tmp_path / "start")
    short = [f"init_from={start}", "schedule=constant", "early_stopping=none"]
    train_tiny(tmp_path / "whole", *short, "trainer.max_epochs=3", folder=music)
    train_tiny(tmp_path / "part", *short, "trainer.max_epochs=2", folder=music)
    shutil.rmtree(start)
    again = [*short, f"resume={tmp_path / 'part'}", "trainer.max_epochs=3"]
    train_tiny(tmp_path / "part", *again, folder=music)
    assert rows_of(tmp_path / "part") == rows_of(tmp_path / "whole")
    assert same_weights(tmp_path / "part" / "last.ckpt", tmp_path / "whole" / "last.ckpt")
    summaries = [json.loads((tmp_path / run / "summary.json").read_text()) for run in ("part", "whole")]
    assert summaries[0]["started_from"] == summaries[1]["started_from"]


def test_it_is_evaluated_and_composes(tuned: Path, tmp_path: Path) -> None:
    [run] = load_runs([tuned])
    assert run.corpus.encoded.vocabulary.tokens == run.composer.codec.vocabulary.tokens
    assert main(["generate", str(tuned), "-o", str(tmp_path / "out.mid"), "--num-notes", "20"]) == 0


def test_its_network_is_that_of_the_start(train_tiny: TrainTiny, tmp_path: Path) -> None:
    train_tiny(tmp_path / "large", "model.hidden_size=24", "trainer.max_epochs=1")
    train_tiny(tmp_path / "tuned", f"init_from={tmp_path / 'large'}", "trainer.max_epochs=1")
    content = load_checkpoint(tmp_path / "tuned" / "best.ckpt")["noternn"]
    assert content["config"]["model"]["hidden_size"] == 24


def test_smaller_steps_for_long_pieces_are_told(
    train_tiny: TrainTiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    train_tiny(tmp_path, "trainer.max_epochs=1", "schedule.piece_tokens=10", "optimizer.lr=0.01")
    assert "not 0.01: a training piece has" in caplog.text
    with pytest.raises(UserError, match=r"with schedule\.piece_tokens=10, not 20"):
        train_tiny(
            tmp_path,
            "trainer.max_epochs=2",
            "optimizer.lr=0.01",
            "schedule.piece_tokens=20",
            f"resume={tmp_path}",
        )


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("nowhere", r"init_from=nowhere: no checkpoint there"),
        ("damaged.ckpt", r"init_from=damaged\.ckpt: not a readable checkpoint"),
    ],
)
def test_what_cannot_be_started_from_is_told_in_a_line(
    start: str, reason: str, train_tiny: TrainTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("damaged.ckpt").write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(UserError, match=reason) as caught:
        train_tiny(tmp_path / "run", f"init_from={start}")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "run").iterdir()) == []


def test_weights_of_16_bits_are_read_as_32(tiny_run: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny_run / "best.ckpt")
    states = checkpoint["state_dict"]
    checkpoint["state_dict"] = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in states.items()
    }
    torch.save(checkpoint, tmp_path / "half.ckpt")
    assert main(["generate", str(tmp_path / "half.ckpt"), "-o", str(tmp_path / "out.mid")]) == 0


def test_the_base_composes_and_can_be_started_from(train_tiny: TrainTiny, tmp_path: Path) -> None:
    assert BASE_CHECKPOINT.stat().st_size < 4e6
    assert main(["generate", "base", "-o", str(tmp_path / "out.mid"), "--num-notes", "30"]) == 0
    summary = train_tiny(tmp_path / "run", "init_from=base", "trainer.max_epochs=1")
    assert summary["started_from"]["init_from"] == "base"
    assert summary["started_from"]["licences"] == {"freedoom": "BSD-3-Clause"}
    tokenizer = load_checkpoint(tmp_path / "run" / "best.ckpt")["noternn"]["config"]["tokenizer"]
    assert (tokenizer["program"], tokenizer["velocity"]) == (True, True)  # of bands it keeps all


def test_the_small_form_of_a_checkpoint_starts_a_run_too(
    tiny_run: Path, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    small = tmp_path / "small.ckpt"
    write_small(load_checkpoint(tiny_run / "best.ckpt"), small)
    assert small.stat().st_size < 0.5 * (tiny_run / "best.ckpt").stat().st_size
    assert train_tiny(tmp_path / "run", f"init_from={small}", "trainer.max_epochs=1")["num_epochs"] == 1
