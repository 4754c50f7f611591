"""A job of Hydra, alone or in a multirun: folders named by what differs, a table at the end.

Side by side (`hydra/launcher=joblib`) a job has a process of its own, so that one that is killed costs no
other.
"""

from __future__ import annotations

import atexit
import ctypes
import errno
import importlib
import json
import logging
import math
import multiprocessing
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.conf import HydraConf
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from tqdm import tqdm

from noternn.config import schema as configuration
from noternn.errors import UserError
from noternn.files import shortest, write_text
from noternn.launch import launchers, search
from noternn.launch.progress import (
    SweepProgress,
    begun_jobs,
    forget_sweep,
    note_job,
    note_sweep,
    num_jobs,
    sweep_line,
)
from noternn.runs.summary import FILE_NAME as SUMMARY
from noternn.runs.summary import read_summary
from noternn.tables import format_table, write_csv
from noternn.training.stopping import SIGNALS, Stopped, answering_signals

log = logging.getLogger(__name__)

# Full, over the quota or a file's limit, read-only, not permitted, broken. Windows has no quotas.
DISK_TROUBLES = {errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO}
DISK_TROUBLES |= {errno.EDQUOT} if hasattr(errno, "EDQUOT") else set()

# What a run imports beside this; wandb takes in the last when it begins.
NEEDED = ("noternn.training.run", "noternn.music.score", "wandb.sdk.launch")
LEARNING_CURVE = "learning_curve.png"  # in a sweep's folder, where its jobs differ in train_fraction
STOP_NOTE = ".stop"  # in a sweep's folder: the signal that asked it to end
AGAIN_NOTE = ".again"  # likewise: joblib was started again, for the jobs that are left
CACHE = ".cache"  # likewise: the tokens of its corpora, where there is no other place for them
POLL_SECONDS = 0.2
FORKS = sys.platform == "linux"  # a job side by side is a process of its own; elsewhere a fork is not safe
PR_SET_PDEATHSIG = 1  # of Linux's prctl: the signal that a process gets when its parent dies

_progress: list[SweepProgress] = []  # of the sweep that this process has started


def run_job(composed: DictConfig) -> float | None:
    """Train with a composed configuration; the best val/nll, for sweepers that search.

    A failing job of a multirun leaves its reason in its folder and lets the others go on; one that a signal
    stops ends the multirun with it.
    """
    hydra_config = HydraConfig.get()
    run_dir = Path(hydra_config.runtime.output_dir)
    if hydra_config.mode == RunMode.MULTIRUN:
        return _run_job_of_sweep(composed, hydra_config, run_dir)
    sweep_dir = _sweep_of(run_dir)
    try:
        best = _run(composed, run_dir, sweep_dir.name if sweep_dir else None)
    except Exception as error:
        reason = _users_reason(error, run_dir)
        if reason is None:
            raise
        sys.exit(f"error: {reason}")
    if sweep_dir:
        _save_table(sweep_dir)
    return best


def _run_job_of_sweep(composed: DictConfig, hydra_config: HydraConf, run_dir: Path) -> float | None:
    sweep_dir, is_side_by_side = Path(hydra_config.sweep.dir), _is_side_by_side(hydra_config)
    launcher = hydra_config.runtime.choices["hydra/launcher"]
    is_again = launcher in launchers.STARTING_AGAIN and launchers.is_started_again(
        run_dir, hydra_config.job.id
    )
    is_over = None
    if composed.resume or is_again or (sweep_dir / AGAIN_NOTE).exists():
        is_over = read_summary(run_dir)
        # One that failed is tried again when the sweep is resumed, not while it is under way.
        if is_over and composed.resume and is_over["status"] == "failed":
            (run_dir / SUMMARY).unlink()
            is_over = None
        if not is_over:
            _go_on(composed, run_dir)
    if not is_over and (sweep_dir / STOP_NOTE).exists():
        return None
    note_job(sweep_dir, run_dir, hydra_config.job.num + 1, composed.trainer.max_epochs)
    if is_side_by_side:
        _leave_the_terminal(run_dir / f"{hydra_config.job.name}.log")
    else:
        _introduce(sweep_dir)
    if is_over:
        return is_over.get("val/nll")
    _share_corpora(composed, sweep_dir)
    if is_side_by_side and FORKS:
        return _run_apart(composed, run_dir, sweep_dir)
    run = partial(_run_of_sweep, composed, run_dir, sweep_dir)
    by_submitit = launcher in launchers.BY_SUBMITIT
    return launchers.run_queued(run, partial(_note_failure, run_dir)) if by_submitit else run()


