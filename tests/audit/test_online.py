"""Passages that are looked for while notes are composed: as the audit counts them afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noternn.audit.index import Index
from noternn.audit.online import Passages, texts_of
from noternn.config.sampling import Sampling
from noternn.errors import UserError
from noternn.model.lstm import NoteLSTM
from noternn.music.piece import Piece
from noternn.sampling.copies import Bound, ticks_of_beat
from noternn.sampling.ending import Ending
from noternn.sampling.given import Given, given_notes
from noternn.sampling.particles import draw
from noternn.sampling.sampler import sample_each
from noternn.sampling.wishes import Wishes
from noternn.tokenizer import (
    BOS_ID,
    ChordTokenizer,
    Codec,
    EventTokenizer,
    Tokenizer,
    Vocabulary,
    VoicesTokenizer,
)
from noternn.tokenizer.pace import Pace
from tests.helpers import small_piece

LEARNED = [small_piece(seed) for seed in range(3)]
INDEX = Index.build(LEARNED, ["a", "b", "c"])
EVENT = EventTokenizer(steps_per_beat=4)


def codec_of(tokenizer: Tokenizer) -> Codec:
    moved = [piece.transpose(k) for piece in LEARNED for k in range(-6, 7)]
    return Codec(tokenizer, Vocabulary(sorted({t for piece in moved for t in tokenizer.tokenize(piece)})))


def bound(codec: Codec, share: float = 0.0) -> Bound:
    grid = codec.tokenizer.steps_per_beat, ticks_of_beat(codec)
    return Bound(codec, Passages(texts_of(LEARNED), *grid, share))


CODEC = codec_of(EVENT)
MEMORY = 12  # ids after which the network below knows how to go on
HEART = CODEC.encode(LEARNED[0])[1:-1].tolist()


class ByHeart:
    """Lanes of a network that knows a piece by heart: it goes on where the last ids stand there."""

    def __init__(self, *_: object) -> None:
        self.known = {
            tuple(HEART[max(0, k - n) : k]): HEART[k] for n in range(MEMORY + 1) for k in range(len(HEART))
        }
        self.heard: list[list[int]] = [[]]

    def _log_probs(self, ids: Sequence[int]) -> np.ndarray:
        probs = np.full(len(CODEC.vocabulary), 1e-4)
        contexts = (tuple(ids[max(0, len(ids) - n) :]) for n in range(MEMORY, -1, -1))
        probs[next(self.known[context] for context in contexts if context in self.known)] = 1
        return np.log(probs / probs.sum())

    def read(self, ids: Sequence[int]) -> np.ndarray:
        self.heard = [[id_ for id_ in ids if id_ != BOS_ID]]
        return self._log_probs(self.heard[0])[None]

    def step(self, ids: Sequence[int]) -> np.ndarray:
        return self.step_some(ids, range(len(ids)))

    def step_some(self, ids: Sequence[int], streams: Sequence[int]) -> np.ndarray:
        for k, id_ in zip(streams, ids, strict=True):
            self.heard[k] = [*self.heard[k], *([] if id_ == BOS_ID else [id_])]
        return np.stack([self._log_probs(self.heard[k]) for k in streams])

    def select(self, streams: Sequence[int]) -> None:
        self.heard = [self.heard[k] for k in streams]


NETWORK = NoteLSTM(len(CODEC.vocabulary), 2, 2, 1, 0.0, 1).eval()


def composed(share: float | None, primer: Sequence[int] = ()) -> list[Piece]:
    options = Sampling(num_notes=45, ending="exact", top_p=1.0)
    of = None if share is None else bound(CODEC, share)
    samples = sample_each(NETWORK, CODEC, [primer] * 8, options, build=ByHeart, wishes=Wishes(bound=of))
    return [CODEC.decode(ids) for ids in samples]


def copied(pieces: Sequence[Piece]) -> list[float]:
    return [INDEX.audit(piece).copied(16) for piece in pieces]


def test_what_is_known_by_heart_does_not_come_out() -> None:
    assert np.median(copied(composed(None))) > 0.8
    assert max(copied(composed(0))) == 0


def test_a_share_of_it_may_come_out() -> None:
    own = small_piece(9).select(np.arange(small_piece(9).num_notes) < 24)
    learned = LEARNED[0].select(LEARNED[0].pitch > 60)
    onset = np.concatenate([own.onset, learned.onset + own.end])
    duration, pitch = (
        np.concatenate([own.duration, learned.duration]),
        np.concatenate([own.pitch, learned.pitch]),
    )
    of = bound(CODEC, 0.4)
    place = of.start()
    for id_ in CODEC.encode(Piece.from_notes(onset, duration, pitch))[1:-1].tolist():
        if of.copies(place, id_):
            break
        place = of.after(place, id_, is_given=False)
    assert place.heard.num_composed == 40  # 16 of them copied; 17 of 41 would be too many


def test_a_passage_may_not_begin_in_a_primer_either() -> None:
    primer = CODEC.encode(LEARNED[0].until(8 * 480).transpose(2))[1:-1].tolist()
    begun = CODEC.decode(primer).num_notes
    assert all(INDEX.audit(piece).longest[begun:].max() < 16 for piece in composed(0, primer))


def test_particles_do_not_copy() -> None:
    wishes = Wishes(bound=bound(CODEC))
    plan = Ending(CODEC, [], 0, 20, 40, False, Pace.default(4), wishes)
    ids = draw(NETWORK, CODEC, plan, Sampling(), 4, 4096, build=ByHeart).ids
    assert INDEX.audit(CODEC.decode(ids)).copied(16) == 0


def test_a_gap_in_a_learned_piece_is_not_filled_as_it_was() -> None:
    piece = LEARNED[0]
    kept = piece.select((piece.onset < 8 * 480) | (piece.onset >= 16 * 480))
    filled = []
    for wishes in (Wishes(), Wishes(bound=bound(CODEC))):
        plan = Given(CODEC, given_notes(CODEC, kept), [(32, 64)], wishes, 12)
        ids = draw(NETWORK, CODEC, plan, Sampling(), 8, 4096, build=ByHeart).ids
        filled.append(CODEC.decode(ids))
    gap = [INDEX.audit(one).longest[(one.onset >= 8 * 480) & (one.onset < 16 * 480)] for one in filled]
    assert gap[0].max() >= 16
    assert gap[1].max() < 16


def test_a_melody_that_was_learned_may_be_harmonized() -> None:
    melody = LEARNED[0].select((LEARNED[0].pitch > 60) & (LEARNED[0].onset < 16 * 480))
    given = given_notes(CODEC, melody)
    plan = Given(CODEC, given, [(0, 64)], Wishes(is_below=True, bound=bound(CODEC)), 0)
    drawn = draw(NETWORK, CODEC, plan, Sampling(), 4, 4096, build=ByHeart)
    audit, piece = INDEX.audit(CODEC.decode(drawn.ids)), CODEC.decode(drawn.ids)
    stays = {(note.onset, note.pitch) for note in given}
    is_new = [pair not in stays for pair in zip(piece.onset // 120, piece.pitch, strict=True)]
    assert audit.longest.max() >= 16 > audit.longest[is_new].max()


def test_where_all_is_copied_a_line_says_so() -> None:
    nothing = CODEC
    of = bound(nothing, 0.0)
    of.passages.copies = lambda *_: True  # type: ignore[method-assign]
    of.passages.may_copy = lambda *_: True  # type: ignore[method-assign]
    with pytest.raises(UserError, match="all notes that may come next copy more"):
        sample_each(NETWORK, nothing, [[]], Sampling(num_notes=20), wishes=Wishes(bound=of))


def test_a_tokenizer_that_holds_notes_is_refused() -> None:
    with pytest.raises(UserError, match="event and chord"):
        Bound(Codec(VoicesTokenizer(), Vocabulary(VoicesTokenizer.alphabet)), of_nothing())


def of_nothing() -> Passages:
    return Passages([], 4, 480, 0.0)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(LEARNED),
    st.integers(-4, 4),
    st.sampled_from([0.5, 1, 2]),
    st.integers(0, 60),
    st.integers(3, 40),
    st.integers(0, 2**16),
    st.sampled_from(
        [EVENT, EventTokenizer(steps_per_beat=12, program=True), ChordTokenizer(steps_per_beat=4)]
    ),
)
def test_it_tells_what_the_audit_finds(
    source: Piece, key: int, speed: float, first: int, size: int, seed: int, tokenizer: Tokenizer
) -> None:
    """Some notes of a learned piece, moved, at another speed and with a note in twelve changed."""
    rng = np.random.default_rng(seed)
    part = source.select(
        (np.arange(source.num_notes) >= first) & (np.arange(source.num_notes) < first + size)
    )
    if not part.num_notes:
        return
    pitch = part.pitch + key + rng.integers(1, 3, part.num_notes) * (rng.random(part.num_notes) < 1 / 12)
    onset = (part.onset - part.onset.min()) * speed
    program = 40 * (part.pitch > 60)
    piece = Piece.from_notes(onset, part.duration * speed, pitch, program=program)
    codec = Codec(tokenizer, Vocabulary(sorted(set(tokenizer.tokenize(piece)))))
    of = bound(codec)
    place, told = of.start(), False
    ids = codec.encode(piece)[1:-1].tolist()
    for id_ in ids:
        told |= of.copies(place, id_)
        place = of.after(place, id_, is_given=False)
    found = INDEX.audit(codec.decode(ids)).copied(16) > 0
    assert told >= found
    assert told <= (part.num_notes >= 16)
