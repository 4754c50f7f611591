"""Passages of training pieces, looked for while notes are composed: what the next note would complete."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.audit.index import STRETCHES
from noternn.audit.streams import MAX_VOICES, Notes, streams_of
from noternn.music.piece import Piece
from noternn.music.steps import MAX_GAP, MIN_DIFFERENT, NUM_STEPS, STEPS_PER_BEAT

NUM_NOTES = 16  # of a passage that counts
NUM_STEPS_OF_IT = NUM_NOTES - 1
# Pitch steps up to the notes of an onset that may end a passage, and how many of these must be there first.
REACHES = ((14, 0), (10, 1), (6, 5))
ANY = 9  # notes of an onset from which on a passage may end whatever came before
MULTIPLIER = 0x9E3779B97F4A7C15  # of a hash modulo 2**64
BITS = 2**64 - 1
KEPT = 2**15  # lines with one more note: samples side by side ask for the same
ALL, LOWEST = -1, -2  # names of lines; instruments have their programs, voices what stands here
VOICES = range(-3, -3 - MAX_VOICES, -1)


class Note(NamedTuple):
    """A note of a line.

    Args:
        pitch: 0 to 127.
        times: its onset in grid steps, with the times of the piece multiplied by each of `STRETCHES`.
        number: among the composed notes; -1 for a given one.
    """

    pitch: int
    times: tuple[int, ...]
    number: int


class Line(NamedTuple):
    """The end of one of the streams that `streams_of` makes of a piece.

    Args:
        notes: the last 16.
        runs: for each of `STRETCHES` the different steps of the match that ends with the last note, if it has
            16 notes; empty where there is none.
    """

    notes: tuple[Note, ...] = ()
    runs: tuple[frozenset[int], ...] = ()


class Struck(NamedTuple):
    """A note that has begun; `end` in the composer's steps, as far as it is known."""

    pitch: int
    end: int
    program: int
    number: int


class Heard(NamedTuple):
    """A piece so far. It is never changed.

    Args:
        time: of the last onset, in the composer's steps.
        group: the notes of that onset.
        sounding: notes from before that sound on.
        lines: what came before that onset, by name.
        reach: by the name of a line how many notes the onset must have for another to complete a passage
            there; 9 for any that is not named.
        num_composed: notes.
        copied: numbers of those that stand in passages, these of the last onset left out.
    """

    time: int = 0
    group: tuple[Struck, ...] = ()
    sounding: tuple[Struck, ...] = ()
    lines: Mapping[int, Line] = {}
    reach: Mapping[int, int] = {}
    num_composed: int = 0
    copied: frozenset[int] = frozenset()


