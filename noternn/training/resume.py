"""What makes a run resumable: the settings that it began with, and training that is left to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from noternn.config.schema import Config
from noternn.errors import UserError
from noternn.runs.summary import read_summary
from noternn.training.callbacks import OverfittingCurve

# A run goes on only if these sections are as they were.
SECTIONS = (
    "tokenizer",
    "augmentation",
    "model",
    "module",
    "optimizer",
    "schedule",
    "dataset",
    "datamodule",
    "trainer",
)
# Of these sections what decides a result; the other settings are places (the files are compared) and speed.
DECISIVE = {
    "dataset": ("tracks", "pedal", "limits", "validation_fraction", "test_fraction", "train_fraction"),
    "datamodule": ("batch_size", "window_length"),
    "trainer": ("limit_train_batches",),
}


def check_resumable(config: Config, plain: dict[str, Any], checkpoint: dict[str, Any], run_dir: Path) -> None:
    """Refuse a run that is over, or one that would go on as another than it began.

    Args:
        config: the settings that it shall go on with.
        plain: the same as plain data.
        checkpoint: what last.ckpt holds.
        run_dir: the run's folder.

    Raises:
        UserError: names the setting that differs, or says what to give for more training.
    """
    before = checkpoint["noternn"]["config"]
    for section in SECTIONS:
        names = DECISIVE.get(section, plain[section])
        if section == "optimizer" and isinstance(config.optimizer, dict):  # its file may have lost a line
            names = {**before[section], **plain[section]}
        for name in names:
            if before[section].get(name) != plain[section].get(name):
                _refuse_change(
                    config, f"{section}.{name}", before[section].get(name), plain[section].get(name)
                )
    if before["seed"] != config.seed:
        _refuse_change(config, "seed", before["seed"], config.seed)
    if is_trained(config, checkpoint) and _is_finished(run_dir):
        raise UserError(
            f"resume={config.resume}: this run is over; "
            "to go on give more trainer.max_epochs or early_stopping=none"
        )


def is_trained(config: Config, checkpoint: dict[str, Any]) -> bool:
    """Whether a checkpoint stands at the end of the training that the configuration asks for."""
    callbacks = checkpoint["callbacks"]
    num_epochs = len(callbacks[OverfittingCurve.__name__]["rows"])
    stopping = [state for name, state in callbacks.items() if "EarlyStopping" in name]
    patience = config.early_stopping.patience
    stopped = bool(stopping) and patience is not None and stopping[0]["wait_count"] >= patience
    return stopped or num_epochs >= config.trainer.max_epochs


def _is_finished(run_dir: Path) -> bool:
    """Whether a run has left its results, the last of its files."""
    summary = read_summary(run_dir)
    return summary is not None and summary["status"] == "finished"


def _refuse_change(config: Config, name: str, before: object, value: object) -> NoReturn:
    raise UserError(
        f"resume={config.resume}: it was trained with {name}={before}, not {value}; "
        "keep it, or start a new run"
    )
