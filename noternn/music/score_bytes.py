"""The bytes of a score file -> what a reader may be given of them, at a bounded cost.

Nothing in a file runs code, opens another file or reaches the network: XML that declares entities is refused,
document types are not fetched, and of an archive one member is read, in memory, up to a limit.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import PurePosixPath
from xml.parsers import expat

from noternn.music.piece import PieceError

SCORE_FORMATS = {
    ".abc": "abc",
    ".krn": "humdrum",
    ".musicxml": "musicxml",
    ".mxl": "musicxml",
    ".xml": "musicxml",
}
MAX_SCORE_BYTES = 20_000_000  # of the file, and of the score in an archive; a late quartet takes 11 MB
MAX_TEXT_BYTES = 2_000_000  # of a Humdrum score, which says more in a byte
MAX_TUNE_BYTES = 1_000_000  # of a tune, which says even more
MAX_BARS = 2_000  # of one part
MAX_TUNES = 10_000  # in one ABC file
MAX_SHARED_BYTES = 20_000_000  # of fields that hold for all tunes of a file, times the tunes
MAX_ARCHIVE_FILES = 1_000
MAX_CONTAINER_BYTES = 100_000
MAX_PROLOG_BYTES = 100_000  # of XML before the first element; old expats take a minute for a long comment
PROLOG_STEP = 4_000

ROOT_FILE = re.compile(rb"<rootfile\s([^<>]*)")  # an attribute may hold neither, so none is looked at twice
FULL_PATH = re.compile(rb"(?<!\S)full-path\s*=\s*[\"']([^\"']*)")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TUNE_START = re.compile(rb"(?:(?<=[\r\n])|\A(?:\xef\xbb\xbf)?)[ \t]*X:[ \t]*\d")
# What the head of an ABC file may say for all its tunes: version, instructions, unit of length, metre, tempo,
# macros and symbols.
SHARED_LINE = re.compile(rb"(?:%abc|%%|[ILMQUm]:)[^\r\n]*")
TEXT_BLOCK = re.compile(rb"%%[ \t]*(begin|end)(?:text|ps|svg|ml|js)")
KEY_FIELD = re.compile(r"(?:^|(?<=\r))[ \t]*K:", re.MULTILINE)


def checked_xml(data: bytes) -> bytes:
    """The MusicXML document in a `.mxl` archive, or the data if it is one itself.

    Raises:
        PieceError: if there is none, or one that is too large or that declares entities.
    """
    if data.startswith(b"PK\x03\x04"):
        data = _unpacked(data)
    root = _outermost_element(data)
    if root.rpartition(":")[2] not in ("score-partwise", "score-timewise"):
        raise PieceError(f"is no MusicXML: its outermost element is <{root[:40]}>, not <score-partwise>")
    return data


def checked_text(data: bytes, suffix: str) -> str:
    """The text of an ABC tune or of a Humdrum score.

    Raises:
        PieceError: if it is none, or too large.
    """
    if suffix == ".abc" and (count := len(TUNE_START.findall(data))) > MAX_TUNES:
        raise PieceError(f"holds too many tunes: {count:,}; at most {MAX_TUNES:,} are read")
    if suffix == ".abc" and count > 1 and not tune_spans(data)[1]:
        most = f"{MAX_SHARED_BYTES / 1e6:g} MB"
        raise PieceError(f"has too many fields before its {count:,} tunes: for all of them at most {most}")
    max_bytes = MAX_TUNE_BYTES if suffix == ".abc" else MAX_TEXT_BYTES
    if len(data) > max_bytes:
        size, limit = len(data) / 1e6, max_bytes / 1e6
        raise PieceError(f"is too large: {size:,.1f} MB; at most {limit:g} MB of {suffix} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if suffix == ".krn" and "**kern" not in text:
        raise PieceError("is no Humdrum score: it has no **kern spine")
    if suffix == ".abc" and not KEY_FIELD.search(text):
        raise PieceError("holds no tune in ABC: no line begins with K:, the key")
    if suffix == ".krn":
        check_bars(text.count("\n="))
    return text


def check_bars(count: int, limit: int = MAX_BARS) -> None:
    """Refuse what has too many bars.

    Raises:
        PieceError: if there are more than the limit.
    """
    if count > limit:
        raise PieceError(f"is too long: {count:,} bars; at most {limit:,} are read")


def tune_spans(data: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """Where the tunes of an ABC file are.

    Returns:
        The fields before the first tune that hold for all of them, and (offset, size) of each tune in bytes;
        no tunes if there are more than `MAX_TUNES`, or those fields are too many to be read for each.
    """
    starts = []
    for match in TUNE_START.finditer(_without_blocks(data) if b"%%begin" in data else data):
        starts.append(match.start() + (len(BYTE_ORDER_MARK) if match[0].startswith(BYTE_ORDER_MARK) else 0))
        if len(starts) > MAX_TUNES:
            return b"", []
    if not starts:
        return b"", []
    ends = [*starts[1:], len(data)]
    spans = [(start, end - start) for start, end in zip(starts, ends, strict=True)]
    shared = _shared_lines(data[: min(starts[0], MAX_CONTAINER_BYTES)])
    return (shared, spans) if len(shared) * len(spans) <= MAX_SHARED_BYTES else (b"", [])


def _without_blocks(data: bytes) -> bytes:
    """The data with blanks in the place of blocks of text, in which an example of a tune may stand."""
    rest = bytearray(data)
    start = None
    for mark in TEXT_BLOCK.finditer(data):
        if mark[1] == b"begin":
            start = mark.start()
        elif start is not None:
            rest[start : mark.end()] = b" " * (mark.end() - start)
            start = None
    return bytes(rest)


def _shared_lines(head: bytes) -> bytes:
    """The lines before the first tune that hold for all of them."""
    shared = []
    for line in re.split(rb"[\r\n]+", _without_blocks(head.removeprefix(BYTE_ORDER_MARK))):
        line = line.strip()
        if SHARED_LINE.match(line):
            shared.append(line + b"\n")
    return b"".join(shared)


def _unpacked(data: bytes) -> bytes:
    """The score in a `.mxl` archive."""
    if data.count(b"PK\x01\x02") > MAX_ARCHIVE_FILES:
        raise PieceError(f"is damaged: an archive of more than {MAX_ARCHIVE_FILES:,} files")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            score = _read_member(archive, _score_name(archive), MAX_SCORE_BYTES + 1)
    except PieceError:
        raise
    except Exception as error:  # damaged and encrypted archives raise nearly anything
        raise PieceError(f"is damaged: {' '.join(str(error).split())[:80]}") from error
    if len(score) > MAX_SCORE_BYTES:
        limit = MAX_SCORE_BYTES / 1e6
        raise PieceError(f"is too large: its score unpacks to more than {limit:g} MB, the most that is read")
    return score


def _score_name(archive: zipfile.ZipFile) -> str:
    """The first of the scores that the archive's table of contents names, or else that it holds."""
    names = archive.namelist()
    if "META-INF/container.xml" in names:
        container = _read_member(archive, "META-INF/container.xml", MAX_CONTAINER_BYTES)
        for rootfile in ROOT_FILE.findall(container):
            named = FULL_PATH.search(rootfile)
            if named and named[1].decode("utf-8", "replace") in names:
                return named[1].decode()
    for name in names:
        suffix = PurePosixPath(name).suffix.lower()
        if not name.startswith("META-INF") and (suffix in (".xml", ".musicxml") or name == ".xml"):
            return name
    raise PieceError("is damaged: an archive without a score in it")


def _read_member(archive: zipfile.ZipFile, name: str, num_bytes: int) -> bytes:
    # Other compressions may ask for gigabytes to unpack anything at all.
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise PieceError("is damaged: an archive compressed by other means than .mxl is (deflate)")
    with archive.open(name) as member:
        return member.read(num_bytes)


def _outermost_element(data: bytes) -> str:
    """The name of the first element, which is as far as this looks."""
    found: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, _: found.append(name)
    parser.EntityDeclHandler = _refuse_entities
    try:
        for start in range(0, MAX_PROLOG_BYTES, PROLOG_STEP):
            if not found:
                end = start + PROLOG_STEP
                parser.Parse(data[start:end], end >= len(data))
    except (expat.ExpatError, LookupError, ValueError) as error:  # as of an unknown encoding
        if not found:  # the reader names what is wrong after the first element
            raise PieceError(f"is no XML ({error})") from error
    if not found:
        raise PieceError(f"is no MusicXML: no element begins in its first {MAX_PROLOG_BYTES:,} bytes")
    return found[0]


def _refuse_entities(*_: object) -> None:
    raise PieceError("declares XML entities, which no score needs and which can fill the memory")
