"""Every tokenizer with its options, music for them, and walks through their grammars."""

from __future__ import annotations

import itertools
import random
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from noternn.music.piece import Piece
from noternn.tokenizer import (
    EOS,
    EOS_ID,
    BpeTokenizer,
    ChordTokenizer,
    Codec,
    EventTokenizer,
    Merges,
    MidiTokTokenizer,
    State,
    Tokenizer,
    Vocabulary,
)

STEP = 40  # ticks of a step in the pieces made here: 480 ticks and 12 steps to the beat
FAST = settings(max_examples=30, deadline=None, derandomize=True, database=None)

EVENT_OPTIONS: list[dict[str, Any]] = [
    {"velocity": velocity, "program": program}
    for velocity, program in itertools.product([False, True], repeat=2)
]
CHORD_OPTIONS: list[dict[str, Any]] = [
    {"durations": durations, "rests": rests, "pitch_class": pitch_class, "max_beats": 2, "min_count": 1}
    for durations, rests, pitch_class in itertools.product([False, True], repeat=3)
]
DRUMS_LAST = {"program": True, "drums_first": False}
EVENTS = [
    EventTokenizer(max_shift_beats=1, max_duration_beats=2, **options)
    for options in [*EVENT_OPTIONS, DRUMS_LAST]
]
CHORDS = [ChordTokenizer(**options) for options in CHORD_OPTIONS]
# without MidiTok, which is optional, test_miditok.py is skipped and says so
MIDITOKS = [
    MidiTokTokenizer(kind=kind, **options)
    for kind, options in itertools.product(["REMI", "TSD", "Structured"], EVENT_OPTIONS)
    if find_spec("miditok")
]
MERGES = [
    Merges((("Pitch_64", "Duration_12"), ("Shift_12", "Pitch_64+Duration_12"), ("Pitch_1", "Duration_7"))),
    Merges((("64", "Duration_12"), ("Duration_7", "Rest_12"), ("127", "Duration_7+Rest_12"))),
]
BPES = [BpeTokenizer(EVENTS[0], MERGES[0]), BpeTokenizer(CHORDS[-2], MERGES[1])]
ONE_WAY = [*EVENTS, *CHORDS, *MIDITOKS]  # there is one way to write a piece
ALL = [*ONE_WAY, *BPES]


def name_of(tokenizer: Tokenizer) -> str:
    options = [key for key, value in vars(tokenizer).items() if value is True and not key.startswith("_")]
    return "-".join([type(tokenizer).__name__, *filter(None, [getattr(tokenizer, "kind", "")]), *options])


each_tokenizer = pytest.mark.parametrize("tokenizer", ALL, ids=name_of)
each_event = pytest.mark.parametrize("tokenizer", EVENTS, ids=name_of)
each_chord = pytest.mark.parametrize("tokenizer", CHORDS, ids=name_of)

# ticks are coarse enough for notes to coincide often, and are not on the grid
arbitrary_notes = st.lists(
    st.tuples(
        st.integers(0, 3000),  # onset
        st.integers(1, 2500),  # duration
        st.integers(57, 64) | st.integers(0, 127),  # pitch
        st.integers(1, 127),  # velocity
        st.sampled_from([0, 5, 127]),  # program
        st.booleans(),  # is_drum
    ),
    max_size=14,
)
grid_notes = st.lists(
    st.tuples(
        st.integers(0, 90).map(lambda step: step * STEP),
        st.integers(1, 70).map(lambda step: step * STEP),
        st.integers(57, 64) | st.integers(0, 127),
        st.integers(0, 31).map(lambda bin_: 4 * bin_ + 2),
        st.sampled_from([0, 5, 127]),
        st.booleans(),
    ),
    max_size=14,
    unique_by=lambda note: (note[0], note[2], note[4] * (not note[5]), note[5]),
)


def piece_of(notes: list[tuple[int, int, int, int, int, bool]], **kwargs: Any) -> Piece:
    onset, duration, pitch, velocity, program, is_drum = zip(*notes, strict=True) if notes else ((),) * 6
    return Piece.from_notes(
        onset,
        duration,
        pitch,
        velocity=velocity,
        program=np.where(is_drum, 0, program),
        is_drum=is_drum,
        **kwargs,
    )


