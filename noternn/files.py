"""Files that are written whole or not at all, and read whole if they are no larger than they may be."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from noternn.errors import PieceError


def shortest(path: Path) -> str:
    """A path as short as it can be typed from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write; when the block ends well it takes the place of `path`, else `path` stays as it was.

    It is written beside `path`, flushed to the disk and renamed, so that no reader, crash or full disk
    ever leaves half of it.

    Raises:
        OSError: if it cannot be written; its `filename` is `path`.
    """
    temporary = path.with_name(f".{path.name[:50]}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
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


def read_limited(path: Path, max_bytes: int, setting: str = "") -> bytes:
    """What a file of music holds.

    Args:
        path: the file.
        max_bytes: a larger one is refused unread.
        setting: that can raise the limit; the message names it.

    Raises:
        PieceError: if it is none that can be read, with the reason.
    """
    try:
        status = os.stat(path)
        # Opening a named pipe would wait for ever for someone to write to it.
        if not stat.S_ISREG(status.st_mode):
            raise PieceError("is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file")
        if status.st_size > max_bytes:
            size, limit = status.st_size / 1e6, max_bytes / 1e6
            hint = f" ({setting})" if setting else ""
            raise PieceError(f"file is too large: {size:,.1f} MB; at most {limit:g} MB are read{hint}")
        with open(path, "rb") as file:
            return file.read(status.st_size)
    except OSError as error:
        raise PieceError(f"cannot be opened: {error.strerror or error}") from error
