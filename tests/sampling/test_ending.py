"""Samples that end by themselves, near the length that is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from noternn.__main__ import main
from noternn.config.sampling import Sampling
from noternn.music.midi import read_midi
from noternn.sampling.composer import Composer, load_composer
from noternn.sampling.wishes import Wishes, ids_within

OPTIONS = Sampling(top_p=1.0, num_notes=40)


@pytest.fixture(scope="module")
def composer(tiny_run: Path) -> Composer:
    return load_composer(tiny_run / "best.ckpt")


def test_a_sample_ends_within_an_eighth_of_its_notes(composer: Composer) -> None:
    pieces = composer.compose_each([[]] * 4, OPTIONS)
    assert all(35 <= piece.num_notes <= 45 for piece in pieces)
    assert len({piece.num_notes for piece in pieces}) > 1
    alone = composer.compose([], replace(OPTIONS, seed=2))
    np.testing.assert_array_equal(alone.pitch, pieces[2].pitch)
    np.testing.assert_array_equal(alone.onset, pieces[2].onset)


def test_a_length_in_beats_is_that_of_the_last_onset(composer: Composer) -> None:
    primer = composer.compose([], replace(OPTIONS, num_notes=8, ending="exact"))
    ids = composer.codec.encode(primer)[1:-1].tolist()
    (piece,) = composer.compose_each([ids], OPTIONS, beats=16)
    assert 14 <= (piece.onset.max() - primer.end) / piece.ticks_per_beat <= 18
    np.testing.assert_array_equal(piece.pitch[: primer.num_notes], primer.pitch)


def test_a_sample_may_end_anywhere_before_a_length(composer: Composer) -> None:
    numbers = [composer.compose([], replace(OPTIONS, ending="any", seed=seed)).num_notes for seed in range(4)]
    assert max(numbers) <= 40
    assert min(numbers) < 35


def test_with_a_repetition_penalty_a_sample_is_cut(composer: Composer) -> None:
    assert composer.compose([], replace(OPTIONS, repetition_penalty=1.2)).num_notes == 40


def test_what_is_wished_of_a_sample_is_kept_to(composer: Composer) -> None:
    ids = ids_within(composer.codec, [0, 2, 4, 5, 7, 9, 11], 50, 70)
    (piece,) = composer.compose_each([[]], OPTIONS, wishes=Wishes(ids, most_at_once=2), num_particles=4)
    assert set((piece.pitch % 12).tolist()) <= {0, 2, 4, 5, 7, 9, 11}
    assert 50 <= piece.pitch.min() <= piece.pitch.max() <= 70
    ends = piece.onset + piece.duration
    assert max(int(((piece.onset <= t) & (ends > t)).sum()) for t in piece.onset) <= 2


@pytest.mark.parametrize(
    ("options", "classes"),
    [
        (["--key", "D-major"], {2, 4, 6, 7, 9, 11, 1}),
        (["--key", "Bb-minor"], {10, 0, 1, 3, 5, 6, 7, 8, 9}),
        (["--key", "C,D#,Gb"], {0, 3, 6}),
    ],
)
def test_the_command_keeps_to_a_key(
    tiny_run: Path, tmp_path: Path, options: list[str], classes: set[int]
) -> None:
    out, length = tmp_path / "out.mid", ["--num-notes", "16", "--particles", "2"]
    assert main(["generate", str(tiny_run), "-o", str(out), *length, *options]) == 0
    assert set((read_midi(out).pitch % 12).tolist()) <= classes


@pytest.mark.parametrize(
    "options",
    [["--key", "H-major"], ["--key", "C-blue"], ["--range", "70-60"], ["--bars", "0-2"], ["--beats", "4-2"]],
    ids=" ".join,
)
def test_a_wrong_wish_is_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "RUN", "-o", "out.mid", *options])
    assert f"{options[1]}: it must be" in capsys.readouterr().err
