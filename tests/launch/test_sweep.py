"""`train.py -m`: a folder a job, one wandb group, a table at the end, and no job that stops the others."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

import forked
import numpy as np
import pytest
from forked import TRAIN
from helpers import records
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict
from wandb_server import upload

from noternn.config.schema import CONF_DIR, register
from noternn.corpus.cache import ArrayCache, Entry
from noternn.corpus.kept import read_kept
from noternn.datasets.sources import Source
from noternn.launch.job import share_corpora
from noternn.launch.multirun import SweepCallback
from noternn.launch.notes import num_jobs
from noternn.launch.table import save_table
from noternn.music.limits import Limits
from noternn.runs.sweep import SWEEP_COLUMNS
from noternn.tables import read_csv


@dataclass(frozen=True)
class Sweep:
    folder: Path
    status: int
    stdout: str
    stderr: str

    @property
    def table(self) -> list[dict[str, str]]:
        with (self.folder / "sweep.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    @property
    def jobs(self) -> set[str]:
        return {path.parent.name for path in self.folder.glob("*/summary.json")}


def train(home: Path, environment: dict[str, str], *arguments: str) -> Sweep:
    done = forked.run(arguments, cwd=home, env=environment)
    (folder,) = (home / "runs").glob("*_sweep")
    return Sweep(folder, done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def sweep(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Sweep:
    """Two jobs that end well."""
    fixed = [f"dataset.path={corpus_dir}", "dataset=folder", "++seed=0", *tiny]
    return train(tmp_path_factory.mktemp("sweep"), offline, "-m", "optimizer=sgd,adam", *fixed)


@pytest.fixture(scope="module")
def failing(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Sweep:
    """Six jobs: two have no files, two only one piece, one diverges, the last ends well."""
    home = tmp_path_factory.mktemp("failing")
    (home / "empty").mkdir()
    (home / "single").mkdir()
    (home / "music").symlink_to(corpus_dir)
    (home / "single" / "piece.mid").write_bytes((corpus_dir / "piece_000.mid").read_bytes())
    return train(
        home, offline, "-m", "dataset=folder", "dataset.path=empty,single,music", "logger=csv",
        "optimizer=sgd", "optimizer.lr=1e38,0.5", *tiny, "trainer.gradient_clip_val=null",
    )  # fmt: skip


def test_a_sweep_exits_with_status_0(sweep: Sweep) -> None:
    assert sweep.status == 0, sweep.stderr


def test_jobs_have_folders_named_by_what_differs_alone(sweep: Sweep) -> None:
    assert sweep.jobs == {"optimizer=sgd", "optimizer=adam"}


@pytest.mark.parametrize(
    ("overrides", "shared", "number"),
    [
        (
            ["experiment=optimizers", "seed=1", "++model.dropout=0.5"],
            {"experiment", "seed", "model.dropout"},
            6,
        ),
        (["seed=1,2", "optimizer=sgd,adam", "dataset=bach"], {"dataset"}, 4),
        (["seed=1", "optimizer=sgd"], set(), 1),  # one job: its folder needs a name
    ],
)
def test_what_all_jobs_share_is_left_out_of_their_names(
    overrides: list[str], shared: set[str], number: int
) -> None:
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        composed = compose("config", [o for o in overrides if "," not in o], return_hydra_config=True)
    with open_dict(composed):
        composed.hydra.overrides.task = overrides
    SweepCallback().on_multirun_start(composed)
    setting = "hydra.job.config.override_dirname.exclude_keys="
    given = [o for o in composed.hydra.overrides.hydra if o.startswith(setting)]
    assert [set(o.removeprefix(setting)[1:-1].split(",")) for o in given] == ([shared] if shared else [])
    assert num_jobs(Path(composed.hydra.sweep.dir)) == number


def test_every_job_leaves_the_files_of_a_run(sweep: Sweep) -> None:
    for job in sweep.jobs:
        files = {path.name for path in (sweep.folder / job).iterdir()}
        assert files >= {"best.ckpt", "last.ckpt", "metrics.csv", "curves.png", "sample.mid", "train.log"}


def test_the_table_has_a_row_for_every_job_the_best_first(sweep: Sweep) -> None:
    assert {row["job"] for row in sweep.table} == sweep.jobs
    losses = [float(row["val/nll"]) for row in sweep.table]
    assert losses == sorted(losses)
    for row in sweep.table:
        summary = json.loads((sweep.folder / row["job"] / "summary.json").read_text())
        assert float(row["val/nll"]) == summary["val/nll"]
        assert row["status"] == summary["status"] == "finished"
        assert row["error"] == ""


def test_the_table_is_printed_at_the_end(sweep: Sweep) -> None:
    *_, header, first, second, _, where = sweep.stdout.rstrip().splitlines()
    assert header.split() == list(SWEEP_COLUMNS)
    printed = [line.split()[:2] for line in (first, second)]
    assert printed == [[row["job"], f"{float(row['val/nll']):.4f}"] for row in sweep.table]
    assert where == f"table: {sweep.folder.relative_to(sweep.folder.parents[1]) / 'sweep.csv'}"


def test_the_jobs_are_runs_of_one_wandb_group(sweep: Sweep) -> None:
    logs = (sweep.folder / "wandb").glob("offline-run-*/*.wandb")
    runs = [record.run for path in logs for record in records(path) if record.HasField("run")]
    assert {run.run_group for run in runs} == {sweep.folder.name}
    assert {run.display_name for run in runs} == sweep.jobs
    assert len({run.run_id for run in runs}) == 2


def test_every_wandb_run_of_a_sweep_is_closed(sweep: Sweep) -> None:
    logs = list((sweep.folder / "wandb").glob("offline-run-*/*.wandb"))
    assert len(logs) == 2
    for path in logs:
        *_, last = records(path)
        assert last.HasField("exit")
        assert last.exit.exit_code == 0


def test_wandb_sync_of_a_sweep_uploads_each_run_once_with_its_best_values(
    sweep: Sweep, offline: dict[str, str]
) -> None:
    runs = list(upload(sweep.folder / "wandb", offline).values())
    assert {run.fields["groupName"] for run in runs} == {sweep.folder.name}
    by_name = {run.fields["displayName"]: run for run in runs}
    assert by_name.keys() == sweep.jobs
    for job, run in by_name.items():
        summary = json.loads((sweep.folder / job / "summary.json").read_text())
        for name in ("val/nll", "val/nats_per_note", "train_eval/nll", "gap/nll", "best_epoch"):
            assert run.summary[name] == summary[name]
        losses = ("epoch", "train/nll", "train_eval/nll", "val/nll")
        rows = [tuple(row[name] for name in losses) for row in run.history if "val/nll" in row]
        metrics = read_csv(sweep.folder / job / "metrics.csv")
        assert rows == [tuple(row[name] for name in losses) for row in metrics]
        assert any("curves_table" in file for file in run.files)  # train and validation on one chart
        assert run.exit_code == 0


SEGMENT = """
import sys
from pathlib import Path
from noternn.training.tracking import track
first, last = map(int, sys.argv[1:])
nll, best_epoch = [3.0, 1.0, 2.0, 2.5], [1, 2, 2, 2]
rows = [
    {"epoch": epoch, "best_epoch": best_epoch[epoch - 1], "val/nll": nll[epoch - 1], "train_eval/nll": epoch}
    for epoch in range(1, last + 1)
]
with track("offline", "project", None, Path("run"), "group", {}) as tracker:
    if first > 1:
        tracker.best(rows[1])
    for row in rows[first - 1 :]:
        tracker.lightning_logger().log_metrics(row, 10 * row["epoch"])
