"""Runs that are stopped at any step, and what they are when they have gone on."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import all_in_slow, rows_of
from hydra import compose, initialize_config_dir

from noternn.config import schema as configuration
from noternn.config.schema import CONF_DIR, Config
from noternn.corpus.loading import Corpus, corpus_of
from noternn.training.module import NoteRNN
from noternn.training.run import TrainingRun
from noternn.training.stopping import Stopped, StopRequest, answering_signals
from noternn.training.tracking import Tracker

SCHEDULES = sorted(path.stem for path in (CONF_DIR / "schedule").glob("*.yaml"))
OPTIMIZERS = sorted(path.stem for path in (CONF_DIR / "optimizer").glob("*.yaml"))
NUM_STOPS = 20


class StopAt(StopRequest):
    """As if SIGTERM came just before training looks for it the `count`-th time."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count

    def signum(self) -> int | None:
        self.left -= 1
        return signal.SIGTERM if self.left <= 0 else None


Fit = Callable[..., None]


@pytest.fixture(scope="module")
def fit(corpus_dir: Path) -> Fit:
    """`fit(run_dir, stop, *overrides)`: train in a folder, from its last.ckpt or the start."""
    configuration.register()
    loaded: dict[str, Corpus] = {}

    def loaded_corpus(config: Config) -> Corpus:
        if "corpus" not in loaded:
            loaded["corpus"] = corpus_of(config)
        return loaded["corpus"]

    def train_on(run_dir: Path, stop: StopRequest, *overrides: str) -> None:
        fixed = [f"dataset.path={corpus_dir}", "dataset=folder", "logger=csv", "model.embedding_dim=4"]
        fixed += ["model.hidden_size=6", "model.num_layers=2", "model.dropout=0.4", "trainer.max_epochs=6"]
        fixed += ["trainer.accelerator=cpu", "checkpoint.every_n_epochs=100", "early_stopping.patience=2"]
        fixed += ["datamodule.batch_size=4", "datamodule.window_length=90", "datamodule.cache_dir=null"]
        fixed += [
            "trainer.precision=32-true",
            "datamodule.num_processes=0",
            "dataset.validation_fraction=0.2",
            "dataset.min_validation=0",
            "sampling.way=given",
            "augmentation.transpose=3",
        ]
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            config = configuration.parse(compose("config", [*fixed, *overrides]))
        plain, corpus = configuration.to_plain(config), loaded_corpus(config)
        torch.manual_seed(0)
        module = NoteRNN.of(plain, corpus.codec)
        torch.manual_seed(int.from_bytes(os.urandom(4), "big"))  # nothing may depend on what was drawn before
        run_dir.mkdir(exist_ok=True)
        run = TrainingRun(config, run_dir, [], corpus, module, stop, Tracker(None))
        run.fit((run_dir / "last.ckpt").exists())

    return train_on


def content_of(checkpoint: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    return content


def same(a: Any, b: Any) -> bool:
    """Whether two trees of data and tensors are equal to the bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def assert_same_runs(one: Path, other: Path) -> None:
    assert rows_of(one) == rows_of(other)
    for name in ("last.ckpt", "best.ckpt"):
        a, b = content_of(one / name), content_of(other / name)
        for part in ("epoch", "global_step", "state_dict", "optimizer_states", "schedule"):
            assert same(a[part], b[part]), f"{part} of {name}"
        stopping = [next(v for k, v in c["callbacks"].items() if "EarlyStopping" in k) for c in (a, b)]
        assert same(*stopping)


def stop_after(fit: Fit, run_dir: Path, count: int, *overrides: str) -> bool:
    """Whether the run was stopped at its `count`-th look for a signal; False if it was over before."""
    try:
        fit(run_dir, StopAt(count), *overrides)
    except Stopped:
        return True
    return False


@pytest.mark.parametrize("optimizer", all_in_slow(OPTIMIZERS, quick="adam"))
def test_a_run_stopped_twenty_times_is_the_run_that_never_stopped(
    optimizer: str, fit: Fit, tmp_path: Path
) -> None:
    schedule = itertools.islice(itertools.cycle(SCHEDULES), OPTIMIZERS.index(optimizer), None)
    options = (f"optimizer={optimizer}", f"schedule={next(schedule)}", "schedule.patience=1")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    never = StopAt(10**9)
    fit(whole, never, *options)
    looks = 10**9 - never.left
    rng = np.random.default_rng(OPTIMIZERS.index(optimizer))
    places = np.sort(rng.choice(np.arange(1, looks), NUM_STOPS, replace=False))
    for count in np.diff(places, prepend=0):
        # The step at which it stopped is behind it, and a validation is begun again.
        assert stop_after(fit, stopped, int(count), *options)
    fit(stopped, StopRequest(), *options)
    assert_same_runs(whole, stopped)


@pytest.mark.parametrize("limit", all_in_slow(["null", "2", "0.7"], quick="2"))
def test_a_run_goes_on_from_every_place_at_which_it_can_be_stopped(
    limit: str, fit: Fit, tmp_path: Path
) -> None:
    options = ("trainer.max_epochs=2", "early_stopping=patience", f"trainer.limit_train_batches={limit}")
    whole = tmp_path / "whole"
    fit(whole, StopRequest(), *options)
    for count in itertools.count(1):
        stopped = tmp_path / f"stopped_{count}"
        if not stop_after(fit, stopped, count, *options):
            break
        fit(stopped, StopRequest(), *options)
        assert_same_runs(whole, stopped)
    assert count > (12 if limit == "null" else 6)  # two epochs of several batches, each with two validations


def test_a_run_that_is_killed_goes_on_from_the_last_minute_that_was_saved(fit: Fit, tmp_path: Path) -> None:
    class KilledAt(StopAt):
        """As if the process died there, without a chance to save anything."""

        def signum(self) -> int | None:
            if super().signum() is None:
                return None
            raise ConnectionError

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    fit(whole, StopRequest())
    for count in (4, 9, 15, 7):
        with pytest.raises(ConnectionError):
            fit(killed, KilledAt(count), "checkpoint.every_minutes=1e-9")
    assert content_of(killed / "last.ckpt")["global_step"] > 15
    fit(killed, StopRequest())
    assert_same_runs(whole, killed)


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 138)])
def test_a_signal_ends_the_program_at_once_with_its_status(name: str, status: int) -> None:
    with pytest.raises(Stopped) as stopped, answering_signals():
        signal.raise_signal(getattr(signal, name))
    assert (stopped.value.code, stopped.value.name) == (status, name)


def raise_while_deferred(*signals: int) -> tuple[int, object]:
    """How many of the signals could be raised one after the other, and the status in the end."""
    num_raised = 0
    status: object = None
    try:
        with answering_signals() as stop, stop.deferred():
            for signum in signals:
                signal.raise_signal(signum)
                num_raised += 1
    except Stopped as stopped:
        status = stopped.code
    return num_raised, status


def test_a_signal_waits_while_it_is_deferred() -> None:
    assert raise_while_deferred(signal.SIGTERM) == (1, 143)


def test_a_signal_that_is_sent_twice_waits_too() -> None:
    assert raise_while_deferred(signal.SIGTERM, signal.SIGTERM) == (2, 143)  # as `timeout` does


def test_a_second_ctrl_c_does_not_wait() -> None:
    assert raise_while_deferred(signal.SIGINT, signal.SIGINT) == (1, 130)


def test_signals_are_answered_as_before_afterwards() -> None:
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    with answering_signals():
        pass
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == before
