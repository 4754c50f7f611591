"""What a run comes to: the content of its summary.json."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

import noternn
from noternn.corpus.splits import EncodedCorpus
from noternn.metrics import rates
from noternn.runs.epochs import INTERVAL, Row, best_row
from noternn.runs.verdict import advice, verdict

# What decides a result, beside the settings and the music.
PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "numpy", "miditoolkit", "music21", "wandb")
PRUNED = "pruned: hopeless beside the other trials of the search"  # the verdict on a run


def losses_of(rows: Sequence[Row], corpus: EncodedCorpus) -> dict[str, Any]:
    """The figures of the best epoch and of the last."""
    best, last = best_row(rows), rows[-1]
    return {
        "best_epoch": int(best["epoch"]),
        "num_epochs": int(last["epoch"]),
        "val/nll": best["val/nll"],
        **{name: best[name] for name in INTERVAL if name in best},
        **{
            f"val/{name}": value for name, value in rates(best["val/nll"], corpus.sizes["validation"]).items()
        },
        "train_eval/nll": best["train_eval/nll"],
        "gap/nll": best["gap/nll"],
        "last/val/nll": last["val/nll"],
        "last/gap/nll": last["gap/nll"],
    }


def sizes_of(corpus: EncodedCorpus, num_parameters: int, train_fraction: float) -> dict[str, Any]:
    """What was learned from, and by how many parameters."""
    return {
        "leak/validation": corpus.leak.grouped,
        "leak/validation_ungrouped": corpus.leak.ungrouped,
        "num_duplicate_groups": len(corpus.duplicates),
        "num_parameters": num_parameters,
        "train_fraction": train_fraction,
        "num_train_notes": corpus.sizes["train"].num_notes,
        "num_validation_pieces": corpus.sizes["validation"].num_pieces,
    }


def judgement_of(
    rows: Sequence[Row], plain: dict[str, Any], num_pieces: int, num_notes: int, is_pruned: bool
) -> dict[str, Any]:
    """The verdict on a run and the advice; a search that ends a run early has said enough.

    Args:
        rows: its losses.
        plain: its settings.
        num_pieces: of the validation split.
        num_notes: of the training split.
        is_pruned: whether a search ended it.
    """
    return {
        "seconds": rows[-1]["seconds"],
        "cpu_seconds": rows[-1]["cpu_seconds"],
        "verdict": PRUNED if is_pruned else verdict(rows, num_pieces),
        "advice": [] if is_pruned else advice(rows, plain, num_pieces, num_notes),
    }


def versions() -> dict[str, str]:
    """Of this program and of the libraries that decide a result."""
    return {"noternn": noternn.__version__, **{name: metadata.version(name) for name in PACKAGES}}
