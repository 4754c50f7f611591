"""What the best weights of some runs come to on held-out pieces, in one column a way of evaluating them.

Each way gives every token of a piece but BOS a probability from the tokens before it, so that all columns
are exact likelihoods, or bounds that flatter none. The rate of dynamic evaluation is chosen on the
validation split.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noternn.errors import UserError
from noternn.evaluation.loading import TrainedRun
from noternn.evaluation.predictors import (
    Floats,
    Ints,
    Predictor,
    dynamic,
    ensemble,
    keys_around,
    over_keys,
    share_within,
    static,
)
from noternn.metrics import SplitSize, frame_averages, interval, rates
from noternn.model.labels import Labels
from noternn.model.lstm import NoteLSTM
from noternn.tables import format_table
from noternn.tokenizer import Codec, FramesTokenizer, VoicesTokenizer

log = logging.getLogger(__name__)

RATES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # of dynamic evaluation, until one is worse


@dataclass(frozen=True)
class Options:
    """Which ways are asked for.

    Args:
        split: validation or test.
        keys: how many keys to average over; 1 for the piece's own.
        dynamic: whether the weights adapt within each piece.
    """

    split: str = "validation"
    keys: int = 1
    dynamic: bool = False


@dataclass(frozen=True)
class Column:
    """A way of evaluating and what it came to.

    Args:
        name: of the way.
        units: nats per token, note, beat and second.
        settings: what was chosen for it on the validation split.
        intervals: of nats per token and note, see `metrics.interval`; none of fewer than three pieces.
    """

    name: str
    units: dict[str, float]
    settings: dict[str, Any]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Material:
    """The pieces of a split."""

    pieces: list[Ints]
    num_notes: Ints  # of each
    size: SplitSize
    codec: Codec

    @classmethod
    def of(cls, run: TrainedRun, split: str) -> Material:
        """A split of a run's corpus."""
        pieces = list(run.corpus.encoded.ids[split])
        if not pieces:
            raise UserError(f"{run.path}: its {split} split holds no pieces")
        encoded = run.corpus.encoded
        num_notes = encoded.corpus.column("num_notes")[encoded.members[split]]
        return cls(pieces, num_notes, encoded.sizes[split], run.composer.codec)

    def units(self, nlls: Sequence[Floats]) -> dict[str, float]:
        """Nats per token, note, beat, second and, of frames, frame, from the nll of each piece's tokens."""
        nll = float(np.concatenate(nlls).mean())
        units = {"nats_per_token": nll, **rates(nll, self.size)}
        if isinstance(self.codec.tokenizer, FramesTokenizer | VoicesTokenizer):
            steps = self.codec.token_steps()
            targets = [piece[1:] for piece in self.pieces]
            pairs = [(nll, steps[ids]) for nll, ids in zip(nlls, targets, strict=True)]
            units |= frame_averages(pairs)
        return units

    def column(self, name: str, nlls: Sequence[Floats], settings: dict[str, Any]) -> Column:
        """A way of evaluating, from the nll of each piece's tokens."""
        sums = np.array([nll.sum() for nll in nlls])
        sizes = {"nats_per_token": [len(nll) for nll in nlls], "nats_per_note": self.num_notes}
        found = {unit: interval(sums, np.asarray(size, dtype=np.float64)) for unit, size in sizes.items()}
        known = {unit: both for unit, both in found.items() if both is not None}
        return Column(name, self.units(nlls), settings, known)


def evaluate(runs: Sequence[TrainedRun], options: Options) -> list[Column]:
    """What the runs come to: a column for each, then one for each thing that is added to them, from left
    to right: their ensemble, dynamic evaluation, keys.

    A network of labels is told that of each piece. What it comes to with none, and with that of other pieces,
    stands beside it.
    """
    networks = [_network(run) for run in runs]
    told = [_labels(run, options.split) for run in runs]
    material = Material.of(runs[0], options.split)
    columns: list[Column] = []

    def add(name: str, predict: Predictor, **settings: Any) -> None:
        log.info("%s ...", name)
        nlls = [-log_probs for log_probs in predict(material.pieces)]
        columns.append(material.column(name, nlls, settings))

    predictors = [static(network, labels=rows) for network, rows in zip(networks, told, strict=True)]
    for number, predict in enumerate(predictors, start=1):
        add("network" if len(runs) == 1 else f"network {number}", predict)
    if len(runs) == 1:
        for name, labels in other_labels(told[0], runs[0].composer.labels).items():
            add(name, static(networks[0], labels=labels))
    if len(runs) > 1:
        predict = ensemble(predictors)
        add("ensemble", predict)
    if options.dynamic:
        window = runs[0].config["datamodule"]["window_length"]
        validation = Material.of(runs[0], "validation")
        on = [_labels(run, "validation") for run in runs]
        tried = zip(networks, on, strict=True)
        chosen = [fit_rate(network, validation.pieces, window, labels) for network, labels in tried]
        adapting = zip(networks, chosen, [window] * len(runs), told, strict=True)
        predict = ensemble([dynamic(*each) for each in adapting])
        add("+ dynamic", predict, rates=chosen, window_length=window)
    if options.keys > 1:
        codec = runs[0].composer.codec
        predict = over_keys(predict, codec, options.keys)
        within = share_within(codec, material.pieces, options.keys)
        add(f"+ {options.keys} keys", predict, keys=keys_around(options.keys), pieces_within=within)
    return columns


