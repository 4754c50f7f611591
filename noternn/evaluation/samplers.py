"""Ways of sampling side by side: what the same network composes with each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from noternn.audit.curve import copied_after
from noternn.audit.figures import Figures, pooled
from noternn.audit.index import Index, index_of
from noternn.config.sampling import Sampling
from noternn.evaluation.loading import TrainedRun
from noternn.health.checkup import check
from noternn.health.yardstick import Yardstick
from noternn.model.lstm import NoteLSTM
from noternn.model.stepper import Stepper, build_stepper
from noternn.sampling.choice import STEERED_WAYS
from noternn.sampling.composer import Composer
from noternn.sampling.primers import opening, primer_end
from noternn.sampling.sampler import sample_each
from noternn.sampling.scoring import token_nlls
from noternn.tokenizer import BOS_ID

REAL = "the pieces themselves"
INVERTED = "Note-RNN's (inverted) top-k 10"
WAYS: Mapping[str, Mapping[str, Any]] = {
    "greedy (top-k 1)": {"top_k": 1},
    "top-k 2": {"top_k": 2},
    "top-k 10": {"top_k": 10},
    "top-k 50": {"top_k": 50},
    "top-p 0.9": {"top_p": 0.9},
    "top-p 0.95": {"top_p": 0.95},
    "temperature 0.8": {"temperature": 0.8},
    "temperature 0.9": {"temperature": 0.9},
    "all (temperature 1)": {},
    "temperature 1.1": {"temperature": 1.1},
    "temperature 1.2": {"temperature": 1.2},
    INVERTED: {},
}
NUM_INVERTED = 10
FORBIDDEN = -100.0  # nats beside the others; what the grammar forbids is taken out later


@dataclass
class Inverted:
    """A stepper with the original Note-RNN's mistake in what it gives.

    It took the ten most probable ids, divided their log-probabilities by their sum, and drew with that. Both
    are negative: the least probable of the ten is drawn most often.
    """

    stepper: Stepper

    def step(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """See `Stepper`."""
        log_probs = self.stepper.step(ids)
        inverted = np.full_like(log_probs, FORBIDDEN)
        top = np.argsort(-log_probs, axis=-1)[:, :NUM_INVERTED]
        best = np.maximum(np.take_along_axis(log_probs, top, axis=-1), FORBIDDEN)
        shares = best / best.sum(axis=-1, keepdims=True)
        np.put_along_axis(inverted, top, np.log(np.maximum(shares, np.exp(FORBIDDEN))), axis=-1)
        return inverted

    def select(self, streams: Sequence[int]) -> None:
        """See `Stepper`."""
        self.stepper.select(streams)


def compose_inverted(
    composer: Composer, primers: Sequence[Sequence[int]], options: Sampling
) -> list[list[int]]:
    """What `Composer.compose_ids` gives, drawn with that mistake."""

    def build(network: NoteLSTM, num_streams: int) -> Stepper:
        return Inverted(build_stepper(network, max(2, num_streams)))

    bands = composer.playing(primers, options.seed)
    return sample_each(
        composer.network, composer.codec, primers, options, build, pace=composer.pace, bands=bands
    )


def compare(run: TrainedRun, yardstick: Yardstick, num_samples: int, num_notes: int) -> list[dict[str, Any]]:
    """What each way makes of the same openings of validation pieces, and how these really go on.

    Args:
        run: whose best weights compose.
        yardstick: of its validation pieces.
        num_samples: with each way; there may be fewer validation pieces, whose openings then come again.
        num_notes: of each sample, beside its opening.

    Returns:
        A row a way: `name`; `nats_per_note`, how unlikely the samples are to the network itself; the medians
        of `num_pitches`, `longest_repetition`, `local_scale_consistency` and `repeated_fraction`, see
        `noternn.health.measures.Health`; how many are `healthy`, `unusual` and `unhealthy`; `copied_16`
        and `longest`, see `noternn.audit.figures.Figures`; and as `near_16` and `near_longest` the same
        of passages that go on after a wrong note, see `noternn.audit.index.Audit.near`.
    """
    corpus, composer = run.corpus, run.composer
    index = index_of(corpus)
    num_given = run.config["sampling"]["primer_notes"]
    pieces = corpus.encoded.ids["validation"]
    chosen = [pieces[k % len(pieces)] for k in range(num_samples)]
    primers = [opening(piece, composer.codec, num_given) for piece in chosen]
    real = [opening(piece, composer.codec, num_given + num_notes) for piece in chosen]
    samples = {REAL: real}
    ways = WAYS if composer.course is None else {**WAYS, **STEERED_WAYS}
    for name, options in tqdm(ways.items(), "sampling", leave=False, disable=None):
        settings = Sampling(**({"num_notes": num_notes, "top_p": 1.0} | options))
        compose = compose_inverted if name == INVERTED else Composer.compose_ids
        samples[name] = compose(composer, primers, settings)
    return [_row(name, ids, primers, composer, yardstick, index) for name, ids in samples.items()]


def _row(
    name: str,
    samples: Sequence[list[int]],
    primers: Sequence[list[int]],
    composer: Composer,
    yardstick: Yardstick,
    index: Index,
) -> dict[str, Any]:
    pieces = [composer.codec.decode(ids, composer.tempo) for ids in samples]
    checkups = [check(piece, yardstick) for piece in pieces]
    verdicts = Counter(checkup.verdict for checkup in checkups)
    starts = [primer_end(primer, composer.codec, composer.tempo) for primer in primers]
    copied = [copied_after(index, piece, start) for piece, start in zip(pieces, starts, strict=True)]
    total: Figures = pooled([both.exact for both in copied])
    near: Figures = pooled([both.near for both in copied])
    nats = sum(nll_after(composer.network, ids, len(p)) for ids, p in zip(samples, primers, strict=True))
    medians = ("num_pitches", "longest_repetition", "local_scale_consistency", "repeated_fraction")
    return {
        "name": name,
        "nats_per_note": nats / max(1, total.num_notes),
        **{field: float(np.median([getattr(c.whole, field) for c in checkups])) for field in medians},
        **{verdict: verdicts[verdict] for verdict in ("healthy", "unusual", "unhealthy")},
        "copied_16": total.copied_16,
        "longest": int(total.longest),
        "near_16": near.copied_16,
        "near_longest": int(near.longest),
    }


def nll_after(network: NoteLSTM, ids: Sequence[int], num_given: int) -> float:
    """The nll of some ids in nats, added up, but for those that were given at the beginning."""
    (nlls,) = token_nlls(network.eval(), [np.array([BOS_ID, *ids])])
    return float(nlls[num_given:].sum())
