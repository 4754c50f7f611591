"""Compiled search of earlier matches, noternn/model/matches.c; an import error where it was not built."""

from typing import Any

def search(*arguments: Any) -> None:
    """Takes up new ids of some pieces and writes what is suggested after each.

    Args:
        arguments: of `PitchKinds` kind, height, steps (vocab_size,) and ids (num_kinds, NUM_HEIGHTS + 1);
            lengths (num_lengths, 3), each with the indices of the two that it is put together from; new ids
            (num_pieces, num_new). Then what is kept: the last heights and places in the bar (num_pieces,); by
            piece and search symbols (capacity,), of which those before `start` were taken up, hashes and
            earlier places (num_lengths, capacity), and the latest places in a hash table (num_slots,), a
            power of two above num_lengths * capacity, at first -1. Then suggestions to be written,
            (num_pieces, num_new, 2, NUM_SEARCHES * count); start, count, hops, SPAN and the bar's steps.

    Raises:
        ValueError: if the sizes do not agree or an id is out of range.
    """
