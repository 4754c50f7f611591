"""The frames of the published files are scored as the tables score them: an LSTM whose row is known gets it.

These need the files, which are not ours to distribute: put them into data/, or say where they are in the
environment variable NOTERNN_FRAMES. The known row: Bai, Kolter and Koltun (arXiv 1803.01271), table 1.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence

from noternn.corpus.sources import frame_sources
from noternn.metrics import frame_averages
from noternn.tokenizer import FramesTokenizer

FOLDER = Path(os.environ.get("NOTERNN_FRAMES", Path(__file__).resolve().parent.parent / "data"))
LOWEST_KEY, NUM_KEYS = 21, 88
BATCH_SIZE = 8


class SigmoidLSTM(nn.Module):
    """A frame from those before it, each key independently of the others: no exact model of chords."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(NUM_KEYS, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(0.25)
        self.output = nn.Linear(hidden_size, NUM_KEYS)

    def forward(self, rolls: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(self.lstm(rolls)[0]))
        return logits


def rolls_of(path: Path, frames_per_beat: int) -> dict[str, list[Tensor]]:
    """Of each split the pieces as (num_frames, 88), made from the tokens that models are trained on."""
    tokenizer = FramesTokenizer(steps_per_beat=frames_per_beat)
    rolls: dict[str, list[Tensor]] = {"train": [], "valid": [], "test": []}
    for source in frame_sources(path, frames_per_beat, voices=False):
        tokens = tokenizer.tokenize(source.read())
        steps = np.array([tokenizer.num_steps(token) for token in tokens])
        frame = np.cumsum(steps) - steps
        roll = torch.zeros(steps.sum(), NUM_KEYS)
        for number, token in zip(frame.tolist(), tokens, strict=True):
            if token.startswith("Pitch_"):
                roll[number, int(token.removeprefix("Pitch_")) - LOWEST_KEY] = 1.0
        rolls[source.name.rpartition("#")[2].split("/")[0]].append(roll)
    return rolls


def nll_of_frames(model: SigmoidLSTM, rolls: list[Tensor]) -> list[NDArray[np.float64]]:
    """Of each piece the nats of its frames, (num_frames,); the first is predicted from silence."""
    batch = pad_sequence(rolls, batch_first=True)
    logits = model(torch.cat((torch.zeros_like(batch[:, :1]), batch[:, :-1]), dim=1))
    nll = binary_cross_entropy_with_logits(logits, batch, reduction="none").sum(-1)  # (batch, time)
    return [row[: len(roll)] for row, roll in zip(nll, rolls, strict=True)]


def averages(model: SigmoidLSTM, rolls: list[Tensor]) -> dict[str, float]:
    model.eval()
    with torch.no_grad():
        frames = [nll for i in range(0, len(rolls), 16) for nll in nll_of_frames(model, rolls[i : i + 16])]
    return frame_averages([(nll.double().numpy(), np.ones(len(nll), dtype=np.int64)) for nll in frames])


def trained_averages(rolls: dict[str, list[Tensor]], num_epochs: int) -> dict[str, float]:
    """Those of the test split, at the epoch that is best on validation."""
    torch.manual_seed(0)
    model = SigmoidLSTM(200)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    best, best_averages = float("inf"), dict[str, float]()
    train = sorted(rolls["train"], key=len)
    for _ in range(num_epochs):
        model.train()
        for start in torch.randperm(-(-len(train) // BATCH_SIZE)).tolist():
            frames = nll_of_frames(model, train[start * BATCH_SIZE : (start + 1) * BATCH_SIZE])
            optimizer.zero_grad()
            torch.cat(frames).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        validation = averages(model, rolls["valid"])["nats_per_frame_after_first"]
        if validation < best:
            best, best_averages = validation, averages(model, rolls["test"])
    return best_averages


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "frames_per_beat", "num_epochs", "published"),
    [("JSB_Chorales", 1, 60, 8.45), ("Nottingham", 2, 20, 3.29)],
)
def test_an_lstm_of_independent_keys_gets_its_published_row(
    name: str, frames_per_beat: int, num_epochs: int, published: float
) -> None:
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"{path} is not there; see the datasets of frames in the README")
    found = trained_averages(rolls_of(path, frames_per_beat), num_epochs)
    print(found)
    assert found["nats_per_frame_after_first"] == pytest.approx(published, rel=0.04)
