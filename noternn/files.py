"""Files that are written whole or not at all, and read at a bounded cost."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

MAX_RECORD_BYTES = 5_000_000  # of what is noted of a run; its settings have some kilobytes


def shortest(path: Path) -> str:
    """A path as short as it can be typed from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


@contextmanager
def replacing(path: Path, *, flush: bool = True) -> Iterator[BinaryIO]:
    """A file to write; when the block ends well it takes the place of `path`, else `path` stays as it was.

    It is written beside `path`, flushed to the disk and renamed, so that no reader, crash or full disk
    ever leaves half of it. A link at `path` is replaced, and not followed.

    Args:
        path: the file.
        flush: whether to wait for the disk; without, a crash of the machine may leave half of it.

    Raises:
        OSError: if it cannot be written; its `filename` is `path`.
    """
    temporary = path.with_name(f".{path.name[:50]}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:  # never through a link that somebody has put there
            yield file
            file.flush()
            if flush:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        error.filename = str(path)  # of a failing write Python does not know it
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def read_text(path: Path, max_bytes: int = MAX_RECORD_BYTES) -> str:
    """Read a text in UTF-8 that anyone may have written.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no regular file, too large or no text; the message says so in one line.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
        raise ValueError("no regular file")
    if status.st_size > max_bytes:
        raise ValueError(
            f"too large: {status.st_size / 1e6:,.1f} MB; at most {max_bytes / 1e6:g} MB are read"
        )
    with path.open("rb") as file:
        return file.read(max_bytes).decode("utf-8")


def read_json(path: Path, max_bytes: int = MAX_RECORD_BYTES) -> Any:
    """Read JSON that anyone may have written.

    Raises:
        OSError, ValueError: as `read_text`; ValueError also if it is no JSON or too deeply nested.
    """
    try:
        return json.loads(read_text(path, max_bytes))
    except RecursionError as error:
        raise ValueError("too deeply nested") from error
