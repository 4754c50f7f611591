"""Byte-pair encoding: what is learned, how it is applied, and a run with it."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import TrainTiny, small_piece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_cases import FAST, MERGES, again, legal_walk, small_codec

from noternn.corpus.merging import Bpe
from noternn.corpus.splits import EncodedCorpus, encode_corpus
from noternn.corpus.tokenized import tokenize_corpus
from noternn.datasets.sources import folder_sources
from noternn.errors import UserError
from noternn.launch.command_line import check
from noternn.model.checkpoint import load_checkpoint
from noternn.music.piece import Piece
from noternn.sampling.composer import load_composer
from noternn.tokenizer import (
    SPECIAL_TOKENS,
    UNK_ID,
    BpeTokenizer,
    ChordTokenizer,
    EventTokenizer,
    Merges,
    build_tokenizer,
    learn_merges,
)

pytest.importorskip("tokenizers", reason="what learns merges, an optional extra, is not installed")

NUM_SPECIAL = len(SPECIAL_TOKENS)
words_of_four = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8), max_size=12)


def slowly_learned(words: list[list[str]], num_merges: int) -> list[tuple[str, str]]:
    """BPE as it is told: count all pairs, merge the most frequent everywhere, and again."""
    words, pairs, order = [list(word) for word in words], list[tuple[str, str]](), list("abcd")
    while len(order) < 4 + num_merges:
        counts = Counter(pair for word in words for pair in _pairs(word))
        counts = Counter({pair: count for pair, count in counts.items() if count >= 2})
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], order.index(pair[0]), order.index(pair[1])))
        pairs.append(best)
        order += ["+".join(best)] * ("+".join(best) not in order)
        words = [Merges((best,)).apply(word) for word in words]
    return pairs


def _pairs(word: list[str]) -> list[tuple[str, str]]:
    return list(itertools.pairwise(word))


def words_of(tokenizer: EventTokenizer, pieces: list[Piece]) -> list[list[str]]:
    return [word for piece in pieces for _, word in tokenizer.tokens_by_onset(piece)]


def learned(tokenizer: EventTokenizer, pieces: list[Piece], num_merges: int) -> Merges:
    words = words_of(tokenizer, pieces)
    alphabet = sorted({token for word in words for token in word})
    return learn_merges(words, NUM_SPECIAL + len(alphabet) + num_merges, alphabet)


def test_the_most_frequent_pair_is_merged_first() -> None:
    words = ["abc", "ab", "ab", "bc", "bc"]
    merges = learn_merges(words, NUM_SPECIAL + 5, "abc")
    assert merges == Merges((("a", "b"), ("b", "c")))


@given(words=words_of_four)
@settings(FAST, max_examples=300)
def test_the_pairs_learned_are_those_of_a_slow_count(words: list[list[str]]) -> None:
    assert list(learn_merges(words, NUM_SPECIAL + 7, "abcd").pairs) == slowly_learned(words, 3)


@given(words=words_of_four, seed=st.integers(0, 9))
@FAST
def test_merges_do_not_depend_on_the_order_of_the_words(words: list[list[str]], seed: int) -> None:
    merges = learn_merges(words, NUM_SPECIAL + 12, "abcd")
    random.Random(seed).shuffle(words)
    assert learn_merges(words, NUM_SPECIAL + 12, "abcd") == merges


def test_a_word_is_cut_at_a_token_that_is_not_in_the_alphabet() -> None:
    assert learn_merges(["axb"] * 9, NUM_SPECIAL + 9, "ab") == Merges(())


def test_there_are_as_many_tokens_as_asked_for() -> None:
    tokenizer, pieces = EventTokenizer(), [small_piece(seed) for seed in range(9)]
    assert len(learned(tokenizer, pieces, 30).tokens) == 30


def test_merges_are_applied_as_the_library_applies_them() -> None:
    from tokenizers import Tokenizer, models

    words = words_of(EventTokenizer(), [small_piece(seed) for seed in range(9)])
    merges = learned(EventTokenizer(), [small_piece(seed) for seed in range(5)], 60)
    alphabet = sorted({token for word in words for token in word})
    text = {token: chr(0x10000 + i) for i, token in enumerate(alphabet)}

    def as_text(token: str) -> str:
        return "".join(text[part] for part in token.split("+"))

    vocabulary = {as_text(token): i for i, token in enumerate([*alphabet, *merges.tokens])}
    pairs = [(as_text(left), as_text(right)) for left, right in merges.pairs]
    model = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    for word in words:
        assert model.encode("".join(map(as_text, word))).tokens == list(map(as_text, merges.apply(word)))


def test_nothing_is_merged_across_onsets() -> None:
    tokenizer, pieces = EventTokenizer(), [small_piece(seed) for seed in range(5)]
    bpe = BpeTokenizer(tokenizer, learned(tokenizer, pieces, 60))
    onsets = bpe.tokens_by_onset(pieces[0])
    assert [onset for onset, _ in onsets] == [onset for onset, _ in tokenizer.tokens_by_onset(pieces[0])]
    assert len(bpe.tokenize(pieces[0])) < len(tokenizer.tokenize(pieces[0]))


def test_a_merged_piece_comes_back() -> None:
    tokenizer, pieces = EventTokenizer(velocity=True), [small_piece(seed) for seed in range(5)]
    bpe = BpeTokenizer(tokenizer, learned(tokenizer, pieces, 60))
    back, expected = again(bpe, pieces[0]), again(tokenizer, pieces[0])
    for column in ("onset", "duration", "pitch", "velocity"):
        assert getattr(back, column).tolist() == getattr(expected, column).tolist()


def test_legal_walks_in_merged_tokens_are_pieces_of_the_other_tokenizer() -> None:
    tokenizer = EventTokenizer(max_shift_beats=1, max_duration_beats=2)
    codec = small_codec(BpeTokenizer(tokenizer, MERGES[0]))
    assert {"Shift_12+Pitch_64+Duration_12", "Pitch_1+Duration_7"} <= set(codec.vocabulary.tokens)
    for seed in range(60):
        walk = legal_walk(codec, seed, length=40)
        tokens = [part for token in walk for part in token.split("+")]
        assert tokenizer.tokenize(codec.tokenizer.detokenize(walk)) == tokens


def test_a_merged_token_is_illegal_if_any_part_is() -> None:
    bpe = BpeTokenizer(EventTokenizer(), Merges(()))
    state = bpe.advance(bpe.start, "Pitch_60+Duration_12")
    assert bpe.follows(state, "Pitch_59+Duration_1")
    assert not bpe.follows(state, "Pitch_61+Duration_1")
    assert not bpe.follows(state, "Pitch_59+Pitch_58")


# A corpus


@pytest.fixture
def encode(midi_folder: Callable[[int], Path], tmp_path: Path) -> Callable[..., EncodedCorpus]:
    sources = folder_sources(midi_folder(20))

    def run(name: str = "event", bpe_vocab_size: int | None = 120) -> EncodedCorpus:
        options = {"name": name, "bpe_vocab_size": bpe_vocab_size}
        tokenizer, corpus = build_tokenizer(name), tokenize_corpus(sources, options, tmp_path / "cache")
        bpe = Bpe(tokenizer, bpe_vocab_size) if bpe_vocab_size else None
        fractions = {"validation_fraction": 0.3, "test_fraction": 0.1}
        return encode_corpus(corpus, seed=1, **fractions, tokenizer=tokenizer, bpe=bpe)

    return run


def pieces_of(corpus: EncodedCorpus, split: str) -> list[Piece]:
    return [small_piece(int(name.removesuffix(".mid")[-3:])) for name in corpus.names[split]]


def test_merges_are_those_of_the_training_pieces(encode: Callable[..., EncodedCorpus]) -> None:
    corpus, tokenizer = encode(), EventTokenizer()
    assert len(corpus.vocabulary) == 120
    words = words_of(tokenizer, pieces_of(corpus, "train"))
    alphabet = sorted({token for word in words for token in word})
    assert corpus.merges == learn_merges(words, 120, alphabet)
    assert set(corpus.vocabulary.tokens) == {*SPECIAL_TOKENS, *alphabet, *corpus.merges.tokens}


def test_every_split_is_written_as_the_tokenizer_writes_it(encode: Callable[..., EncodedCorpus]) -> None:
    corpus = encode()
    bpe = BpeTokenizer(EventTokenizer(), corpus.merges)
    for split in ("train", "validation", "test"):
        for ids, piece in zip(corpus.ids[split], pieces_of(corpus, split), strict=True):
            expected = [corpus.vocabulary.id(token) for token in bpe.tokenize(piece)]
            assert ids[1:-1].tolist() == expected


def test_merged_pieces_hold_the_same_notes_in_fewer_tokens(encode: Callable[..., EncodedCorpus]) -> None:
    plain, merged = encode(bpe_vocab_size=None).sizes["train"], encode().sizes["train"]
    assert merged.num_notes == plain.num_notes
    assert merged.num_tokens < 0.7 * plain.num_tokens


def test_rare_chords_are_not_merged(encode: Callable[..., EncodedCorpus]) -> None:
    corpus = encode("chord", bpe_vocab_size=200)
    plain = encode("chord", bpe_vocab_size=None)
    assert set(plain.vocabulary.tokens) < set(corpus.vocabulary.tokens)
    parts = {part for token in corpus.merges.tokens for part in token.split("+")}
    assert parts <= set(plain.vocabulary.tokens)
    unknown = [sum(int((ids == UNK_ID).sum()) for ids in c.ids["validation"]) for c in (plain, corpus)]
    assert unknown[0] == unknown[1] > 0


def test_another_number_of_tokens_reads_no_file_again(
    encode: Callable[..., EncodedCorpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode(bpe_vocab_size=None)
    monkeypatch.setattr("noternn.corpus.tokenized.Reader", None)
    assert len(encode(bpe_vocab_size=100).vocabulary) == 100
    assert len(encode(bpe_vocab_size=110).vocabulary) == 110


def test_too_few_tokens_are_answered_with_how_many_there_are(encode: Callable[..., EncodedCorpus]) -> None:
    with pytest.raises(UserError, match=r"tokenizer.bpe_vocab_size=9: it must be above \d\d, "):
        encode(bpe_vocab_size=9)


def test_without_the_library_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "miditok", None)
    with pytest.raises(UserError, match=r"tokenizer.bpe_vocab_size: .* is not installed; pip install"):
        check(["tokenizer.bpe_vocab_size=500"])


# A run


@pytest.mark.parametrize("tokenizer", ["event", "chord", "miditok"])
def test_a_checkpoint_is_enough_to_compose_in_merged_tokens(
    tokenizer: str, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    if tokenizer == "miditok":
        pytest.importorskip("miditok", reason="MidiTok, an optional extra, is not installed")
    summary = train_tiny(
        tmp_path / "run", f"tokenizer={tokenizer}", "tokenizer.bpe_vocab_size=200", "augmentation=none"
    )
    assert summary["sample"]["num_notes"] >= 12
    composer = load_composer(tmp_path / "run" / "best.ckpt")
    assert isinstance(composer.codec.tokenizer, BpeTokenizer)
    assert len(composer.codec.vocabulary) <= 200
    merges = load_checkpoint(tmp_path / "run" / "best.ckpt")["noternn"]["merges"]
    assert json.loads(json.dumps(merges)) == [list(pair) for pair in composer.codec.tokenizer.merges.pairs]


def test_a_merged_tokenizer_has_what_the_other_has() -> None:
    base = ChordTokenizer(min_count=5, steps_per_beat=7)
    bpe = BpeTokenizer(base, Merges(()))
    assert (bpe.min_count, bpe.steps_per_beat, bpe.writes_drums) == (5, 7, False)
    assert np.array_equal(bpe.written(small_piece(0)).onset, small_piece(0).onset)
