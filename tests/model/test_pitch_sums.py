"""The compiled convolution against torch's."""

import numpy as np
import pytest
import torch
from torch import Tensor

from noternn.model import intervals
from noternn.model.intervals import AGES, LAGS, MEMORY, REACH, PitchConvolution

LOWEST, HIGHEST, CHANNELS = 50, 59, 3
needs_compiler = pytest.mark.skipif(intervals.pitch_sums is None, reason="no C compiler: nothing to compare")


def convolution() -> PitchConvolution:
    torch.manual_seed(0)
    return PitchConvolution([-1, *range(LOWEST, HIGHEST + 1)], 5, CHANNELS)


def heard(num_rows: int) -> tuple[Tensor, Tensor]:
    """Pitches plus 1 with some of none among them and twice in a row, and ages to beyond the last class."""
    random = torch.Generator().manual_seed(1)
    pitches = torch.randint(LOWEST, HIGHEST + 1, (num_rows, MEMORY), generator=random) + 1
    pitches[torch.rand(num_rows, MEMORY, generator=random) < 0.2] = 0
    return pitches, torch.randint(0, 2 * AGES[-1], (num_rows, MEMORY), generator=random)


def outputs(network: PitchConvolution, num_rows: int) -> tuple[Tensor, list[Tensor]]:
    """What the rows come to, and the gradients of a sum that weighs each output in its own way."""
    values = torch.linspace(-1, 1, num_rows * 5).view(num_rows, 5).requires_grad_()
    given = network(values, *heard(num_rows))
    network.zero_grad()
    (given * torch.arange(given.numel()).view_as(given).sin()).sum().backward()
    grads = [parameter.grad for parameter in network.parameters()] + [values.grad]
    return given.detach(), [grad.clone() for grad in grads if grad is not None]


@needs_compiler
@pytest.mark.parametrize("num_rows", [0, 1, 7, 200])
@pytest.mark.parametrize("num_threads", [1, 3])
def test_the_compiled_sums_are_those_of_torchs_convolution(
    num_rows: int, num_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = convolution()
    monkeypatch.setattr(torch, "get_num_threads", lambda: num_threads)
    compiled, grads = outputs(network, num_rows)
    monkeypatch.setattr(intervals, "pitch_sums", None)
    expected, expected_grads = outputs(network, num_rows)
    torch.testing.assert_close(compiled, expected, rtol=1e-5, atol=1e-5)
    assert len(grads) == 5
    for grad, other in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-4, atol=1e-4)


@needs_compiler
def test_a_row_comes_to_the_same_bits_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    network, (pitches, ages) = convolution(), heard(300)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    together = network.convolve(pitches, ages)
    alone = torch.cat([network.convolve(pitches[[row]], ages[[row]]) for row in range(300)])
    assert torch.equal(together, alone)


def test_other_kinds_of_numbers_are_left_to_torch() -> None:
    network, (pitches, ages) = convolution(), heard(20)
    exact = convolution().double().convolve(pitches, ages)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(network.convolve(pitches, ages).double(), exact, rtol=1e-5, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize(
    "wrong", ["pitches", "ages", "lags", "lag", "starts", "weight", "sums", "num_pitches"]
)
def test_buffers_of_sizes_that_do_not_agree_are_refused(wrong: str) -> None:
    given: dict[str, object] = {
        "pitches": np.zeros((4, MEMORY), np.int64),
        "ages": np.zeros((4, MEMORY), np.int64),
        "lags": np.zeros(MEMORY, np.int64),
        "starts": np.array(AGES),
        "weight": np.zeros((len(LAGS) + len(AGES) + 1, 2 * REACH + 1, CHANNELS), np.float32),
        "sums": np.zeros((4, 10, CHANNELS), np.float32),
        "num_pitches": 10,
    }
    call = (CHANNELS, REACH, LOWEST)
    assert intervals.pitch_sums.weight_to_sums(*given.values(), *call) is None
    if wrong == "lag":
        given["lags"] = np.full(MEMORY, len(LAGS))
    elif wrong == "starts":
        given["starts"] = np.arange(40)
    else:
        values = given[wrong]
        given[wrong] = values.ravel()[:-1].copy() if isinstance(values, np.ndarray) else 0
    with pytest.raises(ValueError, match="do not agree"):
        intervals.pitch_sums.weight_to_sums(*given.values(), *call)


@needs_compiler
def test_a_pitch_beyond_those_of_the_network_adds_nothing() -> None:
    network, ages = convolution(), torch.zeros(1, MEMORY, dtype=torch.long)
    pitches = torch.zeros(1, MEMORY, dtype=torch.long)
    pitches[0, :3] = torch.tensor([LOWEST, HIGHEST + 2, 2**40])
    assert not network.convolve(pitches, ages).any()