def _share_corpora(composed: DictConfig, sweep_dir: Path) -> None:
    """Where no token cache can be written, the jobs share one in the sweep's folder until it is over.

    What a cache that can only be read holds is linked into it.
    """
    cache_dir, shared = composed.datamodule.cache_dir, sweep_dir / CACHE
    if cache_dir is not None and _is_writable(Path(cache_dir)):
        return
    shared.mkdir(exist_ok=True)
    for entry in Path(cache_dir).glob("*/") if cache_dir is not None else ():
        with suppress(FileExistsError):  # another job was faster
            (shared / entry.name).symlink_to(entry.resolve(), target_is_directory=True)
    composed.datamodule.cache_dir = str(shared)


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _leave_the_terminal(log_path: Path) -> None:
    """Of jobs side by side the sweep tells how far they are; all else that they say goes into their logs."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if not isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
    with log_path.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())


def _introduce(sweep_dir: Path) -> None:
    """Say which job of how many begins, and how far the sweep is."""
    jobs, number = begun_jobs(sweep_dir), num_jobs(sweep_dir)
    job = jobs[-1]
    of = f" of {number}" if number else ""
    log.info("job %d%s: %s; %s", job.number, of, job.name, sweep_line(jobs, number))


def _sweep_of(run_dir: Path) -> Path | None:
    """The folder of the sweep, if one of its jobs is run again alone."""
    return next((folder for folder in run_dir.parents if (folder / "multirun.yaml").is_file()), None)


def _run(
    composed: DictConfig,
    run_dir: Path,
    sweep: str | None,
    is_hopeless: Callable[[int, float], bool] | None = None,
) -> float:
    logging.raiseExceptions = False  # on a full disk every line of the log would bring a traceback
    from noternn.datasets.configured import (
        sources_of,  # not above: a mistake is answered before it is imported
    )

    with answering_signals() as stop:
        config = configuration.parse(composed)
        sources = sources_of(config.dataset)
        from noternn.training.run import train  # imports torch: only once all is known to be there

        return float(train(config, sources, run_dir, sweep, stop, is_hopeless)["val/nll"])


def _run_of_sweep(composed: DictConfig, run_dir: Path, sweep_dir: Path) -> float | None:
    try:
        is_hopeless = search.pruning(sweep_dir, HydraConfig.get().sweeper)
        return _run(composed, run_dir, sweep_dir.name, is_hopeless)
    except Exception as error:
        reason = _users_reason(error, run_dir)
        if reason is None:
            log.exception("the job failed")
        _note_failure(run_dir, reason or f"{type(error).__name__}: {error}")
    return None


def _is_side_by_side(hydra_config: HydraConf | DictConfig) -> bool:
    return bool(hydra_config.runtime.choices["hydra/launcher"] == "joblib")


def _run_apart(composed: DictConfig, run_dir: Path, sweep_dir: Path) -> float | None:
    """Run a job in a child of joblib's process, which would end all its neighbors by dying."""
    for module in NEEDED:  # once for all the jobs of this process
        importlib.import_module(module)
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)  # the job has it too, or `_stop_jobs` tells of it
    stop_note, parent = sweep_dir / STOP_NOTE, os.getppid()
    job = multiprocessing.get_context("fork").Process(target=_run_forked, args=(composed, run_dir, sweep_dir))
    job.start()
    is_told = False
    while job.is_alive():
        job.join(POLL_SECONDS)
        if not is_told and (stop_note.exists() or os.getppid() != parent):
            job.terminate()
            is_told = True
    if job.exitcode and job.exitcode < 0:
        name = signal.Signals(-job.exitcode).name
        _note_failure(run_dir, f"its process was ended by {name}; was there too little memory?")
    return (read_summary(run_dir) or {}).get("val/nll")


