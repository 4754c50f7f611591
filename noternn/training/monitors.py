"""Lightning's callbacks that only watch a run, by their names, with checked arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import callbacks
from pytorch_lightning.callbacks import Callback

from noternn.config.checks import choices
from noternn.config.training import CALLBACKS
from noternn.errors import UserError, require


def check_monitors(chosen: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse an argument that Lightning would not take, and a callback whose library is not there.

    Args:
        chosen: the arguments by the callback's name.

    Raises:
        UserError: says what was given and what is allowed.
    """
    build_monitors(chosen)
    if chosen.get("DeviceStatsMonitor", {"cpu_stats": False}).get("cpu_stats") is not False:
        require("psutil", "callbacks=DeviceStatsMonitor")


def build_monitors(chosen: Mapping[str, Mapping[str, Any]]) -> list[Callback]:
    """The callbacks, in the order given; `chosen` and errors as `check_monitors` has them."""
    return [_build(name, arguments) for name, arguments in chosen.items()]


def _build(name: str, arguments: Mapping[str, Any]) -> Callback:
    assert name in CALLBACKS, name  # the configuration was checked
    kind: type[Callback] = getattr(callbacks, name)
    allowed = list(inspect.signature(kind).parameters)
    for argument in arguments:
        if argument not in allowed:
            known = choices(argument, allowed)
            raise UserError(f"callbacks.{name}.{argument}: there is no such argument; it has {known}")
    try:
        return kind(**arguments)
    except (MisconfigurationException, TypeError, ValueError) as error:
        given = ", ".join(f"{argument}={value}" for argument, value in arguments.items())
        raise UserError(f"callbacks.{name}: {given}: {' '.join(str(error).split())}") from None
