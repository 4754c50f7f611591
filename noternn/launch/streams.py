"""Output that may lose its reader: a run goes on without one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from noternn.terminal import WrappedStream, wrap_streams

GONE = {errno.EPIPE, errno.EIO}  # a pipe that nobody reads, a terminal that was closed


class Outliving(WrappedStream):
    """A stream that from the loss of its reader on takes what is written and drops it."""

    def write(self, text: str) -> int:
        """As the stream does."""
        with self._outliving():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As the stream does."""
        with self._outliving():
            self.stream.flush()

    @contextmanager
    def _outliving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in GONE:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())  # what is buffered goes there too
            os.close(nowhere)


def outlive_readers() -> None:
    """From now on a reader of stdout or stderr that goes away ends nothing."""
    wrap_streams(Outliving)
