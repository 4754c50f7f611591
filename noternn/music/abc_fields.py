"""The values of the fields of an ABC tune: key, voice, metre, length, tempo, order of parts.

The numbers of sections are those of the ABC standard 2.1 (Chris Walshaw, 2011).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from noternn.music.notation import UNITS_PER_BEAT
from noternn.music.piece import PieceError
from noternn.music.repeats import MAX_PLAYED_BARS, too_many_bars

WHOLE = 4 * UNITS_PER_BEAT
SHARPS = {"C": 0, "D": 2, "E": 4, "F": -1, "G": 1, "A": 3, "B": 5}  # of the major keys
MODES = {
    "maj": 0,
    "ion": 0,
    "mix": -1,
    "dor": -2,
    "min": -3,
    "m": -3,
    "aeo": -3,
    "phr": -4,
    "loc": -5,
    "lyd": 1,
}
FIFTHS = "FCGDAEB"
ALTERATIONS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}

TONIC = re.compile(r"([A-G])([#b\u266f\u266d]?)[ \t]*")
MODE = re.compile(r"((?:maj|min|ion|mix|dor|aeo|phr|loc|lyd)[a-z]*|m(?![a-z=]))[ \t]*", re.IGNORECASE)
GLOBAL_ACCIDENTAL = re.compile(r"(\^\^?|__?|=)([A-Ga-g])[ \t]*")
CLEF = re.compile(
    r"(?:clef=\"?(?P<sign>treble|alto|tenor|bass|perc|none|auto|[GCFP])|(?P<name>treble|alto|tenor|bass|perc|none))"
    r"[1-5]?(?P<octaves>[+\-^_](?:8|15))?\"?(?=[ \t]|$)"
)
PROPERTY = re.compile(r"([A-Za-z]+)[ \t]*=[ \t]*(\"[^\"]*\"|[^ \t]+)")
WORD = re.compile(r"[^ \t]+")
PRINTED_PROPERTIES = {
    *("brace", "bracket", "color", "cue", "dyn", "gch", "gchord", "gstem", "lyrics", "m", "map", "merge"),
    *("middle", "name", "nm", "scale", "sname", "snm", "space", "stafflines", "staffscale", "stem", "stems"),
    *("strings", "style", "sub", "subname", "up", "down", "vocal"),
}

METRE = re.compile(r"\(?[ \t]*(\d+(?:[ \t]*\+[ \t]*\d+)*)[ \t]*\)?[ \t]*/[ \t]*(\d+)")
LENGTH = re.compile(r"(\d+)[ \t]*(?:/[ \t]*(\d+))?")
TEMPO = re.compile(
    r"((?:\d+[ \t]*/[ \t]*\d+[ \t]*)+|C[ \t]*\d*(?:[ \t]*/[ \t]*\d+)?)[ \t]*=[ \t]*(\d+(?:\.\d+)?)"
)
FRACTION = re.compile(r"(\d+)[ \t]*/[ \t]*(\d+)")
MAX_DIGITS = 12
MAX_TEMPO_LENGTH = 200


def number(digits: str) -> int:
    """A whole number of a file, of at most `MAX_DIGITS` digits.

    Raises:
        PieceError: if it has more.
    """
    if len(digits) > MAX_DIGITS:
        raise PieceError(f"is damaged: a number of {len(digits):,} digits")
    return int(digits)


@dataclass(slots=True)
class Key:
    """What `K:` and `V:` say of pitch and instrument (sections 3.1.14, 4.6 and 7.1).

    Args:
        alterations: of the seven letters, in semitones; None where the field names no key.
        clef_octaves: that the clef moves the notes up.
        octaves, semitones: the same by `octave=` and `transpose=`.
        is_drum: whether the clef is that of percussion.
    """

    alterations: dict[str, int] | None = None
    clef_octaves: int | None = None
    octaves: int | None = None
    semitones: int | None = None
    is_drum: bool | None = None
    unknown: tuple[str, ...] = ()

    def over(self, before: Key) -> Key:
        """This key, and where it says nothing the one before."""
        names = ("alterations", "clef_octaves", "octaves", "semitones", "is_drum")
        return replace(
            before,
            **{name: value for name in names if (value := getattr(self, name)) is not None},
            unknown=(),
        )

    @property
    def shift(self) -> int:
        """How far the notes sound above those that are written, in semitones."""
        return 12 * ((self.clef_octaves or 0) + (self.octaves or 0)) + (self.semitones or 0)


def key_of(text: str) -> Key:
    """The value of `K:`.

    Raises:
        PieceError: if it is no key.
    """
    text = text.strip()
    alterations, rest = _alterations(text)
    key = properties_of(rest)
    if alterations is None and rest == text and text and key.unknown:
        raise PieceError(f"K:{text[:20]} is no key")
    if alterations is None and not text:
        alterations = {}
    return replace(key, alterations=alterations)


def _alterations(text: str) -> tuple[dict[str, int] | None, str]:
    """What a key signature alters, and what stands behind it."""
    pipes = re.match(r"H[Pp](?![A-Za-z])[ \t]*", text)
    if pipes:
        return {"F": 1, "C": 1}, text[pipes.end() :]
    found: dict[str, int] | None = None
    none = re.match(r"none(?![A-Za-z=])[ \t]*", text)
    if none:
        found, position = {}, none.end()
    else:
        tonic = TONIC.match(text)
        position = tonic.end() if tonic else 0
        if tonic:
            found, position = _mode(tonic, text)
    explicit = re.match(r"exp(?:licit)?(?![A-Za-z=])[ \t]*", text[position:])
    if explicit:
        found, position = {}, position + explicit.end()
    if re.match(r"[\^_]\d*/|[\^_]\d", text[position:]):
        raise PieceError(f"K:{text[:20]} has microtones, which MIDI notes have not")
    while accidental := GLOBAL_ACCIDENTAL.match(text, position):
        found = found or {}
        found[accidental[2].upper()] = ALTERATIONS[accidental[1]]
        position = accidental.end()
    return found, text[position:]


def _mode(tonic: re.Match[str], text: str) -> tuple[dict[str, int], int]:
    """What a key of the circle of fifths alters, and where its name ends."""
    fifths = SHARPS[tonic[1]] + {"": 0, "#": 7, "\u266f": 7, "b": -7, "\u266d": -7}[tonic[2]]
    position = tonic.end()
    mode = MODE.match(text, position)
    if mode:
        fifths += MODES[mode[1][:3].lower()]
        position = mode.end()
    elif re.match(
        r"(?!exp|clef|treble|alto|tenor|bass|perc|none)[A-Za-z]+(?![A-Za-z]*=)", text[tonic.end(2) :]
    ):
        raise PieceError(f"K:{text[:20]} is no key: its mode is unknown")
    times, over = divmod(abs(fifths), 7)
    sign = 1 if fifths >= 0 else -1
    order = FIFTHS if fifths >= 0 else FIFTHS[::-1]
    return {letter: sign * (times + (i < over)) for i, letter in enumerate(order)}, position


def properties_of(text: str) -> Key:
    """Clef, octave and transposition in the value of `K:` or after the name in `V:`."""
    key, unknown, position = Key(), [], 0
    while position < len(text):
        if text[position] in " \t":
            position += 1
        elif clef := CLEF.match(text, position):
            key.clef_octaves = _clef_octaves(clef["octaves"] or "")
            key.is_drum = (clef["sign"] or clef["name"]) in ("perc", "P")
            position = clef.end()
        elif found := PROPERTY.match(text, position):
            if not _set_property(key, found[1].lower(), found[2].strip('"')):
                unknown.append(found[0][:20])
            position = found.end()
        else:
            word = WORD.match(text, position)
            assert word is not None
            if word[0] not in PRINTED_PROPERTIES:
                unknown.append(word[0][:20])
            position = word.end()
    key.unknown = tuple(unknown)
    return key


def _clef_octaves(text: str) -> int:
    """Octaves of a clef such as `treble-8`; with `_` and `^` the figure is printed only."""
    if not text or text[0] in "_^":
        return 0
    return (1 if text[0] == "+" else -1) * (2 if text.endswith("15") else 1)


def _set_property(key: Key, name: str, value: str) -> bool:
    """Set what a property says; whether it is understood."""
    whole = re.fullmatch(r"[+\-]?\d{1,3}", value)
    if name == "octave" and whole:
        key.octaves = int(value)
    elif name in ("transpose", "t") and whole:
        key.semitones = int(value)
    elif name == "clef":
        return re.fullmatch(r"[A-Ga-g][,']*", value) is not None
    else:
        return name in PRINTED_PROPERTIES
    return True


def metre_of(text: str) -> tuple[int, int] | None:
    """The metre that `M:` says (3.1.6); None without one.

    Raises:
        ValueError: if it is no metre.
    """
    text = text.strip()
    if text.lower() in ("none", "", "free"):
        return None
    if text[:2] == "C|":
        return 2, 2
    if text[0] in "Cc" and not text[1:].strip():
        return 4, 4
    found = METRE.match(text)
    if not found or len(text) > 100:
        raise ValueError(text)
    numerator, denominator = sum(number(part.strip()) for part in found[1].split("+")), number(found[2])
    if not numerator or not denominator:
        raise ValueError(text)
    return numerator, denominator


def default_length(metre: tuple[int, int] | None) -> int:
    """The unit note length of a tune without `L:` (3.1.7), in units."""
    if metre is None:
        return WHOLE // 8
    return WHOLE // 16 if Fraction(*metre) < Fraction(3, 4) else WHOLE // 8


def length_of(text: str) -> int:
    """The unit note length that `L:` says, in units.

    Raises:
        ValueError: if it is none.
    """
    found = LENGTH.match(text.strip())
    if not found or not (denominator := number(found[2] or "1")) or not number(found[1]):
        raise ValueError(text)
    return max(1, WHOLE * number(found[1]) // denominator)


def tempo_of(text: str, unit: int) -> float | None:
    """The quarter notes a minute that `Q:` says (3.1.8); None where it has words only.

    A number alone counts quarter notes, as all programs but the oldest read it.

    Args:
        text: the value of the field.
        unit: the unit note length, in units, of which `Q:C=100` plays 100 a minute.
    """
    text = re.sub(r'"[^"]*"?', " ", text[:MAX_TEMPO_LENGTH])
    found = TEMPO.search(text)
    if not found:
        alone = re.match(r"[ \t=]*(\d{1,6}(?:\.\d{1,6})?)[ \t]*$", text)
        return float(alone[1]) if alone else None
    beats = found[1]
    if beats.startswith("C"):
        factor = re.match(r"C[ \t]*(\d*)[ \t]*/?[ \t]*(\d*)", beats)
        assert factor is not None
        up, down = number(factor[1] or "1"), number(factor[2] or "1")
        beat = Fraction(unit * up, UNITS_PER_BEAT * down) if down else Fraction(0)
    else:
        parts = [(number(a), number(b)) for a, b in FRACTION.findall(beats)]
        beat = sum((4 * Fraction(a, b) for a, b in parts if b), Fraction(0))
    return float(beat * Fraction(found[2][:20])) or None


def played_order(text: str) -> tuple[str, ...]:
    """The names of the parts in the order that `P:` in the header says, such as `((AB)3.C)2` (3.1.9).

    Raises:
        PieceError: if there are more than any piece has bars.
    """
    if not re.fullmatch(r"[A-Z0-9().,* \t]+", text):
        return ()
    stack: list[list[str]] = [[]]
    total = 0
    for token in re.finditer(r"([A-Z])(\d*)|(\()|(\))(\d*)", text):
        if token[3]:
            stack.append([])
            if len(stack) > 50:
                return ()
            continue
        if token[4] and len(stack) == 1:
            continue
        names = stack.pop() if token[4] else [token[1]]
        times = number(token[2] or token[5] or "1")
        total += len(names) * times
        if total > MAX_PLAYED_BARS:
            raise too_many_bars()
        stack[-1] += names * times
    return tuple(name for names in stack for name in names)
