"""A configured dataset -> its corpus: read or from the cache, split, as ids."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noternn.config.dataset import Dataset, FramesDataset
from noternn.config.model import NO_LABELS
from noternn.config.schema import Config, dataset_of, to_plain
from noternn.config.tokenizer import tokenizer_of
from noternn.corpus.auto import decided, is_open, sentences, without_auto
from noternn.corpus.merging import Bpe
from noternn.corpus.messages import describe_corpus
from noternn.corpus.reading import NOTHING_WRITTEN, ReadingOptions
from noternn.corpus.splits import EncodedCorpus, Fold, encode_corpus, pieces_of
from noternn.corpus.tokenized import TokenizedCorpus, read_corpus, tokenize_corpus
from noternn.datasets.configured import ready_made_split, sources_of
from noternn.datasets.labels import labels_of
from noternn.datasets.sources import Source
from noternn.errors import UserError
from noternn.music.piece import Piece
from noternn.terminal import printable
from noternn.tokenizer import Codec, build_tokenizer
from noternn.tokenizer.bands import MAX_BANDS, bands_of
from noternn.tokenizer.pace import Pace

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Corpus:
    """A corpus as a run trains on it.

    Args:
        tokenizer: the arguments of `build_tokenizer`; what `auto` stands for is decided.
        tokenized: all pieces, before any split.
        encoded: the splits as ids.
        labelled: the label of each piece that has one, by its name; None if labels are not told.
    """

    tokenizer: Mapping[str, Any]
    tokenized: TokenizedCorpus
    encoded: EncodedCorpus
    labelled: Mapping[str, str] | None = None

    @cached_property
    def codec(self) -> Codec:
        """The tokenizer, with what it has learned to merge, and its vocabulary."""
        tokenizer = build_tokenizer(**self.tokenizer, merges=self.encoded.merges.pairs)
        return Codec(tokenizer, self.encoded.vocabulary)

    @cached_property
    def pace(self) -> Pace:
        """How far the training pieces go from one note to the next."""
        return Pace.of(self.encoded.ids["train"], self.codec)

    @cached_property
    def bands(self) -> tuple[frozenset[int], ...]:
        """Which instruments play together in training pieces; none where they are not told apart."""
        return bands_of(self.encoded.ids["train"], self.codec)

    @property
    def bands_record(self) -> dict[str, Any]:
        """What a checkpoint says of the bands, of all pieces and of each label's; nothing without any."""
        if not self.bands:
            return {}
        record: dict[str, Any] = {"bands": [sorted(band) for band in self.bands]}
        names, pieces = self.label_names, self.encoded.ids["train"]
        rows = self.label_rows("train", names)
        if rows is not None:
            most = max(1, MAX_BANDS // len(names))
            labelled = [pieces.taken(np.flatnonzero(rows == row)) for row in range(1, len(names) + 1)]
            of_each = [bands_of(some, self.codec, most) for some in labelled]
            record["label_bands"] = [[sorted(band) for band in bands] for bands in of_each]
        return record

    def pieces(self, split: str) -> Iterator[Piece]:
        """The pieces of a split, see `pieces_of`."""
        return pieces_of(self.encoded, build_tokenizer(**self.tokenizer), split)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels of the training pieces, sorted; none if labels are not told."""
        labelled = self.labelled or {}
        names = self.encoded.names["train"]
        return tuple(sorted({labelled[name] for name in names if name in labelled}))

    @property
    def labels_record(self) -> dict[str, Any]:
        """What a checkpoint says of the labels, with a hash of which piece has which; nothing without any."""
        names = self.label_names
        if not names:
            return {}
        rows = [self.label_rows(split, names) for split in ("train", "validation")]
        plain = [[] if row is None else row.tolist() for row in rows]
        return {
            "labels": list(names),
            "labels_sha256": hashlib.sha256(json.dumps(plain).encode()).hexdigest(),
        }

    def label_rows(self, split: str, label_names: Sequence[str]) -> NDArray[np.int64] | None:
        """Of each piece of a split the number of its label, from 1, (num_pieces,); 0 for none of these.

        Args:
            split: one of `SPLITS`.
            label_names: of the network; without any there are no numbers.
        """
        if not label_names:
            return None
        rows, labelled = {name: row for row, name in enumerate(label_names, 1)}, self.labelled or {}
        names = self.encoded.names[split]
        return np.array([rows.get(labelled.get(name, ""), 0) for name in names], dtype=np.int64)


def corpus_of(config: Config, sources: Sequence[Source] | None = None) -> Corpus:
    """The corpus of some settings, from the cache if it was read before; messages say what is in it.

    Args:
        config: says what is read, how it is split, which tokens are merged (see `Bpe`), and by how many
            semitones training pieces will be moved.
        sources: the files of its dataset; None finds them.

    Raises:
        UserError: if no file can be read, a table of splits cannot be used, or a split has no piece.
    """
    return _load(config.dataset, to_plain(config), sources)


def corpus_of_plain(config: Mapping[str, Any]) -> Corpus:
    """What `corpus_of` gives for settings as a checkpoint holds them, see `to_plain`.

    Raises:
        UserError: as `corpus_of` does.
        KeyError, TypeError, AttributeError: if they are no such settings.
    """
    return _load(dataset_of(config["dataset"]), config)


def _load(dataset: Dataset, plain: Mapping[str, Any], sources: Sequence[Source] | None = None) -> Corpus:
    sources = sources_of(dataset) if sources is None else sources
    data, seed, transpose = plain["datamodule"], plain["seed"], plain["augmentation"]["transpose"]
    ready_made = ready_made_split(dataset, sources)
    taken = with_split(sources, ready_made)
    reading: dict[str, Any] = {
        "cache_dir": Path(data["cache_dir"]) if data["cache_dir"] else None,
        "num_processes": data["num_processes"],
        "options": ReadingOptions.of(dataset),
    }

    def read(tokenizer: Mapping[str, Any]) -> TokenizedCorpus:
        return read_corpus(taken, tokenizer, **reading)

    tokenizer, told = settled(tokenizer_of(plain["tokenizer"]), read, dataset, seed, transpose, ready_made)
    tokenized = tokenize_corpus(taken, tokenizer, **reading)
    encoded = encode(tokenized, dataset, tokenizer, seed, transpose, ready_made)
    describe_corpus(dataset, tokenizer, tokenized, encoded, told, is_ready_made=ready_made is not None)
    return _labelled(Corpus(tokenizer, tokenized, encoded), dataset, plain["model"].get("labels", NO_LABELS))


def _labelled(corpus: Corpus, dataset: Dataset, by: str) -> Corpus:
    """The corpus with the labels of its pieces.

    Raises:
        UserError: if they tell the training pieces nothing.
    """
    if by == NO_LABELS:
        return corpus
    found = replace(corpus, labelled=labels_of(dataset, by, corpus.tokenized.names))
    rows = found.label_rows("train", found.label_names)
    if rows is None or len(set(rows.tolist())) < 2:
        alike = f"the label {printable(found.label_names[0])!r}" if found.label_names else "no label"
        raise UserError(
            f"model.labels={by}: all training pieces have {alike}, which tells nothing; labels are the "
            "folders below dataset.path, the parts of a dataset such as games, or a CSV table's"
        )
    counts = zip(("none", *found.label_names), np.bincount(rows).tolist(), strict=True)
    log.info("labels: %s", ", ".join(f"{printable(name)} {n}" for name, n in counts if n))
    return found


def settled(
    tokenizer: Mapping[str, Any],
    read: Callable[[Mapping[str, Any]], TokenizedCorpus],
    dataset: Dataset,
    seed: int,
    transpose: int,
    ready_made: Mapping[str, str] | None,
) -> tuple[dict[str, Any], list[str]]:
    """A tokenizer's settings with what `auto` stands for by the training pieces, and lines that say why.

    Args:
        tokenizer: the settings.
        read: gives the corpus as a tokenizer of some settings writes it.
        dataset, seed, transpose, ready_made: as of `encode`.
    """
    plainest = without_auto(tokenizer)
    if not is_open(tokenizer) or isinstance(dataset, FramesDataset):  # whose voices are no instruments
        return plainest, []
    corpus = read(plainest)
    if not corpus.num_pieces:
        has_drums = any(skipped.reason == NOTHING_WRITTEN for skipped in corpus.skipped)
        return (without_auto(tokenizer, has_drums) if has_drums else plainest), []
    unmerged = {**plainest, "bpe_vocab_size": None}
    try:
        training = encode(corpus, dataset, unmerged, seed, transpose, ready_made).members["train"]
    except UserError:  # where it matters it is told later
        training = np.arange(corpus.num_pieces)
    facts = {name: column[training] for name, column in corpus.facts.items()}
    return decided(tokenizer, facts), sentences(tokenizer, facts)


def with_split(sources: Sequence[Source], ready_made: Mapping[str, str] | None) -> list[Source]:
    """The files that have a split, and those of formats that are not read; all where none is ready-made."""
    if ready_made is None:
        return list(sources)
    return [source for source in sources if source.name in ready_made or source.kind == "foreign"]


def encode(
    tokenized: TokenizedCorpus,
    dataset: Dataset,
    tokenizer: Mapping[str, Any],
    seed: int,
    transpose: int,
    ready_made: Mapping[str, str] | None,
) -> EncodedCorpus:
    """Split and encode a corpus as its settings say, see `encode_corpus`."""
    writer, bpe_vocab_size = build_tokenizer(**tokenizer), tokenizer.get("bpe_vocab_size")
    return encode_corpus(
        tokenized,
        seed=seed,
        validation_fraction=dataset.validation_fraction,
        test_fraction=dataset.test_fraction,
        tokenizer=writer,
        ready_made=ready_made,
        train_fraction=dataset.train_fraction,
        bpe=Bpe(writer, bpe_vocab_size) if bpe_vocab_size else None,
        transpose=transpose,
        min_validation=dataset.min_validation,
        fold=Fold(*dataset.fold_of()) if dataset.fold else None,
    )
