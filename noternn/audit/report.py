"""What an audit of samples found: rows for tables, and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noternn.audit.against import Against, as_it_is
from noternn.audit.figures import LENGTHS, Figures, RealFigures, pooled, quantile
from noternn.audit.index import Audit, Passage
from noternn.audit.streams import Ints
from noternn.corpus.reading import ReadingOptions, Skipped, read_one
from noternn.datasets.sources import Source
from noternn.music.piece import Piece
from noternn.tables import format_table, write_csv

MIN_NOTES = 16  # of the passages that decide
NAMED_PASSAGES = 3  # of a sample
MAX_NAME = 48  # characters in tables and pictures; sentences and files have all
FIELDS = Figures._fields
PASSAGE = ("passage_notes", "bars", "source", "source_bars", "stretch", "is_one_voice")
EXACT = (*FIELDS, "percentile", "is_flagged", *PASSAGE)  # columns of what is copied note for note
NEAR = {name: f"near_{name.removeprefix('copied_')}" for name in (*EXACT, "differing_notes")}
NEAR_RULE = "with a wrong note now and then, or in a rhythm that is near"


@dataclass(frozen=True, eq=False)
class Sample:
    """A sample, and its notes that stand in the corpus too."""

    name: str
    piece: Piece
    audit: Audit

    @property
    def figures(self) -> Figures:
        """What it copies note for note."""
        return Figures.of(self.audit)

    @property
    def near(self) -> Sample:
        """The same with passages that go on after differing notes, see `noternn.audit.index.Audit.near`."""
        return Sample(self.name, self.piece, self.audit.near)

    def bars(self, passage: Passage) -> Ints:
        """In which of its bars the notes of a passage stand."""
        return self.piece.bars_and_beats(self.piece.onset[passage.notes])[0]

    def sources(self, min_notes: int = MIN_NOTES) -> list[tuple[int, int]]:
        """The pieces of its passages of at least so many notes, and the notes from each, the most first."""
        pieces, counts = np.unique(
            self.audit.source_piece[self.audit.longest >= min_notes], return_counts=True
        )
        order = np.argsort(-counts, kind="stable")
        return list(zip(pieces[order].tolist(), counts[order].tolist(), strict=True))


def audit_samples(sources: Sequence[Source], against: Against) -> tuple[list[Sample], list[Skipped]]:
    """Audit some files, and say which hold no notes to look at."""
    samples, skipped = [], []
    for source in sources:
        piece = read_one(source, as_it_is, ReadingOptions())
        if isinstance(piece, Skipped):
            skipped.append(piece)
        elif piece.is_drum.all():
            skipped.append(Skipped(source.name, "holds drums alone, which are not looked at"))
        else:
            samples.append(Sample(source.name, piece, against.index.audit(piece)))
    return samples, skipped


def sample_rows(samples: Sequence[Sample], against: Against) -> list[dict[str, Any]]:
    """A row a sample: name, `Figures`, percentile, whether it is flagged, and its longest passage.

    After these stands the same of passages that go on after differing notes, in columns from `near_` on.
    """
    return [
        {"name": sample.name}
        | _row(sample, against.real, against)
        | {NEAR[name]: value for name, value in _row(sample.near, against.near, against).items()}
        for sample in samples
    ]


def _row(sample: Sample, real: RealFigures, against: Against) -> dict[str, Any]:
    """What is said of a sample by one rule."""
    figures = sample.figures
    measured = {"percentile": real.percentile(figures), "is_flagged": real.is_flagged(figures)}
    longest = passage_rows(sample, against)[:1]
    passage = {key: value for row in longest for key, value in row.items() if key != "sample"}
    return {**figures._asdict(), **measured, **passage}


def passage_rows(sample: Sample, against: Against) -> list[dict[str, Any]]:
    """A row for each of the longest passages of a sample: how long it is, and where it stands."""
    return [
        {
            "sample": sample.name,
            "passage_notes": len(passage),
            "bars": bar_range(sample.bars(passage)),
            "source": against.index.names[passage.source_piece],
            "source_bars": bar_range(against.index.bars(passage.source_piece, passage.source_notes)),
            "stretch": round(passage.stretch, 4),
            "is_one_voice": not passage.is_whole,
            "differing_notes": passage.num_differing,
        }
        for passage in sample.audit.passages[:NAMED_PASSAGES]
    ]


def as_plain(samples: Sequence[Sample], skipped: Sequence[Skipped], against: Against) -> dict[str, Any]:
    """All that was found as plain data, with the figures of the real pieces."""
    return {
        "against": against.title,
        "num_pieces": len(against.index.names),
        "num_notes": int(against.index.num_notes.sum()),
        "samples": [
            row
            | {"passages": passage_rows(sample, against)}
            | {"near_passages": passage_rows(sample.near, against)}
            for row, sample in zip(sample_rows(samples, against), samples, strict=True)
        ],
        "all_samples": pooled([sample.figures for sample in samples])._asdict(),
        "near_all_samples": pooled([sample.near.figures for sample in samples])._asdict(),
        "yardstick": _yardstick(against.real),
        "near_yardstick": _yardstick(against.near),
        "skipped": {s.name: s.reason for s in skipped},
    }


def _yardstick(real: RealFigures) -> dict[str, dict[str, list[float]]]:
    """The figures of the real pieces as plain data."""
    kinds = {"held_out": real.held_out, "others": real.others}
    return {
        name: {field: figures[:, i].tolist() for i, field in enumerate(FIELDS)}
        for name, figures in kinds.items()
    }


def save_table(samples: Sequence[Sample], against: Against, path: Path) -> None:
    """Write `sample_rows` as CSV.

    A name that a spreadsheet would take for a formula is written as the same path from "./".
    """
    rows = sample_rows(samples, against)
    for row in rows:
        for column in ("name", "source", NEAR["source"]):
            if str(row.get(column, "")).startswith(("=", "+", "-", "@")):
                row[column] = f"./{row[column]}"
    write_csv(path, rows, ["name", *EXACT, *(NEAR[name] for name in [*EXACT, "differing_notes"])])


def as_text(samples: Sequence[Sample], skipped: Sequence[Skipped], against: Against) -> str:
    """Tables of the figures and of the longest passages, and a sentence a sample."""
    index = against.index
    parts = [
        f"against {against.title}: {len(index.names):,} pieces, {index.num_notes.sum():,} notes",
        _figures_table(samples, against.real),
        f"{NEAR_RULE[0].upper()}{NEAR_RULE[1:]}:\n{_figures_table([s.near for s in samples], against.near)}",
        _passages_table("The longest passage of each", samples, against),
        _passages_table(f"The longest {NEAR_RULE}", [s.near for s in samples if _goes_on(s)], against),
    ]
    parts.append("\n".join(sentence(sample, against) for sample in samples))
    if skipped:
        lines = [f"{len(skipped)} skipped:", *(f"  {s.name}: {s.reason}" for s in skipped)]
        parts.append("\n".join(lines))
    return "\n\n".join(part for part in parts if part)


def _goes_on(sample: Sample) -> bool:
    """Whether its longest passage is longer with differing notes."""
    return sample.near.figures.longest > sample.figures.longest


def _passages_table(title: str, samples: Sequence[Sample], against: Against) -> str:
    rows = [_passage_cells(row) for sample in samples for row in passage_rows(sample, against)[:1]]
    return f"{title}:\n{format_table(rows, list(rows[0]))}" if rows else ""


def _figures_table(samples: Sequence[Sample], real: RealFigures) -> str:
    rows = [_cells(s.name, s.figures, real.percentile(s.figures)) for s in samples]
    if len(samples) > 1:
        rows.append(_cells(f"all {len(samples)} samples", pooled([sample.figures for sample in samples])))
    kinds = {"held-out pieces": real.held_out, "pieces against the others": real.others}
    for name, figures in kinds.items():
        for percentile, word in ((50, "median"), (95, "95th percentile")) if len(figures) else ():
            values = Figures(*np.percentile(figures, percentile, axis=0).tolist())
            rows.append(_cells(f"{len(figures)} {name}: {word}", values))
    return format_table(rows, list(rows[0])) if rows else ""


def _cells(name: str, figures: Figures, percentile: float | None = None) -> dict[str, str]:
    cells = {"": shortened(name), "notes": f"{figures.num_notes:.0f}"}
    shares = zip(LENGTHS, figures[1:4], strict=True)
    cells |= {f"in {length}+": f"{100 * share:.1f} %" for length, share in shares}
    rank = "" if percentile is None else f"{percentile:.0f}"
    return cells | {"longest": f"{figures.longest:.0f}", "percentile": rank}


def _passage_cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        "sample": shortened(row["sample"]),
        "bars": row["bars"],
        "notes": str(row["passage_notes"]),
        "stands in": shortened(row["source"]),
        "its bars": row["source_bars"],
        "how": how(row["is_one_voice"], row["stretch"], row["differing_notes"]),
    }


def how(is_one_voice: bool, stretch: float, num_differing: int = 0) -> str:
    """In words what a passage changes of its source, but for the key."""
    speed = "" if stretch == 1 else f"{stretch:.3g} times as fast" if stretch > 1 else _slower(stretch)
    voice = "in one voice" if is_one_voice else "all notes"
    others = f"{num_differing} differing note{'s' if num_differing > 1 else ''}" if num_differing else ""
    return ", ".join(part for part in (voice, speed, others) if part)


def _slower(stretch: float) -> str:
    return f"{1 / stretch:.3g} times as slow"


def sentence(sample: Sample, against: Against) -> str:
    """What the figures say of a sample: note for note, and below with a wrong note now and then."""
    pieces = "the training pieces" if len(against.real.held_out) else "the corpus"
    what = f"of its notes stand in passages of {MIN_NOTES} or more of {pieces}"
    near = sample.near
    exact = f"{sample.name}: {_percent(sample.figures.copied_16)} {what}"
    tolerant = f"  {NEAR_RULE}: {_percent(near.figures.copied_16)}"
    if against.real.limit() is None:
        return f"{exact}; there are no real pieces to compare it with\n{tolerant}"
    exact, tolerant = (
        f"{text} {_verdict(rule, real, against)}"
        for text, rule, real in ((exact, sample, against.real), (tolerant, near, against.near))
    )
    return f"{exact}\n{tolerant}"


def _verdict(sample: Sample, real: RealFigures, against: Against) -> str:
    """A figure beside the same of real pieces, and what to think of it."""
    median, limit = quantile(real.column("copied_16"), 50) or 0.0, real.limit() or 0.0
    measure = f"({real.what}: median {_percent(median)}, 95th percentile {_percent(limit)})"
    if not real.is_flagged(sample.figures):
        return f"{measure}: no more than real pieces do"
    most, _ = sample.sources()[0]
    longest = next(passage for passage in sample.audit.passages if passage.source_piece == most)
    source = f"{against.index.names[most]} {bar_words(against.index.bars(most, longest.source_notes))}"
    return f"{measure}: it copies, most from {source}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def bar_range(bars: Ints) -> str:
    """From the first to the last, such as 3-9."""
    first, last = int(bars.min()), int(bars.max())
    return str(first) if first == last else f"{first}-{last}"


def shortened(name: str) -> str:
    """A name for a table or picture, cut in its middle."""
    half = MAX_NAME // 2
    return name if len(name) <= MAX_NAME else f"{name[: half - 1]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def bar_words(bars: Ints) -> str:
    """The same in words: bars 3-9, or bar 3."""
    text = bar_range(bars)
    return f"bars {text}" if "-" in text else f"bar {text}"
