"""The log file of a run, which is not touched before the run begins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler

from noternn.terminal import harmless

MANY = 10**6  # records


class HarmlessFormatter(logging.Formatter):
    """Writes what another formatter does, without what would drive a terminal that shows it.

    Args:
        formatter: the other; None is the plain message.
    """

    def __init__(self, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self._formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record."""
        return harmless(self._formatter.format(record))


def make_log_harmless() -> None:
    """From now on nothing that is written to the files of the root logger drives a terminal."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler) and not isinstance(handler.formatter, HarmlessFormatter):
            handler.setFormatter(HarmlessFormatter(handler.formatter))


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """What this block logs is kept from the files of the root logger until the function is called.

    If it is not called, they never get it. What stands on the terminal is not held back.
    """
    root = logging.getLogger()
    files = [handler for handler in root.handlers if isinstance(handler, logging.FileHandler)]
    waiting = [MemoryHandler(MANY, logging.CRITICAL + 1, file, flushOnClose=False) for file in files]

    def swap(out: list[logging.Handler], into: list[logging.Handler]) -> None:
        for handler in out:
            root.removeHandler(handler)
        for handler in into:
            root.addHandler(handler)

    def write() -> None:
        for handler in waiting:
            handler.flush()
        swap([*waiting], [*files])

    swap([*files], [*waiting])
    try:
        yield write
    finally:
        swap([*waiting], [*files])
        for handler in waiting:
            handler.close()
