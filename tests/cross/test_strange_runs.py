"""Folders of runs that somebody else has written: every command ends soon, and refuses in one line."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from random import Random

import pytest
import torch
import yaml
from mutants import mutant, mutant_json
from written_runs import write_run

from noternn.__main__ import main
from noternn.errors import UserError
from noternn.launch.resume import resumed
from noternn.terminal import harmless

MAX_SECONDS = 10.0  # of a command, on a busy machine
FILES = (
    *("summary.json", "split.json", "metrics.csv", "audit.csv", "health.json"),
    *(".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml"),
)
READ_BY = {
    "split.json": ("audit",),
    ".hydra/config.yaml": ("audit",),
    "health.json": ("health",),
    "audit.csv": ("copied",),
    "metrics.csv": ("copied",),
}


def alias_bomb(levels: int = 40) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, levels)]
    return "\n".join(lines)


def merge_bomb(levels: int = 40) -> str:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}], y{i}: *a{i - 1}}}" for i in range(1, levels)]
    return "\n".join(lines)


BOMBS = {
    "aliases": alias_bomb(),
    "merges": merge_bomb(),
    "within itself": "a: &a [*a]",
    "deep list": "a: " + "[" * 100_000,
    "deep mapping": "\n".join(" " * i + "a:" for i in range(1000)),
    "number": f"seed: {'9' * 100_000}",
    "base 60": f"seed: {'1:' * 200_000}1",
    "date": "seed: 2001-99-99",
    "size": "a: b\n" * 1_000_000,
    "tag": "a: !!python/object/apply:os.system ['true']",
    "key": "? [a]\n: b",
}


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A trained run with its record, which tests may spoil."""
    run = tmp_path / "runs" / "run"
    shutil.copytree(tiny_run, run, symlinks=True)
    (run / ".hydra").mkdir(exist_ok=True)
    choices = {"dataset": "folder", "tokenizer": "event", "optimizer": "adamw"}
    record = {
        "config": torch.load(run / "best.ckpt", weights_only=True)["noternn"]["config"],
        "hydra": {"hydra": {"runtime": {"choices": choices}}},
        "overrides": ["dataset=folder", "seed=0", "optimizer.lr=0.01"],
    }
    for name, content in record.items():
        (run / ".hydra" / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return run


def commands(run: Path) -> dict[str, list[str]]:
    """Those that read a run's record, by a name."""
    folder, out = str(run), str(run.parent.parent)
    return {
        "compare": ["compare", folder],
        "report": ["report", folder],
        "report page": ["report", folder, "--html", f"{out}/report.html"],
        "listen": ["listen", folder, "-o", f"{out}/listen.html"],
        "studio": ["studio", folder, "-o", f"{out}/studio.html"],
        "audit": ["audit", f"{folder}/sample.mid", "--against", folder],
        "health": ["health", f"{folder}/sample.mid", "--against", folder],
        "copied": ["generate", folder, "--max-copied", "0.5", "-o", f"{out}/x.mid", "--num-notes", "3"],
    }


def ends_well(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command that must end soon, with results or with its mistake in one line."""
    began = time.monotonic()
    status = main(arguments)
    assert time.monotonic() - began < MAX_SECONDS
    out, error = capsys.readouterr()
    assert harmless(out + error) == out + error
    assert status in (0, 1)
    if status == 1:
        assert [line for line in error.splitlines() if line.startswith("error: ")] == error.splitlines()[-1:]


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("file", ["config", "hydra", "overrides"])
def test_a_bomb_in_a_runs_record_costs_little(
    bomb: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "runs" / "run")
    (run / ".hydra" / f"{file}.yaml").write_text(BOMBS[bomb], encoding="utf-8")
    (run / "last.ckpt").touch()
    (run / "split.json").write_text("{}")
    for name in ("compare", "report", "report page", "listen", "audit"):
        ends_well(commands(run)[name], capsys)
    if file == "overrides":
        with pytest.raises(UserError, match="record"):
            resumed([f"resume={run}"])


def test_an_alias_of_a_few_values_is_read(tmp_path: Path) -> None:
    shared = {"beta": [0.9, 0.99]}
    run = write_run(tmp_path / "run")
    (run / ".hydra" / "config.yaml").write_text(yaml.safe_dump({"a": shared, "b": shared}))
    assert main(["compare", str(run)]) == 0


@pytest.mark.parametrize(
    "file", ["summary.json", "metrics.csv", ".hydra/config.yaml", "split.json", "sample.mid"]
)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(
    file: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / file).unlink()
    os.mkfifo(run / file)
    for name in ("compare", "report", "report page", "listen", "studio", "audit"):
        ends_well(commands(run)[name], capsys)


@pytest.mark.parametrize("name", ["num_train_notes", "val/nll", "val/nats_per_note", "seconds", "advice"])
@pytest.mark.parametrize("value", [None, [], "x", float("nan"), 1e300])
def test_an_odd_value_in_a_summary_is_told(
    name: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "runs" / "run")
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, name: value}))
    for command in ("compare", "report", "report page"):
        ends_well(commands(run)[command], capsys)


@pytest.mark.parametrize("file", FILES)
def test_mutants_of_a_runs_files_end_every_command_soon(
    file: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try_mutants(run, file, 4, 0, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_many_mutants_of_a_runs_files_end_every_command_soon(
    file: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try_mutants(run, file, int(os.environ.get("NOTERNN_MUTANTS", "60")), 1, capsys)


def try_mutants(run: Path, file: str, number: int, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    rng = Random(f"{seed} {file}")
    data = (run / file).read_bytes() if (run / file).is_file() else b"epoch,audit/copied_16\n1,0.5\n"
    names = [
        "compare",
        "report",
        "listen",
        *(["audit"] if file in ("split.json", ".hydra/config.yaml") else []),
    ]
    names += {"health.json": ["health"], "audit.csv": ["copied"], "metrics.csv": ["copied"]}.get(file, [])
    for i in range(number):
        make = mutant_json if file.endswith(".json") and rng.random() < 0.7 else mutant
        (run / file).write_bytes(make(data, rng))
        for name in [*names, *(["report page"] if i % 4 == 0 else [])]:
            ends_well(commands(run)[name], capsys)
