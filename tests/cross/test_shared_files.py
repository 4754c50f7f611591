"""Files from others run no code: checkpoints, runs, caches; and what is promised is pinned."""

from __future__ import annotations

import os
import re
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noternn.__main__ import main
from noternn.corpus.cache import ArrayCache, Entry
from noternn.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
TrainTiny = Callable[..., dict[str, Any]]


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


PLACES: dict[str, Callable[[dict[str, Any], Payload], object]] = {
    "top level": lambda c, payload: c.update(payload=payload),
    "weights": lambda c, payload: c["state_dict"].update(payload=payload),
    "optimizer": lambda c, payload: c["optimizer_states"].append(payload),
    "loops": lambda c, payload: c["loops"].update(payload=payload),
    "callbacks": lambda c, payload: c["callbacks"].update(payload=payload),
    "our data": lambda c, payload: c["noternn"].update(payload=payload),
    "configuration": lambda c, payload: c["noternn"]["config"].update(payload=payload),
    "vocabulary": lambda c, payload: c["noternn"]["vocabulary"].append(payload),
}


def planted(checkpoint: Path, place: str, marker: Path, target: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    PLACES[place](content, Payload(marker))
    torch.save(content, target)


@pytest.mark.parametrize("place", PLACES)
def test_payload_in_any_place_of_a_checkpoint_is_refused_and_not_run(
    place: str, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker, hostile = tmp_path / "marker", tmp_path / "hostile.ckpt"
    planted(tiny_run / "best.ckpt", place, marker, hostile)
    assert main(["generate", str(hostile), "-o", str(tmp_path / "out.mid")]) == 1
    assert "refused, it holds more than weights and plain data" in capsys.readouterr().err
    assert not marker.exists()


@pytest.mark.parametrize("place", PLACES)
def test_run_with_a_payload_is_not_resumed(
    place: str, tiny_run: Path, train_tiny: TrainTiny, tmp_path: Path
) -> None:
    marker, run = tmp_path / "marker", tmp_path / "run"
    run.mkdir()
    planted(tiny_run / "last.ckpt", place, marker, run / "last.ckpt")
    with pytest.raises(UserError, match="refused, it holds more than weights and plain data"):
        train_tiny(run, f"resume={run}", "trainer.max_epochs=9")
    assert not marker.exists()


def changed(checkpoint: Path, change: Callable[[dict[str, Any]], object], target: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    change(content["noternn"])
    torch.save(content, target)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["config"]["model"].update(hidden_size=10**9),
        lambda c: c["config"]["model"].update(num_layers=10**6),
        lambda c: c["config"]["model"].update(hidden_size="16"),
        lambda c: c["config"]["model"].update(_target_="os.system"),
        lambda c: c["config"]["tokenizer"].update(name="os.system"),
        lambda c: c["config"]["tokenizer"].update(steps_per_beat=10**9),
        lambda c: c["config"].update(tokenizer=None),
        lambda c: c.update(vocabulary=[1, 2, 3]),
        lambda c: c.update(vocabulary={}),
        lambda c: c.update(config=[]),
        lambda c: c.update(tempo="fast"),
        lambda c: c.update(tempo=float("nan")),
        lambda c: c.update(tempo=1e300),
        lambda c: c.update(tempo=1e-300),
        lambda c: c.update(tempo=10**400),
        lambda c: c.update(metre=[float("inf"), 4]),
        lambda c: c.update(metre=[10**9, 4]),
    ],
    ids=range(17),
)
def test_checkpoint_whose_data_cannot_be_is_refused_at_once(
    change: Callable[[dict[str, Any]], object],
    tiny_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile = tmp_path / "hostile.ckpt"
    changed(tiny_run / "best.ckpt", change, hostile)
    assert main(["generate", str(hostile), "-o", str(tmp_path / "out.mid")]) == 1
    assert "cannot use this checkpoint" in capsys.readouterr().err


WEIGHTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "not a number": lambda tensor: torch.full_like(tensor, float("nan")),
    "infinite": lambda tensor: torch.full_like(tensor, float("inf")),
    "whole numbers": lambda tensor: tensor.to(torch.int64),
    "one number as many": lambda tensor: torch.zeros(()).expand(tensor.shape),
    "10^12 numbers": lambda _: torch.zeros(1).expand(10**6, 10**6),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_that_are_none_are_refused_and_nothing_is_written(
    kind: str, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(tiny_run / "best.ckpt", weights_only=True)
    for name, tensor in content["state_dict"].items():
        if tensor.is_floating_point():
            content["state_dict"][name] = WEIGHTS[kind](tensor)
    torch.save(content, tmp_path / "hostile.ckpt")
    assert main(["generate", str(tmp_path / "hostile.ckpt"), "-o", str(tmp_path / "out.mid")]) == 1
    assert "cannot use this checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "out.mid").exists()


def test_a_compressed_checkpoint_is_not_unpacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**7))
    assert main(["generate", str(tmp_path / "bomb.ckpt"), "-o", str(tmp_path / "out.mid")]) == 1
    assert "refused, it is compressed" in capsys.readouterr().err


def test_cache_takes_no_pickle(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    cache = ArrayCache(tmp_path / "cache")
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        cache.get("a" * 64, lambda: Entry({"objects": np.array([Payload(marker)], dtype=object)}, {}))
    cache.get("b" * 64, lambda: Entry({"numbers": np.arange(3)}, {}))
    [path] = (tmp_path / "cache").glob("*/numbers.npy")
    np.save(path, np.array([Payload(marker)], dtype=object), allow_pickle=True)
    made_again = cache.get("b" * 64, lambda: Entry({"numbers": np.arange(3)}, {}))
    assert made_again.arrays["numbers"].tolist() == [0, 1, 2]
    assert not marker.exists()


def test_locked_versions_are_of_all_dependencies_and_allowed_by_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line.split("==") for line in project["optional-dependencies"]["locked"]]
    locked = {name: [int(part) for part in version.split(".")] for name, version in lines}
    for requirement in project["dependencies"]:
        [(name, least, below)] = re.findall(r"^([\w-]+)>=([\d.]+)(?:,<([\d.]+))?$", requirement)
        assert locked[name] >= [int(part) for part in least.split(".")], name
        assert not below or locked[name] < [int(part) for part in below.split(".")], name
