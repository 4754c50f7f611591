"""Which piece is in which split, and why it stays there."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from noternn.corpus.splits import SPLITS, EncodedCorpus, assign_splits, encode_corpus, split_of
from noternn.corpus.tokenized import tokenize_corpus
from noternn.datasets.sources import folder_sources
from noternn.errors import UserError
from noternn.music.midi import write_midi
from noternn.music.piece import Piece
from noternn.tokenizer import ChordTokenizer, EventTokenizer, Tokenizer

FAST = settings(max_examples=50, deadline=None, derandomize=True, database=None)
FRACTIONS = (0.2, 0.2)  # validation, test


def hashes_of(count: int) -> list[str]:
    return [hashlib.sha256(str(i).encode()).hexdigest() for i in range(count)]


hash_lists = st.lists(
    st.text("0123456789abcdef", min_size=4, max_size=8), min_size=2, max_size=60, unique=True
)


def number_in(name: str) -> int:
    return int("".join(c for c in name if c.isdigit()))


def encoded(folder: Path, seed: int, **options: Any) -> EncodedCorpus:
    corpus = tokenize_corpus(folder_sources(folder), {"name": "event"}, None, num_processes=0)
    fractions = {"validation_fraction": 0.3, "test_fraction": 0.3}
    return encode_corpus(corpus, seed=seed, tokenizer=EventTokenizer(), **fractions, **options)


def test_copies_are_in_one_split_whatever_their_name_key_tempo_or_instrument(
    midi_folder: Callable[[int], Path], make_piece: Callable[[int], Piece]
) -> None:
    folder = midi_folder(6)
    for seed in range(6):
        piece = make_piece(seed)
        columns = (piece.onset, piece.duration)
        write_midi(piece, folder / "copies" / f"same {seed}.mid")
        write_midi(piece.transpose(seed + 1), folder / "copies" / f"transposed {seed}.mid")
        other = Piece.from_notes(*columns, piece.pitch, program=seed + 1, tempos=((0, 70.0 + seed),))
        write_midi(other, folder / "copies" / f"other {seed}.mid")
    for seed in range(5):
        corpus = encoded(folder, seed)
        groups = [{number_in(name) for name in corpus.names[split]} for split in SPLITS]
        assert sum(len(names) for names in corpus.names.values()) == 24
        assert sorted(number for group in groups for number in group) == list(range(6))


@FAST
@given(hash_lists, hash_lists, st.integers(0, 2**32 - 1))
def test_adding_files_moves_no_other(before: list[str], added: list[str], seed: int) -> None:
    alone = assign_splits(before, seed, *FRACTIONS)
    # A corpus too small to fill train and validation by chance borrows pieces for them.
    assume({"train", "validation"} <= {split_of(h, seed, *FRACTIONS) for h in before})
    together = assign_splits([*before, *added], seed, *FRACTIONS)
    assert together[: len(before)] == alone


@FAST
@given(hash_lists, st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_order_of_the_files_does_not_matter(hashes: list[str], seed: int, random: object) -> None:
    shuffled = random.sample(hashes, len(hashes))  # type: ignore[attr-defined]
    first = dict(zip(hashes, assign_splits(hashes, seed, *FRACTIONS), strict=True))
    assert first == dict(zip(shuffled, assign_splits(shuffled, seed, *FRACTIONS), strict=True))


@FAST
@given(hash_lists, st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_train_and_validation_are_never_empty(
    hashes: list[str], seed: int, validation: float, test: float
) -> None:
    assume(validation + test < 1)
    assert {"train", "validation"} <= set(assign_splits(hashes, seed, validation, test))


def test_seed_changes_the_split() -> None:
    hashes = hashes_of(100)
    first, second = (assign_splits(hashes, seed, *FRACTIONS) for seed in (0, 1))
    assert sum(a != b for a, b in zip(first, second, strict=True)) > 20


def test_same_seed_gives_the_same_split() -> None:
    hashes = hashes_of(100)
    assert assign_splits(hashes, 3, *FRACTIONS) == assign_splits(hashes, 3, *FRACTIONS)


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.1), (0.25, 0.05), (0.5, 0.0)])
def test_fractions_are_met_nearly_by_many_pieces(validation: float, test: float) -> None:
    counts = Counter(assign_splits(hashes_of(4000), 0, validation, test))
    assert counts["validation"] / 4000 == pytest.approx(validation, abs=0.03)
    assert counts["test"] / 4000 == pytest.approx(test, abs=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_two_pieces_are_one_to_learn_from_and_one_to_validate_on(seed: int) -> None:
    assert sorted(assign_splits(hashes_of(2), seed, 0.1, 0.1)) == ["train", "validation"]


@pytest.mark.parametrize("hashes", [hashes_of(1), hashes_of(1) * 3], ids=["one", "copies"])
def test_one_piece_cannot_be_split(hashes: list[str]) -> None:
    with pytest.raises(UserError, match=r"only one piece.*at least two"):
        assign_splits(hashes, 0, 0.1, 0.1)


def test_corpus_that_falls_into_test_by_chance_still_trains_and_validates() -> None:
    counts = Counter(assign_splits(hashes_of(5), 0, 0.0, 0.999))
    assert counts == {"train": 1, "validation": 1, "test": 3}


def test_corpus_that_falls_into_train_by_chance_still_validates() -> None:
    assert Counter(assign_splits(hashes_of(5), 0, 0.0, 0.0)) == {"train": 4, "validation": 1}


def test_split_does_not_change_between_versions() -> None:
    # Published numbers depend on it.
    assigned = np.array(assign_splits(hashes_of(20), 0, *FRACTIONS))
    assert np.flatnonzero(assigned == "validation").tolist() == [4, 16]
    assert np.flatnonzero(assigned == "test").tolist() == [5, 8, 9, 17, 18]


def test_places_are_spread_evenly() -> None:
    counts = Counter(split_of(h, 0, 0.25, 0.25) for h in hashes_of(2000))
    assert np.allclose([counts["validation"], counts["test"], counts["train"]], [500, 500, 1000], atol=80)


def write_notes(folder: Path, name: str, pitches: list[int]) -> None:
    onset = np.arange(len(pitches)) * 480
    write_midi(Piece.from_notes(onset, np.full(len(pitches), 480), pitches), folder / name)


def encoded_transposed(folder: Path, transpose: int, tokenizer: Tokenizer) -> EncodedCorpus:
    name = type(tokenizer).__name__.removesuffix("Tokenizer").lower()
    options = {} if name == "event" else {"min_count": tokenizer.min_count}
    corpus = tokenize_corpus(folder_sources(folder), {"name": name, **options}, None, num_processes=0)
    return encode_corpus(
        corpus, seed=0, validation_fraction=0.2, test_fraction=0.0, tokenizer=tokenizer, transpose=transpose
    )


def test_training_pieces_move_within_the_keys_of_a_piano(tmp_path: Path) -> None:
    ranges = {(60, 72): (-6, 6), (23, 40): (-2, 6), (60, 108): (-6, 0), (5, 60): (0, 6), (0, 127): (0, 0)}
    for number, (low, high) in enumerate(ranges):
        write_notes(tmp_path, f"{number}.mid", [low, high, low + 1, low + number, high])
    corpus = encoded_transposed(tmp_path, 6, EventTokenizer())
    found = dict(zip(corpus.names["train"], corpus.transpositions.tolist(), strict=True))
    expected = {f"{number}.mid": list(limits) for number, limits in enumerate(ranges.values())}
    assert found == {name: expected[name] for name in found}
    assert len(found) >= 3


def test_vocabulary_holds_the_training_pieces_in_every_key_they_are_moved_to(tmp_path: Path) -> None:
    for number in range(8):
        write_notes(tmp_path, f"{number}.mid", [60, 60 + number, 65])
    corpus = encoded_transposed(tmp_path, 3, EventTokenizer())
    trained = {
        int(token[6:]) for ids in corpus.ids["train"] for token in np.array(corpus.vocabulary.tokens)[ids]
        if token.startswith("Pitch_")
    }  # fmt: skip
    pitches = {int(token[6:]) for token in corpus.vocabulary.tokens if token.startswith("Pitch_")}
    assert pitches == {pitch + shift for pitch in trained for shift in range(-3, 4)}


def test_chords_that_are_rare_in_all_keys_are_unknown(tmp_path: Path) -> None:
    for number in range(8):
        write_notes(tmp_path, f"{number}.mid", [60, 62, 64, 60, 90 + number])
    corpus = encoded_transposed(tmp_path, 2, ChordTokenizer(min_count=2))
    tokens = set(corpus.vocabulary.tokens)
    assert {"60", "58", "66"} <= tokens  # in one key often enough; in the mean of all keys
    assert not {"90", "97", "88", "99"} & tokens


def test_a_share_of_the_training_pieces_is_within_every_larger_one(
    midi_folder: Callable[[int], Path],
) -> None:
    folder = midi_folder(24)
    whole = encoded(folder, 0)
    kept = {f: encoded(folder, 0, train_fraction=f) for f in (0.125, 0.25, 0.5, 1.0)}
    names = [set(corpus.names["train"]) for corpus in kept.values()]
    assert names[0] < names[1] < names[2] < names[3] == set(whole.names["train"])
    assert [len(some) for some in names[:3]] == [round(f * len(names[3])) for f in (0.125, 0.25, 0.5)]
    for corpus in kept.values():
        assert all(corpus.names[split] == whole.names[split] for split in ("validation", "test"))
        assert set(corpus.unused) == names[3] - set(corpus.names["train"])
    assert len({corpus.fingerprint for corpus in kept.values()}) == 4


def test_a_share_of_the_training_pieces_changes_with_the_seed_alone(
    midi_folder: Callable[[int], Path],
) -> None:
    folder = midi_folder(12)
    ready_made = {f"piece_{i:03d}.mid": "validation" if i < 2 else "train" for i in range(12)}
    options = {"ready_made": ready_made, "train_fraction": 0.5}
    kept = [set(encoded(folder, seed, **options).names["train"]) for seed in (0, 0, 1)]
    assert kept[0] == kept[1] != kept[2]
    assert len(kept[0]) == 5


def test_copies_are_kept_together_in_a_share_of_the_training_pieces(
    midi_folder: Callable[[int], Path], make_piece: Callable[[int], Piece]
) -> None:
    folder = midi_folder(12)
    for i in range(12):
        write_midi(make_piece(i).transpose(1), folder / "copies" / f"{i}.mid")
    kept = [
        number_in(Path(name).name.removesuffix(".mid"))
        for name in encoded(folder, 0, train_fraction=0.5).names["train"]
    ]
    assert kept
    assert set(Counter(kept).values()) == {2}


def test_the_smallest_share_is_one_group(midi_folder: Callable[[int], Path]) -> None:
    assert len(encoded(midi_folder(12), 0, train_fraction=1e-9).names["train"]) == 1


def test_the_vocabulary_is_of_the_share_that_is_kept(midi_folder: Callable[[int], Path]) -> None:
    corpus = encoded(midi_folder(12), 0, train_fraction=1e-9)
    (piece,) = corpus.ids["train"]
    assert set(piece.tolist()) | {0, 1, 2, 3} == set(range(len(corpus.vocabulary)))
