"""Batches: every token once, in order along its lane, and no piece on both sides of the split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noternn.corpus.loading import corpus_of
from noternn.corpus.pieces import Pieces
from noternn.corpus.splits import SPLITS
from noternn.launch.command_line import settings as settings_of
from noternn.music.midi import write_midi
from noternn.music.piece import Piece
from noternn.tokenizer import BOS_ID, EOS_ID, PAD_ID, Codec
from noternn.training.datamodule import LaneLoader, MidiDataModule
from noternn.training.run import data_module

FAST = settings(max_examples=60, deadline=None, derandomize=True, database=None)
Arrays = list[NDArray[np.int64]]
Row = tuple[int, bool, list[int], list[int]]  # lane, is_start, inputs, targets

lengths_of_pieces = st.lists(st.integers(2, 30), min_size=1, max_size=12)
batch_sizes = st.integers(1, 15)
window_lengths = st.integers(1, 12)
seeds = st.none() | st.integers(0, 5)
any_corpus = given(lengths_of_pieces, batch_sizes, window_lengths, seeds)


def distinct_pieces(lengths: list[int]) -> Arrays:
    """Pieces of which no two tokens are equal, so that each can be found again."""
    ends = np.cumsum(lengths)
    return [np.arange(end - length, end) + 4 for end, length in zip(ends, lengths, strict=True)]


def loader_of(pieces: Arrays, *args: Any, **options: Any) -> LaneLoader:
    return LaneLoader(Pieces.of(pieces), *args, **options)


def rows_of(loader: LaneLoader) -> list[list[Row]]:
    """For every batch its rows."""
    return [
        list(zip(*(part.tolist() for part in batch_fields), strict=True))
        for batch_fields in ((batch.lane, batch.is_start, batch.inputs, batch.targets) for batch in loader)
    ]


def read_by_lane(loader: LaneLoader) -> list[list[int]]:
    """What the lanes read, put together again as pieces."""
    pieces: list[list[int]] = []
    current: dict[int, list[int]] = {}
    for rows in rows_of(loader):
        for lane, is_start, inputs, targets in rows:
            if is_start:
                current[lane] = [inputs[0]]
                pieces.append(current[lane])
            assert inputs[0] == current[lane][-1]  # goes on where the last window ended
            current[lane] += [target for target in targets if target != PAD_ID]
    return pieces


def slow_evaluation_rows(pieces: Arrays, batch_size: int, window_length: int) -> list[list[Row]]:
    """The batches of a loader without seed, written down as the definition reads."""
    waiting = sorted(pieces, key=len, reverse=True)
    lanes = [waiting.pop(0).tolist() for _ in range(min(batch_size, len(pieces)))]
    places: dict[int, int] = dict.fromkeys(range(len(lanes)), 0)
    batches = []
    while places:
        time = min(window_length, max(len(lanes[lane]) - 1 - place for lane, place in places.items()))
        rows = []
        for lane, place in list(places.items()):
            padded = lanes[lane] + [PAD_ID] * time
            rows.append(
                (lane, place == 0, padded[place : place + time], padded[place + 1 : place + 1 + time])
            )
            places[lane] = place + window_length
            if places[lane] >= len(lanes[lane]) - 1:
                if waiting:
                    lanes[lane], places[lane] = waiting.pop(0).tolist(), 0
                else:
                    del places[lane]
        batches.append(rows)
    return batches


@FAST
@given(lengths_of_pieces, batch_sizes, window_lengths)
def test_evaluation_batches_equal_a_slow_reference(
    lengths: list[int], batch_size: int, window_length: int
) -> None:
    pieces = distinct_pieces(lengths)
    expected = slow_evaluation_rows(pieces, batch_size, window_length)
    assert rows_of(loader_of(pieces, batch_size, window_length)) == expected


@FAST
@any_corpus
def test_every_token_but_the_first_is_a_target_exactly_once(
    lengths: list[int], batch_size: int, window_length: int, seed: int | None
) -> None:
    pieces = distinct_pieces(lengths)
    loader = loader_of(pieces, batch_size, window_length, seed)
    targets = Counter(t for batch in loader for t in batch.targets.flatten().tolist() if t != PAD_ID)
    assert targets == Counter(token for piece in pieces for token in piece[1:].tolist())


@FAST
@any_corpus
def test_lanes_read_whole_pieces_in_contiguous_windows(
    lengths: list[int], batch_size: int, window_length: int, seed: int | None
) -> None:
    pieces = distinct_pieces(lengths)
    read = read_by_lane(loader_of(pieces, batch_size, window_length, seed))
    assert sorted(read) == sorted(piece.tolist() for piece in pieces)


@FAST
@any_corpus
def test_every_target_is_the_input_after_it(
    lengths: list[int], batch_size: int, window_length: int, seed: int | None
) -> None:
    for batch in loader_of(distinct_pieces(lengths), batch_size, window_length, seed):
        assert (batch.inputs[:, 1:] == batch.targets[:, :-1]).all()


@FAST
@any_corpus
def test_padding_stands_only_after_the_end_of_a_piece(
    lengths: list[int], batch_size: int, window_length: int, seed: int | None
) -> None:
    pieces = distinct_pieces(lengths)
    last_tokens = {int(piece[-1]) for piece in pieces}
    for batch in loader_of(pieces, batch_size, window_length, seed):
        for targets in batch.targets.tolist():
            read = [target for target in targets if target != PAD_ID]
            assert targets == read + [PAD_ID] * (len(targets) - len(read))
            assert len(read) == len(targets) or read[-1] in last_tokens


@FAST
@any_corpus
def test_no_window_is_all_padding_or_longer_than_asked_for(
    lengths: list[int], batch_size: int, window_length: int, seed: int | None
) -> None:
    for batch in loader_of(distinct_pieces(lengths), batch_size, window_length, seed):
        assert batch.targets.shape[1] <= window_length
        assert (batch.targets != PAD_ID).any(1).all()  # each row
        assert (batch.targets != PAD_ID).any(0).all()  # each place of the window


@FAST
@any_corpus
def test_a_row_is_a_start_exactly_at_the_first_token_of_a_piece(
    lengths: list[int], batch_size: int, window_length: int, seed: int | None
) -> None:
    pieces = distinct_pieces(lengths)
    first_tokens = {int(piece[0]) for piece in pieces}
    for batch in loader_of(pieces, batch_size, window_length, seed):
        assert batch.is_start.tolist() == [token in first_tokens for token in batch.inputs[:, 0].tolist()]


@FAST
@any_corpus
def test_lanes_are_numbered_from_0_and_at_most_batch_size(
    lengths: list[int], batch_size: int, window_length: int, seed: int | None
) -> None:
    lanes = [
        batch.lane.tolist() for batch in loader_of(distinct_pieces(lengths), batch_size, window_length, seed)
    ]
    num_lanes = min(batch_size, len(lengths))
    assert lanes[0] == list(range(num_lanes))
    assert all(lane == sorted(set(lane)) and lane[-1] < num_lanes for lane in lanes)


@FAST
@any_corpus
def test_length_is_the_number_of_batches(
    lengths: list[int], batch_size: int, window_length: int, seed: int | None
) -> None:
    loader = loader_of(distinct_pieces(lengths), batch_size, window_length, seed)
    assert len(loader) == sum(1 for _ in loader)


@FAST
@any_corpus
def test_reading_a_loader_twice_gives_the_same_batches(
    lengths: list[int], batch_size: int, window_length: int, seed: int | None
) -> None:
    loader = loader_of(distinct_pieces(lengths), batch_size, window_length, seed)
    assert rows_of(loader) == rows_of(loader)


def test_the_same_seed_gives_the_same_order() -> None:
    pieces = distinct_pieces([9, 4, 30, 12, 7])
    assert rows_of(loader_of(pieces, 2, 5, (7, 1))) == rows_of(loader_of(pieces, 2, 5, (7, 1)))


@pytest.mark.parametrize("other", [(7, 2), (8, 1)], ids=["epoch", "seed"])
def test_another_seed_or_epoch_gives_another_order(other: tuple[int, int]) -> None:
    pieces = distinct_pieces([9] * 20)
    orders = [read_by_lane(loader_of(pieces, 2, 5, seed)) for seed in ((7, 1), other)]
    assert orders[0] != orders[1]


def test_over_the_epochs_training_windows_start_at_every_place_of_a_piece() -> None:
    pieces = distinct_pieces([60])
    starts = {
        int(batch.inputs[0, 0]) - 4 for epoch in range(60) for batch in loader_of(pieces, 1, 8, (0, epoch))
    }
    assert starts >= set(range(18, 59))  # sums of 6, 7 and 8 leave no hole from 18 on


def test_a_corpus_smaller_than_one_batch_is_read_whole() -> None:
    pieces = distinct_pieces([3, 2])
    loader = loader_of(pieces, batch_size=32, window_length=64)
    assert [batch.targets.tolist() for batch in loader] == [[[5, 6], [8, PAD_ID]]]


def test_no_pieces_make_no_batches() -> None:
    loader = loader_of([], batch_size=4, window_length=8)
    assert (len(loader), list(loader)) == (0, [])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty short pieces, each with its own melody."""
    rng = np.random.default_rng(0)
    for i in range(30):
        num_notes = int(rng.integers(3, 12))
        pitches = rng.integers(60, 72, num_notes)
        piece = Piece.from_notes(np.arange(num_notes) * 240, [240] * num_notes, pitches)
        write_midi(piece, tmp_path / f"{i:02d}.mid")
    return tmp_path


