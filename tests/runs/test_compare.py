"""Runs side by side, whatever has become of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from written_runs import write_run

from noternn.__main__ import main
from noternn.runs.comparison import differing, notes, read_runs, table_rows, validate_on_the_same
from noternn.runs.study import read_study
from noternn.runs.summary import read_summary

Capture = pytest.CaptureFixture[str]


def settings_that_differ(*folders: Path) -> dict[str, list[str]]:
    """The names of what differs, each with the values of the runs in their order."""
    runs = sorted(read_runs(folders), key=lambda run: run.folder)
    return {name: [run.settings.get(name, "") for run in runs] for name in differing(runs)}


def test_the_best_is_first_and_what_differs_stands_beside_it(tmp_path: Path, capsys: Capture) -> None:
    write_run(tmp_path / "a", "model.dropout=0.1")
    write_run(tmp_path / "b", "model.dropout=0.5", val_nll=(1.5, 1.0))
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "run  model.dropout  nats a note  val/nll  gap/nll  best epoch  seconds  parameters  status",
        "b              0.5       2.0000   1.0000   0.0400  2 of 2           20     811,496  finished",
        "a              0.1       2.5000   1.2500   0.0600  3 of 4           40     811,496  finished",
    ]


def test_a_sweep_stands_for_its_jobs(tmp_path: Path) -> None:
    for number in range(3):
        write_run(tmp_path / "sweep" / f"seed={number}", f"seed={number}", val_nll=(2.0 + number,))
    write_run(tmp_path / "alone", val_nll=(1.0,))
    runs = read_runs([tmp_path / "sweep", tmp_path / "alone"])
    assert [run.name for run in runs] == ["alone", *(f"sweep/seed={number}" for number in range(3))]


def test_a_run_that_is_named_twice_stands_once(tmp_path: Path) -> None:
    write_run(tmp_path / "sweep" / "a")
    assert [run.name for run in read_runs([tmp_path / "sweep", tmp_path / "sweep" / "a"])] == ["a"]


def test_unfinished_and_failed_runs_come_last_with_what_is_known(tmp_path: Path, capsys: Capture) -> None:
    write_run(tmp_path / "a", status="failed", error="loss is no finite number", val_nll=(2.0, 1.5))
    write_run(tmp_path / "b", status="running", val_nll=())
    write_run(tmp_path / "c", status="running", val_nll=(1.5, 1.0, 1.25))
    write_run(tmp_path / "d", val_nll=(3.0,))
    assert main(["compare", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["d", "c", "b", "a"]
    assert "2 of 3" in lines[2]
    assert lines[2].endswith("running or stopped")
    assert "1.5000" in lines[4]
    assert lines[5] == "a: loss is no finite number"


def test_a_default_stands_beside_what_others_were_given(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", "model.dropout=0.5", "optimizer=sgd")
    assert settings_that_differ(tmp_path) == {"optimizer": ["adamw", "sgd"], "model.dropout": ["0.4", "0.5"]}


def test_what_follows_from_an_option_is_left_out_unless_it_was_given(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "optimizer=sgd", "optimizer.lr=0.5")
    write_run(tmp_path / "b", "optimizer=adam")
    assert list(settings_that_differ(tmp_path)) == ["optimizer", "optimizer.lr"]


def test_what_follows_from_an_experiment_is_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "experiment=one")
    write_run(tmp_path / "b", "experiment=two", tokenizer="chord")
    assert settings_that_differ(tmp_path) == {"experiment": ["one", "two"]}


def test_places_are_no_difference(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, f"logger={name}")
    assert settings_that_differ(tmp_path) == {}


@pytest.mark.parametrize("other", [{"tokenizer": "chord"}, {"dataset": "fiddle"}])
def test_losses_a_token_are_left_out_where_they_do_not_compare(
    other: dict[str, str], tmp_path: Path, capsys: Capture
) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", **other)
    assert main(["compare", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    assert "nats a token do not compare" in table
    assert "val/nll" not in table
    assert [row["gap, nats a note"] for row in table_rows(read_runs([tmp_path]))] == ["0.1200", "0.1200"]


def test_many_differing_settings_are_named_below_the_table(tmp_path: Path, capsys: Capture) -> None:
    for value in (1, 2):
        write_run(tmp_path / str(value), *(f"model.s{number}={value}" for number in range(10)))
    assert main(["compare", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:9] == ["run", *(f"model.s{number}" for number in range(8))]
    assert lines[3] == "2 more settings differ: model.s8, model.s9"


def test_a_trained_run_is_read(tiny_run: Path) -> None:
    (run,) = read_runs([tiny_run])
    assert (run.status, run.number("num_epochs"), len(run.epochs)) == ("finished", 3, 3)
    assert run.number("val/nll") == min(row["val/nll"] for row in run.epochs)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".hydra/config.yaml", "dataset: [1, 2"),
        (".hydra/config.yaml", "- a list"),
        (".hydra/hydra.yaml", "hydra: {runtime: 3}"),
        (".hydra/overrides.yaml", "a: b"),
        ("metrics.csv", "epoch,val/nll\n1,<b>\n"),
    ],
)
def test_a_file_that_cannot_be_read_costs_only_what_is_in_it(file: str, text: str, tmp_path: Path) -> None:
    (write_run(tmp_path / "a") / file).write_text(text, encoding="utf-8")
    write_run(tmp_path / "b")
    assert [row["nats a note"] for row in table_rows(read_runs([tmp_path]))] == ["2.5000", "2.5000"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"status": "odd"}', "\x00"])
def test_a_broken_summary_is_a_run_that_failed(text: str, tmp_path: Path, capsys: Capture) -> None:
    (write_run(tmp_path / "a") / "summary.json").write_text(text, encoding="utf-8")
    summary = read_summary(tmp_path / "a")
    assert summary is not None
    assert summary["status"] == "failed"
    assert main(["compare", str(tmp_path / "a")]) == 0
    assert "a: summary.json" in capsys.readouterr().out


def test_a_run_without_a_record_of_its_settings_is_compared(tmp_path: Path) -> None:
    shutil.rmtree(write_run(tmp_path / "a") / ".hydra")
    write_run(tmp_path / "b", "model.dropout=0.5")
    assert settings_that_differ(tmp_path) == {}


@pytest.mark.parametrize("read", [read_runs, read_study])
def test_what_is_no_run_among_runs_is_told_and_left_out(
    read: Callable[[list[Path]], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(tmp_path / "a", val_nll=(1.0,))
    (tmp_path / "wandb" / "offline-run-1").mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    assert read(sorted(tmp_path.iterdir()))
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"left out: {tmp_path / name}: no run" for name in ("notes.txt", "wandb")]


@pytest.mark.parametrize(("name", "words"), [("empty", "no run:"), ("missing", "there is no such folder")])
def test_what_is_no_run_is_refused_in_a_line(name: str, words: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["compare", str(tmp_path / name)]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert words in errors[0]


def write_validation(folder: Path, *hashes: str) -> None:
    pieces = {f"{number}.mid": music for number, music in enumerate(hashes)}
    (folder / "split.json").write_text(json.dumps({"validation": pieces}))


def test_folds_are_told_with_their_mean_and_no_best(tmp_path: Path, capsys: Capture) -> None:
    for number, nll in enumerate((1.0, 1.5, 2.0), start=1):
        folder = write_run(tmp_path / str(number), f"dataset.fold={number}/3", val_nll=(nll,))
        write_validation(folder, f"music {number}")
    assert main(["compare", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].endswith("so none is the best")
    assert lines[-1] == "over 3 folds 3.0000 nats a note on average, standard deviation 1.0000"


def test_folds_of_each_setting_are_told_apart(tmp_path: Path) -> None:
    for dropout in (0.1, 0.5):
        for number in (1, 2):
            name = f"{dropout}-{number}"
            write_run(
                tmp_path / name, f"dataset.fold={number}/5", f"model.dropout={dropout}", val_nll=(dropout,)
            )
    told = [line for line in notes(read_runs([tmp_path])) if "folds" in line]
    assert told == [
        f"model.dropout={dropout}: over 2 of 5 folds {2 * dropout:.4f} nats a note on average, "
        "standard deviation 0.0000"
        for dropout in (0.1, 0.5)
    ]


def test_runs_that_validate_on_the_same_music_may_be_compared(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_validation(write_run(tmp_path / name), "x", "y")
    assert not [line for line in notes(read_runs([tmp_path])) if "different pieces" in line]
    write_validation(tmp_path / "b", "x", "z")
    assert not validate_on_the_same(read_runs([tmp_path]))
