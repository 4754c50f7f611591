"""A Humdrum file with `**kern` spines -> `Score`.

Source: the Humdrum reference (spine paths, tandem interpretations, `**kern`, `**dynam`) and the Verovio
Humdrum documentation (transposing instruments, staff numbers).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from noternn.music.kern import KEYBOARDS, Head, KernError, Token, instrument, kern_token
from noternn.music.limits import Limits
from noternn.music.notation import (
    DEFAULT_VELOCITY,
    VELOCITIES,
    Bar,
    Note,
    Score,
    check_number_of_notes,
)
from noternn.music.piece import PieceError
from noternn.music.score_bytes import check_bars

METRE = re.compile(r"\*M(\d{1,3}(?:\+\d{1,3})*)/(\d{1,3})$")
TEMPO = re.compile(r"\*MM(\d{1,5}(?:\.\d{1,6})?)")
TRANSPOSED = re.compile(r"\*Trd[+-]?\d{1,3}c([+-]?\d{1,3})$")
STAFF = re.compile(r"\*staff(\d{1,4}(?:/\d{1,4})*)$")
SECTIONS = re.compile(r"\*>([^\[\]]*)\[([^\]]*)\]$")
ENDING = re.compile(r"(.+?)(\d{1,3})$")

ACCENTS = ("sf", "sfz", "fz", "sffz", "rf", "rfz")
ACCENT_VELOCITY = 112
DYNAMICS = ("**dynam", "**dyn")
PATHS = ("*^", "*v", "*x", "*+", "*-")
MAX_STAVES = 8  # that share dynamics
SILENT = (
    "**text",
    "**silbe",
    "**lyrics",
    "**fing",
    "**harm",
    "**mxhm",
    "**fba",
    "**fb",
    "**recip",
    "**cdata",
)


def read_humdrum(text: str, limits: Limits) -> Score:
    """Read a Humdrum score; its `**kern` spines are one part, since its lines say what sounds together.

    Notes are at the pitch that sounds: `**kern` has it so for transposing instruments (`*ITr`), and what a
    program has transposed (`*Tr`) is moved back. Grace notes are dropped.

    Args:
        text: of the file.
        limits: a score with more notes is refused.

    Raises:
        PieceError: if it is damaged, with the line.
    """
    reader = _Reader(limits)
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if not line.strip() or line.startswith("!"):
            continue
        try:
            reader.read_line(number, line)
        except KernError as error:
            raise PieceError(f"is damaged: line {number}: {error}") from error
    return reader.score()


@dataclass(slots=True)
class _Level:
    """How loud the notes of a staff are."""

    velocity: int = DEFAULT_VELOCITY
    accented: int = 0  # the line whose notes have an accent


@dataclass(slots=True, eq=False)
class _Spine:
    """What the sub-spines of a spine share."""

    kind: str = ""
    program: int = 0
    has_code: bool = False  # whether a code told the program
    sound: int | None = None  # of percussion without pitch, see `noternn.music.kern.DRUMS`
    has_drum_clef: bool = False
    lowered: int = 0  # semitones by which its pitches stand above their sound
    staves: tuple[str, ...] = ()
    level: _Level = field(default_factory=_Level)


@dataclass(slots=True, eq=False)
class _Strand:
    """A column of the file: a spine, or a sub-spine of one."""

    spine: _Spine
    voice: int
    end: int = 0  # of its last note or rest, in units from the start


@dataclass(slots=True)
class _Bars:
    """The bars so far and where they begin."""

    bars: list[Bar] = field(default_factory=lambda: [Bar()])
    starts: list[int | None] = field(default_factory=lambda: [None])  # None before its first note or rest

    def begin(self) -> Bar:
        """The bar that begins here: the one at hand if nothing is in it yet."""
        if self.starts[-1] is not None:
            self.bars.append(Bar())
            self.starts.append(None)
            check_bars(len(self.bars))
        return self.bars[-1]

    def before(self) -> Bar | None:
        """The last bar that something is in."""
        if self.starts[-1] is not None:
            return self.bars[-1]
        return self.bars[-2] if len(self.bars) > 1 else None

    def offset(self, now: int) -> int:
        """How far a time is from the start of the bar, which begins now if it has not."""
        start = self.starts[-1]
        if start is None:
            start = self.starts[-1] = now
        return now - start

    def close(self, end: int) -> list[Bar]:
        """All bars with their lengths, if the last ends at `end`."""
        starts = [end if start is None else start for start in (*self.starts, end)]
        for bar, (start, next_start) in zip(self.bars, pairwise(starts), strict=True):
            bar.length = next_start - start
        return self.bars


class _Reader:
    """Reads line after line."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._score = Score([])
        self._columns = _Columns()
        self._num_notes = 0
        self._bars = _Bars()
        self._now = 0
        self._end = 0  # of the last note or rest
        self._metre: tuple[int, int] | None = None
        self._tempo: float | None = None  # that begins with the next note
        self._lists: dict[str, tuple[str, ...]] = {}  # by kind, sections in the order of playing
        self._tokens: dict[str, Token] = {}
        self._tied: dict[tuple[_Spine, int], dict[int, None]] = {}  # the voices whose tie waits for its end

    def read_line(self, number: int, line: str) -> None:
        """Read a line that is no comment, counted from 1."""
        texts = self._columns.split(line)
        if line[0] == "*":
            self._read_interpretations(texts, number)
        elif line[0] == "=":
            self._read_bar_line(texts[0])
        else:
            self._read_data(texts, number)

    def score(self) -> Score:
        """What was read."""
        bars = self._bars.close(self._end)
        order, once = self._lists.get("", ()), self._lists.get("norep", ())
        if order:
            for bar in bars:  # the list has the repeats already
                bar.repeat_start, bar.repeat_end = False, 0
        elif not once:
            _mark_endings(bars)
        self._score.played_sections = order
        self._score.once_sections = once or (_last_endings(bars) if order else ())
        self._score.parts = [bars]
        return self._score

    def _read_interpretations(self, texts: Sequence[str], number: int) -> None:
        for text, strand in self._columns.interpret(texts):
            if text.startswith("**"):
                if text != "**kern" and text not in DYNAMICS + SILENT:
                    self._score.remarks.add(f"{_shown(text)} spines not read", f"line {number}")
            elif strand.spine.kind == "**kern":
                self._interpret(text, strand.spine)

    def _interpret(self, text: str, spine: _Spine) -> None:
        """Read what stands in a column of notes."""
        if found := METRE.match(text):
            self._set_metre(sum(map(int, found.group(1).split("+"))), int(found.group(2)))
        elif found := TEMPO.match(text):
            self._tempo = float(found.group(1))
        elif found := TRANSPOSED.match(text):
            spine.lowered = int(found.group(1))
        elif found := SECTIONS.match(text):
            self._lists.setdefault(found.group(1), tuple(filter(None, found.group(2).split(","))))
        elif text.startswith("*>"):
            self._bars.begin().section = text[2:]
        elif text.startswith("*I"):
            _set_instrument(spine, text[2:])
        elif text.startswith("*clef"):
            spine.has_drum_clef = text == "*clefX"

    def _set_metre(self, numerator: int, denominator: int) -> None:
        """A metre that stands here; it begins a bar."""
        metre = (numerator, denominator) if denominator else (2 * numerator, 1)  # 0 is a breve
        if metre != self._metre:
            self._metre = metre
            self._bars.begin().metre = metre

    def _read_bar_line(self, text: str) -> None:
        sign = "".join(character for character in text if character in ":|!")
        before = self._bars.before()
        if len(sign) > 1 and sign[0] == ":" and before is not None:
            before.repeat_end = 2
        bar = self._bars.begin()
        if len(sign) > 1 and sign[-1] == ":":
            bar.repeat_start = True

    def _read_data(self, texts: Sequence[str], number: int) -> None:
        for column, levels in self._columns.dynamics:
            if texts[column] != ".":
                self._set_levels(texts[column], levels, number)
        begun = [(strand, texts[column]) for column, strand in self._columns.notes if texts[column] != "."]
        if not begun:
            return
        # All notes of a line begin together, when the last of those before them in their columns ends.
        self._now = max(self._now, *(strand.end for strand, _ in begun))
        offset = self._bars.offset(self._now)
        if self._tempo is not None:
            self._bars.bars[-1].tempos.append((offset, self._tempo))
            self._tempo = None
        for strand, text in begun:
            self._add(strand, self._token(text), offset, number)
        check_number_of_notes(self._num_notes, self._limits)

    def _token(self, text: str) -> Token:
        token = self._tokens.get(text)
        if token is None:
            token = self._tokens[text] = kern_token(text)
        return token

    def _add(self, strand: _Strand, token: Token, offset: int, number: int) -> None:
        """Add the notes of a token."""
        for what in token.unread:
            self._score.remarks.add(what, f"line {number}")
        if token.is_grace:
            self._score.remarks.add("grace notes left out", f"line {number}", len(token.heads))
            return
        strand.end = self._now + token.length
        self._end = max(self._end, strand.end)
        spine, notes = strand.spine, self._bars.bars[-1].notes
        velocity = ACCENT_VELOCITY if spine.level.accented == number else spine.level.velocity
        for head in token.heads:
            pitch = _sounding(spine, head)
            voice = self._voice(strand, head, pitch)
            is_drum = _is_drum(spine, head)
            notes.append(
                Note(
                    *(offset, head.length, pitch, head.tie_in, head.tie_out),
                    *(voice, velocity, 0 if is_drum else spine.program, is_drum),
                )
            )
        self._num_notes += len(token.heads)

    def _voice(self, strand: _Strand, head: Head, pitch: int) -> int:
        """The voice of a note: where a tie leads to it from another sub-spine, that one's."""
        if not (head.tie_in or head.tie_out):
            return strand.voice
        voice, waiting = strand.voice, self._tied.setdefault((strand.spine, pitch), {})
        if head.tie_in and waiting:
            voice = voice if voice in waiting else next(iter(waiting))
            del waiting[voice]
        if head.tie_out:
            waiting[voice] = None
        return voice

    def _set_levels(self, text: str, levels: Sequence[_Level], number: int) -> None:
        """Read a token of dynamics."""
        for word in re.findall(r"[a-zA-Z]+|[<>]", text):
            if word in VELOCITIES:
                for level in levels:
                    level.velocity = VELOCITIES[word]
            elif word in ACCENTS:
                for level in levels:
                    level.accented = number
            else:
                what = "hairpins not played" if word in "<>" else "dynamics not understood"
                self._score.remarks.add(what, f"line {number}")


