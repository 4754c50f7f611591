"""What `auto` stands for in the settings of a network."""

from __future__ import annotations

import pytest

from noternn.model.build import decided
from noternn.tokenizer import Codec, EventTokenizer, Vocabulary

CODEC = Codec(EventTokenizer(), Vocabulary(["Pitch_60", "Duration_12", "Shift_12"]))


@pytest.mark.parametrize(
    ("num_notes", "size"),
    [(1, 64), (9_999, 64), (10_000, 128), (19_999, 128), (20_000, 256), (10**9, 256), (None, 256)],
)
def test_few_training_notes_want_few_units(num_notes: int | None, size: int) -> None:
    assert decided({"hidden_size": "auto"}, CODEC, num_notes)["hidden_size"] == size


def test_a_size_that_is_given_stays() -> None:
    assert decided({"hidden_size": 512}, CODEC, 10)["hidden_size"] == 512
