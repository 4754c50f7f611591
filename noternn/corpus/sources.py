"""Which files belong to a corpus."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from noternn.errors import UserError
from noternn.midi import MAX_FILE_BYTES, MIDI_SUFFIXES, read_midi
from noternn.piece import Piece

MAX_NAME_LENGTH = 200


@dataclass(frozen=True)
class Source:
    """A file that should hold a piece.

    Args:
        path: the file.
        name: how messages and reports call it.
        kind: which reader opens it.
    """

    path: Path
    name: str
    kind: Literal["midi", "score"] = "midi"

    def read(self) -> Piece:
        """The piece in the file.

        Raises:
            PieceError: if there is none, with the reason.
        """
        if self.kind == "midi":
            return read_midi(self.path, self.name)
        from noternn.score import read_score  # music21 takes two seconds to import

        return read_score(self.path, self.name)

    def content_hash(self) -> str:
        """A hash of the file's bytes; what stands in their place if they are not read."""
        try:
            if not self.path.is_file():
                return "not a file"
            size = self.path.stat().st_size
            if self.kind == "midi" and size > MAX_FILE_BYTES:
                return f"too large: {size}"
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return f"unreadable: {error.strerror}"


def find_midi_files(folder: Path) -> Iterator[Path]:
    """Every .mid and .midi file below a folder, in any case, at any depth, sorted by path."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if name.lower().endswith(MIDI_SUFFIXES)]
    yield from sorted(path for path in found if not path.name.startswith("."))


def folder_sources(folder: Path) -> list[Source]:
    """The MIDI files below a folder, named by their path in it.

    Raises:
        UserError: if `folder` is a file.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file; give the folder that holds the MIDI files")
    return [Source(path, printable(str(path.relative_to(folder)))) for path in find_midi_files(folder)]


def score_sources(corpus: str) -> list[Source]:
    """The scores of an embedded corpus; only "bach", the four-part chorales, is known."""
    if corpus != "bach":
        raise UserError(f"there is no embedded corpus {corpus!r}; there is bach")
    from noternn.score import chorale_paths  # music21 takes two seconds to import

    return [Source(path, path.stem, "score") for path in chorale_paths()]


def printable(name: str) -> str:
    """A file name in one line of valid text: odd bytes and control characters are escaped."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)[:MAX_NAME_LENGTH]
