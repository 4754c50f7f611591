"""How fast the network trains and composes, beside the original Note-RNN's loop and this machine's limits.

The reference is a restatement of what that program does: ids as one-hot vectors, `nn.LSTM`, two fully
connected layers without a non-linearity between, Adam, gradients clipped at 5, the state carried; and, to
compose, the module one note at a time. All take turns on one thread; see `noternn.bench.timing.interleaved`.
"""

from __future__ import annotations

import copy
import itertools
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from noternn.bench.cores import (
    BATCH_SIZE,
    CODEC,
    NUM_STEPS,
    WINDOW_LENGTH,
    default_network,
    step_of,
    time_cores,
)
from noternn.bench.timing import Timing, interleaved
from noternn.bench.transformer import Transformer
from noternn.config.sampling import Sampling
from noternn.corpus.pieces import Pieces
from noternn.model.lstm import NoteLSTM
from noternn.model.modes import one_thread
from noternn.sampling.sampler import sample_batch
from noternn.tokenizer import ChordTokenizer, Codec, Vocabulary
from noternn.training.datamodule import Batch, LaneLoader
from noternn.training.devices import has_bfloat16_units
from noternn.training.module import NoteRNN
from noternn.training.optim import build_optimizer
from noternn.training.tracking import track

Row = dict[str, Any]
VOCAB_SIZE = 190  # of the reference and of what is as large
DROPOUT = 0.5
ADAM: dict[str, Any] = {"name": "Adam", "lr": 0.001}
TOP_K = 10
LOG_EVERY = 50  # steps
TRAINED_DEVIATION = 2.5  # of logits
READINGS = 20  # of all weights in a turn


class Size(NamedTuple):
    """What is trained, and how often it takes its turn."""

    num_layers: int
    hidden_size: int
    batch_size: int
    window_length: int
    repeats: int

    def __str__(self) -> str:
        return f"{self.num_layers} x {self.hidden_size}, batch {self.batch_size}, window {self.window_length}"


SIZES = (Size(3, 512, 128, 100, 3), Size(2, 256, 64, 64, 7), Size(1, 256, 16, 56, 15))
DEFAULT = Size(1, 256, BATCH_SIZE, WINDOW_LENGTH, 9)


