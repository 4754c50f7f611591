"""Time functions side by side: they take turns, so that other work on the machine slows all of them alike.

Times are of the processor, in this process: they do not count the time that other processes had it. Where
several threads are compared, the clock is another.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

REPEATS = 5


@dataclass(frozen=True)
class Timing:
    """How long one contestant took.

    Args:
        name: of the contestant.
        seconds: median over the repeats.
        spread: slowest repeat over fastest.
    """

    name: str
    seconds: float
    spread: float


def interleaved(
    contestants: Mapping[str, Callable[[], object]],
    repeats: int = REPEATS,
    clock: Callable[[], float] = time.process_time,
) -> list[Timing]:
    """Time some functions in turns, A B C A B C, after a first turn that does not count.

    Args:
        contestants: by name.
        repeats: turns that count.
        clock: seconds since some moment.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats + 1):
        for name, run in contestants.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    counted = {name: times[1:] for name, times in seconds.items()}
    return [Timing(n, statistics.median(t), max(t) / max(min(t), 1e-9)) for n, t in counted.items()]
