"""Blank PNG files where no test looks at the picture: drawing is half the time of a small run.

Pictures are drawn in tests that use the fixture `draws` and in commands that have a process of their own.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, BinaryIO

from matplotlib.figure import Figure

BLANK = base64.b64decode(  # 1 x 1, gray
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
)
_draw = Figure.savefig


def install() -> None:
    """From now on this process saves blank PNG files."""
    Figure.savefig = _save_blank  # type: ignore[method-assign]


def remove() -> None:
    """From now on this process draws."""
    Figure.savefig = _draw  # type: ignore[method-assign]


def _save_blank(figure: Figure, file: str | Path | BinaryIO, **options: Any) -> None:
    if options.get("format") != "png":
        _draw(figure, file, **options)
    elif isinstance(file, str | Path):
        Path(file).write_bytes(BLANK)
    else:
        file.write(BLANK)
