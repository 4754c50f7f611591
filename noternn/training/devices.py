"""Whether this machine can do what the settings ask for: its accelerator, and the precision on it."""

from __future__ import annotations

import os

import torch
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator

from noternn.errors import UserError


def check_devices(accelerator: str, precision: str, devices: int = 1) -> None:
    """Refuse an accelerator that this machine has not, and a precision that would only cost.

    Args:
        accelerator, precision: as Lightning takes them.
        devices: how many train one run on this machine.

    Raises:
        UserError: says what to set instead.
    """
    _check_accelerator(accelerator)
    _check_number(accelerator, devices)
    _check_precision(precision, accelerator)


def computes_in_16_bits() -> bool:
    """Whether this CPU has matrix units for 16 bits; True where this version of torch does not say."""
    is_supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return True if is_supported is None else bool(is_supported())


def _check_accelerator(name: str) -> None:
    available = {"auto": True, "cpu": True, "cuda": CUDAAccelerator.is_available()}
    available["mps"] = MPSAccelerator.is_available()
    available["gpu"] = available["cuda"] or available["mps"]
    if not available[name]:
        usable = ", ".join(other for other in available if available[other])
        raise UserError(f"trainer.accelerator={name}: this machine has none; it can do {usable}")


def _check_number(accelerator: str, devices: int) -> None:
    """Refuse more devices than there are; a CPU has as many as one likes."""
    has_cuda, has_mps = CUDAAccelerator.is_available(), MPSAccelerator.is_available()
    if devices == 1 or accelerator == "cpu" or not (has_cuda or has_mps):
        return
    found = CUDAAccelerator.auto_device_count() if has_cuda and accelerator != "mps" else 1
    if devices > found:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        where = f" (CUDA_VISIBLE_DEVICES={visible})" if visible and has_cuda else ""
        raise UserError(
            f"trainer.devices={devices}: there {'is' if found == 1 else 'are'} {found} here{where}"
        )


def _check_precision(precision: str, accelerator: str) -> None:
    """Refuse 16 bits where they only cost: on a CPU whose matrix units do not compute with them."""
    has_gpu = CUDAAccelerator.is_available() or MPSAccelerator.is_available()
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not has_gpu)
    if on_cpu and precision != "32-true" and not computes_in_16_bits():
        raise UserError(
            f"trainer.precision={precision}: this CPU has no units for it (AMX) and would be 5 to 10 times "
            "slower; use 32-true, or a GPU"
        )
