"""What a run or a sweep came to, from the files it wrote: words, curves and tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from noternn.files import replacing
from noternn.tables import read_csv

Row = dict[str, float]


def save_curves(metrics_path: Path, path: Path, title: str = "") -> None:
    """Draw training against validation, with the best epoch marked and the gap below."""
    rows = read_csv(metrics_path)
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    loss, gap = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    epochs = [row["epoch"] for row in rows]
    best = min(rows, key=lambda row: row["val/nll"])
    marker = "o" if len(rows) < 40 else None
    style: dict[str, Any] = {"marker": marker, "markersize": 3}
    loss.plot(
        epochs, [r["val/nll"] for r in rows], color="tab:red", label="val/nll: held-out pieces", **style
    )
    loss.plot(
        epochs, [r["train_eval/nll"] for r in rows],
        color="tab:blue", label="train_eval/nll: training pieces, same weights", **style,
    )  # fmt: skip
    loss.plot(
        epochs, [r["train/nll"] for r in rows],
        color="tab:blue", alpha=0.45, linestyle="--", label="train/nll: running, with dropout",
    )  # fmt: skip
    loss.axvline(best["epoch"], color="black", linewidth=1, linestyle=":")
    loss.plot(best["epoch"], best["val/nll"], "*", color="black", markersize=13, linestyle="none",
              label=f"best: epoch {best['epoch']:.0f}, val/nll {best['val/nll']:.3f}")  # fmt: skip
    loss.set_ylabel("nll (nats per token)")
    loss.set_title(f"{title}\n{verdict(rows)}" if title else verdict(rows), fontsize=11)
    loss.legend(fontsize=9)
    gap.plot(epochs, [r["gap/nll"] for r in rows], color="tab:purple", **style)
    gap.axvline(best["epoch"], color="black", linewidth=1, linestyle=":")
    gap.axhline(0, color="gray", linewidth=0.8)
    gap.set_ylabel("gap/nll")
    gap.set_xlabel("epoch")
    gap.xaxis.get_major_locator().set_params(integer=True)
    for axes in (loss, gap):
        axes.grid(alpha=0.25)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)


def verdict(rows: Sequence[Row]) -> str:
    """In words, whether the run overfitted.

    Past the best epoch, a rise of val/nll while train_eval/nll falls is memorizing.
    """
    best = min(rows, key=lambda row: row["val/nll"])
    last = rows[-1]
    epoch, num_epochs = int(best["epoch"]), int(last["epoch"])
    if epoch == num_epochs:
        return f"val/nll is lowest at the last epoch ({num_epochs}): it may fall further with more epochs"
    rise = last["val/nll"] - best["val/nll"]
    fall = best["train_eval/nll"] - last["train_eval/nll"]
    where = f"best at epoch {epoch} of {num_epochs}"
    if fall <= 0:
        return f"{where}; neither loss improved from there: training had stopped learning"
    return (
        f"{where}; from there train_eval/nll fell by {fall:.3f} but val/nll did not ({rise:+.3f}): memorizing"
    )


def sweep_rows(sweep_dir: Path) -> list[dict[str, Any]]:
    """The summaries of all jobs below a folder, best val/nll first, failed ones last."""
    rows = []
    for path in sorted(sweep_dir.rglob("summary.json")):
        rows.append({"job": str(path.parent.relative_to(sweep_dir)), **json.loads(path.read_text("utf-8"))})
    return sorted(rows, key=lambda row: (row["status"] != "finished", row.get("val/nll", 0.0)))


SWEEP_COLUMNS = (
    "job",
    "val/nll",
    "val/nats_per_note",
    "gap/nll",
    "best_epoch",
    "num_epochs",
    "seconds",
    "status",
)
