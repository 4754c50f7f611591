"""An inspection of a corpus as one HTML page with pictures, which needs no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noternn.corpus.inspection import (
    Inspection,
    file_rows,
    instrument_shares,
    key_shares,
    metre_shares,
    skip_reasons,
)
from noternn.corpus.overview import (
    QUANTITIES,
    TOKENIZER_COLUMNS,
    count,
    duplicates_line,
    leak_line,
    number,
    percent,
    split_rows,
    tokenizer_notes,
    tokenizer_rows,
    totals,
)
from noternn.files import write_text
from noternn.pages.html import SORT_SCRIPT, html_page, table

MAX_ROWS = 1000  # of a table: more make a browser slow
MAX_GROUPS, MAX_NAMES = 20, 12
MAX_VALUES = 8  # fewer different ones have a bar each
MAX_BARS = 24
NUM_BINS = 30  # at most
FILE_COLUMNS = {  # a column of `file_rows`: its heading
    "name": "file",
    "split": "split",
    "num_notes": "notes",
    "beats": "beats",
    "seconds": "seconds",
    "notes_per_beat": "notes a beat",
    "tempo": "tempo",
    "key": "key",
    "metre": "metre",
    "lowest_pitch": "lowest",
    "highest_pitch": "highest",
    "polyphony": "at a time",
    "programs": "programs",
    "num_drum_notes": "drum notes",
    "group_size": "in group",
}

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222 }
body { max-width: 1320px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em; margin-bottom: 0; overflow-wrap: anywhere } h2 { font-size: 1.15em; margin-top: 2em }
p { margin: .4em 0 } .note { color: #666 }
.pictures { display: flex; flex-wrap: wrap; gap: 1.2em 2em }
figure { margin: 0 } figcaption { font-weight: 600; margin-bottom: .2em }
svg { display: block; font: 11px system-ui, sans-serif } svg text { fill: #444 }
rect { fill: #2f6fb3 } rect:hover { fill: #d9742b } line { stroke: #999 }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px } td, th { padding: .2em .5em; text-align: left }
th { border-bottom: 2px solid #999; white-space: nowrap } td { border-bottom: 1px solid #e4e4e4 }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
table.sortable td:first-child { overflow-wrap: anywhere; min-width: 14em; white-space: normal }
table.sortable td { white-space: nowrap }
table.sortable th { cursor: pointer } table.sortable th:hover { background: #eef }
"""


def save_page(inspection: Inspection, path: Path) -> None:
    """Write the page; every text from a file is escaped."""
    of_pieces = (_music, _split, _tokenizers, _duplicates, _files) if inspection.num_pieces else ()
    sections = (*of_pieces[:4], _skipped, *of_pieces[4:])
    heading = f"<h1>{escape(inspection.title)}</h1>\n<p>{escape(totals(inspection))}</p>"
    body = "\n".join([heading, *(section(inspection) for section in sections)])
    write_text(path, html_page(f"Corpus: {inspection.title}", body, style=STYLE, scripts=[SORT_SCRIPT]))


def _music(inspection: Inspection) -> str:
    columns = inspection.columns
    pictures = [
        _histogram(label, columns[name]) for name, label in QUANTITIES.items() if not name.endswith("_pitch")
    ]
    pictures.append(_pitches(columns["lowest_pitch"], columns["highest_pitch"]))
    pictures += [
        _shares("instruments, share of the pieces", instrument_shares(inspection)),
        _shares("keys, share of the pieces", key_shares(inspection)),
        _shares("longest metre, share of the pieces", metre_shares(inspection)),
    ]
    return f'<h2>Music</h2>\n<div class="pictures">\n{"".join(pictures)}</div>'


def _split(inspection: Inspection) -> str:
    rows = split_rows(inspection)
    if not rows or inspection.encoded is None:
        return f"<h2>Split</h2>\n<p>None: {escape(inspection.no_split)}</p>"
    sizes = inspection.encoded.sizes
    shares = [(name, size.num_pieces / inspection.num_pieces) for name, size in sizes.items()]
    return (
        f"<h2>Split</h2>\n{table(rows, list(rows[0]))}\n<p>{escape(leak_line(inspection))}</p>\n"
        + _shares("share of the pieces", shares)
    )


def _tokenizers(inspection: Inspection) -> str:
    notes = "".join(f'<p class="note">{escape(note)}</p>\n' for note in tokenizer_notes(inspection))
    return f"<h2>Tokenizers</h2>\n{table(tokenizer_rows(inspection), TOKENIZER_COLUMNS)}\n{notes}"