def _go_on(composed: DictConfig, run_dir: Path) -> None:
    """Begin where a job that was stopped left its last checkpoint."""
    composed.resume = str(run_dir) if (run_dir / "last.ckpt").exists() else None
    if not composed.resume:
        (run_dir / "metrics.csv").unlink(missing_ok=True)


def _run_forked(composed: DictConfig, run_dir: Path, sweep_dir: Path) -> None:
    # An orphan would write into the folder in which its job goes on.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with answering_signals():
        if not (sweep_dir / STOP_NOTE).exists():  # else it came before this process answered
            _run_of_sweep(composed, run_dir, sweep_dir)


def _users_reason(error: Exception, run_dir: Path) -> str | None:
    """What went wrong, where a user can mend it: a mistake, or a disk that takes no more."""
    if isinstance(error, UserError):
        return str(error)
    if not isinstance(error, OSError) or error.errno not in DISK_TROUBLES:
        return None
    advice = "make room, or choose another place with hydra.run.dir=FOLDER"
    if (run_dir / "last.ckpt").exists():
        place = shlex.quote(f"resume={shortest(run_dir)}")
        advice = f"what was written before is intact; make room, then go on with: python train.py {place}"
    return f"{error.filename or run_dir}: cannot be written ({error.strerror}); {advice}"


