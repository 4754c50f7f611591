"""What is continued: the ids of a file that somebody names, or the opening of a piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noternn.datasets.sources import read_file
from noternn.errors import PieceError, UserError
from noternn.sampling.clock import Clock, clock_of
from noternn.tokenizer import UNK_ID, Codec

MAX_UNKNOWN_NAMED = 5  # tokens of a primer


def encode_primer(
    path: Path, codec: Codec, beats: float | None = None, pedal: bool = False
) -> tuple[list[int], Clock, str]:
    """The ids of a file to continue, its clock, and a line that names its tokens outside the vocabulary.

    Args:
        path: of a MIDI file or score.
        codec: of the ids.
        beats: quarter notes from its first note on, after which no more of it is given; None for all.
        pedal: whether its notes last as long as its pedal holds them.

    Raises:
        UserError: if the file cannot be read or holds nothing that the tokenizer can write.
    """
    piece = read_file(path, pedal)
    if beats is not None and piece.num_notes:
        piece = piece.select(piece.onset < piece.onset[0] + beats * piece.ticks_per_beat)
    try:
        ids = codec.encode(piece)[1:-1].tolist()
    except PieceError as error:
        raise UserError(f"{path}: {error}") from error
    if not ids:
        raise UserError(f"{path}: the primer holds no notes that this tokenizer can write (only drums?)")
    line = f"primer: {path}, {piece.num_notes} notes, {len(ids)} tokens"
    known = codec.vocabulary
    unknown = [token for token in codec.tokenizer.tokenize(piece) if known.id(token) == UNK_ID]
    if unknown:
        named = [token for token, _ in Counter(unknown).most_common(MAX_UNKNOWN_NAMED)]
        more = ", ..." if len(set(unknown)) > len(named) else ""
        line += f", {len(unknown)} of them unknown to the vocabulary ({', '.join(named)}{more})"
    return ids, clock_of(piece, codec.tokenizer), line


def primer_end(primer: Sequence[int], codec: Codec, tempo: float) -> int:
    """The first tick at which what is composed may begin: after a primer's last onset.

    A note that is held may ring on from there; its onset is the primer's.
    """
    onset = codec.decode(list(primer), tempo).onset
    return int(onset.max()) + 1 if len(onset) else 0


def opening(piece: NDArray[np.int64], codec: Codec, num_notes: int) -> list[int]:
    """A primer: the beginning of a piece, (num_tokens,) with BOS and EOS, of `num_notes` notes or a few more.

    It ends where an onset begins, or with the piece: no chord is cut.
    """
    tokenizer, tokens = codec.tokenizer, codec.vocabulary.tokens
    primer: list[int] = []
    state, num_read = tokenizer.start, 0
    for id_ in piece[1:-1].tolist():
        if num_read >= num_notes and tokenizer.begins_onset(state, tokens[id_]):
            break
        primer.append(id_)
        num_read += tokenizer.note_count(tokens[id_])
        state = tokenizer.advance(state, tokens[id_])
    return primer
