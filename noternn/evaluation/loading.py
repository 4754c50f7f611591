"""Load runs to evaluate: their best weights, and the corpora that they were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from noternn.config.tokenizer import tokenizer_of
from noternn.corpus.loading import Corpus, corpus_of_plain
from noternn.errors import UserError
from noternn.model.checkpoint import CHECKPOINT_KEY, checkpoint_path, load_checkpoint
from noternn.runs.folder import RunFolder
from noternn.sampling.composer import Composer, composer_of
from noternn.sampling.primers import opening

OPENINGS = 1  # the generator that chooses the pieces to continue


@dataclass(frozen=True)
class TrainedRun:
    """A run's folder, its best weights, and the data that it was trained on."""

    path: Path
    composer: Composer
    config: dict[str, Any]
    corpus: Corpus


def load_runs(paths: Sequence[Path]) -> list[TrainedRun]:
    """The runs in some folders with their data.

    Raises:
        UserError: if one cannot be evaluated, or if they are not of one vocabulary and split.
    """
    runs: list[TrainedRun] = []
    for path in paths:
        runs.append(_load_run(path, runs))
        if _identity(runs[-1]) != _identity(runs[0]):
            raise UserError(
                f"{path}: it has another vocabulary or split than {paths[0]}; "
                "only networks that read the same ids of the same pieces can be averaged"
            )
    return runs


def held_out_openings(run: TrainedRun, seeds: Sequence[int]) -> tuple[list[list[int]], list[str]]:
    """For each seed the opening of a validation piece that it chooses, as a primer, and the piece's name.

    An opening has `sampling.primer_notes` notes, as in the run's own samples.
    """
    corpus, num_notes = run.corpus.encoded, run.config["sampling"]["primer_notes"]
    pieces = corpus.ids["validation"]
    # A generator of its own, so that the choice says nothing of the sample's draws.
    chosen = [int(np.random.default_rng((seed, OPENINGS)).integers(len(pieces))) for seed in seeds]
    names = corpus.names["validation"]
    return [opening(pieces[i], run.composer.codec, num_notes) for i in chosen], [names[i] for i in chosen]


def _identity(run: TrainedRun) -> tuple[object, ...]:
    tokenizer = tokenizer_of(run.config["tokenizer"])
    return run.corpus.encoded.fingerprint, run.composer.codec.vocabulary.tokens, tokenizer


def _load_run(path: Path, others: Sequence[TrainedRun]) -> TrainedRun:
    checkpoint = load_checkpoint(checkpoint_path(path))
    composer = composer_of(checkpoint, path)
    content = checkpoint[CHECKPOINT_KEY]
    config = content["config"]
    fingerprint = content.get("corpus_fingerprint")
    vocabulary = content["vocabulary"]
    same = (r.corpus for r in others if r.corpus.encoded.fingerprint == fingerprint)
    corpus = next((c for c in same if list(c.encoded.vocabulary.tokens) == vocabulary), None)
    if corpus is None:
        try:
            corpus = corpus_of_plain(config)
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}: the settings in its checkpoint name no corpus that can be read"
            ) from error
        if config.get("init_from"):
            corpus = replace(corpus, encoded=corpus.encoded.with_tokens(vocabulary))
    split_file = RunFolder(path if path.is_dir() else path.parent).split
    if not corpus.encoded.is_that_of(fingerprint, vocabulary, split_file):
        raise UserError(
            f"{path}: its corpus is not what it was trained on: files have changed, or an earlier version of "
            "NoteRNN read or split them otherwise; put back the files, or train a new run"
        )
    return TrainedRun(path, composer, config, corpus)
