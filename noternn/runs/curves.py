"""What a run or a sweep came to, from the files it wrote: words, curves and tables."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from noternn.errors import UserError
from noternn.files import replacing
from noternn.runs.summary import FILE_NAME as SUMMARY
from noternn.runs.summary import read_summary
from noternn.tables import read_csv

Row = dict[str, float]
STATUSES = ("finished", "pruned", "stopped", "failed")  # of a run, in the order of tables
MAX_CURES = 3  # in the advice, which is read, not worked through
NEEDED = ("epoch", "train/nll", "train_eval/nll", "val/nll", "gap/nll", "val/nats_per_note")
FEW_PIECES = (
    10  # with another ten chorales the mean changes by about a tenth of a nat a note (standard error)
)


def read_epochs(run_dir: Path) -> list[Row]:
    """The rows of a run's metrics.csv; none before its first epoch has ended.

    Raises:
        UserError: if it is no table of losses.
    """
    path = run_dir / "metrics.csv"
    try:
        rows = read_csv(path)
        return [row for row in rows if all(math.isfinite(row[name]) for name in NEEDED)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"{path.name}: no table of losses: {error}") from error


def save_curves(
    metrics_path: Path, path: Path, title: str = "", audits: Sequence[Mapping[str, float]] = ()
) -> None:
    """Draw training against validation, with the best epoch marked and the gap below.

    Args:
        metrics_path: metrics.csv.
        path: the picture.
        title: what stands above it.
        audits: rows of audit.csv: how much samples copy is drawn below the gap where there are any.
    """
    rows = read_csv(metrics_path)
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    heights = (3, 1, 1) if audits else (3, 1)
    loss, gap, *others = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    best = best_row(rows)
    draw_losses(loss, rows)
    loss.set_ylabel("nll (nats per token)")
    loss.set_title(f"{title}\n{verdict(rows)}" if title else verdict(rows), fontsize=11)
    loss.legend(fontsize=9)
    gap.plot([r["epoch"] for r in rows], [r["gap/nll"] for r in rows], color="tab:purple", **_points(rows))
    gap.axvline(best["epoch"], color="black", linewidth=1, linestyle=":")
    gap.axhline(0, color="gray", linewidth=0.8)
    gap.set_ylabel("gap/nll")
    for copied in others:
        shares = [100 * row["audit/copied_16"] for row in audits]
        copied.plot([row["epoch"] for row in audits], shares, "o-", color="tab:green", markersize=4)
        copied.axvline(best["epoch"], color="black", linewidth=1, linestyle=":")
        copied.set_ylabel("copied (%)")
        copied.set_ylim(bottom=0, top=max(5, 1.1 * max(shares)))
    bottom = others[-1] if others else gap
    bottom.set_xlabel("epoch")
    bottom.xaxis.get_major_locator().set_params(integer=True)
    for axes in (loss, gap, *others):
        axes.grid(alpha=0.25)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)


def draw_losses(
    axes: Axes,
    rows: Sequence[Row],
    *,
    validation: str = "tab:red",
    training: str = "tab:blue",
    ink: str = "black",
) -> None:
    """Draw the losses of a run, with labels and the best epoch marked, in the colors that are named."""
    epochs, best = [row["epoch"] for row in rows], best_row(rows)
    axes.plot(
        epochs, [r["val/nll"] for r in rows],
        color=validation, label="val/nll: held-out pieces", **_points(rows),
    )  # fmt: skip
    axes.plot(
        epochs, [r["train_eval/nll"] for r in rows],
        color=training, label="train_eval/nll: training pieces, same weights", **_points(rows),
    )  # fmt: skip
    axes.plot(
        epochs, [r["train/nll"] for r in rows],
        color=training, alpha=0.45, linestyle="--", label="train/nll: running, with dropout",
    )  # fmt: skip
    axes.axvline(best["epoch"], color=ink, linewidth=1, linestyle=":")
    axes.plot(best["epoch"], best["val/nll"], "*", color=ink, markersize=13, linestyle="none",
              label=f"best: epoch {best['epoch']:.0f}, val/nll {best['val/nll']:.3f}")  # fmt: skip


def _points(rows: Sequence[Row]) -> dict[str, Any]:
    """A point an epoch while there are few."""
    return {"marker": "o" if len(rows) < 40 else None, "markersize": 3}


def verdict(rows: Sequence[Row]) -> str:
    """In words, what happened to the run, see `Outcome`."""
    best, last = best_row(rows), rows[-1]
    where = f"best at epoch {best['epoch']:.0f} of {last['epoch']:.0f}"
    rise = last["val/nats_per_note"] - best["val/nats_per_note"]
    rose = f"rose by {rise:.2f} nats a note" if rise >= 0.005 else "stayed where it was"
    return {
        Outcome.STILL_LEARNING: f"{where}: validation was still falling",
        Outcome.SETTLED: f"{where}: validation has come to rest",
        Outcome.MEMORIZED: f"{where}; from there validation {rose} while training fell: memorizing",
        Outcome.STALLED: f"{where}; from there validation {rose} and training fell no more: learning ended",
    }[outcome(rows)]


class Outcome(Enum):
    """What became of a run after its best epoch.

    Args:
        STILL_LEARNING: there is nothing after it: validation was best at the last epoch.
        SETTLED: `val/nll` fell by less than 1 % over the last quarter of the epochs, in which it was best,
            and is less than 0.1 % above its best at the end.
        MEMORIZED: `train_eval/nll` went on falling, and `val/nll` did not: pieces are learned by heart.
        STALLED: neither fell: the steps are too large, or the run diverges.
    """

    STILL_LEARNING = "still learning"
    SETTLED = "settled"
    MEMORIZED = "memorized"
    STALLED = "stalled"


def outcome(rows: Sequence[Row]) -> Outcome:
    """What became of a run, from the rows of its metrics.csv."""
    best, last = best_row(rows), rows[-1]
    before = rows[-1 - len(rows) // 4]
    is_late = len(rows) >= 4 and best["epoch"] > before["epoch"]
    is_level = 0.99 * before["val/nll"] < last["val/nll"] < 1.001 * best["val/nll"]
    fell = last["train_eval/nll"] < best["train_eval/nll"]
    if is_late and is_level and (fell or best is last):
        return Outcome.SETTLED
    if best["epoch"] == last["epoch"]:
        return Outcome.STILL_LEARNING
    return Outcome.MEMORIZED if fell else Outcome.STALLED


def best_row(rows: Sequence[Row]) -> Row:
    """The first row with the lowest validation nll."""
    return min(rows, key=lambda row: row["val/nll"])


def advice(rows: Sequence[Row], config: Mapping[str, Any], num_validation_pieces: int) -> list[str]:
    """What to try next, a line each: only settings that exist, and nothing that the run already has.

    Args:
        rows: of its metrics.csv.
        config: the run's, as plain data.
        num_validation_pieces: pieces that its validation is measured on.
    """
    become = outcome(rows)
    if become is Outcome.MEMORIZED:
        cures = [*_cures(config, int(best_row(rows)["epoch"])), *_smaller(config)]
        lines = [f"try, what helped most first: {'; '.join([*cures[:MAX_CURES], 'more music'])}"]
    elif become is Outcome.SETTLED:
        cures = _cures(config, len(rows)) if _knows_its_pieces(rows[-1]) else _larger(config)
        lines = [f"try {'; '.join([*cures[:MAX_CURES], 'more music'])}"]
    elif become is Outcome.STILL_LEARNING:
        lines = [f"try {'; then '.join(_more_learning(rows[-1], config))}"]
    else:
        lines = [f"try {' and '.join(_smaller_steps(config))}"]
    if num_validation_pieces < FEW_PIECES:
        pieces = "1 piece is" if num_validation_pieces == 1 else f"{num_validation_pieces} pieces are"
        larger = min(0.5, max(0.2, 2 * config["dataset"]["validation_fraction"]))
        lines.append(
            f"only {pieces} validated on, so these figures may be chance: "
            f"try several seeds, dataset.validation_fraction={larger:g} or more music"
        )
    return lines


def _cures(config: Mapping[str, Any], best_epoch: int) -> list[str]:
    """Settings against memorizing that the run lacks, ordered by what the default loses without each.

    See experiments/ablation: on chorales and tunes most by far without intervals, then without dropout,
    weight decay and, on few chorales, transposition; on six tracks of game music without weight decay.
    Less of it than the default's 0.6 only helps where music is plenty and the network does not memorize.
    """
    model, optimizer, epochs = config["model"], config["optimizer"], config["trainer"]["max_epochs"]
    is_decayed = optimizer["name"] == "AdamW" and optimizer["weight_decay"] >= 0.6
    cures = {
        "model.num_pitches=8 model.pitch_channels=16": not model["num_pitches"],
        "model.dropout=0.5": model["dropout"] < 0.4,
        "optimizer=adamw optimizer.weight_decay=0.6": not is_decayed,
        "augmentation=transpose": not config["augmentation"]["transpose"],
        "module.ema_decay=0.995": not config["module"]["ema_decay"],
        f"schedule=cosine trainer.max_epochs={best_epoch}": not _is_falling(config)
        or epochs > 1.5 * best_epoch,
    }
    return [setting for setting, is_lacking in cures.items() if is_lacking]


def _more_learning(last: Row, config: Mapping[str, Any]) -> list[str]:
    """More epochs, and more units or, where the network knows its training pieces much better, a cure."""
    num_epochs = 2 * int(last["epoch"])
    more = [f"more epochs: trainer.max_epochs={num_epochs}"]
    if not _knows_its_pieces(last):
        return [*more, *_larger(config)]
    cures = _cures(config, max(num_epochs, config["trainer"]["max_epochs"]))  # no earlier end among them
    return [*more, *(f"for its gap: {cure}" for cure in cures[:1])]


def _smaller(config: Mapping[str, Any]) -> list[str]:
    return [f"model.hidden_size={max(1, config['model']['hidden_size'] // 2)}"]


def _larger(config: Mapping[str, Any]) -> list[str]:
    return [f"a larger network: model.hidden_size={2 * config['model']['hidden_size']}"]


def _knows_its_pieces(last: Row) -> bool:
    """Whether training pieces are much better known than others."""
    return last["gap/nll"] >= 0.1 * last["val/nll"]


def _is_falling(config: Mapping[str, Any]) -> bool:
    """Whether the learning rate is lowered in the course of a run."""
    return bool(config["schedule"]["name"] != "constant")


def _smaller_steps(config: Mapping[str, Any]) -> list[str]:
    """Settings that calm a run which no longer learns."""
    calm = [f"optimizer.lr={config['optimizer']['lr'] / 4:g}"]
    if not _is_falling(config):
        calm.append("schedule=cosine")
    if config["trainer"]["gradient_clip_val"] is None:
        calm.append("trainer.gradient_clip_val=1")
    return calm


def sweep_rows(sweep_dir: Path) -> list[dict[str, Any]]:
    """What the jobs below a folder came to: those that finished by val/nll, then pruned, stopped and failed.

    A job without a summary was stopped: its figures are those of the epochs that it saved.
    """
    traces = (SUMMARY, "metrics.csv", ".hydra")
    folders = {path.parent for trace in traces for path in sweep_dir.rglob(trace)}
    rows = [{"job": str(folder.relative_to(sweep_dir)), **_job_row(folder)} for folder in sorted(folders)]
    return sorted(rows, key=lambda row: (STATUSES.index(row["status"]), row.get("val/nll", float("inf"))))


def _job_row(folder: Path) -> dict[str, Any]:
    summary = read_summary(folder)
    if summary:
        return summary
    try:
        rows = read_epochs(folder)
    except UserError as error:
        return {"status": "stopped", "num_epochs": 0, "error": str(error)}
    return {"status": "stopped", **so_far(rows)}


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


def save_learning_curve(rows: Sequence[Mapping[str, Any]], path: Path) -> bool:
    """Draw validation against the size of the training split, where the jobs of a sweep differ in it.

    What else the jobs differ in makes a line each, but for seeds: a line goes through their means.

    Args:
        rows: of the sweep, see `sweep_rows`.
        path: the picture.

    Returns:
        whether there was something to draw: finished jobs of several `train_fraction`.
    """
    finished = [row for row in rows if row["status"] == "finished"]
    if len({row["train_fraction"] for row in finished}) < 2:
        return False
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(finished, key=lambda row: row["job"]):
        lines.setdefault(_what_else_differs(row["job"]), []).append(row)
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for i, (label, line) in enumerate(lines.items()):
        _draw_line(axes, label, line, f"C{i}")
    _scale_by_notes(axes)
    if len(lines) > 1:
        axes.legend(fontsize=9)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)
    return True


def _what_else_differs(job: str) -> str:
    """A job's name without the size of its training split and its seed."""
    parts = [part for part in job.split(",") if not part.startswith(("dataset.train_fraction=", "seed="))]
    return ",".join(parts)


