"""What of the environment would end a run late, refused before anything slow begins."""

from __future__ import annotations

import os

from noternn.errors import UserError

WANDB_MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")


def check_environment() -> None:
    """Refuse a WANDB_MODE that wandb does not know.

    Raises:
        UserError: says what to set instead.
    """
    mode = os.environ.get("WANDB_MODE")
    if mode and mode not in WANDB_MODES:
        raise UserError(f"WANDB_MODE={mode}: it must be {', '.join(WANDB_MODES)}")
