"""`Piece` -> a picture: its piano roll."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from noternn.files import replacing
from noternn.music.instruments import instrument_name
from noternn.music.piece import Piece

PICTURE_DPI = 110
WIDTH_INCHES = (9.0, 18.0)  # least and most
HEIGHT_INCHES = (4.8, 8.0)
INCHES_PER_SEMITONE = 0.09
INCHES_PER_BEAT = 0.16
MAX_LABELS = 24  # along an axis
MAX_BAR_LINES = 200
PROGRAM_COLORS = ("#2f6fb3", "#d9742b", "#3b9a5b", "#b8403f", "#7d5fb2", "#1f9ea6", "#c2568f", "#8a7a2e")
DRUM_COLOR = "#8c8c8c"
GRID_COLOR = "#d9d9d9"
MARK_SEMITONES = 3.0  # from a row of marks to the next
MARK_LETTER_INCHES = 0.065
MAX_MARK_ROWS = 6
BLACK_KEY_COLOR = "#f3f3f5"
BLACK_KEYS = (1, 3, 6, 8, 10)


@dataclass(frozen=True)
class Coloring:
    """Colors of notes that mean something other than instruments.

    Args:
        notes: (num_notes,) the color of each.
        legend: (meaning, color) pairs.
        marks: stretches of the piece to name: (start tick, end tick, words, color).
    """

    notes: Sequence[str]
    legend: Sequence[tuple[str, str]]
    marks: Sequence[tuple[int, int, str, str]] = ()


def save_piano_roll(
    piece: Piece,
    path: Path,
    *,
    primer_end: int | None = None,
    title: str = "",
    coloring: Coloring | None = None,
) -> None:
    """Draw a piece as a piano roll: bars below, seconds above, a color for each instrument, gray for drums.

    Loud notes are drawn darker than soft ones.

    Args:
        piece: what to draw; without notes the picture is an empty grid.
        path: a PNG file; folders that are missing are made.
        primer_end: tick up to which the picture is shaded and labeled "primer"; None for no primer.
        title: above the picture; "" takes the piece's name.
        coloring: of the notes in place of that by instruments.
    """
    figure = Figure(figsize=_picture_size(piece), dpi=PICTURE_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    end = max(piece.end, primer_end or 0, 4 * piece.ticks_per_beat)
    _draw_pitch_axis(axes, piece)
    _draw_bar_axis(axes, piece, end)
    _draw_seconds_axis(axes, piece, end)
    if coloring:
        _draw_colored(axes, piece, coloring)
    else:
        _draw_instruments(axes, piece)
    if primer_end is not None:
        _draw_primer(axes, primer_end)
    _draw_heading(axes, piece, title)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the version of matplotlib in the file, equal pictures are equal bytes for longer.
    with replacing(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None})


def _picture_size(piece: Piece) -> tuple[float, float]:
    """(width, height) in inches: as long as the piece and as high as its range, within limits."""
    width = np.clip(piece.beats * INCHES_PER_BEAT, *WIDTH_INCHES)
    semitones = int(np.ptp(piece.pitch)) if piece.num_notes else 0
    height = np.clip(1.5 + semitones * INCHES_PER_SEMITONE, *HEIGHT_INCHES)
    return float(width), float(height)


def _draw_instruments(axes: Axes, piece: Piece) -> None:
    """The notes in the colors of their instruments."""
    colors = _instrument_colors(piece)
    # Soft notes are mixed with white, not transparent: overlaps would look loud.
    strength = (0.45 + 0.55 * piece.velocity / 127)[:, None]
    keys = zip(piece.is_drum.tolist(), piece.program.tolist(), strict=True)
    rgb = np.array([to_rgb(colors[key]) for key in keys]).reshape(-1, 3)
    _draw_notes(axes, piece, 1 - strength * (1 - rgb))
    if len(colors) > 1:
        _draw_legend(axes, [(instrument_name(*key), color) for key, color in colors.items()])


def _draw_colored(axes: Axes, piece: Piece, coloring: Coloring) -> None:
    """The notes in given colors, and above them what some stretches are, those that overlap in rows."""
    _draw_notes(axes, piece, np.array([to_rgb(color) for color in coloring.notes]).reshape(-1, 3))
    _draw_legend(axes, coloring.legend)
    _draw_marks(axes, piece, coloring.marks)


def _draw_marks(axes: Axes, piece: Piece, marks: Sequence[tuple[int, int, str, str]]) -> None:
    """Lines with words above the notes, in rows where they would overlap; the longest where it is crowded."""
    low, high = axes.get_ylim()
    ticks_per_letter = axes.get_xlim()[1] * MARK_LETTER_INCHES / _picture_size(piece)[0]
    rows: list[list[tuple[float, float]]] = []  # what is taken of each
    for start, end, words, color in sorted(marks, key=lambda mark: (mark[0] - mark[1], mark)):
        span = (start, max(end, start + ticks_per_letter * len(words)))
        free = (all(span[1] <= a or b <= span[0] for a, b in taken) for taken in rows)
        row = next((i for i, is_free in enumerate(free) if is_free), len(rows))
        if row == MAX_MARK_ROWS:
            continue
        if row == len(rows):
            rows.append([])
        rows[row].append(span)
        height = high + MARK_SEMITONES * (row + 0.5)
        axes.plot([start, end], [height, height], color=color, linewidth=3, solid_capstyle="butt", zorder=3)
        axes.annotate(
            words,
            (start, height),
            xytext=(0, 2),
            textcoords="offset points",
            fontsize=7,
            color="#333333",
            va="bottom",
            parse_math=False,
            annotation_clip=False,
        )
    axes.set_ylim(low, high + MARK_SEMITONES * (len(rows) + 0.5 if rows else 0))


def _draw_notes(axes: Axes, piece: Piece, faces: NDArray[np.float64]) -> None:
    """One rectangle a note in its color, faces (num_notes, 3), drums first so that they lie below."""
    left, right = piece.onset, piece.onset + piece.duration
    bottom, top = piece.pitch - 0.42, piece.pitch + 0.42
    corners = np.stack([left, bottom, left, top, right, top, right, bottom], axis=1)
    order = np.argsort(~piece.is_drum, kind="stable")
    axes.add_collection(
        PolyCollection(
            list(corners[order].reshape(-1, 4, 2)),
            facecolors=faces[order],
            edgecolors="white",
            linewidths=0.4 if piece.num_notes < 1500 else 0.0,  # would pale the many small notes
            zorder=3,
        ),
        autolim=False,
    )


def _draw_legend(axes: Axes, legend: Sequence[tuple[str, str]]) -> None:
    # matplotlib leaves out labels that begin with "_", and reads "$" as mathematics.
    handles = [
        Patch(color=color, label=f" {name}" if name.startswith("_") else name) for name, color in legend[:16]
    ]
    drawn = axes.figure.legend(
        handles=handles, loc="outside lower center", ncols=8, frameon=False, fontsize=8
    )
    for text in drawn.get_texts():
        text.set_parse_math(False)


def _instrument_colors(piece: Piece) -> dict[tuple[bool, int], str]:
    """A color for each (is_drum, program) of the piece, pitched ones first; they repeat after eight."""
    keys = sorted(set(zip(piece.is_drum.tolist(), piece.program.tolist(), strict=True)))
    return {
        key: DRUM_COLOR if key[0] else PROGRAM_COLORS[i % len(PROGRAM_COLORS)] for i, key in enumerate(keys)
    }


def _draw_pitch_axis(axes: Axes, piece: Piece) -> None:
    """From a third below to a third above the notes, at least two octaves, with the Cs named."""
    low, high = (int(piece.pitch.min()), int(piece.pitch.max())) if piece.num_notes else (60, 60)
    margin = max(4, (24 - (high - low)) // 2)
    low, high = max(low - margin, -1), min(high + margin, 128)
    axes.set_ylim(low, high)
    octaves = [pitch for pitch in range(0, 128, 12) if low <= pitch <= high]
    axes.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
    for pitch in range(low, high + 1):
        if pitch % 12 in BLACK_KEYS:
            axes.axhspan(pitch - 0.5, pitch + 0.5, color=BLACK_KEY_COLOR, linewidth=0, zorder=0)
    for pitch in octaves:
        axes.axhline(pitch - 0.5, color=GRID_COLOR, linewidth=0.8, zorder=1)
    axes.tick_params(axis="y", length=0, labelsize=9)


def _draw_bar_axis(axes: Axes, piece: Piece, end: int) -> None:
    """Bar lines, every one of them where there is room, with numbers below."""
    axes.set_xlim(0, end)
    bars = piece.bar_ticks(end)
    step = _round_step(len(bars) / MAX_LABELS)
    numbered = [i for i in range(len(bars)) if i == 0 or (i + 1) % step == 0]
    axes.set_xticks([bars[i] for i in numbered], [str(i + 1) for i in numbered])
    axes.set_xlabel("bar", fontsize=9)
    axes.tick_params(axis="x", length=0, labelsize=9)
    for i in range(len(bars)) if len(bars) <= MAX_BAR_LINES else numbered:
        axes.axvline(bars[i], color=GRID_COLOR, linewidth=0.9 if i in numbered else 0.5, zorder=1)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_color(GRID_COLOR)


def _draw_seconds_axis(axes: Axes, piece: Piece, end: int) -> None:
    """Minutes and seconds above, where they fall in a time axis of beats."""
    ticks = np.linspace(0, end, 4096).astype(np.int64)
    seconds = piece.seconds(ticks)
    step = _round_step(float(seconds[-1]) / (MAX_LABELS / 2))
    times = np.arange(0, seconds[-1], step)
    above = axes.secondary_xaxis("top")
    above.set_xticks(np.interp(times, seconds, ticks), [f"{int(t) // 60}:{int(t) % 60:02d}" for t in times])
    above.tick_params(length=2, labelsize=8, colors="#777777")
    above.spines["top"].set_color(GRID_COLOR)


def _round_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20 ... that is not below `least`, at least 1."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= least:
                return factor * power
        power *= 10


def _draw_primer(axes: Axes, primer_end: int) -> None:
    axes.axvspan(0, primer_end, color="#f2c14e", alpha=0.22, linewidth=0, zorder=0.5)
    axes.axvline(primer_end, color="#b8860b", linewidth=1.2, linestyle="--", zorder=2)
    axes.annotate(
        "primer",
        (0, 1),
        xycoords="axes fraction",
        xytext=(5, -5),
        textcoords="offset points",
        va="top",
        fontsize=9,
        color="#8a6508",
        fontweight="bold",
        zorder=4,
    )


def _draw_heading(axes: Axes, piece: Piece, title: str) -> None:
    count = f"{piece.num_notes:,} notes" if piece.num_notes != 1 else "1 note"
    heading = " \N{MIDDLE DOT} ".join(part for part in (title or piece.name, count) if part)
    # A name may hold "$", which matplotlib would read as mathematics.
    axes.set_title(heading, fontsize=11, loc="left", pad=20, parse_math=False)
