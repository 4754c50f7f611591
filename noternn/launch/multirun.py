"""What happens before and after a multirun: folders named by what differs, a table at the end."""

from __future__ import annotations

import itertools
import math
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict

from noternn.config.programs import train_command
from noternn.files import shortest
from noternn.launch import launchers, notes, search
from noternn.launch.one_run import note_failure
from noternn.launch.progress import SweepProgress
from noternn.launch.resume import to_give_again
from noternn.launch.side_by_side import FORKS, go_on_when_killed, is_side_by_side, stop_jobs
from noternn.launch.table import save_table
from noternn.runs.folder import CACHE, GPUS, RunFolder
from noternn.runs.record import given_settings
from noternn.runs.sweep import SWEEP_COLUMNS
from noternn.tables import format_table
from noternn.training.stopping import Stopped

MAX_NAME_LENGTH = 255  # bytes of a file's name
LENGTH_OF_DRAWN = 12  # of a number that a search has drawn, such as -0.000123456

_under_way: list[Path] = []  # the folder of the sweep that this process has started
_progress: list[SweepProgress] = []  # of that sweep


class SweepCallback(Callback):
    """Named in conf/config.yaml; Hydra calls it before and after a multirun."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Leave what all jobs share out of the names of their folders."""
        params = OmegaConf.select(config, "hydra.sweeper.params") or {}  # what an experiment sweeps
        swept = [f"{name}={values}" for name, values in params.items()]
        parsed = _parsed([*swept, *config.hydra.overrides.task])
        overrides = list({o.get_key_element(): o for o in parsed}.values())  # the command line's count
        shared = _shared_keys(overrides)
        if shared:
            # Jobs are composed anew from these overrides, also in other processes.
            keys = ",".join(shared)
            with open_dict(config):
                config.hydra.overrides.hydra.append(
                    f"hydra.job.config.override_dirname.exclude_keys=[{keys}]"
                )

        is_search = config.hydra.runtime.choices["hydra/sweeper"] == "optuna"
        _refuse_long_names(config, overrides)
        if not is_search:
            _refuse_doubles(config, overrides)
        sweep_dir = Path(config.hydra.sweep.dir)
        notes.note_sweep(sweep_dir, config.hydra.sweeper.n_trials if is_search else _num_jobs(overrides))
        _under_way.append(sweep_dir)
        are_side_by_side = is_side_by_side(config.hydra)
        by_submitit = config.hydra.runtime.choices["hydra/launcher"] in launchers.BY_SUBMITIT
        if are_side_by_side or by_submitit:
            _progress.append(SweepProgress(sweep_dir))
            _progress[-1].start()
        if are_side_by_side:
            stop_jobs(sweep_dir)
            if FORKS:
                go_on_when_killed(sweep_dir)
        if by_submitit:
            launchers.watch_jobs(sweep_dir, note_failure)
        if is_search:
            search.register()

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Print and keep the table of all jobs, and a learning curve of some; status 1 if a job failed."""
        sweep_dir = Path(config.hydra.sweep.dir)
        _under_way.clear()
        _end_progress(sweep_dir)
        rows = save_table(sweep_dir)
        print(f"\n{format_table(rows, SWEEP_COLUMNS)}\n")
        folder = RunFolder(sweep_dir)
        if folder.learning_curve.exists():
            print(f"learning curve: {folder.learning_curve}")
        if (sweep_dir / search.STUDY).exists() and rows:
            _show_best(sweep_dir, rows[0])
        print(f"table: {folder.sweep_table}")
        failed = [row for row in rows if row["status"] == "failed"]
        for row in failed:
            print(f"failed: {row['job']}: {row['error']}", file=sys.stderr)
            print(f"  again, alone: {_command_of(sweep_dir / row['job'])}", file=sys.stderr)
        notes.forget_again(sweep_dir)
        signum = notes.forget_stop(sweep_dir)
        if signum is not None:
            _say_how_to_go_on("stopped", sweep_dir)
            raise Stopped(signum)
        if failed:
            _say_how_to_go_on("once that is mended", sweep_dir)
            raise SystemExit(1)


def _show_best(sweep_dir: Path, row: dict[str, Any]) -> None:
    """How to train the best job of a search again."""
    if row["status"] != "finished":
        return
    print(f"best: {train_command()} {shlex.join(given_settings(sweep_dir / row['job']))}")


def leave() -> None:
    """End a sweep that was stopped between or in jobs which stand one after the other.

    `on_multirun_end` is not called after a signal.
    """
    while _under_way:
        sweep_dir = _under_way.pop()
        _end_progress(sweep_dir)
        if save_table(sweep_dir):
            _say_how_to_go_on("stopped", sweep_dir)


def _end_progress(sweep_dir: Path) -> None:
    while _progress:
        _progress.pop().stop()
    notes.forget_sweep(sweep_dir)
    for shared in (CACHE, GPUS):
        shutil.rmtree(sweep_dir / shared, ignore_errors=True)


def _say_how_to_go_on(why: str, sweep_dir: Path) -> None:
    again = shlex.join([f"resume={shortest(sweep_dir)}", *to_give_again(sweep_dir)])
    print(f"{why}; go on with the whole sweep: {train_command()} {again}", file=sys.stderr)


def _command_of(run_dir: Path) -> str:
    """The command that runs a job of a sweep again, by itself and in its folder."""
    folder = shortest(run_dir)
    if RunFolder(run_dir).last_checkpoint.exists():
        return f"{train_command()} {shlex.join([f'resume={folder}'])}"
    quoted = folder.replace('"', '\\"')  # of a folder's name Hydra would read the commas
    given = [*given_settings(run_dir), f'hydra.run.dir="{quoted}"']
    return f"{train_command()} {shlex.join(given)}"


def _parsed(overrides: list[str]) -> list[Override]:
    hydra = GlobalHydra.instance()  # glob(*) asks its loader for the options
    loader = hydra.config_loader() if hydra.is_initialized() else None
    return OverridesParser.create(loader).parse_overrides(overrides)


def _shared_keys(overrides: list[Override]) -> list[str]:
    """The keys that a multirun sets but does not sweep; none if it sweeps nothing."""
    swept = {override.key_or_group for override in overrides if override.is_sweep_override()}
    if not swept:
        return []
    return [override.key_or_group for override in overrides if override.key_or_group not in swept]


def _refuse_long_names(config: DictConfig, overrides: list[Override]) -> None:
    """End the program if folders named by their job's settings would have names that no system can hold.

    Raises:
        SystemExit: says what names them otherwise.
    """
    if "job.override_dirname" not in _subdir(config):
        return
    longest = [
        max((len(choice.encode()) for choice in _choices(o)), default=0)
        if o.is_discrete_sweep()
        else len(o.get_key_element()) + 1 + LENGTH_OF_DRAWN
        for o in overrides
        if o.is_sweep_override()
    ]
    length = sum(longest) + max(0, len(longest) - 1)
    if length > MAX_NAME_LENGTH:
        sys.exit(
            f"error: {len(longest)} swept settings make names of folders of {length} bytes, above "
            f"{MAX_NAME_LENGTH}; add 'hydra.sweep.subdir=${{hydra.job.num}}', which numbers them"
        )


def _subdir(config: DictConfig) -> str:
    sweep = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    return str(sweep["subdir"])  # type: ignore[index, call-overload]


def _refuse_doubles(config: DictConfig, overrides: list[Override]) -> None:
    """End the program if two jobs would have one folder.

    Raises:
        SystemExit: says which.
    """
    choices = [_choices(override) for override in overrides if override.is_discrete_sweep()]
    double = next((c for c in choices if len(set(c)) < len(c)), None)
    if double:
        value = next(v for v in double if double.count(v) > 1)
        sys.exit(f"error: {value} stands twice in the sweep; each of its jobs has a folder of its own")
    subdir = _subdir(config)
    if any(name in subdir for name in ("job.override_dirname", "job.num", "job.id")):
        return
    fixed = [o.input_line or "" for o in overrides if not o.is_sweep_override()]
    seen: dict[str, str] = {}
    for job in itertools.product(*choices):
        folder = _folder(config, [*fixed, *job])
        first = seen.setdefault(folder, " ".join(job))
        if first != " ".join(job):
            both = f"{first} and {' '.join(job)}"
            sys.exit(f"error: hydra.sweep.subdir={subdir}: {both} would have one folder, {folder}")


def _choices(override: Override) -> list[str]:
    """The settings of a swept list or range, one a job."""
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _folder(config: DictConfig, overrides: list[str]) -> str:
    """The folder of a job in the sweep's, by these settings."""
    composed = GlobalHydra.instance().config_loader().load_sweep_config(config, overrides)
    HydraConfig.instance().set_config(composed)  # its name may refer to it
    return str(composed.hydra.sweep.subdir)


def _num_jobs(overrides: list[Override]) -> int | None:
    """How many jobs the values of a sweep make; None where a sweeper draws some."""
    swept = [override for override in overrides if override.is_sweep_override()]
    if not all(override.is_discrete_sweep() for override in swept):
        return None
    return math.prod(sum(1 for _ in override.sweep_string_iterator()) for override in swept)
