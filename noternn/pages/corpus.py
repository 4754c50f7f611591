"""An inspection of a corpus as one HTML page with pictures, which needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

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
    split_rows,
    tokenizer_notes,
    tokenizer_rows,
    totals,
)
from noternn.files import write_text
from noternn.music.remarks import kinds
from noternn.pages.bars import histogram, pitches, shares
from noternn.pages.html import SORT_SCRIPT, html_page, table

MAX_ROWS = 1000  # of a table: more make a browser slow
MAX_GROUPS, MAX_NAMES = 20, 12
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

STYLE = "\n" + files("noternn.pages").joinpath("corpus.css").read_text("utf-8")


def save_page(inspection: Inspection, path: Path) -> None:
    """Write the page; every text from a file is escaped."""
    of_pieces = (_music, _split, _tokenizers, _duplicates, _files) if inspection.num_pieces else ()
    sections = (*of_pieces[:4], _skipped, _remarks, *of_pieces[4:])
    heading = f"<h1>{escape(inspection.title)}</h1>\n<p>{escape(totals(inspection))}</p>"
    body = "\n".join([heading, *(section(inspection) for section in sections)])
    write_text(path, html_page(f"Corpus: {inspection.title}", body, style=STYLE, scripts=[SORT_SCRIPT]))


def _music(inspection: Inspection) -> str:
    columns = inspection.columns
    pictures = [
        histogram(label, columns[name]) for name, label in QUANTITIES.items() if not name.endswith("_pitch")
    ]
    pictures.append(pitches(columns["lowest_pitch"], columns["highest_pitch"]))
    pictures += [
        shares("instruments, share of the pieces", instrument_shares(inspection)),
        shares("keys, share of the pieces", key_shares(inspection)),
        shares("longest metre, share of the pieces", metre_shares(inspection)),
    ]
    return f'<h2>Music</h2>\n<div class="pictures">\n{"".join(pictures)}</div>'


def _split(inspection: Inspection) -> str:
    rows = split_rows(inspection)
    if not rows or inspection.encoded is None:
        return f"<h2>Split</h2>\n<p>None: {escape(inspection.no_split)}</p>"
    sizes = inspection.encoded.sizes
    parts = [(name, size.num_pieces / inspection.num_pieces) for name, size in sizes.items()]
    return f"<h2>Split</h2>\n{table(rows, list(rows[0]))}\n<p>{escape(leak_line(inspection))}</p>\n" + shares(
        "share of the pieces", parts
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


def _remarks(inspection: Inspection) -> str:
    heading = "<h2>Read, but</h2>\n"
    rows = [
        {
            "what": kind.what,
            "times": f"{kind.number:,}",
            "pieces": f"{kind.num_pieces:,}",
            "first": kind.first,
        }
        for kind in kinds(inspection.remarks)[:MAX_ROWS]
    ]
    if not rows:
        return f"{heading}<p>All was read as it stands.</p>"
    return heading + table(rows, ["what", "times", "pieces", "first"])


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
