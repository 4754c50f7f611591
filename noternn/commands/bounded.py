"""What `noternn generate --max-copied` means: a checkpoint that copies little, and a bound on samples."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from noternn.commands.options import fraction

if TYPE_CHECKING:
    from noternn.sampling.copies import Bound
    from noternn.tokenizer import Codec


def add_max_copied(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument(
        "--max-copied",
        type=fraction,
        metavar="SHARE",
        help="let at most this share of the composed notes, 0 to 1, stand in passages of 16 that the run's "
        "training pieces hold note for note, in any key: with 0 none. Takes the best checkpoint whose "
        "samples copied no more, and keeps what it composes from copying more; of other "
        "tokenizers than event and chord it takes one of eight samples",
    )


def checkpoint_of(run: Path, max_copied: float | None) -> Path:
    """The checkpoint of the best epoch, or of the best one whose samples copy at most so much."""
    from noternn.model.checkpoint import checkpoint_path
    from noternn.runs.folder import RunFolder

    if max_copied is None or not RunFolder(run).audit.is_file():
        return checkpoint_path(run)
    from noternn.audit.curve import choose_checkpoint  # it loads what reads settings, half a second

    path = choose_checkpoint(run, max_copied)
    print(f"composing with {path}", file=sys.stderr)
    return path


def bound_of(run: Path, codec: Codec, max_copied: float) -> Bound:
    """The bound of a share, by the training pieces as their tokens and, where found, as files tell them.

    Raises:
        UserError: if these cannot be read, or if the tokenizer does not tell when notes begin.
    """
    from noternn.audit.against import load, reference_of_run
    from noternn.audit.online import Passages, texts_of
    from noternn.evaluation.loading import load_runs
    from noternn.runs.folder import RunFolder
    from noternn.sampling.copies import Bound, check_is_bounded, ticks_of_beat

    check_is_bounded(codec)
    texts = texts_of(load_runs([run])[0].corpus.pieces("train"))
    if RunFolder(run).settings.is_file():
        texts.append(load(reference_of_run(run)).index.arrays["text"])
    grid = codec.tokenizer.steps_per_beat, ticks_of_beat(codec)
    return Bound(codec, Passages(texts, *grid, max_copied))
