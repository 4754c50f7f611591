"""How held-out music goes along for a network, which samples can be steered by: `Course`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

BLOCK = 16  # notes that are looked at together
PLACES = (0, 1, 2, 4, 8, 16)  # blocks at which a stretch begins whose surprise is like that of no other

NUM_SHAPES = 6  # quantities
LEAST_SHAPES = 5  # an earlier version did not know the last

Usual = tuple[float, float]  # a mean and a standard deviation


@dataclass(frozen=True)
class Course:
    """What blocks of notes of held-out music are like.

    Args:
        surprise: logarithms of nats a note, for the blocks from each of `PLACES` on: the first notes of a
            piece are the hardest to foresee.
        shape: of each of what `noternn.sampling.steering.shape` tells, or of the first `LEAST_SHAPES` of it.
    """

    surprise: tuple[Usual, ...]
    shape: tuple[Usual, ...]

    def as_plain(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Course | None:
        """What `as_plain` gave; None where an earlier version noted less.

        Raises:
            ValueError, TypeError, KeyError: if it is no course.
        """
        surprise, shape = (tuple(map(_usual, plain[name])) for name in ("surprise", "shape"))
        if len(shape) < LEAST_SHAPES:
            return None
        if len(surprise) != len(PLACES) or len(shape) > NUM_SHAPES:
            raise ValueError("the course of held-out music is another")
        return cls(surprise, shape)


def _usual(pair: Any) -> Usual:
    mean, spread = map(float, pair)
    if not (math.isfinite(mean) and math.isfinite(spread) and spread > 0):
        raise ValueError("the course of held-out music is none")
    return mean, spread
