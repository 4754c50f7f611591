"""Passages that go on after a differing note, or in another rhythm: seeds, and what they become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.audit.extension import Floats, Line, Seeds, extended
from noternn.audit.streams import Ints, Notes, Stream, streams_of
from noternn.audit.suffixes import SuffixArray, suffix_order
from noternn.music.piece import Piece
from noternn.music.steps import MIN_DIFFERENT

STRETCHES = (1.0, 4.0)  # in which chords are recognized: also of what is played 4 times as fast
RATIOS = (1.0, 2.0, 1 / 2, 3 / 2, 2 / 3, 3.0, 1 / 3, 4.0, 1 / 4, 4 / 3, 3 / 4)
MAX_OFF = 1.15  # of what a seed takes from one of these
MIN_NOTES = 16  # that agree
SEED_STEPS = 5
NUM_EACH_WAY = 8  # seeds of a place
NEARBY = 32  # notes: of seeds so near on one diagonal the longest stands for all
NUM_SEEDS = 3000  # that are extended together; of longer pieces more, one for each place at most
FAR = 2**29  # loose steps between neighboring streams
OURS_FAR = int(1.8 * FAR)  # at no speed the same, so that no passage goes on into the next stream
NUM_LOOSE = 512  # different steps


class LoosePassage(NamedTuple):
    """Notes of a piece that agree with notes of the corpus, and differing ones between them.

    Args:
        ours: (num_agreeing,) those that agree.
        differing: those between them that do not.
        theirs: (num_agreeing,) places in the text.
        skipped: places between these whose notes differ.
        ratio: how many times as long it takes as its source.
        is_whole: whether all notes are looked at, and not one voice.
        num_differing: notes that differ, of the one that has more of them.
    """

    ours: Ints
    differing: Ints
    theirs: Ints
    skipped: Ints
    ratio: float
    is_whole: bool
    num_differing: int


class _Match(NamedTuple):
    """A seed and how far it goes on: places in the line that is asked for, and in the text."""

    ours: Ints
    differing: Ints
    theirs: Ints
    ratio: float
    num_differing: int


def loose_steps(steps: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Steps whose time is only later or not: the difference in pitch, twice, and whether."""
    return np.asarray((steps & 0xFF) << 1 | (steps >> 8 > 0), dtype=np.uint32)


def build(pieces: list[Piece]) -> dict[str, NDArray[Any]]:
    """The arrays of a `LooseIndex`: 21 bytes a note of each stream."""
    columns: dict[str, list[NDArray[Any]]] = {"text": [], "note": [], "piece": [], "time": [], "pitch": []}
    num_streams = 0
    for number, piece in enumerate(pieces):
        notes = Notes.loose(piece)
        for stream in streams_of(piece, notes):
            columns["text"].append(np.append(loose_steps(stream.steps), np.uint32(NUM_LOOSE + num_streams)))
            columns["note"].append(notes.first[stream.notes])
            columns["piece"].append(np.full(len(stream.notes), number))
            line = _line(notes, stream, num_streams)
            columns["time"].append(line.time)
            columns["pitch"].append(line.pitch)
            num_streams += 1
    types = {"text": np.uint32, "note": np.int32, "piece": np.int32, "time": np.int32, "pitch": np.uint8}
    arrays = {
        name: np.concatenate([np.zeros(0, types[name]), *values]).astype(types[name], copy=False)
        for name, values in columns.items()
    }
    return {**arrays, "order": suffix_order(arrays["text"])}


