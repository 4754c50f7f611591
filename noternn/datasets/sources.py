"""Which files belong to a corpus."""

from __future__ import annotations

import hashlib
import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from noternn.datasets.foreign import FOREIGN_SUFFIXES, is_foreign, why_foreign
from noternn.datasets.freedoom import freedoom_wads, music_lumps
from noternn.datasets.scores import embedded_scores
from noternn.errors import UserError
from noternn.music.frames import piece_spans, read_frames
from noternn.music.limits import DEFAULT_LIMITS, Limits
from noternn.music.midi import MIDI_SUFFIXES, read_midi, read_midi_bytes
from noternn.music.piece import Piece, PieceError
from noternn.music.repeats import Repeats
from noternn.music.score import read_score, read_score_bytes
from noternn.music.score_bytes import SCORE_FORMATS, tune_spans
from noternn.terminal import printable

log = logging.getLogger(__name__)

MAX_KINDS = 5  # of files left out that are named
INSTALLED_CORPORA = ("airs", "bach", "classical", "fiddle", "freedoom", "oneill")
MORE = "/"  # begins the name of a piece that is only learned from; no name in a folder begins so
MUSIC_SUFFIXES = (*MIDI_SUFFIXES, *SCORE_FORMATS)


@dataclass(frozen=True)
class Source:
    """A file, or a part of one, that should hold a piece.

    Args:
        path: the file.
        name: how messages and reports call it.
        kind: which reader opens it; "foreign" is none, see `noternn.datasets.foreign`.
        span: (offset, size) in bytes of the part; None is the whole file.
        prefix: bytes that are read before the part: what an ABC file says once for all its tunes.
        frames_per_beat: of a piece that is written as frames.
    """

    path: Path
    name: str
    kind: Literal["midi", "score", "frames", "voices", "foreign"] = "midi"
    span: tuple[int, int] | None = None
    prefix: bytes = b""
    frames_per_beat: int = 0

    def read(
        self, limits: Limits = DEFAULT_LIMITS, pedal: bool = False, repeats: Repeats = "printed"
    ) -> Piece:
        """The piece in the file.

        Args:
            limits: a file above any of them is refused.
            pedal: see `noternn.music.midi.read_midi`.
            repeats: of a score, see `noternn.music.repeats.playing_order`.

        Raises:
            PieceError: if there is none, with the reason.
        """
        if self.kind == "foreign" and self.path.is_file():
            raise PieceError(why_foreign(self.path))
        if self.kind in ("midi", "foreign"):
            if self.span is None:
                return read_midi(self.path, self.name, limits=limits, pedal=pedal)
            return read_midi_bytes(self._part(), self.name, limits=limits, pedal=pedal)
        if self.kind in ("frames", "voices"):
            voices = self.kind == "voices"
            return read_frames(
                self._part(), self.frames_per_beat, voices=voices, name=self.name, limits=limits
            )
        if self.span is None:
            return read_score(self.path, self.name, limits=limits, repeats=repeats)
        suffix = self.path.suffix.lower()
        return read_score_bytes(self._part(), suffix, self.name, limits=limits, repeats=repeats)

    def content_hash(self) -> str:
        """A hash of the bytes; what stands in their place if they are not read."""
        try:
            if not self.path.is_file():
                return "not a file"
            if self.kind == "foreign":
                return f"not read: {self.path.suffix.lower()}"
            if self.span is not None:
                return hashlib.sha256(self._part()).hexdigest()
            status = self.path.stat()
            if status.st_size > DEFAULT_LIMITS.max_bytes:
                return f"too large: {status.st_size} {status.st_mtime_ns}"
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return f"unreadable: {error.strerror}"
        except PieceError as error:
            return f"unreadable: {error}"

    def _part(self) -> bytes:
        assert self.span is not None
        offset, size = self.span
        if size > DEFAULT_LIMITS.max_bytes:
            limit = DEFAULT_LIMITS.max_megabytes
            raise PieceError(f"is too large: {size / 1e6:,.1f} MB; at most {limit:g} MB are read")
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                return self.prefix + file.read(size)
        except OSError as error:
            raise PieceError(f"cannot be opened: {error.strerror or error}") from error


