"""Pieces -> train, validation and test, by groups of near-duplicates; tokens -> ids of a vocabulary."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.corpus.cache import Array, Entry
from noternn.corpus.leak import copied_fraction
from noternn.corpus.merging import Bpe
from noternn.corpus.pieces import Pieces
from noternn.corpus.tokenized import TokenizedCorpus
from noternn.datasets.sources import MORE
from noternn.errors import UserError
from noternn.files import read_json
from noternn.metrics import SplitSize
from noternn.music.piece import Piece
from noternn.runs.folder import MAX_SPLIT_BYTES
from noternn.tokenizer import UNK_ID, Codec, Merges, Tokenizer, Vocabulary

SPLITS = ("train", "validation", "test")
PLAYABLE = (21, 108)  # pitches of the piano's keys: transposed music stays within
VERBS = {"train": "learn from", "validation": "validate on"}
UNUSED = -1  # in place of the index of a split
IN_ORDER = "in_order"  # in split.json: its pieces stand in the order of training
VERSION = 4  # raise it when a change of the code changes what `encode_corpus` keeps in the cache


@dataclass(frozen=True)
class Leak:
    """Share of the validation notes that training holds too, see `leak.copied_fraction`.

    Args:
        ungrouped: in the split of the same seed in which only pieces with one music hash stay together.
        grouped: in the split as it is.
    """

    ungrouped: float
    grouped: float


@dataclass(frozen=True, eq=False)
class EncodedCorpus:
    """A corpus split by groups of near-duplicates, as ids of a vocabulary made from the training split alone.

    Args:
        fingerprint: hash of the corpus and of all that decides the split and the vocabulary.
        vocabulary: of the training split.
        merges: the tokens that are merged; none without `Bpe`.
        corpus: before the split.
        members: of each split, the indices of its pieces in the corpus; all, but for `unused`.
        ids: of each split its pieces, the ids of each between BOS and EOS.
        sizes: of each split.
        tempo: median beats per minute of the training pieces.
        duplicates: the names of the pieces of each group of two or more, the groups sorted.
        num_crossing: how many of these have pieces in more than one split: none, unless it is ready-made.
        leak: the share of the validation notes that training holds too.
        transpositions: (num_training_pieces, 2) by how many semitones each may be moved, least and most.
    """

    fingerprint: str
    vocabulary: Vocabulary
    merges: Merges
    corpus: TokenizedCorpus
    members: dict[str, NDArray[np.int64]]
    ids: dict[str, Pieces]
    sizes: dict[str, SplitSize]
    tempo: float
    duplicates: list[list[str]]
    num_crossing: int
    leak: Leak
    transpositions: NDArray[np.int64]

    @property
    def metre(self) -> tuple[int, int]:
        """The metre in which most of the training music stands, in beats; (4, 4) where none is named."""
        beats: dict[str, float] = {}
        facts, members = self.corpus.facts, self.members["train"]
        for metre, length in zip(
            facts["metre"][members].tolist(), facts["beats"][members].tolist(), strict=True
        ):
            beats[metre or "4/4"] = beats.get(metre or "4/4", 0.0) + length
        numerator, denominator = min(beats, key=lambda metre: (-beats[metre], metre)).split("/")
        return int(numerator), int(denominator)

    @property
    def names(self) -> dict[str, list[str]]:
        """Of each split, the names of its pieces."""
        return self._by_split(self.corpus.names)

    @property
    def music_hashes(self) -> dict[str, list[str]]:
        """Of each split, the `Piece.music_hash` of its pieces."""
        return self._by_split(self.corpus.music_hashes)

    @property
    def unused(self) -> list[str]:
        """The names of the pieces that `train_fraction` left out."""
        used = np.concatenate(list(self.members.values()))
        names = self.corpus.names
        return sorted(names[i] for i in np.setdiff1d(np.arange(len(names)), used).tolist())

    def recorded(self) -> dict[str, Any]:
        """What split.json tells of each split: its size, and its pieces by name with their music hashes."""
        names, hashes = self.names, self.music_hashes
        pieces = {s: dict(zip(names[s], hashes[s], strict=True)) for s in SPLITS}
        return {"sizes": {split: asdict(self.sizes[split]) for split in SPLITS}, IN_ORDER: True, **pieces}

    def is_that_of(self, fingerprint: object, vocabulary: Sequence[str], split_file: Path) -> bool:
        """Whether a run was trained on these tokens, by this version or by one that read them the same.

        What the files are called is no matter: their music is compared.

        Args:
            fingerprint: of the run's corpus.
            vocabulary: of the run.
            split_file: the run's split.json, looked at if the fingerprint is another version's.
        """
        if self.fingerprint == fingerprint:
            return True
        recorded = recorded_pieces(split_file)
        hashes = {split: sorted(pieces.values()) for split, pieces in recorded.items()}
        is_same = hashes == {split: sorted(own) for split, own in self.music_hashes.items()}
        if not is_same or self.vocabulary.tokens != tuple(vocabulary):
            return False
        sizes = read_json(split_file, MAX_SPLIT_BYTES).get("sizes")
        try:  # their seconds add up otherwise in another order
            return all(sizes[split]["num_tokens"] == self.sizes[split].num_tokens for split in SPLITS)
        except (KeyError, TypeError):
            return False

    def with_tokens(self, tokens: Sequence[str]) -> EncodedCorpus:
        """The same as ids of a vocabulary that also has these tokens, seen in training or not.

        Args:
            tokens: of another network, whose weights a run starts from. Nothing may be merged.
        """
        assert not self.merges.pairs
        vocabulary = Vocabulary([*self.vocabulary.tokens, *tokens])
        ids = {name: self.corpus.pieces(self.members[name], vocabulary) for name in SPLITS}
        sizes = {name: _size(self.corpus, self.members[name], ids[name]) for name in SPLITS}
        return replace(self, vocabulary=vocabulary, ids=ids, sizes=sizes)

    def in_order_of(self, split_file: Path) -> EncodedCorpus:
        """The same, each split in the order of the music in split.json, whatever its files are called.

        Args:
            split_file: of a run that was trained on this music.
        """
        recorded, members, ids = (
            recorded_pieces(split_file, in_order=True),
            dict(self.members),
            dict(self.ids),
        )
        transpositions = self.transpositions
        for split, hashes in self.music_hashes.items():
            order = _order(hashes, list(recorded.get(split, {}).values()))
            members[split], ids[split] = members[split][order], ids[split].taken(order)
            if split == "train":
                transpositions = transpositions[order]
        return replace(self, members=members, ids=ids, transpositions=transpositions)

    def _by_split(self, values: Sequence[str]) -> dict[str, list[str]]:
        return {split: [values[i] for i in members.tolist()] for split, members in self.members.items()}


def recorded_pieces(split_file: Path, *, in_order: bool = False) -> dict[str, dict[str, str]]:
    """The music hash of each piece by its name, for each split of a split.json.

    Args:
        split_file: none is read where it cannot be.
        in_order: read it only if its pieces stand in the order of training, not in that of their names.
    """
    try:
        written = read_json(split_file, MAX_SPLIT_BYTES)
        if in_order and written.get(IN_ORDER) is not True:
            return {}
        pieces = {split: {str(n): str(h) for n, h in written[split].items()} for split in SPLITS}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return pieces


def _order(hashes: Sequence[str], recorded: Sequence[str]) -> NDArray[np.int64]:
    """The indices of `hashes` as they are recorded; those that are not come last."""
    places: dict[str, list[int]] = {}
    for place, music in enumerate(recorded):
        places.setdefault(music, []).append(place)
    last = len(recorded)
    key = [places[music].pop(0) if places.get(music) else last for music in hashes]
    return np.argsort(np.array(key, dtype=np.int64), kind="stable")


def pieces_of(corpus: EncodedCorpus, tokenizer: Tokenizer, split: str) -> Iterator[Piece]:
    """The pieces of a split as the tokenizer writes them: on its grid, with what a vocabulary would lack.

    Args:
        corpus: any.
        tokenizer: of the corpus, before anything is merged.
        split: one of `SPLITS`.
    """
    every = Vocabulary(token for shard in corpus.corpus.shards for token in shard.values["tokens"])
    codec, members = Codec(tokenizer, every), corpus.members[split]
    for ids, name in zip(corpus.corpus.pieces(members, every), corpus.names[split], strict=True):
        yield replace(codec.decode(ids.tolist(), corpus.tempo), name=name)


def split_of(group: str, seed: int, validation_fraction: float, test_fraction: float) -> str:
    """The split of a group of pieces, decided by its name, which its music decides, and the seed alone.

    Adding a file therefore moves no group that it does not join, and no group is on both sides.
    """
    place = _place(group, seed)
    if place < test_fraction:
        return "test"
    return "validation" if place < test_fraction + validation_fraction else "train"


def _place(group: str, seed: int) -> float:
    """A number in [0, 1) that looks random and depends on nothing else."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


