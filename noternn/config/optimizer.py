"""How the weights are changed, and how fast: the types of conf/optimizer/ and conf/schedule/."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from noternn.config.checks import Section, require, setting
from noternn.errors import UserError


@dataclass
class Optimizer(Section, group="optimizer"):
    """The class `name` of torch.optim and its keyword arguments."""

    name: str = setting(help="a class of torch.optim")
    lr: float = setting(above=0, note=" and finite", help="learning rate")
    weight_decay: float = setting(
        at_least=0, note=" and finite", help="how much weights shrink by themselves"
    )

    def __post_init__(self) -> None:
        """Refuse what is outside its range, and the name of another optimizer."""
        super().__post_init__()
        names = {"Adam": ("Adam", "AdamW")}.get(type(self).__name__, (type(self).__name__,))
        require(self.name in names, "optimizer.name", self.name, f"{' or '.join(names)}; set optimizer=...")


@dataclass
class Adam(Optimizer):
    """Adam and AdamW."""

    betas: tuple[float, float] = setting(help="how long the averages of gradients and squares remember")

    def __post_init__(self) -> None:
        super().__post_init__()
        inside = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        require(inside, "optimizer.betas", list(self.betas), "two numbers of at least 0 and below 1")


@dataclass
class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    momentum: float = setting(at_least=0, below=1, help="share of the last step that goes on")
    nesterov: bool = setting(help="look ahead along the momentum")

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = "above 0, or give optimizer.nesterov=false too"
        require(self.momentum > 0 or not self.nesterov, "optimizer.momentum", self.momentum, allowed)


@dataclass
class RMSprop(Optimizer):
    """RMSprop."""

    alpha: float = setting(at_least=0, below=1, help="how long the average of squares remembers")
    momentum: float = setting(at_least=0, below=1, help="share of the last step that goes on")


@dataclass
class Adagrad(Optimizer):
    """Adagrad."""

    lr_decay: float = setting(at_least=0, note=" and finite", help="how fast the learning rate falls")


@dataclass
class Adadelta(Optimizer):
    """Adadelta."""

    rho: float = setting(at_least=0, below=1, help="how long the average of squares remembers")


def check_free(options: Mapping[Any, Any]) -> None:
    """Refuse what no optimizer takes in a file of the user's own, which has no type of this module.

    Its other keyword arguments are checked where torch is imported, see `noternn.training.optim`.

    Raises:
        UserError: if there is no name, or no learning rate or weight decay within its range.
    """
    absent = next((name for name in ("name", "lr") if options.get(name) in (None, MISSING)), None)
    if absent:
        raise UserError(f"optimizer.{absent} is not set: write {absent}: ... in the optimizer's file")
    lr, weight_decay = options["lr"], options.get("weight_decay", 0)
    require(isinstance(options["name"], str), "optimizer.name", options["name"], "a class of torch.optim")
    require(_is_finite(lr) and lr > 0, "optimizer.lr", lr, "above 0 and finite")
    is_decay = _is_finite(weight_decay) and weight_decay >= 0
    require(is_decay, "optimizer.weight_decay", weight_decay, "at least 0 and finite")


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@dataclass
class Schedule(Section, group="schedule"):
    """See `noternn.training.optim.Schedule`."""

    name: str = setting(
        one_of=("constant", "cosine", "plateau"),
        note="; set schedule=...",
        help="choose with schedule=OPTION",
    )
    warmup_epochs: float = setting(at_least=0, note=" and finite", help="epochs that the rate rises from 0")
    final_fraction: float = setting(0.0, at_least=0, at_most=1, help="of the rate, where a cosine ends")
    factor: float = setting(0.5, at_least=0, at_most=1, help="what a plateau multiplies the rate by")
    patience: int = setting(2, at_least=1, help="epochs without a lower val/nll that are a plateau")
    piece_tokens: int | None = setting(
        None, at_least=1, help="smaller steps where pieces are longer than this"
    )
