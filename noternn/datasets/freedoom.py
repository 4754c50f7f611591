"""The soundtrack of Freedoom, as it lies in the WAD files of the vizdoom wheel.

Freedoom (https://freedoom.github.io) is a free game, its music under the BSD-3-Clause licence. A WAD is an
archive of "lumps". Format: the Unofficial Doom Specs 1.666 (Matthew S. Fell 1994), section 2.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from noternn.errors import UserError, require

WADS = ("freedoom1.wad", "freedoom2.wad")
MISSING = f"dataset=freedoom: vizdoom is installed without its {' and '.join(WADS)}; install it again"
MAX_LUMPS = 100_000  # the larger of the two has 3,610
HEADER, ENTRY = struct.Struct("<4sii"), struct.Struct("<ii8s")  # type, count, offset; offset, size, name


@dataclass(frozen=True)
class Lump:
    """A part of a WAD file: `size` bytes from `offset`."""

    name: str
    offset: int
    size: int


def freedoom_wads() -> list[Path]:
    """The WAD files of the installed wheel; its code is not run.

    Raises:
        UserError: if it is not installed, or without them.
    """
    require("freedoom", "dataset=freedoom")
    found = importlib.util.find_spec("vizdoom")
    folders = [Path(folder) for folder in (found and found.submodule_search_locations) or ()]
    paths = [folder / name for folder in folders for name in WADS]
    if not paths or not all(path.is_file() for path in paths):
        raise UserError(MISSING)
    return paths


def music_lumps(path: Path) -> Iterator[tuple[Lump, bytes]]:
    """The lumps of music in MIDI, those named D_*, in their order, with what they hold.

    Raises:
        UserError: if it is no WAD, or a damaged one.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            kind, count, offset = HEADER.unpack(file.read(HEADER.size).ljust(HEADER.size, b"\0"))
            if kind not in (b"IWAD", b"PWAD"):
                raise UserError(f"{path}: is no WAD file (begins with neither IWAD nor PWAD)")
            if not (0 <= count <= MAX_LUMPS and 0 <= offset <= size - count * ENTRY.size):
                raise UserError(f"{path}: is damaged: a directory of {count:,} lumps does not fit into it")
            file.seek(offset)
            entries = ENTRY.iter_unpack(file.read(count * ENTRY.size))
            left = size  # lumps do not overlap, so that all together are no longer than the file
            for start, length, name in [entry for entry in entries if entry[2].startswith(b"D_")]:
                left -= length
                if not 0 <= start <= start + length <= size or left < 0:
                    raise UserError(f"{path}: is damaged: the lump {_text(name)} runs over its end")
                file.seek(start)
                data = file.read(length)
                if data.startswith(b"MThd"):
                    yield Lump(_text(name), start, length), data
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def _text(name: bytes) -> str:
    return name.split(b"\0")[0].decode("ascii", "backslashreplace")