class _Columns:
    """The columns that are open, and what each of them is."""

    def __init__(self) -> None:
        self.strands: list[_Strand] = []
        self.notes: list[tuple[int, _Strand]] = []  # the number of each column of notes
        self.dynamics: list[tuple[int, list[_Level]]] = []  # and of dynamics, with those that it sets
        self._has_begun = False
        self._voices = itertools.count()

    def split(self, line: str) -> list[str]:
        """The tokens of a line, one for each column."""
        texts = line.split("\t")  # some align columns by several tabs
        if not self.strands:
            if self._has_begun:
                raise KernError("goes on after all columns have ended; give each score a file of its own")
            if not line.startswith("**"):
                raise KernError("stands before the line of **kern")
            self._has_begun = True
            texts = [text for text in texts if text]
            self.strands = [self._strand(_Spine()) for _ in texts]
        elif len(texts) != len(self.strands):
            texts = [text for text in texts if text]
            if len(texts) != len(self.strands):
                raise KernError(f"has {len(texts):,} columns; {len(self.strands):,} are open")
        return texts

    def interpret(self, texts: Sequence[str]) -> Iterator[tuple[str, _Strand]]:
        """Change the columns as a line says; gives what it says beyond that, and of which column."""
        strands = self.strands
        has_paths = False
        for text, strand in zip(texts, strands, strict=True):
            if not text.startswith("*"):
                raise KernError(f"{_shown(text)!r} stands among interpretations, which begin with *")
            if text in PATHS:
                has_paths = True
            elif text != "*":
                if text.startswith("**"):
                    strand.spine.kind = text
                elif found := STAFF.match(text):
                    strand.spine.staves = tuple(found.group(1).split("/")[:MAX_STAVES])
                yield text, strand
        if has_paths:
            self.strands = self._after_paths(texts)
        self._sort()

    def _strand(self, spine: _Spine, end: int = 0) -> _Strand:
        return _Strand(spine, next(self._voices), end)

    def _after_paths(self, texts: Sequence[str]) -> list[_Strand]:
        """The columns after a line that splits, joins, exchanges, adds or ends some."""
        after: list[_Strand] = []
        column = 0
        while column < len(texts):
            text, strand = texts[column], self.strands[column]
            width = 1
            if text == "*v":
                width = _run(texts, column)
                after += _joined(self.strands[column : column + width])
            elif text == "*x":
                if texts[column + 1 : column + 2] != ["*x"]:
                    raise KernError("*x must stand in two columns side by side")
                width = 2
                after += [self.strands[column + 1], strand]
            elif text == "*^":
                after += [strand, self._strand(strand.spine, strand.end)]
            elif text == "*+":
                after += [strand, self._strand(_Spine())]
            elif text != "*-":
                after.append(strand)
            column += width
        return after

    def _sort(self) -> None:
        """Find out which columns hold notes, and whose dynamics the others hold."""
        columns = list(enumerate(self.strands))
        self.notes = [(i, strand) for i, strand in columns if strand.spine.kind == "**kern"]
        by_staff: dict[str, _Level] = {}
        for _, strand in self.notes:
            for staff in strand.spine.staves[:1]:
                strand.spine.level = by_staff.setdefault(staff, strand.spine.level)
        self.dynamics = []
        spines: list[_Spine] = []  # of notes, to the left
        for i, strand in columns:
            if strand.spine.kind == "**kern" and (not spines or spines[-1] is not strand.spine):
                spines.append(strand.spine)
            elif strand.spine.kind in DYNAMICS:
                levels = [by_staff[staff] for staff in strand.spine.staves if staff in by_staff]
                self.dynamics.append((i, levels or _nearest(spines or [s.spine for _, s in self.notes[:1]])))