SETTINGS = (
    ("datamodule.batch_size", "batch_size"),
    ("datamodule.window_length", "window_length"),
    ("datamodule.num_processes", "num_processes"),
    ("seed", "seed"),
    ("dataset.validation_fraction", "validation_fraction"),
    ("dataset.test_fraction", "test_fraction"),
    ("augmentation.transpose", "transpose"),
    ("augmentation.velocity", "velocity"),
)


def datamodule(folder: Path, **options: Any) -> MidiDataModule:
    defaults: dict[str, Any] = {
        "batch_size": 4, "window_length": 8, "seed": 0, "validation_fraction": 0.2, "test_fraction": 0.1,
        "num_processes": 0, "transpose": 0,
    }  # fmt: skip
    given = defaults | options
    overrides = [f"{section}={given.pop(name)}" for section, name in SETTINGS if name in given]
    assert not given
    has_velocity = str(options.get("velocity", 0) > 0).lower()
    fixed = ["datamodule.cache_dir=null", "dataset.min_validation=0", f"tokenizer.velocity={has_velocity}"]
    config = settings_of(["dataset=folder", f"dataset.path={folder}", *fixed, *overrides])
    return data_module(config, corpus_of(config))


def multiset(pieces: Iterable[Any]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(map(int, piece)) for piece in pieces)


