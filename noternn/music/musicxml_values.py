"""Numbers in MusicXML, read at a bounded cost."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from xml.etree.ElementTree import Element

from noternn.errors import PieceError
from noternn.music.notation import MAX_METRE_DENOMINATOR, MAX_METRE_NUMERATOR, UNITS_PER_BEAT

MAX_DIGITS = 12
_DECIMAL = re.compile(r"\s*[+-]?\d{1,12}(\.\d{0,12})?\s*")
_WHOLE = re.compile(r"\s*[+-]?\d{1,12}\s*")
TYPES = [
    "maxima",
    "long",
    "breve",
    "whole",
    "half",
    "quarter",
    "eighth",
    "16th",
    "32nd",
    "64th",
    "128th",
    "256th",
    "512th",
    "1024th",
]
TYPE_UNITS = {
    name: (UNITS_PER_BEAT * 32) >> halvings for halvings, name in enumerate(TYPES)
}  # lengths of notes
MAX_DOTS = 4


def table(text: str) -> dict[str, str]:
    """What a text of entries such as "key value" says, a comma or a line's end between them."""
    entries = (entry.split() for line in text.strip().splitlines() for entry in line.split(","))
    return {" ".join(words[:-1]): words[-1] for words in entries if words}


def whole(text: str | None) -> int | None:
    """A whole number of up to 12 digits; None for anything else."""
    return int(text) if text is not None and _WHOLE.fullmatch(text) else None


def decimal(text: str, what: str) -> int | Fraction:
    """An exact decimal number of up to 12 digits before and after the point.

    Raises:
        PieceError: if it is none; `what` names it, such as "a duration".
    """
    if not _DECIMAL.fullmatch(text):
        raise PieceError(f"is damaged: {what} of {shown(text)}")
    number = Fraction(text.strip())
    return number.numerator if number.denominator == 1 else number


def shown(text: str) -> str:
    """The beginning of a text of the file, as a message may have it."""
    return ascii(text.strip()[:20])


def attribute_number(element: Element, name: str) -> float | None:
    """A number in an attribute; None where there is none."""
    text = element.get(name)
    return float(decimal(text, f"a {name}")) if text is not None and _DECIMAL.fullmatch(text) else None


def type_units(element: Element) -> int:
    """The length in units that the type of a note, its dots and its tuplet say; 0 where it has no type."""
    units = TYPE_UNITS.get((element.findtext("type") or "").strip(), 0)
    units = dotted(units, len(element.findall("dot")))
    tuplet = element.find("time-modification")
    if tuplet is None:
        return units
    actual, normal = whole(tuplet.findtext("actual-notes")), whole(tuplet.findtext("normal-notes"))
    return units * normal // actual if actual and normal else units


def dotted(units: int, num_dots: int) -> int:
    """A length with dots, each of which adds half of what the one before it added."""
    return 2 * units - (units >> min(num_dots, MAX_DOTS))


def metre_of(time: Element) -> tuple[int, int] | None:
    """The metre in a `<time>`, several of one added up; None without one.

    Raises:
        PieceError: if it is none that a bar can have.
    """
    pairs = list(_pairs(time))
    if not pairs:
        return None
    denominator = max(kind for _, kind in pairs)
    total = sum(Fraction(beats * denominator, kind) for beats, kind in pairs)
    if total.denominator != 1:
        raise PieceError(f"is damaged: a metre of {total}/{denominator}")
    return int(total), denominator


def _pairs(time: Element) -> Iterable[tuple[int, int]]:
    """Beats and their kind, as often as a `<time>` has them."""
    beats = 0
    for element in time:
        text = element.text or ""
        if element.tag == "beats":
            parts = [whole(part) for part in text.split("+")[:100]]
            if any(part is None or part < 0 for part in parts):
                raise PieceError(f"is damaged: a metre of {shown(text)} beats")
            beats = sum(part or 0 for part in parts)
        elif element.tag == "beat-type":
            kind = whole(text)
            if not kind or not 1 <= beats <= MAX_METRE_NUMERATOR or not 1 <= kind <= 1024:
                raise PieceError(f"is damaged: a metre of {beats:,}/{shown(text)[1:-1]}")
            yield beats, kind


def is_common(metre: tuple[int, int]) -> bool:
    """Whether other formats can say the metre: halves of halves of a whole note, not too small."""
    return metre[1] <= MAX_METRE_DENOMINATOR and metre[1] & (metre[1] - 1) == 0


def bar_units(metre: tuple[int, int] | None) -> int:
    """The length in units of a full bar; 4 beats without a metre."""
    return UNITS_PER_BEAT * 4 * metre[0] // metre[1] if metre else 4 * UNITS_PER_BEAT


def beat_units(metre: tuple[int, int] | None) -> int:
    """The length in units of a beat: of three of the metre's notes in 6/8, 9/8 and so on."""
    if metre is None:
        return UNITS_PER_BEAT
    is_compound = metre[1] >= 8 and metre[0] > 3 and metre[0] % 3 == 0
    return bar_units((3 if is_compound else 1, metre[1]))
