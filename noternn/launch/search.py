"""A search: a sweep whose jobs Optuna chooses by what those before came to; hopeless ones end early.

Hydra's sweeper `optuna` (conf/hydra/sweeper/optuna.yaml). The study lies in the sweep's folder, in SQLite:
jobs report their epochs to it from their own processes, and a search that was stopped goes on from it.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from noternn.config.sweeper import Search
from noternn.errors import UserError
from noternn.runs.folder import RunFolder
from noternn.runs.summary import read_summary

if TYPE_CHECKING:  # an extra, and half a second to import
    import optuna
    from optuna.distributions import BaseDistribution

log = logging.getLogger(__name__)

PLUGIN = "hydra_plugins.noternn.OptunaSweeper"  # what conf/hydra/sweeper/optuna.yaml names
STUDY = "study.db"  # in a sweep's folder
LOCK_SECONDS = 60  # that a job waits for others which write to the study
START_SECONDS = 3  # the same of a search that begins: none of its jobs writes yet
Space = dict[str, "BaseDistribution"]
Settings = tuple[str, ...]  # drawn for a trial, as overrides


class TrialResult(NamedTuple):
    """What a job came to: finished, pruned or failed, with its lowest val/nll."""

    status: str
    value: float | None = None


def register() -> None:
    """Make the sweeper known to Hydra, which takes plugins only from a package called `hydra_plugins`."""
    Plugins.instance().class_name_to_class[PLUGIN] = OptunaSweeper


def distribution(override: Override) -> BaseDistribution:
    """What the values of a swept setting are drawn from.

    An interval is drawn from evenly, `tag(log,interval(...))` evenly in the logarithm, `int(interval(...))`
    in whole numbers; a range by its steps; a list is a choice.

    Raises:
        UserError: if nothing can be drawn from it.
    """
    from optuna.distributions import CategoricalDistribution

    value = override.value()
    try:
        if isinstance(value, IntervalSweep):
            return _interval(value)
        if isinstance(value, RangeSweep):
            return _range(value)
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except ValueError as error:
        raise UserError(f"{override.input_line}: nothing can be drawn from it: {error}") from error


def _interval(value: IntervalSweep) -> BaseDistribution:
    from optuna.distributions import FloatDistribution, IntDistribution

    assert value.start is not None
    assert value.end is not None
    is_log = "log" in value.tags
    if isinstance(value.start, int) and isinstance(value.end, int):
        return IntDistribution(value.start, value.end, log=is_log)
    return FloatDistribution(value.start, value.end, log=is_log)


def _range(value: RangeSweep) -> BaseDistribution:
    """The numbers in Hydra's range, without its end."""
    from optuna.distributions import FloatDistribution, IntDistribution

    numbers = sorted(value.range())
    if not numbers:
        raise ValueError("it is empty")
    if isinstance(value.step, int) and all(isinstance(number, int) for number in numbers):
        return IntDistribution(numbers[0], numbers[-1], step=abs(value.step))
    return FloatDistribution(numbers[0], numbers[-1], step=abs(float(value.step)))


def settings(drawn: Mapping[str, object], space: Space) -> Settings:
    """Overrides of what was drawn, in the order of the space; a job's folder is named by them."""
    values = {name: drawn[name] for name in space}
    return tuple(f"{n}={v:.6g}" if isinstance(v, float) else f"{n}={v}" for n, v in values.items())


