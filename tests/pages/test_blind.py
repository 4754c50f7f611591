"""The page of a blind listening test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import small_piece

from noternn.__main__ import main
from noternn.evaluation.votes import read_votes
from noternn.music.piece import Piece
from noternn.pages.blind import alike, make_trials

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def page_path(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blind") / "blind.html"
    checkpoint = tiny_run / "checkpoints" / "epoch_002.ckpt"
    arguments = ["--num-trials", "3", "--num-notes", "20", "-o", str(path)]
    assert main(["blind", str(tiny_run), str(checkpoint), *arguments]) == 0
    return path


def test_every_pair_of_sources_is_heard_equally_often() -> None:
    excerpts = {name: [small_piece(seed) for seed in range(4)] for name in "abc"}
    trials = make_trials(excerpts, 12, seed=3)
    pairs = Counter(frozenset(trial.sources) for trial in trials)
    assert set(pairs.values()) == {4}
    first = Counter(trial.sources[0] for trial in trials)
    assert len(first) > 1
    again = make_trials(excerpts, 12, seed=3)
    assert [trial.sources for trial in again] == [trial.sources for trial in trials]
    assert [t.sources for t in make_trials(excerpts, 12, seed=4)] != [t.sources for t in trials]


def test_nothing_but_the_notes_tells_sources_apart() -> None:
    piece = Piece.from_notes(
        [480, 960, 960], 240, [60, 62, 40], velocity=[1, 90, 90], program=[5, 6, 0],
        is_drum=[False, False, True], tempos=((0, 77.0),),
    )  # fmt: skip
    same = alike(piece, 120)
    assert same.onset.tolist() == [0, 480]
    assert set(same.velocity.tolist()) == {80}
    assert set(same.program.tolist()) == {0}
    assert same.tempos == ((0, 120),)


def test_the_page_names_no_source_and_loads_nothing(page_path: Path, tiny_run: Path) -> None:
    text = page_path.read_text(encoding="utf-8")
    assert "://" not in text
    assert str(tiny_run) not in text
    assert ">a person<" not in text
    assert "unsafe" not in text


def test_answers_are_asked_for_and_saved(open_page: Open, page_path: Path, tiny_run: Path) -> None:
    page = open_page(page_path, accept_downloads=True)
    for number in range(3):
        trial = page.locator(f"#trial-{number}")
        assert page.inner_text("#progress") == f"Pair {number + 1} of 3"
        assert trial.locator(".next").is_disabled()
        trial.get_by_role("button", name="Play Piece A").click()
        for name, value in (("preferred", "b"), ("person", "a"), ("rating_a", "2"), ("rating_b", "5")):
            trial.locator(f'[name="{name}-{number}"][value="{value}"]').check()
        trial.locator(".next").click()
        assert page.locator(".playing").count() == 0
    with page.expect_download() as download:
        page.click("#save")
    votes = read_votes([Path(download.value.path())])
    assert len(votes) == 3
    assert {vote.preferred for vote in votes} == {"b"}
    sources = {source for vote in votes for source in (vote.a, vote.b)}
    assert sources == {"a person", str(tiny_run), str(tiny_run / "checkpoints" / "epoch_002.ckpt")}
    assert np.mean([vote.rating_b for vote in votes]) == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits(open_page: Open, page_path: Path, width: int, scheme: str) -> None:
    page = open_page(page_path, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_run_without_its_corpus_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["blind", str(tmp_path), "-o", str(tmp_path / "a.html")]) == 1
    assert "no checkpoint there" in capsys.readouterr().err
