"""What `resume=` means: the settings of a run or a sweep from its record, then those given now."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from noternn.config.schema import BEFORE
from noternn.config.tokenizer import DECIDED
from noternn.errors import UserError
from noternn.runs.folder import RunFolder, refuse_links
from noternn.runs.leftover import holds_a_run
from noternn.runs.plain_yaml import read_yaml
from noternn.training.slurm import noted_run

MULTIRUN = "hydra.mode=MULTIRUN"
# Hydra's own settings that a resumed sweep takes from its record, and those that it sets anew.
FROM_RECORD = re.compile(
    r"hydra/(launcher|sweeper)=\w+"
    r"|hydra\.sweeper\.(n_trials|n_jobs|seed|n_startup_trials|n_warmup_epochs)=\w+"
    r"|hydra\.launcher\.(n_jobs|timeout_min|signal_delay_s|max_num_timeout|array_parallelism|nodes|tasks_per_node"
    r"|cpus_per_task|gpus_per_node|mem_gb|name|partition|qos|account|constraint)=[\w.-]+"
    r"|\+?hydra\.launcher\.ray\.(init|remote)\.num_(cpus|gpus)=\d+"
    r"|hydra\.verbose=(true|false|\w+|\[[\w.,]+\])"
    # Folders of jobs: of plain names, the number of the job and settings, and never above the sweep's.
    r"|hydra\.sweep\.subdir=(?!.*\.\.)(?!['\"]?/)['\"]?([\w=,.+/-]|\$\{(hydra[.:])?[\w./]+\})+['\"]?"
    r"|hydra\.sweeper\.max_batch_size=\d+"
)
SET_ANEW = re.compile(r"hydra\.(mode|sweep\.dir|job\.config\.override_dirname\.exclude_keys)=")
# What may change when a sweep goes on: everything else decides the results of its finished jobs.
MAY_CHANGE = re.compile(r"(hydra|logger|callbacks|datamodule\.(cache_dir|num_processes))\b")


def with_requeued_run(overrides: Sequence[str], multirun: bool) -> list[str]:
    """With `resume=` the run of this job of Slurm, if it is started again."""
    run = None if multirun or any(o.startswith("resume=") for o in overrides) else noted_run()
    return [*overrides, f"resume={run}"] if run else list(overrides)


def resumed(overrides: Sequence[str]) -> list[str]:
    """The overrides of the run or sweep named by `resume=`, then the others, in its folder."""
    runs = [o.split("=", 1)[1] for o in overrides if o.startswith("resume=")]
    if not runs or runs[-1] in ("null", ""):
        return list(overrides)
    run = Path(_unquoted(runs[-1]))
    others = [o for o in overrides if not o.startswith("resume=")]
    folder = RunFolder(run)
    refuse_links(run)
    if folder.is_sweep:
        return _resumed_sweep(run, others)
    record = folder.overrides
    has_begun, starts_over = folder.last_checkpoint.is_file(), not holds_a_run(run)
    if not record.is_file() or not (has_begun or starts_over):
        advice = "give the folder of a run, which holds last.ckpt, or of a sweep"
        raise UserError(f"resume={run}: no run to continue there; {advice}")
    before = _plain(run, record, _record(run, record))
    place = quoted(str(run))  # of a sweep's job it holds a "="
    again = [f"resume={place}"] if has_begun else []
    settings = folder.settings
    earlier = _as_it_was(_record(run, settings) if settings.is_file() else {}) if has_begun else []
    return [*earlier, *before, *others, *again, "hydra.mode=RUN", f"hydra.run.dir={place}"]


def _resumed_sweep(sweep: Path, given: Sequence[str]) -> list[str]:
    """The same for a sweep: with its launcher or another, its sweeper, and nothing else changed."""
    record = RunFolder(sweep).multirun
    task, own = _recorded_sweep(sweep)
    others = [o for o in given if o not in task]
    changed = next((o for o in others if not MAY_CHANGE.match(o.lstrip("+~"))), None)
    if changed:
        raise UserError(f"{changed}: it cannot change in a sweep that goes on; start another")
    before = _plain(sweep, record, task, given)
    unknown = next((o for o in own if not _is_known(o) and o not in given), None)
    if unknown:
        raise _refused(sweep, unknown)
    kept = [o for o in own if FROM_RECORD.fullmatch(o)]
    if any(o.startswith("hydra/launcher=") for o in others):  # the settings of another are not its own
        kept = [o for o in kept if "launcher" not in o.split("=")[0]]
    folder = quoted(str(sweep))
    return [
        *_as_it_was(_record(sweep, record)),
        *_as_decided(_record(sweep, record), task),
        *_epochs_before(_record(sweep, record), task),
        *before,
        *kept,
        *others,
        f"resume={folder}",
        MULTIRUN,
        f"hydra.sweep.dir={folder}",
    ]


def _as_it_was(record: Any) -> list[str]:
    """Of settings that an earlier version did not have what was so then."""
    return [
        f"{section}.{name}={'null' if value is None else value}"
        for section, values in BEFORE.items()
        for name, value in values.items()
        if isinstance(record, dict) and isinstance(record.get(section), dict) and name not in record[section]
    ]


def _as_decided(record: Any, overrides: Sequence[str]) -> list[str]:
    """What a sweep says of its tokenizer where a new one would decide; nothing if it tries several."""
    tokenizer = record.get("tokenizer") if isinstance(record, dict) else None
    if not isinstance(tokenizer, dict) or any(o.startswith("tokenizer=") and "," in o for o in overrides):
        return []
    values = {name: tokenizer.get(name) for name in DECIDED}
    if tokenizer.get("name") == "event":
        values["drums_first"] = tokenizer.get("drums_first", False)
    return [
        f"tokenizer.{name}={str(value).lower()}" for name, value in values.items() if isinstance(value, bool)
    ]


def _epochs_before(record: Any, overrides: Sequence[str]) -> list[str]:
    """The epochs of a sweep from when these were a number, unless a recipe of its jobs chose them."""
    trainer = record.get("trainer") if isinstance(record, dict) else None
    if not isinstance(trainer, dict) or "minutes" in trainer:
        return []
    is_chosen = any(o.startswith(("experiment=", "recipe=")) for o in overrides)
    number = trainer.get("max_epochs")
    return [f"trainer.max_epochs={number}"] if isinstance(number, int) and not is_chosen else []


def _recorded_sweep(sweep: Path) -> tuple[list[str], list[str]]:
    """The overrides of a sweep's jobs and those of Hydra's own settings.

    Raises:
        UserError: if its record cannot be read.
    """
    record = RunFolder(sweep).multirun
    content = _record(sweep, record)
    try:
        task, own = (content["hydra"]["overrides"][part] for part in ("task", "hydra"))
    except (KeyError, TypeError):
        task, own = None, None
    if not (_is_list_of_text(task) and _is_list_of_text(own)):
        raise _unreadable(sweep, record)
    return task, own


def to_give_again(sweep: Path) -> list[str]:
    """The settings that a sweep which goes on does not take from its record."""
    task, own = _recorded_sweep(sweep)
    return [o for o in task if not _is_plain(o)] + [o for o in own if not _is_known(o)]


def _is_known(override: str) -> bool:
    return bool(FROM_RECORD.fullmatch(override) or SET_ANEW.match(override))


def _record(run: Path, record: Path) -> Any:
    try:
        return read_yaml(record)
    except (OSError, ValueError):
        raise _unreadable(run, record) from None


def _unreadable(run: Path, record: Path) -> UserError:
    return UserError(f"resume={run}: its record of settings cannot be read ({record})")


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _plain(run: Path, record: Path, overrides: Any, given: Sequence[str] = ()) -> list[str]:
    """Recorded overrides; runs are shared, so only plain settings are taken, and those that are given too."""
    if not _is_list_of_text(overrides):
        raise _unreadable(run, record)
    for override in overrides:
        if not _is_plain(override) and override not in given:
            raise _refused(run, override)
    return [override for override in overrides if not override.startswith("resume=")]


def _is_plain(override: str) -> bool:
    """Hydra calls what a _target_ names, its own settings hold such, and ${} can read the environment."""
    return not (override.lstrip("+~").startswith("hydra") or "_target_" in override or "${" in override)


def _refused(run: Path, override: str) -> UserError:
    return UserError(
        f"resume={run}: its record sets {override}, which no record may set; "
        "if it is meant, give it on the command line too"
    )


def quoted(value: str) -> str:
    """A value as Hydra's grammar reads it back unchanged."""
    escaped = value.replace("'", "\\'")
    return f"'{escaped}'"


def _unquoted(value: str) -> str:
    """A value as the user meant it, with or without the quotes of Hydra's grammar."""
    quote = value[0]
    if quote not in "'\"" or len(value) < 2 or value[-1] != quote:
        return value
    return value[1:-1].replace(f"\\{quote}", quote)
