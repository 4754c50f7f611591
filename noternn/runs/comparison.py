"""Runs side by side, from their files alone: what differs between them, and what each came to so far."""

from __future__ import annotations

import hashlib
import math
import os
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noternn.errors import UserError
from noternn.files import read_json
from noternn.runs.epochs import Row, read_epochs, so_far
from noternn.runs.folder import MAX_SPLIT_BYTES, RunFolder
from noternn.runs.record import read_choices, read_overrides, read_settings
from noternn.runs.sweep import STATUSES, sweep_rows, with_runs
from noternn.tables import format_table

# Settings that say where a run is kept or watched, not what it is.
ELSEWHERE = re.compile(r"(resume|logger|callbacks|hydra|checkpoint|datamodule\.(cache_dir|num_processes))\b")
DATASET = ("dataset", "dataset.name", "dataset.path", "dataset.tracks")  # of other notes, other losses
FOLD = "dataset.fold"
MAX_COLUMNS = 8  # of settings between a run's name and what it came to
STATES = {"stopped": "running or stopped"}  # which of the two its files do not say


@dataclass(frozen=True)
class ComparedRun:
    """A run, finished or not.

    Args:
        name: the part of its path that differs from the other runs' paths.
        folder: where its files lie.
        status: finished, pruned, failed, or running or stopped.
        error: why it failed; "" if it did not.
        results: what summary.json says, or until there is one metrics.csv, by the names of the former.
        settings: of its configuration by dotted name, and the options chosen for its groups, as text.
        groups: the names among them that are groups of options, such as `optimizer`.
        given: the names of those that it was given on its command line.
        epochs: the rows of its metrics.csv.
        validated: the music that it validates on, as a hash; "" where that is not known.
    """

    name: str
    folder: Path
    status: str
    error: str
    results: Mapping[str, Any]
    settings: Mapping[str, str]
    groups: Sequence[str]
    given: Sequence[str]
    epochs: Sequence[Row]
    validated: str = ""

    def number(self, name: str) -> float | None:
        """One of its results; None where it is not known."""
        value = self.results.get(name)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

    @property
    def gap_per_note(self) -> float | None:
        """`gap/nll` in nats a note, as if training pieces had as many tokens a note as others."""
        gap, nll, nats = (self.number(name) for name in ("gap/nll", "val/nll", "val/nats_per_note"))
        return gap * nats / nll if gap is not None and nll and nats is not None else None


def read_runs(folders: Sequence[Path]) -> list[ComparedRun]:
    """The runs in some folders of runs or sweeps, each once: the finished ones first, by nats a note.

    Raises:
        UserError: if a folder is not there or none holds a run.
    """
    rows: dict[Path, dict[str, Any]] = {}
    for folder in with_runs(folders):
        rows |= {(folder / row["job"]).resolve(): row for row in sweep_rows(folder)}
    if not rows:
        none = ", ".join(map(str, folders))
        raise UserError(f"{none}: no run: give folders that train.py has written, such as runs/NAME")
    names = _names(list(rows))
    runs = [_read_run(name, folder, row) for name, (folder, row) in zip(names, rows.items(), strict=True)]
    order = [STATES.get(status, status) for status in STATUSES]
    infinity = float("inf")

    def rank(run: ComparedRun) -> tuple[int, float]:
        nats = run.number("val/nats_per_note")
        return order.index(run.status), infinity if nats is None else nats

    return sorted(runs, key=rank)


def _names(folders: Sequence[Path]) -> list[str]:
    """Of each folder what the others do not share."""
    if len(folders) == 1:
        return [folders[0].name]
    common = os.path.commonpath(folders)
    return [os.path.relpath(folder, common) for folder in folders]


def _read_run(name: str, folder: Path, row: Mapping[str, Any]) -> ComparedRun:
    try:
        epochs = read_epochs(folder)
    except UserError:
        epochs = []  # `row` says why
    settings = _leaves(_if_readable(read_settings, folder))
    chosen = {group: _text(option) for group, option in _if_readable(read_choices, folder).items()}
    status = STATES.get(row["status"], row["status"])
    error = str(row.get("error", ""))
    return ComparedRun(
        name,
        folder,
        status,
        error,
        {**so_far(epochs), **row},
        chosen | settings,
        list(chosen),
        list(_if_readable(read_overrides, folder)),
        epochs,
        _validated(folder),
    )


