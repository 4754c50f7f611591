"""Lightning's callbacks that only watch: chosen by name, checked in one line, told to the logger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from noternn.config import schema
from noternn.config.schema import CONF_DIR, Config
from noternn.errors import UserError
from noternn.training.monitors import build_monitors, check_monitors
from tests.helpers import rows_of


def composed(*overrides: str) -> Config:
    schema.register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return schema.parse(compose("config", list(overrides)))


def test_no_callback_is_chosen_unless_asked_for() -> None:
    assert composed().callbacks == {}


def test_several_options_are_taken_together() -> None:
    chosen = composed("callbacks=[device_stats,learning_rate]").callbacks
    names = [type(monitor).__name__ for monitor in build_monitors(chosen)]
    assert names == ["DeviceStatsMonitor", "LearningRateMonitor"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"log_momentums": True}, r"LearningRateMonitor\.log_momentums: .*did you mean log_momentum\?"),
        ({"_target_": "os.system"}, r"LearningRateMonitor\._target_: there is no such argument"),
        ({"logging_interval": "hour"}, "logging_interval=hour: .*epoch"),
    ],
)
def test_an_argument_that_lightning_does_not_take_is_refused_in_one_line(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        check_monitors({"LearningRateMonitor": given})
    assert "\n" not in str(refused.value)


def test_a_wrong_argument_is_told_before_data_is_read(train_tiny: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    with pytest.raises(UserError, match="there is no such argument"):
        train_tiny(tmp_path, "callbacks=learning_rate", "+callbacks.LearningRateMonitor.every=1", *LISTENS)
    assert not (tmp_path / "split.json").exists()


def test_a_callback_whose_library_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noternn.errors.find_spec", lambda _: None)
    with pytest.raises(UserError, match="callbacks=DeviceStatsMonitor: psutil is not installed"):
        check_monitors({"DeviceStatsMonitor": {"cpu_stats": True}})
    check_monitors({"DeviceStatsMonitor": {"cpu_stats": False}})


LISTENS = ("logger=tensorboard", "trainer.max_epochs=2")


@pytest.mark.parametrize(("option", "told"), [("learning_rate", "lr-"), ("device_stats", "cpu")])
def test_the_logger_is_told_and_the_results_stay(
    train_tiny: Any, tmp_path: Path, option: str, told: str
) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    if option == "device_stats":
        pytest.importorskip("psutil", reason="needs the extra psutil")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    watched, alone = tmp_path / "watched", tmp_path / "alone"
    for run, options in ((watched, [f"callbacks={option}"]), (alone, [])):
        run.mkdir()
        train_tiny(run, *LISTENS, *options)
    assert rows_of(watched) == rows_of(alone)
    events = EventAccumulator(str(watched / "tensorboard"))
    events.Reload()
    assert any(told in tag for tag in events.Tags()["scalars"])


def test_a_run_begun_without_callbacks_goes_on_with_one(train_tiny: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    run, whole = tmp_path / "run", tmp_path / "whole"
    for folder in (run, whole):
        folder.mkdir()
    options = ("schedule=constant", "logger=tensorboard")
    train_tiny(run, *options, "trainer.max_epochs=1")
    train_tiny(run, *options, "trainer.max_epochs=2", "callbacks=learning_rate", f"resume={run}")
    train_tiny(whole, *options, "trainer.max_epochs=2")
    assert rows_of(run) == rows_of(whole)
