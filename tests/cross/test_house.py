"""How the rooms are kept: what their first file holds, how long functions are, where tests lie."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "noternn"
ROOMS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
MAX_LINES = 70
LONG_FUNCTIONS = {"commands/generate.py add_arguments"}  # may only shrink
NOT_ROOMS = {"data", "cross", "docs", "api"}  # folders of tests/


def long_functions() -> set[str]:
    """The functions of more than MAX_LINES lines, each with its file."""
    return {
        f"{path.relative_to(PACKAGE).as_posix()} {node.name}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MAX_LINES
    }


@pytest.mark.parametrize("room", sorted(ROOMS - {"tokenizer"}))
def test_the_first_file_of_a_room_says_in_one_line_what_the_room_is_for(room: str) -> None:
    module = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    assert len(module.body) == 1
    assert "\n" not in (ast.get_docstring(module, clean=False) or "\n")


def test_no_function_is_long_but_those_that_are_listed() -> None:
    assert long_functions() == LONG_FUNCTIONS


def test_the_folders_of_tests_are_named_as_rooms() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name[0] not in "._"}
    assert folders - NOT_ROOMS <= ROOMS
