"""The folder of a run belongs to one process, and no command that is refused changes a byte of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import forked
import numpy as np
import pytest
import yaml
from forked import TRAIN, Command
from helpers import TrainTiny, rows_of, same_weights, small_piece
from written_runs import write_run

from noternn.__main__ import main
from noternn.errors import UserError, is_installed
from noternn.music.midi import write_midi

ENDLESS = "trainer.max_epochs=100000"
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., Command]


@pytest.fixture
def start(corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path: Path) -> Start:
    """`start(*overrides)`: train.py in a process group of its own; alone with the overrides to resume."""

    def run(*overrides: str) -> Command:
        fixed = [] if any(o.startswith("resume=") for o in overrides) else ["dataset=folder", *tiny]
        if fixed:
            fixed += [f"dataset.path={corpus_dir}", "trainer.accelerator=cpu", "logger=csv"]
            fixed += [f"datamodule.cache_dir={corpus_dir.parent / 'cache'}"]
        return Command([*fixed, *overrides], cwd=tmp_path, env=offline)

    return run


@pytest.fixture
def run(start: Start) -> Run:
    """`run(*overrides)`: the same, waited for."""

    def to_end(*overrides: str) -> subprocess.CompletedProcess[str]:
        process = start(*overrides)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(overrides, process.returncode, out, err)

    return to_end


@pytest.fixture
def one(tiny_cli_run: Path, tmp_path: Path) -> Path:
    """A finished run of the command line, a copy of one's own."""
    return Path(shutil.copytree(tiny_cli_run, tmp_path / "one"))


@pytest.fixture(scope="session")
def tiny_cli_run(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished run of the command line; do not write to it."""
    home = tmp_path_factory.mktemp("cli")
    arguments = ["dataset=folder", f"dataset.path={corpus_dir}", *tiny, "trainer.accelerator=cpu"]
    arguments += ["logger=csv", "hydra.run.dir=one", f"datamodule.cache_dir={corpus_dir.parent / 'cache'}"]
    forked.run(arguments, cwd=home, env=offline, check=True)
    return home / "one"


def content(folder: Path) -> dict[str, str]:
    """A digest of each file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def wait_for(path: Path, process: Command) -> None:
    while not path.exists() and process.poll() is None:
        time.sleep(0.02)
    assert path.exists()


def end(process: Command, signum: int = signal.SIGTERM) -> tuple[int, str]:
    os.killpg(process.pid, signum)
    _, err = process.communicate(timeout=120)
    return process.returncode, err


# Refused


@pytest.mark.parametrize(
    "refused",
    [
        ["resume=one", "seed=5"],
        ["resume=one", "optimizer.lr=0.001"],
        pytest.param(["resume=one", "model.hidden_size=8"], marks=pytest.mark.slow),
        ["resume=one"],
        ["resume=one", "dataset.path=nowhere", "trainer.max_epochs=9"],
        ["hydra.run.dir=one", "optimizer=sgd"],
        ["hydra.run.dir=one", "hydra.output_subdir=.hydra", "optimizer=sgd"],
        ["-m", "hydra.sweep.dir=one", "seed=0,1"],
    ],
)
def test_a_refused_command_changes_no_byte(refused: list[str], one: Path, run: Run) -> None:
    before = content(one)
    done = run(*refused)
    assert done.returncode == 1
    assert done.stderr.startswith("error: "), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert content(one) == before


def test_after_a_refused_change_a_run_goes_on_as_is_advised(one: Path, run: Run) -> None:
    run("resume=one", "optimizer.lr=0.001", "trainer.max_epochs=4")
    done = run("resume=one", "trainer.max_epochs=4")
    assert done.returncode == 0, done.stderr
    assert len(rows_of(one)) == 4


@pytest.mark.parametrize("refused", ["dataset.path=empty", "dataset.path=broken", "trainer.accelerator=gpu"])
def test_a_refused_run_leaves_no_folder(refused: str, run: Run, tmp_path: Path) -> None:
    for name in ("empty", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "a.mid").write_text("no music")
    assert run(refused).returncode == 1
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "broken"}