def _network(run: TrainedRun) -> NoteLSTM:
    """The network of a run, which is told labels if it has some."""
    labels = run.composer.labels
    return labels.network if labels else run.composer.network


def _labels(run: TrainedRun, split: str) -> Ints | None:
    """The number of the label of each piece of a split, for a run's network; None where it has none."""
    labels = run.composer.labels
    return run.corpus.label_rows(split, labels.names) if labels else None


def other_labels(right: Ints | None, labels: Labels | None) -> dict[str, Ints]:
    """None, and the wrong ones: of each piece the label after its own, the first after the last."""
    if right is None or labels is None:
        return {}
    others = {"no label": np.zeros_like(right)}
    count = len(labels.names)
    return others | ({"wrong label": right % count + 1} if count > 1 else {})


def fit_rate(
    network: NoteLSTM, pieces: Sequence[Ints], window_length: int, labels: Ints | None = None
) -> float:
    """The rate of `dynamic` that suits these pieces best, of `RATES` up to the first one that is too high."""
    best, lowest = 0.0, np.inf
    for rate in RATES:
        nll = -float(np.concatenate(dynamic(network, rate, window_length, labels)(pieces)).mean())
        log.info("  rate %g: %.4f nats per token of the validation split", rate, nll)
        if not nll < lowest:
            break
        best, lowest = rate, nll
    return best


def as_text(runs: Sequence[TrainedRun], options: Options, columns: Sequence[Column]) -> str:
    """The columns as a table, with what they were measured on."""
    size = runs[0].corpus.encoded.sizes[options.split]
    lines = [
        f"{options.split}: {size.num_pieces} pieces, {size.num_notes:,} notes, {size.num_tokens:,} tokens"
    ]
    if options.split == "test":
        lines.append("this is the test split: choose nothing by it")
    rows = [
        {"": unit.replace("_", " "), **{column.name: column.units[unit] for column in columns}}
        for unit in columns[0].units
    ]
    lines += ["", format_table(rows, ["", *(column.name for column in columns)]), ""]
    if len(runs) > 1:
        lines.append(", ".join(f"network {k}: {run.path}" for k, run in enumerate(runs, start=1)))
    lines += [_interval_line(column, size.num_pieces) for column in columns if column.intervals]
    return "\n".join(lines + [_note(column) for column in columns if column.settings])


def _interval_line(column: Column, num_pieces: int) -> str:
    """Between what the figures of other such music would lie."""
    ranges = [
        f"{low:.4f} to {high:.4f} {unit.replace('_', ' ')}" for unit, (low, high) in column.intervals.items()
    ]
    return f"{column.name}: 95 % interval {', '.join(ranges)} (bootstrap over {num_pieces} pieces)"


def _note(column: Column) -> str:
    """What a column's settings were, and where they come from."""
    s = column.settings
    if "rates" in s:
        rates_ = ", ".join(f"{rate:g}" for rate in s["rates"])
        return (
            f"{column.name}: rate {rates_} (chosen on the validation split) every {s['window_length']} tokens"
        )
    keys = ", ".join(f"{key:+d}" if key else "0" for key in s["keys"])
    return (
        f"{column.name}: {keys} semitones; {s['pieces_within']:.0%} of the pieces are within the vocabulary "
        "in all of them, the others are averaged over those keys that have been so far"
    )


def as_plain(runs: Sequence[TrainedRun], options: Options, columns: Sequence[Column]) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "runs": [str(run.path) for run in runs],
        "split": options.split,
        "columns": [
            {"name": c.name, **c.units, "intervals": c.intervals, "settings": c.settings} for c in columns
        ],
    }
