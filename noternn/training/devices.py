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


def has_bfloat16_units() -> bool | None:
    """Whether this CPU has units for bfloat16 (AVX512-BF16 or AMX); None where torch does not say."""
    asked = (
        getattr(torch.cpu, "_is_avx512_bf16_supported", None),
        getattr(torch.cpu, "_is_amx_tile_supported", None),
    )
    known = [bool(is_supported()) for is_supported in asked if is_supported is not None]
    return any(known) if known else None


def has_float16_units() -> bool | None:
    """Whether this CPU has units for float16, as all with AMX have; None where torch does not say."""
    is_supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return None if is_supported is None else bool(is_supported())


def is_on_cpu(accelerator: str) -> bool:
    """Whether an accelerator, by its name in the settings, is this machine's CPU."""
    has_gpu = CUDAAccelerator.is_available() or MPSAccelerator.is_available()
    return accelerator == "cpu" or (accelerator == "auto" and not has_gpu)


def device_type(accelerator: str) -> str:
    """The type of device, as torch names it, that an accelerator in the settings is here."""
    if is_on_cpu(accelerator):
        return "cpu"
    is_mps = accelerator == "mps" or not CUDAAccelerator.is_available()
    return "mps" if is_mps else "cuda"


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
    """Refuse 16 bits on a CPU without units for them."""
    kinds = {"bf16-mixed": (has_bfloat16_units, "bfloat16 (AVX512-BF16 or AMX)"),
             "16-mixed": (has_float16_units, "float16 (AMX)")}  # fmt: skip
    if precision not in kinds or not is_on_cpu(accelerator):
        return
    has_units, units = kinds[precision]
    if has_units() is False:
        raise UserError(
            f"trainer.precision={precision}: this CPU has no units for {units}, "
            "and would be many times slower; use auto, 32-true, or a GPU"
        )
