"""Hydra's and OmegaConf's errors in one line: what was given, what is allowed, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from noternn.config.checks import choices
from noternn.config.training import REFUSED
from noternn.errors import UserError

YOUR_FILES = "for your own files give dataset=folder dataset.path=FOLDER"
OTHER_NAMES = {
    "epochs": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "learning_rate": "optimizer.lr",
    "layers": "model.num_layers",
    "hidden_dim": "model.hidden_size",
    "device": "trainer.accelerator",
}


@contextmanager
def explained(overrides: Sequence[str]) -> Iterator[None]:
    """Raise a mistake in a composition as a UserError of one line; `overrides` are what was composed."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(_explain(error, overrides)) from error
    except yaml.YAMLError as error:
        raise UserError(" ".join(str(error).split())) from error


def _explain(error: Exception, overrides: Sequence[str]) -> str:
    """A composition error in one line: what was given, what is allowed."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _explain_option(error.missing_cfg_file, error.options or [], overrides)
    cause = error.__cause__ or error.__context__ or error
    in_file = re.match(r"In '([^']+)': \w+ raised while composing", str(error))
    where = f"{in_file.group(1)}.yaml: " if in_file else ""
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
        return where + _explain_unknown(str(cause.full_key), cause.parent_node)
    present = re.search(r"An item is already at '([^']+)'", str(error))
    if present:
        return f"+{present.group(1)}: this setting is there already; leave out the +"
    wrong = re.search(r"Error merging override (.+)", str(error))
    if wrong:
        return f"{wrong.group(1)}: {_wrong_type(cause)}"
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{where}{cause.full_key}: {_wrong_type(cause)}"
    return where + _first_line(cause)


def _explain_option(file: str, options: Sequence[str], overrides: Sequence[str]) -> str:
    """`file`, as in optimizer/adamm, is not there."""
    settings = [o.lstrip("+").split("=", 1) for o in overrides if "=" in o]
    group, option = next((s for s in settings if "/".join(s) == file), file.lstrip("/").rsplit("/", 1))
    allowed = choices(option, [o for o in options if not o.startswith("_")])
    advice = f"; {YOUR_FILES}" if group == "dataset" else ""
    return f"{group}={option}: there is no such {group}; choose {allowed}{advice}"


def _explain_unknown(key: str, parent: Any) -> str:
    """`key` is none of the settings in `parent`."""
    if key in REFUSED:
        return f"{key}: {REFUSED[key]}"
    section, _, name = key.rpartition(".")
    meant = [] if section else settings_called(name, parent)
    if meant:
        return f"{key}: there is no such setting; did you mean {' or '.join(meant)}?"
    names = sorted({str(k) for k in parent} - {"hydra"})
    where = f"{section} has" if section else "there are"
    advice = {
        "dataset.path": f"; {YOUR_FILES}",
        "experiment": "; the first line of an experiment's file must be: # @package _global_",
    }
    if section == "optimizer" and OmegaConf.get_type(parent) is dict:  # of the user's own
        advice[key] = f"; to give a keyword argument that its file lacks write +{key}=..."
    return f"{key}: there is no such setting; {where} {choices(name, names)}{advice.get(key, '')}"


def settings_called(name: str, composed: Any) -> list[str]:
    """The full names of the settings that are called so, such as optimizer.lr for lr.

    Args:
        name: without its section.
        composed: all settings.
    """
    if name in OTHER_NAMES:
        return [OTHER_NAMES[name]]
    if name in composed:
        return [name]
    sections = [str(key) for key in composed if not OmegaConf.is_missing(composed, key)]
    return [f"{section}.{name}" for section in sections if name in _names(composed[section])]


def _names(section: Any) -> set[str]:
    return {str(key) for key in section} if isinstance(section, DictConfig) else set()


def _wrong_type(error: BaseException) -> str:
    """OmegaConf's words for a value of the wrong type in the words of a user."""
    text = _first_line(error)
    allowed = {
        "converted to Float": "a number such as 0.5",
        "converted to Integer": "an integer such as 2",
        "not a valid bool": "true or false",
        "not a ListConfig": "a list such as [0.9,0.99]",
        "not Optional": "a value, not null",
        "not a subclass of": "given setting by setting, as SECTION.SETTING=VALUE",
    }
    return next((f"it must be {words}" for found, words in allowed.items() if found in text), text)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