def _run(texts: Sequence[str], column: int) -> int:
    """How many columns from one on are joined."""
    end = column
    while end < len(texts) and texts[end] == "*v":
        end += 1
    if end - column < 2:
        raise KernError("*v must stand in two or more columns side by side")
    return end - column


def _joined(strands: Sequence[_Strand]) -> Iterator[_Strand]:
    """Join columns side by side: those of one spine, or all where some spine has only one."""
    groups = [list(group) for _, group in itertools.groupby(strands, key=lambda strand: id(strand.spine))]
    if any(len(group) < 2 for group in groups):
        groups = [list(strands)]
    for group in groups:
        group[0].end = max(strand.end for strand in group)
        yield group[0]


def _nearest(spines: Sequence[_Spine]) -> list[_Level]:
    """The staff to the left, for keyboards both."""
    both = [spine for spine in spines[-2:] if spine.has_code and spine.program in KEYBOARDS]
    return [spine.level for spine in (both if len(both) == 2 else spines[-1:])]


def _set_instrument(spine: _Spine, code: str) -> None:
    """Take over `*I` and what follows it; a code is worth more than a name."""
    is_name = code.startswith('"')
    if (is_name and spine.has_code) or (found := instrument(code)) is None:
        return
    spine.program, spine.sound = found
    spine.has_code = not is_name


