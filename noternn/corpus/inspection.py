"""What a corpus holds, before any training: measured, and as a table of its files."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noternn.config.dataset import Dataset, FolderDataset
from noternn.config.schema import Config
from noternn.config.tokenizer import Tokenizer
from noternn.corpus.auto import decided, is_open, without_auto
from noternn.corpus.cache import ArrayCache
from noternn.corpus.loading import encode, settled, with_split
from noternn.corpus.reading import ReadingOptions, Skipped
from noternn.corpus.splits import EncodedCorpus, pieces_of
from noternn.corpus.tokenized import TokenizedCorpus, read_corpus, tokenize_shards
from noternn.datasets.configured import ready_made_split, sources_of
from noternn.datasets.sources import Source, file_sources
from noternn.errors import UserError
from noternn.music.facts import PieceFacts, key_name, programs_of
from noternn.music.instruments import program_name
from noternn.music.piece import Piece
from noternn.music.remarks import Remark
from noternn.tables import write_csv
from noternn.terminal import printable
from noternn.tokenizer import Codec, Vocabulary, build_tokenizer


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
        skipped: the files left out, with the reasons.
        remarks: by the name of a piece, what its reader left out or changed.
        columns: by name, a value for each piece, (num_pieces,): `name`, `group`, `split` ("" without one),
            the fields of `PieceFacts`, and what follows from them.
        encoded: the splits; None where there are none.
        no_split: why there are none.
        seed: of the split; None if it is ready-made.
        tokenizers: the one that training would use, then the others with their defaults.
    """

    title: str
    num_files: int
    skipped: Sequence[Skipped]
    remarks: Mapping[str, Sequence[Remark]]
    columns: Mapping[str, NDArray[Any]]
    encoded: EncodedCorpus | None
    no_split: str
    seed: int | None
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
    """The files of a dataset, or the pieces of the one file at a path."""
    path = Path(os.path.expanduser(target))
    if isinstance(dataset, FolderDataset) and dataset.path == target and not path.is_dir():
        return file_sources(path, printable(path.name))
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
        UserError: if a table of splits cannot be used or processes to read with cannot be started.
    """
    ready_made = ready_made_split(config.dataset, sources)
    taken = with_split(sources, ready_made)
    corpus, encoded, no_split, _ = _encode(taken, config, config.tokenizer, ready_made)
    reports = [_report(config.tokenizer.name, corpus, encoded)]
    for name, tokenizer in others.items():
        reports.append(_report(name, *_encode(taken, config, tokenizer, ready_made)[:2]))
    reason = f"{config.dataset.split} names no split for it"
    kept = set(taken)
    left_out = [Skipped(s.name, reason) for s in sources if s not in kept]
    return Inspection(
        title=printable(title),
        num_files=len(sources),
        skipped=[*corpus.skipped, *left_out],
        remarks=corpus.remarks,
        columns=_columns(corpus, encoded),
        encoded=encoded,
        no_split=no_split,
        seed=None if ready_made else config.seed,
        tokenizers=reports,
    )


def held_out_pieces(sources: Sequence[Source], config: Config) -> tuple[Iterator[Piece], Iterator[Piece]]:
    """The pieces that a training run would validate on, and those it would train on, see `pieces_of`.

    Where there is no split the first are all.

    Raises:
        UserError: if there are none.
    """
    ready_made = ready_made_split(config.dataset, sources)
    taken = with_split(sources, ready_made)
    corpus, encoded, _, plain = _encode(taken, config, config.tokenizer, ready_made)
    if not corpus.num_pieces:
        raise UserError(f"none of the {len(sources)} files could be read ({corpus.skipped[0].reason})")
    tokenizer = build_tokenizer(**plain)
    if encoded:
        return pieces_of(encoded, tokenizer, "validation"), pieces_of(encoded, tokenizer, "train")
    every = Vocabulary(token for shard in corpus.shards for token in shard.values["tokens"])
    codec = Codec(tokenizer, every)
    return (codec.decode(ids.tolist()) for ids in corpus.pieces(np.arange(corpus.num_pieces), every)), iter(
        ()
    )


def tokenize_part(sources: Sequence[Source], config: Config, part: tuple[int, int]) -> str:
    """Read and tokenize one of n parts of a corpus into the cache, for machines that share the work.

    Args:
        sources: the files of the whole corpus.
        config: of a training run.
        part: (i, n), see `tokenize_shards`.

    Returns:
        what was made, in a line.

    Raises:
        UserError: if there is no cache to put it into.
    """
    reading = _reading(config)
    if reading["cache_dir"] is None:
        raise UserError("--shard needs a cache that all machines share; give datamodule.cache_dir=FOLDER")
    cache = ArrayCache(reading.pop("cache_dir"))
    sources = with_split(sources, ready_made_split(config.dataset, sources))
    plain = asdict(config.tokenizer)
    shards = tokenize_shards(sources, without_auto(plain), cache=cache, part=part, **reading)
    if is_open(plain) and shards:  # a part of the corpus is much like all of it
        names = [field.name for field in fields(PieceFacts)]
        parts = list(shards.values())
        facts = {n: np.concatenate([shard.arrays[f"fact_{n}"] for shard in parts]) for n in names}
        shards = tokenize_shards(sources, decided(plain, facts), cache=cache, part=part, **reading)
    num_pieces = sum(len(shard.arrays["names"]) for shard in shards.values())
    num_skipped = sum(len(shard.values["skipped"]) for shard in shards.values())
    made = f"{len(shards)} shards with {num_pieces} pieces, {num_skipped} files skipped"
    return f"part {part[0]} of {part[1]}: {made}, in {cache.folder}"


def _reading(config: Config) -> dict[str, Any]:
    """How files are read, as arguments of `read_corpus`."""
    data, dataset = config.datamodule, config.dataset
    return {
        "cache_dir": Path(data.cache_dir) if data.cache_dir else None,
        "num_processes": data.num_processes,
        "options": ReadingOptions.of(dataset),
    }


def _encode(
    sources: Sequence[Source], config: Config, tokenizer: Tokenizer, ready_made: Mapping[str, str] | None
) -> tuple[TokenizedCorpus, EncodedCorpus | None, str, dict[str, Any]]:
    """The pieces as one tokenizer writes them, the splits, why there are none, and its settings."""
    transpose = 0 if tokenizer.bpe_vocab_size else config.augmentation.transpose
    reading = _reading(config)

    def read(plain: Mapping[str, Any]) -> TokenizedCorpus:
        return read_corpus(sources, plain, **reading)

    plain, _ = settled(asdict(tokenizer), read, config.dataset, config.seed, transpose, ready_made)
    corpus = read(plain)
    try:
        encoded = encode(corpus, config.dataset, plain, config.seed, transpose, ready_made)
    except UserError as error:  # too small a corpus can be looked at all the same
        return corpus, None, str(error), plain
    return corpus, encoded, "", plain


def _report(name: str, corpus: TokenizedCorpus, encoded: EncodedCorpus | None) -> TokenizerReport:
    tokens = dict(zip(corpus.names, corpus.num_tokens.tolist(), strict=True))
    if not tokens:
        return TokenizerReport(name, tokens, problem=corpus.skipped[0].reason)
    num_notes, kept_fraction, onset_error, duration_error = corpus.column("round_trip").T
    kept = num_notes * kept_fraction
    weights = kept / max(1, kept.sum())
    distinct = {token for shard in corpus.shards for token in shard.values["tokens"]}
    return TokenizerReport(
        name,
        tokens=tokens,
        num_notes=int(corpus.column("num_notes").sum()),
        vocab_size=len(encoded.vocabulary if encoded else Vocabulary(distinct)),
        unknown_fraction=encoded.sizes["validation"].unknown_fraction if encoded else None,
        kept_fraction=float(kept.sum() / num_notes.sum()),
        onset_error_beats=float(onset_error @ weights),
        duration_error_beats=float(duration_error @ weights),
    )


def _columns(corpus: TokenizedCorpus, encoded: EncodedCorpus | None) -> dict[str, NDArray[Any]]:
    names = encoded.names if encoded else {}
    splits = {name: split for split, members in names.items() for name in members}
    facts = {name: np.asarray(column) for name, column in corpus.facts.items()}
    tonics, minors = facts["tonic"].tolist(), facts["is_minor"].tolist()
    return {
        "name": np.array(corpus.names, dtype=np.str_),
        "group": np.array([group.decode()[:16] for group in corpus.groups.tolist()], dtype=np.str_),
        "split": np.array([splits.get(name, "") for name in corpus.names], dtype=np.str_),
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
    named = [(f"{program_name(i)} ({i})", share) for i, share in enumerate(shares) if share]
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
        row["remarks"] = "; ".join(map(str, inspection.remarks.get(columns["name"][i], ())))
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
    columns = ["name", "skipped", "split", "group", "group_size", *facts, "programs", "remarks", *tokens]
    write_csv(path, rows, columns)
