"""Small pieces that are music, and what several tests read of a run's folder."""

from __future__ import annotations

import csv
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pytest

from noternn.config.dataset import Dataset
from noternn.corpus.loading import encode, with_split
from noternn.corpus.splits import EncodedCorpus
from noternn.corpus.tokenized import tokenize_corpus
from noternn.datasets.configured import ready_made_split, sources_of
from noternn.music.piece import Piece

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import Record

TIMES = ("seconds", "cpu_seconds")  # of metrics.csv

SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))  # major, natural minor
BARS = ((1, 1, 1, 1), (0.5, 0.5, 1, 1, 1), (1.5, 0.5, 1, 1), (2, 1, 1), (0.5, 0.5, 0.5, 0.5, 2))  # beats
CHORD_DEGREES = (0, 3, 4, 5)  # of the scale: what the bass plays


def small_piece(seed: int) -> Piece:
    """A melody over fifths in the bass, 40 to 70 notes; each seed has its own key, metre and tempo."""
    rng = np.random.default_rng(seed)
    scale, tonic = SCALES[rng.integers(2)], int(rng.integers(48, 60))
    degree = int(rng.integers(7, 15))
    notes: list[tuple[float, float, int]] = []  # onset and duration in beats, pitch

    def pitch(of: int) -> int:
        return tonic + 12 * (of // 7) + scale[of % 7]

    for bar in range(rng.integers(8, 11)):
        root = int(rng.choice(CHORD_DEGREES))
        notes += [(4.0 * bar, 4.0, pitch(root - 7)), (4.0 * bar, 4.0, pitch(root - 3))]
        beat = 0.0
        for beats in BARS[rng.integers(len(BARS))]:
            degree = int(np.clip(degree + rng.integers(-2, 3), 5, 17))
            notes.append((4 * bar + beat, beats, pitch(degree)))
            beat += beats
    onset, duration, pitches = np.array(notes).T
    return Piece.from_notes(
        onset * 480,
        duration * 480,
        pitches,
        velocity=rng.integers(60, 101, len(notes)),
        tempos=((0, float(rng.integers(80, 141))),),
        metres=((0, 4, 4),),
        name=f"piece {seed}",
    )


def all_in_slow(values: Iterable[str], quick: str) -> list[Any]:
    """Parameters of a test of which one is tried each time, and the others with `pytest -m slow`."""
    return [value if value == quick else pytest.param(value, marks=pytest.mark.slow) for value in values]


class TrainTiny(Protocol):
    """`train_tiny(run_dir, *overrides, folder=...)`: trains in this process, returns the summary."""

    def __call__(self, run_dir: Path, *overrides: str, folder: Path | None = None) -> dict[str, Any]: ...


def rows_of(run_dir: Path) -> list[dict[str, str]]:
    """metrics.csv without the seconds."""
    return [
        {name: value for name, value in row.items() if name not in TIMES} for row in timed_rows_of(run_dir)
    ]


def timed_rows_of(run_dir: Path) -> list[dict[str, str]]:
    """metrics.csv."""
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def same_weights(a: Path, b: Path) -> bool:
    """Whether two checkpoints hold the same weights, bit for bit."""
    import torch  # not above: conftest.py sets the environment that it reads

    first, second = (torch.load(path, weights_only=True)["state_dict"] for path in (a, b))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def records(path: Path) -> Iterator[Record]:
    """The records of an offline wandb run, which are kept in LevelDB's log format."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # no header fits into the rest of this block
            place += 32768 - place % 32768
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(parts)
            parts = b""


def encoded_corpus(dataset: Dataset, tokenizer: dict[str, Any]) -> EncodedCorpus:
    """A dataset as ids, split as it says with seed 0; `tokenizer` as `build_tokenizer` takes it."""
    sources = sources_of(dataset)
    ready_made = ready_made_split(dataset, sources)
    corpus = tokenize_corpus(with_split(sources, ready_made), tokenizer, None, num_processes=0)
    return encode(corpus, dataset, tokenizer, seed=0, transpose=0, ready_made=ready_made)
