"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def shortest(path: Path) -> str:
    """A path as short as it can be typed from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write; when the block ends well it takes the place of `path`, else `path` stays as it was.

    It is written beside `path`, flushed to the disk and renamed, so that no reader, crash or full disk
    ever leaves half of it. A link at `path` is replaced, and not followed.

    Raises:
        OSError: if it cannot be written; its `filename` is `path`.
    """
    temporary = path.with_name(f".{path.name[:50]}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:  # never through a link that somebody has put there
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
