"""How the weights are changed, and how fast: the types of conf/optimizer/ and conf/schedule/."""

from __future__ import annotations

from dataclasses import dataclass

from noternn.config.checks import Section, require, setting


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
