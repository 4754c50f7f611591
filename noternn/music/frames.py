"""JSON files of music as frames, steps of a grid, as published tables use them -> `Piece`.

Such a file is `{"train": pieces, "valid": pieces, "test": pieces}`, a piece a list of frames, and a frame
either the MIDI pitches that sound (Boulanger-Lewandowski, Bengio and Vincent, ICML 2012; silence is `[]`) or
one pitch for each of the voices S A T B, -1 where it rests (czhuang/JSB-Chorales-dataset on GitHub).
"""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

import numpy as np

from noternn.errors import PieceError, UserError
from noternn.music.instruments import VOICE_PROGRAMS
from noternn.music.limits import DEFAULT_LIMITS, Limits
from noternn.music.piece import Piece

SPLIT_KEYS = ("train", "valid", "test")
MAX_PIECES = 100_000  # in a file; the largest of the published ones holds 1,037
REST = -1
OPEN, CLOSE = b"[]"


def piece_spans(data: bytes) -> dict[str, tuple[int, int]]:
    """Where the pieces of a file stand: "train/0" and on -> (offset, size) in bytes.

    Raises:
        UserError: if it is no such file; the message lacks its name.
    """
    text = data.decode("latin-1")  # keeps places, and what is not ASCII is no number
    content = _loads(text, UserError)
    if not isinstance(content, dict) or sorted(content) != sorted(SPLIT_KEYS):
        given = ", ".join(map(repr, content)) if isinstance(content, dict) else type(content).__name__
        raise UserError(f"must be an object of train, valid and test; it is one of {given[:80]}")
    if text.count('"') != 2 * len(SPLIT_KEYS):
        raise UserError("holds text or objects among its pieces; they are lists of lists of numbers")
    for split, pieces in content.items():
        if not isinstance(pieces, list) or not all(isinstance(piece, list) for piece in pieces):
            raise UserError(f"{split} must be a list of pieces, which are lists of frames")
    names = [f"{split}/{i}" for split, pieces in content.items() for i in range(len(pieces))]
    if len(names) > MAX_PIECES:
        raise UserError(f"holds {len(names):,} pieces; at most {MAX_PIECES:,} are read")
    return dict(zip(names, _nested_lists(data), strict=True))


def _nested_lists(data: bytes) -> list[tuple[int, int]]:
    """The places of the lists in a list, of a valid file without brackets in strings."""
    characters = np.frombuffer(data, dtype=np.uint8)
    depth = np.cumsum((characters == OPEN).astype(np.int8) - (characters == CLOSE), dtype=np.int32)
    starts = np.flatnonzero((characters == OPEN) & (depth == 2))
    ends = np.flatnonzero((characters == CLOSE) & (depth == 1)) + 1
    return list(zip(starts.tolist(), (ends - starts).tolist(), strict=True))


def read_frames(
    data: bytes, frames_per_beat: int, *, voices: bool, name: str = "", limits: Limits = DEFAULT_LIMITS
) -> Piece:
    """The piece in the JSON of its frames; its `span` keeps silent ones at both ends.

    A pitch that sounds in frames in a row is one note, for the files do not tell where it is struck again.

    Args:
        data: a list of frames.
        frames_per_beat: frames in a quarter note.
        voices: whether a frame is a pitch for each of S A T B, which become violin, viola, cello and
            contrabass (`VOICE_PROGRAMS`); if not, it is the pitches that sound.
        name: what the piece is called.
        limits: a piece above `max_beats` or `max_notes` is refused.

    Raises:
        PieceError: if it is none, with the reason.
    """
    frames = _loads(data.decode("latin-1"), PieceError)
    if not isinstance(frames, list):
        raise PieceError("is no list of frames")
    if len(frames) > limits.max_beats * frames_per_beat:
        raise PieceError(f"is too long: {len(frames):,} frames; at most {limits.max_beats:,} beats are read")
    for number, frame in enumerate(frames):
        _check_frame(number, frame, voices)
    pitch = np.array(list(chain.from_iterable(frames)), dtype=np.int64)
    place = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])
    program = np.tile(VOICE_PROGRAMS, len(frames)) if voices else np.zeros_like(pitch)
    sounds = pitch != REST
    piece = Piece.from_frames(
        place[sounds],
        pitch[sounds],
        num_frames=len(frames),
        frames_per_beat=frames_per_beat,
        program=program[sounds],
        name=name,
    )
    if piece.num_notes > limits.max_notes:
        raise PieceError(f"holds {piece.num_notes:,} notes; at most {limits.max_notes:,} are read")
    return piece


def _loads(text: str, error: type[UserError]) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        reason = "lists in lists in lists without end"
    except json.JSONDecodeError as problem:
        reason = f"line {problem.lineno}, column {problem.colno}: {problem.msg}"
    except ValueError:
        reason = "a number of thousands of digits"
    raise error(f"is no JSON that can be read ({reason})")


def _check_frame(number: int, frame: object, voices: bool) -> None:
    if not isinstance(frame, list):
        raise PieceError(f"frame {number} is no list of pitches")
    if voices and len(frame) != len(VOICE_PROGRAMS):
        raise PieceError(f"frame {number} holds {len(frame)} numbers; it must be 4, for S, A, T and B")
    lowest = REST if voices else 0
    wrong = [pitch for pitch in frame if type(pitch) is not int or not lowest <= pitch <= 127]
    if wrong:
        given, rest = repr(wrong[0])[:20], " (-1 for a rest)" if voices else ""
        raise PieceError(f"frame {number} holds {given}; pitches are whole numbers from 0 to 127{rest}")
