"""An LSTM layer in bfloat16: near torch's in 32 bits in values and gradients, compiled or not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from noternn.model import bf16_layer
from noternn.model.bf16_layer import TILE, recur

is_built = bf16_layer.bf16_steps is not None
has_units = torch.cpu._is_avx512_bf16_supported()
compiled = pytest.mark.skipif(
    not (is_built and has_units), reason="this CPU has no AVX512-BF16, or no compiler"
)
SHAPES = [(8, 12, 128, 256), (5, 7, 96, 64), (1, 1, 64, 64), (3, 2, 512, 512), (6, 1, 32, 128)]


class Case:
    """A layer, what it reads and the gradients of what it returns."""

    def __init__(self, batch: int, time: int, input_size: int, size: int) -> None:
        torch.manual_seed(batch * time)
        self.layer = nn.LSTM(input_size, size, batch_first=True)
        self.values = torch.randn(batch, time, input_size, requires_grad=True)
        self.hidden = torch.randn(1, batch, size).tanh().requires_grad_()
        self.cell = (2 * torch.randn(1, batch, size)).requires_grad_()
        self.weights = tuple(self.layer.parameters())
        self.gradients = [torch.randn(batch, time, size), *torch.randn(2, 1, batch, size)]

    def by_torch(self) -> list[Tensor]:
        output, state = self.layer(self.values, (self.hidden, self.cell))
        return self.with_gradients([output, *state])

    def by_us(self) -> list[Tensor]:
        output, state = recur(self.values, (self.hidden, self.cell), self.weights)
        return self.with_gradients([output, *state])

    def with_gradients(self, found: Sequence[Tensor]) -> list[Tensor]:
        sources = [self.values, self.hidden, self.cell, *self.weights]
        return [*found, *torch.autograd.grad(found, sources, self.gradients)]


def far(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).norm() / expected.norm()).detach())


def test_the_processor_that_has_the_units_has_the_compiled_layer_too() -> None:
    if not has_units:
        pytest.skip("this CPU has no AVX512-BF16")
    assert is_built, "without it a run in bfloat16 gains little: build it with a compiler"


@compiled
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_near_those_of_32_bits(shape: tuple[int, int, int, int]) -> None:
    case = Case(*shape)
    for found, expected in zip(case.by_us(), case.by_torch(), strict=True):
        assert (found.dtype, found.shape) == (torch.float32, expected.shape)
        assert far(found, expected) < 0.01  # a rounded number is off by up to 1/256


@compiled
def test_it_is_nearer_than_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(8, 24, 256, 256)
    exact, found = case.by_torch(), case.by_us()
    monkeypatch.setattr(bf16_layer, "bf16_steps", None)
    for ours, theirs, expected in zip(found, case.by_us(), exact, strict=True):
        assert far(ours, expected) < far(theirs, expected)


@compiled
def test_large_sums_saturate_and_nothing_overflows() -> None:
    case = Case(2, 3, 64, 64)
    with torch.no_grad():
        case.values *= 1e6
    for found in case.by_us():
        assert found.isfinite().all()


@compiled
def test_what_is_no_number_stays_none() -> None:
    """A loss that is none stops the run; a layer that made numbers of it would hide it."""
    case = Case(2, 3, 64, 64)
    with torch.no_grad():
        case.values[0, 1] = torch.nan
    output = case.by_us()[0]
    assert output[0, 1:].isnan().all()
    assert output[0, 0].isfinite().all()
    assert output[1].isfinite().all()


@compiled
def test_no_row_depends_on_how_many_there_are() -> None:
    rows, time, size = 7, 5, TILE
    generator = np.random.default_rng(0)
    weight, read, hidden = (
        torch.from_numpy(generator.normal(size=shape)).bfloat16()
        for shape in ((4 * size, size), (rows, time, 4 * size), (rows, time + 1, size))
    )
    cell = torch.from_numpy(generator.normal(size=(rows, time + 1, size))).float()

    def output_of(some: slice) -> Tensor:
        parts = [part[some].clone() for part in (read, hidden, cell)]
        output = cell.new_empty(len(parts[0]), time, size)
        gates = cell.new_empty(*output.shape[:2], 4 * size)
        bf16_layer._call("forward", bf16_layer._tiles_of_gates(weight), *parts, gates, output)
        return output

    alone = [output_of(slice(row, row + 1)) for row in range(rows)]
    assert torch.equal(output_of(slice(rows)), torch.cat(alone))


@compiled
@pytest.mark.parametrize("name", ["forward", "backward"])
def test_sizes_that_do_not_agree_are_refused(name: str) -> None:
    buffers = [np.zeros(3, dtype=np.int16) for _ in range(6)]
    for sizes in ((1, 1, TILE), (0, 1, TILE), (1, 1, TILE + 1), (-1, 1, TILE)):
        with pytest.raises(ValueError, match="do not agree"):
            getattr(bf16_layer.bf16_steps, name)(*buffers, *sizes)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # torch sets all of oneDNN's flags at once
def test_without_the_compiled_layer_torch_computes_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bf16_layer, "bf16_steps", None)
    case = Case(3, 4, 64, 64)
    with torch.backends.mkldnn.flags(enabled=has_units):  # type: ignore[no-untyped-call]
        for found, expected in zip(case.by_us(), case.by_torch(), strict=True):
            assert found.dtype == torch.float32
            assert 0 < far(found, expected) < 0.03


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_a_size_that_has_no_tiles_is_left_to_torch() -> None:
    case = Case(3, 4, 20, TILE + 1)
    with torch.backends.mkldnn.flags(enabled=has_units):  # type: ignore[no-untyped-call]
        for found, expected in zip(case.by_us(), case.by_torch(), strict=True):
            assert far(found, expected) < 0.03
