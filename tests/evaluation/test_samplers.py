"""Ways of sampling side by side."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from noternn.__main__ import main
from noternn.evaluation.samplers import FORBIDDEN, REAL, WAYS, Inverted, nll_after
from noternn.model.lstm import NoteLSTM
from noternn.tokenizer import BOS_ID


class Given:
    """A stepper that always gives the same."""

    def __init__(self, probs: list[float]) -> None:
        self.log_probs = np.log(np.array([probs]))

    def step(self, _: list[int]) -> np.ndarray:
        return self.log_probs

    def select(self, streams: list[int]) -> None:
        self.log_probs = self.log_probs[streams]


def test_the_original_sampler_draws_the_least_probable_of_ten_most_often() -> None:
    probs = [0.9, *([0.01] * 8), 0.005, 0.004, 0.003, 0.002, 0.006]
    stepper = Inverted(Given(probs))
    stepper.select([0, 0])
    drawn = np.exp(stepper.step([0, 0]))
    assert drawn.shape == (2, 14)
    assert drawn[0].argmax() == 13  # the tenth: 0.006
    assert drawn[0, 0] == pytest.approx(np.log(0.9) / np.log(np.array([0.9, *([0.01] * 8), 0.006])).sum())
    assert drawn[0].sum() == pytest.approx(1)
    assert (np.log(drawn[0, 9:13]) == FORBIDDEN).all()


def test_the_nll_of_a_sample_is_that_of_its_own_ids() -> None:
    network = NoteLSTM(11, 4, 4, 1, 0.5, 1)
    ids = [5, 6, 7, 8]
    log_probs = network.eval()(torch.tensor([[BOS_ID, *ids]]))[0].log_softmax(-1)[0]
    each = [-log_probs[place, id_].item() for place, id_ in enumerate(ids)]
    assert nll_after(network, ids, 0) == pytest.approx(sum(each))
    assert nll_after(network, ids, 3) == pytest.approx(each[3])


def test_every_way_has_a_row_beside_real_music(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "ways.csv"
    command = ["samplers", str(tiny_run), "--num-samples", "2", "--num-notes", "20", "--csv", str(table)]
    assert main(command) == 0
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [REAL, *WAYS]
    for row in rows:
        assert sum(int(row[verdict]) for verdict in ("healthy", "unusual", "unhealthy")) <= 2
        assert 0 <= float(row["copied_16"]) <= float(row["near_16"]) <= 1
        assert int(row["longest"]) <= int(row["near_longest"])
        assert float(row["nats_per_note"]) > 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(rows)
