"""Where a composed file comes from: what it tells of itself, and how that is read again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from html import unescape
from pathlib import Path
from typing import Any

from noternn.errors import PieceError, UserError
from noternn.files import read_text
from noternn.music.limits import DEFAULT_LIMITS, read_limited
from noternn.music.midi import text_of
from noternn.terminal import printable

MARK = "noternn"  # the first name of the record, which holds the version
BEGIN = f'{{"{MARK}"'  # of its JSON
OPTION = re.compile(r"[a-z][a-z-]*")
CHANGE_NOTHING = {
    "temperature": 1,
    "top-k": 0,
    "top-p": 1,
    "min-p": 0,
    "steering": 1,
    "repetition-penalty": 1,
}


@dataclass(frozen=True)
class Given:
    """A file that a sample was composed from: a primer, a melody, or music with a gap.

    Args:
        name: of the file, without its folder.
        sha256: of its bytes.
    """

    name: str
    sha256: str


@dataclass(frozen=True)
class Copied:
    """What an audit found in a sample.

    Args:
        share: of the composed notes, in passages of 16 or more that stand in training pieces.
        pieces: the training pieces of these passages, with the share of each.
    """

    share: float
    pieces: Mapping[str, float] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The share, and the piece that has most of it."""
        first = next(iter(self.pieces), None)
        named = f", most from {printable(first)}" if first else ""
        return f"{self.share:.0%} of what is new copied in passages of 16 notes{named}"


@dataclass(frozen=True)
class Provenance:
    """How to compose a sample again.

    Args:
        version: of NoteRNN.
        checkpoint: the sha256 of its file.
        weights: that of its weights, see `noternn.model.checkpoint.weights_sha256`; "" in files of before.
        options: of `noternn generate`, by their names without dashes; True for one without a value.
        given: the file that it was composed from; None for none.
        copied: what was found to be copied; None where nobody has looked.
    """

    version: str
    checkpoint: str
    options: Mapping[str, Any]
    given: Given | None = None
    copied: Copied | None = None
    weights: str = ""

    def text(self, indent: int | None = None) -> str:
        """The record as JSON, in ASCII, in one line unless indented."""
        plain: dict[str, Any] = {MARK: self.version, "checkpoint": self.checkpoint}
        if self.weights:
            plain["weights"] = self.weights
        plain["options"] = dict(self.options)
        if self.given:
            plain["given"] = asdict(self.given)
        if self.copied:
            plain["copied"] = {"share": self.copied.share, "pieces": dict(self.copied.pieces)}
        return json.dumps(plain, indent=indent)

    def arguments(self) -> list[str]:
        """The options as they stand on a command line."""
        return [f"--{name}" if value is True else f"--{name}={value}" for name, value in self.options.items()]

    @property
    def sentences(self) -> list[str]:
        """How it was made, without options that change nothing, and what is copied."""
        options = {name: value for name, value in self.options.items() if CHANGE_NOTHING.get(name) != value}
        if "repetition-penalty" not in options:
            options.pop("repetition-window", None)
        told = " ".join(replace(self, options=options).arguments())
        made = f"composed by NoteRNN {self.version} with {printable(told)}"
        return [made, *([self.copied.sentence] if self.copied else [])]


def read_provenance(path: Path) -> Provenance:
    """What a file tells of where it comes from, or a card of it.

    Args:
        path: a MIDI file or score, or the JSON that `generate --card` writes.

    Raises:
        UserError: if it tells nothing, or cannot be read.
    """
    try:
        is_card = path.suffix.lower() == ".json"
        text = read_text(path) if is_card else _said(read_limited(path, DEFAULT_LIMITS.max_bytes))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except PieceError as error:
        raise UserError(f"{path}: {error}") from error
    if text is None:
        raise UserError(f"{path}: it does not say where it comes from; noternn generate writes files that do")
    return _parsed(text, path)


def _said(data: bytes) -> str | None:
    """The record in a MIDI file, or in a score as `noternn.music.musicxml_writer` puts it there."""
    found = re.search(rb'<miscellaneous-field name="noternn">([^<]*)<', data)
    return unescape(found[1].decode("ascii", errors="replace")) if found else text_of(data, BEGIN)


def _parsed(text: str, path: Path) -> Provenance:
    try:
        plain = json.loads(text)
        given, copied = plain.get("given"), plain.get("copied")
        options = dict(plain["options"])
        if not all(OPTION.fullmatch(name) for name in options):
            raise ValueError
        return Provenance(
            printable(str(plain[MARK])),
            str(plain["checkpoint"]),
            options,
            None if given is None else Given(Path(str(given["name"])).name, str(given["sha256"])),
            None if copied is None else Copied(float(copied["share"]), dict(copied["pieces"])),
            str(plain.get("weights", "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: what it says of where it comes from is damaged") from error


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be opened: {error.strerror or error}") from error
