"""The text of an ABC tune -> its lines: fields, directives and music, without comments and free text.

The form is that of the ABC standard 2.1 (Chris Walshaw, 2011), sections 2 and 3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from noternn.music.piece import PieceError
from noternn.music.remarks import Remarks
from noternn.music.score_bytes import MAX_TEXT_BYTES

LINE_END = re.compile(r"\r*\n|\r")
# `A:|` and `A::` are music.
FIELD = re.compile(r"[ \t]*([H-Zdhik-w+]:|[A-G]:(?![:|]))[ \t]*(.*)")
BLOCK_START = re.compile(r"%%[ \t]*begin([a-z]+)")
COMMENT = re.compile(r"(?<!\\)%.*")
TAG = re.compile(r"[ \t]*</?[A-Za-z!][^<>]*>")
QUOTED = re.compile(r'"[^"]*"|![^!]*!|\[[A-Za-z]:[^\]]*\]|\{[^}]*\}')
LONE_SYMBOL = re.compile(r"(?<=[A-Za-z])[H-Wh-w](?=[ ,;?]|\.?(?: |$))")  # before a space: the end of a word
STEPS = "CDEFGAB"
MAX_MACROS = 100
MAX_FIELD_LENGTH = 1_000
READ_FIELDS = "IKLMPQUVm"
PROSE_SYMBOLS = 2  # as many in a line make it one of words

DIRECTIVE = "%"
MUSIC = ""


class Line(NamedTuple):
    """A line of a tune.

    Args:
        number: from 1, counted from the line `X:`.
        kind: the letter of a field, `DIRECTIVE` or `MUSIC`.
        text: the value of the field, what follows `%%`, or the music.
    """

    number: int
    kind: str
    text: str


def tune_lines(text: str, remarks: Remarks) -> tuple[list[Line], list[Line]]:
    """The header of a tune, with what the head of its file says, and its body.

    Args:
        text: one tune, with the fields of its file before it.
        remarks: what is left out is added.

    Raises:
        PieceError: if there are several tunes, or none.
    """
    lines = list(_read(LINE_END.split(text)))
    starts = [i for i, line in enumerate(lines) if line.kind == "X" and line.text[:1].isdigit()]
    if len(starts) > 1:
        raise PieceError(f"holds {len(starts)} pieces; give them a file each")
    first = starts[0] if starts else 0
    header = [line for line in lines[:first] if line.kind and line.kind in "LMQUmI" + DIRECTIVE]
    before = lines[first].number - 1 if lines else 0
    tune = (line._replace(number=line.number - before) for line in lines[first:])
    body: list[Line] = []
    in_header = True
    for line in _tune(tune, remarks):
        if not in_header and line.kind == MUSIC and _is_prose(line.text):
            remarks.add("lines of text not read", f"line {line.number}")
        elif not in_header:
            body.append(line)
        elif line.kind != MUSIC:
            header.append(line)
            in_header = line.kind != "K"
        else:
            remarks.add("lines of text not read", f"line {line.number}")
    if in_header:
        raise PieceError("holds no tune in ABC: no line begins with K:, the key")
    return header, expanded([line for line in header if line.kind == "m"], body)


def _read(lines: list[str]) -> Iterator[Line]:
    """The lines without comments and blocks of text; a blank one is music without text."""
    block, was_blank = "", False
    last_end = max((i for i, line in enumerate(lines, start=1) if line.startswith("%%end")), default=0)
    for number, line in enumerate(lines, start=1):
        if block:
            block = "" if re.match(rf"%%[ \t]*end{block}", line) else block
        elif line.startswith("%"):
            start = BLOCK_START.match(line)
            if start and number < last_end:
                block = start.group(1)
            elif line.startswith("%%"):
                yield Line(number, DIRECTIVE, _uncommented(line[2:]).strip())
        else:
            field = FIELD.match(line)
            kind, text = (field[1][0], field[2]) if field else (MUSIC, line)
            text = _uncommented(text)
            text, is_blank = text.strip(), not line.strip()
            if field or text or (is_blank and not was_blank):
                yield Line(number, kind, text)
            was_blank = is_blank


def _uncommented(text: str) -> str:
    return COMMENT.sub("", text) if "%" in text else text


def _tune(lines: Iterator[Line], remarks: Remarks) -> Iterator[Line]:
    """The lines up to the blank one that ends the tune, continued ones joined."""
    before: Line | None = None
    has_key = False
    for line in lines:
        if line.kind == MUSIC and not line.text:
            if has_key:
                break
        elif before is not None and _continues(before, line):
            before = _joined(before, line)
        else:
            if before is not None:
                yield before
            before = line
            has_key |= line.kind == "K"
    if before is not None:
        yield before
    for line in lines:
        if line.kind == MUSIC and "|" in line.text and not _is_prose(line.text):
            remarks.add("lines of music after the end of the tune not read", f"line {line.number}")


def _continues(before: Line, line: Line) -> bool:
    """Whether a line goes on with the field before it."""
    if line.kind == "+":
        return before.kind not in (MUSIC, DIRECTIVE)
    return before.kind in ("w", "W", "N", "H") and line.kind == MUSIC and before.text.endswith("\\")


def _joined(before: Line, line: Line) -> Line:
    """A field with the line that continues it; of words, which nobody reads, the last line."""
    if before.kind not in READ_FIELDS or len(before.text) > MAX_FIELD_LENGTH:
        return before._replace(text=line.text)
    return before._replace(text=f"{before.text} {line.text}")


def _is_prose(text: str) -> bool:
    """Whether a line is a sentence or a tag of a web page."""
    if TAG.match(text):
        return True
    if len(LONE_SYMBOL.findall(text)) < PROSE_SYMBOLS:
        return False
    return len(LONE_SYMBOL.findall(QUOTED.sub("", text))) >= PROSE_SYMBOLS


def expanded(fields: list[Line], body: list[Line]) -> list[Line]:
    """The lines with the macros of the fields `m:` written out; the body may define more.

    Raises:
        PieceError: if there are too many, or if they make the tune too large.
    """
    macros = [line.text.split("=", 1) for line in (*fields, *body) if line.kind == "m" and "=" in line.text]
    if len(macros) > MAX_MACROS:
        raise PieceError(f"has too many macros (m:): {len(macros):,}; at most {MAX_MACROS} are read")
    rules = [_macro(short.strip(), long.strip()) for short, long in macros if short.strip()]
    if not rules:
        return body
    rules.sort(key=lambda rule: -len(rule[0]))
    pattern = re.compile("|".join(f"({short})" for short, _ in rules))
    room = MAX_TEXT_BYTES

    def replace(match: re.Match[str]) -> str:
        nonlocal room
        assert match.lastindex is not None
        text = rules[match.lastindex - 1][1](match.group())
        room -= len(text)
        if room < 0:
            raise PieceError(f"is too large: its macros make more than {MAX_TEXT_BYTES / 1e6:g} MB of it")
        return text

    return [
        line._replace(text=pattern.sub(replace, line.text)) if line.kind == MUSIC else line for line in body
    ]


def _macro(short: str, long: str) -> tuple[str, Callable[[str], str]]:
    """A regular expression without groups, and what makes the text in its place."""
    if "n" not in short:
        return re.escape(short), lambda _: long
    before, _, after = short.partition("n")
    pattern = f"{re.escape(before)}[A-Ga-g](?:,+|'+)?{re.escape(after)}"
    return pattern, lambda found: _transposed(long, found[len(before) : len(found) - len(after)])


def _transposed(text: str, note: str) -> str:
    """The text of a transposing macro: `n` is the note, `m` the one below, `o` the one above, and so on."""
    step = STEPS.index(note[0].upper()) + 7 * (note[0].islower() + note.count("'") - note.count(","))

    def name(match: re.Match[str]) -> str:
        if match.group()[0] == "!":
            return match.group()
        octave, index = divmod(step + ord(match.group()) - ord("n"), 7)
        letter = STEPS[index] if octave < 1 else STEPS[index].lower()
        return letter + ("," * -octave if octave < 1 else "'" * (octave - 1))

    return re.sub(
        r"![^!]*!|[h-z]", lambda match: match.group() if match.group()[0] == "!" else name(match), text
    )
