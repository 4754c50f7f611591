"""Pieces as their readers gave them, kept in the cache: a file a piece, named by what decides its music."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import stat
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from noternn.corpus.cache import CACHE_VERSION, KEPT_SUFFIX, NAME_LENGTH, is_believed
from noternn.datasets.sources import Source
from noternn.files import replacing
from noternn.music.limits import Limits
from noternn.music.piece import Piece
from noternn.music.remarks import Remark
from noternn.music.repeats import Repeats

log = logging.getLogger(__name__)

COLUMNS = ("onset", "duration", "pitch", "velocity", "program", "is_drum")
MAX_BYTES = 32_000_000  # of a piece, packed or not: ten times what the default limits allow


def read_kept(source: Source, folder: Path | None, limits: Limits, pedal: bool, repeats: Repeats) -> Piece:
    """What `Source.read` gives, from the cache if any process has read the same music in the same way.

    Pieces of MIDI files are not kept: to read one takes less time than to keep it.

    Args:
        source, limits, pedal, repeats: see `Source.read`.
        folder: of the cache; None keeps nothing.

    Raises:
        PieceError: as `Source.read` does; what raises it is not kept.
    """
    key = None
    if folder is not None and source.kind in ("score", "frames", "voices"):
        key = _key(source, limits, pedal, repeats)
    if folder is None or key is None:
        return source.read(limits, pedal, repeats)
    path = folder / f"{key[:NAME_LENGTH]}{KEPT_SUFFIX}"
    piece = _find(path, key, source.name)
    if piece is None:
        piece = source.read(limits, pedal, repeats)
        _keep(piece, path, key)
    return piece


def _key(source: Source, limits: Limits, pedal: bool, repeats: Repeats) -> str | None:
    """A hash of all that decides the piece but its name; None if the file cannot be read."""
    content = source.content_hash()
    if not re.fullmatch("[0-9a-f]{64}", content):
        return None
    form = (source.kind, source.path.suffix.lower(), source.frames_per_beat)
    key = [CACHE_VERSION, content, form, asdict(limits), pedal, repeats]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()


def _keep(piece: Piece, path: Path, key: str) -> None:
    """Write a piece whole or not at all. It is not flushed: what a crash leaves of it is not believed."""
    content = _packed(piece, key)
    if content is None:
        return
    try:
        with replacing(path, flush=False) as file:
            file.write(content)
    except OSError as error:
        log.debug("%s was not kept: %s", path, error)


def _find(path: Path, key: str, name: str) -> Piece | None:
    """The piece that is kept at a path under a key; None if there is none, or none to believe.

    A sweep whose jobs may not write the cache links them to what it holds: of a link, both it and the file
    to which it leads are to be believed.
    """
    try:
        if not is_believed(path.lstat(), path.parent):
            return None
        path = path.resolve()
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not is_believed(status, path.parent):
            return None
        content = file.read(MAX_BYTES)
    try:
        return _unpacked(content, key, name)
    except Exception:  # damage shows in many ways, and the file can always be read again
        log.debug("%s is damaged and is made again", path, exc_info=True)
        return None


def _packed(piece: Piece, key: str) -> bytes | None:
    """A piece in bytes, compressed: its key, the length of a header of JSON, that header, the columns.

    Each column has the smallest unsigned type that holds it. None for a piece that is too large.
    """
    columns = [getattr(piece, name) for name in COLUMNS]
    columns = [column.astype(np.min_scalar_type(int(column.max(initial=0)))) for column in columns]
    header = {
        "num_notes": piece.num_notes,
        "types": [column.dtype.newbyteorder("<").str for column in columns],
        "ticks_per_beat": piece.ticks_per_beat,
        "tempos": piece.tempos,
        "metres": piece.metres,
        "span": piece.span,
        "remarks": piece.remarks,
    }
    text = json.dumps(header).encode()
    little = [column.astype(column.dtype.newbyteorder("<")).tobytes() for column in columns]
    content = b"".join([bytes.fromhex(key), len(text).to_bytes(4, "little"), text, *little])
    return zlib.compress(content, 1) if len(content) < MAX_BYTES else None


def _unpacked(packed: bytes, key: str, name: str) -> Piece:
    """The piece that `_packed` wrote under a key; zlib checks its own sum."""
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, MAX_BYTES)
    if not unpacker.eof or unpacker.unused_data or content[:32].hex() != key:
        raise ValueError("cut, changed, or another piece")
    place = 36 + int.from_bytes(content[32:36], "little")
    header: dict[str, Any] = json.loads(content[36:place])
    columns: dict[str, Any] = {}
    for column, dtype in zip(COLUMNS, header["types"], strict=True):
        values = np.frombuffer(content, dtype, header["num_notes"], place)
        columns[column] = values.astype(np.bool_ if column == "is_drum" else np.int64)
        place += values.nbytes
    return Piece(
        **columns,
        ticks_per_beat=header["ticks_per_beat"],
        tempos=tuple((tick, tempo) for tick, tempo in header["tempos"]),
        metres=tuple((tick, numerator, denominator) for tick, numerator, denominator in header["metres"]),
        name=name,
        span=header["span"] and tuple(header["span"]),
        remarks=tuple(Remark(*row) for row in header["remarks"]),
    )
