"""What a corpus says of itself at the start of a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from noternn.config.dataset import Dataset
from noternn.corpus.cache import Array
from noternn.corpus.splits import SPLITS, EncodedCorpus
from noternn.corpus.tokenized import TokenizedCorpus
from noternn.music.remarks import kinds
from noternn.runs.verdict import FEW_PIECES, few_pieces

log = logging.getLogger(__name__)

MUCH = 0.1  # share of the notes or tokens whose loss is told
MAX_SKIPPED_LINES = 20
MAX_REMARK_LINES = 6


def describe_corpus(
    dataset: Dataset,
    tokenizer: Mapping[str, Any],
    tokenized: TokenizedCorpus,
    corpus: EncodedCorpus,
    decided: Sequence[str] = (),
    *,
    is_ready_made: bool,
) -> None:
    """Say what was read, dropped, split and lost.

    Args:
        dataset: its settings.
        tokenizer: its settings.
        tokenized, corpus: before and after the split.
        decided: lines about what was decided of the tokenizer.
        is_ready_made: whether somebody else has made the split.
    """
    log.info(
        "dataset %s: %d pieces read, %d skipped",
        dataset.name,
        tokenized.num_pieces,
        len(tokenized.skipped),
    )
    for skipped in tokenized.skipped[:MAX_SKIPPED_LINES]:
        log.warning("  skipped %s: %s", skipped.name, skipped.reason)
    if len(tokenized.skipped) > MAX_SKIPPED_LINES:
        log.warning("  ... and %d more: see split.json", len(tokenized.skipped) - MAX_SKIPPED_LINES)
    remarks = kinds(tokenized.remarks)
    for kind in remarks[:MAX_REMARK_LINES]:
        log.info("  read, but %s", kind)
    if len(remarks) > MAX_REMARK_LINES:
        log.info("  ... and %d more kinds: see noternn corpus", len(remarks) - MAX_REMARK_LINES)
    for split in SPLITS:
        size = corpus.sizes[split]
        log.info(
            "  %-10s %4d pieces, %8s notes, %8s tokens, %5.1f min, unknown tokens %.2f %%",
            split, size.num_pieces, f"{size.num_notes:,}", f"{size.num_tokens:,}",
            size.seconds / 60, 100 * size.unknown_fraction,
        )  # fmt: skip
    num_validated = corpus.sizes["validation"].num_pieces
    if num_validated < FEW_PIECES:  # told before the hours are spent, and again at the end
        log.warning("  %s", few_pieces(num_validated, dataset.validation_fraction))
    if corpus.unused:
        log.info(
            "  %-10s %4d pieces: dataset.train_fraction=%g",
            "unused",
            len(corpus.unused),
            dataset.train_fraction,
        )
    _describe_duplicates(corpus, is_ready_made)
    _describe_tokens(tokenizer, tokenized, corpus, decided)


def _describe_tokens(
    tokenizer: Mapping[str, Any], tokenized: TokenizedCorpus, corpus: EncodedCorpus, decided: Sequence[str]
) -> None:
    """Say what the tokenizer keeps and loses; as `describe_corpus`."""
    trip = tokenized.column("round_trip")
    notes = trip[:, 0] / trip[:, 0].sum()
    kept = notes * trip[:, 1]
    log.info(
        "tokenizer %s: vocabulary %d; of the notes %.2f %% are kept, "
        "their onsets within %.4f beats and durations within %.4f on average",
        tokenizer["name"], len(corpus.vocabulary), 100 * kept.sum(),
        np.average(trip[:, 2], weights=kept), np.average(trip[:, 3], weights=kept),
    )  # fmt: skip
    for line in decided:
        log.info("  %s", line)
    lost = what_is_lost(tokenizer, tokenized.facts, trip)
    if lost:
        log.warning("  %s", lost)
    unknown = corpus.sizes["validation"].unknown_fraction
    if unknown > MUCH:
        advice = "more music" + (" or tokenizer=event" if tokenizer["name"] != "event" else "")
        log.warning(
            "  %.0f %% of the validation tokens are unknown, for training has none of them; give %s",
            100 * unknown,
            advice,
        )


def what_is_lost(tokenizer: Mapping[str, Any], facts: Mapping[str, Array], trip: Array) -> str:
    """Which notes a tokenizer does not write and what keeps them, in a line; "" where few are lost.

    Args:
        tokenizer: its settings.
        facts: columns of `PieceFacts`.
        trip: (num_pieces, 4) columns of `RoundTrip`.
    """
    num_notes = float(trip[:, 0].sum())
    lost = 1 - float(trip[:, 0] @ trip[:, 1]) / num_notes
    if lost <= MUCH:
        return ""
    writes_drums = bool(tokenizer.get("program"))
    drums = 0.0 if writes_drums else float(facts["num_drum_notes"].sum()) / num_notes
    told = [f"{100 * drums:.0f} % are drums"] if drums else []
    if lost - drums > 0.01:
        told.append(f"{100 * (lost - drums):.0f} % begin with others of the same pitch")
    has_bands = drums or facts["num_other_notes"].any()
    keeps = "" if writes_drums or not has_bands else "tokenizer.program=true keeps "
    if keeps and "program" not in tokenizer:
        keeps = "tokenizer=event keeps "
    advice = f"; {keeps}{'them' if drums else 'those of different instruments'}" if keeps else ""
    return f"{100 * lost:.0f} % of the notes are lost: {' and '.join(told)}{advice}"


def _describe_duplicates(corpus: EncodedCorpus, is_ready_made: bool) -> None:
    """Say how many copies there are, and how much of the validation split training holds."""
    num_pieces = sum(map(len, corpus.duplicates))
    log.info("  %d near-duplicate groups, %d pieces in them", len(corpus.duplicates), num_pieces)
    copied = (
        f"  of the validation notes {100 * corpus.leak.grouped:.1f} % stand in passages copied from training"
    )
    if not is_ready_made:
        log.info("%s; with copies on both sides it would be %.1f %%", copied, 100 * corpus.leak.ungrouped)
    elif corpus.num_crossing:
        log.warning("%s; %d of the groups have pieces in several splits", copied, corpus.num_crossing)
    else:
        log.info(copied)
