"""The options of each group of settings: the package's own, and those that a user adds beside them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from noternn.config.schema import CONF_DIR
from noternn.errors import UserError

COLUMNS = 80
INDENT = 18  # of the options behind the name of their group


class UsersOptions(SearchPathPlugin):
    """Lets Hydra look for options in `conf/` of the current directory, after the package's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Hydra calls it when it begins; other processes get the search path that it led to."""
        for folder in users_folders():
            search_path.append("noternn", f"file://{folder}")


def register() -> None:
    """Make the user's options known to Hydra."""
    Plugins.instance().register(UsersOptions)


def users_folders(config_dir: str | None = None) -> list[Path]:
    """The folders with options of the user's own.

    Args:
        config_dir: given with `--config-dir`.

    Raises:
        UserError: if that is no folder.
    """
    here = Path("conf").absolute()
    folders = [here] if here.is_dir() and not here.samefile(CONF_DIR) else []
    if config_dir is None:
        return folders
    if not Path(config_dir).is_dir():
        raise UserError(f"--config-dir {config_dir}: there is no such folder")
    return [Path(config_dir).absolute(), *folders]


def options(group: str, users: Sequence[Path]) -> list[str]:
    """The options of a group, in order, with those in the user's folders."""
    return sorted({path.stem for folder in (CONF_DIR, *users) for path in (folder / group).glob("*.yaml")})


def groups(users: Sequence[Path]) -> str:
    """The groups and their options, for --help, in lines of at most 80 columns."""
    found = sorted({path.parent.name for folder in (CONF_DIR, *users) for path in folder.glob("*/*.yaml")})
    return "\n".join(_group(name, options(name, users)) for name in found)


def _group(name: str, names: Sequence[str]) -> str:
    return textwrap.fill(
        ", ".join(names), COLUMNS, initial_indent=f"  {name + ':':<{INDENT - 2}}",
        subsequent_indent=" " * INDENT, break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
