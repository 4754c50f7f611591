"""Pictures of bars, standing and lying, as SVG for a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from noternn.corpus.overview import count, number, percent

MAX_VALUES = 8  # fewer different ones have a bar each
MAX_BARS = 24
NUM_BINS = 30  # at most


def histogram(caption: str, values: NDArray[np.float64]) -> str:
    """How many pieces have which value; the last bar holds all above, where few are far off."""
    values = values.round(2)  # a tick is no silence
    distinct, times = np.unique(values, return_counts=True)
    if len(distinct) <= MAX_VALUES:
        named = zip(map(number, distinct.tolist()), (times / len(values)).tolist(), strict=True)
        return shares(f"{caption}, share of the pieces", list(named))
    edges = bin_edges(values)
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    heights = np.bincount(bins, minlength=len(edges) - 1).tolist()
    labels = [_round(edge) for edge in edges.tolist()]
    names = [f"{low} to {high}" for low, high in pairwise(labels)]
    if values.max() >= edges[-1]:
        names[-1], labels[-1] = f"{labels[-2]} and more", ""
    titles = [f"{name}: {count(height, 'piece')}" for name, height in zip(names, heights, strict=True)]
    return _columns_picture(caption, heights, titles, labels)


def bin_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round numbers from the least value to the greatest, or to where 99 % lie if the rest is far off."""
    low, usual, high = np.quantile(values, (0, 0.99, 1)).tolist()
    high = usual if usual > low else high
    width = _round_width((high - low) / NUM_BINS, whole=bool((values == np.rint(values)).all()))
    return np.arange(math.floor(low / width), math.floor(high / width) + 2) * width


def _round_width(least: float, whole: bool) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least` > 0."""
    power = 10.0 ** math.floor(math.log10(least))
    width = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
    return max(1.0, width) if whole else width


def _round(value: float) -> str:
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.3g}"


def pitches(lowest: NDArray[np.int64], highest: NDArray[np.int64]) -> str:
    """How many pieces have a pitch in their range."""
    lowest, highest = lowest[lowest >= 0], highest[highest >= 0]
    if not lowest.size:
        return ""
    reached = range(int(lowest.min()), int(highest.max()) + 1)
    heights = [int(((lowest <= pitch) & (pitch <= highest)).sum()) for pitch in reached]
    titles = [f"pitch {p}: {count(height, 'piece')}" for p, height in zip(reached, heights, strict=True)]
    labels = [f"C{pitch // 12 - 1}" if pitch % 12 == 0 else "" for pitch in reached]
    return _columns_picture("pitches, pieces that reach them (C4 is 60)", heights, titles, [*labels, ""])


def _columns_picture(
    caption: str, heights: Sequence[int], titles: Sequence[str], labels: Sequence[str]
) -> str:
    """Standing bars, with labels where they begin and where the last one ends; some if there are many."""
    width, height = 340, 120
    step, most = width / len(heights), max(heights)
    bars = [
        f'<rect x="{10 + i * step:.1f}" width="{step - min(1, step / 2):.1f}" '
        f'y="{12 + height * (1 - h / most):.1f}" height="{height * h / most:.1f}">'
        f"<title>{escape(title)}</title></rect>"
        for i, (h, title) in enumerate(zip(heights, titles, strict=True))
    ]
    written = [i for i, label in enumerate(labels) if label]
    every = math.ceil(len(written) / 7)
    marks = [
        f'<text x="{10 + i * step:.1f}" y="{height + 26}" text-anchor="middle">{escape(labels[i])}</text>'
        for i in written[::every]
    ]
    axis = f'<line x1="10" x2="{10 + width}" y1="{height + 12.5}" y2="{height + 12.5}"/>'
    top = f'<text x="{10 + width}" y="9" text-anchor="end">tallest: {count(most, "piece")}</text>'
    return _figure(caption, width + 30, height + 32, [*bars, axis, top, *marks])


def shares(caption: str, parts: Sequence[tuple[str, float]]) -> str:
    """Lying bars, the longest names and shares first."""
    if not parts:
        return ""
    shown = parts[:MAX_BARS]
    most = max(share for _, share in shown)
    lines = []
    for i, (name, share) in enumerate(shown):
        y = 16 * i
        lines.append(f'<text x="150" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        lines.append(f'<rect x="156" y="{y + 2}" width="{150 * share / most:.1f}" height="12"/>')
        lines.append(f'<text x="{160 + 150 * share / most:.1f}" y="{y + 12}">{percent(share)}</text>')
    if len(parts) > len(shown):
        lines.append(f'<text x="156" y="{16 * len(shown) + 12}">and {len(parts) - len(shown)} more</text>')
    return _figure(caption, 360, 16 * (len(shown) + (len(parts) > len(shown))) + 4, lines)


def _figure(caption: str, width: int, height: int, lines: Sequence[str]) -> str:
    drawing = "\n".join(lines)
    return (
        f"<figure><figcaption>{escape(caption)}</figcaption>\n"
        f'<svg width="{width}" height="{height}" role="img">\n{drawing}\n</svg></figure>\n'
    )