def _draw_line(axes: Axes, label: str, rows: Sequence[Mapping[str, Any]], color: str) -> None:
    """A point a job, a line through the means of each `train_fraction`, and how much each step of it buys."""
    notes, nats = np.array([[row["num_train_notes"], row["val/nats_per_note"]] for row in rows], float).T
    fractions = np.array([row["train_fraction"] for row in rows])
    alike = [fractions == fraction for fraction in np.unique(fractions)]
    means = [(float(notes[jobs].mean()), float(nats[jobs].mean())) for jobs in alike]
    axes.plot(notes, nats, "o", color=color, markersize=4, alpha=0.6)
    axes.plot(*zip(*means, strict=True), color=color, label=label)
    for (notes_before, before), (notes_after, after) in pairwise(means):
        middle = ((notes_before * notes_after) ** 0.5, (before + after) / 2)
        axes.annotate(
            f"{after - before:+.2f}", middle, (5, 5), textcoords="offset points", fontsize=9, color=color
        )


def _scale_by_notes(axes: Axes) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator([1000 * 2.0**i for i in range(-5, 20)]))
    axes.xaxis.set_major_formatter(lambda notes, _: f"{notes:,.0f}")
    axes.set_xlabel("notes to train on")
    axes.set_ylabel("val/nats_per_note at the best epoch")
    axes.set_title("What more music buys, in nats a note from one size to the next", fontsize=11)
    axes.grid(alpha=0.25)


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
CSV_COLUMNS = (*SWEEP_COLUMNS, "cpu_seconds", "num_train_notes", "error")
