"""A rank other than 0: it trains its share of the lanes and writes nothing."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric.plugins import ClusterEnvironment

from noternn.config import schema as configuration
from noternn.config.schema import Config
from noternn.datasets.sources import Source
from noternn.errors import UserError
from noternn.runs.folder import RunFolder
from noternn.training.callbacks import OverfittingCurve
from noternn.training.followers import Order, environment_of
from noternn.training.module import NoteRNN
from noternn.training.ranks import part_ways
from noternn.training.resume import is_trained
from noternn.training.run import data_module, loaded
from noternn.training.stopping import StopRequest, answering_signals
from noternn.training.trainer import build_callbacks, build_trainer, quiet_libraries


def follow(
    config: Config,
    sources: Sequence[Source] | None,
    run_dir: Path,
    environment: ClusterEnvironment,
    stop: StopRequest,
) -> None:
    """Train with rank 0 until it ends.

    Args:
        config: of the run.
        sources: the files of its dataset; None finds them.
        run_dir: the run's folder if it goes on, else any: nothing is written there.
        environment: how Lightning finds the other ranks.
        stop: what signals ask for.

    Raises:
        UserError: as in rank 0.
        Stopped: by a signal to any rank.
    """
    config, corpus, resumed = loaded(config, sources, run_dir)
    if resumed and is_trained(config, resumed):
        return
    torch.manual_seed(config.seed)
    module = NoteRNN.of(configuration.to_plain(config), corpus.codec, corpus.label_names)
    curve = OverfittingCurve(None, corpus.encoded.sizes["validation"])
    quiet_libraries()
    callbacks = build_callbacks(config, run_dir, curve, None, stop, None)
    with stop.deferred():
        build_trainer(config, run_dir, [], callbacks, environment).fit(
            module,
            datamodule=data_module(config, corpus),
            ckpt_path=RunFolder(run_dir).last_checkpoint if resumed else None,
            weights_only=True,
        )


def follow_outside(config: Config, starter: str, rank: int) -> None:
    """Follow the rank 0 that srun or torchrun started too; a reason to end stands in one line.

    Args:
        config: of the run.
        starter: srun or torchrun.
        rank: of this process.
    """
    environment = environment_of(starter, config.trainer.devices)
    with answering_signals() as stop:
        try:
            follow(config, None, Path(config.resume or os.devnull), environment, stop)
        except UserError as error:
            sys.exit(f"error: rank {rank}: {error}")
        finally:
            part_ways()


def _main() -> None:
    """What rank 0 starts: it is told what to do on stdin, of which the end is that of rank 0."""
    order = pickle.load(sys.stdin.buffer)
    assert isinstance(order, Order)
    threading.Thread(target=_end_with_rank_0, daemon=True).start()
    be_quiet()
    with answering_signals() as stop:
        try:
            follow(order.config, order.sources, order.run_dir, order.environment(), stop)
        except UserError as error:
            sys.exit(f"error: {error}")
        finally:
            part_ways()


def _end_with_rank_0() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def be_quiet() -> None:
    """Say nothing that rank 0 says too."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")


if __name__ == "__main__":
    _main()
