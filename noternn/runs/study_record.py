"""A recorded study: its table in a README, its results and its pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from noternn.errors import UserError
from noternn.files import replacing, write_text
from noternn.runs.curves import save_learning_curve
from noternn.runs.estimates import Estimate
from noternn.runs.study import Arm, FinishedRun, Study, save_results, training_nats_per_note

MARKERS = re.compile(
    r"(<!-- results(?:: baseline=(?P<baseline>.*?))? -->\n).*?(<!-- end of results -->)", re.S
)
MAX_IN_ROW = 3  # panels of a picture
MAX_CURVES = 6  # arms whose curves can be told apart

NEW_README = """\
# {name}

**Question.**

**Command.**

**Setup.**

**Result.** [results.csv](results.csv) has a row a run. Nats a note on validation at the best epoch, mean
and half the width of the 95 % confidence interval over seeds; differences seed by seed, in bold where they
are beyond that spread; the gap between training and validation at that epoch; how much validation rose until
the last; the processor's seconds until the best.

<!-- results -->
<!-- end of results -->

![the arms](results.png)

**Answer.**
"""


def record(study: Study, target: Path) -> list[Path]:
    """Write a study's table, figures and README; of a README that is there only the table is replaced.

    Returns:
        the files that were written.
    """
    target.mkdir(parents=True, exist_ok=True)
    results, readme, picture = target / "results.csv", target / "README.md", target / "results.png"
    save_results(study, results)
    save_picture(study, picture)
    text = readme.read_text(encoding="utf-8") if readme.exists() else NEW_README.format(name=target.name)
    write_text(readme, with_table(text, study))
    written = [results, readme, picture]
    curves = target / "curves.png"
    if save_curves(study, curves):
        written.append(curves)
    learning = target / "learning_curve.png"
    if save_learning_curve(study.sweep_rows, learning):
        written.append(learning)
    return written


def as_markdown(study: Study) -> str:
    """A table a dataset; what lies beyond the spread of the seeds is in bold."""
    return "\n".join(_table_of(study, dataset) for dataset in study.datasets)


def _table_of(study: Study, dataset: str) -> str:
    rows = study.rows(dataset)
    mean = float(np.mean([run["num_train_notes"] for row in rows for run in row.runs]))
    notes = f"{round(mean):,}" if math.isfinite(mean) else "an unknown number of"
    seeds = sorted({run.seed for row in rows for run in row.runs})
    lines = [
        f"`{dataset}`, {notes} notes to train on, seeds {', '.join(map(str, seeds))}:",
        "",
        "| arm | nats a note | difference | gap | rise after the best | best epoch | CPU seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_line(row, is_baseline=row.arm == study.baseline) for row in rows]
    edges = [edge for row in rows for edge in row.edges]
    if edges:
        lines += ["", f"The best is at the edge of what was tried: {'; '.join(edges)}."]
    return "\n".join([*lines, ""])


def _line(row: Arm, *, is_baseline: bool) -> str:
    nats = row.over_seeds("val/nats_per_note")
    gap = nats.mean - row.over_seeds("train_eval/nats_per_note").mean
    rise = row.over_seeds("last/val/nats_per_note").mean - nats.mean
    cells = [
        f"`{row.arm}`",
        _with_spread(nats, "{:.3f}"),
        "" if is_baseline else _difference(row.difference),
        f"{gap:.2f}",
        f"{rise:.2f}",
        f"{row.over_seeds('best_epoch').mean:.0f} of {row.over_seeds('num_epochs').mean:.0f}",
        f"{row.over_seeds('cpu_seconds').mean:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _with_spread(value: Estimate, form: str) -> str:
    return form.format(value.mean) + (f" ± {value.spread:.3f}" if value.num_values > 1 else "")


def _difference(value: Estimate) -> str:
    if not value.num_values:
        return "no seed in common"
    text = _with_spread(value, "{:+.3f}")
    return f"**{text}**" if value.num_values > 1 and value.is_beyond_spread else text


def with_table(text: str, study: Study) -> str:
    """A README with its table replaced by the study's.

    Raises:
        UserError: if it has no place for a table.
    """
    if not MARKERS.search(text):
        raise UserError("its README has no place for the table: <!-- results --> and <!-- end of results -->")
    table = f"<!-- results: baseline={study.baseline} -->\n{as_markdown(study)}"
    return MARKERS.sub(lambda found: table + found.group(3), text)


def baseline_of(text: str) -> str | None:
    """The baseline that a README's table was made with."""
    found = MARKERS.search(text)
    return found.group("baseline") if found else None


