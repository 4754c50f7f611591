"""TensorBoard and Trackio beside wandb: chosen together, told the losses, named at the end of the run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from noternn.config import schema
from noternn.config.schema import CONF_DIR
from noternn.config.training import Logger
from noternn.errors import UserError
from noternn.training.loggers import TrackioLogger, check_loggers


def composed(*overrides: str) -> Logger:
    schema.register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return schema.parse(compose("config", list(overrides))).logger


@pytest.mark.parametrize(
    ("override", "chosen"),
    [
        ("logger=csv", ("disabled", False, False)),
        ("logger=tensorboard", ("disabled", True, False)),
        ("logger=trackio", ("disabled", False, True)),
        ("logger=[wandb,tensorboard]", ("auto", True, False)),
        ("logger=[trackio,wandb,tensorboard]", ("auto", True, True)),
    ],
)
def test_loggers_are_chosen_alone_or_together(override: str, chosen: tuple[str, bool, bool]) -> None:
    logger = composed(override)
    assert (logger.mode, logger.tensorboard, logger.trackio) == chosen


def test_a_logger_whose_library_is_missing_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(
        UserError, match=r'logger=trackio: Trackio is not installed; pip install "noternn\[trackio\]"'
    ):
        check_loggers(Logger(trackio=True))


def test_tensorboard_is_told_the_losses_and_the_end_says_how_to_look(
    train_tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    run.mkdir()
    train_tiny(run, "trainer.max_epochs=2", "logger=tensorboard")
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert len(events.Scalars("val/nll")) == 2
    assert f"-m tensorboard.main --logdir {tmp_path}" in capsys.readouterr().out


def test_trackio_keeps_the_losses_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio", reason="needs the extra trackio")
    from trackio import sqlite_storage

    monkeypatch.setattr(sqlite_storage, "TRACKIO_DIR", tmp_path)
    logger = TrackioLogger("project", "run", None, {"seed": 0})
    logger.log_metrics({"val/nll": 2.5}, 1)
    logger.finalize("success")
    logs = sqlite_storage.SQLiteStorage.get_logs("project", "run")
    assert [row["val/nll"] for row in logs] == [2.5]
    assert list(tmp_path.glob("project*"))


def test_the_end_of_a_run_names_the_next_two_commands(
    train_tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_tiny(tmp_path, "trainer.max_epochs=1")
    lines = capsys.readouterr().out.splitlines()
    said = {line.split()[0]: line for line in lines if " listen " in line or " generate " in line}
    assert said["listen"].endswith(f"noternn listen {tmp_path}")
    assert said["compose"].endswith(f"noternn generate {tmp_path} -o more.mid")
