"""What training and composing reach on a GPU, what keeps it waiting, and how long a whole run takes.

A run of the default settings comes first. Its corpus and its network serve the other measurements, each of
which is left out once the time is over.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from noternn.config.sampling import Sampling
from noternn.corpus.loading import Corpus, corpus_of_plain
from noternn.errors import UserError
from noternn.model.checkpoint import CHECKPOINT_KEY, load_checkpoint
from noternn.model.lstm import NoteLSTM
from noternn.runs.folder import RunFolder
from noternn.runs.summary import read_summary
from noternn.sampling.composer import composer_of
from noternn.sampling.sampler import sample_batch
from noternn.training.datamodule import Batch, MidiDataModule
from noternn.training.module import NoteRNN, nll_sum

Row = dict[str, Any]
Settings = Mapping[str, Any]
COLUMNS = (
    "seconds",
    "tokens_per_second",
    "teraflops",
    "share_of_limit",
    "waits_per_step",
    "val/nats_per_note",
)


class Scale(NamedTuple):
    """How much is measured.

    Args:
        seconds: after which nothing more is begun.
        seconds_each: of every measurement.
        warm_steps: before a measurement, of a network that is compiled too.
        product: width of the largest product of matrices.
        num_notes: of a composed sample.
        num_streams: samples that are made together.
        ways: of training, see `STEPS`.
    """

    seconds: float = 480.0
    seconds_each: float = 3.0
    warm_steps: int = 5
    product: int = 8192
    num_notes: int = 200
    num_streams: int = 64
    ways: Sequence[str] = ("", "CUDA graph", "compiled")


class Numbers(NamedTuple):
    """How numbers are multiplied.

    Args:
        name: of the way.
        may_be_short: whether products of 32-bit matrices may take 19 bits of each number (TF32).
        type: of the numbers.
    """

    name: str
    may_be_short: bool
    type: torch.dtype


NUMBERS = (
    Numbers("float32", False, torch.float32),
    Numbers("tf32", True, torch.float32),
    Numbers("bf16", True, torch.bfloat16),
)


def check_cuda() -> None:
    """Refuse a machine without a GPU of NVIDIA's.

    Raises:
        UserError: if it has none.
    """
    if not torch.cuda.is_available():
        raise UserError("bench gpu: this machine has no CUDA device")


def bench_gpu(
    networks: Mapping[str, Settings], run: Sequence[str], device: str = "cuda", scale: Scale | None = None
) -> tuple[str, list[Row]]:
    """Measure training and composing on a device.

    Args:
        networks: what is trained, as plain settings.
        run: the settings of the whole run, as on the command line.
        device: as torch calls it.
        scale: how much is measured.

    Returns:
        what was measured, in a line, and the rows; the limit is that of the largest product in the same
        numbers.
    """
    scale = scale or Scale()
    give_up = time.monotonic() + scale.seconds
    with TemporaryDirectory() as folder:
        rows = [_whole_run(run, device, Path(folder) / "run")]
        path = RunFolder(Path(folder) / "run").best_checkpoint
        checkpoint = load_checkpoint(path)
        corpus = corpus_of_plain(checkpoint[CHECKPOINT_KEY]["config"])
        network = composer_of(checkpoint, path).network
    peaks = {numbers: _peak(numbers, device, scale) for numbers in NUMBERS}
    rows += [
        _row(f"largest product, {numbers.name}", teraflops=peak / 1e12) for numbers, peak in peaks.items()
    ]
    measurements: list[Callable[[], list[Row]]] = [
        *_composing(network, corpus, device, scale),
        lambda: _waits(NoteRNN.of(next(iter(networks.values())), corpus.codec), corpus, device),
        *(
            _training(name, settings, corpus, numbers, way, peaks[numbers], device, scale)
            for way in scale.ways
            for numbers in (NUMBERS if not way else NUMBERS[-1:])  # to compile takes long
            for name, settings in networks.items()
        ),
    ]
    for measure in measurements:
        if time.monotonic() < give_up:
            rows += measure()
    what = torch.cuda.get_device_name() if device == "cuda" else device
    left_out = "" if time.monotonic() < give_up else f", as much as {scale.seconds:.0f} s allow"
    return f"training and composing on {what}{left_out}; the limit is that of the largest product", rows


def _row(name: str, **figures: float | None) -> Row:
    return {"name": name} | dict.fromkeys(COLUMNS) | figures


def _whole_run(run: Sequence[str], device: str, folder: Path) -> Row:
    """Train as the command does, to the end.

    Raises:
        UserError: if the run fails.
    """
    start = time.monotonic()
    command = [sys.executable, "-m", "noternn", "train", *run, f"trainer.accelerator={device}", "logger=csv"]
    command.append(f"hydra.run.dir={folder}")
    done = subprocess.run(command, capture_output=True, text=True)
    summary = read_summary(folder)
    if done.returncode or not summary:
        raise UserError(f"bench gpu: the run failed: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    row = _row("a whole run", seconds=time.monotonic() - start)
    return row | {"val/nats_per_note": summary["val/nats_per_note"]}


def _peak(numbers: Numbers, device: str, scale: Scale) -> float:
    """Operations a second of a large product of matrices."""
    matrix = torch.randn(scale.product, scale.product, device=device, dtype=numbers.type)
    with _multiplying(numbers):
        seconds = _seconds_a_call(lambda: matrix @ matrix, device, scale)
    return 2 * scale.product**3 / seconds


@contextmanager
def _multiplying(numbers: Numbers) -> Iterator[None]:
    """Multiply so in this block."""
    precision, in_cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if numbers.may_be_short else "highest")
    torch.backends.cudnn.allow_tf32 = numbers.may_be_short
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = in_cudnn


def _seconds_a_call(call: Callable[[], object], device: str, scale: Scale) -> float:
    """How long a call takes, from many; what it leaves to the GPU is waited for at the end."""
    for _ in range(scale.warm_steps):
        call()
    _wait(device)
    start = time.perf_counter()
    for number in itertools.count(1):
        call()
        if number % 10 == 0 or device == "cpu":
            _wait(device)
        if time.perf_counter() - start >= scale.seconds_each:
            break
    _wait(device)
    return (time.perf_counter() - start) / number


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _batch(corpus: Corpus, settings: Settings, device: str) -> Batch:
    """The first training batch of a run: all its lanes."""
    size, window = settings["datamodule"]["batch_size"], settings["datamodule"]["window_length"]
    memory = {name: settings["model"][name] for name in ("memory", "part_memory")}
    data = MidiDataModule(corpus, batch_size=size, window_length=window, seed=0, **memory)
    batch = next(iter(data.train_dataloader()))
    moved = [part.to(device) if isinstance(part, Tensor) else part for part in batch]
    return Batch._make(moved)


def _training(
    name: str,
    settings: Settings,
    corpus: Corpus,
    numbers: Numbers,
    way: str,
    peak: float,
    device: str,
    scale: Scale,
) -> Callable[[], list[Row]]:
    """A measurement of training steps, the same batch over and over; or why it is not possible."""

    def measure() -> list[Row]:
        title = f"{name}, {numbers.name}{way and f', {way}'}"
        module = NoteRNN.of(settings, corpus.codec).to(device)
        batch = _batch(corpus, settings, device)
        weights = sum(p.numel() for p in module.network.parameters() if p.dim() >= 2)
        try:
            with _multiplying(numbers):
                seconds = _seconds_a_call(STEPS[way](module, batch, numbers, device), device, scale)
        except Exception as error:  # a compiler or a library that cannot do it
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return [_row(f"{title}: not possible ({reason[:80]})")]
        rate = batch.inputs.numel() / seconds
        # a multiplication and an addition a weight and token, forward and twice backward
        return [_row(title, tokens_per_second=rate, share_of_limit=6 * weights * rate / peak)]

    return measure


def _step(module: NoteRNN, batch: Batch, numbers: Numbers, device: str) -> Callable[[], None]:
    """A function that takes a step as a run does, without Lightning."""
    optimizer = module.configure_optimizers()
    counter = itertools.count()

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=numbers.type == torch.bfloat16):
            loss = module.training_step(batch, next(counter))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(module.network.parameters(), 1.0)
        optimizer.step()
        if module.averaged:
            module.averaged.update_parameters(module.network)

    return step


def _compiled_step(module: NoteRNN, batch: Batch, numbers: Numbers, device: str) -> Callable[[], None]:
    module.network.compile()
    return _step(module, batch, numbers, device)


def _graph_step(module: NoteRNN, batch: Batch, numbers: Numbers, device: str) -> Callable[[], None]:
    """Forward and backward as one CUDA graph: the best that a step could be without what runs on the host."""
    if device != "cuda":
        raise UserError("there are CUDA graphs on CUDA alone")
    network, state = module.network, module.network.initial_state(len(batch.lane))

    def loss() -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=numbers.type == torch.bfloat16):
            logits, _ = network(batch.inputs, state, batch.suggested)
        return nll_sum(logits.float(), batch.targets)[0]

    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            loss().backward()  # type: ignore[no-untyped-call]
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss().backward()  # type: ignore[no-untyped-call]
    optimizer = module.configure_optimizers()

    def step() -> None:
        graph.replay()
        optimizer.step()

    return step


STEPS: dict[str, Callable[[NoteRNN, Batch, Numbers, str], Callable[[], None]]] = {
    "": _step, "CUDA graph": _graph_step, "compiled": _compiled_step,
}  # fmt: skip


def _waits(module: NoteRNN, corpus: Corpus, device: str) -> list[Row]:
    """In which lines a training step makes the host wait for the GPU, as torch tells."""
    module = module.to(device)
    step = _step(module, _batch(corpus, module.settings, device), NUMBERS[0], device)
    step()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with _telling_waits(device):
            step()
    package = Path(__file__).parents[2]
    places = Counter((Path(each.filename), each.lineno) for each in told if "synchroniz" in str(each.message))
    return [
        _row(f"waits at {_shown(path, package)}:{line}", waits_per_step=number)
        for (path, line), number in places.most_common()
    ] or [_row("waits: none", waits_per_step=0)]


@contextmanager
def _telling_waits(device: str) -> Iterator[None]:
    if device != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("warn")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _shown(path: Path, package: Path) -> str:
    return str(path.relative_to(package)) if path.is_relative_to(package) else path.name


def _composing(network: NoteLSTM, corpus: Corpus, device: str, scale: Scale) -> list[Callable[[], list[Row]]]:
    """Measurements of composing with a trained network on the processor and on the device."""

    def measure(place: str, num_samples: int) -> list[Row]:
        options = Sampling(num_notes=scale.num_notes)
        start = time.perf_counter()
        samples = sample_batch(network.to(place), corpus.codec, [], options, num_samples)
        rate = sum(map(len, samples)) / (time.perf_counter() - start)
        return [_row(f"composing on {place}, {num_samples} together", tokens_per_second=rate)]

    return [
        lambda place=place, number=number: measure(place, number)  # type: ignore[misc]
        for place in dict.fromkeys(("cpu", device))
        for number in (1, scale.num_streams)
    ]
