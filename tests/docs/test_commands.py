"""The commands, links, trees and examples of the README and the guide are real."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import forked
import pytest

from noternn.__main__ import build_parser
from noternn.errors import is_installed
from noternn.launch.command_line import PLUGINS, check

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")
FENCE = re.compile(r"(?P<mark><!-- [^\n]* -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)```", flags=re.DOTALL)
RUN = "<!-- run -->\n"  # above a block: run it, and compare what it prints with the block below


class Block(NamedTuple):
    page: str
    kind: str
    text: str
    mark: str
    printed: str  # the text of the block below, if nothing but blank lines is between


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    blocks = []
    for match, after in itertools.zip_longest(found, found[1:]):
        is_below = after is not None and not text[match.end() : after.start()].strip() and not after["kind"]
        printed = after["text"] if after is not None and is_below else ""
        blocks.append(Block(page.name, match["kind"], match["text"], match["mark"] or "", printed))
    return blocks


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
COMMANDS = [
    part.strip()
    for block in BLOCKS
    if block.kind == "bash"
    for line in block.text.splitlines()
    for part in line.split("&&")
]


def arguments(command: str, program: str) -> list[str]:
    return shlex.split(command.split(program, 1)[1], comments=True)


@pytest.mark.parametrize("command", sorted({c for c in COMMANDS if "train.py" in c and c[0] != "#"}))
def test_training_command_is_accepted(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "tokenizer=miditok" in command or "bpe_vocab_size" in command:
        pytest.importorskip("miditok", reason="MidiTok, an optional extra, is not installed")
    for choice, extra in PLUGINS.items():
        if choice in command and not is_installed(extra):
            pytest.skip(f"the extra {extra} is not installed")
    monkeypatch.chdir(tmp_path)
    if "dataset=mine" in command:
        mine = next(block.text for block in BLOCKS if block.kind == "yaml" and "name: mine" in block.text)
        (tmp_path / "conf" / "dataset").mkdir(parents=True)
        (tmp_path / "conf" / "dataset" / "mine.yaml").write_text(mine, encoding="utf-8")
    if "trainer.num_nodes=2" in command:
        started = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "0"}
        for name, value in started.items():
            monkeypatch.setenv(name, value)
    for run in re.findall(r"resume=(\S+)", command):
        (tmp_path / run / ".hydra").mkdir(parents=True)
        (tmp_path / run / ".hydra" / "overrides.yaml").write_text("[]", encoding="utf-8")
        (tmp_path / run / "last.ckpt").touch()
    check(arguments(command, "train.py"))


@pytest.mark.parametrize("command", sorted({c for c in COMMANDS if "-m noternn" in c and c[0] != "#"}))
def test_other_command_is_parsed(command: str) -> None:
    build_parser().parse_args(arguments(command, "-m noternn"))


def test_two_commands_do_all_the_setting_up() -> None:
    first, second = [block.text for block in blocks_of(PAGES[0]) if block.kind == "bash"][:2]
    assert first.strip().count("\n") == second.strip().count("\n") == 0
    assert first.strip().endswith("train.py")
    assert second.strip().endswith("pytest -n auto")


def test_the_readme_is_two_screens_and_a_page_of_the_guide_one_task() -> None:
    assert len(README.splitlines()) <= 120
    long = [page.name for page in PAGES if len(page.read_text(encoding="utf-8").splitlines()) > 150]
    assert long == []


def anchors(page: Path) -> set[str]:
    """What a link may name of a page: its headings as GitHub spells them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?://", t)]
    broken = []
    for target in targets:
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        if not to.exists() or (anchor and anchor not in anchors(to)):
            broken.append(target)
    assert broken == []


def test_every_page_is_reached_from_the_readme() -> None:
    linked = {Path(t.split("#")[0]).name for t in re.findall(r"\]\(([^)\s]+)\)", README)}
    assert [page.name for page in PAGES[1:] if page.name not in linked] == []


def test_the_tree_of_the_readme_is_that_on_the_disk() -> None:
    tree = next(block.text for block in blocks_of(PAGES[0]) if "noternn/\n" in block.text)
    rooms = re.findall(r"^  (\w+)/ +\S", tree, flags=re.MULTILINE)
    top = re.findall(r"^([\w.]+)/?(?: |$)", tree, flags=re.MULTILINE)
    on_disk = {path.parent.name for path in (ROOT / "noternn").glob("*/__init__.py")}
    assert sorted(rooms) == sorted(on_disk)
    assert [name for name in top if not (ROOT / name).exists()] == []
    assert {"train.py", "conf", "noternn", "experiments", "tests", "docs"} <= set(top)


def test_a_room_is_described_in_the_tree_as_in_its_docstring() -> None:
    tree = next(block.text for block in blocks_of(PAGES[0]) if "noternn/\n" in block.text)
    described = dict(re.findall(r"^  (\w+)/ +(.+)$", tree, flags=re.MULTILINE))
    differing = []
    for room, sentence in described.items():
        source = (ROOT / "noternn" / room / "__init__.py").read_text(encoding="utf-8")
        docstring = ast.get_docstring(ast.parse(source)) or ""
        first, second = (re.findall(r"\w+", text.lower())[:3] for text in (sentence, docstring))
        if first != second:
            differing.append(f"{room}: {sentence} / {docstring}")
    assert differing == []


def test_the_architecture_shows_the_contract_of_the_rooms() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert "```\n" + "\n".join(layers) + "\n```" in page


def test_every_test_that_the_architecture_names_is_there() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/.]+)`", page)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def masked(line: str) -> str:
    """A line of output with # for each number."""
    return re.sub(r"\s+", " ", re.sub(r"\d[\d,]*(\.\d+)?", "#", line)).strip()


@pytest.fixture(scope="module")
def workplace(corpus_dir: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ten small pieces in `midi/`, one of them as `song.mid`, and a run of them in `RUN/`."""
    folder = tmp_path_factory.mktemp("guide")
    shutil.copytree(corpus_dir, folder / "midi")
    shutil.copytree(tiny_run, folder / "RUN")
    shutil.copy(corpus_dir / "piece_003.mid", folder / "song.mid")
    return folder


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.mark == RUN], ids=lambda block: block.page)
def test_an_example_prints_what_the_guide_shows(
    block: Block, workplace: Path, offline: dict[str, str]
) -> None:
    printed = ""
    for line in block.text.splitlines():
        program, *rest = shlex.split(line, comments=True)
        assert program == "python"
        environment = offline | {"PYTHONPATH": str(ROOT)}
        if rest[0] == "train.py":
            done = forked.run(rest[1:], cwd=workplace, env=environment)
        else:
            done = subprocess.run(
                [sys.executable, *rest], cwd=workplace, env=environment, capture_output=True, text=True
            )
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    lines = [masked(line) for line in printed.splitlines()]
    assert [line for line in block.printed.splitlines() if not is_shown(masked(line), lines)] == []


def is_shown(line: str, printed: list[str]) -> bool:
    """Whether a line of the guide was printed; where it ends in dots, only its beginning has to be."""
    begins = line.removesuffix("...")
    return any(other.startswith(begins) if begins != line else other == line for other in ["", *printed])


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(b.kind == "python" for b in blocks_of(page))], ids=lambda p: p.name
)
def test_the_python_of_a_page_runs(page: Path, workplace: Path, offline: dict[str, str]) -> None:
    blocks = [b for b in blocks_of(page) if b.kind == "python" and not b.mark.startswith("<!-- not run")]
    environment = offline | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(block.text for block in blocks)],
        cwd=workplace, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
