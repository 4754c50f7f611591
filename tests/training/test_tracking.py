"""wandb's own variables, by which its sweeps and agents call a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from noternn.training.tracking import track


def test_variables_of_wandb_count_where_the_settings_say_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    variables = {
        "WANDB_PROJECT": "games",
        "WANDB_NAME": "first",
        "WANDB_RUN_GROUP": "tries",
        "WANDB_RUN_ID": "abc123",
        "WANDB_DIR": str(tmp_path / "elsewhere"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with track("offline", "noternn", None, tmp_path / "run", None, {}) as tracker:
        run = tracker.run
        assert run is not None
        assert (run.project, run.name, run.group, run.id) == ("games", "first", "tries", "abc123")
        assert tracker.directory is not None
        assert tmp_path / "elsewhere" in tracker.directory.parents


def test_settings_count_before_variables_of_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "games")
    monkeypatch.setenv("WANDB_RUN_GROUP", "tries")
    with track("offline", "mine", None, tmp_path / "run", "a sweep", {}) as tracker:
        assert tracker.run is not None
        assert (tracker.run.project, tracker.run.group) == ("mine", "a sweep")


@pytest.mark.parametrize("value", ["true", "1"])
def test_wandb_can_be_disabled_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_DISABLED", value)
    with track("auto", "noternn", None, tmp_path / "run", None, {}) as tracker:
        assert tracker.run is None
