"""A corpus as token indices, kept in a cache file that is named by what it was made from."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noternn.corpus.duplicates import group_pieces
from noternn.corpus.reading import Skipped, TokenizedPiece, read_all
from noternn.corpus.sources import Source
from noternn.errors import UserError
from noternn.tokenizer import build_tokenizer

log = logging.getLogger(__name__)

CACHE_VERSION = 3  # raise it when a change of the code changes what a cache holds


@dataclass(frozen=True, eq=False)
class TokenizedCorpus:
    """All pieces of a corpus, before any split, sorted by (music_hash, name).

    Args:
        fingerprint: hash of the files' contents, the tracks read and the tokenizer's configuration.
        skipped: the files left out, with the reasons.
        names: (num_pieces,) names.
        music_hashes: (num_pieces,) see `Piece.music_hash`.
        tokens: the distinct tokens, sorted.
        indices: (num_tokens,) uint32 indices into `tokens`, all pieces one after the other.
        offsets: (num_pieces + 1,) where each piece begins in `indices`.
        num_notes, beats, seconds, tempo: (num_pieces,) see `TokenizedPiece`.
        round_trip: (num_pieces, 4) the fields of `RoundTrip`.
        groups: (num_pieces,) the group of near-duplicates of each, see `duplicates.group_pieces`.
        steps, step_offsets: the `leak.note_steps` of the pieces, stored like `indices` and `offsets`.
    """

    fingerprint: str
    skipped: tuple[Skipped, ...]
    names: NDArray[np.str_]
    music_hashes: NDArray[np.str_]
    tokens: NDArray[np.str_]
    indices: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    num_notes: NDArray[np.int64]
    beats: NDArray[np.float64]
    seconds: NDArray[np.float64]
    tempo: NDArray[np.float64]
    round_trip: NDArray[np.float64]
    groups: NDArray[np.str_]
    steps: NDArray[np.uint32]
    step_offsets: NDArray[np.int64]

    @property
    def num_pieces(self) -> int:
        """How many pieces were read."""
        return len(self.names)

    def piece(self, index: int) -> NDArray[np.uint32]:
        """The token indices of one piece."""
        return self.indices[self.offsets[index] : self.offsets[index + 1]]

    def steps_of(self, index: int) -> NDArray[np.uint32]:
        """The steps from note to note of one piece."""
        return self.steps[self.step_offsets[index] : self.step_offsets[index + 1]]


def tokenize_corpus(
    sources: Sequence[Source],
    tokenizer: Mapping[str, Any],
    cache_dir: Path | None,
    num_processes: int | None = None,
    tracks: str | Sequence[int] = "all",
) -> TokenizedCorpus:
    """The tokens of every readable file, from the cache where it has them.

    Args:
        sources: the files; their order does not matter.
        tokenizer: the arguments of `build_tokenizer`.
        cache_dir: where caches are kept; None keeps none. Deleting it is always safe.
        num_processes: see `read_all`.
        tracks: which notes of each file: see `noternn.piece.select_tracks`.

    Raises:
        UserError: if no file could be read.
    """
    sources = sorted(sources, key=lambda source: source.name)
    fingerprint = _fingerprint(sources, tokenizer, tracks)
    path = cache_dir / f"{fingerprint[:32]}.npz" if cache_dir else None
    corpus = _load(path, fingerprint) if path else None
    if corpus is None:
        results = list(read_all(sources, build_tokenizer(**tokenizer), num_processes, tracks))
        corpus = _assemble(results, fingerprint)
        if path:
            _save(corpus, path)
    if corpus.num_pieces == 0:
        reasons = "; ".join(f"{s.name}: {s.reason}" for s in corpus.skipped[:3])
        raise UserError(f"none of the {len(sources)} files could be read ({reasons})")
    return corpus


def _fingerprint(sources: Sequence[Source], tokenizer: Mapping[str, Any], tracks: str | Sequence[int]) -> str:
    content = [[source.name, source.kind, source.content_hash()] for source in sources]
    selected = tracks if isinstance(tracks, str) else sorted(set(tracks))
    key = {"version": CACHE_VERSION, "tokenizer": dict(tokenizer), "tracks": selected, "files": content}
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _assemble(results: Sequence[TokenizedPiece | Skipped], fingerprint: str) -> TokenizedCorpus:
    pieces = [result for result in results if isinstance(result, TokenizedPiece)]
    pieces.sort(key=lambda piece: (piece.music_hash, piece.name))
    tokens = sorted({token for piece in pieces for token in piece.tokens})
    index = {token: i for i, token in enumerate(tokens)}
    groups = group_pieces([piece.music_hash for piece in pieces], [piece.ngrams for piece in pieces])
    trips = [piece.round_trip for piece in pieces]
    return TokenizedCorpus(
        fingerprint=fingerprint,
        skipped=tuple(result for result in results if isinstance(result, Skipped)),
        names=np.array([piece.name for piece in pieces], dtype=np.str_),
        music_hashes=np.array([piece.music_hash for piece in pieces], dtype=np.str_),
        tokens=np.array(tokens, dtype=np.str_),
        indices=np.array([index[token] for piece in pieces for token in piece.tokens], dtype=np.uint32),
        offsets=_offsets([len(piece.tokens) for piece in pieces]),
        num_notes=np.array([piece.num_notes for piece in pieces], dtype=np.int64),
        beats=np.array([piece.beats for piece in pieces]),
        seconds=np.array([piece.seconds for piece in pieces]),
        tempo=np.array([piece.tempo for piece in pieces]),
        round_trip=np.array(
            [(t.num_notes, t.kept_fraction, t.onset_error_beats, t.duration_error_beats) for t in trips]
        ).reshape(-1, 4),
        groups=np.array(groups, dtype=np.str_),
        steps=np.concatenate([np.zeros(0, dtype=np.uint32), *(piece.steps for piece in pieces)]),
        step_offsets=_offsets([len(piece.steps) for piece in pieces]),
    )


def _offsets(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _save(corpus: TokenizedCorpus, path: Path) -> None:
    """Write the cache beside its place and rename it, so that no reader sees half of it."""
    arrays: dict[str, Any] = {k: value for k, value in vars(corpus).items() if isinstance(value, np.ndarray)}
    arrays["fingerprint"] = np.array(corpus.fingerprint)
    arrays["skipped"] = np.array([[s.name, s.reason] for s in corpus.skipped], dtype=np.str_).reshape(-1, 2)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            temporary = file.name
            np.savez_compressed(file, **arrays)
        os.replace(temporary, path)
    except OSError as error:
        log.warning("the token cache was not written (%s); the next run reads the files again", error)
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def _load(path: Path, fingerprint: str) -> TokenizedCorpus | None:
    """The cached corpus, or None where there is no whole cache of this fingerprint."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict(file)
        if arrays.pop("fingerprint").item() != fingerprint:
            return None
        skipped = tuple(Skipped(str(name), str(reason)) for name, reason in arrays.pop("skipped"))
        return TokenizedCorpus(fingerprint=fingerprint, skipped=skipped, **arrays)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # damage shows in many ways, and a cache can always be made again
        log.warning("the token cache %s is damaged and is made again (%s)", path, error)
        return None
