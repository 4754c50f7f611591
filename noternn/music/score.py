"""A score file -> `Piece`: the reader of its format, and how all of them fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from noternn.music.abc_reader import read_abc
from noternn.music.humdrum import read_humdrum
from noternn.music.limits import DEFAULT_LIMITS, Limits, read_limited
from noternn.music.musicxml import read_musicxml
from noternn.music.notation import Score, piece_of
from noternn.music.piece import Piece, PieceError
from noternn.music.repeats import Repeats
from noternn.music.score_bytes import MAX_SCORE_BYTES, SCORE_FORMATS, checked_text, checked_xml
from noternn.terminal import one_line

MAX_REASON_LENGTH = 80

# By format, what reads the text (of XML the bytes) into a score.
READERS: dict[str, Callable[[Any, Limits], Score]] = {
    "abc": read_abc,
    "humdrum": read_humdrum,
    "musicxml": read_musicxml,
}


def read_score(
    path: Path,
    name: str | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    repeats: Repeats = "printed",
) -> Piece:
    """Read a score at 480 ticks a beat, at the pitches that sound; grace notes are dropped.

    See `noternn.music.notation.piece_of` for what all formats have in common.

    Args:
        path: a file with one of the suffixes in `SCORE_FORMATS`.
        name: of the piece; None takes the file's name without its suffix.
        limits: a score above any of them is refused, of which bytes, notes and beats are looked at.
        repeats: how bars that are to be repeated are read, see `noternn.music.repeats.playing_order`.

    Raises:
        PieceError: for whatever reason there is no music to be had; the message is the reason, in one
            line, without the path.
    """
    if path.suffix.lower() not in SCORE_FORMATS:
        raise PieceError(f"not a score (suffix is none of {', '.join(SCORE_FORMATS)})")
    data = read_limited(path, MAX_SCORE_BYTES)
    given_name = path.stem if name is None else name
    return read_score_bytes(data, path.suffix.lower(), given_name, limits=limits, repeats=repeats)


def read_score_bytes(
    data: bytes,
    suffix: str,
    name: str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    repeats: Repeats = "printed",
) -> Piece:
    """Read a score from the bytes of a file; else as `read_score`."""
    if not data:
        raise PieceError("file is empty")
    try:
        return piece_of(_read(data, suffix, limits), repeats, name, limits)
    except PieceError as error:  # it may quote the file
        raise PieceError(one_line(str(error))) from error


def _read(data: bytes, suffix: str, limits: Limits) -> Score:
    """What the reader of a format makes of the data."""
    is_xml = SCORE_FORMATS[suffix] == "musicxml"
    checked = checked_xml(data) if is_xml else checked_text(data, suffix)
    try:
        return READERS[SCORE_FORMATS[suffix]](checked, limits)
    except PieceError:
        raise
    except Exception as error:  # a damaged file raises nearly anything
        raise PieceError(f"is damaged: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = "".join(c if c.isprintable() else " " for c in str(error))  # it may quote the file
    return " ".join(text.split())[:MAX_REASON_LENGTH] or type(error).__name__
