"""What a token of a Humdrum `**kern` spine says, and the codes of its instruments.

Source: the Humdrum reference, representation `**kern`, and appendix II of its user's guide (instruments).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from noternn.errors import UserError
from noternn.music.instruments import program_of
from noternn.music.notation import UNITS_PER_BEAT

DURATION = re.compile(r"(\d+)(?:%(\d+))?(\.*)")
PITCH = re.compile(r"(([a-g])\2*|([A-G])\3*)(#+|-+)?")
STEPS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
MAX_DIGITS = 4  # of a duration
UNPITCHED = 38  # an acoustic snare
# Where the five-line staff of a drum kit, read as if it had a G clef, has which sound of General MIDI.
DRUM_STAFF = {"d": 44, "f": 36, "a": 43, "cc": 38, "dd": 45, "ee": 48, "ff": 51, "gg": 42, "aa": 49}
ORNAMENTS = {"trills": "tT", "mordents": "mMwW", "turns": "S$"}


def _by_code(table: str) -> dict[str, int]:
    """Numbers by the codes that follow them."""
    found: dict[str, int] = {}
    for row in table.replace("\n", ",").split(","):
        number, *codes = row.split() or ["0"]
        found |= dict.fromkeys(codes, int(number))
    return found


PROGRAMS = _by_code("""
    0 piano fortp klav, 6 cemba, 7 clavi, 8 clest, 9 glock, 11 vibra, 12 marim, 13 xylo, 14 campn caril chime
    15 dulc, 16 hammd, 19 organ, 20 reedo, 21 accor, 22 armon, 24 guitr liuto theor ukule, 25 mando, 27 eguit
    33 bguit, 40 violn, 41 viola, 42 cello gamba, 43 cbass, 46 arpa, 47 timpa, 48 str
    52 soprn cant mezzo calto alto tenor barit bass vox feme male
    56 tromp cornt flugh, 57 tromt tromb, 58 tuba, 60 cor, 61 bras, 64 saxS, 65 saxA, 66 saxT, 67 saxR
    68 oboe oboeD, 69 cangl, 70 fagot cfago, 71 clars clara clarb clarp, 72 picco, 73 flt
    74 fltda fltds fltdn fltdb, 75 panpi, 77 shaku, 79 ocari
    104 sitar, 105 banjo, 106 shami, 107 koto, 109 bagpS bagpI, 114 steel
""")
# The sounds of percussion without pitch; 0 where the line of the staff says it.
DRUMS = _by_code("""
    0 perc drum, 36 bdrum, 38 sdrum, 45 tom, 49 crshc, 51 ridec, 52 gong, 54 tambn, 55 spshc, 57 piatt
    70 marac, 81 trngl, 85 casts
""")
KEYBOARDS = range(24)  # programs whose two staves share their dynamics


class KernError(Exception):
    """What a line of a Humdrum file cannot be; the message goes after the line's number."""


class Head(NamedTuple):
    """A note head of a token.

    Args:
        length: in units.
        pitch: MIDI; None without pitch.
        sound: of General MIDI on the staff of a drum kit.
        tie_in, tie_out: whether a tie may lead to it, whether one begins at it.
    """

    length: int
    pitch: int | None
    sound: int
    tie_in: bool
    tie_out: bool


class Token(NamedTuple):
    """A token of a `**kern` spine.

    Args:
        length: how long its spine is busy with it, in units; 0 for grace notes.
        heads: its notes; none for a rest.
        is_grace: whether they are grace notes.
        unread: what is in it that is not read, in words.
    """

    length: int
    heads: tuple[Head, ...]
    is_grace: bool
    unread: tuple[str, ...]


def kern_token(text: str) -> Token:
    """Read a token: a note, a chord or a rest.

    Raises:
        KernError: if its duration can be none.
    """
    parts = text.split(" ")
    length = _length(parts[0])
    is_grace = "q" in text
    unread = [
        f"{what} not played" for what, signs in ORNAMENTS.items() if any(sign in text for sign in signs)
    ]
    if length is None and not is_grace and "r" not in text:
        return Token(0, (), False, ("notes without a length left out",))
    heads = [head for part in parts if (head := _head(part, length or 0)) is not None]
    if not heads and "r" not in text:
        unread = ["tokens without a note or a rest left out"]
    return Token(0 if is_grace else length or 0, tuple(heads), is_grace, tuple(unread))


def instrument(code: str) -> tuple[int, int | None] | None:
    """The program of an instrument and, for percussion without pitch, its sound or 0.

    Args:
        code: after `*I`, such as "violn", or a name such as `"Violin I`.

    Returns:
        None where it names none that is known.
    """
    if code.startswith('"'):
        name = re.sub(r"[\s.]+(?:[IVX]+|\d+)[\s.]*$", "", code[1:].strip())
        try:
            return program_of(name), None
        except UserError:
            return None
    # Some codes are written with a number: `*Ivioln2`.
    plain = code if code in PROGRAMS or code in DRUMS else code.rstrip("0123456789")
    if plain in DRUMS:
        return 0, DRUMS[plain]
    return (PROGRAMS[plain], None) if plain in PROGRAMS else None


def _length(text: str) -> int | None:
    """The duration that a note or rest is written with, in units; None without one."""
    found = DURATION.search(text)
    if found is None:
        return None
    number, divided_by, dots = found.groups()
    if len(number) > MAX_DIGITS or len(divided_by or "") > MAX_DIGITS or len(dots) > MAX_DIGITS:
        raise KernError(f"a duration must have at most {MAX_DIGITS} digits and dots")
    whole = 4 * UNITS_PER_BEAT
    if not number.strip("0"):  # 0 is a breve, 00 a long, 000 a maxima
        whole, value = whole << len(number), 1
    else:
        whole, value = whole * int(divided_by or 1), int(number)
    # Two dots make 7/4 of it.
    return (whole * ((2 << len(dots)) - 1) // (value << len(dots))) or None


def _head(text: str, length: int) -> Head | None:
    """A note of a chord; None for a rest."""
    if "r" in text:
        return None
    found = PITCH.search(text)
    if found is None and "R" not in text:
        return None
    pitch = None if found is None else _pitch(found)
    sound = UNPITCHED if found is None else DRUM_STAFF.get(found.group(1), UNPITCHED)
    ends, goes_on = "]" in text, "_" in text
    return Head(_length(text) or length, pitch, sound, ends or goes_on, "[" in text or goes_on)


def _pitch(found: re.Match[str]) -> int:
    """c is middle C, cc above it, C below it, CC below that."""
    letters, accidental = found.group(1), found.group(4) or ""
    octave = len(letters) - 1 if found.group(2) else -len(letters)
    alteration = len(accidental) if accidental.startswith("#") else -len(accidental)
    return 60 + 12 * octave + STEPS[letters[0].lower()] + alteration