"""


def test_a_resumed_run_is_one_wandb_run_whose_summary_has_the_best_epoch_of_all(
    offline: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "segment.py").write_text(SEGMENT)
    for epochs in (("1", "2"), ("3", "4")):
        forked.run(epochs, cwd=tmp_path, env=offline, script=tmp_path / "segment.py", check=True)
        time.sleep(1)  # wandb names folders by the second
    (run,) = upload(tmp_path / "wandb", offline).values()
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4]
    assert [row["_step"] for row in run.history] == sorted({row["_step"] for row in run.history})
    assert (run.summary["val/nll"], run.summary["train_eval/nll"]) == (1.0, 2)
    assert (run.summary["epoch"], run.summary["best_epoch"]) == (4, 2)


def test_a_sweep_with_a_failed_job_exits_with_status_1(failing: Sweep) -> None:
    assert failing.status == 1, failing.stderr


def test_jobs_that_fail_do_not_stop_the_others(failing: Sweep) -> None:
    status = {row["job"]: row["status"] for row in failing.table}
    assert len(status) == 6
    assert status.pop("dataset.path=music,optimizer.lr=0.5") == "finished"
    assert set(status.values()) == {"failed"}
    assert (failing.folder / "dataset.path=music,optimizer.lr=0.5" / "sample.mid").exists()


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        ("dataset.path=empty,optimizer.lr=0.5", "are no MIDI files or scores"),
        ("dataset.path=single,optimizer.lr=0.5", "the corpus holds only one piece"),
        ("dataset.path=music,optimizer.lr=1e+38", "training diverged: after step "),
    ],
)
def test_a_failed_job_is_listed_with_its_reason(failing: Sweep, job: str, reason: str) -> None:
    (row,) = (row for row in failing.table if row["job"] == job)
    assert reason in row["error"]
    assert f"failed: {job}: {row['error']}" in failing.stderr.splitlines()


def test_failed_jobs_come_last_in_the_table(failing: Sweep) -> None:
    assert [row["status"] for row in failing.table] == ["finished"] + 5 * ["failed"]


def test_a_users_mistake_shows_no_traceback(failing: Sweep) -> None:
    assert "Traceback" not in failing.stderr


def test_a_sweep_over_the_size_of_the_training_split_leaves_a_learning_curve(tmp_path: Path) -> None:
    for fraction, notes, nats in ((0.5, 500, 3.0), (1, 1000, 2.5)):
        folder = tmp_path / f"dataset.train_fraction={fraction}"
        folder.mkdir()
        sizes = {"train_fraction": fraction, "num_train_notes": notes}
        summary = {"status": "finished", "val/nll": nats / 2, "val/nats_per_note": nats} | sizes
        (folder / "summary.json").write_text(json.dumps(summary))
    rows = save_table(tmp_path)
    assert [row["num_train_notes"] for row in rows] == [1000, 500]
    assert (tmp_path / "learning_curve.png").exists()


def test_a_cache_that_cannot_be_written_is_linked_to_by_one_that_the_jobs_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    kept = tmp_path / "kept"
    kept_entry, new_entry = (Entry({"numbers": np.arange(n)}, {}) for n in (3, 4))
    ArrayCache(kept).get("a" * 64, lambda: kept_entry)
    (tmp_path / "tune.abc").write_text("X:1\nT:a tune\nK:C\nCDEF|\n")
    tune, limits = Source(tmp_path / "tune.abc", "a tune", "score"), Limits()
    read_kept(tune, kept, limits, pedal=False, repeats="printed")
    before = sorted(kept.iterdir())
    for _ in range(2):
        composed = OmegaConf.create({"datamodule": {"cache_dir": str(kept)}})
        share_corpora(composed, tmp_path)
        cache = ArrayCache(Path(composed.datamodule.cache_dir))
        assert cache.get("a" * 64, pytest.fail).arrays["numbers"].tolist() == [0, 1, 2]
        cache.get("b" * 64, lambda: new_entry)
        with monkeypatch.context() as context:
            context.setattr(Source, "read", pytest.fail)
            assert read_kept(tune, cache.folder, limits, pedal=False, repeats="printed").num_notes == 4
    assert sorted(kept.iterdir()) == before


def test_a_sweep_goes_on_with_what_is_not_finished(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "music").symlink_to(corpus_dir)
    (tmp_path / "empty").mkdir()
    first = train(
        tmp_path, offline, "-m", "dataset=folder", "dataset.path=music,empty", "seed=0,1", "logger=csv",
        "datamodule.cache_dir=null", "tokenizer.velocity=false", *tiny, "trainer.max_epochs=1",
    )  # fmt: skip
    assert first.stderr.count("reading 10 files") == 1
    assert "\njob 2 of 4: dataset.path=music,seed=1; 1 of 4 jobs done, " in first.stderr
    assert f"{TRAIN} resume=runs/" in first.stderr
    finished, stopped, failed = (
        first.folder / f"dataset.path={path},seed={seed}"
        for path, seed in (("music", 0), ("music", 1), ("empty", 0))
    )
    before = (finished / "metrics.csv").stat().st_mtime_ns, (stopped / "metrics.csv").read_bytes()
    (stopped / "summary.json").unlink()  # as if it were killed
    (tmp_path / "empty").rmdir()
    (tmp_path / "empty").symlink_to(corpus_dir)
    (again,) = re.findall(r"failed: dataset\.path=empty,seed=1: .*\n  again, alone: \S+ (.*)", first.stderr)
    forked.run(shlex.split(again)[1:], cwd=tmp_path, env=offline, check=True)
    assert [row["status"] for row in first.table] == ["finished", "finished", "stopped", "failed"]
    second = train(tmp_path, offline, f"resume={first.folder.relative_to(tmp_path)}")
    assert second.status == 0, second.stderr
    assert [row["status"] for row in second.table] == ["finished"] * 4
    assert ((finished / "metrics.csv").stat().st_mtime_ns, (stopped / "metrics.csv").read_bytes()) == before
    assert (failed / "best.ckpt").exists()
    assert {path.name for path in first.folder.glob("*/")} == second.jobs
