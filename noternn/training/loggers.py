"""Loggers that need no account, beside wandb: TensorBoard's files and Trackio's dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger

from noternn.config.training import Logger as Settings
from noternn.errors import require

EXTRAS = ("tensorboard", "trackio")


def check_loggers(settings: Settings) -> None:
    """Refuse a logger whose library is not there.

    Raises:
        UserError: says how to install it.
    """
    for name in EXTRAS:
        if getattr(settings, name):
            require(name, f"logger={name}")


def build_loggers(
    settings: Settings, run_dir: Path, group: str | None, config: Mapping[str, Any]
) -> list[Logger]:
    """The loggers that were asked for, but wandb's.

    Args:
        settings: say which.
        run_dir: the run's folder; its name names the run.
        group: the sweep's name, or None.
        config: all settings, as plain data.
    """
    loggers: list[Logger] = []
    if settings.tensorboard:
        loggers.append(TensorBoardLogger(run_dir, name="tensorboard", version=""))
    if settings.trackio:
        loggers.append(TrackioLogger(settings.project, run_dir.name, group, config))
    return loggers


class TrackioLogger(Logger):
    """Hands the losses to Trackio, which keeps them on this machine.

    Args:
        project: of the dashboard.
        run: the run's name there.
        group: the sweep's name, or None.
        config: plain data.
    """

    def __init__(self, project: str, run: str, group: str | None, config: Mapping[str, Any]) -> None:
        super().__init__()
        import trackio

        self.project = project
        with redirect_stdout(StringIO()):  # it greets
            self.run = trackio.init(
                project, run, group, config=dict(config), resume="allow", embed=False,
                auto_log_cpu=False, auto_log_gpu=False,
            )  # fmt: skip

    @property
    def name(self) -> str:
        """Of the library."""
        return "trackio"

    @property
    def version(self) -> str:
        """The run's name."""
        return str(self.run.name)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Tell the figures of a step."""
        self.run.log(dict(metrics), step=step)

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """The settings are there from the start."""

    def finalize(self, _: str) -> None:
        """Write what is left; the run may go on later."""
        with redirect_stdout(StringIO()):
            self.run.finish()  # type: ignore[no-untyped-call]
