"""One run of a composed configuration, alone or as a job of a sweep, and what its failure says."""

from __future__ import annotations

import errno
import json
import logging
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from noternn.config import schema as configuration
from noternn.config.programs import train_command
from noternn.config.schema import Config
from noternn.errors import UserError
from noternn.files import shortest, write_text
from noternn.launch import notes, search
from noternn.launch.resume import quoted
from noternn.runs.folder import RunFolder
from noternn.runs.leftover import holds_a_run
from noternn.runs.record import write_record
from noternn.runs.summary import read_summary
from noternn.training.stopping import answering_signals

log = logging.getLogger(__name__)

# Full, over the quota or a file's limit, read-only, not permitted, broken. Windows has no quotas.
DISK_TROUBLES = {errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO}
DISK_TROUBLES |= {errno.EDQUOT} if hasattr(errno, "EDQUOT") else set()


def run(
    composed: DictConfig,
    run_dir: Path,
    sweep: Path | None,
    is_hopeless: Callable[[int, float], bool] | None = None,
    begin: Callable[[Config], object] | None = None,
) -> float:
    """Train with a composed configuration; the best val/nll.

    Args:
        composed: as Hydra gives it.
        run_dir: the folder of the run.
        sweep: the folder of the sweep that it is a job of.
        is_hopeless: told an epoch and its val/nll, whether to give the run up.
        begin: called with the settings that are trained with when all is checked, before the first file is
            written; the record is, at that moment.
    """
    logging.raiseExceptions = False  # on a full disk every line of the log would bring a traceback
    from noternn.datasets.configured import (
        sources_of,  # not above: a mistake is answered before it is imported
    )

    with answering_signals() as stop:
        config = configuration.parse(composed)
        sources = sources_of(config.dataset)
        from noternn.training.ancestor import refuse_other_network
        from noternn.training.run import train  # imports torch: only once all is known to be there

        refuse_other_network(config, HydraConfig.get().overrides.task)

        def begin_run(settled: Config) -> None:
            if begin:
                begin(settled)
            _write_record(composed, run_dir, settled)

        return float(train(config, sources, run_dir, sweep, stop, is_hopeless, begin_run)["val/nll"])


def _write_record(composed: DictConfig, run_dir: Path, settled: Config | None = None) -> None:
    """Note the settings that are trained with, the options that were chosen, and what was given.

    Args:
        composed: as Hydra gives it.
        run_dir: the folder of the run.
        settled: in which nothing is left to decide; None where it did not begin.
    """
    hydra_config, settings = HydraConfig.get(), OmegaConf.to_container(composed, resolve=True)
    assert isinstance(settings, dict)
    given = [_without_references(override, composed) for override in hydra_config.overrides.task]
    plain = {str(section): values for section, values in settings.items()}
    if settled:
        plain |= {name: asdict(getattr(settled, name)) for name in ("model", "tokenizer", "trainer")}
        plain["sampling"] |= asdict(settled.sampling)
    write_record(run_dir, plain, dict(hydra_config.runtime.choices), given)


def _without_references(override: str, composed: DictConfig) -> str:
    """An override with the value that a `${...}` in it had: it is taken from no record."""
    name = override.partition("=")[0].lstrip("+")
    value = OmegaConf.select(composed, name) if "${" in override else None
    if not isinstance(value, (str, int, float, bool)):
        return override
    return f"{override.partition('=')[0]}={quoted(value) if isinstance(value, str) else value}"


def run_of_sweep(composed: DictConfig, run_dir: Path, sweep_dir: Path) -> float | None:
    """Run a job of a sweep; the best val/nll, None if it failed, which is noted in its folder."""
    try:
        is_hopeless = search.pruning(sweep_dir, HydraConfig.get().sweeper)
        return run(composed, run_dir, sweep_dir, is_hopeless, partial(_note_epochs, sweep_dir, run_dir))
    except Exception as error:
        reason = users_reason(error, run_dir)
        if reason is None:
            log.exception("the job failed")
        if not RunFolder(run_dir).overrides.exists():  # it did not begin: the record says what it would be
            with suppress(OSError):
                _write_record(composed, run_dir)
        note_failure(run_dir, reason or f"{type(error).__name__}: {error}")
    return None


def _note_epochs(sweep_dir: Path, run_dir: Path, settled: Config) -> None:
    notes.note_epochs(sweep_dir, run_dir, settled.trainer.max_epochs)


def users_reason(error: Exception, run_dir: Path) -> str | None:
    """What went wrong, where a user can mend it: a mistake, or a disk that takes no more."""
    if isinstance(error, UserError):
        return str(error)
    if not isinstance(error, OSError) or error.errno not in DISK_TROUBLES:
        return None
    folder, place = RunFolder(run_dir), shlex.quote(f"resume={shortest(run_dir)}")
    advice = "make room, or choose another place with hydra.run.dir=FOLDER"
    if folder.last_checkpoint.exists():
        advice = f"what was written before is intact; make room, then go on with: {train_command()} {place}"
    elif folder.overrides.exists() and not holds_a_run(run_dir):
        advice = f"make room, then start over with: {train_command()} {place}"
    return f"{error.filename or run_dir}: cannot be written ({error.strerror}); {advice}"


def note_failure(run_dir: Path, reason: str) -> None:
    """Leave the reason in the job's folder, for the sweep's table; what a run came to is never replaced."""
    first_line = reason.splitlines()[0]
    log.error("failed: %s", first_line)
    summary = read_summary(run_dir)
    if summary and summary["status"] != "failed":
        return
    write_text(RunFolder(run_dir).summary, json.dumps({"status": "failed", "error": first_line}))
