"""Folders of runs that look as if training had written them, in no time and in any number."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from noternn.runs.epochs import best_row
from noternn.tables import write_csv
from noternn.training.callbacks import COLUMNS

NOTES_PER_TOKEN = 0.5


def write_run(
    run_dir: Path,
    *overrides: str,
    val_nll: tuple[float, ...] = (2.0, 1.5, 1.25, 1.75),
    status: str = "finished",
    tokenizer: str = "event",
    dataset: str = "bach",
    error: str = "no such thing",
) -> Path:
    """Write a run; of one that failed with the reason, of one that is `running` without a summary.

    Args:
        run_dir: its folder.
        overrides: settings such as `model.dropout=0.5`; one without a dot chooses an option.
        val_nll: of each epoch.
        status: finished, running or failed.
        tokenizer, dataset: their names.
        error: why it failed.
    """
    _write_settings(run_dir / ".hydra", list(overrides), tokenizer, dataset)
    rows = [_row(epoch, nll) for epoch, nll in enumerate(val_nll, start=1)]
    for row, best in zip(rows, accumulate(rows, lambda *both: best_row(both)), strict=True):
        row["best_epoch"] = best["epoch"]
    if rows:
        write_csv(run_dir / "metrics.csv", rows, COLUMNS)
    if status == "failed":
        _write_summary(run_dir, {"status": status, "error": error})
    if status == "finished":
        versions = {"noternn": "0.1.0", "torch": "2.13.0"}
        best = best_row(rows)
        results = {name: best[name] for name in ("val/nll", "val/nats_per_note", "gap/nll", "train_eval/nll")}
        results |= {"best_epoch": int(best["epoch"]), "num_epochs": len(rows), "num_parameters": 811_496}
        results |= {"num_train_notes": 1000, "train_fraction": 1.0}
        results |= {"seconds": 10.0 * len(rows), "verdict": "a verdict", "advice": ["try more music"]}
        _write_summary(run_dir, {"status": status, **results, "versions": versions})
    return run_dir


def _row(epoch: int, nll: float) -> dict[str, float]:
    row = dict.fromkeys(COLUMNS, 0.0) | {"epoch": epoch, "train/nll": nll + 0.1, "val/nll": nll}
    row |= {
        "val/nll_low": nll - 0.1,
        "val/nll_high": nll + 0.2,
        "train_eval/nll": nll - 0.02 * epoch,
        "gap/nll": 0.02 * epoch,
        "seconds": 10.0 * epoch,
        "cpu_seconds": 10.0 * epoch,
    }
    return row | {"val/nats_per_note": nll / NOTES_PER_TOKEN}


def _write_summary(run_dir: Path, summary: dict[str, Any]) -> None:
    (run_dir / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def _write_settings(folder: Path, overrides: list[str], tokenizer: str, dataset: str) -> None:
    config: dict[str, Any] = {
        "dataset": {"name": dataset},
        "tokenizer": {"name": tokenizer},
        "model": {"dropout": 0.4, "num_layers": 1},
        "optimizer": {"name": "AdamW", "lr": 0.002},
        "seed": 0,
    }
    choices = {"dataset": dataset, "tokenizer": tokenizer, "optimizer": "adamw", "experiment": None}
    given = [override.split("=", 1) for override in overrides]
    for name, value in sorted(given, key=lambda pair: "." in pair[0]):  # options, then what is in them
        section, _, leaf = name.partition(".")
        if leaf:
            config.setdefault(section, {})[leaf] = yaml.safe_load(value)
        elif name == "seed":
            config["seed"] = int(value)
        else:
            choices[name] = value
            if name in config:
                config[name] = {"name": value, "lr": 0.001}
    folder.mkdir(parents=True)
    hydra = {"hydra": {"runtime": {"version": "1.3.8", "choices": choices | {"hydra/launcher": "basic"}}}}
    for file, content in (("config", config), ("hydra", hydra), ("overrides", overrides)):
        (folder / f"{file}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
