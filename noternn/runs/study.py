"""Sweeps -> a recorded study: a table of arms with the spread over seeds, from the files of their runs.

An arm is what some runs share but their seed. Arms are compared on one dataset, with the same seeds, that is
on the same split: a difference is the mean of the differences seed by seed.
"""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from noternn.errors import UserError
from noternn.files import replacing, write_text
from noternn.runs.comparison import ELSEWHERE, read_overrides, read_record
from noternn.runs.curves import save_learning_curve
from noternn.runs.epochs import best_row
from noternn.runs.sweep import sweep_rows
from noternn.tables import read_csv, write_csv

log = logging.getLogger(__name__)

MEASURES = (
    "val/nats_per_note",
    "train_eval/nats_per_note",
    "last/val/nats_per_note",
    "val/nll",
    "gap/nll",
    "best_epoch",
    "num_epochs",
    "cpu_seconds",
    "num_parameters",
    "num_train_notes",
)
MARKERS = re.compile(
    r"(<!-- results(?:: baseline=(?P<baseline>.*?))? -->\n).*?(<!-- end of results -->)", re.S
)
# Two-sided 95 % quantiles of Student's t by degrees of freedom; beyond them the normal distribution's serves.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160)
NORMAL_QUANTILE = 1.96
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


class Estimate(NamedTuple):
    """A mean over seeds.

    Args:
        mean: of the values.
        spread: half the width of the 95 % confidence interval, by Student's t; NaN for a single value.
        num_values: how many there are.
    """

    mean: float
    spread: float
    num_values: int

    @property
    def is_beyond_spread(self) -> bool:
        """Whether the interval leaves out 0."""
        return abs(self.mean) > self.spread


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of some values of equal weight, with its confidence interval."""
    count = len(values)
    if count < 2:
        return Estimate(float(values[0]) if count else float("nan"), float("nan"), count)
    quantile = T_QUANTILES[count - 2] if count - 2 < len(T_QUANTILES) else NORMAL_QUANTILE
    error = float(np.std(values, ddof=1)) / count**0.5
    return Estimate(float(np.mean(values)), quantile * error, count)


@dataclass(frozen=True)
class Run:
    """A finished run of a study.

    Args:
        dataset: its dataset's name.
        arm: what it differs in from others on the same dataset, but for the seed.
        seed: of its split, weights and training.
        measures: by the names in `MEASURES`; NaN what is not known.
        epochs: the rows of its metrics.csv; none where only its results are known.
    """

    dataset: str
    arm: str
    seed: int
    measures: Mapping[str, float]
    epochs: Sequence[Mapping[str, float]] = ()

    def __getitem__(self, name: str) -> float:
        return self.measures[name]


@dataclass(frozen=True)
class Row:
    """An arm on one dataset.

    Args:
        arm: its name.
        runs: one a seed.
        differences: to the baseline in nats a note, one for each seed that both have.
        edges: numbers with which it is the best of its kind and the least or largest tried.
    """

    arm: str
    runs: Sequence[Run]
    differences: Sequence[float]
    edges: Sequence[str] = ()

    @property
    def difference(self) -> Estimate:
        """The mean of the differences."""
        return estimate(self.differences)

    def over_seeds(self, name: str) -> Estimate:
        """The mean of a measure."""
        return estimate([run[name] for run in self.runs])


class Study:
    """The finished runs of some sweeps, by dataset and arm."""

    def __init__(
        self,
        runs: Sequence[Run],
        baseline: str | None = None,
        sweep_rows: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """
        Args:
            runs: in the order in which their arms are to stand.
            baseline: the arm that others are compared with; None takes the first.
            sweep_rows: what all jobs of its sweeps came to, see `runs.sweep.sweep_rows`.

        Raises:
            UserError: if there is no run, or none of that arm.
        """
        if not runs:
            raise UserError("no finished run was found")
        arms = list(dict.fromkeys(run.arm for run in runs))
        if baseline is not None and baseline not in arms:
            raise UserError(f"--baseline {baseline}: there is no such arm; there are {', '.join(arms)}")
        self.baseline = arms[0] if baseline is None else baseline
        self.runs = runs
        self.sweep_rows = sweep_rows
        self.datasets = list(dict.fromkeys(run.dataset for run in runs))

    def rows(self, dataset: str) -> list[Row]:
        """The arms on a dataset: the baseline, then the others, the best first."""
        arms: dict[str, list[Run]] = {}
        for run in self.runs:
            if run.dataset == dataset:
                arms.setdefault(run.arm, []).append(run)
        base = {run.seed: run["val/nats_per_note"] for run in arms.get(self.baseline, [])}
        edges = _edges(arms)
        rows = [
            Row(
                arm,
                runs,
                [run["val/nats_per_note"] - base[run.seed] for run in runs if run.seed in base],
                edges.get(arm, ()),
            )
            for arm, runs in arms.items()
        ]
        return sorted(
            rows, key=lambda row: (row.arm != self.baseline, row.over_seeds("val/nats_per_note").mean)
        )


def _edges(arms: Mapping[str, Sequence[Run]]) -> dict[str, list[str]]:
    """Swept numbers of the best arms that are the least or largest tried: beyond them may be better.

    Arms are best among those that share all settings that are no numbers, such as an optimizer.
    """
    sweeps: dict[str, dict[str, dict[str, float]]] = {}
    for arm in arms:
        settings = [part.partition("=") for part in arm.split(", ")]
        numbers = {name: number for name, _, value in settings if (number := _number(value)) is not None}
        others = ", ".join(name + is_set + value for name, is_set, value in settings if name not in numbers)
        sweeps.setdefault(others, {})[arm] = numbers
    edges: dict[str, list[str]] = {}
    for others, sweep in sweeps.items():
        best = min(sweep, key=lambda arm: estimate([run["val/nats_per_note"] for run in arms[arm]]).mean)
        for name, number in sweep[best].items():
            tried = {numbers[name] for numbers in sweep.values() if name in numbers}
            if len(tried) > 2 and number in (min(tried), max(tried)):
                edges.setdefault(best, []).append(", ".join(filter(None, [others, f"{name}={number:g}"])))
    return edges


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def read_study(folders: Sequence[Path], baseline: str | None = None) -> Study:
    """The study that some folders of sweeps or runs make; runs that failed or were stopped are told.

    Raises:
        UserError: if a folder is not there or holds no finished run.
    """
    jobs = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder; give those of sweeps or runs")
        jobs += [(folder / row["job"], row) for row in sweep_rows(folder)]
    for path, row in jobs:
        if row["status"] != "finished":
            log.warning("left out: %s: %s", path, row.get("error", row["status"]))
    finished = sorted((path, row) for path, row in jobs if row["status"] == "finished")
    overrides = [read_overrides(path) for path, _ in finished]
    datasets = [_dataset(path) for path, _ in finished]
    runs = []
    for (path, row), own, dataset in zip(finished, overrides, datasets, strict=True):
        others = [other for other, name in zip(overrides, datasets, strict=True) if name == dataset]
        epochs = read_csv(path / "metrics.csv")
        seed = int(own.get("seed", 0))
        runs.append(Run(dataset, _arm(own, others), seed, _measures(row, epochs), epochs))
    _refuse_doubles(runs, [path for path, _ in finished])
    return Study(runs, baseline, [row for _, row in jobs])


def _refuse_doubles(runs: Sequence[Run], paths: Sequence[Path]) -> None:
    seen: dict[tuple[str, str, int], Path] = {}
    for run, path in zip(runs, paths, strict=True):
        first = seen.setdefault((run.dataset, run.arm, run.seed), path)
        if first is not path:
            raise UserError(f"{first} and {path}: both are {run.arm} on {run.dataset} with seed {run.seed}")


def _dataset(path: Path) -> str:
    try:
        return str(read_record(path, "config.yaml")["dataset"]["name"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: its record of settings cannot be read") from error


def _arm(own: Mapping[str, str], others: Sequence[Mapping[str, str]]) -> str:
    """The settings that tell a run's arm from others: a value alone where one group does.

    Left out is what follows from the rest, such as the learning rate that each optimizer was given.
    """
    names = dict.fromkeys(name for other in [own, *others] for name in other)
    telling = [
        name
        for name in names
        if name != "seed" and not ELSEWHERE.match(name) and len({other.get(name) for other in others}) > 1
    ]
    for name in [name for name in telling if "." in name]:
        rest = [other for other in telling if other != name]
        if _num_arms(rest, others) == _num_arms(telling, others):
            telling = rest
    given = {name: _without_folder(own[name], name, others) for name in telling if name in own}
    if len(telling) == 1 and given and "." not in telling[0]:
        return given[telling[0]]
    return ", ".join(f"{name}={value}" for name, value in given.items()) or "default"


def _without_folder(value: str, name: str, others: Sequence[Mapping[str, str]]) -> str:
    """A setting's value, of a path its end where that tells it from others'."""
    values = {other[name] for other in others if name in other}
    ends = {each: each.rpartition("/")[2] for each in values}
    return ends[value] if len(set(ends.values())) == len(values) else value


def _num_arms(names: Sequence[str], runs: Sequence[Mapping[str, str]]) -> int:
    """How many arms some settings tell apart."""
    return len({tuple(run.get(name) for name in names) for run in runs})


def _measures(summary: Mapping[str, Any], epochs: Sequence[dict[str, float]]) -> dict[str, float]:
    best, last = best_row(epochs), epochs[-1]
    known = {
        **{name: float(value) for name, value in summary.items() if name in MEASURES},
        **{name: value for name, value in best.items() if name in MEASURES},
        "train_eval/nats_per_note": _training_nats_per_note(best),
        "last/val/nats_per_note": last["val/nats_per_note"],
    }
    return {name: float(_written(known.get(name, float("nan")))) for name in MEASURES}


def _written(value: float) -> str:
    """As in results.csv: tables made from it and from the runs are the same."""
    return f"{value:.6g}"


def _training_nats_per_note(row: Mapping[str, float]) -> float:
    """With as many tokens a note as in validation, from which training differs little."""
    return row["train_eval/nll"] * row["val/nats_per_note"] / row["val/nll"]


def save_results(study: Study, path: Path) -> None:
    """Write a row a run, from which the table can be made again."""
    rows = [
        {"dataset": run.dataset, "arm": run.arm, "seed": run.seed}
        | {name: _written(run[name]) for name in MEASURES}
        for run in study.runs
    ]
    write_csv(path, rows, ("dataset", "arm", "seed", *MEASURES))


def read_results(path: Path, baseline: str | None = None) -> Study:
    """The study in a results.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        runs = [
            Run(row["dataset"], row["arm"], int(row["seed"]), {name: float(row[name]) for name in MEASURES})
            for row in csv.DictReader(file)
        ]
    return Study(runs, baseline)


