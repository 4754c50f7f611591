"""`torch.optim.<name>`, the schedule of its learning rate and averaged weights, from the config."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from noternn.config.checks import choices
from noternn.errors import UserError

COUNT = "n_averaged"  # in a checkpoint: after how many steps weights were averaged
# Of an optimizer's ways to run, of which it takes one.
CHOICES = {"fused", "foreach", "differentiable"}
REFUSED = {
    "LBFGS": "it measures the loss several times a step, and a step here is one pass over a batch",
    "SparseAdam": "it takes sparse gradients only, and this network has dense ones",
    "Muon": "it changes matrices only, and this network has biases and filters too",
}


def build_optimizer(parameters: Iterable[nn.Parameter], name: str, **options: Any) -> torch.optim.Optimizer:
    """The optimizer class `name` of torch.optim with its keyword arguments, fused where it can be."""
    optimizer_class = getattr(torch.optim, name)
    if "fused" in _arguments(optimizer_class) and not CHOICES & options.keys():
        options["fused"] = True  # one pass over the weights, not six
    optimizer: torch.optim.Optimizer = optimizer_class(parameters, **options)
    return optimizer


def check_optimizer(name: str, **options: Any) -> None:
    """Refuse what `build_optimizer` could not build, or what could not train this network.

    Raises:
        UserError: on another name than a class of torch.optim, a keyword argument that it does not take, or
            a value that it refuses.
    """
    classes = _classes()
    if name in REFUSED:
        raise UserError(f"optimizer.name={name}: {REFUSED[name]}; choose another")
    if name not in classes:
        meant = next((known for known in classes if known.lower() == name.lower()), name)
        raise UserError(f"optimizer.name={name}: torch.optim has {choices(meant, sorted(classes))}")
    allowed = _arguments(classes[name])
    unknown = next((option for option in options if option not in allowed), None)
    if unknown is not None:
        given = f"optimizer.{unknown}={options[unknown]}"
        raise UserError(f"{given}: {name} does not take it; it takes {choices(str(unknown), allowed)}")
    try:
        build_optimizer([nn.Parameter(torch.zeros(1))], name, **options)
    except Exception as error:  # torch checks with whatever fails first, an IndexError too
        reason = " ".join(str(error).split())
        raise UserError(f"optimizer.name={name}: torch.optim refuses its settings: {reason}") from error


def _classes() -> dict[str, type[torch.optim.Optimizer]]:
    """The optimizers of torch.optim that train any network, by name."""
    base = torch.optim.Optimizer
    found = {name: value for name, value in vars(torch.optim).items() if inspect.isclass(value)}
    return {n: c for n, c in found.items() if issubclass(c, base) and c is not base and n not in REFUSED}


def _arguments(optimizer_class: type[torch.optim.Optimizer]) -> list[str]:
    """What an optimizer takes besides the weights."""
    return [name for name in inspect.signature(optimizer_class).parameters if name != "params"]


class Schedule:
    """By what the learning rate is multiplied, from the progress of training and the validation losses.

    Args:
        name: constant; cosine, half a wave from 1 down to `final_fraction` at the last epoch; or plateau,
            `factor` times less whenever `val/nll` has not fallen for `patience` epochs.
        warmup_epochs: over which it rises from 0, in a straight line; may be a fraction, or 0.
        final_fraction, factor, patience: see `name`.
        piece_tokens: of pieces that are longer in the mean each step is smaller by as much, so that a piece
            counts alike, however long it is; None for steps that do not depend on it.
    """

    def __init__(
        self,
        name: str = "constant",
        warmup_epochs: float = 0.0,
        final_fraction: float = 0.0,
        factor: float = 0.5,
        patience: int = 2,
        piece_tokens: int | None = None,
    ) -> None:
        self.name = name
        self.warmup_epochs = warmup_epochs
        self.final_fraction = final_fraction
        self.factor = factor
        self.patience = patience
        self.piece_tokens = piece_tokens
        #: the part that depends on the losses so far
        self.state = {"scale": 1.0, "best": math.inf, "num_bad_epochs": 0}

    def at(self, epochs: float, max_epochs: int) -> float:
        """The multiple after so many epochs, which may be a fraction, of `max_epochs`."""
        multiple = self.state["scale"]
        if epochs < self.warmup_epochs:
            multiple *= epochs / self.warmup_epochs
        if self.name == "cosine":
            half_wave = (1 + math.cos(math.pi * min(epochs / max_epochs, 1.0))) / 2
            multiple *= self.final_fraction + (1 - self.final_fraction) * half_wave
        return multiple

    def by_length(self, num_tokens: int, num_pieces: int) -> float:
        """By what it is multiplied besides, with so many tokens in the training pieces."""
        if self.piece_tokens is None or not num_tokens:
            return 1.0
        return min(1.0, self.piece_tokens * num_pieces / num_tokens)

    def note(self, val_nll: float) -> None:
        """Take note of the loss after an epoch."""
        if self.name != "plateau":
            return
        if val_nll < self.state["best"]:
            self.state |= {"best": val_nll, "num_bad_epochs": 0}
            return
        self.state["num_bad_epochs"] += 1
        if self.state["num_bad_epochs"] >= self.patience:
            self.state |= {"scale": self.state["scale"] * self.factor, "num_bad_epochs": 0}


class Averaged(nn.Module):
    """A copy of a network that follows it: the exponential moving average of its weights.

    The first 1 / (1 - decay) steps are averaged evenly, so that the random weights of the start are soon
    forgotten. It does what `torch.optim.swa_utils.AveragedModel` does, but the host counts the steps, so that
    none waits for a GPU.

    Args:
        network: is copied.
        decay: share of the average that stays at each step, from 0 to below 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(network)
        self.decay = decay
        self.num_averaged = 0
        self.requires_grad_(False)  # what trains on several devices would wait for a gradient

    @torch.no_grad()
    def update_parameters(self, network: nn.Module) -> None:
        """Follow the network, after each of its steps."""
        weight = max(1 - self.decay, 1 / (self.num_averaged + 1))
        torch._foreach_lerp_(tuple(self.module.parameters()), tuple(network.parameters()), weight)
        self.num_averaged += 1

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + COUNT] = torch.tensor(self.num_averaged)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        self.num_averaged = int(state_dict.pop(prefix + COUNT, self.num_averaged))
        super()._load_from_state_dict(state_dict, prefix, *args)
