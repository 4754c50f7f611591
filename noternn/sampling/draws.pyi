"""Compiled draws, noternn/sampling/draws.c; an import error where it was not built."""

from typing import Any

def draw(*arguments: Any) -> None:
    """Draws the id of some rows; see `noternn.sampling.probabilities.draw`.

    Args:
        arguments: log-probabilities (rows, vocab_size), which rows (n,), masks (states, vocab_size), the
            state of each (n,), random points (n,), the ids to be written (n,), -1 where it is undecided;
            vocab_size, top_k, top_p, min_p, temperature, tolerance in nats.

    Raises:
        ValueError: if the sizes do not agree or an index lies outside.
    """
