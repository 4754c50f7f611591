"""What directions and other signs of a MusicXML bar mean: how loud, how fast, and what is played next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element

from noternn.music.musicxml_values import TYPE_UNITS, attribute_number, dotted, shown, table
from noternn.music.notation import DEFAULT_VELOCITY, UNITS_PER_BEAT, VELOCITIES, Bar
from noternn.music.remarks import Remarks

LOUDEST = 127
SOUND_VELOCITY = 90  # of `dynamics="100"`, as the standard says
ACCENT = 112
MARKS = VELOCITIES | {"pppppp": 2, "ppppp": 5, "pf": 88, "fffff": 127, "ffffff": 127, "n": 1}
SOFT_AFTER = table("fp p, sfp p, sfpp pp, sfzp p")  # what holds after an accent
ACCENTS = frozenset(["sf", "sfz", "sffz", "fz", "rf", "rfz", *SOFT_AFTER])
_JUMPS = (
    (re.compile(r"\bd\s*\.\s*c\b|\bdc\b|\bda\s+capo\b", re.IGNORECASE), "dacapo"),
    (re.compile(r"\bd\s*\.\s*s\b|\bds\b|\bdal\s+segno\b", re.IGNORECASE), "dalsegno"),
)
_TO_CODA = re.compile(r"\bto\s+(the\s+)?coda\b", re.IGNORECASE)
_FINE = re.compile(r"\W*fine\W*", re.IGNORECASE)
_SEGNO = re.compile(r"\W*segno\W*", re.IGNORECASE)
_CODA = re.compile(r"\W*coda\W*(coda\W*)?", re.IGNORECASE)
_CHANGES_OF_TEMPO = re.compile(
    r"\b(rit|rall|ritard|accel|string|allarg|rallent|smorz|calando|a tempo|tempo primo|tempo i)\b",
    re.IGNORECASE,
)
_CHANGES_OF_FORCE = re.compile(r"\b(cresc|decresc|dim|dimin)\b|escendo|minuendo", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,6}(\.\d{1,6})?")
_ENDING_NUMBERS = re.compile(r"\d{1,3}")
MAX_ENDING = 100
MAX_WORDS = 200  # letters of a direction that are looked at


class Mark(NamedTuple):
    """How loud it is from an onset on, or there only.

    Args:
        offset: in the bar, in units.
        staff: that it stands at; "" for all.
        velocity: 1 to 127.
        is_accent: whether it holds for the notes of its onset only.
    """

    offset: int
    staff: str
    velocity: int
    is_accent: bool = False


class Levels:
    """How loud each staff of a part is.

    A mark holds for its staff, and for the staves that have had none of their own.
    """

    def __init__(self) -> None:
        self._last = DEFAULT_VELOCITY
        self._own: dict[str, int] = {}

    def set(self, staff: str, velocity: int) -> None:
        """Let a staff, or with "" all staves, be as loud from here on."""
        self._last = velocity
        if staff:
            self._own[staff] = velocity
        else:
            self._own.clear()

    def get(self, staff: str) -> int:
        """The velocity of a note of a staff."""
        return self._own.get(staff, self._last)


def marks_of(dynamics: Element, offset: int, staff: str, remarks: Remarks, place: str) -> Iterator[Mark]:
    """The marks in a `<dynamics>`."""
    for element in dynamics:
        if element.tag in ACCENTS:
            if element.tag in SOFT_AFTER:
                yield Mark(offset, staff, MARKS[SOFT_AFTER[element.tag]])
            yield Mark(offset, staff, ACCENT, is_accent=True)
        elif element.tag in MARKS:
            yield Mark(offset, staff, MARKS[element.tag])
        else:
            remarks.add("dynamics not understood", place)


def velocity_of(percent: float) -> int:
    """The velocity that an attribute `dynamics` says."""
    return max(1, min(LOUDEST, round(percent * SOUND_VELOCITY / 100)))


def tempo_of(metronome: Element, remarks: Remarks, place: str) -> float | None:
    """The quarter notes a minute of a metronome mark; None for what is none."""
    beats = [element for element in metronome if element.tag in ("beat-unit", "metronome-note")]
    per_minute = metronome.find("per-minute")
    number = _NUMBER.search(per_minute.text or "") if per_minute is not None else None
    if len(beats) != 1 or beats[0].tag != "beat-unit" or number is None:
        remarks.add("metronome marks not understood", place)
        return None
    units = dotted(TYPE_UNITS.get((beats[0].text or "").strip(), 0), len(metronome.findall("beat-unit-dot")))
    return float(number.group()) * units / UNITS_PER_BEAT


def sound_tempo(sound: Element) -> float | None:
    """The quarter notes a minute that a `<sound>` says."""
    return attribute_number(sound, "tempo")


def read_words(texts: Iterable[str], bar: Bar, is_start: bool, remarks: Remarks, place: str) -> None:
    """Set the signs that the words of a direction stand for.

    Args:
        texts: the words, with "segno" and "coda" for the signs.
        bar: to set them in.
        is_start: whether they stand at its start, where a coda begins; later in a bar the sign leads to it.
        remarks: to add to.
        place: of the bar.
    """
    text = " ".join(text[:MAX_WORDS] for text in texts)[:MAX_WORDS]
    jump = next((name for pattern, name in _JUMPS if pattern.search(text)), "")
    if jump:
        bar.jump = bar.jump or jump
    elif _TO_CODA.search(text):
        bar.to_coda = True
    elif _FINE.fullmatch(text):
        bar.fine = True
    elif _SEGNO.fullmatch(text):
        bar.segno = True
    elif _CODA.fullmatch(text):
        bar.coda, bar.to_coda = bar.coda or is_start, bar.to_coda or not is_start
    elif _CHANGES_OF_TEMPO.search(text):
        remarks.add("words that change the tempo not played", place)
    elif _CHANGES_OF_FORCE.search(text):
        remarks.add("hairpins not played", place)


def read_sound_signs(sound: Element, bar: Bar) -> bool:
    """Set the signs that a `<sound>` has, and tell whether it has any."""
    found = False
    for name in ("dacapo", "dalsegno", "segno", "coda", "tocoda", "fine", "forward-repeat"):
        value = sound.get(name, "no" if name in ("dacapo", "forward-repeat") else "")
        if value in ("", "no"):
            continue
        found = True
        if name in ("dacapo", "dalsegno"):
            bar.jump = name
        elif name == "tocoda":
            bar.to_coda = True
        elif name == "forward-repeat":
            bar.repeat_start = True
        else:
            setattr(bar, name, True)
    return found


def ending_numbers(ending: Element) -> tuple[int, ...]:
    """The numbers of an ending, such as (1, 2); (1,) where there are none."""
    numbers = (int(text) for text in _ENDING_NUMBERS.findall(ending.get("number", "")[:100]))
    return tuple(number for number in numbers if 1 <= number <= MAX_ENDING) or (1,)


def place_of(part: str, number: str) -> str:
    """Where a bar is, for remarks."""
    bar = f"bar {_printable(number)}"
    return f"{_printable(part)}, {bar}" if part else bar


def _printable(text: str) -> str:
    cleaned = " ".join(text.split())[:30]
    return cleaned if cleaned.isprintable() else shown(cleaned)