def open_study(sweep_dir: Path, n_startup_trials: int, n_warmup_epochs: int) -> optuna.Study:
    """The study in a sweep's folder, a new one if there is none, with a pruner; see `OptunaSweeper`."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials, n_warmup_epochs + 1)  # epochs count from 1
    path = sweep_dir / STUDY
    try:
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}}
        )
        return optuna.create_study(storage=storage, study_name="search", pruner=pruner, load_if_exists=True)
    except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        raise _unusable(path, getattr(error, "orig", None) or error) from error


def refuse_locked(sweep_dir: Path) -> None:
    """Say soon that the study in a sweep's folder cannot be written to, before a search begins.

    Raises:
        UserError: if another process keeps it locked, or it is damaged or read-only.
    """
    path = sweep_dir / STUDY
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=START_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: object) -> UserError:
    reason = str(error).splitlines()[0]
    return UserError(
        f"{path}: the study of this search cannot be opened ({reason}); end what uses it, or search in a "
        "new folder"
    )


def pruning(sweep_dir: Path, sweeper: DictConfig) -> Callable[[int, float], bool] | None:
    """For a job what reports the val/nll of an epoch to its trial and says whether the trial is hopeless.

    Args:
        sweep_dir: where the study lies.
        sweeper: Hydra's settings of the sweeper, as the job has them.

    Returns:
        None if the job is no trial of a search.
    """
    number = OmegaConf.select(sweeper, "trial")
    if number is None:
        return None
    import optuna

    study = open_study(sweep_dir, sweeper.n_startup_trials, sweeper.n_warmup_epochs)
    begun = study.get_trials(deepcopy=False)[number]
    trial = optuna.Trial(study, begun._trial_id)  # Optuna has no public way to the trial of another process
    reported = set(begun.intermediate_values)  # by a run that was killed before it saved the epoch

    def is_hopeless(epoch: int, value: float) -> bool:
        if epoch not in reported:
            trial.report(value, epoch)
        return bool(trial.should_prune())

    return is_hopeless


class OptunaSweeper(Sweeper):
    """Launches trials in batches, drawn by a tree-structured Parzen estimator from what came before.

    The estimator is Optuna's TPE (Bergstra et al. 2011, "Algorithms for hyper-parameter optimization"). A
    trial is hopeless when its lowest val/nll is above the median of those that finished, at the same epoch.

    Args:
        settings: the fields of `noternn.config.sweeper.Search`.
    """

    def __init__(self, **settings: Any) -> None:
        self.search = Search(**settings)
        self._results: dict[Settings, TrialResult] = {}
        self._num_launched = 0

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra calls it before `sweep`."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search until there are enough trials, or a signal stops one."""
        assert self.config is not None
        fixed, space = self._parse(arguments)
        if not space:
            sys.exit("error: hydra/sweeper=optuna: there is nothing to search; give a setting several values")
        sweep_dir = Path(self.config.hydra.sweep.dir)
        sweep_dir.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, RunFolder(sweep_dir).multirun)
        try:
            refuse_locked(sweep_dir)
            study = open_study(sweep_dir, self.search.n_startup_trials, self.search.n_warmup_epochs)
        except UserError as error:
            sys.exit(f"error: {error}")
        begun = self._take_up(study, space)
        num_left = self.search.n_trials - len(study.get_trials(deepcopy=False, states=_settled()))
        while num_left > 0:
            size = min(num_left, self.search.n_jobs or _num_side_by_side(self.config))
            batch = dict(begun.pop(0) if begun else self._ask(study, space) for _ in range(size))
            if not self._try(study, fixed, batch):
                return
            num_left -= size

    def _parse(self, arguments: Sequence[str]) -> tuple[list[str], Space]:
        """The overrides that all jobs share, and what the others are drawn from."""
        assert self.hydra_context is not None
        swept = [f"{name}={values}" for name, values in (self.search.params or {}).items()]
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = {o.get_key_element(): o for o in parser.parse_overrides([*swept, *arguments])}
        fixed = [str(o.input_line) for o in overrides.values() if not o.is_sweep_override()]
        space = {key: distribution(o) for key, o in overrides.items() if o.is_sweep_override()}
        return fixed, space

    def _take_up(self, study: optuna.Study, space: Space) -> list[tuple[int, Settings]]:
        """The trials that a search was stopped in, and new ones for those that failed."""
        from optuna.trial import TrialState

        begun: list[tuple[int, Settings]] = []
        failed: dict[Settings, dict[str, Any]] = {}
        for trial in study.get_trials(deepcopy=False):
            if trial.distributions != space:
                continue  # sweeps are shared: nothing but values that could have been drawn becomes a setting
            drawn = settings(trial.params, space)
            if trial.state in _settled():
                is_pruned = trial.state == TrialState.PRUNED
                self._results[drawn] = TrialResult("pruned" if is_pruned else "finished", trial.value)
            elif trial.state == TrialState.RUNNING:
                begun.append((trial.number, drawn))
            else:
                failed[drawn] = trial.params
        taken_up = {*self._results, *(drawn for _, drawn in begun)}
        for drawn, params in failed.items():
            if drawn not in taken_up:
                study.enqueue_trial(params)
                begun.append(self._ask(study, space))
        return begun

    def _ask(self, study: optuna.Study, space: Space) -> tuple[int, Settings]:
        """The number of a new trial, and what was drawn for it."""
        from optuna.samplers import TPESampler

        # Draws depend on the trials before, not on whether the search was stopped between them.
        seed = (self.search.seed + len(study.get_trials(deepcopy=False))) % 2**32
        study.sampler = TPESampler(seed=seed)
        trial = study.ask(space)
        return trial.number, settings(trial.params, space)

    def _try(self, study: optuna.Study, fixed: Sequence[str], batch: Mapping[int, Settings]) -> bool:
        """Run a batch; True if no job of it was stopped. Trials that were tried before are not run again."""
        new: dict[Settings, int] = {}
        for number, drawn in batch.items():
            if drawn not in self._results:
                new.setdefault(drawn, number)
        jobs = [[*fixed, *drawn, f"hydra.sweeper.trial={number}"] for drawn, number in new.items()]
        returned = self.launcher.launch(jobs, initial_job_idx=self._num_launched) if jobs else []
        self._num_launched += len(jobs)
        for drawn, job in zip(new, returned, strict=True):
            result = _result_of(job)
            if result:
                self._results[drawn] = result
        for number, drawn in batch.items():
            if drawn in self._results:
                self._tell(study, number, self._results[drawn])
        return all(drawn in self._results for drawn in batch.values())

    def _tell(self, study: optuna.Study, number: int, result: TrialResult) -> None:
        from optuna.trial import TrialState

        if result.status == "finished":
            study.tell(number, result.value)
        else:
            study.tell(number, state=TrialState.PRUNED if result.status == "pruned" else TrialState.FAIL)
        value = "" if result.value is None else f", val/nll {result.value:.4f}"
        finished = [o.value for o in self._results.values() if o.status == "finished" and o.value is not None]
        best = f" (lowest: {min(finished):.4f})" if finished else ""
        log.info("trial %d %s%s%s", number, result.status, value, best)


def _settled() -> tuple[optuna.trial.TrialState, ...]:
    """The states of trials that are not tried again."""
    from optuna.trial import TrialState

    return (TrialState.COMPLETE, TrialState.PRUNED)


def _num_side_by_side(config: DictConfig) -> int:
    """How many jobs the launcher runs at a time, as far as its settings say."""
    n_jobs = OmegaConf.select(config, "hydra.launcher.n_jobs")
    if n_jobs is None:
        return 1
    import joblib

    return int(joblib.effective_n_jobs(n_jobs))


def _result_of(job: JobReturn) -> TrialResult | None:
    """What a job left in its folder; None if it was stopped."""
    if job.status != JobStatus.COMPLETED or job.hydra_cfg is None:
        return TrialResult("failed")
    summary = read_summary(Path(job.hydra_cfg.hydra.runtime.output_dir))
    return TrialResult(summary["status"], summary.get("val/nll")) if summary else None
