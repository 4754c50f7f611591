"""Compiled search of earlier matches, noternn/model/matches.c; an import error where it was not built."""

from typing import Any

def search(*arguments: Any) -> None:
    """Takes up new symbols and writes what followed where the last ones came before.

    Args:
        arguments: symbols (capacity,), of which those before `start` were taken up; lengths
            (num_lengths, 3), each with the indices of the two that it is put together from; hashes and
            earlier places (num_lengths, capacity); keys and places of a hash table (num_slots,), a power of
            two above num_lengths * capacity, at first -1; followers and their classes to be written
            (num_new, count); start, count, hops.

    Raises:
        ValueError: if the sizes do not agree.
    """
