"""Compiled search of earlier matches, noternn/model/matches.c; an import error where it was not built."""

from typing import Any

def search(*arguments: Any) -> None:
    """Takes up new ids of some pieces and writes what is suggested after each.

    Args:
        arguments: of `PitchKinds` kind, height, steps (vocab_size,) and ids (num_kinds, NUM_HEIGHTS + 1); of
            its `Parts` part and within (vocab_size,), empty for none; lengths (num_lengths, 3), each with the
            indices of the two that it is put together from; new ids (num_pieces, num_new). Then what is kept:
            by piece a state, (3 + 3 * (num_parts + 1),), see `_CompiledRecall`; by piece and search symbols
            (capacity,), of which those before `start` were taken up, hashes and earlier places
            (num_lengths, capacity), and the latest places in a hash table (num_slots,), a power of two above
            num_lengths * capacity, at first -1; by piece the places further back in a part and how many there
            are, (num_lengths + 1, capacity), nothing without parts. Then suggestions to be written,
            (num_pieces, num_new, 2, num_searches * count); start, num_pieces, num_parts, count, hops, SPAN,
            and the bar's steps.

    Raises:
        ValueError: if the sizes do not agree or an id is out of range.
    """
