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
from noternn.evaluation.samplers import compose_inverted
from noternn.health.checkup import check
from noternn.health.excerpts import in_turn, whole_excerpts
from noternn.health.surprise import (
    MAX_EXCERPTS,
    MIN_EXCERPTS,
    Bounds,
    Nats,
    bars_shuffled,
    surprises,
    voice_moved,
)
from noternn.health.voices import parallels
from noternn.health.yardstick import MIN_PIECES, Yardstick
from noternn.music.piece import Piece
from noternn.sampling.composer import Composer
from noternn.sampling.scoring import scorer

LENGTH = 7 / 8  # of a run's samples, as at the end of training
FOREIGN = (
    "bach",
    "classical",
)  # corpora of which the first that the run did not learn from is another's music


Judged = tuple[Piece, Yardstick]  # what is checked, and with what it is compared


def bench_health(
    path: Path, num_each: int = 40, foreign: Sequence[Piece] = ()
) -> tuple[str, list[dict[str, Any]]]:
    """Check planted faults, samples and real excerpts with a run's network.

    Where there are eight test pieces these are the real excerpts, and the yardstick is of the validation
    pieces. Else each held-out piece is compared with all others.

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
    train, validation, test = (list(run.corpus.pieces(split)) for split in ("train", "validation", "test"))
    is_alone = len(test) < MIN_PIECES
    measured = validation + test if is_alone else validation
    yardstick = Yardstick.of(measured, train)
    yardstick = replace(yardstick, network=Bounds.of(measured, nats, num_notes))
    if yardstick.network:
        num_notes = yardstick.network.num_notes
    each = _each_alone(measured, train, nats, num_notes) if is_alone else [yardstick] * len(test)
    judged = zip(measured if is_alone else test, each, strict=True)
    cut = [[(part, own) for part in whole_excerpts(piece, num_notes)] for piece, own in judged]
    real = in_turn(cut)[:num_each]
    planted = _planted(run, real, yardstick, num_notes, num_each, foreign or _foreign(run, num_each))
    rows = [_row(name, pieces, nats) for name, pieces in [("held-out excerpts", real), *planted]]
    others = "each beside the others of" if is_alone else "beside"
    line = f"excerpts of {num_notes} notes {others} {len(measured)} held-out pieces"
    return line if yardstick.network else f"{line}, too few to judge by the network", rows


def _row(name: str, judged: Sequence[Judged], nats: Nats) -> dict[str, Any]:
    """What is found in some pieces."""
    verdicts = [check(piece, yardstick, nats=nats).verdict for piece, yardstick in judged]
    shares = {v: verdicts.count(v) / max(1, len(verdicts)) for v in ("unhealthy", "unusual")}
    share = parallels(piece for piece, _ in judged)
    parallel = None if math.isnan(share) else share
    return {"name": name, "num_pieces": len(judged), **shares, "parallels": parallel}


def _each_alone(
    pieces: Sequence[Piece], train: Sequence[Piece], nats: Nats, num_notes: int
) -> list[Yardstick]:
    """For each piece the yardstick of the others; the network measures each once."""
    each = -(-MAX_EXCERPTS // max(1, len(pieces)))
    rows = [surprises(whole_excerpts(piece, num_notes)[:each], nats) for piece in pieces]
    yardsticks = []
    for k in range(len(pieces)):
        others = [row for n, own in enumerate(rows) if n != k for row in own]
        bounds = Bounds.of_rows(num_notes, others) if len(others) >= MIN_EXCERPTS else None
        yardsticks.append(replace(Yardstick.of([*pieces[:k], *pieces[k + 1 :]], train), network=bounds))
    return yardsticks


def _planted(
    run: TrainedRun,
    real: Sequence[Judged],
    yardstick: Yardstick,
    num_notes: int,
    num_each: int,
    foreign: Sequence[Piece],
) -> Iterator[tuple[str, list[Judged]]]:
    """The faults by name."""

    def judged(pieces: Sequence[Piece]) -> list[Judged]:
        return [(piece, yardstick) for piece in pieces]

    rng = np.random.default_rng(0)
    yield "its samples", judged(_samples(run, Sampling(**run.composer.drawing), num_notes, num_each))
    yield "the inverted sampler", judged(_samples(run, None, num_notes, num_each))
    shuffled = [(bars_shuffled(piece, rng), own) for piece, own in real]
    moved = [(voice_moved(piece, 1), own) for piece, own in real]
    yield "shuffled bars", [(piece, own) for piece, own in shuffled if piece is not None]
    yield "highest voice a beat late", [(piece, own) for piece, own in moved if piece is not None]
    other_music = in_turn([whole_excerpts(piece, num_notes) for piece in foreign])
    yield "another corpus", judged(other_music[:num_each])


def _samples(run: TrainedRun, options: Sampling | None, num_notes: int, count: int) -> list[Piece]:
    """Samples of a run's network; without options by the inverted sampler."""
    drawing = replace(options or Sampling(top_p=1.0), num_notes=num_notes)
    compose = Composer.compose_ids if options else compose_inverted
    return [run.composer.codec.decode(ids) for ids in compose(run.composer, [[]] * count, drawing)]


def _foreign(run: TrainedRun, count: int) -> list[Piece]:
    known = run.config["dataset"]["name"]
    corpus = next(name for name in FOREIGN if name != known)
    return [source.read() for source in installed_sources(corpus)[: 2 * count]]
