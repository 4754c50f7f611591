"""A piece as streams of notes in which a copy would show: all its notes, each voice, each instrument.

Polyphony is told apart by what sounds, since files and samples seldom name their voices. A copy is found if
its notes follow each other in one of the streams: all the music of some bars, a melody above or below other
notes or between them, or the part of an instrument. It is not found where it crosses other voices of the
same instrument, or rests while others go on in its place; then only its pieces are.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from noternn.music.piece import Piece
from noternn.music.steps import STEPS_PER_BEAT, steps_between

Ints = NDArray[np.int64]

MAX_VOICES = 4  # counted from the top; the lowest is one more
LOOSE_STEPS_PER_BEAT = 96
LOOSE_CHORD = 9  # loose steps between its first and last onset: each 1/24 beat off, and rounding
LOOSE_LEGATO = 16  # loose steps that a note may go on into the next and not count as sounding there


@dataclass(frozen=True)
class Stream:
    """Some notes of a piece, one after the other.

    Args:
        notes: (num_notes,) which of the `Notes`.
        steps: (num_notes - 1,) from each to the next, see `leak.steps_between`.
        is_whole: whether these are all notes of the piece, and not one voice or instrument.
    """

    notes: Ints
    steps: NDArray[np.uint32]
    is_whole: bool


@dataclass(frozen=True)
class Notes:
    """The pitched notes of a piece in order of (onset, pitch) on a grid; equal ones are one.

    Args:
        onset: (num_distinct,) in grid steps.
        pitch: (num_distinct,)
        end: (num_distinct,) in grid steps, of the longest of equal ones.
        first: (num_distinct,) the first of the piece's notes that each is.
        number: (num_notes,) which of these each note of the piece is; -1 for drums.
    """

    onset: Ints
    pitch: Ints
    end: Ints
    first: Ints
    number: Ints

    @classmethod
    def of(cls, piece: Piece, stretch: float = 1.0) -> Notes:
        """The notes of a piece whose times are multiplied by `stretch`."""
        return cls._on_grid(piece, STEPS_PER_BEAT * stretch / piece.ticks_per_beat)

    @classmethod
    def _on_grid(cls, piece: Piece, scale: float) -> Notes:
        """The notes of a piece at so many grid steps a tick."""
        pitched = np.flatnonzero(~piece.is_drum)
        onset = np.rint(piece.onset[pitched] * scale).astype(np.int64)
        end = np.rint((piece.onset + piece.duration)[pitched] * scale).astype(np.int64)
        number = np.full(piece.num_notes, -1, dtype=np.int64)
        number[pitched] = np.arange(len(pitched))
        return cls._merged(onset, piece.pitch[pitched].astype(np.int64), end, pitched, number)

    @classmethod
    def _merged(cls, onset: Ints, pitch: Ints, end: Ints, first: Ints, number: Ints) -> Notes:
        """Notes in any order, equal ones made one; `first` and `number` as in what they come from."""
        keys, chosen, inverse = np.unique(onset << 7 | pitch, return_index=True, return_inverse=True)
        ends = np.zeros(len(keys), dtype=np.int64)
        np.maximum.at(ends, inverse, end)
        number = np.where(number >= 0, np.append(inverse, -1)[number], -1)
        return cls(keys >> 7, keys & 0x7F, ends, first[chosen], number)

    @classmethod
    def loose(cls, piece: Piece, stretch: float = 1.0) -> Notes:
        """The same where onsets are less exact: on a finer grid, those that are 1/12 beat apart made one.

        Ends are earlier by a third of the duration, 1/6 beat at most: what goes on a bit into the next note
        does not sound with it.
        """
        exact = cls._on_grid(piece, LOOSE_STEPS_PER_BEAT * stretch / piece.ticks_per_beat)
        onsets = np.unique(exact.onset).tolist()
        chords, first = [], -np.inf
        for onset in onsets:
            first = onset if onset - first > LOOSE_CHORD else first
            chords.append(first)
        together = np.array(chords, dtype=np.int64)[np.searchsorted(onsets, exact.onset)]
        notes = cls._merged(together, exact.pitch, exact.end, exact.first, exact.number)
        legato = np.minimum((notes.end - notes.onset) // 3, LOOSE_LEGATO)
        return replace(notes, end=notes.end - legato)


def equal_notes(piece: Piece) -> Ints:
    """(num_notes,) for each note of a piece the first that has its onset and pitch; for drums itself."""
    notes = Notes.of(piece)
    first = np.append(notes.first, 0)[notes.number]
    return np.where(piece.is_drum, np.arange(piece.num_notes), first)


def streams_of(piece: Piece, notes: Notes) -> list[Stream]:
    """The streams of a piece that has at least two notes, each once.

    All notes together, in order of (onset, pitch); the notes that are the highest, second, third and fourth
    highest, and those that are the lowest, of what sounds where they begin; and where there are several
    instruments the notes of each.
    """
    chosen = [np.arange(len(notes.onset))]
    above, below = _ranks(notes)
    chosen += [np.flatnonzero(above == rank) for rank in range(MAX_VOICES)]
    chosen.append(np.flatnonzero(below == 0))
    programs = np.unique(piece.program[notes.first])
    if len(programs) > 1:
        chosen += [_played_by(piece, notes, program) for program in programs.tolist()]
    found: dict[bytes, Stream] = {}
    for members in chosen:
        if len(members) > 1:
            steps = steps_between(notes.onset[members], notes.pitch[members])
            found.setdefault(members.tobytes(), Stream(members, steps, is_whole=members is chosen[0]))
    return list(found.values())


def _played_by(piece: Piece, notes: Notes, program: int) -> Ints:
    """Which of the notes an instrument plays, perhaps with others."""
    return np.unique(notes.number[~piece.is_drum & (piece.program == program)])


def _ranks(notes: Notes) -> tuple[Ints, Ints]:
    """How many of the notes that sound where each begins are higher, and how many lower."""
    above, below = np.zeros((2, len(notes.onset)), dtype=np.int64)
    onsets, pitches, ends = notes.onset.tolist(), notes.pitch.tolist(), notes.end.tolist()
    sounding: list[tuple[int, int, int]] = []  # (pitch, end, number), in order
    start = 0
    while start < len(onsets):
        onset, stop = onsets[start], start
        sounding = [note for note in sounding if note[1] > onset]
        while stop < len(onsets) and onsets[stop] == onset:
            insort(sounding, (pitches[stop], ends[stop], stop))
            stop += 1
        for rank, (_, _, number) in enumerate(sounding):
            if number >= start:
                above[number], below[number] = len(sounding) - 1 - rank, rank
        start = stop
    return above, below