def _line(notes: Notes, stream: Stream, number: int, far: int = FAR) -> Line:
    """The notes of the stream of a number."""
    time = np.minimum(notes.onset[stream.notes], FAR // 8) + far * (number % 2)
    return Line(time.astype(np.int32), notes.pitch[stream.notes].astype(np.uint8))


class LooseIndex:
    """All streams of a corpus without their rhythm, in which passages are found that differ here and there.

    Args:
        arrays: what `build` makes of the pieces.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.arrays = arrays
        self._line = Line(arrays["time"], arrays["pitch"])
        self._suffixes = SuffixArray(arrays["text"], arrays["order"], arrays["piece"])

    def find(self, piece: Piece, without: int | None = None) -> Iterator[LoosePassage]:
        """Passages of a piece with at least 16 agreeing notes; several may be of the same notes.

        Args:
            piece: any.
            without: number of the piece of the corpus that it is itself, which does not count.
        """
        asked = _asked(piece)
        if not asked or not len(self._line.time):
            return
        text = np.concatenate([_ended_steps(stream, i) for i, (_, _, stream) in enumerate(asked)])
        lines = [_line(notes, stream, i, OURS_FAR) for i, (_, notes, stream) in enumerate(asked)]
        line = Line(*(np.concatenate(column) for column in zip(*lines, strict=True)))
        offsets = np.cumsum([0, *(len(stream.notes) for _, _, stream in asked)])
        for match in self._matches(text, line, without):
            which = int(np.searchsorted(offsets, match.ours[0], side="right")) - 1
            stretch, notes, stream = asked[which]
            yield LoosePassage(
                notes.first[stream.notes[match.ours - offsets[which]]],
                notes.first[stream.notes[match.differing - offsets[which]]],
                match.theirs,
                np.setdiff1d(np.arange(match.theirs.min(), match.theirs.max()), match.theirs),
                match.ratio / stretch,
                stream.is_whole,
                match.num_differing,
            )

    def _matches(self, text: NDArray[np.uint32], line: Line, without: int | None) -> Iterator[_Match]:
        """What the seeds become, some after the others."""
        seeds = self._seeds(text, line, without)
        for start in range(0, len(seeds), NUM_SEEDS):
            some = np.arange(start, min(start + NUM_SEEDS, len(seeds)))
            yield from _longest(text, line, self._line, seeds.at(some))

    def _seeds(self, text: NDArray[np.uint32], line: Line, without: int | None) -> Seeds:
        """Matches of the steps at which no longer one begins, at a speed that is looked for."""
        ours, theirs, length = self._suffixes.close(text, SEED_STEPS, NUM_EACH_WAY, without)
        before = (ours > 0) & (theirs > 0)
        goes_back = before & (text[ours - 1] == self.arrays["text"][theirs - 1])
        kept = ~goes_back
        ours, theirs, length = ours[kept], theirs[kept], length[kept]
        spans = [
            times[places + length].astype(np.int64) - times[places]
            for times, places in ((line.time, ours), (self._line.time, theirs))
        ]
        ratio = _snapped(spans[0] / np.maximum(1, spans[1]))
        chosen = np.flatnonzero((spans[0] > 0) & (spans[1] > 0) & (ratio > 0))
        chosen = chosen[np.argsort(-length[chosen], kind="stable")]
        place = np.stack([theirs[chosen] - ours[chosen], ours[chosen] // NEARBY])
        _, first = np.unique(place, axis=1, return_index=True)
        chosen = chosen[np.sort(first)[: max(NUM_SEEDS, len(text))]]
        return Seeds(ours[chosen], theirs[chosen], ratio[chosen])


def _longest(text: NDArray[np.uint32], ours: Line, theirs: Line, seeds: Seeds) -> Iterator[_Match]:
    """What seeds become that are long enough, the longest first, but for those within longer ones."""
    later, earlier = (extended(ours, theirs, seeds, direction) for direction in (1, -1))
    lengths = later.agreeing + earlier.agreeing - 1  # the seed is of both
    differing = later.differing + earlier.differing
    runs = np.concatenate([later.runs, earlier.runs])
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    bounds = np.searchsorted(runs[:, 0], np.arange(len(seeds) + 1))
    longest = np.zeros(len(text), dtype=np.int64)  # that was found with each place
    enough = np.flatnonzero(lengths >= MIN_NOTES)
    for number in enough[np.lexsort([differing[enough], -lengths[enough]])].tolist():
        own = runs[bounds[number] : bounds[number + 1]]
        span = np.arange(own[:, 1].min(), (own[:, 1] + own[:, 3]).max())
        if longest[span].min() >= lengths[number]:
            continue
        places, others = _places(own)
        if len(places) >= MIN_NOTES and len(set(text[places[:-1]].tolist())) >= MIN_DIFFERENT:
            longest[span] = np.maximum(longest[span], lengths[number])
            yield _Match(
                places,
                np.setdiff1d(span, places),
                others,
                float(seeds.ratio[number]),
                int(differing[number]),
            )


def _places(runs: Ints) -> tuple[Ints, Ints]:
    """The notes of both lines in some runs, in order, each of ours once."""
    lengths = runs[:, 3]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    places, chosen = np.unique(np.repeat(runs[:, 1], lengths) + within, return_index=True)
    return places, (np.repeat(runs[:, 2], lengths) + within)[chosen]


def _asked(piece: Piece) -> list[tuple[float, Notes, Stream]]:
    """The streams of a piece that is looked for, with how its times were multiplied; each once."""
    asked: list[tuple[float, Notes, Stream]] = []
    for stretch in STRETCHES:
        notes = Notes.loose(piece, stretch)
        is_same = asked and len(notes.first) == len(asked[0][1].first)
        asked += [] if is_same else [(stretch, notes, stream) for stream in streams_of(piece, notes)]
    return asked


def _ended_steps(stream: Stream, number: int) -> NDArray[np.uint32]:
    """The steps of a stream, and an end that stands in no corpus."""
    return np.append(loose_steps(stream.steps), np.uint32(2**31 + number))


def _snapped(ratio: Floats) -> Floats:
    """The nearest of `RATIOS`; 0 where none is near."""
    off = np.abs(np.log(np.maximum(ratio, 1e-9))[:, None] - np.log(RATIOS))
    nearest = off.argmin(axis=1)
    return np.where(off.min(axis=1) <= np.log(MAX_OFF), np.array(RATIOS)[nearest], 0.0)
