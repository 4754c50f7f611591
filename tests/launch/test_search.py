"""`hydra/sweeper=optuna`: what is drawn, what is tried again, and runs that are given up."""

from __future__ import annotations

import csv
import json
import math
import shlex
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from forked import TRAIN, Command
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import OmegaConf

from noternn.config.schema import CONF_DIR, register
from noternn.errors import UserError
from noternn.launch.command_line import check
from noternn.launch.search import (
    START_SECONDS,
    STUDY,
    OptunaSweeper,
    distribution,
    open_study,
    refuse_locked,
    settings,
)

optuna = pytest.importorskip("optuna", reason='needs the extra: pip install "noternn[optuna]"')
INSTALLED = {distribution.name for distribution in distributions()}
needs_joblib = pytest.mark.skipif(
    "hydra-joblib-launcher" not in INSTALLED, reason='needs the extra: pip install "noternn[joblib]"'
)
LR = "optimizer.lr=tag(log,interval(1e-4,1))"
SWEEPER = "hydra/sweeper=optuna"
LAST_EPOCH = 20  # late enough to stop before it


@pytest.mark.parametrize(
    ("override", "drawn"),
    [
        ("optimizer.lr=interval(0.1,1)", optuna.distributions.FloatDistribution(0.1, 1)),
        (LR, optuna.distributions.FloatDistribution(1e-4, 1, log=True)),
        ("seed=int(interval(1,9))", optuna.distributions.IntDistribution(1, 9)),
        ("seed=tag(log,int(interval(1,9)))", optuna.distributions.IntDistribution(1, 9, log=True)),
        ("seed=range(1,10,3)", optuna.distributions.IntDistribution(1, 7, step=3)),
        ("model.dropout=range(0,0.5,0.25)", optuna.distributions.FloatDistribution(0, 0.25, step=0.25)),
        ("optimizer=sgd,adam", optuna.distributions.CategoricalDistribution(["sgd", "adam"])),
        ("model.num_layers=choice(1,2)", optuna.distributions.CategoricalDistribution(["1", "2"])),
    ],
)
def test_overrides_are_what_is_drawn_from(override: str, drawn: object) -> None:
    (parsed,) = OverridesParser.create().parse_overrides([override])
    assert distribution(parsed) == drawn