def test_the_split_is_by_piece(folder: Path) -> None:
    data = datamodule(folder)
    names = [name for split in SPLITS for name in data.corpus.encoded.names[split]]
    assert sorted(names) == [f"{i:02d}.mid" for i in range(30)]
    assert all(data.corpus.encoded.ids[split] for split in SPLITS)


def test_training_batches_hold_the_training_pieces_and_no_other(folder: Path) -> None:
    data = datamodule(folder)
    read = multiset(read_by_lane(data.train_dataloader()))
    assert read == multiset(data.corpus.encoded.ids["train"])
    assert not read.keys() & multiset(data.corpus.encoded.ids["validation"]).keys()
    assert not read.keys() & multiset(data.corpus.encoded.ids["test"]).keys()


def test_validation_reads_the_validation_pieces_and_then_training_pieces(folder: Path) -> None:
    data = datamodule(folder)
    validation, train_eval = (multiset(read_by_lane(loader)) for loader in data.val_dataloader())
    assert validation == multiset(data.corpus.encoded.ids["validation"])
    assert train_eval == multiset(data.train_eval_pieces())


def test_the_training_loss_is_measured_on_as_many_tokens_as_the_validation_loss(folder: Path) -> None:
    data = datamodule(folder)
    measured = multiset(data.train_eval_pieces())
    training, validation = (data.corpus.encoded.ids[split] for split in ("train", "validation"))
    openings = {tuple(piece[:length].tolist()) for piece in training for length in range(len(piece) + 1)}
    assert measured.keys() <= openings
    assert sum(len(piece) for piece in measured.elements()) == sum(len(piece) for piece in validation)


def test_a_training_split_smaller_than_the_validation_split_is_measured_whole(folder: Path) -> None:
    data = datamodule(folder, validation_fraction=0.8, test_fraction=0.0)
    assert multiset(data.train_eval_pieces()) == multiset(data.corpus.encoded.ids["train"])


