"""Compiled parts of a step, noternn/model/steps.c; an import error where it was not built.

All raise ValueError if the sizes of the buffers do not agree or an index lies outside.
"""

from typing import Any

from numpy.typing import NDArray

def recall(buffers: tuple[NDArray[Any], ...], *sizes: int) -> None:
    """One more id for each stream; see `noternn.model.past.CompiledPast`."""

def add_rows(buffers: tuple[NDArray[Any], ...], num_streams: int, before: int) -> None:
    """Puts the first `before` rows before what stands in the sums, and adds the others.

    Args:
        buffers: sums (num_streams, width), rows (num_streams, n) of the table (m, width).
        num_streams: of the sums.
        before: from 1 on.
    """

def add_scores(buffers: tuple[NDArray[Any], ...], num_streams: int, num_pitches: int, reach: int) -> None:
    """Adds to logits what `Intervals.spread` and `PitchConvolution.spread` make of scores.

    Args:
        buffers: logits (num_streams, vocab_size), which streams (n,), scores (n, num_pitches * (2 * reach +
            1)), last pitches (num_streams, m), `Intervals.place`, scores of the convolution (n, p), its
            `column`.
        num_streams: of the logits.
        num_pitches: of the last pitches, which have scores.
        reach: semitones.
    """

def draft(buffers: tuple[NDArray[Any], ...], *sizes: int) -> None:
    """The whole step of one stream; see `noternn.model.draft.CompiledDraft`."""
