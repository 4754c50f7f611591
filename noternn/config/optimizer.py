"""How the weights are changed, and how fast: the types of conf/optimizer/ and conf/schedule/."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from noternn.config.checks import require, require_finite


@dataclass
class Optimizer:
    """The class `name` of torch.optim and its keyword arguments."""

    name: str = MISSING
    lr: float = MISSING
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        names = {"Adam": ("Adam", "AdamW")}.get(type(self).__name__, (type(self).__name__,))
        require(self.name in names, "optimizer.name", self.name, f"{' or '.join(names)}; set optimizer=...")
        require(0 < self.lr < float("inf"), "optimizer.lr", self.lr, "above 0 and finite")
        require_finite("optimizer.weight_decay", self.weight_decay)


@dataclass
class Adam(Optimizer):
    """Adam and AdamW."""

    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        super().__post_init__()
        inside = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        require(inside, "optimizer.betas", list(self.betas), "two numbers of at least 0 and below 1")


@dataclass
class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    momentum: float = 0.9
    nesterov: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "at least 0 and below 1")
        allowed = "above 0, or give optimizer.nesterov=false too"
        require(self.momentum > 0 or not self.nesterov, "optimizer.momentum", self.momentum, allowed)


@dataclass
class RMSprop(Optimizer):
    """RMSprop."""

    alpha: float = 0.99
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("alpha", "momentum"):
            value = getattr(self, key)
            require(0 <= value < 1, f"optimizer.{key}", value, "at least 0 and below 1")


@dataclass
class Adagrad(Optimizer):
    """Adagrad."""

    lr_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_finite("optimizer.lr_decay", self.lr_decay)


@dataclass
class Adadelta(Optimizer):
    """Adadelta."""

    rho: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.rho < 1, "optimizer.rho", self.rho, "at least 0 and below 1")


@dataclass
class Schedule:
    """See `noternn.training.optim.Schedule`."""

    name: str = "constant"
    warmup_epochs: float = 0.0
    final_fraction: float = 0.0
    factor: float = 0.5
    patience: int = 2

    def __post_init__(self) -> None:
        names = ("constant", "cosine", "plateau")
        require(self.name in names, "schedule.name", self.name, f"{', '.join(names)}; set schedule=...")
        require_finite("schedule.warmup_epochs", self.warmup_epochs)
        for key in ("final_fraction", "factor"):
            value = getattr(self, key)
            require(0 <= value <= 1, f"schedule.{key}", value, "0 to 1")
        require(self.patience >= 1, "schedule.patience", self.patience, "at least 1")
