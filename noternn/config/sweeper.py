"""How a sweep searches: the type of conf/hydra/sweeper/optuna.yaml."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from noternn.config.checks import Section, setting


@dataclass
class Search(Section, group="hydra.sweeper"):
    """Of Hydra's sweeper `optuna`, see `noternn.launch.search.OptunaSweeper`.

    `params` is what an experiment sweeps, by setting; `trial` is a job's own number.
    """

    _target_: str = MISSING
    n_trials: int = setting(at_least=1, help="trials in all, with those that are behind a search")
    n_jobs: int | None = setting(at_least=1, note=", or null", help="trials of a batch; null takes joblib's")
    seed: int = setting(at_least=0, at_most=2**32 - 1, help="of the draws")
    n_startup_trials: int = setting(at_least=0, help="trials that finish before any is pruned")
    n_warmup_epochs: int = setting(at_least=0, help="epochs of each trial before it may be pruned")
    params: dict[str, str] | None = None
    trial: int | None = None
