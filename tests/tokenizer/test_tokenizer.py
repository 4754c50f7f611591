"""Tokenizers: what comes back, what is legal, and what the vocabulary keeps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizer_cases import (
    CHORDS,
    EVENTS,
    FAST,
    MIDITOKS,
    ONE_WAY,
    STEP,
    again,
    arbitrary_notes,
    columns,
    each_event,
    each_tokenizer,
    from_first_onset,
    grid_notes,
    legal_walk,
    name_of,
    piece_of,
    simple_piece,
    small_codec,
    state_after,
)

from noternn.config.tokenizer import tokenizer_of
from noternn.music.piece import Piece
from noternn.tokenizer import (
    BOS,
    BOS_ID,
    EOS,
    EOS_ID,
    PAD,
    PAD_ID,
    SPECIAL_TOKENS,
    UNK,
    UNK_ID,
    ChordTokenizer,
    Codec,
    EventTokenizer,
    Tokenizer,
    Vocabulary,
    build_tokenizer,
    round_trip,
)


@pytest.mark.parametrize("tokenizer", ONE_WAY, ids=name_of)
@given(notes=arbitrary_notes, semitones=st.integers(-6, 6))
@FAST
def test_transposed_tokens_are_those_of_the_transposed_piece(
    tokenizer: Tokenizer, notes: list[Any], semitones: int
) -> None:
    notes = [(*note[:2], min(max(note[2], 6), 121), *note[3:]) for note in notes]
    tokens = [tokenizer.transposed(token, semitones) for token in tokenizer.tokenize(piece_of(notes))]
    assert tokens == tokenizer.tokenize(piece_of(notes).transpose(semitones))


@pytest.mark.parametrize("tokenizer", [*EVENTS, *MIDITOKS, *CHORDS], ids=name_of)
def test_tokens_say_the_pitches_of_a_melody_one_by_one(tokenizer: Tokenizer) -> None:
    melody = simple_piece((0, 1, 60), (1, 1, 72), (2, 1, 0))
    pitches = [tokenizer.pitch(token) for token in tokenizer.tokenize(melody)]
    is_told = not (isinstance(tokenizer, ChordTokenizer) and tokenizer.pitch_class)
    assert [pitch for pitch in pitches if pitch is not None] == ([60, 72, 0] if is_told else [])


def test_percussion_and_chords_say_no_pitch() -> None:
    assert EventTokenizer(program=True).pitch("Drum_36") is None
    assert ChordTokenizer().pitch("60.64") is None
    assert ChordTokenizer().pitch("60") == 60
    assert ChordTokenizer(pitch_class=True).pitch("60") is None


@pytest.mark.parametrize("tokenizer", ONE_WAY, ids=name_of)
def test_no_pitch_is_transposed_out_of_midi(tokenizer: Tokenizer) -> None:
    highest = simple_piece((0, 1, 127))
    moved = [tokenizer.transposed(token, 1) for token in tokenizer.tokenize(highest)]
    assert moved.count(None) == 1


@each_event
@given(notes=grid_notes)
@FAST
def test_event_shifts_add_up_to_the_time_between_the_first_onset_and_the_last(
    tokenizer: EventTokenizer, notes: list[Any]
) -> None:
    piece = tokenizer.written(piece_of(notes))
    steps = sum(map(tokenizer.num_steps, tokenizer.tokenize(piece)))
    assert steps == (int(np.ptp(piece.onset)) // STEP if piece.num_notes else 0)


@each_event
@given(notes=grid_notes, bins=st.integers(-31, 31))
@FAST
def test_louder_tokens_are_those_of_the_louder_piece(
    tokenizer: EventTokenizer, notes: list[Any], bins: int
) -> None:
    louder = [(*note[:3], min(max(note[3] + 4 * bins, 2), 126), *note[4:]) for note in notes]
    tokens = [tokenizer.louder(token, bins) for token in tokenizer.tokenize(piece_of(notes))]
    assert tokens == tokenizer.tokenize(piece_of(louder))


def test_a_chord_without_durations_takes_its_step() -> None:
    tokenizer = ChordTokenizer(durations=False, step_beats=0.5)
    assert [tokenizer.num_steps(token) for token in ("60.64", "Rest_5")] == [6, 5]


@each_event
@given(notes=grid_notes)
@FAST
def test_event_piece_on_the_grid_comes_back_exactly(
    tokenizer: EventTokenizer, notes: list[tuple[int, int, int, int, int, bool]]
) -> None:
    names = ["onset", "pitch", "duration"]
    names += ["velocity"] * tokenizer.velocity + ["program", "is_drum"] * tokenizer.program
    if not tokenizer.program:  # unisons of instruments are one note then
        notes = list({(note[0], note[2]): (*note[:4], 0, False) for note in notes}.values())
    piece = from_first_onset(piece_of(notes))
    assert columns(again(tokenizer, piece), *names) == columns(piece, *names)


@given(notes=arbitrary_notes)
@FAST
def test_event_onsets_and_ends_move_by_half_a_step_at_most(
    notes: list[tuple[int, int, int, int, int, bool]],
) -> None:
    notes = list({(note[0] // STEP, note[2]): (*note[:4], 0, False) for note in notes}.values())
    piece = piece_of([(note[0] // STEP * STEP + note[0] % 20, *note[1:]) for note in notes])
    back = again(EventTokenizer(), piece)
    origin = int((piece.onset.min() + 20) // STEP * STEP) if notes else 0
    assert back.num_notes == piece.num_notes  # none coincide: each rounds down to a step of its own
    before = {(n[0] // STEP * STEP, n[1]): n for n in columns(piece, "onset", "pitch", "duration")}
    for onset, pitch, duration in columns(back, "onset", "pitch", "duration"):
        old_onset, _, old_duration = before[onset + origin, pitch]
        assert abs(onset + origin - old_onset) <= STEP / 2
        error = abs(onset + origin + duration - old_onset - old_duration)
        assert error <= STEP / 2 or (duration == STEP and old_duration < STEP)


@each_tokenizer
@given(notes=arbitrary_notes)
@FAST
def test_tokenizing_what_was_decoded_gives_the_same_tokens(
    tokenizer: Tokenizer, notes: list[tuple[int, int, int, int, int, bool]]
) -> None:
    tokens = tokenizer.tokenize(piece_of(notes, ticks_per_beat=384))
    assert tokenizer.tokenize(tokenizer.detokenize(tokens)) == tokens


@pytest.mark.parametrize("rests", [False, True])
@given(notes=grid_notes)
@FAST
def test_chord_onsets_and_pitches_are_exact_with_durations(
    rests: bool, notes: list[tuple[int, int, int, int, int, bool]]
) -> None:
    piece = piece_of([(*note[:5], False) for note in notes])
    back = again(ChordTokenizer(rests=rests), piece)
    onset_and_pitch = set(columns(from_first_onset(piece), "onset", "pitch"))
    assert columns(back, "onset", "pitch") == sorted(onset_and_pitch)


@pytest.mark.parametrize("steps_per_beat", [1, 7, 12, 480])
def test_any_grid_comes_back(steps_per_beat: int) -> None:
    piece = Piece.from_notes([0, 2, 5], [2, 1, 9], [60, 62, 64], ticks_per_beat=steps_per_beat)
    back = again(EventTokenizer(steps_per_beat=steps_per_beat), piece)
    step = back.ticks_per_beat // steps_per_beat
    assert back.ticks_per_beat % steps_per_beat == 0
    assert (back.onset // step).tolist() == [0, 2, 5]
    assert (back.duration // step).tolist() == [2, 1, 9]


@each_tokenizer
def test_a_piece_without_notes_has_no_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokenize(simple_piece()) == []
    assert tokenizer.detokenize([]).num_notes == 0


@each_tokenizer
def test_the_tempo_given_is_that_of_the_piece(tokenizer: Tokenizer) -> None:
    assert tokenizer.detokenize([], tempo=90.0).tempos == ((0, 90.0),)


@each_tokenizer
@given(notes=arbitrary_notes)
@FAST
def test_note_counts_add_up_to_the_notes_decoded(
    tokenizer: Tokenizer, notes: list[tuple[int, int, int, int, int, bool]]
) -> None:
    tokens = tokenizer.tokenize(piece_of(notes))
    assert sum(map(tokenizer.note_count, tokens)) == tokenizer.detokenize(tokens).num_notes


def slow_chain(kind: str, steps: int, maximum: int) -> list[str]:
    tokens = []
    while steps > maximum:
        tokens.append(f"{kind}_{maximum}")
        steps -= maximum
    return [*tokens, f"{kind}_{steps}"]


def slow_event_tokens(tokenizer: EventTokenizer, piece: Piece) -> list[str]:
    """A note after the other, from a dict of the notes that differ on the grid."""
    notes: dict[tuple[int, int, int], tuple[int, int]] = {}
    rows = zip(
        *(column.tolist() for column in vars(piece).values() if isinstance(column, np.ndarray)), strict=True
    )
    for start, length, pitch, velocity, program, is_drum in rows:
        if is_drum and not tokenizer.program:
            continue
        grid = tokenizer.steps_per_beat / piece.ticks_per_beat
        onset, end = (math.floor(tick * grid + 0.5) for tick in (start, start + length))
        drum = -1 if tokenizer.drums_first else 128
        key = (onset, (drum if is_drum else program) if tokenizer.program else 0, -pitch)
        old_duration, old_velocity = notes.get(key, (1, 0))
        notes[key] = max(end - onset, old_duration), max(velocity, old_velocity)
    tokens: list[str] = []
    time = min(notes)[0] if notes else 0
    for (onset, program, minus_pitch), (duration, velocity) in sorted(notes.items()):
        if onset > time:
            tokens += slow_chain("Shift", onset - time, tokenizer.max_shift_beats * tokenizer.steps_per_beat)
        time = onset
        if tokenizer.program:
            tokens.append("Program_drum" if program in (-1, 128) else f"Program_{program}")
        tokens.append(f"{'Drum' if program in (-1, 128) else 'Pitch'}_{-minus_pitch}")
        tokens += slow_chain("Duration", duration, tokenizer.max_duration_beats * tokenizer.steps_per_beat)
        if tokenizer.velocity:
            tokens.append(f"Velocity_{velocity // 4 * 4 + 2}")
    return tokens


@each_event
@given(notes=arbitrary_notes)
@FAST
def test_event_tokens_are_those_of_a_slow_reference(tokenizer: EventTokenizer, notes: list[Any]) -> None:
    assert tokenizer.tokenize(piece_of(notes)) == slow_event_tokens(tokenizer, piece_of(notes))


@each_tokenizer
@given(notes=arbitrary_notes)
@FAST
def test_indices_stand_for_the_tokens(tokenizer: Tokenizer, notes: list[Any]) -> None:
    tokens, indices = tokenizer.tokenize_indexed(piece_of(notes))
    assert indices.dtype == np.uint32
    assert len(set(tokens)) == len(tokens)
    assert [tokens[i] for i in indices] == tokenizer.tokenize(piece_of(notes))


@each_tokenizer
@given(notes=arbitrary_notes)
@FAST
def test_indices_describe_the_piece_of_their_tokens(tokenizer: Tokenizer, notes: list[Any]) -> None:
    tokens, indices = tokenizer.tokenize_indexed(piece_of(notes))
    piece = tokenizer.detokenize_indexed(tokens, indices)
    expected = tokenizer.detokenize([tokens[i] for i in indices])
    names = ("onset", "duration", "pitch", "velocity", "program", "is_drum")
    assert [getattr(piece, name).tolist() for name in names] == [
        getattr(expected, name).tolist() for name in names
    ]
    assert (piece.ticks_per_beat, piece.tempos) == (expected.ticks_per_beat, expected.tempos)


def test_event_tokens_are_in_time_order_with_pitches_descending() -> None:
    piece = simple_piece((0, 1, 60), (0, 2, 67), (1.5, 0.5, 64))
    assert EventTokenizer().tokenize(piece) == [
        *("Pitch_67", "Duration_24", "Pitch_60", "Duration_12"),
        *("Shift_18", "Pitch_64", "Duration_6"),
    ]


@pytest.mark.parametrize("drums_first", [True, False])
def test_event_program_orders_an_onset_with_drums_first(drums_first: bool) -> None:
    piece = Piece.from_notes(
        [0] * 4, [480] * 4, [35, 50, 60, 64], program=[0, 33, 0, 0], is_drum=[True, False, False, False]
    )
    tokens = EventTokenizer(program=True, drums_first=drums_first).tokenize(piece)
    others = ["Program_0", "Pitch_64", "Program_0", "Pitch_60", "Program_33", "Pitch_50"]
    drums = ["Program_drum", "Drum_35"]
    assert [token for token in tokens if not token.startswith("Duration")] == (
        drums + others if drums_first else others + drums
    )


def test_an_instrument_that_training_lacks_is_its_nearest() -> None:
    known = Vocabulary(["Program_0", "Program_28", "Program_31", "Program_40", "Program_drum", "Pitch_60"])
    heard = {1: 0, 24: 28, 29: 28, 30: 31, 33: 31, 47: 40, 40: 40, 120: 40}
    assert {p: int(known.tokens[known.id(f"Program_{p}")].split("_")[1]) for p in heard} == heard
    assert known.id("Pitch_61") == UNK_ID
    assert Vocabulary(["Program_drum", "Pitch_60"]).id("Program_3") == UNK_ID
    assert Vocabulary(["Program_0"]).id("Program_drum") == UNK_ID
    assert Vocabulary(["Program_0"]).id("Program_-1") == UNK_ID


def test_what_is_stored_without_an_order_has_its_drums_last() -> None:
    stored = {"name": "event", "program": True}
    assert tokenizer_of(stored)["drums_first"] is False
    assert tokenizer_of({**stored, "drums_first": True})["drums_first"] is True
    assert tokenizer_of({"name": "event", "program": False})["drums_first"] is True  # it makes no difference
    assert "drums_first" not in tokenizer_of({"name": "chord"})


def test_event_velocity_closes_the_note() -> None:
    piece = Piece.from_notes([0], [480], [60], velocity=127)
    assert EventTokenizer(velocity=True).tokenize(piece) == ["Pitch_60", "Duration_12", "Velocity_126"]


def test_silence_before_the_first_note_is_dropped() -> None:
    piece = simple_piece((3, 1, 60))
    assert EventTokenizer().tokenize(piece) == ["Pitch_60", "Duration_12"]
    assert ChordTokenizer().tokenize(piece) == ["60", "Duration_12"]


def test_event_without_program_leaves_drums_out() -> None:
    piece = Piece.from_notes([0, 480], [480, 480], [36, 60], is_drum=[True, False])
    assert EventTokenizer().tokenize(piece) == ["Pitch_60", "Duration_12"]


def test_event_notes_that_coincide_keep_the_longest_duration_and_the_largest_velocity() -> None:
    piece = Piece.from_notes([0, 3], [480, 960], [60, 60], velocity=[126, 2])
    assert EventTokenizer(velocity=True).tokenize(piece) == ["Pitch_60", "Duration_24", "Velocity_126"]


def test_long_notes_and_gaps_are_chains() -> None:
    piece = simple_piece((0, 100, 60), (100, 1, 62))
    tokens = EventTokenizer().tokenize(piece)
    assert tokens == [
        *("Pitch_60", *["Duration_96"] * 12, "Duration_48"),
        *(*["Shift_48"] * 25, "Pitch_62", "Duration_12"),
    ]
    assert columns(EventTokenizer().detokenize(tokens), "onset", "duration") == [(0, 48000), (48000, 480)]


def test_long_rests_of_chords_are_chains() -> None:
    tokens = ChordTokenizer().tokenize(simple_piece((0, 1, 60), (101, 100, 62)))
    assert tokens == [
        *("60", "Duration_12", *["Rest_96"] * 12, "Rest_48"),
        *("62", *["Duration_96"] * 12, "Duration_48"),
    ]


def test_a_held_note_is_one_note() -> None:
    piece = simple_piece((0, 4, 60), (0, 1, 72), (1, 1, 74), (2, 2, 76))
    assert EventTokenizer().tokenize(piece).count("Pitch_60") == 1
    chords = [token for token in ChordTokenizer().tokenize(piece) if token[0].isdigit()]
    assert chords == ["60.72", "74", "76"]


def test_chord_pitches_ascend_whatever_the_order_of_the_notes() -> None:
    assert (
        ChordTokenizer().tokenize(simple_piece((0, 1, 64), (0, 1, 48), (0, 1, 60), (0, 1, 64)))[0]
        == "48.60.64"
    )


@pytest.mark.parametrize(
    ("durations", "rests", "tokens"),
    [
        (True, True, ["60", "Duration_12", "62", "Duration_6", "Rest_6", "64", "Duration_36"]),
        (True, False, ["60", "Duration_12", "62", "Duration_12", "64", "Duration_36"]),
        (False, True, ["60", "62", "Rest_6", "64"]),
        (False, False, ["60", "62", "64"]),
    ],
)
def test_chord_time_is_told_by_its_options(durations: bool, rests: bool, tokens: list[str]) -> None:
    piece = simple_piece((0, 2, 60), (1, 0.5, 62), (2, 3, 64))
    assert ChordTokenizer(durations=durations, rests=rests).tokenize(piece) == tokens


def test_chord_without_durations_takes_step_beats() -> None:
    tokenizer = ChordTokenizer(durations=False, step_beats=0.25)
    back = tokenizer.detokenize(["60", "Rest_12", "62"])
    assert columns(back, "onset", "duration") == [(0, 120), (600, 120)]


def test_pitch_classes_lose_the_octaves_of_chords_only() -> None:
    tokenizer = ChordTokenizer(pitch_class=True, durations=False, rests=False)
    piece = simple_piece((0, 1, 36), (1, 1, 36), (1, 1, 55), (1, 1, 64), (1, 1, 76), (2, 1, 48), (2, 1, 72))
    assert tokenizer.tokenize(piece) == ["36", "pc0.4.7", "pc0"]
    back = tokenizer.detokenize(["36", "pc0.4.7", "pc0"])
    assert [pitch for _, pitch in columns(back, "onset", "pitch")] == [36, 60, 64, 67, 60, 72]


@each_tokenizer
@given(notes=arbitrary_notes)
@FAST
def test_every_tokenized_piece_is_legal_to_its_end(
    tokenizer: Tokenizer, notes: list[tuple[int, int, int, int, int, bool]]
) -> None:
    state = tokenizer.start
    tokens = tokenizer.tokenize(piece_of(notes))
    for token in tokens:
        assert tokenizer.follows(state, token), (state, token)
        state = tokenizer.advance(state, token)
    assert tokenizer.is_complete(state)
    assert tokenizer.follows(state, EOS) == bool(tokens)


@pytest.mark.parametrize("tokenizer", ONE_WAY, ids=name_of)
def test_legal_walks_never_dead_end_and_come_back_as_the_same_tokens(tokenizer: Tokenizer) -> None:
    codec = small_codec(tokenizer)
    for seed in range(60):
        tokens = legal_walk(codec, seed, length=40)
        assert tokens
        assert tokenizer.tokenize(tokenizer.detokenize(tokens)) == tokens


@each_tokenizer
@given(data=st.data())
@FAST
def test_any_tokens_at_all_can_be_decoded_and_advanced_over(
    tokenizer: Tokenizer, data: st.DataObject
) -> None:
    codec = small_codec(tokenizer)
    token = st.sampled_from([*codec.vocabulary.tokens, UNK, UNK, "foreign", "Pitch_128", "60.48"])
    tokens = data.draw(st.lists(token, max_size=25))
    assert codec.mask(state_after(tokenizer, tokens)).any()
    piece = tokenizer.detokenize(tokens)
    assert piece.num_notes == sum(map(tokenizer.note_count, tokens))


def test_an_illegal_token_is_told() -> None:
    tokenizer = EventTokenizer(velocity=True, program=True)
    note = ["Program_5", "Pitch_60", "Duration_12", "Velocity_62"]
    for before, token in [
        ([], EOS),
        ([], "Shift_1"),
        ([], "Pitch_60"),
        (note[:1], EOS),
        (note[:2], "Velocity_62"),
        (note[:3], "Duration_1"),
        (note[:3], EOS),
        (note, "Program_4"),
        ([*note, "Program_5"], "Pitch_60"),
        ([*note, "Shift_1"], "Shift_1"),
        ([*note, "Shift_48"], EOS),
        (note, "Velocity_62"),
        (note, "Program_128"),
        (["Program_5", "Pitch_0", "Duration_12", "Velocity_62"], "Program_5"),
        (note, "Program_drum"),
    ]:
        assert not tokenizer.follows(state_after(tokenizer, before), token), (before, token)


def test_an_illegal_chord_token_is_told() -> None:
    tokenizer = ChordTokenizer()
    for before, token in [
        ([], EOS),
        ([], "Rest_1"),
        (["60"], "62"),
        (["60"], EOS),
        (["60", "Duration_1"], "Duration_1"),
        (["60", "Duration_1", "Rest_1"], EOS),
        (["60", "Duration_1", "Rest_1"], "Rest_1"),
        ([], "64.60"),
        ([], "pc0.4"),
        ([], "128"),
        ([], "060"),
    ]:
        assert not tokenizer.follows(state_after(tokenizer, before), token), (before, token)


def test_a_note_is_complete_when_its_last_part_is_written() -> None:
    tokenizer = EventTokenizer(velocity=True, program=True)
    note = ["Program_5", "Pitch_60", "Duration_12", "Velocity_62"]
    complete = [tokenizer.is_complete(state_after(tokenizer, note[:n])) for n in range(5)]
    assert complete == [True, False, False, False, True]


def test_a_chord_is_complete_when_its_duration_is_written() -> None:
    with_durations, without = ChordTokenizer(), ChordTokenizer(durations=False)
    assert not with_durations.is_complete(state_after(with_durations, ["60"]))
    assert with_durations.is_complete(state_after(with_durations, ["60", "Duration_1"]))
    assert without.is_complete(state_after(without, ["60"]))


@each_tokenizer
def test_bos_leads_to_the_start_and_padding_changes_nothing(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.tokenize(simple_piece((0, 1, 60), (1, 1, 62)))
    state = state_after(tokenizer, tokens)
    assert tokenizer.advance(state, BOS) == tokenizer.start
    assert tokenizer.advance(state, PAD) == tokenizer.advance(state, EOS) == state


def test_an_unknown_chord_is_silence_of_its_duration() -> None:
    back = ChordTokenizer().detokenize(
        ["60", "Duration_12", UNK, "Duration_24", "Rest_12", "64", "Duration_6"]
    )
    assert columns(back, "onset", "pitch", "duration") == [(0, 60, 480), (1920, 64, 240)]


def test_an_unknown_chord_without_durations_takes_step_beats() -> None:
    back = ChordTokenizer(durations=False).detokenize(["60", UNK, UNK, "64"])
    assert columns(back, "onset", "pitch") == [(0, 60), (720, 64)]


def test_a_chord_of_unknown_duration_takes_step_beats() -> None:
    back = ChordTokenizer().detokenize(["60", UNK, "64", "Duration_12"])
    assert columns(back, "onset", "pitch", "duration") == [(0, 60, 240), (240, 64, 480)]


def test_the_parts_of_an_unknown_note_go_to_no_other_note() -> None:
    tokenizer = EventTokenizer(velocity=True)
    tokens = ["Pitch_60", "Duration_96", UNK, "Duration_24", "Velocity_2", "Shift_12"]
    back = tokenizer.detokenize([*tokens, "Pitch_64", "Duration_12", "Velocity_42"])
    assert columns(back, "onset", "pitch", "duration", "velocity") == [(0, 60, 3840, 80), (480, 64, 480, 42)]


def test_a_duration_after_one_that_is_not_maximal_is_passed_over() -> None:
    back = EventTokenizer().detokenize(["Pitch_60", "Duration_12", "Duration_24"])
    assert back.duration.tolist() == [480]


def test_the_notes_after_an_unknown_pitch_lie_below_those_before_it() -> None:
    tokenizer = EventTokenizer()
    state = state_after(tokenizer, ["Pitch_60", "Duration_12", UNK, "Duration_12"])
    assert tokenizer.follows(state, "Pitch_59")
    assert not tokenizer.follows(state, "Pitch_60")


def test_a_note_of_unknown_duration_lasts_a_beat() -> None:
    back = EventTokenizer().detokenize(["Pitch_60", UNK, "Pitch_55", "Duration_24"])
    assert columns(back, "pitch", "duration") == [(55, 960), (60, 480)]


@each_tokenizer
def test_unknown_tokens_are_followed_by_what_they_stand_for(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.tokenize(simple_piece((0, 1, 60), (0, 1, 55)))
    for rare in range(len(tokens)):
        state = tokenizer.start
        for i, token in enumerate(tokens):
            assert i == rare or tokenizer.follows(state, token)
            state = tokenizer.advance(state, UNK if i == rare else token)
        assert tokenizer.is_complete(state)


def test_vocabulary_is_sorted_after_the_special_tokens() -> None:
    vocabulary = Vocabulary(["b", "a", EOS, "b", "c"])
    assert vocabulary.tokens == (*SPECIAL_TOKENS, "a", "b", "c")
    assert [vocabulary.id(token) for token in vocabulary.tokens] == list(range(len(vocabulary)))


def test_a_vocabulary_is_rebuilt_from_its_tokens() -> None:
    vocabulary = Vocabulary(["60", "64", "48.60"])
    assert Vocabulary(vocabulary.tokens).tokens == vocabulary.tokens


def test_a_token_outside_the_vocabulary_is_unk() -> None:
    assert Vocabulary(["a"]).id("z") == UNK_ID
    assert "z" not in Vocabulary(["a"])


def test_min_count_belongs_to_the_tokenizer() -> None:
    assert EventTokenizer().min_count == 1
    assert ChordTokenizer(min_count=5).min_count == 5


def test_encoding_stands_between_bos_and_eos() -> None:
    codec = Codec(EventTokenizer(), Vocabulary(["Pitch_60", "Duration_12"]))
    ids = codec.encode(simple_piece((0, 1, 60), (0, 1, 61)))
    assert [codec.vocabulary.tokens[i] for i in ids] == [
        BOS,
        UNK,
        "Duration_12",
        "Pitch_60",
        "Duration_12",
        EOS,
    ]
    assert columns(codec.decode(ids), "pitch", "duration") == [(60, 480)]


@each_tokenizer
def test_the_mask_never_allows_padding_bos_or_unk(tokenizer: Tokenizer) -> None:
    codec = small_codec(tokenizer)
    state = tokenizer.start
    for token in [*tokenizer.tokenize(simple_piece((0, 1, 60), (2, 7, 64))), UNK]:
        assert not codec.mask(state)[[PAD_ID, BOS_ID, UNK_ID]].any()
        state = tokenizer.advance(state, token)


@each_tokenizer
def test_the_mask_is_the_grammar_where_the_vocabulary_lacks_nothing(tokenizer: Tokenizer) -> None:
    codec = small_codec(tokenizer)
    tokens = tokenizer.tokenize(simple_piece((0, 1, 60), (0, 4, 64), (3, 1, 60), (8, 1, 64)))
    for length in range(len(tokens) + 1):
        state = state_after(tokenizer, tokens[:length])
        follows = [tokenizer.follows(state, token) for token in codec.vocabulary.tokens]
        assert codec.mask(state).tolist() == follows


def test_the_mask_leaves_out_what_the_vocabulary_cannot_finish() -> None:
    tokens = ["Program_0", "Program_7", "Pitch_60", "Pitch_64", "Duration_12", "Shift_12"]
    codec = Codec(EventTokenizer(program=True), Vocabulary(tokens))
    lowest_written = state_after(codec.tokenizer, ["Program_0", "Pitch_60", "Duration_12"])
    mask = codec.mask(lowest_written)
    legal = [token for token, is_legal in zip(codec.vocabulary.tokens, mask, strict=True) if is_legal]
    assert legal == [EOS, "Program_7", "Shift_12"]


def test_where_nothing_can_follow_eos_may() -> None:
    codec = Codec(EventTokenizer(), Vocabulary(["Pitch_60"]))  # no duration: no note can be finished
    assert np.flatnonzero(codec.mask(codec.tokenizer.start)).tolist() == [EOS_ID]


def test_round_trip_of_a_piece_on_the_grid_loses_nothing() -> None:
    result = round_trip(EventTokenizer(), simple_piece((1, 1, 60), (2, 3, 64), (2, 1, 67)))
    assert (result.num_notes, result.kept_fraction) == (3, 1.0)
    assert result.onset_error_beats == pytest.approx(0)
    assert result.duration_error_beats == pytest.approx(0)


def test_round_trip_measures_the_errors_in_beats() -> None:
    result = round_trip(EventTokenizer(), Piece.from_notes([480, 970], [480, 500], [60, 62]))
    assert result.kept_fraction == 1.0
    assert result.onset_error_beats == pytest.approx(5 / 480)
    assert result.duration_error_beats == pytest.approx(10 / 480)  # 970 to 1470 became 960 to 1480


def test_round_trip_counts_drums_and_doubled_notes_as_lost() -> None:
    drums = Piece.from_notes(
        [0, 480, 480, 480], [480] * 4, [60, 62, 62, 62], is_drum=[True, False, False, True]
    )
    assert round_trip(EventTokenizer(), drums).kept_fraction == 0.25
    assert round_trip(EventTokenizer(program=True), drums).kept_fraction == 0.75


def test_round_trip_compares_coinciding_notes_with_the_longest() -> None:
    piece = simple_piece((0, 1, 60), (0, 2, 60))
    assert round_trip(EventTokenizer(), piece).duration_error_beats == pytest.approx(0)


def test_round_trip_takes_no_pitched_note_for_a_drum() -> None:
    piece = Piece.from_notes([0] * 3, [480] * 3, [40, 43, 64], is_drum=[False, False, True])
    assert round_trip(ChordTokenizer(pitch_class=True), piece).kept_fraction == 0.0  # decoded: 64 and 67


def test_round_trip_of_pitch_classes_is_honestly_low() -> None:
    piece = simple_piece((0, 1, 36), (0, 1, 64), (1, 1, 40), (1, 1, 43), (2, 1, 50))
    assert round_trip(ChordTokenizer(pitch_class=True), piece).kept_fraction == pytest.approx(2 / 5)


def slow_round_trip(tokenizer: Tokenizer, piece: Piece) -> tuple[float, float, float]:
    """Each note, the longest first, takes the longest note left of its pitch, kind and grid step."""

    def longest_first(some: Piece, origin: int) -> list[tuple[tuple[int, int, bool], float, float]]:
        notes = zip(
            some.onset.tolist(),
            some.duration.tolist(),
            some.pitch.tolist(),
            some.is_drum.tolist(),
            strict=True,
        )
        beat, steps = some.ticks_per_beat, tokenizer.steps_per_beat
        return [
            (
                (math.floor(on * steps / beat + 0.5) - origin, pitch, drum),
                on / beat - origin / steps,
                long / beat,
            )
            for on, long, pitch, drum in sorted(notes, key=lambda note: -note[1])
        ]

    written = [key[0] for key, *_ in longest_first(tokenizer.written(piece), 0)]
    waiting = longest_first(again(tokenizer, piece), 0)
    errors = []
    for key, onset, duration in longest_first(piece, min(written, default=0)):
        mate = next((note for note in waiting if note[0] == key), None)
        if mate:
            waiting.remove(mate)
            errors.append((abs(onset - mate[1]), abs(duration - mate[2])))
    if not errors:
        return (0.0 if piece.num_notes else 1.0, 0.0, 0.0)
    onset_error, duration_error = np.mean(errors, axis=0)
    return len(errors) / piece.num_notes, onset_error, duration_error


@each_tokenizer
@given(notes=arbitrary_notes)
@FAST
def test_round_trip_is_that_of_a_slow_reference(tokenizer: Tokenizer, notes: list[Any]) -> None:
    piece = piece_of(notes)
    trip = round_trip(tokenizer, piece)
    figures = (trip.kept_fraction, trip.onset_error_beats, trip.duration_error_beats)
    assert figures == pytest.approx(slow_round_trip(tokenizer, piece))
    assert round_trip(tokenizer, piece, tokenizer.tokenize_indexed(piece)) == trip


@each_tokenizer
def test_round_trip_of_no_notes_loses_nothing(tokenizer: Tokenizer) -> None:
    assert round_trip(tokenizer, simple_piece()).kept_fraction == 1.0


@pytest.mark.parametrize(
    ("tokenizer", "arguments"),
    [
        (EventTokenizer, {"steps_per_beat": 0}),
        (EventTokenizer, {"steps_per_beat": 481}),
        (EventTokenizer, {"max_shift_beats": 0}),
        (EventTokenizer, {"max_duration_beats": -1}),
        (ChordTokenizer, {"steps_per_beat": 0}),
        (ChordTokenizer, {"max_beats": 0}),
        (ChordTokenizer, {"min_count": 0}),
        (ChordTokenizer, {"step_beats": 0.0}),
    ],
)
def test_an_argument_out_of_range_is_named(tokenizer: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        tokenizer(**arguments)


def test_a_tokenizer_is_built_by_its_name_and_options() -> None:
    tokenizer = build_tokenizer("chord", rests=False)
    assert isinstance(tokenizer, ChordTokenizer)
    assert not tokenizer.rests
    assert isinstance(build_tokenizer("event"), EventTokenizer)
