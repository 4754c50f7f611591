"""`NoteRNN` and `MidiDataModule` in a Trainer of a user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from noternn.config.sampling import Sampling
from noternn.corpus.loading import corpus_of
from noternn.errors import UserError
from noternn.launch.command_line import settings
from noternn.model.build import network_for
from noternn.model.lstm import NoteLSTM
from noternn.sampling.composer import load_composer
from noternn.training.datamodule import MidiDataModule
from noternn.training.module import NoteRNN
from noternn.training.run import data_module

LOGGED = ("train/nll", "train_eval/nll", "val/nll", "gap/nll", "lr")
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "log_every_n_steps": 1,
}
MODEL = {"embedding_dim": 4, "hidden_size": 6, "num_layers": 1, "dropout": 0.1, "num_fc_layers": 1}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)"),
    pytest.mark.filterwarnings("ignore:.*train_dataloader.*shuffle"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory .* exists"),
]


@pytest.fixture(scope="module")
def data(corpus_dir: Path) -> MidiDataModule:
    fixed = ["dataset=folder", f"dataset.path={corpus_dir}", "datamodule.cache_dir=null", "augmentation=none"]
    fixed += ["datamodule.num_processes=0", "datamodule.batch_size=4", "datamodule.window_length=90"]
    config = settings([*fixed, "dataset.validation_fraction=0.3", "dataset.test_fraction=0.4"])
    return data_module(config, corpus_of(config))


def new_module(data: MidiDataModule) -> NoteRNN:
    torch.manual_seed(0)
    network = network_for(data.corpus.codec, MODEL)
    return NoteRNN(network, {"name": "Adam", "lr": 0.01}, seed=0, ema_decay=0.5)


@dataclass
class Trained:
    trainer: pl.Trainer
    module: NoteRNN
    best: Path
    best_score: float


@pytest.fixture(scope="module")
def trained(data: MidiDataModule, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("own_trainer")
    checkpoint = ModelCheckpoint(folder, monitor="val/nll")
    trainer = pl.Trainer(
        max_epochs=2, logger=CSVLogger(folder), callbacks=[checkpoint, EarlyStopping("val/nll")],
        default_root_dir=folder, **QUIET,
    )  # fmt: skip
    module = new_module(data)
    trainer.fit(module, datamodule=data)
    return Trained(trainer, module, Path(checkpoint.best_model_path), float(checkpoint.best_model_score))


class Noted(Logger):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics: dict[str, list[float]] = {}

    @property
    def name(self) -> str:
        return "noted"

    @property
    def version(self) -> str:
        return "0"

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:  # noqa: ARG002
        for name, value in metrics.items():
            self.metrics.setdefault(name, []).append(value)

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass


def test_the_losses_and_the_learning_rate_reach_the_loggers_once_an_epoch(
    data: MidiDataModule, tmp_path: Path
) -> None:
    noted = Noted()
    trainer = pl.Trainer(
        max_epochs=2, logger=noted, enable_checkpointing=False, default_root_dir=tmp_path, **QUIET
    )
    trainer.fit(new_module(data), datamodule=data)
    assert {name: len(noted.metrics.get(name, [])) for name in LOGGED} == dict.fromkeys(LOGGED, 2)
    gaps = [v - t for v, t in zip(noted.metrics["val/nll"], noted.metrics["train_eval/nll"], strict=True)]
    assert noted.metrics["gap/nll"] == pytest.approx(gaps, abs=1e-5)


def test_the_losses_reach_tensorboard_beside_a_csv_file(data: MidiDataModule, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board, table = TensorBoardLogger(tmp_path), CSVLogger(tmp_path, "table")
    trainer = pl.Trainer(
        max_epochs=1, logger=[board, table], enable_checkpointing=False, default_root_dir=tmp_path, **QUIET
    )
    trainer.fit(new_module(data), datamodule=data)
    events = EventAccumulator(board.log_dir)
    events.Reload()
    assert set(LOGGED) <= set(events.Tags()["scalars"])
    header = (Path(table.log_dir) / "metrics.csv").read_text().splitlines()[0]
    assert set(LOGGED) <= set(header.split(","))


def test_validate_and_test_return_the_losses(data: MidiDataModule, trained: Trained) -> None:
    validated = trained.trainer.validate(trained.module, datamodule=data, verbose=False)
    assert all({"val/nll", "train_eval/nll", "gap/nll"} <= losses.keys() for losses in validated)
    (tested,) = trained.trainer.test(trained.module, datamodule=data, verbose=False)
    assert tested["test/nll"] > 0


def test_a_loader_of_the_validation_pieces_alone_gives_their_loss_alone(
    data: MidiDataModule, trained: Trained
) -> None:
    (losses,) = trained.trainer.validate(trained.module, data.eval_loader("validation"), verbose=False)
    assert losses.keys() == {"val/nll", "val/nll_low", "val/nll_high"}


def test_every_epoch_has_its_own_order_of_pieces(data: MidiDataModule) -> None:
    orders: list[list[int]] = []

    class Orders(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
            loader = trainer.train_dataloader
            assert loader is not None
            orders.append(loader.seed)

    trainer = pl.Trainer(
        max_epochs=2, logger=False, enable_checkpointing=False, callbacks=[Orders()], **QUIET
    )
    trainer.fit(new_module(data), datamodule=data)
    assert orders[0] != orders[1]


def test_long_pieces_make_the_steps_smaller(data: MidiDataModule) -> None:
    size = data.corpus.encoded.sizes["train"]
    module = new_module(data)
    module.schedule.piece_tokens = size.num_tokens // size.num_pieces // 4
    share = module.schedule.by_length(size.num_tokens, size.num_pieces)
    rates = []

    class Rates(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    settings = dict(max_epochs=1, logger=False, enable_checkpointing=False, **QUIET)
    pl.Trainer(callbacks=[Rates()], **settings).fit(module, datamodule=data)
    small, rates = rates, []
    pl.Trainer(callbacks=[Rates()], **settings).fit(new_module(data), datamodule=data)
    assert small == pytest.approx([share * rate for rate in rates])
    assert share == pytest.approx(0.25, rel=0.1)


def test_the_first_batches_that_lightning_tries_tell_the_schedule_nothing(data: MidiDataModule) -> None:
    noted: list[float] = []
    module = new_module(data)
    module.schedule.note = noted.append  # type: ignore[method-assign]
    pl.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, **QUIET).fit(module, datamodule=data)
    assert len(noted) == 1


def test_the_module_is_loaded_from_its_checkpoint(data: MidiDataModule, trained: Trained) -> None:
    loaded = NoteRNN.load_from_checkpoint(trained.best)
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, **QUIET)
    (losses, _) = trainer.validate(loaded, datamodule=data, verbose=False)
    assert losses["val/nll"] == pytest.approx(trained.best_score, abs=1e-6)


def test_a_loaded_module_saves_a_checkpoint_that_composes(
    data: MidiDataModule, trained: Trained, tmp_path: Path
) -> None:
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, **QUIET)
    trainer.validate(
        NoteRNN.load_from_checkpoint(trained.best), data.eval_loader("validation"), verbose=False
    )
    trainer.save_checkpoint(tmp_path / "again.ckpt")
    assert load_composer(tmp_path / "again.ckpt").codec is not None


def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_text("nothing")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        NoteRNN.load_from_checkpoint(tmp_path / "a.ckpt")


def test_a_checkpoint_of_train_is_loaded_too(train_tiny: Any, tmp_path: Path) -> None:
    train_tiny(tmp_path, "trainer.max_epochs=1")
    module = NoteRNN.load_from_checkpoint(tmp_path / "best.ckpt")
    assert module.settings["dataset"]["name"]
    assert isinstance(module.network, NoteLSTM)


def test_a_checkpoint_of_a_users_own_trainer_composes(data: MidiDataModule, trained: Trained) -> None:
    composer = load_composer(trained.best)
    assert composer.codec.vocabulary.tokens == data.corpus.codec.vocabulary.tokens
    assert composer.compose([], Sampling(num_notes=5)).num_notes


def test_a_users_own_trainer_goes_on_from_its_checkpoint(
    data: MidiDataModule, trained: Trained, tmp_path: Path
) -> None:
    trainer = pl.Trainer(
        max_epochs=3, logger=False, enable_checkpointing=False, default_root_dir=tmp_path, **QUIET
    )
    trainer.fit(new_module(data), datamodule=data, ckpt_path=trained.best, weights_only=True)
    assert trainer.current_epoch == 3
