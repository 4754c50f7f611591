"""Folders of runs and sweeps, claimed before Hydra writes into them, under names that no other has."""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from noternn.errors import UserError
from noternn.files import shortest
from noternn.launch.resume import quoted
from noternn.runs.folder import RunFolder, refuse_links
from noternn.runs.leftover import holds_a_run, refuse_second_run
from noternn.runs.owner import Claim

CLOCK = "${now:"  # in a folder's name: two that begin in one moment would have the same

_claims: list[Claim] = []  # of this process


class ClaimCallback(Callback):
    """Named in conf/config.yaml; Hydra calls it before it makes the folder of a run or of a sweep."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Claim the folder of a run, or end the program with the reason in one line."""
        with _told("hydra.run.dir", config.resume):
            folder = _claim(config, "hydra.run.dir", refuse_second_run)
        with read_write(config), open_dict(config):
            config.hydra.run.dir = str(folder)
            config.hydra.output_subdir = None  # the record is ours, written when the run begins

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Claim the folder of a sweep in the same way."""
        with _told("hydra.sweep.dir", config.resume):
            folder = _claim(config, "hydra.sweep.dir", _refuse_second_sweep)
        with read_write(config), open_dict(config):
            if str(folder) != config.hydra.sweep.dir:  # jobs are composed anew, also in other processes
                config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(str(folder))}")
            config.hydra.sweep.dir = str(folder)


def release_claims() -> None:
    """Let other processes into the folders that this one has claimed."""
    while _claims:
        _claims.pop().release()


@contextmanager
def _told(setting: str, resume: str | None) -> Iterator[None]:
    """End the program with a mistake in one line: Hydra would go on after any other exception."""
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        advice = f"choose another place with {setting}=FOLDER"
        if resume:
            advice = "go on with a copy in another place"
        sys.exit(f"error: {error.filename}: cannot be written ({error.strerror}); {advice}")


def _claim(config: DictConfig, setting: str, refuse_second: Callable[[Path], None]) -> Path:
    """Claim the folder that a setting names, or beside it one with a number if it is named by the clock.

    Args:
        config: composed, with Hydra's own settings.
        setting: of the folder.
        refuse_second: refuses the folder if there is something that a new run or sweep would destroy.
    """
    HydraConfig.instance().set_config(copy.deepcopy(config))  # names refer to it; it is made read-only
    section, _, name = setting.rpartition(".")
    folder = Path(str(OmegaConf.select(config, setting)))
    as_written = OmegaConf.to_container(OmegaConf.select(config, section), resolve=False)
    is_by_clock = isinstance(as_written, dict) and CLOCK in str(as_written[name])
    refuse_links(folder)  # before Hydra opens its log
    if not is_by_clock:
        claim = Claim(folder)
        _claims.append(claim)
        if not config.resume:
            refuse_second(folder)
        return folder
    for number in itertools.count(1):
        place = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        with suppress(FileExistsError):
            _claims.append(Claim(place, is_new=True))
            return place
    raise AssertionError


def _refuse_second_sweep(sweep_dir: Path) -> None:
    """Refuse a folder for a new sweep if there is another, or a run, of which a job has begun."""
    folder, where = RunFolder(sweep_dir), shortest(sweep_dir)
    if folder.is_sweep and folder.jobs:
        raise UserError(
            f"{where} already holds a sweep; continue it with resume={where}, or give another folder"
        )
    if holds_a_run(sweep_dir) and not folder.is_sweep:
        raise UserError(f"{where} already holds a run; give the sweep another folder")
