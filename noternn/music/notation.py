"""What a score says, bar by bar, and how it becomes a `Piece`.

A reader of a format makes a `Score`: parts of bars of notes, with the signs of repetition. All that formats
have in common is done here: ties, bars of parts that begin together, repeats, tempo and metre maps.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np

from noternn.music.limits import DEFAULT_LIMITS, Limits, check_length
from noternn.music.midi import is_writable_tempo
from noternn.music.piece import DEFAULT_TEMPO, Piece, PieceError
from noternn.music.remarks import Remarks
from noternn.music.repeats import Repeats, playing_order

TICKS_PER_BEAT = 480  # of the pieces that are made: whole for triplets, quintuplets and sixty-fourths
UNITS_PER_BEAT = 64 * 720_720  # whole for tuplets of up to 16 in 256th notes, in whose sum nothing is rounded
DEFAULT_VELOCITY = 80
MAX_METRE_NUMERATOR, MAX_METRE_DENOMINATOR = 255, 64
# The velocities of dynamics marks: in sixteens around mf, which is what notes without a mark have.
VELOCITIES = {
    "pppp": 8, "ppp": 16, "pp": 33, "p": 49, "mp": 64,
    "mf": DEFAULT_VELOCITY, "f": 96, "ff": 112, "fff": 126, "ffff": 127,
}  # fmt: skip


class Note(NamedTuple):
    """A note head.

    Args:
        offset: of its onset from the start of the bar, in units.
        length: in units, at least 1.
        pitch: as it sounds, 0 to 127; the sound of General MIDI for drums.
        tie_in: whether a tie may lead to it.
        tie_out: whether a tie begins at it.
        voice: which voice of the part it is in; a tie goes on in its own voice where it can.
        velocity: 1 to 127.
        program: General MIDI program, 0 to 127.
        is_drum: whether it is percussion without pitch.
    """

    offset: int
    length: int
    pitch: int
    tie_in: bool = False
    tie_out: bool = False
    voice: Hashable = None
    velocity: int = DEFAULT_VELOCITY
    program: int = 0
    is_drum: bool = False


@dataclass(slots=True)
class Bar:
    """What stands between two bar lines of one part.

    Args:
        length: in units; may be 0 for a bar that holds signs only.
        notes: in any order.
        metre: (numerator, denominator) where one is written at the start of the bar.
        tempos: (offset in units, quarter notes a minute).
        repeat_start: whether `|:` stands at its start.
        repeat_end: how often the passage that ends with the bar is played in all; 0 without `:|`.
        endings: the numbers of the bracket over it, such as (1,) or (1, 3); () without.
        begins_ending: whether the bracket begins here.
        segno, coda: whether the sign stands at its start.
        to_coda, fine: whether the words stand at its end.
        jump: "dacapo" or "dalsegno" at its end; "" without.
        section: the name of the section that begins with it; "" where the one before goes on.
        continues: whether a sign between two notes parts it from the bar before, and no bar line.
    """

    length: int = 0
    notes: list[Note] = field(default_factory=list)
    metre: tuple[int, int] | None = None
    tempos: list[tuple[int, float]] = field(default_factory=list)
    repeat_start: bool = False
    repeat_end: int = 0
    endings: tuple[int, ...] = ()
    begins_ending: bool = False
    segno: bool = False
    coda: bool = False
    to_coda: bool = False
    fine: bool = False
    jump: str = ""
    section: str = ""
    continues: bool = False


@dataclass(slots=True)
class Score:
    """A score as its file says it.

    Args:
        parts: each a list of bars. If all have as many, their bars begin together.
        played_sections: names of sections in the order in which they are played; () without one.
        once_sections: the same for once through, where the file says it.
        remarks: what was not understood.
    """

    parts: list[list[Bar]]
    played_sections: tuple[str, ...] = ()
    once_sections: tuple[str, ...] = ()
    remarks: Remarks = field(default_factory=Remarks)


def piece_of(score: Score, repeats: Repeats, name: str, limits: Limits = DEFAULT_LIMITS) -> Piece:
    """The notes of a score, at 480 ticks a beat.

    Tied notes are one. Of notes that agree in onset, length, pitch and instrument the loudest is kept. A
    pickup is a metre of its own: a beat before a first bar of 4/4 gives metres (0, 1, 4), (480, 4, 4).

    Args:
        score: what a reader has read.
        repeats: how bars that are to be repeated are read, see `noternn.music.repeats.playing_order`.
        name: of the piece.
        limits: a piece above any of them is refused, of which notes and beats are looked at.

    Raises:
        PieceError: if there are no notes, or too much music.
    """
    check_number_of_notes(sum(len(bar.notes) for part in score.parts for bar in part), limits)
    _align(score.parts)
    order = (score.played_sections, score.once_sections)
    played = [_placed(part, playing_order(part, repeats, *order)) for part in score.parts]
    check_number_of_notes(sum(len(placed.bar.notes) for bars in played for placed in bars), limits)
    notes: dict[_Key, int] = {}
    for bars in played:
        for key, velocity in _joined(bars):
            notes[key] = max(notes.get(key, 0), velocity)
    rows = np.array([(*key, velocity) for key, velocity in notes.items()], dtype=np.int64).reshape(-1, 6)
    if not len(rows):
        raise PieceError("holds no notes")
    check_length(rows[:, 0], rows[:, 1], TICKS_PER_BEAT, limits)
    return Piece.from_notes(
        *rows[:, :3].T,
        velocity=rows[:, 5],
        program=rows[:, 3],
        is_drum=rows[:, 4],
        ticks_per_beat=TICKS_PER_BEAT,
        tempos=_tempo_map(played),
        metres=_metre_map(played),
        name=name,
        remarks=score.remarks.list(),
    )


class _Placed(NamedTuple):
    """A bar where it is played."""

    start: int  # in units
    bar: Bar
    metre: tuple[int, int] | None  # in force
    tempo: float  # in force at its start
    is_jump: bool  # whether it follows another bar than in the score


_Key = tuple[int, int, int, int, bool]  # onset and duration in ticks, pitch, program, is_drum


def _align(parts: Sequence[list[Bar]]) -> None:
    """Let bars of one number begin together, and share their signs, where all parts have as many."""
    if len({len(part) for part in parts}) != 1:
        return
    for bars in zip(*parts, strict=True):
        length = max(bar.length for bar in bars)
        for bar in bars:
            bar.length = length
            _share_signs(bars[0], bar)
        for bar in bars[1:]:
            _share_signs(bar, bars[0])


def _share_signs(bar: Bar, other: Bar) -> None:
    bar.repeat_start |= other.repeat_start
    bar.repeat_end = max(bar.repeat_end, other.repeat_end)
    bar.endings = bar.endings or other.endings
    bar.begins_ending |= other.begins_ending
    bar.segno |= other.segno
    bar.coda |= other.coda
    bar.to_coda |= other.to_coda
    bar.fine |= other.fine
    bar.jump = bar.jump or other.jump
    bar.section = bar.section or other.section


def _placed(part: Sequence[Bar], order: Iterable[int]) -> list[_Placed]:
    """The bars of a part as they are played."""
    metres, tempos = _in_force(part)
    placed: list[_Placed] = []
    start, before = 0, -1
    for i in order:
        placed.append(_Placed(start, part[i], metres[i], tempos[i], i != before + 1))
        start, before = start + part[i].length, i
    return placed


def _in_force(part: Sequence[Bar]) -> tuple[list[tuple[int, int] | None], list[float]]:
    """The metre and the tempo at the start of every bar."""
    metre, tempo = None, DEFAULT_TEMPO
    metres: list[tuple[int, int] | None] = []
    tempos: list[float] = []
    for bar in part:
        metre = bar.metre or metre
        metres.append(metre)
        tempos.append(tempo)
        tempo = bar.tempos[-1][1] if bar.tempos else tempo
    return metres, tempos


def _ticks(units: int) -> int:
    """Units as ticks, halves upwards."""
    return (units * TICKS_PER_BEAT + UNITS_PER_BEAT // 2) // UNITS_PER_BEAT


def _joined(bars: Sequence[_Placed]) -> Iterator[tuple[_Key, int]]:
    """Key and velocity of each note of a part, tied heads joined; a tie that leads nowhere ends its note."""
    heads = [(placed.start + note.offset, note) for placed in bars for note in placed.bar.notes]
    heads.sort(key=lambda head: head[0])
    held: _Waiting = {}
    for onset, at_once in groupby(heads, key=lambda head: head[0]):
        notes = [note for _, note in at_once]
        if len(notes) > 1 and held:  # a tie goes on in its own voice if it can
            notes.sort(key=lambda note: note.voice not in held.get(_meeting(note, onset), ()))
        for note in notes:
            before = _continued(note, held.get(_meeting(note, onset))) if note.tie_in else None
            if before is None:
                before = _Held(onset, note)
            before.end = onset + note.length
            if note.tie_out:
                held.setdefault(_meeting(note, before.end), {}).setdefault(note.voice, []).append(before)
            else:
                yield before.key()
    yield from (one.key() for voices in held.values() for waiting in voices.values() for one in waiting)


class _Held:
    """A note that has begun."""

    __slots__ = ("end", "note", "onset")

    def __init__(self, onset: int, note: Note) -> None:
        self.onset, self.note, self.end = onset, note, onset + note.length

    def key(self) -> tuple[_Key, int]:
        onset, note = _ticks(self.onset), self.note
        duration = max(1, _ticks(self.end) - onset)
        return (onset, duration, note.pitch, note.program, note.is_drum), note.velocity


# The notes that a tie may prolong: by tick of their end, pitch and kind, then by voice.
_Waiting = dict[tuple[int, int, bool], dict[Hashable, list[_Held]]]


def _meeting(note: Note, units: int) -> tuple[int, int, bool]:
    """Where a note meets the one that it is tied to; ticks, since lengths of odd tuplets are rounded."""
    return _ticks(units), note.pitch, note.is_drum


def _continued(note: Note, voices: dict[Hashable, list[_Held]] | None) -> _Held | None:
    """Take the held note that a note prolongs, in its own voice if there is one."""
    if not voices:
        return None
    voice = note.voice if note.voice in voices else next(iter(voices))
    before = voices[voice].pop()
    if not voices[voice]:
        del voices[voice]
    return before


def _tempo_map(parts: Sequence[Sequence[_Placed]]) -> list[tuple[int, float]]:
    """(tick, beats per minute) in time order from tick 0; where parts differ the first wins."""
    tempos = {0: DEFAULT_TEMPO}
    for bars in reversed(parts):
        for placed in bars:
            if placed.is_jump:
                tempos[_ticks(placed.start)] = placed.tempo
            for offset, tempo in placed.bar.tempos:
                if is_writable_tempo(tempo):
                    tempos[_ticks(placed.start + offset)] = tempo
    changes = sorted(tempos.items())
    return changes[:1] + [change for before, change in pairwise(changes) if change[1] != before[1]]


def _metre_map(parts: Sequence[Sequence[_Placed]]) -> list[tuple[int, int, int]]:
    """(tick, numerator, denominator) in time order, from the time signatures and the first bar's length."""
    metres: dict[int, tuple[int, int]] = {}
    for bars in reversed(parts):
        for placed in bars:
            metre = placed.metre if placed.is_jump else placed.bar.metre
            if metre and _is_metre(*metre):
                metres[_ticks(placed.start)] = metre
    _add_pickup(metres, parts[0] if parts else ())
    return [(tick, numerator, denominator) for tick, (numerator, denominator) in sorted(metres.items())]


