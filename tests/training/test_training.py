"""Runs, all of them tiny: what they leave behind, what they say, and how they go on."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from helpers import TrainTiny, all_in_slow, same_weights, small_piece, timed_rows_of

from noternn.config.schema import CONF_DIR
from noternn.errors import UserError
from noternn.evaluation.loading import load_runs
from noternn.health.checkup import check
from noternn.health.yardstick import Yardstick
from noternn.music.keys import key_of
from noternn.music.midi import midi_file, read_midi, write_midi
from noternn.music.piece import Piece
from noternn.sampling.ending import MARGIN
from noternn.training.callbacks import AtomicCheckpointIO
from noternn.training.datamodule import MidiDataModule
from noternn.training.devices import has_bfloat16_units
from noternn.training.messages import describe_network
from noternn.training.module import NoteRNN

TRAIN = CONF_DIR.parent / "train.py"
# So fast that the best epoch is not the last one.
TOO_FAST = (
    "optimizer=sgd",
    "optimizer.lr=20",
    "model.memory=0",
    "trainer.gradient_clip_val=null",
    "model.residual=false",
    "module.ema_decay=0",
)
OPTIMIZERS = sorted(path.stem for path in (CONF_DIR / "optimizer").glob("*.yaml"))


def summary_of(run_dir: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((run_dir / "summary.json").read_text())
    return summary


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def weights_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return weights


# One run as a user starts it: a process, everything on, no account, no network


@dataclass(frozen=True)
class Finished:
    folder: Path
    status: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def finished(
    midi_folder_once: Path, tiny: list[str], offline: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """`train.py` in an empty folder, on ten pieces and a file that is none."""
    home = tmp_path_factory.mktemp("home")
    command = [sys.executable, str(TRAIN), "dataset=folder", f"dataset.path={midi_folder_once}", *tiny]
    command += ["dataset.min_validation=5"]  # pieces for an interval
    done = subprocess.run(command, cwd=home, env=offline, capture_output=True, text=True, timeout=300)
    (folder,) = (home / "runs").glob("*_folder_adamw")
    return Finished(folder, done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def midi_folder_once(corpus_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    for path in corpus_dir.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "broken.mid").write_text("this is not music")
    return folder


def test_a_run_exits_with_status_0(finished: Finished) -> None:
    assert finished.status == 0, finished.stderr


def test_a_run_leaves_its_files(finished: Finished) -> None:
    assert files_of(finished.folder) == {
        ".hydra", "audit.csv", "best.ckpt", "checkpoints", "curves.png", "health.json", "last.ckpt",
        "metrics.csv", "sample.mid", "sample.png", "sample.wav", "samples", "split.json", "summary.json",
        "train.log", "wandb",
    }  # fmt: skip
    assert all(path.stat().st_size > 0 for path in finished.folder.iterdir())


def test_a_run_says_what_it_came_to(finished: Finished) -> None:
    summary = summary_of(finished.folder)
    lines = re.sub(" +", " ", finished.stdout)
    assert f"\n best epoch {summary['best_epoch']} of 3\n" in lines
    assert f"\n val/nll {summary['val/nll']:.4f} nats per token, " in lines
    assert f" {summary['val/nats_per_note']:.4f} per note\n" in lines
    low, high = summary["val/nll_low"], summary["val/nll_high"]
    assert f"\n {low:.4f} to {high:.4f}: 95 % interval over 5 pieces\n" in lines
    assert f"\n generalization gap {summary['gap/nll']:.4f} at the best epoch, " in lines
    assert f"\n parameters {summary['num_parameters']:,}\n" in lines
    assert "\n".join(["", summary["verdict"], *summary["advice"], ""]) in finished.stdout


def test_a_run_says_how_healthy_its_sample_is(finished: Finished) -> None:
    sample, yardstick = summary_of(finished.folder)["sample"], Yardstick.load(finished.folder / "health.json")
    checkup = check(read_midi(finished.folder / "sample.mid"), yardstick)
    assert sample["health"] == checkup.sentence
    assert sample["notes_per_beat"] == pytest.approx(checkup.whole.notes_per_beat)
    assert f"\n {sample['health']}\n" in re.sub(" +", " ", finished.stdout)


def test_the_network_is_measured_by_the_notes_it_learns_from(finished: Finished) -> None:
    summary = summary_of(finished.folder)
    per_note = summary["num_parameters"] / summary["num_train_notes"]
    assert (
        f"network: {summary['num_parameters']:,} parameters, {per_note:.1f} a training note"
        in finished.stderr
    )


@pytest.mark.parametrize(("num_notes", "is_told"), [(100, True), (101, False)])
def test_a_network_far_too_large_for_its_corpus_is_told(
    num_notes: int, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    describe_network(3030, num_notes, {"name": "event"})
    assert ("far too many for this corpus" in caplog.text) == is_told
    assert ("recipe=from_base" in caplog.text) == is_told
    caplog.clear()
    describe_network(3030, num_notes, {"name": "chord"})
    assert "recipe=from_base" not in caplog.text


def test_messages_go_to_stderr_and_into_the_log(finished: Finished) -> None:
    for text in (finished.stderr, (finished.folder / "train.log").read_text()):
        assert len(re.findall(r"epoch +\d/3 +train/nll", text)) == 3
    assert "train/nll" not in finished.stdout


def test_a_file_that_cannot_be_read_is_counted_and_named_with_the_reason(finished: Finished) -> None:
    assert "10 pieces read, 1 skipped" in finished.stderr
    assert "skipped broken.mid: not a MIDI file" in finished.stderr
    split = json.loads((finished.folder / "split.json").read_text())
    assert split["skipped"].keys() == {"broken.mid"}


def test_near_duplicates_and_what_leaks_are_counted(finished: Finished) -> None:
    assert "0 near-duplicate groups, 0 pieces in them" in finished.stderr
    assert re.search(
        r"only \d pieces? (is|are) validated on, so these figures may be chance", finished.stderr
    )
    assert "of the validation notes 0.0 % stand in passages copied from training" in finished.stderr
    assert "with copies on both sides it would be 0.0 %" in finished.stderr
    split = json.loads((finished.folder / "split.json").read_text())
    assert split["duplicates"] == {
        "num_groups": 0, "num_pieces": 0, "num_in_several_splits": 0, "groups": [],
    }  # fmt: skip
    assert split["copied_validation_notes"] == {"ungrouped": 0, "grouped": 0}
    assert summary_of(finished.folder)["leak/validation"] == 0


def test_a_run_shows_no_traceback_and_no_warning(finished: Finished) -> None:
    assert "Traceback" not in finished.stderr
    assert "Warning" not in finished.stderr


def test_a_run_without_an_account_is_logged_offline(finished: Finished) -> None:
    link = finished.folder / "wandb"
    assert link.is_symlink()
    assert link.resolve().parent == finished.folder.parent / "wandb"
    assert link.resolve().name.startswith("offline-run-")
    assert list(link.glob("*.wandb"))
    assert "offline" in finished.stdout


def test_the_losses_are_on_one_chart_at_every_checkpoint_and_at_the_end(finished: Finished) -> None:
    tables = sorted((finished.folder / "wandb" / "files" / "media" / "table").glob("*.json"))
    lines = [{row[1] for row in json.loads(path.read_text())["data"]} for path in tables]
    assert lines == 2 * [{"train/nll", "train_eval/nll", "val/nll"}]  # after epochs 2 and 3


def test_every_sample_is_logged_as_sound_and_as_a_picture(finished: Finished) -> None:
    media = finished.folder / "wandb" / "files" / "media"
    assert len(list((media / "audio" / "sample").glob("audio_*.wav"))) == 2  # after epoch 2, and the best
    assert len(list((media / "images" / "sample").glob("piano_roll_*.png"))) == 2


# The same in this process


def test_metrics_have_a_row_an_epoch_and_the_documented_columns(tiny_run: Path) -> None:
    rows = timed_rows_of(tiny_run)
    assert list(rows[0]) == [
        "epoch", "step", "train/nll", "train_eval/nll", "val/nll", "val/nll_low", "val/nll_high", "gap/nll",
        "val/nats_per_note", "val/nats_per_beat", "val/nats_per_second", "best_epoch",
        "seconds", "cpu_seconds",
    ]  # fmt: skip
    assert [float(row["epoch"]) for row in rows] == [1, 2, 3]
    assert {(row.pop("val/nll_low"), row.pop("val/nll_high")) for row in rows} == {("", "")}  # of one piece
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())


def test_the_best_epoch_so_far_is_in_every_row(train_tiny: TrainTiny, tmp_path: Path) -> None:
    train_tiny(tmp_path, *TOO_FAST)
    rows = timed_rows_of(tmp_path)
    losses = [float(row["val/nll"]) for row in rows]
    best = [1 + losses.index(min(losses[: i + 1])) for i in range(len(rows))]
    assert [int(row["best_epoch"]) for row in rows] == best


def test_the_gap_of_every_epoch_is_validation_minus_training_loss(tiny_run: Path) -> None:
    for row in timed_rows_of(tiny_run):
        difference = float(row["val/nll"]) - float(row["train_eval/nll"])
        assert float(row["gap/nll"]) == pytest.approx(difference, abs=1e-6)


def test_every_split_is_listed_and_no_piece_is_in_two(tiny_run: Path, corpus_dir: Path) -> None:
    split = json.loads((tiny_run / "split.json").read_text())
    names = [name for part in ("train", "validation", "test") for name in split[part]]
    assert sorted(names) == sorted(files_of(corpus_dir))


def measured_again(checkpoint: Path) -> float:
    """The validation nll of a checkpoint, from nothing but the file."""
    content = torch.load(checkpoint, weights_only=True)
    config = content["noternn"]["config"]
    corpus = load_runs([checkpoint])[0].corpus
    data = MidiDataModule(corpus, batch_size=2, window_length=config["datamodule"]["window_length"], seed=0)
    module = NoteRNN.of(config, corpus.codec)
    module.load_state_dict(content["state_dict"])
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.validate(module, datamodule=data, verbose=False)
    return float(trainer.callback_metrics["val/nll"])


def test_best_holds_the_weights_of_the_best_epoch_and_last_those_of_the_last(
    train_tiny: TrainTiny, tmp_path: Path
) -> None:
    train_tiny(tmp_path, *TOO_FAST, "trainer.max_epochs=4")
    val = [float(row["val/nll"]) for row in timed_rows_of(tmp_path)]
    assert min(val) < val[-1]
    assert measured_again(tmp_path / "best.ckpt") == pytest.approx(min(val), abs=1e-5)
    assert measured_again(tmp_path / "last.ckpt") == pytest.approx(val[-1], abs=1e-5)
    summary = summary_of(tmp_path)
    assert summary["best_epoch"] == val.index(min(val)) + 1
    assert (summary["val/nll"], summary["last/val/nll"]) == (min(val), val[-1])


def test_there_is_a_checkpoint_and_a_sample_every_n_epochs(train_tiny: TrainTiny, tmp_path: Path) -> None:
    train_tiny(tmp_path, "trainer.max_epochs=5", "checkpoint.every_n_epochs=2")
    assert files_of(tmp_path / "checkpoints") == {"epoch_002.ckpt", "epoch_004.ckpt"}
    assert files_of(tmp_path / "samples") == {
        f"epoch_{epoch}.{suffix}" for epoch in ("002", "004") for suffix in ("mid", "png", "wav")
    }
    epochs = [
        torch.load(path, weights_only=True)["epoch"] for path in sorted((tmp_path / "checkpoints").iterdir())
    ]
    assert epochs == [1, 3]  # Lightning counts from 0


def opening(piece: Piece, num_notes: int) -> list[tuple[float, int]]:
    """(onset in beats, pitch) of the first notes."""
    notes = [(on / piece.ticks_per_beat, p) for on, p in zip(piece.onset, piece.pitch, strict=True)]
    return notes[:num_notes]


def test_all_samples_continue_the_opening_of_the_same_validation_piece(
    tiny_run: Path, corpus_dir: Path
) -> None:
    split = json.loads((tiny_run / "split.json").read_text())
    openings = [opening(read_midi(corpus_dir / name), 4) for name in split["validation"]]
    samples = [tiny_run / "sample.mid", *(tiny_run / "samples").glob("*.mid")]
    assert len(samples) == 2
    first = opening(read_midi(samples[0]), 4)
    assert first in openings
    assert all(opening(read_midi(path), 4) == first for path in samples)


def test_a_sample_is_composed_by_the_weights_of_its_checkpoint(train_tiny: TrainTiny, tmp_path: Path) -> None:
    from noternn.__main__ import main

    train_tiny(tmp_path, "sampling.primer_notes=0", "trainer.max_epochs=2", "sampling.num_notes=30")
    output = tmp_path / "again.mid"
    checkpoint = tmp_path / "checkpoints" / "epoch_002.ckpt"
    assert main(["generate", str(checkpoint), "-o", str(output), "--num-notes", "30"]) == 0
    kept = tmp_path / "samples" / "epoch_002.mid"  # which does not say where it comes from
    again = read_midi(output)
    assert midi_file(again, key=key_of(again)) == kept.read_bytes()


def test_checkpoints_hold_plain_data_only(tiny_run: Path) -> None:
    for path in tiny_run.rglob("*.ckpt"):
        content = torch.load(path, weights_only=True)["noternn"]
        assert json.loads(json.dumps(content)) == content


def test_no_half_written_file_is_left(tiny_run: Path) -> None:
    assert not list(tiny_run.rglob("*.tmp"))


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path, writer = tmp_path / "last.ckpt", AtomicCheckpointIO()
    writer.save_checkpoint({"epoch": 1}, path)
    with pytest.raises((AttributeError, TypeError)):
        writer.save_checkpoint({"epoch": 2, "not data": (i for i in range(3))}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert files_of(tmp_path) == {"last.ckpt"}


def test_the_same_seed_gives_the_same_run(train_tiny: TrainTiny, tiny_run: Path, tmp_path: Path) -> None:
    train_tiny(tmp_path)
    assert same_weights(tmp_path / "last.ckpt", tiny_run / "last.ckpt")
    assert (tmp_path / "sample.mid").read_bytes() == (tiny_run / "sample.mid").read_bytes()


def test_another_seed_gives_other_weights(train_tiny: TrainTiny, tiny_run: Path, tmp_path: Path) -> None:
    train_tiny(tmp_path, "seed=1")
    name = "network.layers.0.weight_hh_l0"
    assert not torch.equal(weights_of(tmp_path / "last.ckpt")[name], weights_of(tiny_run / "last.ckpt")[name])


def test_training_stops_when_validation_no_longer_improves(train_tiny: TrainTiny, tmp_path: Path) -> None:
    nothing_learned = ["optimizer=sgd", "optimizer.lr=1e-30"]
    summary = train_tiny(
        tmp_path,
        *nothing_learned,
        "early_stopping=patience",
        "early_stopping.patience=2",
        "trainer.max_epochs=9",
    )
    assert (summary["best_epoch"], summary["num_epochs"]) == (1, 3)


# Going on


@pytest.mark.parametrize("optimizer", all_in_slow(OPTIMIZERS, quick="adam"))
def test_a_resumed_run_is_the_run_that_never_stopped(
    optimizer: str, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    options = [f"optimizer={optimizer}", "model.dropout=0.5", "checkpoint.every_n_epochs=3"]
    options += ["dataset.validation_fraction=0.4"]
    train_tiny(whole, *options, "trainer.max_epochs=4")
    train_tiny(stopped, *options, "trainer.max_epochs=2")
    train_tiny(stopped, *options, "trainer.max_epochs=4", f"resume={stopped}")
    without_seconds = [
        [row | {"seconds": "", "cpu_seconds": ""} for row in timed_rows_of(run)] for run in (whole, stopped)
    ]
    assert without_seconds[0] == without_seconds[1]
    assert float(without_seconds[0][-1]["val/nll_low"]) < float(without_seconds[0][-1]["val/nll_high"])
    for name in ("best.ckpt", "last.ckpt", "checkpoints/epoch_003.ckpt"):
        assert same_weights(whole / name, stopped / name)
    for name in ("sample.mid", "samples/epoch_003.mid"):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes()


@pytest.mark.parametrize("clock", ["seconds", "cpu_seconds"])
def test_seconds_go_on_where_the_stopped_run_was(clock: str, train_tiny: TrainTiny, tmp_path: Path) -> None:
    train_tiny(tmp_path, "trainer.max_epochs=1")
    train_tiny(tmp_path, "trainer.max_epochs=2", f"resume={tmp_path}")
    first, second = (float(row[clock]) for row in timed_rows_of(tmp_path))
    assert 0 < first < second < 60


def test_a_run_that_was_killed_while_it_composed_its_last_sample_is_finished(
    train_tiny: TrainTiny, tiny_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    for name in ("summary.json", "sample.mid", "sample.wav", "sample.png", "curves.png"):
        (run / name).unlink()
    (run / ".sample.wav.1234.tmp").touch()  # what it was at
    train_tiny(run, f"resume={run}")
    assert files_of(run) == files_of(tiny_run)
    assert summary_of(run) == summary_of(tiny_run)
    assert (run / "sample.mid").read_bytes() == (tiny_run / "sample.mid").read_bytes()
    assert (run / "last.ckpt").read_bytes() == (tiny_run / "last.ckpt").read_bytes()


def test_a_run_that_is_over_cannot_be_resumed(train_tiny: TrainTiny, tiny_run: Path) -> None:
    with pytest.raises(UserError, match=r"this run is over; to go on give more trainer\.max_epochs"):
        train_tiny(tiny_run, f"resume={tiny_run}")


@pytest.fixture
def stopped_early(train_tiny: TrainTiny, tmp_path: Path) -> tuple[Path, list[str]]:
    """A run that stopped at its second epoch because it learned nothing, and its overrides."""
    options = ["optimizer=sgd", "optimizer.lr=1e-30", "early_stopping=patience", "trainer.max_epochs=5"]
    train_tiny(tmp_path, *options, "early_stopping.patience=1")
    assert len(timed_rows_of(tmp_path)) == 2
    return tmp_path, options


def test_a_run_that_stopped_early_is_over(
    train_tiny: TrainTiny, stopped_early: tuple[Path, list[str]]
) -> None:
    run_dir, options = stopped_early
    with pytest.raises(UserError, match="this run is over"):
        train_tiny(run_dir, *options, "early_stopping.patience=1", f"resume={run_dir}")


def test_a_run_that_stopped_early_goes_on_with_more_patience(
    train_tiny: TrainTiny, stopped_early: tuple[Path, list[str]]
) -> None:
    run_dir, options = stopped_early
    train_tiny(run_dir, *options, "early_stopping.patience=3", f"resume={run_dir}")
    assert len(timed_rows_of(run_dir)) == 4


def test_a_run_that_stopped_early_goes_on_without_early_stopping(
    train_tiny: TrainTiny, stopped_early: tuple[Path, list[str]]
) -> None:
    run_dir, options = stopped_early
    train_tiny(run_dir, *options, "early_stopping=none", f"resume={run_dir}")
    assert len(timed_rows_of(run_dir)) == 5


def test_epochs_on_the_way_down_from_a_worse_loss_do_not_stop_a_run(
    train_tiny: TrainTiny, tmp_path: Path
) -> None:
    options = [*TOO_FAST, "optimizer.lr=50", "schedule=cosine", "schedule.warmup_epochs=0"]
    options += ["early_stopping=patience", "early_stopping.patience=2"]
    train_tiny(tmp_path, *options, "trainer.max_epochs=1")
    train_tiny(tmp_path, *options, "trainer.max_epochs=4", f"resume={tmp_path}")
    best, worst, *others = (float(row["val/nll"]) for row in timed_rows_of(tmp_path))
    assert best < others[1] < others[0] < worst


def test_a_run_resumed_in_a_folder_of_another_name_keeps_its_best_epoch(
    train_tiny: TrainTiny, tmp_path: Path
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    train_tiny(before, *TOO_FAST, "trainer.max_epochs=3")
    before.rename(after)
    train_tiny(after, *TOO_FAST, "trainer.max_epochs=4", f"resume={after}")
    val = [float(row["val/nll"]) for row in timed_rows_of(after)]
    assert val.index(min(val)) + 1 < 4
    assert measured_again(after / "best.ckpt") == pytest.approx(min(val), abs=1e-5)
    assert not before.exists()


def test_the_size_that_few_notes_call_for_is_decided_told_and_kept(
    train_tiny: TrainTiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    size = "model.hidden_size=auto"
    train_tiny(tmp_path, size, "trainer.max_epochs=1")
    assert "a network of 64 units, not 256" in caplog.text
    caplog.clear()
    train_tiny(tmp_path, size, "trainer.max_epochs=2", f"resume={tmp_path}")
    assert "a network of" not in caplog.text
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)["noternn"]
    assert content["config"]["model"]["hidden_size"] == 64
    assert len(timed_rows_of(tmp_path)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed=1", "with seed=0, not 1"),
        ("model.hidden_size=20", r"with model\.hidden_size=16, not 20"),
        ("optimizer.lr=0.3", r"with optimizer\.lr=0\.008, not 0\.3"),
        ("dataset.validation_fraction=0.5", r"with dataset\.validation_fraction=0\.1, not 0\.5"),
        ("dataset.train_fraction=0.5", r"with dataset\.train_fraction=1\.0, not 0\.5"),
        ("dataset.tracks=melody", r"with dataset\.tracks=all, not melody"),
        ("datamodule.batch_size=3", r"with datamodule\.batch_size=16, not 3"),
        ("trainer.limit_train_batches=2", r"with trainer\.limit_train_batches=None, not 2\.0"),
        ("tokenizer=chord", r"with tokenizer\.name=event, not chord"),
    ],
)
def test_a_run_is_not_resumed_with_what_would_make_it_another(
    change: str, message: str, train_tiny: TrainTiny, tiny_run: Path
) -> None:
    with pytest.raises(UserError, match=f"it was trained {message}; keep it, or start a new run"):
        train_tiny(tiny_run, change, "trainer.max_epochs=9", f"resume={tiny_run}")


def test_a_run_is_not_resumed_with_other_files(
    train_tiny: TrainTiny, tiny_run: Path, midi_folder: Callable[[int], Path]
) -> None:
    with pytest.raises(UserError, match="it was trained with other files"):
        train_tiny(tiny_run, "trainer.max_epochs=9", f"resume={tiny_run}", folder=midi_folder(9))


def test_a_run_is_resumed_with_its_files_in_another_place(
    train_tiny: TrainTiny, tmp_path: Path, midi_folder: Callable[[int], Path]
) -> None:
    before = midi_folder(3)
    train_tiny(tmp_path / "run", "trainer.max_epochs=1", folder=before)
    after = before.rename(tmp_path / "moved")
    train_tiny(tmp_path / "run", "trainer.max_epochs=2", f"resume={tmp_path / 'run'}", folder=after)
    assert len(timed_rows_of(tmp_path / "run")) == 2


def test_a_second_run_in_the_same_folder_is_refused(train_tiny: TrainTiny, tiny_run: Path) -> None:
    before = (tiny_run / "metrics.csv").read_bytes()
    with pytest.raises(UserError, match=f"already holds a run; continue it with resume={tiny_run}"):
        train_tiny(tiny_run)
    assert (tiny_run / "metrics.csv").read_bytes() == before


# Corpora and settings of every kind


def test_two_pieces_are_enough(
    train_tiny: TrainTiny, tmp_path: Path, midi_folder: Callable[[int], Path]
) -> None:
    train_tiny(tmp_path / "run", "trainer.max_epochs=1", folder=midi_folder(2))
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert [len(split[part]) for part in ("train", "validation", "test")] == [1, 1, 0]


def test_one_piece_is_not_enough(
    train_tiny: TrainTiny, tmp_path: Path, midi_folder: Callable[[int], Path]
) -> None:
    with pytest.raises(UserError, match="training needs at least two"):
        train_tiny(tmp_path / "run", folder=midi_folder(1))


CHORD_OPTIONS = [
    f"tokenizer.durations={durations} tokenizer.rests={rests} tokenizer.pitch_class={pitch_class}"
    for durations in ("true", "false")
    for rests in ("true", "false")
    for pitch_class in ("true", "false")
]
EVENT_OPTIONS = [
    "tokenizer.velocity=true", "tokenizer.program=true", "tokenizer.velocity=true tokenizer.program=true",
]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        *(f"tokenizer=chord {options}" for options in CHORD_OPTIONS),
        *(f"tokenizer=event {options}" for options in EVENT_OPTIONS),
        "model.num_fc_layers=2 model.num_layers=3",
        pytest.param(
            "trainer.precision=bf16-mixed",
            marks=pytest.mark.skipif(not has_bfloat16_units(), reason="refused without units"),
        ),
        "trainer.gradient_clip_val=null",
        "datamodule.batch_size=1 datamodule.window_length=1 trainer.limit_train_batches=20",
        "sampling.primer_notes=0 sampling.top_k=0 sampling.temperature=2.0",
    ],
)
def test_one_epoch_can_be_trained_with(
    options: str, train_tiny: TrainTiny, tmp_path: Path, midi_folder: Callable[[int], Path]
) -> None:
    summary = train_tiny(
        tmp_path / "run", "trainer.max_epochs=1", "checkpoint.every_n_epochs=9", *options.split(),
        folder=midi_folder(3),
    )  # fmt: skip
    assert math.isfinite(summary["val/nll"])
    assert read_midi(tmp_path / "run" / "sample.mid").num_notes >= (1 - MARGIN) * 12


def scale(pitches: list[int], beats: float = 1.0) -> Piece:
    """A melody of equal notes."""
    onsets = np.arange(len(pitches)) * 480 * beats
    return Piece.from_notes(onsets, np.full(len(pitches), 480 * beats), np.array(pitches))


ODD_CORPORA = {
    "one pitch": [scale([60] * 20), scale([60] * 9, 2.0), scale([60] * 30, 0.5)],
    "few notes": [scale([60]), scale([64, 60]), scale([67, 60, 72])],
    "one note": [scale([60]), scale([64]), scale([67])],
    "one piece thrice": [small_piece(0)] * 3,
    "one piece": [small_piece(0)],
    "one without notes": [small_piece(0), small_piece(1), scale([])],
    "all without notes": [scale([]), scale([])],
}
REFUSED = {
    "one note": "the corpus holds only one piece (or copies of one); training needs at least two",
    "one piece thrice": "the corpus holds only one piece (or copies of one); training needs at least two",
    "one piece": "the corpus holds only one piece (or copies of one); training needs at least two",
    "all without notes": "none of the 2 files could be read",
}


@pytest.mark.parametrize(
    "tokenizer", ["event", "chord", "chord tokenizer.durations=false tokenizer.rests=false"]
)
@pytest.mark.parametrize("name", ODD_CORPORA)
def test_an_odd_corpus_is_trained_on_or_refused_in_one_line(
    name: str, tokenizer: str, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    for i, piece in enumerate(ODD_CORPORA[name]):
        write_midi(piece, tmp_path / "music" / f"{i}.mid")
    options = ["trainer.max_epochs=1", *f"tokenizer={tokenizer}".split()]
    if name in REFUSED:
        with pytest.raises(UserError, match=re.escape(REFUSED[name])) as refused:
            train_tiny(tmp_path / "run", *options, folder=tmp_path / "music")
        assert "\n" not in str(refused.value)
    else:
        summary = train_tiny(tmp_path / "run", *options, folder=tmp_path / "music")
        assert math.isfinite(summary["val/nll"])


@pytest.mark.parametrize(
    "options",
    [
        "datamodule.window_length=1000000",
        "datamodule.batch_size=1000000",
        "dataset.validation_fraction=0 dataset.test_fraction=0",
        "dataset.validation_fraction=0.9 dataset.test_fraction=0",
        "model.hidden_size=1 model.embedding_dim=1",
        "seed=4294967295",
        "optimizer.lr=1e-300",
    ],
)
def test_odd_settings_train(
    options: str, train_tiny: TrainTiny, tmp_path: Path, midi_folder: Callable[[int], Path]
) -> None:
    summary = train_tiny(tmp_path / "run", *options.split(), folder=midi_folder(4))
    assert math.isfinite(summary["val/nll"])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_learning_rate_of_a_billion_ends_in_numbers_or_in_one_line(
    optimizer: str, train_tiny: TrainTiny, tmp_path: Path, midi_folder: Callable[[int], Path]
) -> None:
    options = [f"optimizer={optimizer}", "optimizer.lr=1e9", "trainer.max_epochs=4"]
    said = ""
    try:
        train_tiny(tmp_path / "run", *options, folder=midi_folder(3))
    except UserError as error:
        said = str(error)
    assert not said or re.fullmatch("training diverged: .*", said)
    assert bool(said) != (tmp_path / "run" / "summary.json").exists()


@pytest.mark.skipif(has_bfloat16_units() is not False, reason="this CPU computes with 16 bits")
def test_16_bits_are_refused_on_a_cpu_that_would_be_slower_with_them(
    train_tiny: TrainTiny, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"^trainer.precision=bf16-mixed: .*; use auto, 32-true, or a GPU$"):
        train_tiny(tmp_path / "run", "trainer.precision=bf16-mixed")


def test_the_recipe_of_the_predecessor_trains(
    train_tiny: TrainTiny, tmp_path: Path, midi_folder: Callable[[int], Path]
) -> None:
    summary = train_tiny(
        tmp_path / "run", "experiment=note_rnn", "trainer.max_epochs=1", "model.hidden_size=16",
        folder=midi_folder(3),
    )  # fmt: skip
    assert math.isfinite(summary["val/nll"])
    config = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["noternn"]["config"]
    assert config["tokenizer"]["name"] == "chord"
    assert config["model"]["num_fc_layers"] == 2


DIVERGING = ["optimizer=sgd", "optimizer.lr=1e38", "trainer.gradient_clip_val=null"]


def test_a_run_that_diverges_stops_at_the_step_and_says_why(
    train_tiny: TrainTiny, tmp_path: Path, midi_folder: Callable[[int], Path]
) -> None:
    said = (
        r"training diverged: after step \d+, in epoch 1, .* is (nan|inf), with a learning rate of 1e\+38 "
        r"and the last gradient norm .*; start again with a lower optimizer\.lr or trainer\.gradient_clip_val"
    )
    with pytest.raises(UserError, match=said):
        train_tiny(tmp_path / "run", *DIVERGING, "datamodule.window_length=16", folder=midi_folder(3))
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_run_that_diverges_writes_no_checkpoint_whose_weights_are_not_numbers(
    train_tiny: TrainTiny, tmp_path: Path, midi_folder: Callable[[int], Path]
) -> None:
    train_tiny(tmp_path / "run", "optimizer=sgd", "trainer.max_epochs=1", folder=midi_folder(3))
    path = tmp_path / "run" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["noternn"]["config"]["optimizer"]["lr"] = 1e38
    checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] = 1e38
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    best = (tmp_path / "run" / "best.ckpt").read_bytes()
    options = [*DIVERGING, "checkpoint.every_minutes=1e-9", f"resume={tmp_path / 'run'}"]
    with pytest.raises(UserError, match="training diverged: after step"):
        train_tiny(tmp_path / "run", *options, folder=tmp_path / "midi")
    assert all(weight.isfinite().all() for weight in weights_of(path).values())
    assert (tmp_path / "run" / "best.ckpt").read_bytes() == best


def test_searching_for_the_operation_that_diverges_changes_no_result(
    train_tiny: TrainTiny, tiny_run: Path, tmp_path: Path
) -> None:
    train_tiny(tmp_path, "trainer.detect_anomaly=true")
    assert same_weights(tmp_path / "last.ckpt", tiny_run / "last.ckpt")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error_in_one_line(train_tiny: TrainTiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.accelerator=cuda"):
        train_tiny(tmp_path, "trainer.accelerator=cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_trains_composes_and_resumes(train_tiny: TrainTiny, tmp_path: Path) -> None:
    on_gpu = "trainer.accelerator=cuda"
    train_tiny(tmp_path, on_gpu, "trainer.max_epochs=2")
    summary = train_tiny(tmp_path, on_gpu, "trainer.max_epochs=3", f"resume={tmp_path}")
    assert summary["num_epochs"] == 3
    assert measured_again(tmp_path / "best.ckpt") == pytest.approx(summary["val/nll"], abs=1e-3)
