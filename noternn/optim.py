"""`torch.optim.<name>` from the config."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def build_optimizer(parameters: Iterable[nn.Parameter], name: str, **options: Any) -> torch.optim.Optimizer:
    """The optimizer class `name` of torch.optim with its keyword arguments."""
    optimizer_class = getattr(torch.optim, name)
    optimizer: torch.optim.Optimizer = optimizer_class(parameters, **options)
    return optimizer