def test_the_record_of_a_run_is_what_it_was_trained_with(
    one: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = yaml.safe_load((one / ".hydra" / "config.yaml").read_text())
    assert (record["seed"], record["trainer"]["max_epochs"], record["model"]["hidden_size"]) == (0, 3, 16)
    assert {path.name for path in (one / ".hydra").iterdir()} == {
        "config.yaml",
        "hydra.yaml",
        "overrides.yaml",
    }
    assert main(["compare", str(one)]) == 0
    assert "finished" in capsys.readouterr().out


@pytest.mark.slow
def test_a_setting_from_the_environment_is_recorded_by_its_value(
    run: Run, corpus_dir: Path, tmp_path: Path
) -> None:
    done = run("hydra.run.dir=run", "dataset.path='${oc.env:NOBODY_SETS_IT," + str(corpus_dir) + "}'")
    assert done.returncode == 0, done.stderr
    given = yaml.safe_load((tmp_path / "run" / ".hydra" / "overrides.yaml").read_text())
    assert given[-1] == f"dataset.path='{corpus_dir}'"
    assert run("resume=run", "trainer.max_epochs=4").returncode == 0


@pytest.fixture
def read_only(one: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder that holds a run, on a file system to which nobody may write."""
    place = tmp_path / "read only"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("only root mounts a file system")
    try:
        shutil.copytree(one, place / "run")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="this system has no mount")
@pytest.mark.usefixtures("read_only")
@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["hydra.run.dir='read only/new'"], "choose another place with hydra.run.dir=FOLDER"),
        (["resume=read only/run", "trainer.max_epochs=4"], "go on with a copy in another place"),
        pytest.param(
            ["-m", "seed=0,1", "hydra.sweep.dir='read only/new'"],
            "choose another place with hydra.sweep.dir=FOLDER",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_place_that_nobody_may_write_to_is_told_in_one_line(
    command: list[str], told: str, run: Run
) -> None:
    done = run(*command)
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*cannot be written \(Read-only file system\); " + told + "\n", done.stderr)


# Owned


def test_runs_that_begin_in_one_second_have_folders_of_their_own(start: Start, tmp_path: Path) -> None:
    by_hour = "hydra.run.dir=runs/${now:%Y}"
    processes = [start(f"seed={seed}", by_hour, "trainer.max_epochs=1") for seed in range(3)]
    for process in processes:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    folders = sorted((tmp_path / "runs").iterdir())
    year = time.strftime("%Y")
    assert [folder.name for folder in folders] == [year, f"{year}_2", f"{year}_3"]
    seeds = {json.loads((folder / "split.json").read_text())["seed"] for folder in folders}
    records = {yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())["seed"] for folder in folders}
    assert seeds == records == {0, 1, 2}


def test_a_second_command_is_told_who_trains_there(start: Start, run: Run, tmp_path: Path) -> None:
    first = start("hydra.run.dir=run", ENDLESS)
    wait_for(tmp_path / "run" / "last.ckpt", first)
    try:
        for second in (["resume=run", ENDLESS], ["hydra.run.dir=run"]):
            done = run(*second)
            assert done.returncode == 1
            assert re.fullmatch(
                rf"error: run: process {first.pid} on \S+ trains there since .*\n", done.stderr
            )
    finally:
        status, err = end(first)
    assert status == 143, err
    assert not (tmp_path / "run" / ".owner").exists()


def test_a_run_goes_on_after_its_process_was_killed(start: Start, run: Run, tmp_path: Path) -> None:
    first = start("hydra.run.dir=run", ENDLESS)
    wait_for(tmp_path / "run" / "last.ckpt", first)
    end(first, signal.SIGKILL)
    assert (tmp_path / "run" / ".owner").exists()
    done = run("resume=run", f"trainer.max_epochs={len(rows_of(tmp_path / 'run')) + 2}")
    assert done.returncode == 0, done.stderr


def test_a_sweep_is_started_once_in_its_folder(start: Start, run: Run, tmp_path: Path) -> None:
    sweep = ["-m", "seed=0,1", "hydra.sweep.dir=sweep"]
    first = start(*sweep, "trainer.max_epochs=15", "checkpoint.every_n_epochs=100")
    wait_for(tmp_path / "sweep" / "seed=0" / "metrics.csv", first)
    done = run(*sweep)
    assert re.fullmatch(rf"error: sweep: process {first.pid} on \S+ trains there since .*\n", done.stderr)
    assert run("resume=sweep").stderr == done.stderr
    _, err = first.communicate(timeout=240)
    assert first.returncode == 0, err
    before = content(tmp_path / "sweep")
    done = run(*sweep)
    assert done.stderr.startswith("error: sweep already holds a sweep; continue it with resume=sweep")
    assert content(tmp_path / "sweep") == before


@pytest.mark.slow
def test_a_sweep_leaves_a_job_to_the_process_that_trains_it_alone(start: Start, tmp_path: Path) -> None:
    sweep = start("-m", "seed=0,1", "hydra.sweep.dir=sweep", "trainer.max_epochs=300")
    job = tmp_path / "sweep" / "seed=0"
    wait_for(job / "last.ckpt", sweep)
    end(sweep)
    alone = start("resume=sweep/seed=0", ENDLESS)
    wait_for(job / ".owner", alone)
    try:
        process = start("resume=sweep", "logger=csv")
        wait_for(tmp_path / "sweep" / "seed=1" / "last.ckpt", process)
        _, err = end(process)
        assert f"left out: sweep/seed=0: process {alone.pid} on " in err
        assert not (job / "summary.json").exists()
    finally:
        end(alone)


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        (["seed=0,0"], "error: seed=0 stands twice in the sweep"),
        (["seed=0,1,1"], "error: seed=1 stands twice in the sweep"),
        (["optimizer=sgd,adam", "hydra.sweep.subdir='${seed}'"], "would have one folder, 0"),
        (["seed=0,1", "hydra.sweep.subdir=same"], "would have one folder, same"),
    ],
)
def test_two_jobs_of_one_folder_are_told_before_a_sweep_begins(
    sweep: list[str], words: str, run: Run, tmp_path: Path
) -> None:
    done = run("-m", *sweep)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not any(tmp_path.iterdir())


# Results stay


def test_a_failure_never_replaces_what_a_run_came_to(tmp_path: Path) -> None:
    from noternn.launch.one_run import note_failure

    write_run(tmp_path / "run")
    before = (tmp_path / "run" / "summary.json").read_bytes()
    note_failure(tmp_path / "run", "out of luck")
    assert (tmp_path / "run" / "summary.json").read_bytes() == before


@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.slow)])
def test_a_sweep_whose_output_nobody_reads_goes_on(start: Start, tmp_path: Path, launcher: str) -> None:
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra joblib")
    process = start("-m", "seed=0,1", "hydra.sweep.dir=sweep", f"hydra/launcher={launcher}")
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=240) == 0
    for seed in (0, 1):
        summary = json.loads((tmp_path / "sweep" / f"seed={seed}" / "summary.json").read_text())
        assert summary["status"] == "finished"


@pytest.mark.parametrize("name", ["SIGHUP", pytest.param("SIGUSR2", marks=pytest.mark.slow)])
def test_a_signal_saves_the_step_as_sigterm_does(
    name: str, start: Start, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    number = getattr(signal, name)
    process = start("hydra.run.dir=run", ENDLESS, "checkpoint.every_n_epochs=100000")
    wait_for(tmp_path / "run" / "metrics.csv", process)
    status, err = end(process, number)
    assert status == 128 + number, err
    assert re.fullmatch(r"stopped; go on with: \S+ \S*train.py resume=run", err.splitlines()[-1])
    epochs = [f"trainer.max_epochs={len(rows_of(tmp_path / 'run')) + 1}", "checkpoint.every_n_epochs=100000"]
    train_tiny(tmp_path / "run", *epochs, f"resume={tmp_path / 'run'}")
    train_tiny(tmp_path / "whole", *epochs)
    assert same_weights(tmp_path / "run" / "last.ckpt", tmp_path / "whole" / "last.ckpt")


@pytest.mark.skipif(shutil.which("nohup") is None, reason="this system has no nohup")
@pytest.mark.slow
def test_a_run_started_with_nohup_outlives_its_terminal(
    corpus_dir: Path, tiny: list[str], offline: dict[str, str], tmp_path: Path
) -> None:
    settings = [
        "dataset=folder",
        f"dataset.path={corpus_dir}",
        *tiny,
        "trainer.accelerator=cpu",
        "logger=csv",
    ]
    command = ["nohup", sys.executable, str(TRAIN), *settings, "hydra.run.dir=run", ENDLESS]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=offline, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    with process:
        while not (tmp_path / "run" / "metrics.csv").exists() and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGHUP)
        time.sleep(0.5)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(timeout=120) == 143, process.communicate()


@pytest.mark.parametrize(
    "again", [["resume=run"], pytest.param(["hydra.run.dir=run"], marks=pytest.mark.slow)]
)
def test_a_run_without_a_checkpoint_starts_over(
    again: list[str], one: Path, run: Run, tmp_path: Path
) -> None:
    whole = rows_of(one)
    (one / "metrics.csv").write_text("".join((one / "metrics.csv").read_text().splitlines(True)[:2]))
    for name in ("last.ckpt", "summary.json"):  # as a disk leaves it that is full after the first epoch
        (one / name).unlink()
    one.rename(tmp_path / "run")
    done = run(*again)
    assert done.returncode == 0, done.stderr
    assert rows_of(tmp_path / "run") == whole


# Printed commands


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        "hydra.sweep.subdir='${hydra.job.num}'",
        "hydra.verbose=true",
        "hydra.job.name=mine",
    ],
)
def test_a_stopped_sweep_goes_on_with_the_command_that_it_prints(
    setting: str, start: Start, run: Run, tmp_path: Path
) -> None:
    process = start("-m", "seed=0,1", "hydra.sweep.dir=sweep", "trainer.max_epochs=20", setting)
    while not list(tmp_path.glob("sweep/*/metrics.csv")) and process.poll() is None:
        time.sleep(0.02)
    status, err = end(process)
    assert status == 143, err
    for line in err.splitlines():
        if "go on with the whole sweep: " in line:
            command = shlex.split(line.rpartition("train.py ")[2])
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("sweep/*/summary.json"))) == 2
    assert not list(tmp_path.glob("sweep/*/*/metrics.csv"))


@pytest.mark.parametrize(
    ("begin", "words"),
    [
        (["hydra.run.dir=run"], "stopped; go on with: "),
        pytest.param(
            ["-m", "seed=0,1", "hydra.sweep.dir=run"], "go on with the whole sweep: ", marks=pytest.mark.slow
        ),
    ],
)
def test_the_command_that_is_printed_names_the_folder_of_the_users_options(
    begin: list[str], words: str, start: Start, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "my own" / "optimizer").mkdir(parents=True)
    (tmp_path / "my own" / "optimizer" / "mine.yaml").write_text("defaults: [adam]\nlr: 0.002\n")
    process = start(
        "--config-dir",
        "my own",
        *begin,
        "optimizer=mine",
        "trainer.max_epochs=100",
        "checkpoint.every_n_epochs=100",
    )
    while not list(tmp_path.glob("run/**/last.ckpt")) and process.poll() is None:
        time.sleep(0.02)
    status, err = end(process)
    assert status == 143, err
    [line] = [line for line in err.splitlines() if words in line]
    command = shlex.split(line.rpartition("train.py ")[2])
    assert command[:2] == ["--config-dir", "my own"]
    if "-m" in begin:  # a sweep goes on as it was
        process = start(*command)
        wait_for(tmp_path / "run" / "seed=1" / "last.ckpt", process)
        assert end(process)[0] == 143
    else:
        done = run(*command, f"trainer.max_epochs={len(rows_of(tmp_path / 'run')) + 1}")
        assert done.returncode == 0, done.stderr


# Killed and hammered


LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "optuna": ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=3"],
}


NUM_KILLS = 34  # of each launcher's sweeps: over a hundred of all
LIFE = {
    "basic": (0.3, 4.0),
    "joblib": (2.0, 14.0),
    "optuna": (0.3, 4.0),
}  # seconds; joblib's processes import anew


def kill_until_it_is_over(
    start: Start, commands: Callable[[], list[str]], most: int, life: Callable[[], float]
) -> int:
    """Start a command and kill it again and again, then let it end; how often it was killed."""
    for kill in range(most):
        process = start(*commands())
        try:
            process.communicate(timeout=life())
        except subprocess.TimeoutExpired:
            end(process, signal.SIGKILL)
        else:
            assert process.returncode == 0
            return kill
    _, err = (process := start(*commands())).communicate(timeout=600)
    assert process.returncode == 0, err
    return most


def assert_same_sweeps(sweep: Path, whole: Path) -> None:
    jobs = sorted(path.parent.name for path in whole.glob("*/summary.json"))
    assert jobs == sorted(path.parent.name for path in sweep.glob("*/summary.json"))
    for job in jobs:
        assert rows_of(sweep / job) == rows_of(whole / job)
        assert same_weights(sweep / job / "last.ckpt", whole / job / "last.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_sweeps_that_are_killed_again_and_again_come_to_the_same(
    launcher: str, start: Start, tmp_path: Path
) -> None:
    for extra in ("joblib", "optuna"):
        if launcher == extra and not is_installed(extra):
            pytest.skip(f"the extra {extra} is not installed")
    begin = ["-m", "seed=0,1,2", "trainer.max_epochs=30", "checkpoint.every_n_epochs=10"]
    begin += LAUNCHERS[launcher]
    _, err = (whole := start(*begin, "hydra.sweep.dir=whole")).communicate(timeout=600)
    assert whole.returncode == 0, err
    rng, kills, sweeps = np.random.default_rng(len(launcher)), 0, 0
    while kills < NUM_KILLS:
        sweeps += 1
        sweep = f"sweep_{sweeps}"

        def command(sweep: str = sweep) -> list[str]:
            is_begun = (tmp_path / sweep / "multirun.yaml").exists()
            return [f"resume={sweep}"] if is_begun else [*begin, f"hydra.sweep.dir={sweep}"]

        kills += kill_until_it_is_over(
            start, command, NUM_KILLS - kills, lambda: float(rng.uniform(*LIFE[launcher]))
        )
        assert_same_sweeps(tmp_path / sweep, tmp_path / "whole")
    print(f"{launcher}: {kills} kills of {sweeps} sweeps, each bit for bit the one that was never killed")


@pytest.mark.slow
def test_commands_that_hammer_one_folder_for_a_minute_lose_nothing(
    start: Start, run: Run, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    folder, rng, told = tmp_path / "run", np.random.default_rng(0), []
    running: list[Command] = []
    start_time, is_begun = time.monotonic(), False
    # A busy machine takes longer than the processes live until one of them has come to a checkpoint.
    while time.monotonic() < start_time + (60 if is_begun else 600):
        is_begun = (folder / "last.ckpt").exists()
        running.append(start("resume=run" if is_begun else "hydra.run.dir=run", ENDLESS))
        running.append(start("hydra.run.dir=run", "optimizer.lr=0.5", ENDLESS))
        time.sleep(float(rng.uniform(2, 8 if is_begun else 20)))
        for process in running:
            if process.poll() is None and rng.random() < 0.7:
                os.killpg(process.pid, rng.choice([signal.SIGKILL, signal.SIGTERM]))
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        told.append(process.communicate(timeout=120)[1])
    assert any("trains there since" in err for err in told)
    assert not any("Traceback" in err for err in told)
    lr = yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())["optimizer"]["lr"]
    epochs = f"trainer.max_epochs={len(rows_of(folder)) + 1}"
    assert run("resume=run", epochs).returncode == 0
    train_tiny(tmp_path / "whole", epochs, f"optimizer.lr={lr}")
    assert rows_of(folder) == rows_of(tmp_path / "whole")
    assert same_weights(folder / "last.ckpt", tmp_path / "whole" / "last.ckpt")


# Music that changed


@pytest.fixture
def music(corpus_dir: Path, tmp_path: Path) -> Path:
    """A folder of pieces, of one's own."""
    return Path(shutil.copytree(corpus_dir, tmp_path / "music"))


def test_a_run_goes_on_where_files_were_renamed(music: Path, train_tiny: TrainTiny, tmp_path: Path) -> None:
    train_tiny(tmp_path / "whole", "trainer.max_epochs=4", folder=music)
    train_tiny(tmp_path / "run", "trainer.max_epochs=2", folder=music)
    (music / "piece_000.mid").rename(music / "z.mid")
    train_tiny(tmp_path / "run", "trainer.max_epochs=3", f"resume={tmp_path / 'run'}", folder=music)
    (music / "piece_009.mid").rename(music / "a.mid")
    train_tiny(tmp_path / "run", "trainer.max_epochs=4", f"resume={tmp_path / 'run'}", folder=music)
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")
    assert same_weights(tmp_path / "run" / "last.ckpt", tmp_path / "whole" / "last.ckpt")


def test_files_that_are_new_gone_and_changed_are_named(
    music: Path, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    train_tiny(tmp_path / "run", "trainer.max_epochs=1", folder=music)
    write_midi(small_piece(50), music / "new.mid")
    write_midi(small_piece(51), music / "piece_001.mid")
    (music / "piece_002.mid").unlink()
    (music / "piece_003.mid").rename(music / "renamed.mid")
    told = r"other files \(new: new.mid; gone: piece_002.mid; changed: piece_001.mid\); put back"
    with pytest.raises(UserError, match=told):
        train_tiny(tmp_path / "run", "trainer.max_epochs=2", f"resume={tmp_path / 'run'}", folder=music)
