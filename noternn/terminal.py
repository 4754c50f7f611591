"""What is shown on a terminal, without characters that would drive it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

MAX_NAME_LENGTH = 200
# Control characters but tabs and ends of lines, and those that turn the direction of writing.
DRIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(name: str) -> str:
    """A name in one line of valid text: odd bytes and control characters are escaped.

    A long name is cut in its middle.
    """
    line = one_line(name)
    half = MAX_NAME_LENGTH // 2
    return line if len(line) <= MAX_NAME_LENGTH else f"{line[: half - 3]}...{line[-half:]}"


def one_line(text: str) -> str:
    """A text of any length in one line: odd bytes and control characters are escaped."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def harmless(text: str) -> str:
    """A text of several lines in which what would drive a terminal is escaped."""
    return DRIVING.sub(lambda match: repr(match[0])[1:-1], text)


class WrappedStream:
    """A stream that does something else in one or two ways.

    Args:
        stream: stdout or stderr.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def wrap_streams(kind: type[WrappedStream]) -> None:
    """From now on stdout and stderr are of this kind."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, kind):
            setattr(sys, name, kind(stream))


class HarmlessStream(WrappedStream):
    """A stream that escapes what would drive a terminal, whoever wrote it: settings, names, reasons."""

    def write(self, text: str) -> int:
        """As the stream does."""
        start = "\r" if text.startswith("\r") else ""  # as progress bars are written
        end = "\r" if text.endswith("\r") and len(text) > 1 else ""
        self.stream.write(start + harmless(text[len(start) : len(text) - len(end)]) + end)
        return len(text)


@contextmanager
def harmless_streams() -> Iterator[None]:
    """In this block nothing that is written to stdout or stderr drives the terminal."""
    before = sys.stdout, sys.stderr
    make_streams_harmless()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def make_streams_harmless() -> None:
    """From now on nothing that is written to stdout or stderr drives the terminal."""
    wrap_streams(HarmlessStream)
