"""What a corpus holds, before any training: measured, as text and as a table of its files."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noternn.config import Config, Dataset, FolderDataset, Tokenizer
from noternn.corpus import (
    SPLITS,
    EncodedCorpus,
    Skipped,
    Source,
    TokenizedCorpus,
    encode_corpus,
    tokenize_corpus,
)
from noternn.corpus.facts import key_name, programs_of
from noternn.corpus.sources import printable
from noternn.corpus.splits import assign_splits
from noternn.datasets import sources_of
from noternn.errors import UserError
from noternn.instruments import PROGRAMS
from noternn.tables import format_table, write_csv
from noternn.tokenizer import build_tokenizer

log = logging.getLogger(__name__)

MAX_REASONS, MAX_NAMES, MAX_SHARES = 6, 3, 6  # in the text, which stays one screen for any corpus
WIDTH = 110  # of a line with names

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


@dataclass(frozen=True)
class TokenizerReport:
    """A corpus as one tokenizer writes it.

    Args:
        name: the option, such as "event".
        tokens: how many each piece becomes, by its name; without BOS and EOS.
        num_notes: notes that they describe.
        vocab_size: of the training split; of all pieces where there is no split.
        unknown_fraction: share of the validation tokens that the vocabulary lacks; None without a split.
        kept_fraction, onset_error_beats, duration_error_beats: see `noternn.tokenizer.RoundTrip`.
        problem: why it cannot write this corpus; "" if it can.
    """

    name: str
    tokens: Mapping[str, int]
    num_notes: int = 0
    vocab_size: int = 0
    unknown_fraction: float | None = None
    kept_fraction: float = 0.0
    onset_error_beats: float = 0.0
    duration_error_beats: float = 0.0
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Inspection:
    """A corpus as training would read it.

    Args:
        title: what was looked at.
        num_files: files found.
        skipped: those left out, with the reasons.
        columns: by name, a value for each piece, (num_pieces,): `name`, `group`, `split` ("" without one),
            the fields of `PieceFacts`, and what follows from them.
        encoded: the splits; None where there are none.
        no_split: why there are none.
        seed: of the split.
        tokenizers: the one that training would use, then the others with their defaults.
    """

    title: str
    num_files: int
    skipped: tuple[Skipped, ...]
    columns: Mapping[str, NDArray[Any]]
    encoded: EncodedCorpus | None
    no_split: str
    seed: int
    tokenizers: Sequence[TokenizerReport]

    @property
    def num_pieces(self) -> int:
        """How many files were read."""
        return len(self.columns["name"])

    def duplicates(self) -> list[list[str]]:
        """The names in each group of two or more near-duplicates, largest group first."""
        named: dict[str, list[str]] = {}
        for name, group in zip(self.columns["name"].tolist(), self.columns["group"].tolist(), strict=True):
            named.setdefault(group, []).append(name)
        groups = (sorted(names) for names in named.values() if len(names) > 1)
        return sorted(groups, key=lambda names: (-len(names), names))


def sources_at(target: str, dataset: Dataset) -> list[Source]:
    """The files of a dataset, or the one file at a path."""
    path = Path(os.path.expanduser(target))
    if isinstance(dataset, FolderDataset) and dataset.path == target and not path.is_dir():
        return [Source(path, printable(path.name))]
    return sources_of(dataset)


def inspect(
    title: str, sources: Sequence[Source], config: Config, others: Mapping[str, Tokenizer]
) -> Inspection:
    """Read a corpus, with the caches that training uses, and measure it.

    Args:
        title: what the report calls it.
        sources: its files.
        config: of a training run.
        others: more tokenizers to compare, by name.

    Raises:
        UserError: if none of the files can be read.
    """
    corpus = _tokenize(sources, config, config.tokenizer)
    encoded, no_split = _encode(corpus, config, config.tokenizer)
    reports = [_report(config.tokenizer.name, corpus, encoded)]
    reports += [_report_other(name, other, sources, config) for name, other in others.items()]
    return Inspection(
        title=printable(title),
        num_files=len(sources),
        skipped=corpus.skipped,
        columns=_columns(corpus, _splits(corpus, config) if encoded else [""] * corpus.num_pieces),
        encoded=encoded,
        no_split=no_split,
        seed=config.seed,
        tokenizers=reports,
    )


def _tokenize(sources: Sequence[Source], config: Config, tokenizer: Tokenizer) -> TokenizedCorpus:
    data = config.datamodule
    cache_dir = Path(data.cache_dir) if data.cache_dir else None
    return tokenize_corpus(sources, asdict(tokenizer), cache_dir, data.num_processes, config.dataset.tracks)


def _encode(
    corpus: TokenizedCorpus, config: Config, tokenizer: Tokenizer
) -> tuple[EncodedCorpus | None, str]:
    """The splits, or none and the reason."""
    if len(set(corpus.groups.tolist())) < 2:
        return None, "there is only one piece (or copies of one), and training needs two"
    encoded = encode_corpus(
        corpus,
        seed=config.seed,
        validation_fraction=config.dataset.validation_fraction,
        test_fraction=config.dataset.test_fraction,
        min_count=build_tokenizer(**asdict(tokenizer)).min_count,
    )
    return encoded, ""


def _splits(corpus: TokenizedCorpus, config: Config) -> list[str]:
    d = config.dataset
    return assign_splits(corpus.groups.tolist(), config.seed, d.validation_fraction, d.test_fraction)


def _report_other(
    name: str, tokenizer: Tokenizer, sources: Sequence[Source], config: Config
) -> TokenizerReport:
    try:
        corpus = _tokenize(sources, config, tokenizer)
    except UserError as error:  # a tokenizer that writes no drums has nothing to say of a folder of them
        return TokenizerReport(name, {}, problem=str(error))
    return _report(name, corpus, _encode(corpus, config, tokenizer)[0])


def _report(name: str, corpus: TokenizedCorpus, encoded: EncodedCorpus | None) -> TokenizerReport:
    num_notes, kept_fraction, onset_error, duration_error = corpus.round_trip.T
    kept = num_notes * kept_fraction
    weights = kept / kept.sum() if kept.sum() else kept
    return TokenizerReport(
        name,
        tokens=dict(zip(corpus.names.tolist(), np.diff(corpus.offsets).tolist(), strict=True)),
        num_notes=int(corpus.num_notes.sum()),
        vocab_size=len(encoded.vocabulary) if encoded else len(corpus.tokens),
        unknown_fraction=encoded.sizes["validation"].unknown_fraction if encoded else None,
        kept_fraction=float(kept.sum() / num_notes.sum()),
        onset_error_beats=float(onset_error @ weights),
        duration_error_beats=float(duration_error @ weights),
    )


def _columns(corpus: TokenizedCorpus, splits: Sequence[str]) -> dict[str, NDArray[Any]]:
    facts = {name: np.asarray(column) for name, column in corpus.facts.items()}
    tonics, minors = facts["tonic"].tolist(), facts["is_minor"].tolist()
    return {
        "name": corpus.names,
        "group": np.array([group[:16] for group in corpus.groups.tolist()], dtype=np.str_),
        "split": np.array(splits, dtype=np.str_),
        **facts,
        "notes_per_beat": facts["num_notes"] / facts["beats"],
        "notes_per_second": facts["num_notes"] / facts["seconds"],
        "key": np.array([key_name(*key) for key in zip(tonics, minors, strict=True)], dtype=np.str_),
    }


def key_shares(inspection: Inspection) -> list[tuple[str, float]]:
    """Each key and the share of the pieces in it, the most common first."""
    return _shares(inspection.columns["key"].tolist())


def metre_shares(inspection: Inspection) -> list[tuple[str, float]]:
    """Each metre and the share of the pieces of which it is the longest, the most common first."""
    return _shares([metre or "none named" for metre in inspection.columns["metre"].tolist()])


def instrument_shares(inspection: Inspection) -> list[tuple[str, float]]:
    """Each instrument and the share of the pieces that use it, the most common first."""
    columns = inspection.columns
    shares = programs_of(columns["programs_low"], columns["programs_high"]).mean(axis=0).tolist()
    named = [(f"{PROGRAMS[i]} ({i})", share) for i, share in enumerate(shares) if share]
    drums = float((columns["num_drum_notes"] > 0).mean())
    named += [("drums", drums)] if drums else []
    return sorted(named, key=lambda pair: (-pair[1], pair[0]))


def _shares(values: Sequence[str]) -> list[tuple[str, float]]:
    counts = sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
    return [(value, count / len(values)) for value, count in counts]


def skip_reasons(inspection: Inspection) -> list[tuple[str, list[str]]]:
    """Each reason and the names of the files skipped for it, the most common first.

    Reasons that differ in numbers alone count as one, with N in their place.
    """
    alike: dict[str, list[Skipped]] = {}
    for skipped in inspection.skipped:
        alike.setdefault(re.sub(r"\d[\d,.]*\d|\d", "N", skipped.reason), []).append(skipped)
    reasons = [
        (pattern if len({s.reason for s in same}) > 1 else same[0].reason, [s.name for s in same])
        for pattern, same in alike.items()
    ]
    return sorted(reasons, key=lambda reason: (-len(reason[1]), reason[0]))


def file_rows(inspection: Inspection) -> list[dict[str, object]]:
    """A row for each file, read or skipped, by name."""
    columns = {name: column.tolist() for name, column in inspection.columns.items()}
    sizes = Counter(columns["group"])
    programs = programs_of(columns.pop("programs_low"), columns.pop("programs_high"))
    rows: list[dict[str, object]] = []
    for i in range(inspection.num_pieces):
        row = {name: _value(column[i]) for name, column in columns.items()}
        row["group_size"] = sizes[columns["group"][i]]
        row["programs"] = " ".join(map(str, np.flatnonzero(programs[i]).tolist()))
        row |= {f"tokens_{t.name}": t.tokens.get(columns["name"][i]) for t in inspection.tokenizers}
        rows.append(row)
    rows += [{"name": s.name, "skipped": s.reason} for s in inspection.skipped]
    return sorted(rows, key=lambda row: str(row["name"]))


def _value(value: object) -> object:
    """A fact as a cell: six digits, and nothing where there is no number."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if value == value else None


