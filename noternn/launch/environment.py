"""What of the environment would end a run late, refused before anything slow begins."""

from __future__ import annotations

import os

from noternn.errors import UserError

WANDB_MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")
INTERACTIVE = ("bash", "interactive")  # names of Slurm's jobs in which Lightning does not look at tasks


def check_environment() -> None:
    """Refuse a WANDB_MODE that wandb does not know, and a Slurm job of several tasks.

    Raises:
        UserError: says what to set instead.
    """
    mode = os.environ.get("WANDB_MODE")
    if mode and mode not in WANDB_MODES:
        raise UserError(f"WANDB_MODE={mode}: it must be {', '.join(WANDB_MODES)}")
    num_tasks = os.environ.get("SLURM_NTASKS", "1")
    is_batch = os.environ.get("SLURM_JOB_NAME") not in (None, *INTERACTIVE)
    if is_batch and num_tasks != "1" and "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise UserError(
            f"SLURM_NTASKS={num_tasks}: a run is one task; start the job with --ntasks=1, "
            "and the jobs of a sweep with hydra/launcher=slurm"
        )
