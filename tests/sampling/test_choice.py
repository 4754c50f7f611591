"""How the end of a run chooses a way of sampling."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from noternn import api
from noternn.__main__ import main
from noternn.config.sampling import Sampling
from noternn.evaluation.loading import load_runs
from noternn.health.yardstick import Yardstick
from noternn.model.checkpoint import load_checkpoint
from noternn.sampling.choice import WAYS, Choice, choose
from noternn.sampling.scoring import token_nlls
from tests.helpers import TrainTiny

Capture = pytest.CaptureFixture[str]
WHOLE = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


def drawn(run: Path, output: Path, *options: str) -> bytes:
    assert main(["generate", str(run), "-o", str(output), "--num-notes", "20", *options]) == 0
    return output.read_bytes()


@pytest.fixture(scope="module")
def chosen_run(train_tiny: TrainTiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("chosen")
    train_tiny(run, "sampling.way=auto")
    return run


def test_the_run_tells_the_way_and_its_checkpoint_and_summary_hold_it(chosen_run: Path) -> None:
    summary = json.loads((chosen_run / "summary.json").read_text())
    assert {row["way"] for row in summary["samplers"]} == set(WAYS)
    assert summary["sampling"] == Sampling().drawing | WAYS[summary["samplers"][0]["way"]]
    assert load_checkpoint(chosen_run / "best.ckpt")["noternn"]["sampling"] == summary["sampling"]


def test_composing_takes_it_unless_another_is_given(chosen_run: Path, tmp_path: Path) -> None:
    chosen = json.loads((chosen_run / "summary.json").read_text())["sampling"]
    told = [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items()]
    plain = drawn(chosen_run, tmp_path / "a.mid")
    assert plain == drawn(chosen_run, tmp_path / "b.mid", *told)
    assert plain != drawn(chosen_run, tmp_path / "c.mid", "--top-k=1")
    network = api.load(chosen_run)
    assert network.composer.drawing == chosen
    told_piece, piece = network.compose(20, **chosen), network.compose(20)
    assert told_piece.music_hash() == piece.music_hash()


def test_a_way_in_the_settings_is_kept_to(tmp_path: Path, train_tiny: TrainTiny) -> None:
    summary = train_tiny(
        tmp_path, "sampling.top_k=3", "sampling.way=auto", "trainer.max_epochs=1", "sampling.num_notes=12"
    )
    assert summary["samplers"] == []
    assert summary["sampling"] == Sampling(top_k=3).drawing


def test_defaults_may_be_kept_to_as_well() -> None:
    assert Sampling().is_chosen
    assert not Sampling(way="given").is_chosen
    assert not Sampling(temperature=1.1).is_chosen


def test_the_same_network_makes_the_same_choice(tiny_run: Path) -> None:
    run = load_runs([tiny_run])[0]
    pieces, yardstick = run.corpus.encoded.ids["validation"], Yardstick.of(run.corpus.pieces("validation"))
    found = [choose(run.composer, pieces, yardstick, Sampling(num_notes=20)) for _ in range(2)]
    assert found[0] == found[1]
    best, *others = found[0].tried
    assert best.healthy >= max(row.healthy for row in others) - 1
    assert found[0].sentence.startswith(f"{best.way}; {best.healthy} of 8 healthy, ")


def test_a_way_that_was_given_says_nothing_of_others() -> None:
    assert Choice(WHOLE).as_plain() == {"sampling": WHOLE, "samplers": []}


def test_pieces_cost_the_same_alone_and_beside_longer_ones(tiny_run: Path) -> None:
    run = load_runs([tiny_run])[0]
    pieces = [piece for piece, _ in zip(run.corpus.encoded.ids["train"], range(3), strict=False)]
    together = token_nlls(run.composer.network, pieces)
    for piece, nats in zip(pieces, together, strict=True):
        np.testing.assert_allclose(token_nlls(run.composer.network, [piece])[0], nats, atol=1e-4)
