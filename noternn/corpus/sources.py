"""Which files belong to a corpus."""

from __future__ import annotations

import hashlib
import logging
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from noternn.errors import UserError
from noternn.limits import DEFAULT_LIMITS, Limits
from noternn.midi import MIDI_SUFFIXES, read_midi
from noternn.piece import Piece

log = logging.getLogger(__name__)

MAX_NAME_LENGTH = 200
EMBEDDED_CORPORA = ("bach", "fiddle", "quartets")


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

    def read(self, limits: Limits = DEFAULT_LIMITS, pedal: bool = False) -> Piece:
        """The piece in the file.

        Args:
            limits: a file above any of them is refused.
            pedal: see `noternn.midi.read_midi`.

        Raises:
            PieceError: if there is none, with the reason.
        """
        if self.kind == "midi":
            return read_midi(self.path, self.name, limits=limits, pedal=pedal)
        from noternn.score import read_score  # music21 takes two seconds to import

        return read_score(self.path, self.name)

    def content_hash(self) -> str:
        """A hash of the file's bytes; what stands in their place if they are not read."""
        try:
            if not self.path.is_file():
                return "not a file"
            status = self.path.stat()
            if self.kind == "midi" and status.st_size > DEFAULT_LIMITS.max_bytes:
                return f"too large: {status.st_size} {status.st_mtime_ns}"
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return f"unreadable: {error.strerror}"


def find_midi_files(folder: Path) -> Iterator[Path]:
    """Every .mid and .midi file below a folder, in any case, at any depth, sorted by path.

    Links to folders are followed, once for each folder however many lead there and under its own name
    where it lies below `folder` anyway. Folders that cannot be read are named in a warning.
    """
    found = []
    seen = set()
    waiting = [folder]  # links wait until the folders themselves are seen
    for start in waiting:
        for parent, folders, files in os.walk(start, onerror=_warn_of_folder):
            if os.path.realpath(parent) in seen:
                folders.clear()
                continue
            seen.add(os.path.realpath(parent))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            waiting += [path for name in folders if (path := Path(parent, name)).is_symlink()]
            found += [Path(parent, name) for name in files if name.lower().endswith(MIDI_SUFFIXES)]
    yield from sorted(path for path in found if not path.name.startswith("."))


def _warn_of_folder(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        reason = error.strerror or error
        log.warning("%s cannot be read (%s); what it holds is left out", printable(error.filename), reason)


def folder_sources(folder: Path) -> list[Source]:
    """The MIDI files below a folder, named by their path in it.

    Raises:
        UserError: if `folder` is a file.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file; give the folder that holds the MIDI files")
    return [Source(path, printable(str(path.relative_to(folder)))) for path in find_midi_files(folder)]


def score_sources(corpus: str) -> list[Source]:
    """The scores of an embedded corpus (see `noternn.score.embedded_scores`).

    Raises:
        UserError: if there is no such corpus.
    """
    if corpus not in EMBEDDED_CORPORA:
        raise UserError(f"there is no embedded corpus {corpus!r}; there are {', '.join(EMBEDDED_CORPORA)}")
    from noternn.score import embedded_scores  # music21 takes two seconds to import

    return [Source(path, name, "score") for name, path in embedded_scores(corpus).items()]


def matching_sources(
    sources: Sequence[Source], include: Sequence[str], exclude: Sequence[str]
) -> list[Source]:
    """The sources whose names match a pattern of `include`, if there is any, and none of `exclude`.

    Patterns are the shell's: `*` stands for any text, with slashes, `?` for a character, `[ab]` for one of
    some. Case does not matter. A pattern that matches no name is told in a warning.
    """
    names = [_folded(source.name.replace(os.sep, "/")) for source in sources]

    def matches(patterns: Sequence[str], setting: str) -> set[int]:
        found: set[int] = set()
        for pattern in patterns:
            hits = {i for i, name in enumerate(names) if fnmatchcase(name, _folded(pattern))}
            if not hits:
                log.warning("%s: %r matches none of the %d files", setting, pattern, len(names))
            found |= hits
        return found

    included = matches(include, "dataset.include") if include else set(range(len(names)))
    return [sources[i] for i in sorted(included - matches(exclude, "dataset.exclude"))]


def _folded(text: str) -> str:
    """The text without case, and with one way to write an accent."""
    return unicodedata.normalize("NFC", text).casefold()


def sample_sources(sources: Sequence[Source], max_files: int) -> list[Source]:
    """At most `max_files` sources in their order, chosen by the hash of what they hold, not by name."""
    by_hash = sorted(sources, key=lambda source: (source.content_hash(), source.name))
    kept = set(by_hash[:max_files])
    return [source for source in sources if source in kept]


def printable(name: str) -> str:
    """A file name in one line of valid text: odd bytes and control characters are escaped.

    A long name is cut in its middle.
    """
    text = name.encode("utf-8", "backslashreplace").decode()
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    half = MAX_NAME_LENGTH // 2
    return line if len(line) <= MAX_NAME_LENGTH else f"{line[: half - 3]}...{line[-half:]}"