def save_picture(study: Study, path: Path) -> None:
    """Draw the arms' differences to the baseline on each dataset: a point a run, the mean, its interval."""
    rows = {dataset: study.rows(dataset) for dataset in study.datasets}
    height = 1.3 + 0.3 * max(map(len, rows.values()))
    figure, panels = _panels(study.datasets, 3 + 4.2 * min(len(rows), MAX_IN_ROW), height)
    for dataset, arms in rows.items():
        axes = panels[dataset]
        _draw_arms(axes, arms, study.baseline)
        axes.set_title(dataset, fontsize=11)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _panels(datasets: Sequence[str], width: float, height: float) -> tuple[Figure, dict[str, Axes]]:
    """A figure with a panel a dataset, a few in a row, and its sizes in inches: of it all, and of a row."""
    num_rows = -(-len(datasets) // MAX_IN_ROW)
    figure = Figure(figsize=(width, height * num_rows), layout="constrained")
    FigureCanvasAgg(figure)
    in_row = min(len(datasets), MAX_IN_ROW)
    panels = {name: figure.add_subplot(num_rows, in_row, k) for k, name in enumerate(datasets, start=1)}
    return figure, panels


def _draw_arms(axes: Axes, rows: Sequence[Arm], baseline: str) -> None:
    """Differences to the baseline: where each seed has a split of its own, levels say less."""
    for y, row in enumerate(rows):
        color = "black" if row.arm == baseline else "tab:blue"
        axes.plot(row.differences, [y] * len(row.differences), "o", color=color, markersize=4, alpha=0.4)
        xerr = np.nan_to_num(row.difference.spread)
        axes.errorbar(row.difference.mean, y, xerr=xerr, fmt="D", color=color, markersize=5)
    axes.axvline(0, color="black", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(rows)), [row.arm for row in rows], fontsize=9)
    axes.invert_yaxis()
    axes.locator_params(axis="x", nbins=5)  # more numbers would touch each other
    axes.set_xlabel(f"validation, nats a note more than\n{baseline}")
    axes.grid(alpha=0.25)


def save_curves(study: Study, path: Path) -> bool:
    """Draw validation and training over the epochs, if there are few enough arms to be told apart.

    Returns:
        whether they are.
    """
    arms = list(dict.fromkeys(run.arm for run in study.runs))
    if len(arms) > MAX_CURVES:
        return False
    figure, panels = _panels(study.datasets, 6.5 * min(len(study.datasets), MAX_IN_ROW), 5)
    for run in study.runs:
        _draw_curves(panels[run.dataset], run, f"C{arms.index(run.arm)}")
    for dataset, axes in panels.items():
        for i, arm in enumerate(arms):
            axes.plot([], [], color=f"C{i}", label=arm)
        axes.plot([], [], color="gray", linestyle="--", label="on training pieces")
        axes.set_title(dataset, fontsize=11)
        axes.set_xlabel("epoch")
        axes.set_ylabel("nats a note")
        axes.legend(fontsize=9)
        axes.grid(alpha=0.25)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)
    return True


def _draw_curves(axes: Axes, run: FinishedRun, color: str) -> None:
    epochs = [row["epoch"] for row in run.epochs]
    axes.plot(epochs, [row["val/nats_per_note"] for row in run.epochs], color=color, linewidth=1.2)
    axes.plot(epochs, list(map(training_nats_per_note, run.epochs)), "--", color=color, linewidth=0.8)
    axes.plot(run["best_epoch"], run["val/nats_per_note"], "*", color=color, markersize=10)
