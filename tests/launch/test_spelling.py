"""Ways to write settings that Hydra alone would answer late or not at all."""

from __future__ import annotations

from pathlib import Path

import forked
import pytest

from noternn.errors import UserError
from noternn.launch.command_line import check


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["~logger"], ["logger=csv"]),
        (["logger=null"], ["logger=csv"]),
        (["logger=tensorboard", "logger=null"], ["logger=csv"]),
        (["~early_stopping"], ["early_stopping=none"]),
        (["early_stopping=null"], ["early_stopping=none"]),
        (["augmentation=null"], ["augmentation=none"]),
        (["experiment=null"], []),
        (["experiment=optimizers", "experiment=null"], []),
        (["recipe=null", "seed=3"], ["seed=3"]),
    ],
)
def test_off_means_off(given: list[str], taken: list[str]) -> None:
    assert check(given) == taken


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["optimizer.lr=\N{MINUS SIGN}0.1"], "write optimizer.lr=-0.1"),
        (["-m", "seed=1,"], "write seed=1"),
        (["-m", "seed=1,,2"], "write seed=1,2"),
        (["-m", "seed=range(3,0)"], "there is nothing in it"),
        (["dataset=folder", "dataset.path=a,b"], "in quotes: \"dataset.path='a,b'\""),
        (["logger.project=a/b"], "logger.entity names the team"),
        (["logger.project="], "it must be a name"),
        (["seed=0", "-m", "optimizer.lr=-1"], "above 0 and finite"),
        (["optimizer=adamw", "-m", "nonsense=1,2"], "nonsense"),
    ],
)
def test_what_cannot_be_meant_is_answered_with_what_can(given: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        check(given)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_path_with_a_comma_is_taken_in_quotes() -> None:
    assert check(["dataset=folder", "dataset.path='a,b'"]) == ["dataset=folder", "dataset.path='a,b'"]


def test_jobs_that_run_on_no_process_are_refused() -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra joblib")
    with pytest.raises(UserError, match=r"hydra\.launcher\.n_jobs=0: it must be -1"):
        check(["-m", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0"])


def test_an_experiment_that_is_a_sweep_takes_several_values_without_m() -> None:
    given = ["experiment=optimizers", "seed=0,1"]
    assert check(given) == given


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("WANDB_MODE", "bogus", "it must be online, offline"), ("SLURM_NTASKS", "2", "--ntasks=1")],
)
def test_the_environment_is_looked_at_first(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        check([])


def test_messages_can_be_turned_off(tmp_path: Path, corpus_dir: Path, offline: dict[str, str]) -> None:
    arguments = [
        "dataset=folder", f"dataset.path={corpus_dir}", "logger=csv", "hydra/job_logging=disabled",
        "hydra.run.dir=run", "trainer.max_epochs=1", "model.hidden_size=8", "model.num_layers=1",
        "datamodule.num_processes=0", "sampling.num_notes=8",
    ]  # fmt: skip
    done = forked.run(arguments, cwd=tmp_path, env=offline)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "best.ckpt").is_file()
    assert "pieces read" not in done.stderr


def test_names_of_folders_that_no_system_can_hold_are_refused(
    tmp_path: Path, offline: dict[str, str]
) -> None:
    many = [f"dataset.name={'a' * 200},b", f"logger.project={'c' * 60},d"]
    done = forked.run(["-m", *many], cwd=tmp_path, env=offline)
    assert done.returncode == 1
    assert "add 'hydra.sweep.subdir=${hydra.job.num}'" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("runs/*/*"))
