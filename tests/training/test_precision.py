"""In how many bits a run computes: what decides it, and that what is measured is measured in 32."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from noternn.config.schema import to_plain
from noternn.config.training import Trainer
from noternn.launch.command_line import settings
from noternn.model.checkpoint import load_checkpoint
from noternn.model.lstm import NoteLSTM
from noternn.training.precision import LEAST_SIZE, MixedInTraining, bfloat16_gain, decided_precision
from tests.helpers import TrainTiny, rows_of, same_weights

UNITS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


def trainer(precision: str = "auto") -> Trainer:
    return dataclasses.replace(settings(["trainer.accelerator=cpu"]).trainer, precision=precision)


def never() -> float:
    raise AssertionError("nothing is to be measured")


@pytest.fixture(params=UNITS)
def with_units(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that has one of the kinds of units."""
    for name in UNITS:
        monkeypatch.setattr(torch.cpu, name, lambda is_there=name == request.param: is_there, raising=False)


@pytest.fixture
def without_units(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in UNITS:
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)


def test_auto_is_the_default() -> None:
    assert settings([]).trainer.precision == "auto"


@pytest.mark.usefixtures("with_units")
@pytest.mark.parametrize("gain", [0.9, 1.2, 1.7])
def test_units_decide_and_the_gain_is_told(gain: float, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert decided_precision(trainer(), LEAST_SIZE, gain=lambda: gain) == "bf16-mixed"
    assert f"{gain:.1f} times as fast in bfloat16 here: training in bf16-mixed" in caplog.text


@pytest.mark.usefixtures("with_units")
@pytest.mark.parametrize("gain", [0.0, 0.1, 0.5])
def test_units_that_torch_does_not_use_decide_nothing(gain: float, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert decided_precision(trainer(), LEAST_SIZE, gain=lambda: gain) == "32-true"
    assert "training in 32-true" in caplog.text


@pytest.mark.usefixtures("without_units")
def test_without_units_nothing_is_measured() -> None:
    assert decided_precision(trainer(), LEAST_SIZE, gain=never) == "32-true"


def test_where_torch_does_not_say_what_the_cpu_has_it_stays_at_32_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in UNITS:
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert decided_precision(trainer(), LEAST_SIZE, gain=never) == "32-true"


@pytest.mark.usefixtures("with_units")
def test_a_small_network_stays_at_32_bits() -> None:
    assert decided_precision(trainer(), LEAST_SIZE - 1, gain=never) == "32-true"


@pytest.mark.usefixtures("with_units")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_what_was_asked_for_is_not_decided(precision: str) -> None:
    assert decided_precision(trainer(precision), LEAST_SIZE, "32-true", never) == precision


@pytest.mark.usefixtures("with_units")
@pytest.mark.parametrize("begun_in", ["32-true", "bf16-mixed"])
def test_a_run_goes_on_in_its_own_precision(begun_in: str) -> None:
    assert decided_precision(trainer(), LEAST_SIZE, begun_in, never) == begun_in


@pytest.mark.usefixtures("without_units")
def test_a_run_in_16_bits_goes_on_in_32_where_there_are_no_units(caplog: pytest.LogCaptureFixture) -> None:
    assert decided_precision(trainer(), LEAST_SIZE, "bf16-mixed", never) == "32-true"
    assert caplog.messages == [
        "it was begun in bf16-mixed, for which this CPU has no units: it goes on in 32-true"
    ]


def test_the_gain_is_a_number_on_any_machine() -> None:
    assert 0 <= bfloat16_gain() < 100


def test_only_training_steps_are_computed_in_16_bits() -> None:
    mixed = MixedInTraining("16-mixed", "cpu")
    seen = {}
    for name in ("train", "val", "test", "predict"):
        with getattr(mixed, f"{name}_step_context")():
            seen[name] = torch.is_autocast_enabled("cpu")
    assert seen == {"train": True, "val": False, "test": False, "predict": False}


def test_the_precision_that_was_decided_is_in_the_summary_and_the_checkpoint(
    train_tiny: TrainTiny, tmp_path: Path
) -> None:
    summary = train_tiny(tmp_path, "trainer.max_epochs=1")
    assert summary["precision"] == "32-true"
    assert load_checkpoint(tmp_path / "last.ckpt")["noternn"]["config"]["trainer"]["precision"] == "32-true"
    assert to_plain(settings([]))["trainer"]["precision"] == "auto"


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # torch sets all of oneDNN's flags at once
def test_bfloat16_trains_as_32_bits_do_and_is_validated_in_32(
    train_tiny: TrainTiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without oneDNN, which has no such layer for a processor without units; torch's own is slow."""
    monkeypatch.setattr(torch.cpu, UNITS[0], lambda: True)
    seen: dict[bool, set[bool]] = {False: set(), True: set()}  # by whether it trains: in bfloat16?
    forward = NoteLSTM._recur

    def watched(self: NoteLSTM, *args: Any) -> tuple[Tensor, Any]:
        output, state = forward(self, *args)
        assert {part.dtype for part in (output, *state)} == {torch.float32}
        seen[self.training].add(self.training and self.trains_in_bfloat16)
        return output, state

    options = ["model.num_pitches=4", "model.pitch_channels=4", "trainer.max_epochs=2"]
    with torch.backends.mkldnn.flags(enabled=False):  # type: ignore[no-untyped-call]
        train_tiny(tmp_path / "full", "trainer.precision=32-true", *options)
        monkeypatch.setattr(NoteLSTM, "_recur", watched)
        half = train_tiny(tmp_path / "half", "trainer.precision=bf16-mixed", *options)
    assert seen == {True: {True}, False: {False}}
    assert half["precision"] == "bf16-mixed"
    assert not same_weights(tmp_path / "full" / "last.ckpt", tmp_path / "half" / "last.ckpt")
    for full_row, half_row in zip(rows_of(tmp_path / "full"), rows_of(tmp_path / "half"), strict=True):
        for column in ("train/nll", "val/nll"):
            assert float(half_row[column]) == pytest.approx(float(full_row[column]), abs=0.03)
