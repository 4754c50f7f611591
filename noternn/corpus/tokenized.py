"""A corpus as token indices, in shards that are read and tokenized independently and kept in a cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noternn.corpus.cache import CACHE_VERSION, Array, ArrayCache, Entry
from noternn.corpus.duplicates import group_pieces
from noternn.corpus.pieces import Pieces, Stretch
from noternn.corpus.reading import Reader, ReadingOptions, Skipped, TokenizedPiece, tokenized
from noternn.datasets.sources import Source
from noternn.errors import UserError
from noternn.music.facts import PieceFacts
from noternn.music.remarks import Remark
from noternn.tokenizer import BOS, EOS, Vocabulary, build_tokenizer

FILES_PER_SHARD = 512
MAX_SHARDS = 256  # each is a file that training keeps open
HASH = "S64"


@dataclass(frozen=True, eq=False)
class TokenizedCorpus:
    """All pieces of a corpus, before any split, in the order of (music_hash, name).

    Args:
        fingerprint: hash of the files' contents, the reading options and the tokenizer's configuration.
        cache: where its shards lie.
        shards: the entries of `_shard_entry`.
        order: (num_pieces,) the place of each piece if the shards lay one after the other.
        groups: (num_pieces,) the group of near-duplicates of each, see `duplicates.group_pieces`.
        merged: what is read instead of the shards' own tokens if tokens were merged, see `merging.Bpe`.
    """

    fingerprint: str
    cache: ArrayCache
    shards: tuple[Entry, ...]
    order: NDArray[np.int64]
    groups: Array
    merged: tuple[Entry, ...] = ()

    @property
    def num_pieces(self) -> int:
        """How many pieces were read."""
        return len(self.order)

    @cached_property
    def skipped(self) -> list[Skipped]:
        """The files left out, with the reasons, sorted by name."""
        return sorted(
            (Skipped(*pair) for shard in self.shards for pair in shard.values["skipped"]),
            key=lambda skipped: skipped.name,
        )

    @cached_property
    def remarks(self) -> dict[str, tuple[Remark, ...]]:
        """What the readers remarked, by the names of the pieces that have any, sorted."""
        found = {
            name: tuple(Remark(*row) for row in rows)
            for s in self.shards
            for name, rows in s.values["remarks"]
        }
        return dict(sorted(found.items()))

    def column(self, name: str) -> Array:
        """(num_pieces,) one of the columns of `_shard_entry`."""
        return np.concatenate([shard.arrays[name] for shard in self.shards])[self.order]

    @property
    def names(self) -> list[str]:
        """The pieces' names."""
        return [name.decode() for name in self.column("names").tolist()]

    @property
    def music_hashes(self) -> list[str]:
        """The pieces' hashes, see `Piece.music_hash`."""
        return [music_hash.decode() for music_hash in self.column("music_hashes").tolist()]

    @property
    def facts(self) -> dict[str, Array]:
        """(num_pieces,) each of the `PieceFacts`."""
        return {field.name: self.column(f"fact_{field.name}") for field in fields(PieceFacts)}

    @property
    def num_tokens(self) -> NDArray[np.int64]:
        """(num_pieces,) tokens of each piece, without BOS and EOS."""
        lengths = np.concatenate([np.diff(shard.arrays["offsets"]) for shard in self.merged or self.shards])
        return lengths[self.order] - 2

    def steps_of(self, members: NDArray[np.int64]) -> Iterator[NDArray[np.uint32]]:
        """The `music.steps.note_steps` of some pieces, each mapped from the cache."""
        return _parts(self.shards, "steps", "step_offsets", self.order[members])

    def pieces(self, members: NDArray[np.int64], vocabulary: Vocabulary) -> Pieces:
        """Some pieces as ids between BOS and EOS, mapped from the cache."""
        stretches = []
        shards = self.merged or self.shards
        for shard in shards:
            ids = [vocabulary.id(token) for token in shard.values["tokens"]]
            stretches.append(Stretch(shard.arrays["indices"], np.array(ids, dtype=np.int64)))
        number, start, end = _places(shards, "offsets", self.order[members])
        return Pieces(stretches, number, start, end - start)


