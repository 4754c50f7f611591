"""Which piece is in which split, and why it stays there."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from noternn.corpus.splits import (
    SPLITS,
    EncodedCorpus,
    Fold,
    assign_fold,
    assign_splits,
    encode_corpus,
    split_of,
)
from noternn.corpus.tokenized import tokenize_corpus
from noternn.datasets.sources import MORE, folder_sources
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


AT_LEAST = 5  # pieces to validate on


@FAST
@given(st.integers(2, 200), st.integers(0, 50))
def test_five_pieces_or_the_whole_share_are_validated_on(count: int, seed: int) -> None:
    counts = Counter(assign_splits(hashes_of(count), seed, 0.1, 0.1, AT_LEAST))
    left = count - counts["test"]
    if left >= 10:
        assert counts["validation"] >= max(5, count // 10) or counts["validation"] == left // 2
    else:
        assert 1 <= counts["validation"] <= max(1, left // 2) or counts == Counter(
            assign_splits(hashes_of(count), seed, 0.1, 0.1)
        )
    assert counts["train"] >= 1


def test_test_pieces_stay_and_validation_pieces_are_added_to() -> None:
    for seed in range(20):
        by_chance, at_least = (
            assign_splits(hashes_of(40), seed, 0.1, 0.1, number) for number in (0, AT_LEAST)
        )
        for before, after in zip(by_chance, at_least, strict=True):
            assert before == after or (before, after) == ("train", "validation")
        if by_chance.count("validation") >= 5:
            assert by_chance == at_least


@pytest.mark.parametrize(
    ("count", "expected"), [(2, 1), (3, 1), (5, 1), (6, 2), (8, 3), (9, 4), (10, 5), (30, 5), (80, 8)]
)
def test_of_few_pieces_most_are_to_learn_from(count: int, expected: int) -> None:
    assert assign_splits(hashes_of(count), 0, 0.1, 0.0, AT_LEAST).count("validation") >= expected
    found = [assign_splits(hashes_of(count), seed, 1e-9, 0.0, AT_LEAST) for seed in range(5)]
    if count <= 30:
        assert {splits.count("validation") for splits in found} == {expected}


@FAST
@given(hash_lists, st.text("0123456789abcdef", min_size=9, max_size=9), st.integers(0, 2**32 - 1))
def test_another_file_moves_two_at_most(before: list[str], added: str, seed: int) -> None:
    alone = assign_splits(before, seed, 0.1, 0.1, AT_LEAST)
    together = assign_splits([*before, added], seed, 0.1, 0.1, AT_LEAST)
    assert sum(a != b for a, b in zip(alone, together[: len(before)], strict=True)) <= 2


@FAST
@given(st.integers(12, 60), st.integers(2, 6), st.integers(0, 20))
def test_each_piece_is_validated_on_in_one_fold(count: int, num_folds: int, seed: int) -> None:
    groups = [name for name in hashes_of(count) for _ in range(1 + count % 3)]
    splits = assign_splits(groups, seed, 0.1, 0.1)
    folds = [assign_fold(splits, groups, seed, Fold(number + 1, num_folds)) for number in range(num_folds)]
    for i, split in enumerate(splits):
        found = [fold[i] for fold in folds]
        assert found.count("validation") == (0 if split == "test" else 1)
        assert found.count("test") == (num_folds if split == "test" else 0)
    for fold in folds:
        assert all(len({s for g, s in zip(groups, fold, strict=True) if g == name}) == 1 for name in groups)
    sizes = [len({g for g, s in zip(groups, fold, strict=True) if s == "validation"}) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


def test_more_folds_than_pieces_are_refused() -> None:
    with pytest.raises(UserError, match=r"dataset\.fold=1/4: there are only 3 pieces"):
        assign_fold(["train", "train", "validation", "test"], ["a", "b", "c", "d"], 0, Fold(1, 4))


def test_a_fold_is_another_corpus_and_its_test_pieces_are_the_same(
    midi_folder: Callable[[int], Path],
) -> None:
    folder = midi_folder(12)
    whole = encoded(folder, 0)
    folds = [encoded(folder, 0, fold=Fold(number, 3)) for number in (1, 2, 3)]
    assert len({corpus.fingerprint for corpus in (whole, *folds)}) == 4
    assert all(corpus.names["test"] == whole.names["test"] for corpus in folds)
    validated = [name for corpus in folds for name in corpus.names["validation"]]
    assert sorted(validated) == sorted(whole.names["train"] + whole.names["validation"])


def test_a_ready_made_split_is_folded_without_its_test_pieces(midi_folder: Callable[[int], Path]) -> None:
    folder = midi_folder(9)
    ready_made = {f"piece_{i:03d}.mid": SPLITS[i % 3] for i in range(9)}
    corpus = encoded(folder, 0, ready_made=ready_made, fold=Fold(1, 2))
    assert sorted(corpus.names["test"]) == [name for name, split in ready_made.items() if split == "test"]
    assert len(corpus.names["validation"]) == len(corpus.names["train"]) == 3


def test_a_split_that_chance_made_large_enough_is_the_same_corpus(
    midi_folder: Callable[[int], Path],
) -> None:
    folder = midi_folder(24)
    for seed in range(4):
        by_chance, at_least = (encoded(folder, seed, min_validation=number) for number in (0, 8))
        is_same = by_chance.names == at_least.names
        assert (by_chance.fingerprint == at_least.fingerprint) == is_same
        assert is_same == (len(by_chance.names["validation"]) == len(at_least.names["validation"]))


# Music that is only learned from


def with_more(folder: Path, more: Path, ready_made: dict[str, str] | None, **options: Any) -> EncodedCorpus:
    extra = [replace(source, name=f"{MORE}more/{source.name}") for source in folder_sources(more)]
    sources = [*folder_sources(folder), *extra]
    given = ready_made and ready_made | {source.name: "train" for source in extra}
    corpus = tokenize_corpus(sources, {"name": "event"}, None, num_processes=0)
    fractions = {"validation_fraction": 0.3, "test_fraction": 0.3}
    return encode_corpus(corpus, seed=0, tokenizer=EventTokenizer(), ready_made=given, **fractions, **options)


@pytest.mark.parametrize("fold", [None, Fold(2, 3)])
@pytest.mark.parametrize("is_ready_made", [False, True])
def test_more_music_leaves_the_split_of_the_own_as_it_is(
    midi_folder: Callable[[int], Path],
    make_piece: Callable[[int], Piece],
    tmp_path: Path,
    fold: Fold | None,
    is_ready_made: bool,
) -> None:
    folder, more = midi_folder(12), tmp_path / "other"
    more.mkdir()
    for seed in range(40, 45):
        write_midi(make_piece(seed), more / f"{seed}.mid")
    alone = encoded(folder, 0, fold=fold)
    ready_made = None
    if is_ready_made:
        ready_made = {name: split for split in SPLITS for name in encoded(folder, 0).names[split]}
        alone = encoded(folder, 0, fold=fold, ready_made=ready_made)
    both = with_more(folder, more, ready_made, fold=fold)
    for split in ("validation", "test"):
        assert both.names[split] == alone.names[split]
    assert {*both.names["train"]} - {*alone.names["train"]} == {f"{MORE}more/{n}.mid" for n in range(40, 45)}
    assert {*alone.names["train"]} < {*both.names["train"]}


def test_more_music_that_is_judged_on_is_left_out(midi_folder: Callable[[int], Path]) -> None:
    folder = midi_folder(12)
    both = with_more(folder, folder, None)
    judged = {*both.names["validation"], *both.names["test"]}
    assert judged == {*encoded(folder, 0).names["validation"], *encoded(folder, 0).names["test"]}
    assert {f"{MORE}more/{name}" for name in judged} == set(both.unused)
