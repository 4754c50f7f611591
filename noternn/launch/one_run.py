"""One run of a composed configuration, alone or as a job of a sweep, and what its failure says."""

from __future__ import annotations

import errno
import json
import logging
import shlex
from collections.abc import Callable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from noternn.config import schema as configuration
from noternn.config.programs import train_command
from noternn.errors import UserError
from noternn.files import shortest, write_text
from noternn.launch import search
from noternn.runs.folder import RunFolder
from noternn.training.stopping import answering_signals

log = logging.getLogger(__name__)

# Full, over the quota or a file's limit, read-only, not permitted, broken. Windows has no quotas.
DISK_TROUBLES = {errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO}
DISK_TROUBLES |= {errno.EDQUOT} if hasattr(errno, "EDQUOT") else set()


def run(
    composed: DictConfig,
    run_dir: Path,
    sweep: str | None,
    is_hopeless: Callable[[int, float], bool] | None = None,
) -> float:
    """Train with a composed configuration; the best val/nll.

    Args:
        composed: as Hydra gives it.
        run_dir: the folder of the run.
        sweep: the name of the sweep that it is a job of.
        is_hopeless: told an epoch and its val/nll, whether to give the run up.
    """
    logging.raiseExceptions = False  # on a full disk every line of the log would bring a traceback
    from noternn.datasets.configured import (
        sources_of,  # not above: a mistake is answered before it is imported
    )

    with answering_signals() as stop:
        config = configuration.parse(composed)
        sources = sources_of(config.dataset)
        from noternn.training.run import train  # imports torch: only once all is known to be there

        return float(train(config, sources, run_dir, sweep, stop, is_hopeless)["val/nll"])


def run_of_sweep(composed: DictConfig, run_dir: Path, sweep_dir: Path) -> float | None:
    """Run a job of a sweep; the best val/nll, None if it failed, which is noted in its folder."""
    try:
        is_hopeless = search.pruning(sweep_dir, HydraConfig.get().sweeper)
        return run(composed, run_dir, sweep_dir.name, is_hopeless)
    except Exception as error:
        reason = users_reason(error, run_dir)
        if reason is None:
            log.exception("the job failed")
        note_failure(run_dir, reason or f"{type(error).__name__}: {error}")
    return None


def users_reason(error: Exception, run_dir: Path) -> str | None:
    """What went wrong, where a user can mend it: a mistake, or a disk that takes no more."""
    if isinstance(error, UserError):
        return str(error)
    if not isinstance(error, OSError) or error.errno not in DISK_TROUBLES:
        return None
    advice = "make room, or choose another place with hydra.run.dir=FOLDER"
    if RunFolder(run_dir).last_checkpoint.exists():
        place = shlex.quote(f"resume={shortest(run_dir)}")
        advice = f"what was written before is intact; make room, then go on with: {train_command()} {place}"
    return f"{error.filename or run_dir}: cannot be written ({error.strerror}); {advice}"


def note_failure(run_dir: Path, reason: str) -> None:
    """Leave the reason in the job's folder, for the sweep's table."""
    first_line = reason.splitlines()[0]
    log.error("failed: %s", first_line)
    write_text(RunFolder(run_dir).summary, json.dumps({"status": "failed", "error": first_line}))
