"""wandb without an account, a question or a leftover: start a run, show samples, close it.

The only importer of wandb.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import wandb
from pytorch_lightning.loggers import WandbLogger

from noternn.config.training import DEFAULT_PROJECT
from noternn.errors import UserError
from noternn.runs.epochs import INTERVAL
from noternn.runs.folder import RunFolder

log = logging.getLogger(__name__)

INIT_TIMEOUT_SECONDS = 20.0  # before an unreachable server makes a run offline
OVERLAID = ("train/nll", "train_eval/nll", "val/nll")
# What wandb would keep of the machine and upload: host, command line, folders and hardware; the git remote;
# code; installed packages. Where its variable WANDB_... is set for one, that holds.
WITHHELD: dict[str, Any] = {
    "x_disable_meta": True, "x_disable_machine_info": True, "disable_git": True, "disable_code": True,
    "x_save_requirements": False, "host": "not told",
}  # fmt: skip
# Of these a run's summary has the values at the best epoch so far; of others the last.
OF_BEST_EPOCH = (
    "val/nll", *INTERVAL, "val/nats_per_note", "val/nats_per_beat", "val/nats_per_second", "train_eval/nll",
    "gap/nll",
)  # fmt: skip


class _BestLogger(WandbLogger):
    """Keeps the figures of the best epoch in the run's summary.

    wandb's own minima would be none of the same epoch.
    """

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics(metrics, step)
        if metrics.get("best_epoch", 0) == metrics.get("epoch"):
            _put_best(self.experiment, metrics)


class Tracker:
    """A wandb run, or nothing where it is disabled; every method is safe to call either way."""

    def __init__(self, run: Any | None) -> None:
        self.run = run
        self.offline = bool(run and run.offline)

    def lightning_logger(self) -> WandbLogger | None:
        """For Lightning's Trainer."""
        return _BestLogger(experiment=self.run) if self.run else None

    def best(self, row: Mapping[str, float]) -> None:
        """Put the figures of the best epoch before a run was resumed into its summary."""
        if self.run:
            _put_best(self.run, row)

    def sample(self, epoch: int, audio: Path, piano_roll: Path, statistics: dict[str, Any]) -> None:
        """Show a sample: its sound, its picture and its numbers."""
        if not self.run:
            return
        shown = {
            "sample/audio": wandb.Audio(str(audio)),
            "sample/piano_roll": wandb.Image(str(piano_roll)),
            **{f"sample/{name}": value for name, value in statistics.items()},
        }
        self.run.log({"epoch": epoch, **shown})

    def audit(self, row: dict[str, float]) -> None:
        """Log how much the samples of an epoch copy."""
        if self.run:
            self.run.log(row)

    def curves(self, rows: Sequence[dict[str, Any]]) -> None:
        """Draw the losses so far on one chart."""
        if not self.run:
            return
        epochs = [row["epoch"] for row in rows]
        series = wandb.plot.line_series(
            xs=epochs,
            ys=[[row[name] for row in rows] for name in OVERLAID],
            keys=list(OVERLAID),
            title="nll, training against validation",
            xname="epoch",
        )
        self.run.log({"epoch": epochs[-1], "curves": series})

    def finish(self, summary: dict[str, Any], picture: Path) -> None:
        """Put the results into the run's summary, with the picture of the curves."""
        if not self.run:
            return
        self.run.log({"curves_picture": wandb.Image(str(picture))})
        self.run.summary.update(summary)

    @property
    def url(self) -> str | None:
        """Where the run is shown online."""
        return self.run.url if self.run else None

    @property
    def directory(self) -> Path | None:
        """Where wandb keeps the run's files."""
        return Path(self.run.dir).parent if self.run else None


def _put_best(run: Any, row: Mapping[str, float]) -> None:
    run.summary.update({name: row[name] for name in OF_BEST_EPOCH if name in row})