def _is_drum(spine: _Spine, head: Head) -> bool:
    return head.pitch is None or spine.sound is not None or spine.has_drum_clef


def _sounding(spine: _Spine, head: Head) -> int:
    """The pitch at which a note sounds, or the drum that it strikes."""
    if head.pitch is None or _is_drum(spine, head):
        return spine.sound or head.sound
    pitch = head.pitch - spine.lowered
    if not 0 <= pitch <= 127:
        raise KernError(f"a pitch must be 0 to 127; got {pitch}")
    return pitch


def _mark_endings(bars: Sequence[Bar]) -> None:
    """Let sections such as A1 and A2 be the endings of a section A."""
    names = {bar.section for bar in bars}
    ending: tuple[int, ...] = ()
    for bar in bars:
        if bar.section:
            found = ENDING.match(bar.section)
            ending = (int(found.group(2)),) if found and found.group(1) in names else ()
            bar.begins_ending = bool(ending)
        bar.endings = ending


def _last_endings(bars: Sequence[Bar]) -> tuple[str, ...]:
    """The sections in the order of the page, of the endings A1 and A2 of a section A only the last."""
    names = {bar.section: None for bar in bars if bar.section}
    last: dict[str, int] = {}
    for name in names:
        if (found := ENDING.match(name)) and found.group(1) in names:
            last[found.group(1)] = max(last.get(found.group(1), 0), int(found.group(2)))
    return tuple(
        name
        for name in names
        if not ((found := ENDING.match(name)) and int(found.group(2)) < last.get(found.group(1), 0))
    )


def _shown(text: str) -> str:
    """A token as a message may show it."""
    return "".join(c if c.isprintable() else " " for c in text[:20])
