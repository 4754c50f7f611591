"""How the rooms are kept: first files, the length of functions, the places of tests and of names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "noternn"
ROOMS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
MAX_LINES = 70
FILES_OF_RUNS = (  # what runs/folder.py names
    "best.ckpt", "last.ckpt", "metrics.csv", "summary.json", "split.json", "audit.csv", "health.json",
    "curves.png", "sample.mid", "sweep.csv", "multirun.yaml", "overrides.yaml", "hydra.yaml",
    "config.yaml", ".hydra", ".owner",
)  # fmt: skip
NAMED_ELSEWHERE = {  # in what users read, and by a record of a study; may only shrink
    ("config/training.py", "last.ckpt"),
    ("corpus/messages.py", "split.json"),
    ("launch/resume.py", "last.ckpt"),
    ("runs/study_record.py", "curves.png"),
    *(
        ("training/messages.py", name)
        for name in ("best.ckpt", "last.ckpt", "metrics.csv", "curves.png", "sample.mid", "split.json")
    ),
}
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


def files_named() -> set[tuple[str, str]]:
    """Each file of a run that a string of the code names, docstrings and comments aside: where, and which."""
    named = set()
    for path in PACKAGE.rglob("*.py"):
        nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
        said_alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}  # docstrings
        strings = [
            node.value
            for node in nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said_alone
        ]
        place = path.relative_to(PACKAGE).as_posix()
        for name in FILES_OF_RUNS:
            as_word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
            if any(as_word.search(string) for string in strings):
                named.add((place, name))
    return named


@pytest.mark.parametrize("room", sorted(ROOMS - {"tokenizer"}))
def test_the_first_file_of_a_room_says_in_one_line_what_the_room_is_for(room: str) -> None:
    module = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    assert len(module.body) == 1
    assert "\n" not in (ast.get_docstring(module, clean=False) or "\n")


def test_no_function_is_long() -> None:
    assert not long_functions()


def test_the_folders_of_tests_are_named_as_rooms() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name[0] not in "._"}
    assert folders - NOT_ROOMS <= ROOMS


def test_the_files_of_a_run_are_named_in_one_place() -> None:
    elsewhere = {(place, name) for place, name in files_named() if place != "runs/folder.py"}
    assert elsewhere == NAMED_ELSEWHERE