def test_what_measured_training_pieces_repeat_is_theirs(folder: Path) -> None:
    data = datamodule(folder)
    data.memory = 2
    whole, measured = data.train_dataloader().recalled, data.val_dataloader()[1].recalled
    pieces = [tuple(piece.tolist()) for piece in data.corpus.encoded.ids["train"]]
    assert whole is not None
    assert measured is not None
    for number, piece in enumerate(data.train_eval_pieces()):
        place = next(i for i, other in enumerate(pieces) if other[: len(piece)] == tuple(piece.tolist()))
        rows = [
            recalled.windows(np.array([i]), np.array([0]), len(piece))
            for recalled, i in ((measured, number), (whole, place))
        ]
        assert np.array_equal(*rows)


def test_each_epoch_trains_in_its_own_order_and_measures_in_the_same(folder: Path) -> None:
    data = datamodule(folder)
    data.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    seen = []
    for epoch in range(2):
        data.trainer.fit_loop.epoch_progress.current.completed = epoch
        seen.append([rows_of(loader) for loader in (data.train_dataloader(), *data.val_dataloader())])
    assert seen[0][0] != seen[1][0]
    assert seen[0][1:] == seen[1][1:]


def test_every_piece_is_read_from_bos_to_eos(folder: Path) -> None:
    pieces = read_by_lane(datamodule(folder).train_dataloader())
    assert all(piece[0] == BOS_ID and piece[-1] == EOS_ID for piece in pieces)


def test_evaluation_loader_reads_the_named_split(folder: Path) -> None:
    data = datamodule(folder)
    for split in SPLITS:
        assert multiset(read_by_lane(data.eval_loader(split))) == multiset(data.corpus.encoded.ids[split])


def moves(original: NDArray[np.int64], varied: NDArray[np.int64], codec: Codec) -> set[int]:
    """By how many semitones the pitches of a piece were moved; other tokens are the same."""
    tokens = codec.vocabulary.tokens
    found = set()
    for before, after in zip(original.tolist(), varied.tolist(), strict=True):
        if tokens[before].startswith("Pitch_"):
            found.add(int(tokens[after][6:]) - int(tokens[before][6:]))
        else:
            assert after == before
    return found


def served(data: MidiDataModule, loader: LaneLoader) -> list[NDArray[np.int64]]:
    """The pieces as a loader serves them, in the order of the corpus."""
    pieces = data.corpus.encoded.ids["train"]
    assert loader.variation is not None
    return [
        loader.variation.tables[table][piece]
        for table, piece in zip(loader.variation.table, pieces, strict=True)
    ]


def test_each_epoch_moves_every_training_piece_as_a_whole_and_anew(folder: Path) -> None:
    data = datamodule(folder, transpose=3)
    epochs = []
    for epoch in range(8):
        data.trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
        data.trainer.fit_loop.epoch_progress.current.completed = epoch
        varied = served(data, data.train_dataloader())
        found = [
            moves(a, b, data.corpus.codec)
            for a, b in zip(data.corpus.encoded.ids["train"], varied, strict=True)
        ]
        assert all(len(move) == 1 for move in found)
        epochs.append([move.pop() for move in found])
    assert {move for moves_of in epochs for move in moves_of} == set(range(-3, 4))
    assert len({tuple(moves_of) for moves_of in epochs}) == 8


def test_batches_are_made_of_the_varied_pieces(folder: Path) -> None:
    data = datamodule(folder, transpose=3)
    loader = data.train_dataloader()
    expected = sorted(piece.tolist() for piece in served(data, loader))
    assert sorted(read_by_lane(loader)) == expected


def test_only_training_is_varied(folder: Path) -> None:
    data = datamodule(folder, transpose=3)
    assert [loader.variation for loader in (*data.val_dataloader(), data.eval_loader("test"))] == [None] * 3


def test_velocities_move_as_far_as_the_tokenizer_carries_them(folder: Path) -> None:
    data = datamodule(folder, velocity=2)
    assert data.train_dataloader().variation.tables.shape[0] == 5
    tokens = data.corpus.codec.vocabulary.tokens
    louder = data.train_dataloader().variation.tables[-1]
    moved = [(tokens[i], tokens[louder[i]]) for i in range(len(tokens)) if tokens[i].startswith("Velocity_")]
    assert moved
    assert all(int(after[9:]) - int(before[9:]) == 8 for before, after in moved if after != "<unk>")
