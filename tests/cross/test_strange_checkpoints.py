"""Checkpoints that somebody else has written: seeded mutants are used, or refused in one line, soon."""

from __future__ import annotations

import io
import os
import shutil
import sys
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from helpers import TrainTiny
from mutants import ODD_VALUES, mutant

from noternn.__main__ import main
from noternn.errors import UserError
from noternn.sampling.composer import load_composer
from noternn.terminal import harmless

if sys.platform != "linux":
    pytest.skip("memory is measured in Linux's units", allow_module_level=True)
import resource

MAX_SECONDS = 3.0  # of the processor, for a command without its imports
MAX_MEGABYTES = 300.0  # beside those of the commands before
Mutate = Callable[[bytes, Random], bytes]


def mutant_member(data: bytes, rng: Random) -> bytes:
    """The same checkpoint with a part changed, mostly its pickle, and sums that fit."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(written, "w") as new:
        names = old.namelist()
        changed = rng.choice([name for name in names if name.endswith("data.pkl")] * 3 + names)
        for name in names:
            content = old.read(name)
            new.writestr(name, mutant(content, rng) if name == changed else content)
    return written.getvalue()


def mutant_values(data: bytes, rng: Random) -> bytes:
    """The same checkpoint with an odd value or tensor in the place of one of its values."""
    checkpoint = torch.load(io.BytesIO(data), weights_only=True)
    where: Any = checkpoint
    key: Any = rng.choice([*["noternn"] * 3, *checkpoint])
    while isinstance(where[key], dict | list) and where[key] and rng.random() < 0.85:
        where = where[key]
        key = rng.choice(list(where) if isinstance(where, dict) else range(len(where)))
    tensors = torch.zeros(3), torch.tensor(float("nan")), torch.zeros(1).expand(10**9)
    where[key] = rng.choice((*ODD_VALUES, 3, 10**6, *tensors))
    written = io.BytesIO()
    torch.save(checkpoint, written)
    return written.getvalue()


MAKERS: dict[str, Mutate] = {"bytes": mutant, "member": mutant_member, "values": mutant_values}


def num_mutants(default: int) -> int:
    return int(os.environ.get("NOTERNN_MUTANTS", default))


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def ends_well(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> int:
    """Run a command that must end soon, with results or with its mistake in one line."""
    began, before = time.process_time(), megabytes()
    status = main(arguments)
    assert time.process_time() - began < MAX_SECONDS
    assert megabytes() - before < MAX_MEGABYTES
    out, error = capsys.readouterr()
    assert harmless(out + error) == out + error
    assert status in (0, 1)
    errors = [line for line in error.splitlines() if line.startswith("error: ")]
    assert errors == (error.splitlines()[-1:] if status else [])
    return status


def try_mutants(
    kind: str, command: list[str], checkpoint: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    data, rng = checkpoint.read_bytes(), Random(f"{kind} {command[0]}")
    assert ends_well(command, capsys) == 0  # as it is, with all imports
    outcomes: Counter[int] = Counter()
    for _ in range(number):
        checkpoint.write_bytes(MAKERS[kind](data, rng))
        outcomes[ends_well(command, capsys)] += 1
    assert outcomes[1]


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run", symlinks=True))


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("number", [12, pytest.param(num_mutants(300), marks=pytest.mark.slow)])
def test_a_mutant_of_a_checkpoint_composes_or_is_refused(
    kind: str, number: int, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(action="ignore"):  # zipfile's, of names that come twice
        command = ["generate", str(run / "best.ckpt"), "-o", str(tmp_path / "x.mid"), "--num-notes", "4"]
        try_mutants(kind, command, run / "best.ckpt", number, capsys)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("number", [5, pytest.param(num_mutants(100), marks=pytest.mark.slow)])
def test_a_mutant_of_a_checkpoint_is_evaluated_or_refused(
    kind: str, number: int, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(action="ignore"):
        try_mutants(kind, ["evaluate", str(run)], run / "best.ckpt", number, capsys)


@pytest.mark.parametrize("value", [-1_000_000, 1_000_000])
def test_a_place_outside_of_the_weights_is_refused(value: int, run: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(run / "best.ckpt", weights_only=True)
    weights = checkpoint["state_dict"]
    names = [n for n, t in weights.items() if n.startswith("averaged.module.") and t.dtype == torch.int64]
    assert len(names) >= 4
    for name in names:
        before = weights[name].clone()
        weights[name][-1] = value
        torch.save(checkpoint, tmp_path / "x.ckpt")
        with pytest.raises(
            UserError, match=f"{name.removeprefix('averaged.module.')} holds what is no place"
        ):
            load_composer(tmp_path / "x.ckpt")
        weights[name] = before


def odd_states(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What may be spoiled of the state of a training, each with a wrong value."""
    callbacks = checkpoint["callbacks"]
    curve = next(state for name, state in callbacks.items() if "rows" in state)
    return {
        "callbacks": (checkpoint, "callbacks", []),
        "rows": (curve, "rows", "x"),
        "row": (curve["rows"], 0, None),
        "optimizer": (checkpoint, "optimizer_states", [{}]),
        "moments": (checkpoint["optimizer_states"][0]["state"][0], "exp_avg", torch.zeros(1, 2, 3)),
        "schedulers": (checkpoint, "lr_schedulers", -0.5),
        "loops": (checkpoint, "loops", {"fit_loop": None}),
        "weights": (checkpoint, "state_dict", {}),
    }


@pytest.mark.parametrize(
    "name",
    ["rows", "schedulers", "weights", "moments"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("callbacks", "row", "optimizer", "loops")],
)
def test_a_run_does_not_go_on_from_an_odd_state(name: str, run: Path, train_tiny: TrainTiny) -> None:
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)
    where, key, value = odd_states(checkpoint)[name]
    where[key] = value
    torch.save(checkpoint, run / "last.ckpt")
    before = (run / "last.ckpt").read_bytes()
    with pytest.raises(UserError, match=r"resume=\S+: .*start a new run") as told:
        train_tiny(run, f"resume={run}", "trainer.max_epochs=4")
    assert "\n" not in str(told.value)
    assert (run / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize("text", ["\xff", "epoch,x\n1,y\n", "x\n1\n", "epoch\n1,2,3\n"])
def test_a_run_does_not_go_on_with_an_odd_table_of_audits(
    text: str, run: Path, train_tiny: TrainTiny
) -> None:
    (run / "audit.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"audit\.csv: no table of audits .*move it away"):
        train_tiny(run, f"resume={run}", "trainer.max_epochs=4")