def _validated(folder: Path) -> str:
    """A hash of the music of its validation pieces, whatever the files are called."""
    try:
        pieces = read_json(RunFolder(folder).split, MAX_SPLIT_BYTES)["validation"]
        return hashlib.sha256(",".join(sorted(map(str, pieces.values()))).encode()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def validate_on_the_same(runs: Sequence[ComparedRun]) -> bool:
    """Whether the runs are judged by one music, as far as it is known: else none is better than another."""
    return len({run.validated for run in runs if run.validated}) <= 1


def _if_readable(read: Callable[[Path], Mapping[str, Any]], folder: Path) -> Mapping[str, Any]:
    """A record, or nothing where it cannot be read: what a run came to is worth showing all the same."""
    try:
        return read(folder)
    except UserError:
        return {}


def _leaves(config: Mapping[Any, Any], prefix: str = "") -> dict[str, str]:
    """The settings of a configuration by dotted name."""
    leaves: dict[str, str] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        leaves |= _leaves(value, f"{name}.") if isinstance(value, dict) else {name: _text(value)}
    return leaves


def _text(value: Any) -> str:
    """A setting as it is typed."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def differing(runs: Sequence[ComparedRun]) -> list[str]:
    """The names of the settings that differ, those first that were given.

    What was not given, and follows from the option that was chosen for a group, is left out.
    """
    names = [name for name in _names_of_settings(runs) if _differs(name, runs)]
    groups = {group for run in runs for group in run.groups}.intersection(names)
    sections = {name.partition(".")[0] for name in _names_of_settings(runs) if "." in name}
    recipes = groups - sections  # such as `experiment`: every other setting may follow from it
    chosen = recipes.union(*(run.given for run in runs))

    def follows(name: str) -> bool:
        return bool(recipes) or ("." in name and name.partition(".")[0] in groups)

    others = [name for name in names if name not in chosen and not follows(name)]
    return [name for name in names if name in chosen] + others


def _names_of_settings(runs: Sequence[ComparedRun]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.settings))


def _differs(name: str, runs: Sequence[ComparedRun]) -> bool:
    values = {run.settings[name] for run in runs if name in run.settings}
    return len(values) > 1 and not ELSEWHERE.match(name)


def compares_per_token(runs: Sequence[ComparedRun]) -> bool:
    """Whether nats a token mean the same in all of them: one tokenizer, one music."""
    names = {name for run in runs for name in run.settings if name.startswith("tokenizer") or name in DATASET}
    return not any(_differs(name, runs) for name in names)


def table_rows(runs: Sequence[ComparedRun]) -> list[dict[str, str]]:
    """A row a run, as text, "" where something is not known; losses a token only where they compare."""
    settings, per_token = differing(runs), compares_per_token(runs)
    return [_table_row(run, settings, per_token) for run in runs]


def _table_row(run: ComparedRun, settings: Sequence[str], per_token: bool) -> dict[str, str]:
    best, num_epochs = run.number("best_epoch"), run.number("num_epochs")
    losses = (
        {"val/nll": _number(run.number("val/nll")), "gap/nll": _number(run.number("gap/nll"))}
        if per_token
        else {"gap, nats a note": _number(run.gap_per_note)}
    )
    return {
        "run": run.name,
        **{name: run.settings.get(name, "") for name in settings},
        "nats a note": _number(run.number("val/nats_per_note")),
        **losses,
        "best epoch": f"{best:.0f} of {num_epochs:.0f}" if best and num_epochs else "",
        "seconds": _number(run.number("seconds"), "{:,.0f}"),
        "parameters": _number(run.number("num_parameters"), "{:,.0f}"),
        "status": run.status,
    }


def _number(value: float | None, form: str = "{:.4f}") -> str:
    return "" if value is None else form.format(value)


def notes(runs: Sequence[ComparedRun]) -> list[str]:
    """What has to be said beside the table, a line each."""
    lines = [f"{run.name}: {run.error}" for run in runs if run.error]
    if not compares_per_token(runs):
        lines.append(
            "nats a token do not compare between tokenizers or between datasets, so losses are in nats a note"
        )
    if not validate_on_the_same(runs):
        lines.append(
            "they validate on different pieces: a lower figure may be easier music, so none is the best"
        )
    return [*lines, *_means_over_folds(runs)]


def _means_over_folds(runs: Sequence[ComparedRun]) -> list[str]:
    """The mean and the spread of the finished runs that differ in nothing but their fold, a line each."""
    finished = [run for run in runs if run.status == "finished" and "/" in run.settings.get(FOLD, "")]
    others = [name for name in differing(finished) if name != FOLD]
    kinds: dict[tuple[str, ...], dict[str, float]] = {}
    for run in finished:
        nats, kind = run.number("val/nats_per_note"), tuple(run.settings.get(name, "") for name in others)
        if nats is not None:
            kinds.setdefault(kind, {})[run.settings[FOLD]] = nats
    return [_mean_over_folds(others, kind, nats) for kind, nats in kinds.items() if len(nats) > 1]


def _mean_over_folds(names: Sequence[str], kind: Sequence[str], nats: Mapping[str, float]) -> str:
    what = " ".join(f"{name}={value}" for name, value in zip(names, kind, strict=True))
    num_folds = next(iter(nats)).partition("/")[2]
    count = num_folds if len(nats) == int(num_folds) else f"{len(nats)} of {num_folds}"
    mean, spread = statistics.mean(nats.values()), statistics.stdev(nats.values())
    return (
        f"{what}{': ' if what else ''}over {count} folds {mean:.4f} nats a note on average, "
        f"standard deviation {spread:.4f}"
    )


def as_text(runs: Sequence[ComparedRun]) -> str:
    """The runs as a table for the terminal, of which some settings are left out and named if many differ."""
    rows = [{name: value or "-" for name, value in row.items()} for row in table_rows(runs)]
    left_out = differing(runs)[MAX_COLUMNS:]
    more = [f"{len(left_out)} more settings differ: {', '.join(left_out)}"] if left_out else []
    shown = [name for name in rows[0] if name not in left_out]
    return "\n".join([format_table(rows, shown), *more, *notes(runs)])