class Passages:
    """Tells which notes would complete a passage of 16 notes as the audit counts it.

    It keeps the ends of all streams of a piece that is under way (see `noternn.audit.streams`) and knows the
    steps of all windows of 16 notes of the training pieces as hashes. Two onsets that a slower speed would
    round to one stay two here; a passage that is put together from windows of several places counts. All
    else is as in `noternn.audit.index.Index`.

    Args:
        texts: of steps, as that index keeps them: each (num_steps,), with the ends of streams.
        steps_per_beat: of the times of what is composed.
        ticks_per_beat: of the pieces that come of it, a multiple.
        share: of the composed notes that may stand in passages.
    """

    def __init__(
        self, texts: Iterable[NDArray[np.uint32]], steps_per_beat: int, ticks_per_beat: int, share: float
    ) -> None:
        text = np.concatenate([np.zeros(0, np.uint32), *texts])
        is_end = text >= NUM_STEPS
        pitch_steps = (text & 0xFF).astype(np.uint64)
        self._pitches = {n: _windows(pitch_steps, is_end, n) for n, _ in REACHES}
        self._steps = _windows(text.astype(np.uint64), is_end, NUM_STEPS_OF_IT)
        self.share = share
        self._scales = [STEPS_PER_BEAT * stretch / ticks_per_beat for stretch in STRETCHES]
        self._ticks = ticks_per_beat // steps_per_beat
        self._known: dict[int, tuple[int, ...]] = {}
        self._longer = lru_cache(maxsize=KEPT)(self._make_longer)

    @property
    def start(self) -> Heard:
        """Before the first note."""
        return Heard()

    def at(self, heard: Heard, time: int) -> Heard:
        """The piece at a time that is not before the last onset: after it, all its notes are there."""
        if not heard.group or self._times(time)[0] == self._times(heard.time)[0]:
            return heard if heard.group else heard._replace(time=time)
        lines, copied = self._lines(heard)
        now = self._times(time)[0]
        longest: dict[int, Struck] = {}  # of equal notes
        for note in heard.group:
            if note.pitch not in longest or note.end > longest[note.pitch].end:
                longest[note.pitch] = note
        before = (*heard.sounding, *longest.values())
        sounding = [note for note in before if self._times(note.end)[0] > now]
        return heard._replace(
            time=time,
            group=(),
            sounding=tuple(sounding),
            lines=lines,
            reach={name: self._reach(name, line) for name, line in lines.items()},
            copied=heard.copied | copied if copied else heard.copied,
        )

    def begin(self, heard: Heard, time: int, struck: Sequence[tuple[int, int]], is_given: bool) -> Heard:
        """The piece with more notes: (pitch, program or -1) of each, at a time not before the last onset."""
        heard = self.at(heard, time)
        first = heard.num_composed
        numbers = [-1] * len(struck) if is_given else range(first, first + len(struck))
        new = [Struck(p, time, program, n) for (p, program), n in zip(struck, numbers, strict=True)]
        return heard._replace(
            group=(*heard.group, *new), num_composed=first + (0 if is_given else len(struck))
        )

    def hold(self, heard: Heard, steps: int) -> Heard:
        """The last note sounds for so much longer."""
        if not heard.group:
            return heard
        *before, last = heard.group
        return heard._replace(group=(*before, last._replace(end=last.end + steps)))

    def may_copy(self, heard: Heard, num_struck: int) -> bool:
        """Whether so many more notes of its last onset could complete a passage: tells most of them apart."""
        return len(heard.group) + num_struck > min(heard.reach.values(), default=ANY)

    def copies(self, heard: Heard, time: int, struck: Sequence[tuple[int, int]], is_given: bool) -> bool:
        """Whether with these notes, see `begin`, more of the composed ones stand in passages than may."""
        heard = self.at(heard, time)
        after = self.begin(heard, time, struck, is_given)
        size = len(after.group)
        near = None if size > ANY else {name for name, reach in heard.reach.items() if size > reach}
        _, copied = self._lines(after, near)
        return len(after.copied | copied) > self.share * after.num_composed

    def _times(self, step: int) -> tuple[int, ...]:
        if step not in self._known:
            ticks = step * self._ticks
            self._known[step] = tuple(round(ticks * scale) for scale in self._scales)
        return self._known[step]

    def _reach(self, name: int, line: Line) -> int:
        """See `Heard`: a voice goes on by one note of an onset, all notes and instruments by many."""
        is_voice = name == LOWEST or name in VOICES
        for num_steps, size in REACHES[: 1 if is_voice else len(REACHES)]:
            if self._knows_pitches(line.notes, num_steps):
                return size
        return ANY

    def _knows_pitches(self, notes: Sequence[Note], num_steps: int) -> bool:
        if len(notes) <= num_steps:
            return False
        pitches = [note.pitch for note in notes[-num_steps - 1 :]]
        symbols = [b - a + 128 for a, b in pairwise(pitches)]
        return _is_in(self._pitches[num_steps], symbols)

    def _lines(
        self, heard: Heard, names: Container[int] | None = None
    ) -> tuple[dict[int, Line], frozenset[int]]:
        """Lines with the notes of the last onset, and the composed notes of passages that end there.

        Args:
            heard: so far.
            names: of the lines that are looked at; None for all.
        """
        times = self._times(heard.time)
        group: dict[int, Note] = {}
        players: dict[int, set[int]] = {}
        for pitch, _, program, number in heard.group:  # equal ones are one, composed if one of them is
            number = max(number, group[pitch].number if pitch in group else -1)
            group[pitch] = Note(pitch, times, number)
            if program >= 0:
                players.setdefault(program, set()).add(pitch)
        in_order = [group[pitch] for pitch in sorted(group)]
        added = [(ALL, in_order), *self._voices(heard, group)]
        added += [(name, [n for n in in_order if n.pitch in own]) for name, own in players.items()]
        lines, copied = dict(heard.lines), frozenset[int]()
        for name, notes in added if names is None else [pair for pair in added if pair[0] in names]:
            line = lines.get(name, Line())
            for note in notes:
                line, found = self._longer(line, note)
                copied |= found
            lines[name] = line
        return lines, copied

    def _voices(self, heard: Heard, group: Mapping[int, Note]) -> list[tuple[int, list[Note]]]:
        """The notes of the last onset that are the highest, second highest ... and the lowest that sound."""
        now = self._times(heard.time)[0]
        before = [(n.pitch, self._times(n.end)[0], -1) for n in heard.sounding]
        ends = {note.pitch: now for note in heard.group}
        for note in heard.group:
            ends[note.pitch] = max(ends[note.pitch], self._times(note.end)[0])
        ranked = sorted([*before, *((pitch, end, 0) for pitch, end in ends.items())], reverse=True)
        voices = [
            (name, [group[pitch]])
            for name, (pitch, _, place) in zip(VOICES, ranked, strict=False)
            if place == 0
        ]
        pitch, _, place = ranked[-1]
        return [*voices, (LOWEST, [group[pitch]])] if place == 0 else voices

    def _make_longer(self, line: Line, note: Note) -> tuple[Line, frozenset[int]]:
        """A line with one more note, and the composed notes of the passages that end with it."""
        notes = (*line.notes[-NUM_STEPS_OF_IT:], note)
        if len(notes) < NUM_NOTES or not self._knows_pitches(notes, REACHES[0][0]):
            return Line(notes), frozenset()
        runs = tuple(self._run(notes, k, line.runs) for k in range(len(STRETCHES)))
        if not any(len(run) >= MIN_DIFFERENT for run in runs):
            return Line(notes, runs), frozenset()
        return Line(notes, runs), frozenset(n.number for n in notes if n.number >= 0)

    def _run(self, notes: Sequence[Note], k: int, before: Sequence[frozenset[int]]) -> frozenset[int]:
        """The different steps of the match at a speed; none if the last 16 notes are no passage."""
        steps = [
            min(b.times[k] - a.times[k], MAX_GAP) * 256 + b.pitch - a.pitch + 128 for a, b in pairwise(notes)
        ]
        if not _is_in(self._steps, steps):
            return frozenset()
        return frozenset(steps) | (before[k] if before else frozenset())


def texts_of(pieces: Iterable[Piece]) -> list[NDArray[np.uint32]]:
    """The steps of all streams of some pieces, each with an end, as `Passages` takes them."""
    end = np.uint32(NUM_STEPS)
    return [np.append(s.steps, end) for piece in pieces for s in streams_of(piece, Notes.of(piece))]


def _windows(symbols: NDArray[np.uint64], is_end: NDArray[np.bool_], size: int) -> NDArray[np.uint64]:
    """The hashes of so many symbols in a row, each once, in order; none across an end."""
    count = max(0, len(symbols) - size + 1)
    hashes = np.zeros(count, dtype=np.uint64)
    for k in range(size):
        hashes = hashes * np.uint64(MULTIPLIER) + symbols[k : k + count]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_end)])
    return np.unique(hashes[ends[size : size + count] == ends[:count]])


def _is_in(windows: NDArray[np.uint64], symbols: Iterable[int]) -> bool:
    """Whether `_windows` has the hash of some symbols."""
    value = 0
    for symbol in symbols:
        value = (value * MULTIPLIER + symbol) & BITS
    place = int(windows.searchsorted(np.uint64(value)))
    return place < len(windows) and int(windows[place]) == value