def simple_piece(*notes: tuple[float, float, int]) -> Piece:
    """A piece of (onset, duration, pitch) with times in beats."""
    onset, duration, pitch = np.array(notes).reshape(-1, 3).T
    return Piece.from_notes(onset * 480, duration * 480, pitch)


def from_first_onset(piece: Piece) -> Piece:
    start = int(piece.onset.min()) if piece.num_notes else 0
    return Piece.from_notes(
        piece.onset - start,
        piece.duration,
        piece.pitch,
        velocity=piece.velocity,
        program=piece.program,
        is_drum=piece.is_drum,
    )


def columns(piece: Piece, *names: str) -> list[tuple[Any, ...]]:
    """The notes of a piece as tuples, in an order that does not depend on the other columns."""
    return sorted(zip(*(getattr(piece, name).tolist() for name in names), strict=True))


def again(tokenizer: Tokenizer, piece: Piece) -> Piece:
    return tokenizer.detokenize(tokenizer.tokenize(piece))


def state_after(tokenizer: Tokenizer, tokens: list[str]) -> State:
    state = tokenizer.start
    for token in tokens:
        state = tokenizer.advance(state, token)
    return state


def legal_walk(codec: Codec, seed: int, length: int) -> list[str]:
    """Random legal tokens; once `length` is reached they end as soon as they may."""
    rng = random.Random(seed)
    state, tokens = codec.tokenizer.start, list[str]()
    while True:
        legal = np.flatnonzero(codec.mask(state)).tolist()
        assert legal
        if EOS_ID in legal and (len(tokens) >= length or len(legal) == 1):
            return tokens
        # few kinds of tokens are many: draw the kind first, or there would hardly be a chain
        kinds = sorted({codec.vocabulary.tokens[i].split("_")[0] for i in legal} - {EOS})
        if len(tokens) >= length:
            onward = ("Shift", "Rest", "TimeShift", "Bar", "Position")
            kinds = [kind for kind in kinds if kind not in onward] or kinds
        kind = rng.choice(kinds)
        choices = [codec.vocabulary.tokens[i] for i in legal]
        token = rng.choice([token for token in choices if token.split("_")[0] == kind])
        tokens.append(token)
        state = codec.tokenizer.advance(state, token)


def small_codec(tokenizer: Tokenizer) -> Codec:
    """A codec over few tokens, with chains, chords and the extremes of the pitches among them."""
    pitches = [0, 1, 40, 60, 64, 127]
    tokens = [f"Pitch_{pitch}" for pitch in pitches] + [str(pitch) for pitch in pitches]
    tokens += [f"{kind}_{n}" for kind in ("Shift", "Duration", "Rest") for n in (1, 7, 12, 24)]
    tokens += ["Velocity_2", "Velocity_126", "Program_0", "Program_7", "Program_127", "Program_drum"]
    tokens += ["Drum_0", "Drum_36", "PitchDrum_36"]
    tokens += ["48.60.64", "0.127", "60.48", "60.60", "pc0", "pc0.4.7", "pc7.0", "pc12"]
    tokens += [
        f"{kind}_{time}" for kind in ("TimeShift", "Duration") for time in ("0.7.12", "1.0.12", "12.0.12")
    ]
    tokens += [
        "TimeShift_0.0.1",
        "Bar_None",
        "Position_0",
        "Position_7",
        "Position_47",
        "Program_-1",
        "Velocity_3",
    ]
    tokens += [token for merges in MERGES for token in merges.tokens]
    return Codec(tokenizer, Vocabulary(token for token in tokens if is_in_alphabet(tokenizer, token)))


def is_in_alphabet(tokenizer: Tokenizer, token: str) -> bool:
    tries = [[], ["60"], ["60", "Duration_1"], ["Bar_None"]]
    event = ["Program_0", "Pitch_60", "Duration_1", "Velocity_2"]
    miditok = ["Program_0", "Pitch_60", "Velocity_3", "Duration_1.0.12"]
    tries += [[*start, drum] for start in ([], ["Bar_None", "Position_0"], ["TimeShift_0.0.1"])
              for drum in ("Program_drum", "Program_-1")]  # fmt: skip
    starts = [[], ["Bar_None", "Position_0"], ["TimeShift_0.0.1"]]
    for start, note, first, end in itertools.product(starts, [event, miditok], range(2), range(5)):
        tries.append([*start, *note[first:end]])
    return any(tokenizer.follows(state_after(tokenizer, tokens), token) for tokens in tries)