def test_drawn_numbers_have_six_digits_in_the_order_of_the_space() -> None:
    space = dict.fromkeys(("b", "a", "c"), optuna.distributions.FloatDistribution(0, 1))
    assert settings({"a": 0.123456789, "b": "x", "c": 3}, space) == ("b=x", "a=0.123457", "c=3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([SWEEPER, LR], "hydra/sweeper=optuna: a search is a sweep; add -m"),
        (["-m", LR], f"{LR}: only a search draws from it; add hydra/sweeper=optuna"),
        (["-m", SWEEPER, "optimizer.lr=interval(1,0.1)"], "nothing can be drawn from it"),
        (["-m", SWEEPER, "optimizer.lr=tag(log,interval(0,1))"], "nothing can be drawn from it"),
        (["-m", SWEEPER, "model.dropout=interval(0,2)"], "model.dropout=2.0: it must be"),
        (["-m", SWEEPER, LR, "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: it must be at least 1"),
        (["-m", SWEEPER, LR, "hydra.sweeper.n_trials=x"], "n_trials=x: it must be an integer"),
    ],
)
def test_what_cannot_be_searched_is_told_in_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        check(arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


class Quadratic:
    """A launcher whose jobs take no time: their loss is least at a learning rate of 0.01.

    Those with a rate above `fails_above` fail; after `num_jobs` a signal stops them.
    """

    def __init__(self, fails_above: float = math.inf, num_jobs: float = math.inf) -> None:
        self.fails_above = fails_above
        self.num_jobs = num_jobs
        self.launched: list[list[str]] = []

    def launch(self, job_overrides: Sequence[Sequence[str]], **_: int) -> list[JobReturn]:
        return [self.run(list(overrides)) for overrides in job_overrides]

    def run(self, overrides: list[str]) -> JobReturn:
        folder = self.folder / f"{len(self.launched)}"
        folder.mkdir(parents=True, exist_ok=True)
        self.launched.append([o for o in overrides if not o.startswith("hydra")])
        rate = float(dict(o.split("=") for o in overrides)["optimizer.lr"])
        summary = {"status": "finished", "val/nll": 1 + (math.log10(rate) + 2) ** 2}
        if rate > self.fails_above:
            summary = {"status": "failed", "error": "diverged"}
        if len(self.launched) <= self.num_jobs:
            (folder / "summary.json").write_text(json.dumps(summary))
        config = OmegaConf.create({"hydra": {"runtime": {"output_dir": str(folder)}}})
        return JobReturn(hydra_cfg=config, status=JobStatus.COMPLETED)


Search = Callable[..., "tuple[Quadratic, optuna.Study]"]


@pytest.fixture
def search(tmp_path: Path) -> Iterator[Search]:
    """`search(launcher, *overrides)`: in one folder, which goes on when it is called again."""
    register()

    def run(launcher: Quadratic, *overrides: str) -> tuple[Quadratic, Any]:
        task = [o for o in overrides if not o.startswith("hydra")]
        own = [SWEEPER, f"hydra.sweep.dir={tmp_path}", *(o for o in overrides if o.startswith("hydra"))]
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            config = compose("config", own, return_hydra_config=True)
            settings = OmegaConf.to_container(config.hydra.sweeper)
            sweeper = OptunaSweeper(**{k: v for k, v in settings.items() if k != "_target_"})
            loader = GlobalHydra.instance().config_loader()
            sweeper.config, sweeper.hydra_context = config, HydraContext(loader, Callbacks())
            launcher.folder = tmp_path / f"{time.monotonic_ns()}"
            sweeper.launcher = launcher
            sweeper.sweep(task)
        return launcher, open_study(tmp_path, 5, 5)

    return run


def states(study: Any) -> list[str]:
    return [trial.state.name for trial in study.trials]


def test_a_search_finds_what_is_best_and_passes_on_what_is_fixed(search: Search) -> None:
    launcher, study = search(Quadratic(), LR, "seed=3", "hydra.sweeper.n_trials=25")
    assert states(study) == ["COMPLETE"] * 25
    assert study.best_value < 1.05
    assert {overrides[0] for overrides in launcher.launched} == {"seed=3"}


def test_settings_are_tried_once_however_often_they_are_drawn(search: Search) -> None:
    launcher, study = search(Quadratic(), "optimizer.lr=0.1,0.01,0.001", "hydra.sweeper.n_trials=12")
    assert states(study) == ["COMPLETE"] * 12
    assert len(launcher.launched) == len({tuple(o) for o in launcher.launched}) <= 3


def test_a_batch_launches_its_trials_together(search: Search) -> None:
    launcher, study = search(Quadratic(), LR, "hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=2")
    assert len(launcher.launched) == len(study.trials) == 5


def test_trials_that_fail_do_not_end_a_search_and_are_tried_again_when_it_goes_on(search: Search) -> None:
    overrides = [LR, "hydra.sweeper.n_trials=8"]
    first, study = search(Quadratic(fails_above=0.1), *overrides)
    assert set(states(study)) == {"COMPLETE", "FAIL"}
    num_failed = states(study).count("FAIL")
    second, study = search(Quadratic(), *overrides)
    assert states(study).count("COMPLETE") == 8
    assert len(second.launched) == num_failed
    assert all(overrides in first.launched for overrides in second.launched)


def test_a_search_that_was_stopped_goes_on_as_if_it_were_not(search: Search, tmp_path: Path) -> None:
    overrides = [LR, "hydra.sweeper.n_trials=6"]
    first, study = search(Quadratic(num_jobs=3), *overrides)
    assert states(study) == ["COMPLETE"] * 3 + ["RUNNING"]
    second, study = search(Quadratic(), *overrides)
    assert states(study) == ["COMPLETE"] * 6
    assert second.launched[0] == first.launched[3]
    (tmp_path / "study.db").unlink()
    whole, _ = search(Quadratic(), *overrides)
    assert whole.launched == first.launched[:3] + second.launched


def test_nothing_but_what_could_be_drawn_is_taken_from_a_study(search: Search, tmp_path: Path) -> None:
    study = open_study(tmp_path, 5, 5)
    study.ask({"hydra.callbacks.x._target_": optuna.distributions.CategoricalDistribution(["os.system"])})
    launcher, _ = search(Quadratic(), LR, "hydra.sweeper.n_trials=2")
    assert [o.split("=")[0] for overrides in launcher.launched for o in overrides] == ["optimizer.lr"] * 2


def start(home: Path, environment: dict[str, str], *arguments: str) -> Command:
    return Command(arguments, cwd=home, env=environment)


def table(home: Path) -> dict[str, dict[str, str]]:
    (path,) = home.glob("runs/*/sweep.csv")
    with path.open(newline="") as file:
        return {row["job"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def pruned(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int, str, str]:
    """A search over learning rates: one is good, one diverges, one learns nothing (drawn in this order)."""
    home = tmp_path_factory.mktemp("pruned")
    own = [SWEEPER, "hydra.sweeper.n_trials=4", "hydra.sweeper.seed=25"]
    own += ["hydra.sweeper.n_startup_trials=1", "hydra.sweeper.n_warmup_epochs=1"]
    fixed = ["dataset=folder", f"dataset.path={corpus_dir}", *tiny, "optimizer=sgd"]
    fixed += ["trainer.gradient_clip_val=null", "trainer.max_epochs=4", "optimizer.lr=0.5,1e-6,1e38"]
    run = start(home, offline, "-m", *own, *fixed)
    stdout, stderr = run.communicate(timeout=300)
    return home, run.returncode, stdout, stderr


def test_hopeless_runs_are_pruned_and_do_not_count_as_failed(pruned: tuple[Path, int, str, str]) -> None:
    home, status, _, stderr = pruned
    rows = table(home)
    assert {job: row["status"] for job, row in rows.items()} == {
        "optimizer.lr=0.5": "finished", "optimizer.lr=1e-06": "pruned", "optimizer.lr=1e+38": "failed",
    }, stderr  # fmt: skip
    assert (rows["optimizer.lr=1e-06"]["num_epochs"], rows["optimizer.lr=0.5"]["num_epochs"]) == ("2", "4")
    assert (status, stderr.count("failed: optimizer.lr=")) == (1, 1)


def test_a_pruned_run_leaves_the_files_of_a_run(pruned: tuple[Path, int, str, str]) -> None:
    (run,) = pruned[0].glob("runs/*/optimizer.lr=1e-06")
    files = {path.name for path in run.iterdir()}
    assert files >= {"best.ckpt", "last.ckpt", "metrics.csv", "curves.png", "summary.json", "wandb"}
    assert json.loads((run / "summary.json").read_text())["verdict"].startswith("pruned")


def test_a_search_ends_with_how_to_train_its_best_again(pruned: tuple[Path, int, str, str]) -> None:
    (line,) = (line for line in pruned[2].splitlines() if line.startswith("best: "))
    _, _, train, *arguments = shlex.split(line)
    assert Path(train) == TRAIN
    assert "optimizer.lr=0.5" in arguments
    assert check(arguments) == arguments


@needs_joblib
@pytest.mark.slow
def test_a_search_side_by_side_goes_on_with_the_trials_it_was_stopped_in(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path: Path
) -> None:
    own = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", SWEEPER, "hydra.sweeper.n_trials=2"]
    fixed = ["dataset=folder", f"dataset.path={corpus_dir}", *tiny, "logger=csv", LR]
    fixed += [f"trainer.max_epochs={LAST_EPOCH}", "checkpoint.every_n_epochs=100"]
    first = start(tmp_path, offline, "-m", *own, *fixed)
    while len(list(tmp_path.glob("runs/*/*/last.ckpt"))) < 2:
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.05)
    first.send_signal(signal.SIGTERM)
    _, stderr = first.communicate(timeout=60)
    assert first.returncode == 143, stderr
    before = table(tmp_path)
    assert [row["status"] for row in before.values()] == ["stopped"] * 2
    (folder,) = tmp_path.glob("runs/*_sweep")
    second = start(tmp_path, offline, f"resume={folder.relative_to(tmp_path)}")
    _, stderr = second.communicate(timeout=300)
    assert second.returncode == 0, stderr
    after = table(tmp_path)
    assert after.keys() == before.keys()
    assert {(row["status"], row["num_epochs"]) for row in after.values()} == {("finished", str(LAST_EPOCH))}


def test_a_study_that_is_damaged_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / STUDY).write_bytes(b"SQLite format 3\0" + b"\xff" * 500)
    with pytest.raises(UserError, match=r"study\.db: the study of this search cannot be opened") as told:
        open_study(tmp_path, 5, 5)
    assert "\n" not in str(told.value)


def test_a_study_that_another_process_keeps_is_told_soon(search: Search, tmp_path: Path) -> None:
    open_study(tmp_path, 5, 5)
    refuse_locked(tmp_path)
    with closing(sqlite3.connect(tmp_path / STUDY, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        with pytest.raises(SystemExit, match=r"study\.db: .* \(database is locked\); end") as told:
            search(Quadratic(), LR)
        assert time.monotonic() - began < START_SECONDS + 10
    assert "\n" not in str(told.value)