def find_music_files(folder: Path) -> Iterator[Path]:
    """Every file below a folder with one of `MUSIC_SUFFIXES`, in any case, at any depth, sorted by path.

    Music in formats that are not read is found too, so that it can be named.

    Links to folders are followed, once for each folder however many lead there and under its own name
    where it lies below `folder` anyway. Folders that cannot be read are named in a warning; hidden files and
    folders, and files of other kinds, are counted in a message.
    """
    endings = MUSIC_SUFFIXES + FOREIGN_SUFFIXES
    found: list[Path] = []
    hidden: list[str] = []
    others: Counter[str] = Counter()
    seen = set()
    waiting = [folder]  # links wait until the folders themselves are seen
    for start in waiting:
        for parent, folders, files in os.walk(start, onerror=_warn_of_folder):
            if os.path.realpath(parent) in seen:
                folders.clear()
                continue
            seen.add(os.path.realpath(parent))
            hidden += [os.path.join(parent, name, "") for name in folders if name.startswith(".")]
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            waiting += [path for name in folders if (path := Path(parent, name)).is_symlink()]
            for name in files:
                if not name.lower().endswith(endings):
                    others[Path(name).suffix.lower()] += 1
                elif name.startswith("."):
                    hidden.append(os.path.join(parent, name))
                else:
                    found.append(Path(parent, name))
    _tell_of_others(folder, hidden, others)
    yield from sorted(found)


def _tell_of_others(folder: Path, hidden: Sequence[str], others: Counter[str]) -> None:
    """Count and name what is left out of a folder: hidden files and folders, and files of other kinds."""
    parts = [f"{number:,} {suffix or 'without a suffix'}" for suffix, number in others.most_common(MAX_KINDS)]
    if len(others) > MAX_KINDS:
        parts.append(f"{len(others) - MAX_KINDS:,} more kinds")
    if hidden:
        names = [os.path.relpath(path, folder) for path in sorted(hidden)[:MAX_KINDS]]
        more = ", ..." if len(hidden) > MAX_KINDS else ""
        parts.append(f"{len(hidden):,} hidden ({', '.join(names)}{more})")
    if parts:
        log.info("%s: left out, as no music: %s", printable(str(folder)), printable("; ".join(parts)))


