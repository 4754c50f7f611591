"""Small pieces that are music, folders of them, and runs so small that they take a second."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import blank_pictures
import pytest
from helpers import TrainTiny, small_piece

from noternn.music.midi import write_midi
from noternn.music.piece import Piece

# Read when torch is imported. Networks as small as these are slower on two threads than on one, and
# a thread that waits must not burn the core that another process needs.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


blank_pictures.install()

# The files that take longest. They begin first, so that no process is left with one when the others are done.
LONGEST = (
    *("test_run_folders", "test_training", "test_interruptions", "test_side_by_side", "test_search"),
    *(
        "test_command_line",
        "test_sweep",
        "test_config",
        "test_launchers",
        "test_tokenizer",
        "test_many_devices",
    ),
    *("test_commands", "test_hostile_files", "test_spoiled_runs"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope="module")
def draws() -> Iterator[None]:
    """Pictures are drawn, not left blank."""
    blank_pictures.remove()
    yield
    blank_pictures.install()


@pytest.fixture
def make_piece() -> Callable[[int], Piece]:
    """`make_piece(seed)`: a piece of 40 to 70 notes, the same for the same seed."""
    return small_piece


@pytest.fixture
def midi_folder(tmp_path: Path) -> Callable[[int], Path]:
    """`midi_folder(num_files)`: a folder of distinct pieces, `piece_000.mid` and on; always the same."""

    def write(num_files: int) -> Path:
        folder = tmp_path / "midi"
        for seed in range(num_files):
            write_midi(small_piece(seed), folder / f"piece_{seed:03d}.mid")
        return folder

    return write


TINY = (
    "model.embedding_dim=8",
    "model.hidden_size=16",
    "model.num_layers=1",
    "trainer.max_epochs=3",
    "schedule=constant",
    "early_stopping=none",
    "checkpoint.every_n_epochs=2",
    "sampling.primer_notes=4",
    "sampling.num_notes=12",
    "sampling.way=given",
    "dataset.min_validation=0",
)


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Overrides that make a run small, in the forms that the command line and Hydra's API take."""
    return list(TINY)


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment for commands in which nobody is logged in and nothing is reached."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    nobody = str(tmp_path_factory.mktemp("home") / "netrc")
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    return inherited | nowhere | {"NETRC": nobody, "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="session")
def corpus_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ten pieces; do not write to it."""
    folder = tmp_path_factory.mktemp("corpus")
    for seed in range(10):
        write_midi(small_piece(seed), folder / f"piece_{seed:03d}.mid")
    return folder


@pytest.fixture(scope="session")
def train_tiny(corpus_dir: Path) -> TrainTiny:
    """Train a tiny network on the CPU without wandb; overrides come last."""
    from hydra import compose, initialize_config_dir

    from noternn.config import schema as config
    from noternn.datasets.configured import sources_of
    from noternn.training.run import train

    def run(run_dir: Path, *overrides: str, folder: Path | None = None) -> dict[str, Any]:
        run_dir.mkdir(parents=True, exist_ok=True)
        fixed = ["dataset=folder", f"dataset.path={folder or corpus_dir}", "logger=csv"]
        fixed += ["trainer.accelerator=cpu", "datamodule.cache_dir=null"]
        config.register()
        with initialize_config_dir(str(config.CONF_DIR), version_base="1.3"):
            parsed = config.parse(compose("config", [*fixed, *TINY, *overrides]))
        return train(parsed, sources_of(parsed.dataset), run_dir)

    return run


@pytest.fixture(scope="session")
def tiny_run(train_tiny: TrainTiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three epochs, with a checkpoint at the second; do not write to it."""
    run_dir = tmp_path_factory.mktemp("run")
    train_tiny(run_dir)
    return run_dir


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium that is installed on this machine, driven by Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = next((found for found in map(shutil.which, names) if found), None)
    if path is None:
        pytest.skip(f"no browser here: none of {', '.join(names)}")
    with sync_api.sync_playwright() as playwright:
        # In containers there is often no sandbox of processes, and little shared memory.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """`open_page(path, **options)`: a page that asks for nothing and says nothing on its console."""
    pages, messages = [], []

    def note_request(url: str) -> None:
        if not url.startswith("blob:"):  # a worker, whose script stands in the page
            messages.append(f"request {url}")

    def show(path: Path, **options: Any) -> Any:
        page = browser.new_page(**options)
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("dialog", lambda dialog: messages.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: note_request(request.url))
        page.goto(path.as_uri())
        assert messages == [f"request {path.as_uri()}"]
        messages.clear()
        pages.append(page)
        return page

    yield show
    for page in pages:
        page.close()
    assert messages == []
