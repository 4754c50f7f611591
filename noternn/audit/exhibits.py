"""What an audit found, to see and to hear: piano rolls colored by source, passages beside their sources."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noternn.audit.against import Against
from noternn.audit.figures import LENGTHS
from noternn.audit.index import Passage
from noternn.audit.report import MIN_NOTES, NAMED_PASSAGES, Sample, bar_words, shortened
from noternn.audit.streams import Ints
from noternn.errors import PieceError
from noternn.music.midi import write_midi
from noternn.music.piano_roll import Coloring, save_piano_roll
from noternn.music.piece import Piece

# Told apart by the color-blind, without the yellow that is too pale for small notes: Okabe and Ito (2008).
SOURCE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
OTHER_COLOR, SHORT_COLOR, NEW_COLOR, DIFFERING_COLOR = "#5c5c5c", "#9a9a9a", "#dadada", "#000000"
TICKS_PER_BEAT = 480
GAP_BEATS = (2, 4)  # of silence between a passage and its source, and before the next


def file_names(names: Sequence[str], suffix: str) -> list[str]:
    """A file name for each sample: of its letters and digits, cut, each once."""
    taken: set[str] = set()
    files = []
    for name in names:
        stem = re.sub(r"[^\w.+#-]+", "_", re.sub(r"\.\w{1,8}$", "", name)).strip("._")[:50] or "sample"
        number, file = 1, f"{stem}{suffix}"
        while file.lower() in taken:
            number += 1
            file = f"{stem}_{number}{suffix}"
        taken.add(file.lower())
        files.append(file)
    return files


def save_attribution(sample: Sample, against: Against, path: Path) -> None:
    """Draw a sample's piano roll, its passages of 16 or more notes colored by the piece they stand in.

    The six pieces with the most notes have colors, the others one together; notes that differ within a
    passage are black, passages of 8 to 15 notes gray, and what is new is pale. Above stand the bars of each
    source.

    Args:
        sample: what to draw.
        against: what it was audited against.
        path: a PNG file.
    """
    audit, names = sample.audit.near, against.index.names
    ranked = [number for number, _ in sample.near.sources()]
    color_of = dict(zip(ranked, SOURCE_COLORS, strict=False))
    colors = np.full(sample.piece.num_notes, NEW_COLOR, dtype=object)
    colors[audit.longest >= LENGTHS[0]] = SHORT_COLOR
    is_copied = audit.longest >= MIN_NOTES
    sources = audit.source_piece[is_copied].tolist()
    colors[is_copied] = [color_of.get(number, OTHER_COLOR) for number in sources]
    colors[is_copied & (audit.source_note < 0)] = DIFFERING_COLOR
    meanings = {color: shortened(names[number]) for number, color in color_of.items()}
    meanings[OTHER_COLOR] = f"{len(ranked) - len(color_of)} more pieces"
    meanings |= {
        DIFFERING_COLOR: "differs from its source",
        SHORT_COLOR: "8 to 15 notes copied",
        NEW_COLOR: "new",
    }
    legend = [(meaning, color) for color, meaning in meanings.items() if (colors == color).any()]
    marks = [
        _mark(sample, passage, against, color_of.get(passage.source_piece, OTHER_COLOR))
        for passage in audit.passages
        if len(passage) >= MIN_NOTES
    ]
    exact, near = (100 * rule.copied(MIN_NOTES) for rule in (sample.audit, audit))
    share = f"{exact:.0f} % in passages of 16 or more, {near:.0f} % with a wrong note now and then"
    title = f"{shortened(sample.name)} \N{MIDDLE DOT} {share}"
    save_piano_roll(sample.piece, path, title=title, coloring=Coloring(colors.tolist(), legend, marks))


def _mark(sample: Sample, passage: Passage, against: Against, color: str) -> tuple[int, int, str, str]:
    """Where a passage stands in a sample, in ticks, and in which bars of what."""
    piece, notes = sample.piece, passage.notes
    bars = bar_words(against.index.bars(passage.source_piece, passage.source_notes))
    start, end = piece.onset[notes].min(), (piece.onset + piece.duration)[notes].max()
    words = f"{shortened(against.index.names[passage.source_piece])}, {bars}"
    return int(start), int(end), words, color


@dataclass(frozen=True)
class _Line:
    """A passage by itself: onsets and durations in `TICKS_PER_BEAT` from 0."""

    onset: Ints
    duration: Ints
    pitch: Ints
    velocity: Ints
    program: Ints

    @classmethod
    def of(cls, piece: Piece, notes: Ints) -> _Line:
        scale = TICKS_PER_BEAT / piece.ticks_per_beat
        onset = np.rint((piece.onset[notes] - piece.onset[notes].min()) * scale).astype(np.int64)
        duration = np.maximum(1, np.rint(piece.duration[notes] * scale).astype(np.int64))
        return cls(onset, duration, piece.pitch[notes], piece.velocity[notes], piece.program[notes])


def save_side_by_side(sample: Sample, against: Against, path: Path) -> None:
    """Write the longest passages of a sample as MIDI, each followed by its source.

    Only the notes of the passages are written, and those between them that differ, at the tempo with which
    the sample begins: two beats of silence before a source, four before the next passage.

    Args:
        sample: with at least one passage.
        against: what it was audited against.
        path: a MIDI file.

    Raises:
        PieceError: if a source can no longer be read.
    """
    lines: list[_Line] = []
    gaps: list[int] = []
    for passage in sample.audit.near.passages[:NAMED_PASSAGES]:
        lines += [
            _Line.of(sample.piece, np.append(passage.notes, passage.others)),
            _source_line(passage, against),
        ]
        gaps += GAP_BEATS
    starts = [0]
    for line, gap in zip(lines, gaps, strict=True):
        starts.append(starts[-1] + int((line.onset + line.duration).max()) + gap * TICKS_PER_BEAT)
    write_midi(
        Piece.from_notes(
            np.concatenate([line.onset + start for line, start in zip(lines, starts, strict=False)]),
            np.concatenate([line.duration for line in lines]),
            np.concatenate([line.pitch for line in lines]),
            velocity=np.concatenate([line.velocity for line in lines]),
            program=np.concatenate([line.program for line in lines]),
            ticks_per_beat=TICKS_PER_BEAT,
            tempos=((0, sample.piece.tempos[0][1]),),
        ),
        path,
    )


def _source_line(passage: Passage, against: Against) -> _Line:
    name = against.index.names[passage.source_piece]
    try:
        piece = against.piece(passage.source_piece)
    except PieceError as error:
        raise PieceError(f"{name}: {error}") from error
    return _Line.of(piece, np.append(passage.source_notes, passage.source_others))