def as_markdown(study: Study) -> str:
    """A table a dataset; what lies beyond the spread of the seeds is in bold."""
    return "\n".join(_table_of(study, dataset) for dataset in study.datasets)


def _table_of(study: Study, dataset: str) -> str:
    rows = study.rows(dataset)
    notes = round(np.mean([run["num_train_notes"] for row in rows for run in row.runs]))
    seeds = sorted({run.seed for row in rows for run in row.runs})
    lines = [
        f"`{dataset}`, {notes:,} notes to train on, seeds {', '.join(map(str, seeds))}:",
        "",
        "| arm | nats a note | difference | gap | rise after the best | best epoch | CPU seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_line(row, is_baseline=row.arm == study.baseline) for row in rows]
    edges = [edge for row in rows for edge in row.edges]
    if edges:
        lines += ["", f"The best is at the edge of what was tried: {'; '.join(edges)}."]
    return "\n".join([*lines, ""])


def _line(row: Row, *, is_baseline: bool) -> str:
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
    figure = Figure(figsize=(3 + 4.2 * len(rows), height), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (dataset, arms) in zip(np.atleast_1d(figure.subplots(1, len(rows))), rows.items(), strict=True):
        _draw_arms(axes, arms, study.baseline)
        axes.set_title(dataset, fontsize=11)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _draw_arms(axes: Axes, rows: Sequence[Row], baseline: str) -> None:
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
    figure = Figure(figsize=(6.5 * len(study.datasets), 5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = dict(zip(study.datasets, np.atleast_1d(figure.subplots(1, len(study.datasets))), strict=True))
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


def _draw_curves(axes: Axes, run: Run, color: str) -> None:
    epochs = [row["epoch"] for row in run.epochs]
    axes.plot(epochs, [row["val/nats_per_note"] for row in run.epochs], color=color, linewidth=1.2)
    axes.plot(epochs, list(map(_training_nats_per_note, run.epochs)), "--", color=color, linewidth=0.8)
    axes.plot(run["best_epoch"], run["val/nats_per_note"], "*", color=color, markersize=10)