class Fold(NamedTuple):
    """Part `number` of `num_folds`, from 1, of the pieces that are no test pieces."""

    number: int
    num_folds: int


def assign_splits(
    groups: Sequence[str],
    seed: int,
    validation_fraction: float,
    test_fraction: float,
    min_validation: int = 0,
) -> list[str]:
    """The split of every piece; a corpus too small to fill them still gets train and validation.

    Args:
        groups: the name of each piece's group, see `duplicates.group_pieces`.
        seed: decides, with the names, the split.
        validation_fraction, test_fraction: expected share of the groups.
        min_validation: how many groups are validated on at least, and with it the whole of
            `validation_fraction`; see `least_validated`. What chance leaves out comes from the training
            groups, in the order of their places, so that another file moves one or two of them at most.
            0 leaves it to chance.

    Raises:
        UserError: if there are fewer than two groups.
    """
    distinct = sorted(set(groups), key=lambda group: _place(group, seed))
    if len(distinct) < 2:
        raise UserError(
            "the corpus holds only one piece (or copies of one); "
            "training needs at least two: one to learn from, one to validate on"
        )
    split = {group: split_of(group, seed, validation_fraction, test_fraction) for group in distinct}
    if "train" not in split.values():
        split[distinct[-1]] = "train"
    if "validation" not in split.values():
        candidates = [group for group in distinct if split[group] == "train"]
        split[candidates[0] if len(candidates) > 1 else distinct[0]] = "validation"
    training = [group for group in distinct if split[group] == "train"]
    num_tested, num_validated = (list(split.values()).count(name) for name in ("test", "validation"))
    wanted = least_validated(len(distinct), num_tested, validation_fraction, min_validation)
    split |= dict.fromkeys(training[: max(0, wanted - num_validated)], "validation")
    return [split[group] for group in groups]


