"""What this machine can do is asked before anything is read."""

from __future__ import annotations

import pytest
import torch

from noternn.errors import UserError
from noternn.training.devices import check_devices

UNITS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
PRECISIONS = ("bf16-mixed", "16-mixed")


def give_units(monkeypatch: pytest.MonkeyPatch, *given: str) -> None:
    for name in UNITS:
        monkeypatch.setattr(torch.cpu, name, lambda is_there=name in given: is_there, raising=False)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_16_bits_are_refused_on_a_cpu_without_units_for_them(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_units(monkeypatch)
    with pytest.raises(UserError, match=rf"^trainer.precision={precision}: this CPU has no units for .*AMX"):
        check_devices("cpu", precision)


@pytest.mark.parametrize("units", UNITS)
def test_bfloat16_is_allowed_on_a_cpu_with_either_kind_of_units(
    units: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_units(monkeypatch, units)
    check_devices("cpu", "bf16-mixed")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_16_bits_are_allowed_where_torch_does_not_say_what_the_cpu_has(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in UNITS:
        monkeypatch.delattr(torch.cpu, name, raising=False)
    check_devices("cpu", precision)


@pytest.mark.parametrize("precision", ["auto", "32-true"])
def test_32_bits_are_always_allowed(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    give_units(monkeypatch)
    check_devices("cpu", precision)