def _duplicates(inspection: Inspection) -> str:
    groups = inspection.duplicates()
    if not groups:
        return "<h2>Near-duplicates</h2>\n<p>None.</p>"
    rows = [{"pieces": f"{len(names):,}", "names": _some(names)} for names in groups[:MAX_GROUPS]]
    return (
        f"<h2>Near-duplicates</h2>\n<p>{escape(duplicates_line(inspection))}</p>\n"
        f"{table(rows, ['pieces', 'names'])}\n" + _left_out(len(groups) - len(rows), "group")
    )


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def _skipped(inspection: Inspection) -> str:
    if not inspection.skipped:
        return "<h2>Skipped files</h2>\n<p>None.</p>"
    reasons = [{"reason": reason, "files": f"{len(names):,}"} for reason, names in skip_reasons(inspection)]
    rows = [{"file": s.name, "reason": s.reason} for s in inspection.skipped[:MAX_ROWS]]
    return (
        f"<h2>Skipped files</h2>\n{table(reasons[:MAX_ROWS], ['reason', 'files'])}\n"
        f"<p>&nbsp;</p>\n{table(rows, ['file', 'reason'], sortable=True)}\n"
        + _left_out(len(inspection.skipped) - len(rows), "file")
    )


def _files(inspection: Inspection) -> str:
    rows = [row for row in file_rows(inspection) if "skipped" not in row]
    tokens = {f"tokens_{report.name}": f"tokens {report.name}" for report in inspection.tokenizers}
    headings = FILE_COLUMNS | tokens
    shown = [{headings[name]: _cell(row.get(name)) for name in headings} for row in rows[:MAX_ROWS]]
    return f"<h2>Files</h2>\n{table(shown, list(headings.values()), sortable=True)}\n" + _left_out(
        len(rows) - len(shown), "file"
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    return number(value) if isinstance(value, int | float) else str(value)


def _left_out(num_rows: int, noun: str) -> str:
    return f'<p class="note">and {count(num_rows, noun)} more: see --csv</p>\n' if num_rows else ""


def _histogram(caption: str, values: NDArray[np.float64]) -> str:
    """How many pieces have which value; the last bar holds all above, where few are far off."""
    values = values.round(2)  # a tick is no silence
    distinct, times = np.unique(values, return_counts=True)
    if len(distinct) <= MAX_VALUES:
        named = zip(map(number, distinct.tolist()), (times / len(values)).tolist(), strict=True)
        return _shares(f"{caption}, share of the pieces", list(named))
    edges = _bin_edges(values)
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    heights = np.bincount(bins, minlength=len(edges) - 1).tolist()
    labels = [_round(edge) for edge in edges.tolist()]
    names = [f"{low} to {high}" for low, high in pairwise(labels)]
    if values.max() >= edges[-1]:
        names[-1], labels[-1] = f"{labels[-2]} and more", ""
    titles = [f"{name}: {count(height, 'piece')}" for name, height in zip(names, heights, strict=True)]
    return _columns_picture(caption, heights, titles, labels)


def _bin_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
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


def _pitches(lowest: NDArray[np.int64], highest: NDArray[np.int64]) -> str:
    """How many pieces have a pitch in their range."""
    lowest, highest = lowest[lowest >= 0], highest[highest >= 0]
    if not lowest.size:
        return ""
    pitches = range(int(lowest.min()), int(highest.max()) + 1)
    heights = [int(((lowest <= pitch) & (pitch <= highest)).sum()) for pitch in pitches]
    titles = [f"pitch {p}: {count(height, 'piece')}" for p, height in zip(pitches, heights, strict=True)]
    labels = [f"C{pitch // 12 - 1}" if pitch % 12 == 0 else "" for pitch in pitches]
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


def _shares(caption: str, shares: Sequence[tuple[str, float]]) -> str:
    """Lying bars, the longest names and shares first."""
    if not shares:
        return ""
    shown = shares[:MAX_BARS]
    most = max(share for _, share in shown)
    lines = []
    for i, (name, share) in enumerate(shown):
        y = 16 * i
        lines.append(f'<text x="150" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        lines.append(f'<rect x="156" y="{y + 2}" width="{150 * share / most:.1f}" height="12"/>')
        lines.append(f'<text x="{160 + 150 * share / most:.1f}" y="{y + 12}">{percent(share)}</text>')
    if len(shares) > len(shown):
        lines.append(f'<text x="156" y="{16 * len(shown) + 12}">and {len(shares) - len(shown)} more</text>')
    return _figure(caption, 360, 16 * (len(shown) + (len(shares) > len(shown))) + 4, lines)


def _figure(caption: str, width: int, height: int, lines: Sequence[str]) -> str:
    drawing = "\n".join(lines)
    return (
        f"<figure><figcaption>{escape(caption)}</figcaption>\n"
        f'<svg width="{width}" height="{height}" role="img">\n{drawing}\n</svg></figure>\n'
    )