def _places(
    shards: Sequence[Entry], offsets: str, order: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Of each piece its shard, and where it begins and ends in the shard's stretch."""
    bounds = [np.array(shard.arrays[offsets]) for shard in shards]
    number = np.repeat(np.arange(len(shards), dtype=np.int32), [len(b) - 1 for b in bounds])
    starts = np.concatenate([b[:-1] for b in bounds])
    ends = np.concatenate([b[1:] for b in bounds])
    return number[order], starts[order], ends[order]


def _parts(shards: Sequence[Entry], name: str, offsets: str, order: NDArray[np.int64]) -> Iterator[Array]:
    """The parts of a stretch that belong to some pieces, one after the other."""
    mapped = [shard.arrays[name] for shard in shards]
    columns = (column.tolist() for column in _places(shards, offsets, order))
    for number, start, end in zip(*columns, strict=True):
        yield mapped[number][start:end]


def tokenize_corpus(
    sources: Sequence[Source],
    tokenizer: Mapping[str, Any],
    cache_dir: Path | None,
    num_processes: int | None = None,
    options: ReadingOptions | None = None,
) -> TokenizedCorpus:
    """The tokens of every readable file, as `read_corpus` gives them.

    Raises:
        UserError: if no file could be read.
    """
    corpus = read_corpus(sources, tokenizer, cache_dir, num_processes, options)
    if corpus.num_pieces == 0:
        reasons = "; ".join(f"{s.name}: {s.reason}" for s in corpus.skipped[:3])
        raise UserError(f"none of the {len(sources)} files could be read ({reasons})")
    return corpus


def read_corpus(
    sources: Sequence[Source],
    tokenizer: Mapping[str, Any],
    cache_dir: Path | None,
    num_processes: int | None = None,
    options: ReadingOptions | None = None,
) -> TokenizedCorpus:
    """The tokens of the readable files, if there are any, from the cache where it has them.

    Args:
        sources: the files; their order does not matter.
        tokenizer: the arguments of `build_tokenizer`.
        cache_dir: where caches are kept; None keeps none. Deleting it is always safe.
        num_processes: see `Reader`.
        options: which notes of a file are read; None for all.
    """
    cache = ArrayCache(cache_dir)
    shards = tokenize_shards(sources, tokenizer, cache, num_processes, options)
    fingerprint = _hash([CACHE_VERSION, list(shards)])
    entries = tuple(shards.values())
    index = cache.get(fingerprint, lambda: _index_entry(entries))
    return TokenizedCorpus(fingerprint, cache, entries, index.arrays["order"], index.arrays["groups"])


def tokenize_shards(
    sources: Sequence[Source],
    tokenizer: Mapping[str, Any],
    cache: ArrayCache,
    num_processes: int | None = None,
    options: ReadingOptions | None = None,
    part: tuple[int, int] = (1, 1),
) -> dict[str, Entry]:
    """The shards of a corpus by their fingerprints, those that are missing made.

    A file's content decides its shard, so that a new file changes one shard and the others are kept.
    Shards that another process is making are left to it and waited for at the end.

    Args:
        sources, tokenizer, num_processes, options: see `tokenize_corpus`.
        cache: where the shards are kept.
        part: (i, n) makes only the i-th of n parts of the shards, 1 <= i <= n, so that n machines can
            share the work; (1, 1) makes all.
    """
    options = options or ReadingOptions()
    idle = {"bpe_vocab_size"} | (set() if tokenizer.get("program") else {"drums_first"})  # merged later
    writing = {name: value for name, value in tokenizer.items() if name not in idle}
    planned = _plan(sources, {"tokenizer": writing, **options.plain()})
    planned = dict(list(planned.items())[part[0] - 1 :: part[1]])
    found = {fingerprint: cache.find(fingerprint) for fingerprint in planned}
    missing = {name: files for name, files in planned.items() if found[name] is None}
    if missing:
        num_files = sum(map(len, missing.values()))
        make_tokens = partial(tokenized, tokenizer=build_tokenizer(**tokenizer))
        with Reader(make_tokens, options, num_processes, num_files, cache.folder) as reader:

            def make(files: Sequence[Source]) -> Entry:
                return _shard_entry(list(reader.read(files)))

            for get in (cache.get_unless_busy, cache.get):
                for name, files in missing.items():
                    found[name] = found[name] or get(name, partial(make, files))
    return {name: entry for name, entry in found.items() if entry}


def _plan(sources: Sequence[Source], key: dict[str, Any]) -> dict[str, list[Source]]:
    """The shards by their fingerprints, each with its files."""
    num_shards = 1
    while num_shards * FILES_PER_SHARD < len(sources) and num_shards < MAX_SHARDS:
        num_shards *= 2
    shards: list[list[tuple[str, str, str, Source]]] = [[] for _ in range(num_shards)]
    for source in sources:
        content = source.content_hash()
        row = (source.name, f"{source.kind}{source.frames_per_beat or ''}", content, source)
        shards[int(_hash(content)[:8], 16) % num_shards].append(row)
    planned = {}
    for rows in shards:
        rows.sort(key=lambda row: row[:3])
        fingerprint = _hash({"version": CACHE_VERSION, **key, "files": [row[:3] for row in rows]})
        planned[fingerprint] = [row[3] for row in rows]
    return planned


def _hash(key: object) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _shard_entry(results: Sequence[TokenizedPiece | Skipped]) -> Entry:
    """The tables of a shard: columns of a value a piece, and stretches with offsets.

    Indices count the shard's own tokens. The first two tokens are BOS and EOS, and every piece stands
    between them.
    """
    pieces = [result for result in results if isinstance(result, TokenizedPiece)]
    pieces.sort(key=lambda piece: (piece.music_hash, piece.name))
    skipped = sorted((result.name, result.reason) for result in results if isinstance(result, Skipped))
    tokens = [BOS, EOS, *sorted({token for piece in pieces for token in piece.tokens})]
    index = {token: i for i, token in enumerate(tokens)}
    dtype = np.uint16 if len(tokens) <= 2**16 else np.uint32
    bos, eos = np.array([[0], [1]], dtype=dtype)
    stretches = []
    for piece in pieces:
        table = np.array([index[token] for token in piece.tokens], dtype=dtype)
        stretches += [bos, table[piece.indices], eos]
    arrays = {
        "names": np.array([piece.name.encode() for piece in pieces], dtype=np.bytes_),
        "music_hashes": np.array([piece.music_hash.encode() for piece in pieces], dtype=HASH),
        "num_notes": np.array([piece.num_notes for piece in pieces], dtype=np.int64),
        "round_trip": np.array([list(asdict(p.round_trip).values()) for p in pieces]).reshape(-1, 4),
        **_fact_columns([piece.facts for piece in pieces]),
        "indices": np.concatenate([np.zeros(0, dtype=dtype), *stretches]),
        "offsets": _offsets([len(piece.indices) + 2 for piece in pieces]),
        "steps": np.concatenate([np.zeros(0, dtype=np.uint32), *(piece.steps for piece in pieces)]),
        "step_offsets": _offsets([len(piece.steps) for piece in pieces]),
        "ngrams": np.concatenate([np.zeros(0, dtype=np.uint64), *(piece.ngrams for piece in pieces)]),
        "ngram_offsets": _offsets([len(piece.ngrams) for piece in pieces]),
    }
    remarks = [(piece.name, piece.remarks) for piece in pieces if piece.remarks]
    return Entry(arrays, {"tokens": tokens, "skipped": skipped, "remarks": remarks})


def _fact_columns(facts: Sequence[PieceFacts]) -> dict[str, Array]:
    """A column for each of the facts."""
    dtypes = {"int": np.int64, "float": np.float64, "bool": np.bool_, "str": np.str_}
    columns: dict[str, Array] = {}
    for field in fields(PieceFacts):
        values = [getattr(fact, field.name) for fact in facts]
        columns[f"fact_{field.name}"] = np.array(values, dtype=dtypes[str(field.type)])
    return columns


def _offsets(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _index_entry(shards: Sequence[Entry]) -> Entry:
    """What can be said only of all shards together: the order of the pieces and their groups."""
    names = np.concatenate([shard.arrays["names"] for shard in shards])
    music_hashes = np.concatenate([shard.arrays["music_hashes"] for shard in shards])
    order = np.lexsort((names, music_hashes))
    hashes = [music_hash.decode() for music_hash in music_hashes[order].tolist()]
    groups = group_pieces(hashes, list(_parts(shards, "ngrams", "ngram_offsets", order)))
    return Entry({"order": order, "groups": np.array([g.encode() for g in groups], dtype=HASH)}, {})
