"""How a sweep searches: the type of conf/hydra/sweeper/optuna.yaml."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from noternn.config.checks import require


@dataclass
class Search:
    """Of Hydra's sweeper `optuna`, see `noternn.launch.search.OptunaSweeper`.

    Args:
        n_trials: how many there shall be, with those that a search which goes on has behind it.
        n_jobs: trials of a batch; None takes as many as joblib runs side by side, else one.
        seed: of the draws.
        n_startup_trials: that finish before any is pruned.
        n_warmup_epochs: of each trial before it may be.
        params: what an experiment sweeps, by setting.
        trial: in a job the number of its own.
    """

    _target_: str = MISSING
    n_trials: int = 20
    n_jobs: int | None = None
    seed: int = 0
    n_startup_trials: int = 5
    n_warmup_epochs: int = 5
    params: dict[str, str] | None = None
    trial: int | None = None

    def __post_init__(self) -> None:
        least = {"n_trials": 1, "seed": 0, "n_startup_trials": 0, "n_warmup_epochs": 0}
        for key, number in least.items():
            value = getattr(self, key)
            require(value >= number, f"hydra.sweeper.{key}", value, f"at least {number}")
        if self.n_jobs is not None:
            require(self.n_jobs >= 1, "hydra.sweeper.n_jobs", self.n_jobs, "at least 1, or null")
