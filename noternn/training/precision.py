"""In how many bits a run computes: decided by what the machine has units for, never by a close race."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from torch import nn

from noternn.config.training import Trainer
from noternn.model.bf16_layer import recur
from noternn.training.devices import has_bfloat16_units, is_on_cpu

log = logging.getLogger(__name__)

FULL, HALF = "32-true", "bf16-mixed"
LEAST_SIZE = 128  # units of a layer; with fewer no gain was measured
# With the units a layer was 1.6 to 1.9 times as fast, and where torch does not use them less than half as
# fast. So the same kind of processor is never on both sides of this, however busy it is.
CLEARLY_SLOWER = 0.8
LANES, WINDOW, ROUNDS = 16, 16, 5  # of the layer that is tried: 0.1 seconds


def decided_precision(
    settings: Trainer,
    hidden_size: int,
    begun_in: str | None = None,
    gain: Callable[[], float] | None = None,
) -> str:
    """The precision that a run trains in, and a line that says why where `auto` chose it.

    `auto` is bfloat16 on a processor with units for it. GPUs stay at 32 bits, on which no run was compared.

    Args:
        settings: what was asked for.
        hidden_size: of the network.
        begun_in: the precision of the run that goes on, which is not decided again; None for a new one.
        gain: measures how many times as fast a layer is in bfloat16; None takes `bfloat16_gain`.

    Returns:
        one that is not `auto`.
    """
    if settings.precision != "auto":
        return settings.precision
    has_units = is_on_cpu(settings.accelerator) and has_bfloat16_units() is True
    if begun_in is not None:
        return _as_begun(begun_in, settings.accelerator)
    if not has_units or hidden_size < LEAST_SIZE:
        return FULL
    times = (gain or bfloat16_gain)()
    chosen = FULL if times < CLEARLY_SLOWER else HALF
    log.info("an LSTM layer is %.1f times as fast in bfloat16 here: training in %s", times, chosen)
    return chosen


def _as_begun(begun_in: str, accelerator: str) -> str:
    """The precision of a run that goes on, as far as this machine has it."""
    if begun_in == HALF and is_on_cpu(accelerator) and has_bfloat16_units() is False:
        log.warning("it was begun in %s, for which this CPU has no units: it goes on in %s", HALF, FULL)
        return FULL
    return begun_in


def bfloat16_gain() -> float:
    """How many times as fast a layer of the default network learns in bfloat16 here; 0 where it cannot."""
    layer = nn.LSTM(LEAST_SIZE, LEAST_SIZE, batch_first=True)
    values = torch.linspace(-1, 1, LANES * WINDOW * LEAST_SIZE).view(LANES, WINDOW, LEAST_SIZE)
    best = {False: float("inf"), True: float("inf")}
    try:
        for _ in range(ROUNDS):
            for is_half in best:
                best[is_half] = min(best[is_half], _seconds(layer, values, is_half))
    except RuntimeError:  # oneDNN has no such layer for this processor
        return 0.0
    return best[False] / best[True]


def _seconds(layer: nn.LSTM, values: torch.Tensor, is_half: bool) -> float:
    start = time.perf_counter()
    if is_half:
        zeros = values.new_zeros(1, LANES, LEAST_SIZE)
        output, _ = recur(values, (zeros, zeros), tuple(layer.parameters()))
    else:
        output, _ = layer(values)
    output.sum().backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - start


class LayersInBfloat16(Precision):
    """Leaves bfloat16 to the layers of the network, see `NoteLSTM.trains_in_bfloat16`: on a CPU."""

    precision = "bf16-mixed"


class MixedInTraining(MixedPrecision):
    """Computes training steps in 16 bits by torch's autocast; what is measured is measured in 32.

    Args:
        precision: 16-mixed or bf16-mixed.
        device: the type of the device, such as cuda.
    """

    def __init__(self, precision: str, device: str) -> None:
        super().__init__(precision, device)  # type: ignore[arg-type]  # it checks them itself

    @contextmanager
    def val_step_context(self) -> Generator[None, None, None]:
        """In 32 bits."""
        yield

    @contextmanager
    def test_step_context(self) -> Generator[None, None, None]:
        """In 32 bits."""
        yield

    @contextmanager
    def predict_step_context(self) -> Generator[None, None, None]:
        """In 32 bits."""
        yield