class Predecessor(nn.Module):
    """The network of the original Note-RNN."""

    def __init__(self, num_layers: int, hidden_size: int) -> None:
        super().__init__()
        width = (hidden_size + VOCAB_SIZE) // 2
        between = DROPOUT if num_layers > 1 else 0.0
        self.lstm = nn.LSTM(VOCAB_SIZE, hidden_size, num_layers, batch_first=True, dropout=between)
        self.head = nn.Sequential(
            nn.Linear(hidden_size, width), nn.Dropout(DROPOUT), nn.Linear(width, VOCAB_SIZE)
        )

    def forward(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """As `NoteLSTM`, with a state of hidden and cell."""
        hidden, state = self.lstm(one_hot(ids, VOCAB_SIZE).float(), state)
        return self.head(hidden), state

    @torch.no_grad()
    def sample(self, num_notes: int) -> list[int]:
        """Ids of notes, each drawn from the ten most probable ones after those before."""
        rng, ids, state = np.random.default_rng(0), [0], None
        for _ in range(num_notes):
            logits, state = self(torch.tensor([[ids[-1]]]), state)
            log_probs, candidates = logits[0, -1].log_softmax(-1).topk(min(TOP_K, VOCAB_SIZE))
            probs = log_probs.exp().double().numpy()
            ids.append(int(rng.choice(candidates.numpy(), p=probs / probs.sum())))
        return ids


def bench_train(
    sizes: Sequence[Size] = SIZES, num_steps: int = 500, default: Size = DEFAULT
) -> tuple[str, list[Row]]:
    """Compare training: tokens a second, and their multiplications as a share of the fastest product here.

    Args:
        sizes: of networks and batches.
        num_steps: over which the cost of a step through Lightning is measured.
        default: of the reference that is compared with the default network, and how often they take turns.

    Returns:
        what was measured, in a line, and the rows.
    """
    with one_thread():
        rows = [row for size in sizes for row in _train_rows(size)]
        rows += _default_rows(default)
        rows += _lightning_rows(num_steps)
    rows += _cores_rows(min(NUM_STEPS, num_steps))
    return "training, one thread; the limit is that of multiplying 32-bit matrices", rows


def _train_rows(size: Size) -> list[Row]:
    theirs = Predecessor(size.num_layers, size.hidden_size)
    # as wide as one-hot vectors, for the same number of multiplications, and no dropout where they have none
    once = "NoteRNN, one dropout mask a window"
    ours = {
        name: NoteLSTM(
            VOCAB_SIZE, VOCAB_SIZE, size.hidden_size, size.num_layers, DROPOUT, 2,
            input_dropout=0.0, variational=name != "NoteRNN",
        )
        for name in ("NoteRNN", once, *([f"{once}, bf16-mixed"] if has_bfloat16_units() else []))
    }  # fmt: skip
    for name, network in ours.items():
        network.trains_in_bfloat16 = "bf16" in name
    num_tokens = size.batch_size * size.window_length
    matrix = torch.randn(1024, 1024)
    timings = interleaved(
        {
            f"Note-RNN's loop, {size}": _training_step(
                theirs, torch.optim.Adam(theirs.parameters(), 0.001), size
            ),
            **{
                f"{name}, {size}": _training_step(
                    network, build_optimizer(network.parameters(), **ADAM), size
                )
                for name, network in ours.items()
            },
            "torch": lambda: matrix @ matrix,
            "numpy": lambda: matrix.numpy() @ matrix.numpy(),
        },
        size.repeats,
    )
    trained, products = timings[:-2], timings[-2:]
    peak = 2 * 1024**3 / min(timing.seconds for timing in products)  # operations a second
    # a multiplication and an addition a weight and token, forward and twice backward
    needed = 6 * sum(p.numel() for p in theirs.parameters() if p.dim() == 2) / peak
    return _rows(trained, [num_tokens] * len(trained), needed)


def _default_rows(size: Size) -> list[Row]:
    """The default network beside the reference, a transformer of as many weights and both limits.

    Multiplications of 16-bit numbers are the limit of `trainer.precision=bf16-mixed`.
    """
    theirs, ours = Predecessor(size.num_layers, size.hidden_size), default_network()
    transformer = Transformer(VOCAB_SIZE)
    matrix = torch.randn(1024, 1024)
    half = matrix.bfloat16()
    name = f"the default network, batch {size.batch_size}, window {size.window_length}"
    steps = {name: step_of(ours, NUM_STEPS)}
    if has_bfloat16_units():
        steps[f"{name}, bf16-mixed"] = step_of(default_network(), NUM_STEPS, in_bfloat16=True)
    timings = interleaved(
        {
            f"Note-RNN's loop, {size}": _training_step(
                theirs, torch.optim.Adam(theirs.parameters(), 0.001), size
            ),
            **steps,
            "a transformer of as many weights": _training_step(
                transformer, build_optimizer(transformer.parameters(), **ADAM), size
            ),
            "32-bit products": lambda: matrix @ matrix,
            "16-bit products": lambda: half @ half,
        },
        size.repeats,
    )
    num_tokens = size.batch_size * size.window_length
    needed = 6 * sum(p.numel() for p in ours.parameters() if p.dim() == 2)  # as in `_train_rows`
    trained, both = timings[:-2], timings[-2:]
    seconds = [num_tokens * needed * timing.seconds / (2 * 1024**3) for timing in both]
    limits = [
        Timing(f"{timing.name} as many as the default network's", least, timing.spread)
        for timing, least in zip(both, seconds, strict=True)
    ]
    rows = _rows([*trained, *limits], [num_tokens] * (len(trained) + 2), seconds[0] / num_tokens)
    for row in (rows[0], rows[len(steps) + 1]):  # they multiply other numbers
        row["share_of_limit"] = None
    return rows


def _training_step(network: nn.Module, optimizer: torch.optim.Optimizer, size: Size) -> Callable[[], float]:
    """A function that takes a step on random ids, and carries the state to the next."""
    ids = torch.randint(VOCAB_SIZE, (size.batch_size, size.window_length + 1))
    state: Any = None

    def step() -> float:
        nonlocal state
        logits, after = network(ids[:, :-1], state)
        state = tuple(part.detach() for part in after)
        loss = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        return loss.item()

    return step


def _rows(timings: Sequence[Timing], counts: Sequence[float], limit: float) -> list[Row]:
    """A row a contestant; the first is the reference.

    Args:
        timings: of the contestants.
        counts: how many tokens each handled.
        limit: seconds a token that this machine cannot do without.
    """
    rates = [count / timing.seconds for count, timing in zip(counts, timings, strict=True)]
    return [
        _row(timing, tokens_per_second=rate, times_reference=rate / rates[0], share_of_limit=rate * limit)
        for timing, rate in zip(timings, rates, strict=True)
    ]


def _row(timing: Timing, **figures: float) -> Row:
    columns = ("tokens_per_second", "times_reference", "share_of_limit", "ms_per_step", "times_one_core")
    return {"name": timing.name} | dict.fromkeys(columns) | figures | {"spread": timing.spread}


def _lightning_rows(num_steps: int) -> list[Row]:
    """What a step through Lightning's trainer costs beyond the same step in a loop of one's own.

    Once without a log, and once with the loss in an offline wandb run every `LOG_EVERY` steps.
    """
    loader = LaneLoader(_random_pieces(num_steps, 8), 2, 8)
    network = NoteLSTM(VOCAB_SIZE, 8, 8, 1, 0.0, 1)
    module, logging_module = (kind(copy.deepcopy(network), ADAM, 0) for kind in (NoteRNN, _Logging))

    def bare() -> None:
        optimizer = module.configure_optimizers()
        for index, batch in enumerate(loader):
            optimizer.zero_grad()
            module.training_step(batch, index).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()

    with (
        TemporaryDirectory() as folder,
        track("offline", "bench", None, Path(folder) / "run", None, {}) as run,
    ):
        logger = run.lightning_logger()
        contestants: dict[str, Callable[[], None]] = {
            "bare": bare,
            "Lightning, beyond the bare loop": lambda: _fit(module, loader, None),
            f"the same, logging to wandb every {LOG_EVERY} steps": lambda: _fit(
                logging_module, loader, logger
            ),
        }
        timings = interleaved(contestants)
    costs = [(timing.seconds - timings[0].seconds) / len(loader) for timing in timings[1:]]
    return [_row(timing, ms_per_step=1000 * cost) for timing, cost in zip(timings[1:], costs, strict=True)]


def _cores_rows(num_steps: int) -> list[Row]:
    """A step of the default network on one core and on all, by a clock."""
    timings = time_cores(num_steps)
    return [
        _row(
            timing,
            ms_per_step=1000 * timing.seconds / num_steps,
            times_one_core=timings[0].seconds / timing.seconds,
        )
        for timing in timings
    ]


def _random_pieces(num_steps: int, window_length: int) -> Pieces:
    """Two pieces which are as many windows long."""
    ids = np.random.default_rng(0).integers(4, VOCAB_SIZE, num_steps * window_length + 1)
    return Pieces.of([ids, ids])


class _Logging(NoteRNN):
    """Logs the loss of one step in `LOG_EVERY`; `log` in every step would cost more than the step itself."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """As `NoteRNN`."""
        loss = super().training_step(batch, batch_idx)
        if (batch_idx + 1) % LOG_EVERY == 0:
            self.log("train/loss", loss, batch_size=len(batch.inputs))
        return loss


def _fit(module: NoteRNN, loader: LaneLoader, logger: Logger | None) -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on workers and callbacks
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=1,
            gradient_clip_val=1.0,
            logger=logger or False,
            log_every_n_steps=LOG_EVERY,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=0,
        )
        trainer.fit(module, train_dataloaders=loader)


def bench_generate(
    num_layers: int = 3, hidden_size: int = 512, num_notes: int = 400, num_streams: int = 64, repeats: int = 5
) -> tuple[str, list[Row]]:
    """Compare composing: alone and several samples together, with a network of that size and the default one.

    Args:
        num_layers, hidden_size: of the network that is as large as the reference; it says a note a token.
        num_notes: of a sample.
        num_streams: samples that are made together.
        repeats: that count.

    Returns:
        what was measured, in a line, and the rows. The limit of one sample is that of reading the weights
        once a token, that of several the products of 32-bit matrices.
    """
    theirs = Predecessor(num_layers, hidden_size).eval()
    pitches = [str(pitch) for pitch in range(VOCAB_SIZE - 4)]
    notes = Codec(ChordTokenizer(durations=False, rests=False, min_count=1), Vocabulary(pitches))
    same_size = NoteLSTM(VOCAB_SIZE, hidden_size, hidden_size, num_layers, DROPOUT, 2)
    contestants = {
        f"NoteRNN{size}, {count}": _Composing(network, codec, num_notes, num_samples)
        for size, network, codec in (
            ("", same_size, notes),
            (", the default network", default_network(), CODEC),
        )
        for count, num_samples in (("one sample", 1), (f"{num_streams} together", num_streams))
    }
    matrix = torch.randn(1024, 1024)
    limits = {name: _reading(composing.num_weights) for name, composing in contestants.items()}
    with one_thread():
        timings = interleaved(
            {
                "Note-RNN's sample()": lambda: theirs.sample(num_notes),
                **contestants,
                **{f"reading for {name}": limit for name, limit in limits.items()},
                "product": lambda: matrix @ matrix,
            },
            repeats,
        )
    *timings, product = timings
    seconds = {timing.name: timing.seconds for timing in timings}
    rows = _rows(timings[:5], [num_notes, *(c.mean_count for c in contestants.values())], 0.0)
    for row, (name, composing) in zip(rows[1:], contestants.items(), strict=True):
        reading = seconds[f"reading for {name}"] / READINGS
        multiplying = composing.num_weights * product.seconds / 1024**3
        row["share_of_limit"] = row["tokens_per_second"] * (
            reading if composing.num_samples == 1 else multiplying
        )
    rows[0]["share_of_limit"] = (
        rows[0]["tokens_per_second"] * seconds["reading for NoteRNN, one sample"] / READINGS
    )
    return (
        f"composing with {num_layers} x {hidden_size} and the default network, one thread; the limit is "
        "that of reading the weights for one sample, of multiplying 32-bit matrices for several",
        rows,
    )


class _Composing:
    """Makes samples with new seeds each time, for one may be lucky or not, and counts their tokens.

    Args:
        network: of new weights, which is made as sure of itself as a trained one.
        codec: of its ids.
        num_notes: of each sample.
        num_samples: that are made together.
    """

    def __init__(self, network: NoteLSTM, codec: Codec, num_notes: int, num_samples: int) -> None:
        self.network, self.codec = network.eval(), codec
        self.num_notes, self.num_samples = num_notes, num_samples
        self.seeds = itertools.count()
        self.counts: list[int] = []
        last = [module for module in network.head.modules() if isinstance(module, nn.Linear)][-1]
        with torch.no_grad():
            ids = torch.randint(len(codec.vocabulary), (1, 100))
            suggested = network.suggested(ids[0].numpy())
            logits = network(ids, None, None if suggested is None else suggested[None])[0]
            last.weight.mul_(TRAINED_DEVIATION / logits[logits.isfinite()].std())

    def __call__(self) -> None:
        options = Sampling(num_notes=self.num_notes, top_k=TOP_K, top_p=1.0, seed=next(self.seeds))
        samples = sample_batch(self.network, self.codec, [], options, self.num_samples)
        self.counts.append(sum(map(len, samples)))

    @property
    def mean_count(self) -> float:
        """Tokens of a turn."""
        return float(np.mean(self.counts))

    @property
    def num_weights(self) -> int:
        """How many weights a token is multiplied with; what comes before the first layer is looked up."""
        looked_up = (
            "embedding",
            "projection",
            "places",
            "layers.0.weight_ih",
            "intervals.table",
            "intervals.classes",
        )
        return sum(p.numel() for name, p in self.network.named_parameters() if not name.startswith(looked_up))


def _reading(num_weights: int) -> Callable[[], None]:
    """A function that reads so many numbers, `READINGS` times."""
    memory = np.ones((num_weights // 1024 + 1, 1024), dtype=np.float32)
    vector = np.ones(1024, dtype=np.float32)

    def read() -> None:
        for _ in range(READINGS):
            memory @ vector

    return read
