"""The epochs of a run, read from its metrics.csv."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from noternn.errors import UserError
from noternn.runs.folder import RunFolder
from noternn.tables import read_csv

Row = dict[str, float]
MAX_EPOCH = 1e9
NEEDED = ("epoch", "train/nll", "train_eval/nll", "val/nll", "gap/nll", "val/nats_per_note")


def read_epochs(run_dir: Path) -> list[Row]:
    """The rows of a run's metrics.csv; none before its first epoch has ended.

    Raises:
        UserError: if it is no table of losses.
    """
    path = RunFolder(run_dir).metrics
    try:
        rows = read_csv(path)
        whole = [row for row in rows if all(math.isfinite(row[name]) for name in NEEDED)]
        if any(not 0 < row["epoch"] <= MAX_EPOCH for row in whole):
            raise ValueError("an epoch is none")
        return whole
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path.name}: no table of losses: {error}") from error


def best_row(rows: Sequence[Row]) -> Row:
    """The first row with the lowest validation nll."""
    return min(rows, key=lambda row: row["val/nll"])


def so_far(rows: Sequence[Row]) -> dict[str, float]:
    """What a run that is not finished came to, by the names that summary.json has for it."""
    if not rows:
        return {"num_epochs": 0}
    best, last = best_row(rows), rows[-1]
    return {
        **{name: best[name] for name in ("val/nll", "val/nats_per_note", "gap/nll")},
        "best_epoch": int(best["epoch"]),
        "num_epochs": int(last["epoch"]),
        **{name: last[name] for name in ("seconds", "cpu_seconds") if name in last},
    }