def _note_failure(run_dir: Path, reason: str) -> None:
    """Leave the reason in the job's folder, for the sweep's table."""
    first_line = reason.splitlines()[0]
    log.error("failed: %s", first_line)
    write_text(run_dir / SUMMARY, json.dumps({"status": "failed", "error": first_line}))


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

        sweep_dir = Path(config.hydra.sweep.dir)
        is_search = config.hydra.runtime.choices["hydra/sweeper"] == "optuna"
        note_sweep(sweep_dir, config.hydra.sweeper.n_trials if is_search else _num_jobs(overrides))
        atexit.register(_leave, sweep_dir)  # `on_multirun_end` is not called after a signal
        is_side_by_side = _is_side_by_side(config.hydra)
        by_submitit = config.hydra.runtime.choices["hydra/launcher"] in launchers.BY_SUBMITIT
        if is_side_by_side or by_submitit:
            _progress.append(SweepProgress(sweep_dir))
            _progress[-1].start()
        if is_side_by_side:
            _stop_jobs(sweep_dir)
            if FORKS:
                _go_on_when_killed(sweep_dir)
        if by_submitit:
            launchers.watch_jobs(sweep_dir, _note_failure)
        if is_search:
            search.register()

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Print and keep the table of all jobs, and a learning curve of some; status 1 if a job failed."""
        from noternn.runs.sweep import SWEEP_COLUMNS

        sweep_dir = Path(config.hydra.sweep.dir)
        atexit.unregister(_leave)
        _end_progress(sweep_dir)
        rows = _save_table(sweep_dir)
        print(f"\n{format_table(rows, SWEEP_COLUMNS)}\n")
        if (sweep_dir / LEARNING_CURVE).exists():
            print(f"learning curve: {sweep_dir / LEARNING_CURVE}")
        if (sweep_dir / search.STUDY).exists() and rows:
            _show_best(sweep_dir, rows[0])
        print(f"table: {sweep_dir / 'sweep.csv'}")
        failed = [row for row in rows if row["status"] == "failed"]
        for row in failed:
            print(f"failed: {row['job']}: {row['error']}", file=sys.stderr)
            print(f"  again, alone: {_command_of(sweep_dir / row['job'])}", file=sys.stderr)
        (sweep_dir / AGAIN_NOTE).unlink(missing_ok=True)
        stop_note = sweep_dir / STOP_NOTE
        if stop_note.exists():
            signum = int(stop_note.read_text(encoding="utf-8"))
            stop_note.unlink()
            _say_how_to_go_on("stopped", sweep_dir)
            raise Stopped(signum)
        if failed:
            _say_how_to_go_on("once that is mended", sweep_dir)
            raise SystemExit(1)


def _show_best(sweep_dir: Path, row: dict[str, Any]) -> None:
    """How to train the best job of a search again."""
    if row["status"] != "finished":
        return
    print(f"best: {shlex.join(['python', 'train.py', *_given(sweep_dir / row['job'])])}")


def _given(run_dir: Path) -> list[str]:
    from noternn.runs.comparison import given_settings  # with Matplotlib: slow to import

    return given_settings(run_dir)


def _leave(sweep_dir: Path) -> None:
    """End a sweep that was stopped between or in jobs which stand one after the other."""
    _end_progress(sweep_dir)
    if _save_table(sweep_dir):
        _say_how_to_go_on("stopped", sweep_dir)


def _end_progress(sweep_dir: Path) -> None:
    while _progress:
        _progress.pop().stop()
    forget_sweep(sweep_dir)
    shutil.rmtree(sweep_dir / CACHE, ignore_errors=True)


def _say_how_to_go_on(why: str, sweep_dir: Path) -> None:
    place = shlex.quote(f"resume={shortest(sweep_dir)}")
    print(f"{why}; go on with the whole sweep: python train.py {place}", file=sys.stderr)


def _command_of(run_dir: Path) -> str:
    """The command that runs a job of a sweep again, by itself and in its folder."""
    folder = shortest(run_dir)
    if (run_dir / "last.ckpt").exists():
        return shlex.join(["python", "train.py", f"resume={folder}"])
    quoted = folder.replace('"', '\\"')  # of a folder's name Hydra would read the commas
    return shlex.join(["python", "train.py", *_given(run_dir), f'hydra.run.dir="{quoted}"'])


def _save_table(sweep_dir: Path) -> list[dict[str, Any]]:
    from noternn.runs.curves import save_learning_curve  # matplotlib is slow to import
    from noternn.runs.sweep import CSV_COLUMNS, sweep_rows

    rows = sweep_rows(sweep_dir)
    if not rows:  # it ended before its first job
        return rows
    write_csv(sweep_dir / "sweep.csv", rows, CSV_COLUMNS)
    save_learning_curve(rows, sweep_dir / LEARNING_CURVE)
    return rows


def _stop_jobs(sweep_dir: Path) -> None:
    """From now on answer signals with a note to the jobs, which save their step and end."""
    (sweep_dir / STOP_NOTE).unlink(missing_ok=True)  # of a sweep that was killed

    def answer(signum: int, _: FrameType | None) -> None:
        if signum == signal.SIGINT and (sweep_dir / STOP_NOTE).exists():
            raise Stopped(signum)  # someone does not want to wait
        write_text(sweep_dir / STOP_NOTE, str(signum))

    for signum in SIGNALS:
        signal.signal(signum, answer)


def _go_on_when_killed(sweep_dir: Path) -> None:
    """When one of its processes is killed, joblib kills the others and gives up: start it for what is left.

    Not more often than there are jobs, lest one that takes all memory be started forever.
    """
    from hydra_plugins.hydra_joblib_launcher import _core
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    launch = _core.launch
    (sweep_dir / AGAIN_NOTE).unlink(missing_ok=True)

    def launch_again(launcher: Any, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Any:
        for _ in job_overrides:
            try:
                return launch(launcher, job_overrides, initial_job_idx)
            except TerminatedWorkerError:
                message = (
                    "a process of the sweep was killed: jobs in flight go on from their last checkpoints"
                )
                tqdm.write(message, file=sys.stderr)
                write_text(sweep_dir / AGAIN_NOTE, "")
        return launch(launcher, job_overrides, initial_job_idx)

    _core.launch = launch_again


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


def _num_jobs(overrides: list[Override]) -> int | None:
    """How many jobs the values of a sweep make; None where a sweeper draws some."""
    swept = [override for override in overrides if override.is_sweep_override()]
    if not all(override.is_discrete_sweep() for override in swept):
        return None
    return math.prod(sum(1 for _ in override.sweep_string_iterator()) for override in swept)
