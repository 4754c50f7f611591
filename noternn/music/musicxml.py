"""MusicXML -> `Score`: the bars of all parts, which begin together."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise, zip_longest
from xml.etree.ElementTree import Element, ParseError, fromstring

from noternn.errors import PieceError
from noternn.music.limits import Limits
from noternn.music.musicxml_instruments import Instruments, instruments_of
from noternn.music.musicxml_part import PartReader, ReadBar
from noternn.music.musicxml_values import decimal, type_units
from noternn.music.notation import UNITS_PER_BEAT, Bar, Score
from noternn.music.remarks import Remarks
from noternn.music.score_bytes import check_bars

ROUNDING = UNITS_PER_BEAT // 64  # by which a full bar may seem shorter, since durations are rounded
EXACT = UNITS_PER_BEAT // 100_000  # how near to a multiple a length must be to be one
MAX_BARS = 20_000  # of one part
MAX_BARS_OF_ALL = 300_000
MAX_TAGS = 2_500_000  # and attributes of them; in memory each takes about 200 bytes


def read_musicxml(data: bytes, limits: Limits) -> Score:
    """Read a MusicXML document.

    Each bar is as long as the longest part of it reaches, in notes, rests or skips; rests that last as long
    as their bar lengthen no pickup. A bar of which nothing is said is full. Grace notes and cue notes are
    silent, ornaments are not played.

    Args:
        data: a document as `noternn.music.score_bytes.checked_xml` gives it.
        limits: of which notes and beats are looked at.

    Raises:
        PieceError: if it is damaged, or too large.
    """
    with _without_collection():
        return _read(data, limits)


def _read(data: bytes, limits: Limits) -> Score:
    """Read a document; its tree is gone when this is left."""
    remarks = Remarks()
    root = _parsed(data)
    instruments = instruments_of(root.find("part-list"))
    parts = _parts(root)
    longest = max(map(len, parts.values()), default=0)
    check_bars(longest, MAX_BARS)
    check_bars(longest * len(parts), MAX_BARS_OF_ALL)
    read = [
        _read_part(identifier, measures, instruments, len(parts) > 1, limits, remarks)
        for identifier, measures in parts.items()
    ]
    return Score(_together(read, remarks), remarks=remarks)


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Let no garbage be looked for: elements make none, and there are many to go through in vain."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _parsed(data: bytes) -> Element:
    num_tags = data.count(b"<") + data.count(b"=")
    if num_tags > MAX_TAGS:
        raise PieceError(f"is too large: {num_tags:,} tags and attributes; at most {MAX_TAGS:,} are read")
    try:
        root = fromstring(data)
    except ParseError as error:
        raise PieceError(f"is damaged: {error}") from error
    if root.tag.startswith("{"):
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
    return root


def _parts(root: Element) -> dict[str, list[Element]]:
    """The measures of each part, whichever way the score is ordered."""
    parts: dict[str, list[Element]] = {}
    if root.tag == "score-partwise":
        for i, part in enumerate(root.findall("part")):
            parts[_free_name(part.get("id", ""), i, parts)] = part.findall("measure")
        return parts
    for i, measure in enumerate(root.findall("measure")):
        for part in measure.findall("part"):
            parts.setdefault(part.get("id", ""), []).append(part)
            part.attrib = {"number": str(i + 1), **measure.attrib}
    return parts


def _free_name(identifier: str, number: int, taken: dict[str, list[Element]]) -> str:
    return identifier if identifier not in taken else f"{identifier} ({number + 1})"


def _read_part(
    identifier: str,
    measures: Sequence[Element],
    instruments: dict[str, Instruments],
    is_named: bool,
    limits: Limits,
    remarks: Remarks,
) -> list[ReadBar]:
    own = instruments.get(identifier, Instruments())
    divisions = _divisions_of_types(measures)
    return PartReader(f"part {identifier}" if is_named else "", own, divisions, limits, remarks).read(
        measures
    )


def _divisions_of_types(measures: Sequence[Element]) -> int | Fraction:
    """The divisions of a beat by the type and duration of the first note; 1 where the file says them."""
    for element in measures[0] if measures else ():
        if element.find("divisions") is not None:
            return 1
        duration, units = element.findtext("duration"), type_units(element)
        if element.tag == "note" and duration is not None and units:
            divisions = Fraction(decimal(duration, "a duration") * UNITS_PER_BEAT) / units
            return divisions if divisions > 0 else 1
    return 1


def _together(parts: Sequence[list[ReadBar]], remarks: Remarks) -> list[list[Bar]]:
    """The bars of all parts, as many in each, those of one number of one length."""
    if len({len(part) for part in parts}) > 1:
        remarks.add("parts with fewer bars than others")
    together: list[list[Bar]] = [[] for _ in parts]
    reached: list[list[int]] = [[] for _ in parts]
    for at_once in zip_longest(*_by_number(parts)):
        length = _common_length([read for read in at_once if read is not None])
        for i, read in enumerate(at_once):
            bar = Bar() if read is None else read.bar
            reached[i].append(bar.length)
            bar.length = length
            together[i].append(bar)
    for bars, ends in zip(together, reached, strict=True):
        _hold_ties(bars, ends)
    return together


def _hold_ties(bars: Sequence[Bar], reached: Sequence[int]) -> None:
    """Let tied notes reach the end of a bar that another part makes longer than their own notes reach."""
    for (before, after), end in zip(pairwise(bars), reached, strict=False):
        if end in (0, before.length):
            continue
        tied = {note.pitch for note in after.notes if note.tie_in and note.offset == 0}
        for i, note in enumerate(before.notes):
            if note.tie_out and note.pitch in tied and note.offset + note.length == end:
                before.notes[i] = note._replace(length=max(1, before.length - note.offset))


def _by_number(parts: Sequence[list[ReadBar]]) -> Sequence[Sequence[ReadBar | None]]:
    """The bars of parts of which some lack bars, in the places of their numbers if these are clear."""
    longest = max(parts, key=len, default=[])
    numbers = [bar.number for bar in longest]
    places = {number: i for i, number in enumerate(numbers)}
    if all(len(part) == len(longest) for part in parts) or len(places) < len(numbers):
        return parts
    placed: list[list[ReadBar | None]] = []
    for part in parts:
        where = [places.get(bar.number, -1) for bar in part]
        if where != sorted(set(where)) or (where and where[0] < 0):
            return parts
        bars: list[ReadBar | None] = [None] * len(longest)
        for i, bar in zip(where, part, strict=True):
            bars[i] = bar
        placed.append(bars)
    return placed


def _common_length(bars: Sequence[ReadBar]) -> int:
    """How long a bar is: as long as its longest part reaches; without music a full one."""
    full = max(bar.full for bar in bars)
    length = max(bar.bar.length for bar in bars) or max(bar.elastic for bar in bars) or full
    return full if _is_rounded(length - full) else length


def _is_rounded(excess: int) -> bool:
    """Whether a bar differs from a full one by what no note lasts, since its durations are rounded."""
    is_short = -ROUNDING < excess <= 0
    return is_short or (
        0 < excess < UNITS_PER_BEAT // 2
        and all(
            min(excess % step, -excess % step) > EXACT
            for step in (UNITS_PER_BEAT // 16, UNITS_PER_BEAT // 12)
        )
    )
