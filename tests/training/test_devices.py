"""What this machine can do is asked before anything is read."""

from __future__ import annotations

import pytest
import torch

from noternn.errors import UserError
from noternn.training.devices import check_devices

ASKED = "_is_amx_tile_supported"


def test_16_bits_are_refused_on_a_cpu_without_units_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, ASKED, lambda: False, raising=False)
    with pytest.raises(UserError, match="no units for it"):
        check_devices("cpu", "bf16-mixed")


def test_16_bits_are_allowed_where_torch_does_not_say_what_the_cpu_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cpu, ASKED, raising=False)
    check_devices("cpu", "bf16-mixed")


def test_32_bits_are_always_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, ASKED, lambda: False, raising=False)
    check_devices("cpu", "32-true")
