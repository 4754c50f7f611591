"""Sweeps -> a study: arms with the spread over seeds, from the files of their runs.

An arm is what some runs share but their seed. Arms are compared on one dataset, with the same seeds, that is
on the same split: a difference is the mean of the differences seed by seed.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noternn.errors import UserError
from noternn.runs.comparison import ELSEWHERE
from noternn.runs.epochs import best_row, read_epochs
from noternn.runs.estimates import Estimate, estimate
from noternn.runs.folder import RunFolder
from noternn.runs.record import read_overrides, read_settings
from noternn.runs.sweep import sweep_rows, with_runs
from noternn.tables import write_csv

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


@dataclass(frozen=True)
class FinishedRun:
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
class Arm:
    """An arm on one dataset.

    Args:
        arm: its name.
        runs: one a seed.
        differences: to the baseline in nats a note, one for each seed that both have.
        edges: numbers with which it is the best of its kind and the least or largest tried.
    """

    arm: str
    runs: Sequence[FinishedRun]
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
        runs: Sequence[FinishedRun],
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

    def rows(self, dataset: str) -> list[Arm]:
        """The arms on a dataset: the baseline, then the others, the best first."""
        arms: dict[str, list[FinishedRun]] = {}
        for run in self.runs:
            if run.dataset == dataset:
                arms.setdefault(run.arm, []).append(run)
        base = {run.seed: run["val/nats_per_note"] for run in arms.get(self.baseline, [])}
        edges = _edges(arms)
        rows = [
            Arm(
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


def _edges(arms: Mapping[str, Sequence[FinishedRun]]) -> dict[str, list[str]]:
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
    for folder in with_runs(folders):
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
        epochs = read_epochs(path)
        if not epochs:
            raise UserError(f"{path}: it is finished, but its {RunFolder(path).metrics.name} has no epoch")
        seed = _seed(path, own)
        runs.append(FinishedRun(dataset, _arm(own, others), seed, _measures(row, epochs), epochs))
    _refuse_doubles(runs, [path for path, _ in finished])
    return Study(runs, baseline, [row for _, row in jobs])


def _refuse_doubles(runs: Sequence[FinishedRun], paths: Sequence[Path]) -> None:
    seen: dict[tuple[str, str, int], Path] = {}
    for run, path in zip(runs, paths, strict=True):
        first = seen.setdefault((run.dataset, run.arm, run.seed), path)
        if first is not path:
            raise UserError(f"{first} and {path}: both are {run.arm} on {run.dataset} with seed {run.seed}")


def _seed(path: Path, own: Mapping[str, str]) -> int:
    try:
        return int(own.get("seed", 0))
    except ValueError as error:
        raise UserError(f"{path}: its record of settings has a seed that is none") from error


def _dataset(path: Path) -> str:
    """Its name, and of how many files it was to take some: they are split anew."""
    try:
        dataset = read_settings(path)["dataset"]
        files = dataset.get("max_files")
        return str(dataset["name"]) + (f" ({files} files)" if files else "")
    except (KeyError, TypeError, AttributeError) as error:
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
        "train_eval/nats_per_note": training_nats_per_note(best),
        "last/val/nats_per_note": last["val/nats_per_note"],
    }
    return {name: float(_written(known.get(name, float("nan")))) for name in MEASURES}


def _written(value: float) -> str:
    """As in results.csv: tables made from it and from the runs are the same."""
    return f"{value:.6g}"


def training_nats_per_note(row: Mapping[str, float]) -> float:
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
            FinishedRun(
                row["dataset"], row["arm"], int(row["seed"]), {name: float(row[name]) for name in MEASURES}
            )
            for row in csv.DictReader(file)
        ]
    return Study(runs, baseline)
