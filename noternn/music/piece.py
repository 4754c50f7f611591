"""`Piece`: the music of one file as numpy columns, with its tempo and metre maps."""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noternn.errors import PieceError as PieceError  # for those who read pieces
from noternn.errors import UserError
from noternn.music.remarks import Remark

DEFAULT_TEMPO = 120.0  # beats per minute; what a MIDI file without a tempo means
TRACKS = ("all", "pitched", "drums", "melody", "piano")  # what `select_tracks` knows by name
NUM_PIANO_PROGRAMS = 8  # the piano family of General MIDI: programs 0 to 7
MELODY_TOLERANCE_BEATS = 1 / 16  # legato notes overlap by less, strummed chords spread by less


@dataclass(frozen=True, eq=False)
class Piece:
    """The notes of one piece, sorted by (onset, drums last, program, pitch descending).

    All note columns have shape (num_notes,).

    Args:
        onset: start of each note in ticks, >= 0.
        duration: length of each note in ticks, >= 1.
        pitch: MIDI pitch, 0 to 127.
        velocity: MIDI velocity, 1 to 127.
        program: General MIDI program, 0 to 127 (0 for drums).
        is_drum: whether the note is on a percussion channel.
        ticks_per_beat: ticks in a quarter note.
        tempos: (tick, quarter notes per minute) pairs in time order, the first at tick 0.
        metres: (tick, numerator, denominator) triples in time order.
        name: where the piece came from, for messages and reports.
        span: the ticks at which the music begins and ends where silence before the first note and after the
            last belongs to it; None is from the first onset to the last end.
        remarks: what its reader did not understand or had to decide.
        is_pedalled: whether a MIDI file of it moves the pedal that may have held its notes.
    """

    onset: NDArray[np.int64]
    duration: NDArray[np.int64]
    pitch: NDArray[np.int64]
    velocity: NDArray[np.int64]
    program: NDArray[np.int64]
    is_drum: NDArray[np.bool_]
    ticks_per_beat: int = 480
    tempos: tuple[tuple[int, float], ...] = ((0, DEFAULT_TEMPO),)
    metres: tuple[tuple[int, int, int], ...] = ()
    name: str = ""
    span: tuple[int, int] | None = None
    remarks: tuple[Remark, ...] = ()
    is_pedalled: bool = False

    @classmethod
    def from_notes(
        cls,
        onset: ArrayLike,
        duration: ArrayLike,
        pitch: ArrayLike,
        *,
        velocity: ArrayLike = 80,
        program: ArrayLike = 0,
        is_drum: ArrayLike = False,
        ticks_per_beat: int = 480,
        tempos: Sequence[tuple[int, float]] = ((0, DEFAULT_TEMPO),),
        metres: Sequence[tuple[int, int, int]] = (),
        name: str = "",
        span: tuple[int, int] | None = None,
        remarks: Sequence[Remark] = (),
    ) -> Piece:
        """Build a piece from notes in any order; scalars are repeated for every note.

        Raises:
            ValueError: if a value is outside its MIDI range or the columns differ in length.
        """
        shape = np.shape(onset)
        onsets = _column("onset", onset, shape, 0, None)
        durations = _column("duration", duration, shape, 1, None)
        pitches = _column("pitch", pitch, shape, 0, 127)
        velocities = _column("velocity", velocity, shape, 1, 127)
        programs = _column("program", program, shape, 0, 127)
        drums = np.broadcast_to(np.asarray(is_drum, dtype=np.bool_), shape)
        order = np.lexsort((velocities, durations, -pitches, programs, drums, onsets))
        return cls(
            onset=onsets[order],
            duration=durations[order],
            pitch=pitches[order],
            velocity=velocities[order],
            program=programs[order],
            is_drum=drums[order],
            ticks_per_beat=int(ticks_per_beat),
            tempos=tuple((int(tick), float(bpm)) for tick, bpm in tempos),
            metres=tuple((int(t), int(n), int(m)) for t, n, m in metres),
            name=name,
            span=span,
            remarks=tuple(remarks),
        )

    @classmethod
    def from_frames(
        cls,
        frame: ArrayLike,
        pitch: ArrayLike,
        *,
        num_frames: int,
        frames_per_beat: int,
        program: ArrayLike = 0,
        tempo: float = DEFAULT_TEMPO,
        name: str = "",
    ) -> Piece:
        """Build a piece from the pitches that sound in each frame, a step of a grid, in any order.

        A pitch that goes on through several frames is one note: frames do not tell when it is struck again.

        Args:
            frame: (num_sounding,) the frame of each, 0 to `num_frames` - 1.
            pitch: (num_sounding,) MIDI pitch, 0 to 127.
            num_frames: silent ones included, which the `span` of the piece keeps.
            frames_per_beat: 1 to 480.
            program: (num_sounding,) General MIDI program, 0 to 127.
            tempo: quarter notes a minute.
            name: see `Piece`.

        Raises:
            ValueError: if a pitch or program is outside its MIDI range.
        """
        frames, shape = np.asarray(frame, dtype=np.int64), np.shape(frame)
        pitches = _column("pitch", pitch, shape, 0, 127)
        keys = _column("program", program, shape, 0, 127) << 7 | pitches
        order = np.unique(
            keys * (num_frames + 1) + frames
        )  # a gap between keys, so that no note runs into two
        starts = np.flatnonzero(np.diff(order, prepend=-2) != 1)
        first, last = order[starts], order[np.append(starts[1:], len(order))[: len(starts)] - 1]
        ticks = 480 // frames_per_beat
        key = first // (num_frames + 1)
        return cls.from_notes(
            first % (num_frames + 1) * ticks,
            (last - first + 1) * ticks,
            key & 127,
            program=key >> 7,
            ticks_per_beat=frames_per_beat * ticks,
            tempos=((0, tempo),),
            name=name,
            span=(0, num_frames * ticks),
        )

    @property
    def num_notes(self) -> int:
        """How many notes there are."""
        return len(self.onset)

    @property
    def end(self) -> int:
        """The tick at which the last note has ended; 0 for a piece without notes."""
        return int((self.onset + self.duration).max()) if self.num_notes else 0

    @property
    def beats(self) -> float:
        """Length in quarter notes."""
        return self.end / self.ticks_per_beat

    @property
    def duration_seconds(self) -> float:
        """Length in seconds, following every tempo change."""
        return float(self.seconds(np.array([self.end]))[0])

    def seconds(self, ticks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Times in seconds of times in ticks, following the tempo map."""
        tempo_tick = np.array([tick for tick, _ in self.tempos], dtype=np.int64)
        beats_per_minute = np.array([bpm for _, bpm in self.tempos])
        seconds_per_tick = 60.0 / (beats_per_minute * self.ticks_per_beat)
        elapsed = np.concatenate([[0.0], np.cumsum(np.diff(tempo_tick) * seconds_per_tick[:-1])])
        segment = np.maximum(np.searchsorted(tempo_tick, ticks, side="right") - 1, 0)
        since: NDArray[np.float64] = (ticks - tempo_tick[segment]) * seconds_per_tick[segment]
        return elapsed[segment] + since

    def bars_and_beats(self, ticks: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The bar that each time in ticks falls in, and the quarter note in that bar, both from 1.

        A pickup that has a metre of its own is bar 1. Each metre begins a bar; before the first it is 4/4.
        """
        start, numerator, denominator = np.array(self._metres_from_start(), dtype=np.int64).T
        length = 4 * self.ticks_per_beat * numerator / denominator  # of a bar, in ticks
        num_bars = np.ceil(np.diff(start) / length[:-1]).astype(np.int64)
        first_bar = np.concatenate([[1], 1 + np.cumsum(num_bars)])
        times = np.asarray(ticks, dtype=np.float64)
        metre = np.searchsorted(start, times, side="right") - 1
        since = times - start[metre]
        bar = np.floor(since / length[metre] + 1e-9).astype(np.int64)  # a bar may be no whole number of ticks
        return first_bar[metre] + bar, 1 + (since - bar * length[metre]) / self.ticks_per_beat

    def bar_ticks(self, end: int) -> list[float]:
        """The ticks at which bars begin, before `end`; see `bars_and_beats`."""
        metres = self._metres_from_start()
        limits = [tick for tick, _, _ in metres[1:]] + [end]
        bars: list[float] = []
        for (tick, numerator, denominator), limit in zip(metres, limits, strict=True):
            length = 4 * self.ticks_per_beat * numerator / denominator
            bars += np.arange(tick, min(limit, end), length).tolist()
        return bars

    def _metres_from_start(self) -> list[tuple[int, int, int]]:
        metres = [metre for metre in self.metres if metre[1] > 0]  # a file may say 0/4
        return metres if metres and metres[0][0] == 0 else [(0, 4, 4), *metres]

    def select(self, keep: NDArray[np.bool_]) -> Piece:
        """The same piece with only the notes where `keep`, shape (num_notes,), is true."""
        return dataclasses.replace(
            self,
            onset=self.onset[keep],
            duration=self.duration[keep],
            pitch=self.pitch[keep],
            velocity=self.velocity[keep],
            program=self.program[keep],
            is_drum=self.is_drum[keep],
        )

    def until(self, tick: int) -> Piece:
        """What sounds before a tick: later notes are dropped, those that ring over it are cut there."""
        begun = self.select(self.onset < tick)
        span = None if self.span is None else (min(self.span[0], tick), min(self.span[1], tick))
        return dataclasses.replace(begun, duration=np.minimum(begun.duration, tick - begun.onset), span=span)

    def transpose(self, semitones: int) -> Piece:
        """Move every pitched note by `semitones`; drums stay.

        Raises:
            ValueError: if a note would leave the MIDI range 0 to 127.
        """
        pitch = np.where(self.is_drum, self.pitch, self.pitch + semitones)
        _check_range(f"pitch transposed by {semitones}", pitch, 0, 127)
        return dataclasses.replace(self, pitch=pitch)

    def save(self, path: str | Path) -> None:
        """Write the piece as a MIDI file.

        Raises:
            UserError: if the name does not end in .mid or .midi.
            OSError: if it cannot be written.
        """
        from noternn.music.midi import write_midi  # not above: it imports this module

        target = Path(path)
        if target.suffix.lower() not in (".mid", ".midi"):
            raise UserError(f"{target}: it must end in .mid or .midi")
        write_midi(self, target)

    def music_hash(self) -> str:
        """A hash of the notes that ignores name, key, tempo, velocity, resolution and instruments.

        Two files with the same hash hold the same music, perhaps transposed: they are one piece
        for the purpose of splitting. Times are compared on a grid of 1/12 beat from the first onset.
        """
        pitched = self.select(~self.is_drum) if not self.is_drum.all() else self
        if not pitched.num_notes:
            return hashlib.sha256(b"no notes").hexdigest()
        on = np.rint((pitched.onset - pitched.onset.min()) * 12 / self.ticks_per_beat)
        off = np.rint((pitched.onset + pitched.duration - pitched.onset.min()) * 12 / self.ticks_per_beat)
        notes = np.stack([on, pitched.pitch - pitched.pitch.min(), off], axis=1).astype("<i8")
        notes = notes[np.lexsort(notes.T[::-1])]
        is_new = np.append(True, (notes[1:] != notes[:-1]).any(axis=1))
        return hashlib.sha256(notes[is_new].tobytes()).hexdigest()


def select_tracks(piece: Piece, tracks: str | Sequence[int]) -> Piece:
    """The notes that were asked for by instrument or role; perhaps none.

    Args:
        piece: any piece.
        tracks: a list of General MIDI programs (0 to 127), whose pitched notes are kept, or one of
            "all": every note. "pitched": all but the drums. "drums": only they. "piano": programs 0 to 7.
            "melody": the skyline of the pitched notes: a note belongs to it if no higher one sounds a
            sixteenth of a beat after it began; of several at one onset the highest does, and each ends
            at the next one's onset at the latest. This is the all-mono rule of Uitdenbogerd and Zobel
            (Manipulation of Music for Melody Matching, ACM Multimedia 1998) with a tolerance.
    """
    if tracks == "all":
        return piece
    if tracks == "drums":
        return piece.select(piece.is_drum)
    if tracks == "pitched":
        return piece.select(~piece.is_drum)
    if tracks == "melody":
        return _skyline(piece.select(~piece.is_drum))
    programs = range(NUM_PIANO_PROGRAMS) if tracks == "piano" else tracks
    assert not isinstance(programs, str), tracks
    return piece.select(~piece.is_drum & np.isin(piece.program, list(programs)))


def _skyline(piece: Piece) -> Piece:
    """The highest notes of a piece without drums, one at a time."""
    onset, pitch = piece.onset.tolist(), piece.pitch.tolist()
    end = (piece.onset + piece.duration).tolist()
    tolerance = round(MELODY_TOLERANCE_BEATS * piece.ticks_per_beat)
    sounding: list[tuple[int, int]] = []  # a heap of (-pitch, end)
    begun = 0
    top: dict[int, int] = {}  # by onset, the index of the melody's note
    for i, start in enumerate(onset):
        while begun < len(onset) and onset[begun] <= start + tolerance:
            heapq.heappush(sounding, (-pitch[begun], end[begun]))
            begun += 1
        while sounding and sounding[0][1] <= start + tolerance:
            heapq.heappop(sounding)
        if not sounding or pitch[i] >= -sounding[0][0]:
            top[start] = max(top.get(start, i), i, key=lambda j: (pitch[j], end[j]))
    melody = piece.select(np.isin(np.arange(piece.num_notes), list(top.values())))
    until_next = np.append(np.diff(melody.onset), np.iinfo(np.int64).max)[: melody.num_notes]
    return dataclasses.replace(melody, duration=np.minimum(melody.duration, until_next))


def _column(
    name: str, values: ArrayLike, shape: tuple[int, ...], low: int, high: int | None
) -> NDArray[np.int64]:
    """Values as a column of `shape`, checked."""
    column = np.broadcast_to(np.asarray(values, dtype=np.int64), shape)
    _check_range(name, column, low, high)
    return column


def _check_range(name: str, values: NDArray[np.int64], low: int, high: int | None) -> None:
    if values.size and (values.min() < low or (high is not None and values.max() > high)):
        allowed = f"at least {low}" if high is None else f"{low} to {high}"
        raise ValueError(f"{name} must be {allowed}; got {values.min()} to {values.max()}")
