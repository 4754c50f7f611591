"""How long a run trains: epochs by themselves, or as many as its minutes hold on this machine."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from helpers import TrainTiny, rows_of

from noternn.config.training import Trainer
from noternn.corpus.loading import corpus_of
from noternn.errors import UserError
from noternn.launch.command_line import settings
from noternn.model.checkpoint import load_checkpoint
from noternn.training import length as module
from noternn.training.length import Length, Pace, length_within, with_length
from noternn.training.run import data_module
from noternn.training.stopping import StopRequest

BY_TIME = ("trainer.max_epochs=auto", "trainer.minutes=0.1")


def ten_minutes(batch: float, num_batches: int = 100, spent: float = 0.0) -> Length:
    return length_within(10, spent, Pace(batch, evaluation=10), num_batches)


def test_minutes_are_as_many_epochs_as_end_within_them() -> None:
    assert ten_minutes(0.1) == Length(28)  # of 20 seconds, and some time between them
    assert ten_minutes(0.1, spent=300) == Length(13)


def test_a_few_epochs_have_fewer_batches_so_that_no_time_is_left() -> None:
    assert ten_minutes(2) == Length(3, 90)
    assert ten_minutes(1.8) == Length(3)


def test_less_than_an_epoch_is_some_of_its_batches() -> None:
    assert ten_minutes(1, num_batches=10_000) == Length(1, 560)


def test_too_few_minutes_are_refused_with_the_least_that_is_possible() -> None:
    with pytest.raises(UserError, match=r"trainer\.minutes=10: the least here is 87\.9, for 10 batches"):
        ten_minutes(500)


@pytest.fixture(scope="module")
def timed(train_tiny: TrainTiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a given time that is taken to hold two epochs of three batches."""
    folder = tmp_path_factory.mktemp("timed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "length_within", lambda *_: Length(2, 3))
        train_tiny(folder, *BY_TIME)
    return folder


def test_what_the_minutes_chose_is_written_into_checkpoint_and_summary(timed: Path) -> None:
    trainer = load_checkpoint(timed / "best.ckpt")["noternn"]["config"]["trainer"]
    chosen = {name: trainer[name] for name in ("max_epochs", "limit_train_batches", "minutes")}
    assert chosen == {"max_epochs": 2, "limit_train_batches": 3, "minutes": 0.1}
    assert json.loads((timed / "summary.json").read_text())["max_epochs"] == 2


def test_a_timed_run_is_that_of_as_many_epochs_to_the_last_bit(
    timed: Path, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    train_tiny(tmp_path, "trainer.max_epochs=2", "trainer.limit_train_batches=3")
    assert rows_of(tmp_path) == rows_of(timed)


def test_a_timed_run_goes_on_with_what_was_chosen_and_is_not_measured_again(
    timed: Path, train_tiny: TrainTiny
) -> None:
    with pytest.raises(UserError, match="this run is over"):
        train_tiny(timed, *BY_TIME, f"resume={timed}")
    with pytest.raises(UserError, match="measured when a run begins, which chose 2 epochs"):
        train_tiny(timed, BY_TIME[0], "trainer.minutes=5", f"resume={timed}")


def test_steps_are_measured_and_nothing_is_written(
    train_tiny: TrainTiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(
        UserError, match=r"trainer\.minutes=0\.0001: the least here is 0\.\d, for \d+ batches"
    ):
        train_tiny(tmp_path, BY_TIME[0], "trainer.minutes=0.0001")
    assert not list(tmp_path.iterdir())


def test_epochs_of_many_steps_are_fewer_by_themselves(
    train_tiny: TrainTiny, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "MOST_STEPS", 14)
    summary = train_tiny(tmp_path, "trainer.max_epochs=auto")
    assert summary["max_epochs"] == summary["num_epochs"] == 14 // int(rows_of(tmp_path)[0]["step"])
    assert "3 epochs, since 20 would be 80 steps; choose with trainer.max_epochs" in caplog.text


def test_jobs_of_a_sweep_that_do_the_same_work_train_as_long(
    corpus_dir: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = iter([Pace(0.1, 1.0), Pace(0.2, 1.0)])
    monkeypatch.setattr(module, "measured", lambda *_: next(paces))

    def epochs(*overrides: str) -> object:
        given = [*tiny, "dataset=folder", f"dataset.path={corpus_dir}", "datamodule.cache_dir=null"]
        config = settings([*given, "trainer.max_epochs=auto", "trainer.minutes=10", *overrides])
        data = data_module(config, corpus_of(config))
        return with_length(config, data, tmp_path / "job", tmp_path, StopRequest()).trainer.max_epochs

    first = epochs()
    assert epochs("seed=1", "optimizer.lr=0.1") == first
    assert epochs("model.hidden_size=32") != first


def test_minutes_and_epochs_together_are_refused_in_one_line() -> None:
    message = r"trainer\.minutes=5 chooses the epochs, and trainer\.max_epochs=6 is set"
    with pytest.raises(UserError, match=message):
        settings(["recipe=from_base", "trainer.minutes=5"])


@pytest.mark.parametrize("minutes", [0, -1.0, float("inf")])
def test_minutes_that_are_none_are_refused(minutes: float) -> None:
    with pytest.raises(UserError, match=r"trainer\.minutes=.*: it must be above 0, or null for none"):
        Trainer(minutes=minutes)


@pytest.mark.parametrize("epochs", [0, 2.5, True, "many", None])
def test_a_number_of_epochs_that_is_none_is_refused(epochs: object) -> None:
    with pytest.raises(UserError, match="it must be auto, or an integer of at least 1"):
        Trainer(max_epochs=epochs)
