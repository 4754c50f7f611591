"""Lightning's settings: those that a run takes, and those that it refuses with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from noternn.config import schema
from noternn.config.schema import CONF_DIR
from noternn.config.training import REFUSED, Trainer
from noternn.errors import UserError
from noternn.launch.explain import explained


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_that_cannot_be_exact_is_refused_with_the_reason(name: str) -> None:
    schema.register()
    overrides = [f"{name}=2"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):  # noqa: SIM117
        with pytest.raises(UserError) as refused, explained(overrides):
            compose("config", overrides)
    assert str(refused.value) == f"{name}: {REFUSED[name]}"


@pytest.mark.parametrize(
    "settings",
    [
        {"limit_train_batches": 0.0},
        {"limit_train_batches": 1.5},
        {"limit_train_batches": None, "max_time": "1h"},
        {"limit_train_batches": None, "max_time": "00:00:00:00"},
        {"profiler": "fast"},
    ],
)
def test_a_setting_outside_its_range_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="it must be"):
        Trainer(**settings)


def test_few_batches_of_an_epoch_are_trained_on_and_profiled(train_tiny: Any, tmp_path: Path) -> None:
    options = ["trainer.limit_train_batches=2", "trainer.max_epochs=2", "trainer.profiler=simple"]
    train_tiny(tmp_path, *options)
    last = (tmp_path / "metrics.csv").read_text().splitlines()[-1]
    assert last.startswith("2,4,")
    assert "run_training_batch" in next(tmp_path.glob("*profile*.txt")).read_text()


def test_a_run_whose_time_is_over_ends_with_its_epoch(train_tiny: Any, tmp_path: Path) -> None:
    summary = train_tiny(
        tmp_path, "trainer.max_time='00:00:00:01'", "trainer.max_epochs=500", "early_stopping=none"
    )
    assert 0 < summary["num_epochs"] < 500
