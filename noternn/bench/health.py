"""How well health tells faults: planted ones, and real excerpts that it should let pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from noternn.config.sampling import Sampling
from noternn.datasets.sources import installed_sources
from noternn.evaluation.loading import TrainedRun, load_runs
from noternn.evaluation.samplers import build_inverted
from noternn.health.checkup import check
from noternn.health.excerpts import excerpts
from noternn.health.surprise import Bounds, bars_shuffled, voice_moved
from noternn.health.voices import parallels
from noternn.health.yardstick import Yardstick
from noternn.model.stepper import build_stepper
from noternn.music.piece import Piece
from noternn.sampling.sampler import sample_each
from noternn.sampling.scoring import scorer

LENGTH = 7 / 8  # of a run's samples, as at the end of training
FOREIGN = (
    "bach",
    "classical",
)  # corpora of which the first that the run did not learn from is another's music


def bench_health(
    path: Path, num_each: int = 40, foreign: Sequence[Piece] = ()
) -> tuple[str, list[dict[str, Any]]]:
    """Check planted faults, samples and real excerpts with a run's network.

    Where there are test pieces these are the real excerpts, and the yardstick is of the validation pieces.
    Else every second validation piece is one, and the yardstick is of the others.

    Args:
        path: of the run.
        num_each: of each fault.
        foreign: music of another corpus; none for some that is installed.

    Returns:
        what was done, in a line, and for each fault how many there were, the shares of the verdicts, and
        what `noternn.health.voices.parallels` counts.
    """
    run = load_runs([path])[0]
    network, codec = run.composer.network, run.composer.codec
    nats, num_notes = scorer(network, codec), int(run.config["sampling"]["num_notes"] * LENGTH)
    measured, others = _held_out(run)
    yardstick = Yardstick.of(measured, list(run.corpus.pieces("train")))
    yardstick = replace(yardstick, network=Bounds.of(measured, nats, num_notes))
    if yardstick.network:
        num_notes = yardstick.network.num_notes
    real = _cut(others, num_notes)[:num_each]
    planted = _planted(run, real, num_notes, num_each, foreign or _foreign(run, num_each))
    rows = []
    for name, pieces in [("held-out excerpts", real), *planted]:
        verdicts = [check(piece, yardstick, nats=nats).verdict for piece in pieces]
        shares = {v: verdicts.count(v) / max(1, len(verdicts)) for v in ("unhealthy", "unusual")}
        share = parallels(pieces)
        rows.append(
            {
                "name": name,
                "num_pieces": len(pieces),
                **shares,
                "parallels": None if math.isnan(share) else share,
            }
        )
    line = f"excerpts of {num_notes} notes beside {len(measured)} held-out pieces"
    return line if yardstick.network else f"{line}, too few to judge by the network", rows


def _held_out(run: TrainedRun) -> tuple[list[Piece], list[Piece]]:
    """The pieces that are measured, and others."""
    validation, test = (list(run.corpus.pieces(split)) for split in ("validation", "test"))
    return (validation, test) if test else (validation[::2], validation[1::2])


def _cut(pieces: Sequence[Piece], num_notes: int) -> list[Piece]:
    """Excerpts of so many notes, from each piece in turn."""
    each = [[part for part in excerpts(piece, num_notes) if part.num_notes >= num_notes] for piece in pieces]
    most = max(map(len, each), default=0)
    return [parts[k] for k in range(most) for parts in each if k < len(parts)]


def _planted(
    run: TrainedRun, real: Sequence[Piece], num_notes: int, num_each: int, foreign: Sequence[Piece]
) -> Iterator[tuple[str, list[Piece]]]:
    """The faults by name."""
    rng = np.random.default_rng(0)
    yield "its samples", _samples(run, Sampling(**run.composer.drawing), num_notes, num_each)
    yield "the inverted sampler", _samples(run, None, num_notes, num_each)
    shuffled, moved = ([bars_shuffled(p, rng) for p in real], [voice_moved(p, 1) for p in real])
    yield "shuffled bars", [piece for piece in shuffled if piece is not None]
    yield "highest voice a beat late", [piece for piece in moved if piece is not None]
    yield "another corpus", _cut(foreign, num_notes)[:num_each]


def _samples(run: TrainedRun, options: Sampling | None, num_notes: int, count: int) -> list[Piece]:
    """Samples of a run's network; without options by the inverted sampler."""
    drawing = replace(options or Sampling(top_p=1.0), num_notes=num_notes)
    composer = run.composer
    primers: list[list[int]] = [[] for _ in range(count)]
    build = build_stepper if options else build_inverted
    bands = composer.playing(primers, drawing.seed)
    samples = sample_each(
        composer.network, composer.codec, primers, drawing, build, pace=composer.pace, bands=bands
    )
    return [composer.codec.decode(ids) for ids in samples]


def _foreign(run: TrainedRun, count: int) -> list[Piece]:
    known = run.config["dataset"]["name"]
    corpus = next(name for name in FOREIGN if name != known)
    return [source.read() for source in installed_sources(corpus)[: 2 * count]]
