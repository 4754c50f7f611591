"""Import all that a run needs before it begins."""

from __future__ import annotations

import importlib

# wandb takes in the last when it begins.
NEEDED = ("noternn.training.run", "noternn.music.score", "wandb.sdk.launch")


def preload() -> None:
    """Import all that a run needs: processes forked from this one have it already."""
    for module in NEEDED:
        importlib.import_module(module)
