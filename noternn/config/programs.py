"""How training and the commands are called, in a clone or where pip has put the package."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from noternn.config.schema import CONF_DIR, IS_CLONE
from noternn.files import shortest

# In what is read elsewhere than it is written, such as pages; advice in a terminal calls the functions.
TRAIN = "python train.py" if IS_CLONE else "noternn train"
PROGRAM = "python -m noternn" if IS_CLONE else "noternn"

_config_dirs: list[Path] = []  # at most one: the `--config-dir` of this process's command


def train_command() -> str:
    """How a training is started from the current directory, whatever environment is activated.

    With the `--config-dir` of this process's command, see `remember_config_dir`.
    """
    options = "".join(f" --config-dir {quoted(folder)}" for folder in _config_dirs)
    if IS_CLONE:
        return f"{python_command()} {quoted(CONF_DIR.parent / 'train.py')}{options}"
    return f"{program_command()} train{options}"


def remember_config_dir(folder: Path | None) -> None:
    """From now on commands that are printed name this folder of the user's own options, or none."""
    _config_dirs[:] = [] if folder is None else [folder]


def program_command() -> str:
    """How the commands are called from here: as a module in a clone, else by their own name."""
    is_clone, is_installed = Path("train.py").is_file(), (_python_folder() / "noternn").is_file()
    if is_installed and not is_clone:
        return _found("noternn")
    return f"{python_command()} -m noternn"


def python_command() -> str:
    """The Python that runs this, as short as it can be typed here, whatever environment is activated."""
    return _found("python")


def quoted(path: Path) -> str:
    """A path as short as it can be typed here."""
    return shlex.quote(shortest(path))


def _found(name: str) -> str:
    """A program of this environment: its name alone if the PATH leads to it."""
    place, found = _python_folder() / name, shutil.which(name)
    return name if found and Path(found) == place else quoted(place)


def _python_folder() -> Path:
    return Path(sys.executable).parent
