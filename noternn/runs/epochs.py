"""The epochs of a run, read from its metrics.csv."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from noternn.errors import UserError
from noternn.runs.folder import RunFolder
from noternn.tables import read_csv

Row = dict[str, float]
MAX_EPOCH = 1e9
NEEDED = ("epoch", "train/nll", "train_eval/nll", "val/nll", "gap/nll", "val/nats_per_note")
# Between these val/nll of other such pieces would lie, see `metrics.interval`. Rows of few pieces, and of
# earlier versions, lack them.
INTERVAL = ("val/nll_low", "val/nll_high")


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


def interval_of(figures: Mapping[str, Any]) -> tuple[float, float] | None:
    """The interval around val/nll in an epoch's row or a run's summary; None where none is told."""
    low, high = (figures.get(name, math.nan) for name in INTERVAL)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


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
