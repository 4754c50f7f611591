"""Each private name of a library that is used is listed, so that an upgrade fails here, not at a user's."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
# Public, although they begin with an underscore: https://docs.python.org/3/library/collections.html, os.html
DOCUMENTED = {"_fields", "_asdict", "_make", "_replace", "_exit"}


def _trial() -> Any:
    optuna = pytest.importorskip("optuna", reason="needs the extra optuna")
    return optuna.create_study().ask().study.get_trials()[0]


def _joblib_core() -> Any:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra joblib")
    return import_module("hydra_plugins.hydra_joblib_launcher._core")


# Each private name in noternn/, what holds it, and the name there that must still exist.
USED: dict[str, tuple[Callable[[], Any], str]] = {
    "_is_avx512_bf16_supported": (lambda: torch.cpu, "_is_avx512_bf16_supported"),
    "_is_amx_tile_supported": (lambda: torch.cpu, "_is_amx_tile_supported"),
    "_foreach_lerp_": (lambda: torch, "_foreach_lerp_"),
    "_reorder_linear_weight": (lambda: torch.ops.mkldnn, "_reorder_linear_weight"),
    "_linear_pointwise": (lambda: torch.ops.mkldnn, "_linear_pointwise"),
    "hydra._internal.utils.get_args_parser": (
        lambda: import_module("hydra._internal.utils"),
        "get_args_parser",
    ),
    "hydra._internal.core_plugins.file_config_source": (
        lambda: import_module("hydra._internal.core_plugins.file_config_source"),
        "FileConfigSource",
    ),
    "hydra._internal.sources_registry.SourcesRegistry": (
        lambda: import_module("hydra._internal.sources_registry").SourcesRegistry.instance(),
        "types",
    ),
    "hydra_plugins.hydra_joblib_launcher._core": (_joblib_core, "launch"),
    "_trial_id": (_trial, "_trial_id"),
}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _own_names(tree: ast.AST) -> Iterator[str]:
    """What a module defines itself: functions, classes, attributes that it sets, fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        name = module + alias.name
        if any(map(_is_private, name.split("."))):
            yield name


def _asked_for(call: ast.Call) -> Iterator[str]:
    """The name in getattr(module, "_name", default)."""
    if isinstance(call.func, ast.Name) and call.func.id in ("getattr", "hasattr", "setattr"):
        name = call.args[1]
        if isinstance(name, ast.Constant) and isinstance(name.value, str) and _is_private(name.value):
            yield name.value


def private_names(source: str) -> set[str]:
    """The private names that a module takes from elsewhere."""
    tree = ast.parse(source)
    own = {*_own_names(tree), *DOCUMENTED}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and node.attr not in own:
            found.add(node.attr)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.update(_imported(node))
        elif isinstance(node, ast.Call):
            found.update(_asked_for(node))
    return found


def test_every_private_name_of_a_library_is_listed() -> None:
    sources = [*(ROOT / "noternn").rglob("*.py"), ROOT / "train.py"]
    found: set[str] = set().union(*(private_names(path.read_text(encoding="utf-8")) for path in sources))
    assert found == USED.keys()


@pytest.mark.parametrize("name", USED)
def test_a_private_name_of_a_library_still_exists(name: str) -> None:
    holder, attribute = USED[name]
    assert hasattr(holder(), attribute)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import torch\ntorch._lerp(1)", {"_lerp"}),
        ("from hydra._internal import core", {"hydra._internal.core"}),
        ("from hydra import _internal", {"hydra._internal"}),
        ("import hydra._internal", {"hydra._internal"}),
        ("getattr(torch, '_lerp', None)", {"_lerp"}),
        ("class A:\n    def __init__(self): self._x = 1\n    def x(self): return self._x", set()),
        ("from __future__ import annotations", set()),
    ],
)
def test_a_private_name_is_found_however_it_is_reached(source: str, found: set[str]) -> None:
    assert private_names(source) == found
