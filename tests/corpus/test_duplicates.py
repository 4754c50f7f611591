"""Near-duplicates: what a fingerprint keeps, which pieces are joined, what leaks between splits."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noternn.corpus import leak
from noternn.corpus.duplicates import MIN_CONTAINMENT, MIN_SHARED, fingerprint, group_pieces
from noternn.corpus.leak import PASSAGE_NOTES, copied_fraction
from noternn.corpus.splits import SPLITS, EncodedCorpus, assign_splits, encode_corpus, split_of
from noternn.corpus.tokenized import tokenize_corpus
from noternn.datasets.sources import folder_sources
from noternn.music.midi import write_midi
from noternn.music.piece import Piece
from noternn.music.steps import MIN_DIFFERENT, note_steps
from noternn.tokenizer import EventTokenizer

FAST = settings(max_examples=60, deadline=None, derandomize=True, database=None)
NUM_PIECES = 30
MakePiece = Callable[[int], Piece]

# Copies of a piece. Each takes the piece and a number that makes the copy another one.


def transposed(piece: Piece, seed: int) -> Piece:
    return piece.transpose((-7, -2, 1, 5, 11)[seed % 5])


def in_half_the_tempo(piece: Piece, seed: int) -> Piece:
    return dataclasses.replace(piece, tempos=((0, 50.0 + seed),))


def written_slower(piece: Piece, seed: int) -> Piece:
    factor = 2 + seed % 2
    return dataclasses.replace(piece, onset=piece.onset * factor, duration=piece.duration * factor)


def in_another_resolution(piece: Piece, seed: int) -> Piece:
    ticks = (96, 192, 1024)[seed % 3]
    onset, duration = (np.rint(column * ticks / 480) for column in (piece.onset, piece.duration))
    return Piece.from_notes(onset, duration, piece.pitch, ticks_per_beat=ticks)


def exported_again(piece: Piece, seed: int) -> Piece:
    """Later, detached and with an onset jitter of a hundredth of a beat."""
    jitter = np.random.default_rng(seed).integers(-2, 3, piece.num_notes)
    columns = (piece.onset + 1920 + jitter, np.maximum(1, piece.duration // 2), piece.pitch)
    return Piece.from_notes(*columns, velocity=64, name="again")


def played_by_others_with_drums(piece: Piece, seed: int) -> Piece:
    beats = np.arange(0, piece.end, 480)
    melody = piece.pitch > np.median(piece.pitch)
    return Piece.from_notes(
        np.concatenate([piece.onset, beats]),
        np.concatenate([piece.duration, np.full(len(beats), 60)]),
        np.concatenate([piece.pitch, np.full(len(beats), 36)]),
        program=np.concatenate([np.where(melody, 40 + seed % 8, 0), np.zeros(len(beats), dtype=np.int64)]),
        is_drum=np.arange(piece.num_notes + len(beats)) >= piece.num_notes,
    )


def cut_to_60_percent(piece: Piece, seed: int) -> Piece:
    if seed % 2:
        return piece.select(piece.onset >= 0.4 * piece.end)
    return piece.select(piece.onset < 0.6 * piece.end)


def with_noise_in_5_percent(piece: Piece, seed: int) -> Piece:
    rng = np.random.default_rng(seed)
    changed = rng.choice(piece.num_notes, round(0.05 * piece.num_notes), replace=False)
    pitch = piece.pitch.copy()
    pitch[changed] += rng.choice([-3, -2, -1, 1, 2, 3], len(changed))
    return Piece.from_notes(piece.onset, piece.duration, pitch)


COPIES = [
    transposed, in_half_the_tempo, written_slower, in_another_resolution, exported_again,
    played_by_others_with_drums, cut_to_60_percent, with_noise_in_5_percent,
]  # fmt: skip


def groups_of(pieces: list[Piece]) -> list[str]:
    return group_pieces([p.music_hash() for p in pieces], [fingerprint(p) for p in pieces])


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: copy.__name__)
def test_copies_are_joined_with_their_piece_and_with_no_other(copy: Callable[[Piece, int], Piece],
                                                              make_piece: MakePiece) -> None:  # fmt: skip
    pieces = [make_piece(seed) for seed in range(NUM_PIECES)]
    groups = groups_of([*pieces, *(copy(piece, seed) for seed, piece in enumerate(pieces))])
    assert len(set(groups[:NUM_PIECES])) == NUM_PIECES
    found = sum(a == b for a, b in zip(groups[:NUM_PIECES], groups[NUM_PIECES:], strict=True))
    assert found >= 0.95 * NUM_PIECES


def test_different_pieces_are_not_joined(make_piece: MakePiece) -> None:
    assert len(set(groups_of([make_piece(seed) for seed in range(200)]))) == 200


def test_fingerprint_is_the_same_transposed_and_at_half_speed(make_piece: MakePiece) -> None:
    expected = fingerprint(make_piece(0))
    assert len(expected) > 2 * MIN_SHARED
    assert fingerprint(written_slower(make_piece(0).transpose(3), 0)).tolist() == expected.tolist()


def test_fingerprint_does_not_change_between_versions(make_piece: MakePiece) -> None:
    # Splits depend on it. Raise CACHE_VERSION where it must change.
    ngrams = fingerprint(make_piece(0))
    assert (len(ngrams), hex(int(ngrams[0]))) == (56, "0x48d76b403d40922")


@pytest.mark.parametrize("num_notes", [0, 1, 2, 6, 7, 8])
def test_piece_shorter_than_the_ngrams_is_only_joined_with_the_same_music(num_notes: int) -> None:
    onset = np.arange(num_notes) * 480
    pitch = np.array([60, 64, 62, 67, 71, 65, 60, 59])[:num_notes]
    piece = Piece.from_notes(onset, 240, pitch)
    other = Piece.from_notes(np.arange(9) * 480, 240, [60, 64, 62, 67, 71, 65, 60, 59, 70])
    first, second, third = groups_of([piece, piece.transpose(1), other])
    assert first == second != third


def test_drums_have_no_fingerprint() -> None:
    assert len(fingerprint(Piece.from_notes(np.arange(40) * 240, 100, 36, is_drum=True))) == 0


def test_repeated_notes_and_trills_join_nothing() -> None:
    trill = Piece.from_notes(np.arange(200) * 120, 100, 70 + np.arange(200) % 2)
    assert len(fingerprint(trill)) == 0


def test_medley_joins_the_pieces_in_it(make_piece: MakePiece) -> None:
    first, second = make_piece(0), make_piece(1)
    medley = Piece.from_notes(
        np.concatenate([first.onset, second.onset + first.end]),
        np.concatenate([first.duration, second.duration]),
        np.concatenate([first.pitch, second.pitch]),
    )
    assert len(set(groups_of([first, second, medley]))) == 1
    assert len(set(groups_of([first, second]))) == 2


# Groups of fingerprints

fingerprints = st.lists(
    st.lists(st.integers(0, 60), max_size=30, unique=True).map(
        lambda x: np.array(sorted(x), dtype=np.uint64)
    ),
    max_size=12,
)


def named(prints: list[NDArray[np.uint64]]) -> list[str]:
    """Names that do not follow the order, some of them twice."""
    return [f"{(7 * i) % 11:02d}" for i in range(len(prints))]


def slow_groups(names: list[str], prints: list[NDArray[np.uint64]]) -> list[str]:
    """Every pair compared; then names spread until nothing changes."""
    sets = [set(p.tolist()) for p in prints]
    size = len(sets)

    def joined(i: int, j: int) -> bool:
        shared, smaller = len(sets[i] & sets[j]), min(len(sets[i]), len(sets[j]))
        return names[i] == names[j] or (shared >= MIN_SHARED and shared >= MIN_CONTAINMENT * smaller)

    pairs = [(i, j) for i in range(size) for j in range(size) if joined(i, j)]
    groups = list(names)
    for _ in range(size):
        for i, j in pairs:
            groups[i] = min(groups[i], groups[j])
    return groups


@FAST
@given(fingerprints)
def test_groups_are_those_of_comparing_every_pair(prints: list[NDArray[np.uint64]]) -> None:
    assert group_pieces(named(prints), prints) == slow_groups(named(prints), prints)


@FAST
@given(fingerprints, st.randoms(use_true_random=False))
def test_order_does_not_matter(prints: list[NDArray[np.uint64]], random: object) -> None:
    names = named(prints)
    order: list[int] = random.sample(range(len(prints)), len(prints))  # type: ignore[attr-defined]
    groups = group_pieces(names, prints)
    shuffled = group_pieces([names[i] for i in order], [prints[i] for i in order])
    assert shuffled == [groups[i] for i in order]


@FAST
@given(fingerprints, fingerprints)
def test_unrelated_pieces_change_no_group(
    prints: list[NDArray[np.uint64]], others: list[NDArray[np.uint64]]
) -> None:
    unrelated = [other + np.uint64(1000) for other in others]
    names = named(prints)
    together = group_pieces([*names, *(f"0 {name}" for name in named(others))], [*prints, *unrelated])
    assert together[: len(prints)] == group_pieces(names, prints)


@FAST
@given(fingerprints, st.integers(0, 1000))
def test_no_group_crosses_a_split(prints: list[NDArray[np.uint64]], seed: int) -> None:
    groups = group_pieces(named(prints), prints)
    assume(len(set(groups)) > 1)
    assigned = assign_splits(groups, seed, 0.3, 0.3)
    assert len(set(zip(groups, assigned, strict=True))) == len(set(groups))


def test_common_ngrams_do_not_hide_a_copy() -> None:
    common = np.arange(MIN_SHARED - 1, dtype=np.uint64)
    prints = [
        np.concatenate([common, np.arange(20, dtype=np.uint64) + np.uint64(100 * i)]) for i in range(1, 60)
    ]
    prints.append(prints[0][:14])
    groups = group_pieces([f"{i:02d}" for i in range(60)], prints)
    assert groups[59] == groups[0]
    assert len(set(groups)) == 59


# Splits of a corpus


def encoded(folder: Path, seed: int) -> EncodedCorpus:
    corpus = tokenize_corpus(folder_sources(folder), {"name": "event"}, None, num_processes=0)
    return encode_corpus(
        corpus, seed=seed, validation_fraction=0.3, test_fraction=0.3, tokenizer=EventTokenizer()
    )


@pytest.fixture
def folder_with_copies(midi_folder: Callable[[int], Path], make_piece: MakePiece) -> Path:
    """Eight pieces, of which the first four have a cut and transposed copy."""
    folder = midi_folder(8)
    for seed in range(4):
        copy = cut_to_60_percent(make_piece(seed), 0).transpose(seed - 5)
        write_midi(copy, folder / f"copy_{seed:03d}.mid")
    return folder


def test_copies_are_never_on_both_sides_and_are_named(folder_with_copies: Path) -> None:
    for seed in range(6):
        corpus = encoded(folder_with_copies, seed)
        assert corpus.duplicates == [[f"copy_{i:03d}.mid", f"piece_{i:03d}.mid"] for i in range(4)]
        sides = Counter(i for name in SPLITS for i in {names[-7:-4] for names in corpus.names[name]})
        assert set(sides.values()) == {1}


def test_added_file_moves_no_group_that_it_does_not_join(
    folder_with_copies: Path, make_piece: MakePiece
) -> None:
    before = encoded(folder_with_copies, 0)
    groups = groups_of([make_piece(seed) for seed in range(8)])
    assert {"train", "validation"} <= {split_of(group, 0, 0.3, 0.3) for group in groups}, "else it borrows"
    write_midi(make_piece(20), folder_with_copies / "new.mid")
    write_midi(transposed(make_piece(5), 0), folder_with_copies / "new copy.mid")
    after = encoded(folder_with_copies, 0)
    assert all(set(before.names[name]) <= set(after.names[name]) for name in SPLITS)


def test_leak_of_copies_is_found_and_gone_when_they_are_grouped(folder_with_copies: Path) -> None:
    leaks = [encoded(folder_with_copies, seed).leak for seed in range(6)]
    assert max(leak.ungrouped for leak in leaks) > 0.2
    assert [leak.grouped for leak in leaks] == [0] * 6


def test_corpus_without_copies_leaks_nothing(midi_folder: Callable[[int], Path]) -> None:
    corpus = encoded(midi_folder(8), 2)
    assert corpus.duplicates == []
    assert (corpus.leak.ungrouped, corpus.leak.grouped) == (0, 0)


# The leak


def slow_copied_fraction(validation: list[list[int]], train: list[list[int]]) -> float:
    length = PASSAGE_NOTES - 1
    known = {tuple(steps[i : i + length]) for steps in train for i in range(len(steps) - length + 1)}
    copied = set()
    for number, steps in enumerate(validation):
        for i in range(len(steps) - length + 1):
            passage = tuple(steps[i : i + length])
            if passage in known and len(set(passage)) >= MIN_DIFFERENT:
                copied |= {(number, i + k) for k in range(PASSAGE_NOTES)}
    num_notes = sum(len(steps) + 1 for steps in validation)
    return len(copied) / num_notes if num_notes else 0.0


@pytest.mark.parametrize("block_steps", [1, 50, leak.BLOCK_STEPS])
@settings(FAST, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), validation=st.integers(0, 4), train=st.integers(0, 4))
def test_copied_fraction_is_that_of_looking_everywhere(
    block_steps: int, seed: int, validation: int, train: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leak, "BLOCK_STEPS", block_steps)
    rng = np.random.default_rng(seed)
    phrases = [rng.integers(0, 8, 20).tolist() for _ in range(4)]

    def pieces(count: int) -> list[list[int]]:
        chosen = [rng.integers(4, size=rng.integers(0, 5)) for _ in range(count)]
        return [[step for i in numbers for step in phrases[i]] for numbers in chosen]

    held_out, known = pieces(validation), pieces(train)
    arrays = [[np.array(steps, dtype=np.uint32) for steps in of] for of in (held_out, known)]
    assert copied_fraction(*arrays) == pytest.approx(slow_copied_fraction(held_out, known))


def test_planted_passage_is_the_share_of_its_notes(make_piece: MakePiece) -> None:
    first, second = make_piece(0), make_piece(1)
    passage = first.select(np.arange(first.num_notes) < 30).transpose(4)
    planted = Piece.from_notes(
        np.concatenate([second.onset, passage.onset + second.end + 480]),
        np.concatenate([second.duration, passage.duration]),
        np.concatenate([second.pitch, passage.pitch]),
    )
    copied = copied_fraction([note_steps(planted)], [note_steps(first)])
    assert copied == pytest.approx(30 / (second.num_notes + 30), abs=0.02)
    assert copied_fraction([note_steps(second)], [note_steps(first)]) == 0


def test_ostinato_is_no_copy() -> None:
    ostinato = note_steps(Piece.from_notes(np.arange(100) * 240, 200, [60, 64, 67, 64] * 25))
    assert copied_fraction([ostinato], [ostinato]) == 0


@pytest.mark.parametrize("num_notes", [0, 1, 15])
def test_piece_shorter_than_a_passage_is_no_copy(num_notes: int, make_piece: MakePiece) -> None:
    piece = make_piece(0)
    steps = note_steps(piece.select(np.arange(piece.num_notes) < num_notes))
    assert copied_fraction([steps], [note_steps(piece)]) == 0


def test_notes_twice_and_drums_are_not_steps(make_piece: MakePiece) -> None:
    piece = make_piece(0)
    doubled = Piece.from_notes(*(np.tile(c, 2) for c in (piece.onset, piece.duration, piece.pitch)))
    with_drums = played_by_others_with_drums(piece, 0)
    for other in (doubled, with_drums):
        assert note_steps(other).tolist() == note_steps(piece).tolist()
