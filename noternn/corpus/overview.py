"""An inspection of a corpus in words and small tables: the text for the terminal, and parts of the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noternn.corpus.inspection import (
    Inspection,
    TokenizerReport,
    instrument_shares,
    key_shares,
    metre_shares,
    skip_reasons,
)
from noternn.corpus.splits import SPLITS
from noternn.music.remarks import kinds
from noternn.tables import format_table
from noternn.terminal import printable

MAX_REASONS, MAX_NAMES = 6, 3  # in the text, which stays one screen for any corpus
WIDTH = 110  # of a line that holds as many names as fit

QUANTITIES = {  # a column of `Inspection.columns`: how it is called
    "num_notes": "notes",
    "beats": "beats",
    "seconds": "seconds",
    "notes_per_beat": "notes a beat",
    "notes_per_second": "notes a second",
    "tempo": "tempo (beats a minute)",
    "polyphony": "notes at a time",
    "lowest_pitch": "lowest pitch",
    "highest_pitch": "highest pitch",
    "longest_silence_beats": "longest silence (beats)",
}


def describe(inspection: Inspection) -> str:
    """The corpus on one screen, however large it is."""
    parts = [
        [
            f"{inspection.title}: {totals(inspection)}",
            *_skipped_lines(inspection),
            *_remark_lines(inspection),
        ],
    ]
    if inspection.num_pieces:
        parts += [
            [_quantity_table(inspection), *_extremes(inspection)],
            _share_lines(inspection),
            [_split_text(inspection), _duplicates_text(inspection)],
            [_tokenizer_table(inspection)],
        ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def totals(inspection: Inspection) -> str:
    """How many files, and how much music is in them."""
    columns = inspection.columns
    notes, beats, seconds = (columns[name].sum() for name in ("num_notes", "beats", "seconds"))
    return (
        f"{count(inspection.num_files, 'file')}, {len(inspection.skipped):,} skipped; "
        f"{count(inspection.num_pieces, 'piece')}, {count(int(notes), 'note')}, {beats:,.0f} beats, "
        f"{duration(seconds)}"
    )


def count(number: int, noun: str) -> str:
    """A number of things in words."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} hours"
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.1f} seconds"


def _skipped_lines(inspection: Inspection) -> list[str]:
    reasons = skip_reasons(inspection)
    lines = [_cut(f"  skipped {len(names):,}: {reason}", names) for reason, names in reasons[:MAX_REASONS]]
    if len(reasons) > MAX_REASONS:
        lines.append(f"  ... for {count(len(reasons) - MAX_REASONS, 'more reason')}: see --csv")
    return lines


def _remark_lines(inspection: Inspection) -> list[str]:
    found = kinds(inspection.remarks)
    lines = [f"  read, but {kind}" for kind in found[:MAX_REASONS]]
    if len(found) > MAX_REASONS:
        lines.append(f"  ... and {count(len(found) - MAX_REASONS, 'more kind')}: see --csv")
    return lines


def _cut(text: str, names: Sequence[str]) -> str:
    """Some of the names in brackets after a text, as many as fit into a line."""
    shown: list[str] = []
    for name in names[:MAX_NAMES]:
        if len(f"{text} ({', '.join([*shown, name])}, ...)") > WIDTH and shown:
            break
        shown.append(_short(name))
    more = ", ..." if len(names) > len(shown) else ""
    return f"{text} ({', '.join(shown)}{more})"


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"...{name[-37:]}"


def _quantity_table(inspection: Inspection) -> str:
    shares = _QUARTILES if inspection.num_pieces > 1 else {"value": 0}
    rows = []
    for column, label in QUANTITIES.items():
        values = inspection.columns[column]
        if column.endswith("_pitch"):
            values = values[values >= 0]  # pieces of drums have none
        if values.size:
            at = np.quantile(values, [float(share) for share in shares.values()]).tolist()
            rows.append({"a piece": label} | dict(zip(shares, map(number, at), strict=True)))
    return format_table(rows, ["a piece", *shares])


_QUARTILES = {"least": 0, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "most": 1}


def number(value: float) -> str:
    """A number with as many digits as tell something."""
    if abs(value) >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.005 else f"{value:.1g}"


def _extremes(inspection: Inspection) -> list[str]:
    names, beats = inspection.columns["name"], inspection.columns["beats"]
    if len(names) < 2:
        return []
    shortest, longest = (_short(str(names[i])) for i in (beats.argmin(), beats.argmax()))
    return [f"shortest: {shortest}; longest: {longest}"]