def _warn_of_folder(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        reason = error.strerror or error
        log.warning("%s cannot be read (%s); what it holds is left out", printable(error.filename), reason)


def folder_sources(folder: Path) -> list[Source]:
    """The MIDI files and scores below a folder, named by their path in it.

    Raises:
        UserError: if `folder` is a file.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file; give the folder that holds the music")
    files = ((path, str(path.relative_to(folder))) for path in find_music_files(folder))
    return [source for path, name in files for source in file_sources(path, printable(name))]


def file_sources(path: Path, name: str) -> list[Source]:
    """One source; for an ABC file of several tunes one for each: `name#1`, `name#2`, ..."""
    suffix = path.suffix.lower()
    if is_foreign(path):
        return [Source(path, name, "foreign")]
    if suffix not in SCORE_FORMATS:
        return [Source(path, name)]
    prefix, spans = tune_spans(_bytes_to_search(path)) if suffix == ".abc" else (b"", [])
    if len(spans) < 2:
        return [Source(path, name, "score")]
    return [Source(path, f"{name}#{i}", "score", span, prefix) for i, span in enumerate(spans, start=1)]


def frame_sources(
    path: Path, frames_per_beat: int, *, voices: bool, limits: Limits = DEFAULT_LIMITS
) -> list[Source]:
    """The pieces of a JSON file of frames (see `noternn.music.frames`), named `file.json#train/0` and on.

    Args:
        path: the file.
        frames_per_beat, voices: see `noternn.music.frames.read_frames`.
        limits: of them, `max_megabytes` of the whole file.

    Raises:
        UserError: if it cannot be read, or is no such file.
    """
    try:
        if path.stat().st_size > limits.max_bytes:
            raise UserError(f"is larger than dataset.limits.max_megabytes={limits.max_megabytes:g}")
        spans = piece_spans(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    kind: Literal["frames", "voices"] = "voices" if voices else "frames"
    return [
        Source(path, f"{printable(path.name)}#{name}", kind, span, frames_per_beat=frames_per_beat)
        for name, span in spans.items()
    ]


def read_file(path: Path, pedal: bool = False) -> Piece:
    """The piece in a MIDI file or score that a command was given; the error begins with the path.

    Args:
        path: of the file.
        pedal: see `noternn.music.midi.read_midi`.

    Raises:
        UserError: if the file cannot be read, or holds several pieces.
    """
    sources = named_sources(path, path.stem)
    if len(sources) > 1:
        last = sources[-1].name.removeprefix(path.stem)
        raise UserError(f"{path}: holds {len(sources)} pieces; name one of them: {path}#1 to {path}{last}")
    try:
        return sources[0].read(pedal=pedal)
    except PieceError as error:
        raise UserError(f"{path}: {error}") from error


def named_sources(path: Path, name: str) -> list[Source]:
    """The pieces of a file, or the one that `book.abc#2` or `game.wad#D_E1M1` names.

    A file whose own name holds a `#` comes first.

    Raises:
        UserError: if the file has no such piece, with those that it has.
    """
    book, key = file_of(path), path.name.rpartition("#")[2]
    if book == path or not book.is_file():
        return file_sources(path, name)
    if book.suffix.lower() == ".wad":
        return [_lump(book, key)]
    sources = file_sources(book, book.stem)
    allowed = "1" if len(sources) == 1 else f"1 to {len(sources):,}"
    if not (key.isascii() and key.isdigit() and len(key) < 10 and 1 <= int(key) <= len(sources)):
        raise UserError(f"{book}: has no piece {printable(key)!r}; the number after # must be {allowed}")
    return [replace(sources[int(key) - 1], name=name)]


def file_of(path: Path) -> Path:
    """The file that a path names, or that holds the piece that it names: `book.abc` of `book.abc#2`."""
    base = path.name.rpartition("#")[0]
    return path if path.exists() or not base else path.with_name(base)


def _lump(wad: Path, name: str) -> Source:
    """The music of a name in a WAD file."""
    found = {source.name.rpartition("/")[2]: source for source in wad_sources([wad])}
    if name not in found:
        raise UserError(f"{wad}: has no music {printable(name)!r}; it has {', '.join(found)}")
    return found[name]


def _bytes_to_search(path: Path) -> bytes:
    """What a file holds; nothing if reading it will be refused, with the reason, when its turn comes."""
    try:
        return (
            path.read_bytes() if path.is_file() and path.stat().st_size <= DEFAULT_LIMITS.max_bytes else b""
        )
    except OSError:
        return b""


def installed_sources(corpus: str) -> list[Source]:
    """The pieces of a corpus that is installed: with vizdoom (freedoom) or with music21 (the others).

    Raises:
        UserError: if there is no such corpus, or if it is not installed.
    """
    if corpus not in INSTALLED_CORPORA:
        raise UserError(f"there is no installed corpus {corpus!r}; there are {', '.join(INSTALLED_CORPORA)}")
    if corpus == "freedoom":
        return wad_sources(freedoom_wads())
    return [s for name, path in embedded_scores(corpus).items() for s in file_sources(path, name)]


def wad_sources(paths: Sequence[Path]) -> list[Source]:
    """The MIDI files in WAD files, named `wad/lump`; of equal ones the first.

    Raises:
        UserError: if one of the files is no WAD, or if there is no music in them.
    """
    found: dict[bytes, Source] = {}
    for path in paths:
        for lump, data in music_lumps(path):
            source = Source(path, printable(f"{path.stem}/{lump.name}"), span=(lump.offset, lump.size))
            found.setdefault(hashlib.sha256(data).digest(), source)
    if not found:
        raise UserError(f"{' and '.join(map(str, paths))}: no music in MIDI (lumps named D_*) to be found")
    return list(found.values())


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
    sources = [source for source in sources if source.kind != "foreign"]
    by_hash = sorted(sources, key=lambda source: (source.content_hash(), source.name))
    kept = set(by_hash[:max_files])
    return [source for source in sources if source in kept]
