"""Pictures of a run's losses and of what more music buys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from noternn.files import replacing
from noternn.runs.epochs import Row, best_row, interval_of
from noternn.runs.verdict import verdict
from noternn.tables import read_csv


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
        _draw_copied(copied, audits)
        copied.axvline(best["epoch"], color="black", linewidth=1, linestyle=":")
    bottom = others[-1] if others else gap
    bottom.set_xlabel("epoch")
    bottom.xaxis.get_major_locator().set_params(integer=True)
    for axes in (loss, gap, *others):
        axes.grid(alpha=0.25)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _draw_copied(axes: Axes, audits: Sequence[Mapping[str, float]]) -> None:
    """Draw how much the samples of each audited epoch copy, in percent."""
    lines = (
        ("audit/copied_16", "exact", "tab:green", "-"),
        ("audit/near_16", "wrong notes too", "tab:olive", ":"),
        ("audit/start_16", "of the start's music", "tab:brown", "--"),
    )
    highest = 0.0
    for column, label, color, style in lines:
        shares = [100 * row.get(column, math.nan) for row in audits]
        if column == "audit/start_16" and np.isnan(shares).all():
            continue
        axes.plot(
            [row["epoch"] for row in audits], shares, f"o{style}", color=color, markersize=3, label=label
        )
        highest = max(highest, float(np.nanmax([0, *shares])))
    axes.set_ylabel("copied (%)")
    axes.legend(fontsize=8)
    axes.set_ylim(bottom=0, top=max(5, 1.1 * highest))


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
    _shade(axes, rows, validation)


def _shade(axes: Axes, rows: Sequence[Row], color: str) -> None:
    """The interval around the validation loss, where it is known, as far as the axes reach already."""
    known = [(row["epoch"], around) for row in rows if (around := interval_of(row))]
    if known:
        limits, epochs = axes.get_ylim(), [epoch for epoch, _ in known]
        lows, highs = zip(*(around for _, around in known), strict=True)
        label = "val/nll: 95 % interval"
        axes.fill_between(epochs, lows, highs, color=color, alpha=0.15, linewidth=0, label=label)
        axes.set_ylim(limits)


def _points(rows: Sequence[Row]) -> dict[str, Any]:
    """A point an epoch while there are few."""
    return {"marker": "o" if len(rows) < 40 else None, "markersize": 3}


def save_learning_curve(rows: Sequence[Mapping[str, Any]], path: Path) -> bool:
    """Draw validation against the size of the training split, where the jobs of a sweep differ in it.

    What else the jobs differ in makes a line each, but for seeds: a line goes through their means.

    Args:
        rows: of the sweep, see `noternn.runs.sweep.sweep_rows`.
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