def _share_lines(inspection: Inspection) -> list[str]:
    columns = inspection.columns
    changing = [float((columns[f"num_{what}_changes"] > 0).mean()) for what in ("tempo", "metre")]
    single = float((columns["num_velocities"] == 1).mean())
    return [
        f"instruments  {_in_words(instrument_shares(inspection))}",
        f"keys         {_in_words(key_shares(inspection))}",
        f"metres       {_in_words(metre_shares(inspection))}",
        f"changes      of tempo in {percent(changing[0])} of the pieces, of metre in {percent(changing[1])}; "
        f"one velocity only in {percent(single)}",
    ]


def _in_words(shares: Sequence[tuple[str, float]]) -> str:
    """The largest shares, as many as fit into a line."""
    words: list[str] = []
    for name, share in shares:
        word = f"{name} {percent(share)}"
        if len(", ".join([*words, word])) > WIDTH - 23:
            return ", ".join([*words, f"{len(shares) - len(words)} more"])
        words.append(word)
    return ", ".join(words)


def percent(share: float) -> str:
    """A share of 0 to 1; 0 % means none and 100 % means all: other shares are never rounded to these."""
    rounded = f"{share:.1%}" if 0 < share < 0.01 or 0.99 < share < 1 else f"{share:.0%}"
    return rounded.replace("%", " %")


def split_rows(inspection: Inspection) -> list[dict[str, object]]:
    """A row for each split, as text; none where there is no split."""
    sizes = inspection.encoded.sizes if inspection.encoded else {}
    return [
        {
            "split": name,
            "pieces": f"{sizes[name].num_pieces:,}",
            "notes": f"{sizes[name].num_notes:,}",
            "beats": f"{sizes[name].beats:,.0f}",
            "minutes": f"{sizes[name].seconds / 60:,.1f}",
        }
        for name in SPLITS
        if name in sizes
    ]


def _split_text(inspection: Inspection) -> str:
    rows = split_rows(inspection)
    if not rows:
        return f"no split: {inspection.no_split}"
    return f"{format_table(rows, list(rows[0]))}\n{leak_line(inspection)}"


def leak_line(inspection: Inspection) -> str:
    """How much of the validation music is copied from training; "" without a split."""
    if inspection.encoded is None:
        return ""
    leak = inspection.encoded.leak
    copied = f"{percent(leak.grouped)} of the validation notes stand in passages copied from training"
    if inspection.seed is None:
        return f"ready-made; {copied}"
    apart = f"with near-duplicates on both sides: {percent(leak.ungrouped)}"
    return f"seed {inspection.seed}; {copied} ({apart})"


def duplicates_line(inspection: Inspection) -> str:
    """How many pieces are near-duplicates, and whether they stay together."""
    groups = inspection.duplicates()
    text = f"{sum(map(len, groups)):,} pieces in {count(len(groups), 'group')}"
    crossing = inspection.encoded.num_crossing if inspection.encoded else 0
    return f"{text}, {crossing:,} of them in more than one split" if crossing else text


def _duplicates_text(inspection: Inspection) -> str:
    groups = inspection.duplicates()
    if not groups:
        return "near-duplicates: none"
    text = f"near-duplicates: {duplicates_line(inspection)}; the largest has {len(groups[0]):,}"
    return _cut(text, groups[0])


TOKENIZER_COLUMNS = (
    "tokenizer",
    "tokens",
    "a note",
    "vocabulary",
    "unknown",
    "notes kept",
    "onset error",
    "duration error",
)


def tokenizer_rows(inspection: Inspection) -> list[dict[str, object]]:
    """A row for each tokenizer that can write the corpus, as text."""
    return [_tokenizer_row(report) for report in inspection.tokenizers if not report.problem]


def _tokenizer_row(report: TokenizerReport) -> dict[str, object]:
    num_tokens = sum(report.tokens.values())
    values = (
        report.name,
        f"{num_tokens:,}",
        f"{num_tokens / report.num_notes:.2f}",
        f"{report.vocab_size:,}",
        "-" if report.unknown_fraction is None else f"{100 * report.unknown_fraction:.2f} %",
        f"{100 * report.kept_fraction:.2f} %",
        f"{report.onset_error_beats:.4f}",
        f"{report.duration_error_beats:.4f}",
    )
    return dict(zip(TOKENIZER_COLUMNS, values, strict=True))


def tokenizer_notes(inspection: Inspection) -> list[str]:
    """What the columns of `tokenizer_rows` mean, and the tokenizers that are not in it."""
    meaning = "unknown: of the validation tokens; errors: mean, in beats, of the notes kept"
    return [meaning, *(f"{t.name}: {printable(t.problem)}" for t in inspection.tokenizers if t.problem)]


def _tokenizer_table(inspection: Inspection) -> str:
    table = format_table(tokenizer_rows(inspection), TOKENIZER_COLUMNS)
    return "\n".join([table, *tokenizer_notes(inspection)])
