"""Primers: where they end, and where what is composed after them begins."""

from __future__ import annotations

import pytest
from engine_runs import codec_of, varied
from tokenizer_cases import EVENTS, name_of

from noternn.sampling.primers import opening, primer_end
from noternn.tokenizer import ChordTokenizer, FramesTokenizer, Tokenizer, VoicesTokenizer

TOKENIZERS = [*EVENTS, ChordTokenizer(min_count=1), FramesTokenizer(), VoicesTokenizer()]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=name_of)
@pytest.mark.parametrize("num_notes", [1, 2, 5, 16])
def test_a_primer_ends_where_an_onset_begins(tokenizer: Tokenizer, num_notes: int) -> None:
    codec = codec_of(tokenizer)
    for seed in range(4):
        ids = codec.encode(varied(seed, tokenizer))
        primer = opening(ids, codec, num_notes)
        counts = [tokenizer.note_count(codec.vocabulary.tokens[id_]) for id_ in primer]
        assert sum(counts) >= num_notes
        assert primer == ids[1 : 1 + len(primer)].tolist()
        whole, given = codec.decode(ids[1:-1].tolist()), codec.decode(primer)
        end = primer_end(primer, codec, 120.0)
        assert (given.onset < end).all()
        if not tokenizer.holds_notes:
            assert (whole.onset < end).sum() == given.num_notes  # no chord is cut
            last = given.onset == given.onset[-1]
            assert sum(counts) - int(last.sum()) < num_notes  # and no onset more than needed


def test_no_notes_end_at_the_beginning() -> None:
    codec = codec_of(EVENTS[0])
    assert opening(codec.encode(varied(0, EVENTS[0])), codec, 0) == []
    assert primer_end([], codec, 120.0) == 0