@contextmanager
def track(
    mode: str,
    project: str,
    entity: str | None,
    run_dir: Path,
    group: str | None,
    config: dict[str, Any],
) -> Iterator[Tracker]:
    """A tracker for one run, closed at the end whatever happens.

    Args:
        mode: auto, online, offline or disabled; auto follows WANDB_MODE, else is online where a
            key is known and offline where not.
        project, entity: where the run belongs.
        run_dir: its name names the run. wandb's files lie in `wandb/` beside it, so that `wandb leet`
            shows the runs together; a link `wandb` in the folder leads to them.
        group: the sweep's name, or None.
        config: plain data.
    """
    run = _start(_resolve(mode), project, entity, run_dir, group, config)
    tracker = Tracker(run)
    exit_code = 1
    try:
        if tracker.directory:
            _link(RunFolder(run_dir).wandb, tracker.directory)
        yield tracker
        exit_code = 0
    finally:
        if run:
            run.finish(exit_code=exit_code)


def _link(link: Path, target: Path) -> None:
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(target, link.parent), target_is_directory=True)
    except OSError:
        log.debug("no link to %s: this system makes none", target)


def _resolve(mode: str) -> str | None:
    """auto -> what to hand to wandb.init; None leaves it to WANDB_MODE."""
    if mode != "auto":
        return mode
    if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes"):
        return "disabled"
    if os.environ.get("WANDB_MODE"):
        return None
    return "online" if _is_logged_in() else "offline"


def _is_logged_in() -> bool:
    """Whether wandb has a key that its server takes; never asks for one."""
    try:
        return wandb.login(prompt=False)
    except wandb.errors.AuthenticationError as error:
        log.warning("wandb could not log in (%s): logging offline", _first_line(error))
        return False


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _run_id(run_dir: Path) -> str:
    """A name that `wandb leet` can list, the same when the run is resumed, and no other folder's."""
    place = f"{platform.node()}:{run_dir.resolve()}"
    readable = re.sub(r"[^\w.-]+", "-", run_dir.name)[-100:]
    return f"{readable}-{hashlib.sha256(place.encode()).hexdigest()[:6]}"


def _or_environment(value: str, default: str, variable: str) -> str:
    """A setting, or where it is the default what a variable of wandb's says."""
    return os.environ.get(variable) or value if value == default else value


def _withheld(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings of `WITHHELD` of which the environment says nothing."""
    return {name: value for name, value in WITHHELD.items() if f"WANDB_{name.upper()}" not in environment}


def _start(
    mode: str | None,
    project: str,
    entity: str | None,
    run_dir: Path,
    group: str | None,
    config: dict[str, Any],
) -> Any | None:
    if mode == "online" and not _is_logged_in():  # wandb itself would ask
        raise UserError(
            "logger.mode=online: not logged in to wandb; run `wandb login` first, or leave logger.mode=auto"
        )
    if mode == "disabled" or (mode is None and os.environ["WANDB_MODE"] == "disabled"):
        return None
    options: dict[str, Any] = {
        "project": _or_environment(project, DEFAULT_PROJECT, "WANDB_PROJECT"),
        "entity": entity or os.environ.get("WANDB_ENTITY"),
        "dir": os.environ.get("WANDB_DIR") or str(run_dir.parent),
        "name": os.environ.get("WANDB_NAME") or run_dir.name,
        "id": os.environ.get("WANDB_RUN_ID") or _run_id(run_dir),  # an agent of wandb's sweeps gives one
        "resume": "allow",
        "group": group or os.environ.get("WANDB_RUN_GROUP"),
        "config": config,
        "reinit": "finish_previous",
        "settings": wandb.Settings(
            silent=True, init_timeout=INIT_TIMEOUT_SECONDS, console="off", **_withheld(os.environ)
        ),
    }
    try:
        run = wandb.init(mode=mode, **options)  # type: ignore[arg-type]
    except (wandb.errors.CommError, wandb.errors.UsageError) as error:
        log.warning("wandb could not go online (%s); logging offline instead", _first_line(error))
        options["id"] += "-offline"  # the first one still counts as in use
        run = wandb.init(mode="offline", **options)
    run.define_metric("epoch", hidden=True)
    run.define_metric("*", step_metric="epoch")
    for name in OF_BEST_EPOCH:
        run.define_metric(name, step_metric="epoch", summary="none")
    return run