def _is_metre(numerator: int, denominator: int) -> bool:
    return 1 <= numerator <= MAX_METRE_NUMERATOR and 1 <= denominator <= MAX_METRE_DENOMINATOR


def _add_pickup(metres: dict[int, tuple[int, int]], bars: Sequence[_Placed]) -> None:
    """Give a first bar that is shorter than its metre a metre of its own."""
    second = next((placed for placed in bars[1:] if not placed.bar.continues), None)
    if 0 not in metres or second is None:
        return
    pickup = _ticks(second.start)
    length, (numerator, denominator) = Fraction(pickup, 4 * TICKS_PER_BEAT), metres[0]
    # A bar of triplets only has no metre.
    if 0 < length < Fraction(numerator, denominator) and MAX_METRE_DENOMINATOR % length.denominator == 0:
        metres.setdefault(pickup, metres[0])
        unit = max(denominator, length.denominator)
        metres[0] = (int(length * unit), unit)


def check_number_of_notes(num_notes: int, limits: Limits) -> None:
    """Refuse a score of too many notes.

    Raises:
        PieceError: if there are more than the limit.
    """
    if num_notes > limits.max_notes:
        raise PieceError(
            f"holds too many notes: {num_notes:,}; at most {limits.max_notes:,} are read "
            "(dataset.limits.max_notes)"
        )