def least_validated(num_groups: int, num_tested: int, validation_fraction: float, min_validation: int) -> int:
    """How many groups are validated on, if no more are by chance.

    `min_validation` or `validation_fraction` of all, whichever is more, but no more than half of those that
    are not tested. Of few, as many as leave `min_validation` to learn from, but a third at least.
    """
    if not min_validation:
        return 0
    left, share = num_groups - num_tested, int(num_groups * validation_fraction + 1e-9)
    few = min(min_validation, max(left - min_validation, left // 3, 1))
    return min(max(share, few), left // 2)


def assign_fold(splits: Sequence[str], groups: Sequence[str], seed: int, fold: Fold) -> list[str]:
    """The split of every piece in one fold of a cross-validation: each group is validated on in one fold.

    Args:
        splits: of each piece; what is test stays so.
        groups: the name of each piece's group.
        seed: decides, with the names, the folds.
        fold: the one that is validated on; the others are learned from.

    Raises:
        UserError: if there are fewer groups than folds.
    """
    tested = {group for group, split in zip(groups, splits, strict=True) if split == "test"}
    dealt = sorted(set(groups) - tested, key=lambda group: _place(group, seed))
    if len(dealt) < fold.num_folds:
        raise UserError(
            f"dataset.fold={fold.number}/{fold.num_folds}: there are only {len(dealt)} pieces "
            "(copies are one) beside the test pieces; give fewer folds"
        )
    start, end = (round(number * len(dealt) / fold.num_folds) for number in (fold.number - 1, fold.number))
    validated = set(dealt[start:end])
    return [
        "test" if group in tested else "validation" if group in validated else "train" for group in groups
    ]


def encode_corpus(
    corpus: TokenizedCorpus,
    *,
    seed: int,
    validation_fraction: float,
    test_fraction: float,
    tokenizer: Tokenizer,
    ready_made: Mapping[str, str] | None = None,
    train_fraction: float = 1.0,
    bpe: Bpe | None = None,
    transpose: int = 0,
    min_validation: int = 0,
    fold: Fold | None = None,
) -> EncodedCorpus:
    """Split a corpus by groups of near-duplicates and turn its tokens into ids.

    What takes a look at every token is kept in the corpus's cache.

    Args:
        corpus: all pieces.
        seed: decides, with each piece's content, the split.
        validation_fraction, test_fraction: expected share of the groups.
        tokenizer: of the corpus, before anything is merged. Of its tokens, but for its `alphabet`, those
            become UNK that come fewer than `min_count` times in the training split and, where it is
            transposed, no more than `min_count - 1` times in the mean of its transpositions.
        ready_made: the split of each piece by its name, taken as it is; None decides by content.
        train_fraction: share of the training groups that is kept. What a smaller share keeps, a larger one
            keeps too; validation and test stay.
        bpe: how tokens are merged; None if they are not.
        transpose: by how many semitones up or down, at most, training pieces will be moved.
        min_validation: see `assign_splits`.
        fold: what is validated on instead of the validation pieces, see `assign_fold`.

    Raises:
        UserError: if training or validation is left without a piece, or `bpe` cannot be learned.
    """
    fractions = (validation_fraction, test_fraction)
    are_more = [name.startswith(MORE) for name in corpus.names]
    decides: list[Any] = [seed, *fractions] if ready_made is None else sorted(ready_made.items())

    def assigned_to(groups: Array, at_least: int = min_validation) -> list[str]:
        names = [group.decode() for group in groups.tolist()]
        own = [name for name, is_more in zip(names, are_more, strict=True) if not is_more]
        if ready_made is not None:
            files = [name for name, is_more in zip(corpus.names, are_more, strict=True) if not is_more]
            splits = _ready_made_splits(ready_made, files)
        else:
            splits = assign_splits(own, seed, *fractions, at_least)
        if fold:
            splits = assign_fold(splits, own, seed, fold)
        return _with_more(splits, names, are_more)

    if fold:
        decides = [decides, seed, *fold]
    elif min_validation and assigned_to(corpus.groups) != assigned_to(corpus.groups, 0):
        decides.append(min_validation)  # where chance gave enough it is the split that it was before
    vocabulary_of = (tokenizer.min_count, bpe.vocab_size if bpe else None, transpose)
    key = [corpus.fingerprint, VERSION, decides, train_fraction, *vocabulary_of]
    fingerprint = hashlib.sha256(json.dumps(key).encode()).hexdigest()

    def assign(groups: Array) -> dict[str, NDArray[np.int64]]:
        names = [group.decode() for group in groups.tolist()]
        members = _members(assigned_to(groups))
        return members | {"train": _kept(members["train"], names, seed, train_fraction)}

    def summarize() -> Entry:
        members, ungrouped = assign(corpus.groups), assign(corpus.column("music_hashes"))
        return _summary(corpus, members, ungrouped, tokenizer, bpe, transpose)

    return _encoded(corpus, fingerprint, corpus.cache.get(fingerprint, summarize), bpe, transpose)


def _encoded(
    corpus: TokenizedCorpus, fingerprint: str, summary: Entry, bpe: Bpe | None, transpose: int
) -> EncodedCorpus:
    """The corpus by what `_summary` gave, or an earlier one kept."""
    values, assigned = summary.values, summary.arrays["split"]
    members = {name: np.flatnonzero(assigned == i) for i, name in enumerate(SPLITS)}
    vocabulary, merges = Vocabulary(values["tokens"]), Merges.from_plain(values["merges"])
    written = bpe.merge(corpus, merges) if bpe else corpus
    return EncodedCorpus(
        fingerprint=fingerprint,
        vocabulary=vocabulary,
        merges=merges,
        corpus=corpus,
        members=members,
        ids={name: written.pieces(members[name], vocabulary) for name in SPLITS},
        sizes={name: SplitSize(**values["sizes"][name]) for name in SPLITS},
        tempo=values["tempo"],
        duplicates=values["duplicates"],
        num_crossing=values["num_crossing"],
        leak=Leak(**values["leak"]),
        transpositions=_transpositions(corpus, members["train"], transpose),
    )


def _summary(
    corpus: TokenizedCorpus,
    members: dict[str, NDArray[np.int64]],
    ungrouped: dict[str, NDArray[np.int64]],
    tokenizer: Tokenizer,
    bpe: Bpe | None,
    transpose: int,
) -> Entry:
    """All of an `EncodedCorpus` for which every token or name is looked at."""
    vocabulary = _training_vocabulary(corpus, members["train"], tokenizer, transpose)
    vocabulary = Vocabulary([*vocabulary.tokens, *tokenizer.alphabet])
    merges = bpe.learn(corpus, members["train"], vocabulary) if bpe else Merges(())
    vocabulary = Vocabulary([*vocabulary.tokens, *merges.tokens])
    written = bpe.merge(corpus, merges) if bpe else corpus
    ids = {name: written.pieces(members[name], vocabulary) for name in SPLITS}
    split = np.full(corpus.num_pieces, UNUSED, dtype=np.int8)
    for i, name in enumerate(SPLITS):
        split[members[name]] = i
    values = {
        "tokens": vocabulary.tokens,
        "merges": merges.pairs,
        "sizes": {name: asdict(_size(corpus, members[name], ids[name])) for name in SPLITS},
        "leak": asdict(_leaks(corpus, members, ungrouped)),
        "tempo": float(np.median(corpus.facts["tempo"][members["train"]])),
        "duplicates": _duplicates(corpus.names, corpus.groups.tolist()),
        "num_crossing": _num_crossing(corpus.groups, split),
    }
    return Entry({"split": split}, values)


def _kept(train: NDArray[np.int64], groups: Sequence[str], seed: int, fraction: float) -> NDArray[np.int64]:
    """The training pieces of that share of the groups which comes first by hash; at least of one group."""
    distinct = sorted({groups[i] for i in train.tolist()}, key=lambda group: _place(f"train:{group}", seed))
    kept = set(distinct[: max(1, round(fraction * len(distinct)))])
    return np.array([i for i in train.tolist() if groups[i] in kept], dtype=np.int64)


def _with_more(splits: Sequence[str], groups: Sequence[str], are_more: Sequence[bool]) -> list[str]:
    """The split of every piece; one that is only learned from is left out where its like is judged on.

    Args:
        splits: of all pieces that are not only learned from.
        groups: the name of each piece's group.
        are_more: which pieces are only learned from.
    """
    given = iter(splits)
    found = [None if is_more else next(given) for is_more in are_more]
    judged = {group for group, split in zip(groups, found, strict=True) if split not in (None, "train")}
    return [
        split or ("unused" if group in judged else "train")
        for group, split in zip(groups, found, strict=True)
    ]


def _ready_made_splits(ready_made: Mapping[str, str], names: Sequence[str]) -> list[str]:
    splits = [ready_made[name] for name in names]
    for split in ("train", "validation"):
        if split not in splits:
            raise UserError(f"none of the {split} files could be read, so there is nothing to {VERBS[split]}")
    return splits


def _members(assigned: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Of each split, the indices of its pieces."""
    return {name: np.flatnonzero(np.array(assigned) == name) for name in SPLITS}


def _duplicates(names: Sequence[str], groups: Sequence[bytes]) -> list[list[str]]:
    """The names in each group of two or more."""
    named: dict[bytes, list[str]] = {}
    for name, group in zip(names, groups, strict=True):
        named.setdefault(group, []).append(name)
    return sorted(sorted(members) for members in named.values() if len(members) > 1)


def _num_crossing(groups: Array, split: NDArray[np.int8]) -> int:
    """How many groups have pieces in more than one split."""
    number = np.unique(groups, return_inverse=True)[1]
    used = split != UNUSED
    pairs = np.unique(number[used] * len(SPLITS) + split[used])  # each group with each of its splits
    return int((np.bincount(pairs // len(SPLITS)) > 1).sum())


def _leaks(
    corpus: TokenizedCorpus, members: dict[str, NDArray[np.int64]], ungrouped: dict[str, NDArray[np.int64]]
) -> Leak:
    grouped = _leak(corpus, members)
    if all(np.array_equal(members[name], ungrouped[name]) for name in SPLITS):
        return Leak(ungrouped=grouped, grouped=grouped)
    return Leak(ungrouped=_leak(corpus, ungrouped), grouped=grouped)


def _leak(corpus: TokenizedCorpus, members: dict[str, NDArray[np.int64]]) -> float:
    validation = list(corpus.steps_of(members["validation"]))
    return copied_fraction(validation, corpus.steps_of(members["train"]))


def _transpositions(corpus: TokenizedCorpus, members: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """By how many semitones each piece may be moved, (num_pieces, 2): least and most, within `PLAYABLE`.

    A piece that is out of it already is not moved further out; one without pitched notes is not moved.
    """
    lowest, highest = (
        corpus.facts[name][members].astype(np.int64) for name in ("lowest_pitch", "highest_pitch")
    )
    down = np.clip(PLAYABLE[0] - lowest, -most, 0)
    up = np.clip(PLAYABLE[1] - highest, 0, most)
    return np.where((lowest < 0)[:, None], 0, np.stack([down, up], axis=1))


def _training_vocabulary(
    corpus: TokenizedCorpus, train: NDArray[np.int64], tokenizer: Tokenizer, transpose: int
) -> Vocabulary:
    written = {token for shard in corpus.shards for token in shard.values["tokens"]}
    shifts = range(-transpose, transpose + 1)
    moved = (tokenizer.transposed(token, shift) for token in written for shift in shifts)
    every = Vocabulary(token for token in moved if token)
    tables = np.stack([Codec(tokenizer, every).variation(shift) for shift in shifts])  # (shift, id)
    counts, means = np.zeros(len(every), dtype=np.int64), np.zeros(len(every))
    ranges = _transpositions(corpus, train, transpose) + transpose  # rows of the tables
    for ids, (least, most) in zip(corpus.pieces(train, every), ranges.tolist(), strict=True):
        distinct, times = np.unique(ids, return_counts=True)
        counts[distinct] += times
        rows = tables[least : most + 1, distinct]  # (num_keys, num_distinct)
        weights = np.broadcast_to(times / len(rows), rows.shape)
        means += np.bincount(rows.ravel(), weights.ravel(), minlength=len(every))
    kept = (counts >= max(tokenizer.min_count, 1)) | (means > tokenizer.min_count - 1)
    return Vocabulary(token for token, is_kept in zip(every.tokens, kept.tolist(), strict=True) if is_kept)


def _size(corpus: TokenizedCorpus, members: NDArray[np.int64], ids: Pieces) -> SplitSize:
    num_tokens = int((ids.lengths - 1).sum())
    num_unknown = sum(int((piece == UNK_ID).sum()) for piece in ids)
    return SplitSize(
        num_pieces=len(members),
        num_tokens=num_tokens,
        num_notes=int(corpus.column("num_notes")[members].sum()),
        beats=float(corpus.facts["beats"][members].sum()),
        seconds=float(corpus.facts["seconds"][members].sum()),
        unknown_fraction=num_unknown / num_tokens if num_tokens else 0.0,
    )
