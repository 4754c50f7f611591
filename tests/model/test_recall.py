"""What a piece suggests of its own past: equal to an obvious search, and of the past alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noternn.model import recall as module
from noternn.model.recall import (
    HOPS,
    LENGTHS,
    LONGEST_FIRST,
    NUM_SEARCHES,
    build_recall,
    followers,
    num_searches,
    suggestions,
)
from noternn.tokenizer import BOS_ID, Codec, EventTokenizer, Vocabulary
from noternn.tokenizer.pitch_kinds import FIRST_HEIGHT, SPAN, PitchKinds

FAST = settings(max_examples=60, deadline=None, derandomize=True, database=None)
TOKENS = [f"Pitch_{pitch}" for pitch in range(50, 80)] + ["Shift_6", "Duration_6"]
CODEC = Codec(EventTokenizer(), Vocabulary(TOKENS))
VOCAB_SIZE = len(CODEC.vocabulary)
KINDS = PitchKinds(CODEC)
few_symbols = st.lists(st.integers(0, 2), min_size=1, max_size=90)
ids = st.lists(st.integers(BOS_ID, VOCAB_SIZE - 1), min_size=1, max_size=60)


def notes(tune: list[int]) -> list[int]:
    """Ids of a tune in steps of half a beat."""
    tokens = [token for pitch in tune for token in (f"Pitch_{pitch}", "Duration_6", "Shift_6")]
    return [CODEC.vocabulary.id(token) for token in tokens]


@given(st.integers(BOS_ID, VOCAB_SIZE - 1), st.integers(0, 127))
@FAST
def test_symbols_of_intervals_stand_for_their_ids(id_: int, last: int) -> None:
    assert KINDS.id(KINDS.symbol(id_, last), last) == id_


tunes = st.lists(st.integers(55, 70), min_size=1, max_size=40)
counts = st.integers(1, 3)
needs_compiler = pytest.mark.skipif(module.matches is None, reason="matches.c was not compiled")


@contextmanager
def on_a_machine(compiler: bool) -> Iterator[None]:
    """As where `matches.c` was compiled, or not."""
    with pytest.MonkeyPatch.context() as patch:
        if not compiler:
            patch.setattr(module, "matches", None)
        yield


def searched(symbols: list[int], count: int) -> list[tuple[int, int]]:
    """What `followers` gives after the last symbol, slowly and obviously."""
    found: dict[int, int] = {}
    for class_, length in LONGEST_FIRST:
        last = symbols[-length:] if length <= len(symbols) else None
        places = [end for end in range(length, len(symbols)) if symbols[end - length : end] == last]
        for end in places[: -HOPS - 1 : -1]:
            if len(found) < count:
                found.setdefault(symbols[end], class_)
    return list(found.items())


@FAST
@given(few_symbols, counts)
@example([0] * 90, 2)
@example([0, 1, 0, 2, 0, 1, 0, 2, 0], 2)
def test_followers_are_those_of_an_obvious_search(symbols: list[int], count: int) -> None:
    found, classes = followers(np.array(symbols), count)
    for place in range(len(symbols)):
        rows = zip(found[place].tolist(), classes[place].tolist(), strict=True)
        assert [row for row in rows if row[0] >= 0] == searched(symbols[: place + 1], count)


@needs_compiler
@FAST
@given(ids | tunes.map(notes), counts)
@example([4] * 60, 2)
def test_compiled_suggestions_are_those_of_numpy(piece: list[int], count: int) -> None:
    compiled = suggestions(np.array(piece), KINDS, count)
    with on_a_machine(compiler=False):
        expected = suggestions(np.array(piece), KINDS, count)
    np.testing.assert_array_equal(compiled, expected)


@FAST
@given(ids | tunes.map(notes), counts, st.booleans())
@example([4] * 60, 2, True)
@example([4, 5, 6, 7] * 200, 2, True)  # more than there is room for at first
def test_going_on_id_by_id_suggests_the_same(piece: list[int], count: int, compiler: bool) -> None:
    with on_a_machine(compiler):
        recall = build_recall(KINDS, count)
        rows = [recall.append([id_])[0] for id_ in piece]
    expected = suggestions(np.array(piece), KINDS, count)
    assert expected.shape == (len(piece), 2, NUM_SEARCHES * count)
    np.testing.assert_array_equal(rows, expected)


@FAST
@given(ids, ids)
def test_only_the_past_is_looked_at(piece: list[int], rest: list[int]) -> None:
    known = suggestions(np.array(piece), KINDS, 2)
    np.testing.assert_array_equal(suggestions(np.array(piece + rest), KINDS, 2)[: len(piece)], known)


@FAST
@given(tunes, st.integers(-5, 5))
def test_a_piece_in_another_key_suggests_the_same_in_that_key(tune: list[int], semitones: int) -> None:
    there = np.append(CODEC.variation(semitones), VOCAB_SIZE)
    piece = np.array([CODEC.vocabulary.id(f"Pitch_{pitch}") for pitch in tune])
    expected = suggestions(piece, KINDS, 2)
    moved = suggestions(there[piece], KINDS, 2)
    # the first interval is to a pitch that never came, and which is the same in every key
    is_first = KINDS.symbols(piece[:1], np.array([FIRST_HEIGHT]))[0]
    later = KINDS.symbols(piece[1:], piece[:-1] * 0 + KINDS.heights(piece)[:-1])
    if is_first in later or is_first + semitones in later:
        return
    np.testing.assert_array_equal(moved[:, 0], there[expected[:, 0]])
    np.testing.assert_array_equal(moved[:, 1], expected[:, 1])


@pytest.mark.parametrize("compiler", [True, False])
def test_selected_pieces_go_on_by_themselves(compiler: bool) -> None:
    with on_a_machine(compiler):
        recall = build_recall(KINDS, 1)
    for id_ in (4, 5, 4):
        recall.append([id_])
    recall.select([0, 0])
    for both in ((6, 8), (7, 9), (4, 4)):
        suggested = recall.append(both)
    assert suggested[:, 0, 0].tolist() == [6, 8]
    recall.select([1, 1])  # as many as before
    recall.append((5, 5))
    assert recall.append((4, 4))[:, 0, 0].tolist() == [8, 8]
    recall.select([0, 1, 0])
    recall.append((5, 5, 5))
    assert recall.append((4, 4, 4))[:, 0, 0].tolist() == [5, 5, 5]


@pytest.mark.parametrize("compiler", [True, False])
def test_pieces_may_go_on_one_without_the_other(compiler: bool) -> None:
    rng = np.random.default_rng(0)
    pieces = [
        rng.integers(BOS_ID, VOCAB_SIZE, size) for size in (300, 270)
    ]  # longer than there is room at first
    with on_a_machine(compiler):
        recall = build_recall(KINDS, 2)
        expected = [suggestions(piece, KINDS, 2) for piece in pieces]
    recall.select([0, 0])
    for k, piece in enumerate(pieces):
        found = [recall.append([id_], [k])[0] for id_ in piece[:10].tolist()]
        np.testing.assert_array_equal(np.array(found), expected[k][:10])
    for place in range(10, 290):
        if place < 30:
            assert len(recall.append([pieces[0][place]], [0])) == 1
        else:
            both = recall.append([pieces[0][place], pieces[1][place - 20]])
            np.testing.assert_array_equal(both[0], expected[0][place])
            np.testing.assert_array_equal(both[1], expected[1][place - 20])


def test_of_a_rhythm_what_is_no_pitch_is_suggested() -> None:
    shift, duration, first, second, third = (
        CODEC.vocabulary.id(token) for token in ("Shift_6", "Duration_6", "Pitch_50", "Pitch_57", "Pitch_53")
    )
    piece = [shift, first, duration, shift, second, duration, duration, third]
    assert suggestions(np.array(piece), KINDS, 1)[[4, 5], 0, 2].tolist() == [duration, shift]
    assert suggestions(np.array([duration, first, duration]), KINDS, 1)[2, 0, 2] == VOCAB_SIZE


@pytest.mark.parametrize("length", LENGTHS)
def test_the_class_is_that_of_the_length_of_the_match(length: int) -> None:
    passage = np.arange(4, 4 + length) % 30 + np.arange(length) // 30 * 100
    symbols = np.concatenate([[1], passage, [2, 3], passage])
    found, classes = followers(symbols, 1)
    assert found[-1, 0] == 2
    assert list(LENGTHS)[classes[-1, 0]] == length


BAND_TOKENS = [*(f"Pitch_{pitch}" for pitch in range(50, 66)), "Drum_36", "Drum_38"]
BAND_TOKENS += ["Shift_3", "Shift_6", "Shift_7", "Duration_6", "Program_0", "Program_40", "Program_drum"]
BAND_CODEC = Codec(EventTokenizer(program=True), Vocabulary(BAND_TOKENS))
BAND = PitchKinds(BAND_CODEC, by_part=True)
band_notes = st.tuples(
    st.sampled_from([[], ["Shift_3"], ["Shift_6"], ["Shift_7"]]),
    st.sampled_from(["Program_0", "Program_40"]),
    st.sampled_from([f"Pitch_{pitch}" for pitch in (55, 57, 58)]),
) | st.tuples(
    st.sampled_from([[], ["Shift_6"]]), st.just("Program_drum"), st.sampled_from(["Drum_36", "Drum_38"])
)
bands = st.lists(band_notes, min_size=1, max_size=30).map(
    lambda notes: [
        BAND_CODEC.vocabulary.id(token)
        for shift, program, pitch in notes
        for token in (*shift, program, pitch, "Duration_6")
    ]
)
any_ids = st.lists(st.integers(BOS_ID, len(BAND_CODEC.vocabulary) - 1), min_size=1, max_size=50)


def looked_up_by_part(piece: list[int]) -> list[tuple[object, list[object]]]:
    """The chain of each id and what the first two searches look it up by, from the tokens themselves."""
    tokens = [BAND_CODEC.vocabulary.tokens[id_] for id_ in piece]
    found: list[tuple[object, list[object]]] = []
    time, onsets, program = 0, dict[str, int](), None
    for token in tokens:
        kind, _, value = token.partition("_")
        if kind == "Shift":
            time += int(value)
        if kind == "Program":
            program = token
            found.append((program, [(token, time - onsets.get(token, time)), (token, time % 48)]))
            onsets[token] = time
        elif kind in ("Pitch", "Drum") and program:
            found.append((program, [token, token]))
        else:
            said = program or token
            found.append(("between", [said, (said, time % 48)]))
            program = None
    return found


def searched_by_part(piece: list[int], which: int, count: int) -> list[tuple[int, int]]:
    """What the search suggests after the last id, slowly and obviously."""
    told = looked_up_by_part(piece)
    places = [place for place, (chain, _) in enumerate(told) if chain == told[-1][0]]
    symbols = [told[place][1][which] for place in places]
    found: dict[int, int] = {}
    for class_, length in LONGEST_FIRST:
        last = symbols[-length:] if length <= len(symbols) else None
        ends = [end for end in range(length, len(symbols)) if symbols[end - length : end] == last]
        for end in ends[: -HOPS - 1 : -1]:
            if len(found) < count:
                found.setdefault(piece[places[end - 1] + 1], class_)
    return list(found.items())


@FAST
@given(bands | any_ids, counts)
def test_the_past_of_a_part_is_that_of_an_obvious_search(piece: list[int], count: int) -> None:
    piece = [id_ for id_ in piece if id_ > 3]
    if not piece:
        return
    found = suggestions(np.array(piece), BAND, count)
    for which in (0, 1):
        first = (NUM_SEARCHES + which) * count
        for place in range(len(piece)):
            rows = zip(*found[place, :, first : first + count].tolist(), strict=True)
            told = [row for row in rows if row[0] < BAND.vocab_size]
            assert told == searched_by_part(piece[: place + 1], which, count)


@FAST
@given(bands | any_ids, counts)
def test_parts_are_searched_alike_in_all_ways(piece: list[int], count: int) -> None:
    expected = suggestions(np.array(piece), BAND, count)
    assert expected.shape == (len(piece), 2, num_searches(BAND) * count)
    for compiler in (True, False):
        with on_a_machine(compiler):
            np.testing.assert_array_equal(suggestions(np.array(piece), BAND, count), expected)
            recall = build_recall(BAND, count)
        np.testing.assert_array_equal([recall.append([id_])[0] for id_ in piece], expected)


@FAST
@given(bands, any_ids)
def test_of_a_band_only_the_past_is_looked_at(piece: list[int], rest: list[int]) -> None:
    known = suggestions(np.array(piece), BAND, 2)
    np.testing.assert_array_equal(suggestions(np.array(piece + rest), BAND, 2)[: len(piece)], known)


@FAST
@given(bands)
def test_what_parts_do_not_change_is_searched_as_without_them(piece: list[int]) -> None:
    whole = PitchKinds(BAND_CODEC)
    width = NUM_SEARCHES * 2
    both = suggestions(np.array(piece), BAND, 2)[:, :, :width]
    np.testing.assert_array_equal(both, suggestions(np.array(piece), whole, 2))


@FAST
@given(bands, st.integers(-5, 5))
def test_a_band_in_another_key_suggests_the_same_in_that_key(piece: list[int], semitones: int) -> None:
    there = np.append(BAND_CODEC.variation(semitones), BAND.vocab_size)
    first = NUM_SEARCHES * 2
    expected = suggestions(np.array(piece), BAND, 2)[:, :, first : first + 4]
    moved = suggestions(there[piece], BAND, 2)[:, :, first : first + 4]
    np.testing.assert_array_equal(moved[:, 0], there[expected[:, 0]])
    np.testing.assert_array_equal(moved[:, 1], expected[:, 1])


def band_ids(*tokens: str) -> list[int]:
    return [BAND_CODEC.vocabulary.id(token) for token in tokens]


def test_what_another_instrument_plays_breaks_no_match() -> None:
    def with_drum(*drums: str) -> list[int]:
        beats = [
            (f"Pitch_{pitch}", "Duration_6", "Program_drum", drum, "Duration_6", "Shift_6", "Program_0")
            for pitch, drum in zip((55, 57, 58), drums, strict=True)
        ]
        return band_ids(*(token for beat in beats for token in beat))

    piece = band_ids("Program_0") + with_drum("Drum_36", "Drum_36", "Drum_36")
    piece += with_drum("Drum_38", "Drum_36", "Drum_38")
    after = suggestions(np.array(piece), BAND, 1)[-1]
    assert after[0, NUM_SEARCHES] == BAND_CODEC.vocabulary.id("Pitch_55")
    assert list(LENGTHS)[after[1, NUM_SEARCHES]] == 6  # of the whole piece's ids only the last 2 match


def test_a_part_at_another_pitch_is_suggested_there() -> None:
    def phrase(first: int) -> list[str]:
        steps = (0, 2, 1, 4)
        return [
            token
            for step in steps
            for token in (
                "Shift_6",
                "Program_0",
                f"Pitch_{first + step}",
                "Duration_6",
                "Program_drum",
                "Drum_36",
                "Duration_6",
            )
        ]

    piece = band_ids(*phrase(50), *phrase(56)[:-5])
    after = suggestions(np.array(piece), BAND, 1)[-1, 0, NUM_SEARCHES + 2]
    assert after == BAND_CODEC.vocabulary.id("Pitch_60")


def test_only_a_vocabulary_of_instruments_has_parts() -> None:
    assert PitchKinds(CODEC, by_part=True).parts is None
    assert BAND.parts is not None
    assert BAND.parts.num_parts == 3
    assert PitchKinds(BAND_CODEC).parts is None


def test_nothing_is_suggested_at_first() -> None:
    found = suggestions(np.array([1]), KINDS, 2)
    assert found.tolist() == [[[VOCAB_SIZE] * 8, [0] * 8]]
    empty: NDArray[np.int64] = suggestions(np.array([4, 4, 4, 4]), KINDS, 2)
    assert empty[3, 0, 0] == 4


def buffers_of(kinds: PitchKinds, capacity: int, parts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """What `matches.search` takes for two new ids of one piece."""
    searches, num_parts = num_searches(kinds), 0 if kinds.parts is None else kinds.parts.num_parts
    rows = searches, len(parts), capacity
    none = np.zeros(0, dtype=np.int64)
    by_part = np.repeat([-1, FIRST_HEIGHT, -1], num_parts + 1)
    state = [0, FIRST_HEIGHT, num_parts, *by_part.tolist()]
    return [
        kinds.kind, kinds.height, kinds.steps, kinds.ids, *(kinds.parts or (none, none)), parts,
        np.array([4, 5]), np.array(state),
        np.zeros(rows[::2], dtype=np.int64), np.zeros(rows, dtype=np.int64),
        np.zeros(rows, dtype=np.int32), np.full((searches, 256), -1, dtype=np.int32),
        np.zeros((len(parts) + 1) * capacity if num_parts else 0, dtype=np.int32),
        np.zeros((2, 2, searches * 3), dtype=np.int64),
    ]  # fmt: skip


@needs_compiler
@pytest.mark.parametrize("wrong", range(15))
def test_buffers_of_sizes_that_do_not_agree_are_refused(wrong: int) -> None:
    buffers = buffers_of(BAND, 4, module.PARTS)
    module.matches.search(*buffers, 2, 1, 3, 3, HOPS, SPAN, 48)
    for sizes in ((3, 1, 3), (2, 2, 3), (2, 1, 4), (2, 1, 0), (2, 0, 3)):
        with pytest.raises(ValueError, match="sizes"):
            module.matches.search(*buffers, *sizes, 3, HOPS, SPAN, 48)
    buffers[wrong] = buffers[wrong].ravel()[:-1].copy()
    with pytest.raises(ValueError, match="sizes"):
        module.matches.search(*buffers, 2, 1, 3, 3, HOPS, SPAN, 48)


@needs_compiler
@pytest.mark.parametrize("id_", [-1, VOCAB_SIZE, 2**40])
def test_ids_that_are_none_are_refused(id_: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        build_recall(KINDS, 2).append([id_])


@needs_compiler
@pytest.mark.parametrize("parts", [[[1, 0, 0], [3, 0, 0]], [[1, 0, 0], [2, 0, 5]], [[2, 0, 0], [2, 0, 0]]])
def test_lengths_that_are_no_sums_are_refused(parts: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="sizes"):
        module.matches.search(*buffers_of(KINDS, 4, np.array(parts)), 0, 1, 0, 3, HOPS, SPAN, 48)
