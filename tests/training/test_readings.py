"""What a step leaves on its device is read later, so that a GPU is not waited for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from noternn.errors import UserError
from noternn.launch.command_line import settings
from noternn.model.build import network_for
from noternn.tokenizer import Codec, EventTokenizer, Vocabulary
from noternn.training import readings
from noternn.training.datamodule import Batch
from noternn.training.module import NoteRNN
from noternn.training.readings import STEPS_BETWEEN, Readings
from tests.training.test_module import PIECES, build, loader_of

CODEC = Codec(EventTokenizer(), Vocabulary(["Pitch_60", "Pitch_62", "Duration_6", "Shift_6"]))
MODEL = vars(settings([]).model)


def batch_of(network_kinds: int, device: str) -> Batch:
    ids = torch.randint(3, len(CODEC.vocabulary), (4, 9))
    suggested = torch.zeros(4, 8, 2, network_kinds, dtype=torch.long)
    parts = ids[:, :-1], ids[:, 1:], torch.arange(4), torch.ones(4, dtype=torch.bool)
    return Batch(*(part.to(device) for part in parts), np.zeros(4, np.int64), 4.0, suggested.to(device))


def test_a_step_elsewhere_than_on_a_cpu_reads_no_number() -> None:
    """The device "meta" has shapes alone: to read a number of it, or to wait for one, is an error."""
    network = network_for(CODEC, MODEL)
    assert network.memory is not None
    assert network.intervals is not None
    kinds = len(network.memory.first_row)
    optimizer = {"name": "AdamW", "lr": 0.1, "foreach": True}
    module = NoteRNN(network, optimizer, seed=0, ema_decay=0.9).to("meta")
    (torch_optimizer,) = [module.configure_optimizers()]
    for number in range(2):
        loss = module.training_step(batch_of(kinds, "meta"), number)
        loss.backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
        torch.nn.utils.clip_grads_with_norm_(network.parameters(), 1.0, norm)
        torch_optimizer.step()
        assert module.averaged is not None
        module.averaged.update_parameters(network)
    with pytest.raises((RuntimeError, NotImplementedError)):
        norm.item()


def test_where_a_pitch_may_come_it_is_scored_alike_on_all_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_for(CODEC, MODEL).eval()
    ids = torch.randint(3, len(CODEC.vocabulary), (4, 9))
    suggested = torch.stack([network.suggested(row.numpy()) for row in ids])
    near, _ = network(ids, None, suggested)
    monkeypatch.setattr("noternn.model.lstm.is_far", lambda _: True)
    far, _ = network(ids, None, suggested)
    torch.testing.assert_close(near, far)


def test_numbers_are_taken_in_their_order_and_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "is_far", lambda _: True)
    taken: list[tuple[int, list[float]]] = []
    kept = Readings()
    steps = STEPS_BETWEEN + 3

    def take(step: int, numbers: Sequence[float]) -> None:
        taken.append((step, list(numbers)))

    for step in range(steps):
        kept.note(take, step, torch.tensor([step, 2.0 * step]))
        assert len(taken) == (0 if step < STEPS_BETWEEN else STEPS_BETWEEN + 1)
    kept.read()
    assert taken == [(step, [step, 2.0 * step]) for step in range(steps)]


def fitted(tmp_path: Path, lr: float = 0.1) -> pl.Trainer:
    module = build()
    module.optimizer_options["lr"] = lr
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
        default_root_dir=tmp_path,
    )
    loader = loader_of(PIECES, 3, 8)
    trainer.fit(module, loader, [loader, loader])
    return trainer


def test_a_run_that_reads_later_comes_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    near = fitted(tmp_path).callback_metrics
    monkeypatch.setattr(readings, "is_far", lambda _: True)
    far = fitted(tmp_path).callback_metrics
    assert near == far
    assert "train/nll" in near


def test_a_divergence_that_is_read_later_is_told_with_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="training diverged: after step") as near:
        fitted(tmp_path, lr=1e38)
    monkeypatch.setattr(readings, "is_far", lambda _: True)
    with pytest.raises(UserError, match="training diverged: after step") as far:
        fitted(tmp_path, lr=1e38)
    assert str(near.value).split(",")[0] == str(far.value).split(",")[0]