def save_table(inspection: Inspection, path: Path) -> None:
    """Write `file_rows` as CSV.

    A name that a spreadsheet would take for a formula is written as the same path from "./".
    """
    rows = file_rows(inspection)
    for row in rows:
        if str(row["name"]).startswith(("=", "+", "-", "@")):
            row["name"] = f"./{row['name']}"
    hidden = {"programs_low", "programs_high", "tonic", "is_minor"}
    facts = [name for name in inspection.columns if name not in hidden | {"name", "group", "split"}]
    tokens = [f"tokens_{t.name}" for t in inspection.tokenizers]
    columns = ["name", "skipped", "split", "group", "group_size", *facts, "programs", *tokens]
    write_csv(path, rows, columns)


def describe(inspection: Inspection) -> str:
    """The corpus on one screen, however large it is."""
    parts = [
        [_headline(inspection), *_skipped_lines(inspection)],
        [_quantity_table(inspection), *_extremes(inspection)],
        _share_lines(inspection),
        [_split_text(inspection), _duplicates_line(inspection)],
        [_tokenizer_table(inspection)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _headline(inspection: Inspection) -> str:
    return f"{inspection.title}: {totals(inspection)}"


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
    words = [f"{name} {percent(share)}" for name, share in shares[:MAX_SHARES]]
    more = [f"{len(shares) - MAX_SHARES} more"] if len(shares) > MAX_SHARES else []
    return ", ".join(words + more)


def percent(share: float) -> str:
    """A share of 0 to 1; what is not nothing is not called 0 %, nor what is not all 100 %."""
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
    return (
        f"seed {inspection.seed}; {percent(leak.grouped)} of the validation notes stand in passages copied "
        f"from training (with near-duplicates on both sides: {percent(leak.ungrouped)})"
    )


def _duplicates_line(inspection: Inspection) -> str:
    groups = inspection.duplicates()
    if not groups:
        return "near-duplicates: none"
    text = f"near-duplicates: {sum(map(len, groups)):,} pieces in {count(len(groups), 'group')}; the largest"
    return _cut(f"{text} has {len(groups[0]):,}", groups[0])


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
