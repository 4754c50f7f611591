"""Near-duplicates: a fingerprint of each piece's outer voices, and the groups of pieces that share one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from noternn.music.piece import Piece

NGRAM_LENGTH = 6  # intervals, so 7 notes: noise in 5 % of the notes leaves two thirds of them whole
MIN_INTERVALS = 3  # different ones in an n-gram: fewer is a trill or a repeated note, common to all music
ONSETS_PER_BEAT = 24  # onsets closer than this are one chord, played loosely
RATIOS_PER_OCTAVE = 2  # gaps are compared in steps of a factor of sqrt(2), so that rounding changes few
MAX_RATIO = 6  # steps
MIN_SHARED = 8  # n-grams that two pieces must share, so that a jingle is not in every piece
MIN_CONTAINMENT = 0.2
# Of the hash, as arrays of no dimension: numpy takes twice as long over its scalars.
GOLDEN = np.array(0x9E3779B97F4A7C15, dtype=np.uint64)
FIRST_SHIFT, FIRST_FACTOR = np.array(30, dtype=np.uint64), np.array(0xBF58476D1CE4E5B9, dtype=np.uint64)
SECOND_SHIFT, SECOND_FACTOR = np.array(27, dtype=np.uint64), np.array(0x94D049BB133111EB, dtype=np.uint64)
LAST_SHIFT = np.array(31, dtype=np.uint64)


def fingerprint(piece: Piece) -> NDArray[np.uint64]:
    """What a piece keeps when it is transposed, slowed, cut, exported again or given other instruments.

    The n-grams of its highest and of its lowest notes, a note an onset: pitch differences, and the ratios
    of the times between onsets. Drums and durations are left out.

    Returns:
        (num_ngrams,) sorted hashes, each once; none for a piece of 7 notes or fewer.
    """
    pitched = piece.select(~piece.is_drum) if piece.is_drum.any() else piece
    # A chord begins where the time since the last onset is longer than that.
    is_new = (pitched.onset[1:] - pitched.onset[:-1]) * ONSETS_PER_BEAT > pitched.ticks_per_beat
    starts = np.flatnonzero(np.concatenate(([True], is_new)))  # of each chord
    if len(starts) <= NGRAM_LENGTH:
        return np.zeros(0, dtype=np.uint64)
    lines = np.stack([reduce.reduceat(pitched.pitch, starts) for reduce in (np.maximum, np.minimum)])
    hashes = np.sort(hash_rows(_ngrams(lines, pitched.onset[starts])))
    is_new = np.ones(len(hashes), dtype=np.bool_)
    is_new[1:] = hashes[1:] != hashes[:-1]
    return hashes[is_new]


def _ngrams(lines: NDArray[np.int64], onset: NDArray[np.int64]) -> NDArray[np.int64]:
    """The n-grams that have enough different intervals, of all lines, shape (num_ngrams, 11).

    Args:
        lines: pitches of each line, shape (num_lines, num_onsets).
        onset: of them, shape (num_onsets,).
    """
    gaps = onset[1:] - onset[:-1]
    ratios = np.rint(RATIOS_PER_OCTAVE * np.log2(gaps[1:] / gaps[:-1])).astype(np.int64)
    ratios = np.minimum(np.maximum(ratios, -MAX_RATIO), MAX_RATIO)
    intervals = lines[:, 1:] - lines[:, :-1]
    num_grams = intervals.shape[1] - NGRAM_LENGTH + 1
    grams = np.empty((2 * NGRAM_LENGTH - 1, len(lines), num_grams), dtype=np.int64)
    for i in range(NGRAM_LENGTH):
        grams[i] = intervals[:, i : i + num_grams]
    for i in range(NGRAM_LENGTH - 1):
        grams[NGRAM_LENGTH + i] = ratios[i : i + num_grams]
    columns = grams.reshape(len(grams), -1)
    in_order = np.sort(columns[:NGRAM_LENGTH].T, axis=1)
    num_different = 1 + np.count_nonzero(in_order[:, 1:] != in_order[:, :-1], axis=1)
    return columns.compress(num_different >= MIN_INTERVALS, axis=1).T


def hash_rows(rows: NDArray[np.integer]) -> NDArray[np.uint64]:
    """A 64-bit hash of each row of (num_rows, num_columns), the same on every machine.

    Its steps are the finalizer of SplitMix64 (Steele, Lea and Flood, 2014), a column a time.
    """
    hashes = np.zeros(len(rows), dtype=np.uint64)
    shifted = np.empty_like(hashes)
    for column in (rows.T + 1).astype(np.uint64):
        hashes *= GOLDEN
        hashes += column
        hashes ^= np.right_shift(hashes, FIRST_SHIFT, out=shifted)
        hashes *= FIRST_FACTOR
        hashes ^= np.right_shift(hashes, SECOND_SHIFT, out=shifted)
        hashes *= SECOND_FACTOR
        hashes ^= np.right_shift(hashes, LAST_SHIFT, out=shifted)
    return hashes


def group_pieces(music_hashes: Sequence[str], fingerprints: Sequence[NDArray[np.uint64]]) -> list[str]:
    """The group of every piece, named by the smallest music hash in it.

    Two pieces are joined if their music hashes are equal, or if the larger fingerprint holds at least
    `MIN_CONTAINMENT` of the smaller; a group is all that is joined, directly or through others. Whether
    two pieces are joined depends on them alone, so an unrelated piece changes no group's name. A piece
    that joins a group changes its name if its own hash is smaller; one that joins two groups makes them
    one, under the smaller name. Then the pieces of the renamed group may change their split.

    Args:
        music_hashes: of each piece, see `Piece.music_hash`.
        fingerprints: of each piece, see `fingerprint`.
    """
    parent = list(range(len(music_hashes)))
    first_with: dict[str | bytes, int] = {}
    for i, (music_hash, ngrams) in enumerate(zip(music_hashes, fingerprints, strict=True)):
        _join(parent, i, first_with.setdefault(music_hash, i))
        if len(ngrams) >= MIN_SHARED:
            _join(parent, i, first_with.setdefault(ngrams.tobytes(), i))
    distinct = [i for i, ngrams in enumerate(fingerprints) if first_with.get(ngrams.tobytes()) == i]
    _join_similar(parent, distinct, fingerprints)
    roots = [_root(parent, i) for i in range(len(parent))]
    names: dict[int, str] = {}
    for root, music_hash in zip(roots, music_hashes, strict=True):
        names[root] = min(music_hash, names.get(root, music_hash))
    return [names[root] for root in roots]


def _join_similar(
    parent: list[int], members: Sequence[int], fingerprints: Sequence[NDArray[np.uint64]]
) -> None:
    """Join the members of which one holds enough of the other.

    Two pieces that share `needed` of the smaller one's hashes share `half` of any `size - needed + half`
    of them: the rarest so many say whom to compare with, which for most music is no other piece.
    """
    if not members:
        return
    sizes = np.array([len(fingerprints[i]) for i in members])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    hashes = np.concatenate([fingerprints[i] for i in members])
    _, hash_ids, frequency = np.unique(hashes, return_inverse=True, return_counts=True)
    owners = np.repeat(np.arange(len(members)), sizes)[np.argsort(hash_ids, kind="stable")]
    starts = np.concatenate([[0], np.cumsum(frequency)])
    for small, size in enumerate(sizes.tolist()):
        needed = max(MIN_SHARED, math.ceil(MIN_CONTAINMENT * size - 1e-9))
        ids = hash_ids[offsets[small] : offsets[small + 1]]
        half = (needed + 1) // 2
        rarest = ids[np.argsort(frequency[ids], kind="stable")[: size - needed + half]]
        holding = [owners[starts[i] : starts[i + 1]] for i in rarest[frequency[rarest] > 1].tolist()]
        others, times = np.unique(np.concatenate([owners[:0], *holding]), return_counts=True)
        for large in others[(times >= half) & (sizes[others] >= size) & (others != small)].tolist():
            first, second = members[small], members[large]
            if _root(parent, first) == _root(parent, second):
                continue
            shared = np.isin(ids, hash_ids[offsets[large] : offsets[large + 1]], assume_unique=True)
            if shared.sum() >= needed:
                _join(parent, first, second)


def _root(parent: list[int], member: int) -> int:
    while parent[member] != member:
        parent[member] = parent[parent[member]]
        member = parent[member]
    return member


def _join(parent: list[int], first: int, second: int) -> None:
    parent[_root(parent, first)] = _root(parent, second)
