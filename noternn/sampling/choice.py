"""Which way of sampling suits a network: chosen by what it composes beside held-out music."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from noternn.config.sampling import Sampling
from noternn.health.checkup import check
from noternn.health.measures import measure
from noternn.health.voices import parallels
from noternn.health.yardstick import Yardstick
from noternn.music.piece import Piece
from noternn.sampling.composer import Composer
from noternn.sampling.primers import opening
from noternn.sampling.scoring import token_nlls
from noternn.sampling.steering import LEAST_PARALLEL
from noternn.tokenizer import BOS_ID
from noternn.tokenizer.pace import note_counts

Floats = NDArray[np.float64]

WAYS: Mapping[str, Mapping[str, Any]] = {
    "temperature 1": {"top_p": 1.0},
    "top-p 0.95": {"top_p": 0.95},
    "top-p 0.9": {"top_p": 0.9},
    "top-k 10": {"top_k": 10, "top_p": 1.0},
}
# Where the course of held-out music is known.
STEERED_WAYS = {"top-k 10, steered": {"top_k": 10, "top_p": 1.0, "steering": 12}}
NUM_SAMPLES = 8  # with each way, made together
LEAST_SPREAD = 0.1  # of what is compared, where held-out pieces differ less


@dataclass(frozen=True)
class Tried:
    """What a network composes with one way of sampling.

    Args:
        way: its name.
        healthy: how many of `num_samples` are, see `noternn.health.checkup`.
        num_samples: that were made.
        nats_per_note: how unlikely they are to the network.
        heard_before: mean of `repeated_fraction`, see `noternn.health.measures.Health`.
        parallel: share of pairs of voices in parallel fifths or octaves, see
            `noternn.health.voices.parallels`; None where no voices move together.
        distance: of these three from held-out music, in its standard deviations, added up.
    """

    way: str
    healthy: int
    num_samples: int
    nats_per_note: float
    heard_before: float
    parallel: float | None
    distance: float


@dataclass(frozen=True)
class Choice:
    """The way that is taken, and what each that was tried came to; none where the settings say the way."""

    way: Mapping[str, Any]
    tried: Sequence[Tried] = ()

    def as_plain(self) -> dict[str, Any]:
        """For summary.json."""
        return {"sampling": dict(self.way), "samplers": [asdict(tried) for tried in self.tried]}

    @property
    def sentence(self) -> str:
        """What was chosen and why, in a line."""
        best, *others = self.tried
        told = [f"{best.way}; {best.healthy} of {best.num_samples} healthy"]
        told += [f"{other.way} {other.healthy} of {other.num_samples}" for other in others]
        return ", ".join(told)


def choose(
    composer: Composer, pieces: Sequence[NDArray[np.int64]], yardstick: Yardstick, options: Sampling
) -> Choice:
    """The way whose samples are most often healthy; of those within one of it, the most like held-out music.

    Args:
        composer: whose network composes.
        pieces: of held-out pieces the ids, (num_tokens,) with BOS and EOS; the first ones' openings are
            continued, and how they really go on is what samples are measured against.
        yardstick: of these pieces.
        options: the rest of how to compose; `num_notes`, `primer_notes` and `seed` too.
    """
    chosen = [pieces[k % len(pieces)] for k in range(NUM_SAMPLES)]
    primers = [opening(piece, composer.codec, options.primer_notes) for piece in chosen]
    length = options.primer_notes + options.num_notes
    real = [opening(piece, composer.codec, length) for piece in chosen[: len(pieces)]]
    usual = _measured(composer, real, _music(composer, real), primers[: len(pieces)])
    ways, tried = WAYS if composer.course is None else {**WAYS, **STEERED_WAYS}, []
    for name, way in tqdm(ways.items(), "ways of sampling", leave=False, disable=None):
        settings = replace(options, **{**Sampling().drawing, **way})
        ids = composer.compose_ids(primers, settings)
        music = _music(composer, ids)
        own = _measured(composer, ids, music, primers)
        healthy = sum(check(piece, yardstick).verdict == "healthy" for piece in music)
        nats, heard, _ = (float(values.mean()) for values in own)
        share = parallels(music)
        parallel = None if math.isnan(share) else share
        distance = sum(map(_distance, own, usual))
        tried.append(Tried(name, healthy, len(primers), nats, heard, parallel, distance))
    most = max(row.healthy for row in tried)
    best = min(tried, key=lambda row: (row.healthy < most - 1, row.distance))
    return Choice(
        {**Sampling().drawing, **ways[best.way]}, [best, *(row for row in tried if row is not best)]
    )


def _music(composer: Composer, samples: Sequence[list[int]]) -> list[Piece]:
    return [composer.codec.decode(sample, composer.tempo) for sample in samples]


def _measured(
    composer: Composer,
    samples: Sequence[list[int]],
    music: Sequence[Piece],
    primers: Sequence[list[int]],
) -> tuple[Floats, Floats, Floats]:
    """What is compared of samples: nats a note after the primer, the share heard before, parallels."""
    counts = note_counts(composer.codec)
    network = composer.network.eval()
    nats = []
    pieces = [np.array([BOS_ID, *sample]) for sample in samples]
    for ids, nlls, primer in zip(pieces, token_nlls(network, pieces), primers, strict=True):
        own = slice(len(primer), None)
        nats.append(nlls[own].sum() / max(1, counts[ids[1:]][own].sum()))
    heard = [measure(piece).repeated_fraction for piece in music]
    shares = np.nan_to_num([parallels([piece]) for piece in music])
    return np.array(nats), np.nan_to_num(np.array(heard)), np.log(shares + LEAST_PARALLEL)


def _distance(values: Floats, real: Floats) -> float:
    return float(abs(values.mean() - real.mean()) / max(real.std(), LEAST_SPREAD))
