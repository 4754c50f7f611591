"""What `--help` prints: how a training is started, the options of each group, and what each setting does."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from omegaconf import DictConfig, OmegaConf

from noternn.config.checks import helps
from noternn.config.programs import TRAIN
from noternn.launch.options import COLUMNS, groups

HELP = """\
Train an LSTM on MIDI files and see when it overfits.

  {train} dataset=chrono optimizer=adam     one run
  {train} dataset=folder dataset.path=DIR   one run on your own files
  {train} -m optimizer=sgd,adam             a sweep: every combination
  {train} -m hydra/sweeper=optuna \\
    'optimizer.lr=tag(log,interval(1e-4,1e-2))'         a search
  {train} init_from=RUN recipe=finetune     start from a trained network
  {train} resume=RUN                        continue a run or sweep

Groups (choose one option each: GROUP=OPTION)

{groups}

Values (override any: SECTION.NAME=VALUE)

{values}"""
INDENT = 29  # of what a setting does, behind its value


def help_text(config: DictConfig, users: Sequence[Path]) -> str:
    """What `--help` prints, in lines of at most 80 columns.

    Args:
        config: composed; its values are told.
        users: the folders with options of the user's own.
    """
    return HELP.format(train=TRAIN, groups=groups(users), values="\n".join(_settings(config)))


def _settings(section: DictConfig, indent: str = "") -> list[str]:
    """The lines of a section: YAML, with what each setting does as a comment."""
    type_ = OmegaConf.get_type(section)
    texts = helps(type_) if dataclasses.is_dataclass(type_) and isinstance(type_, type) else {}
    values = OmegaConf.to_container(section, resolve=False)
    assert isinstance(values, dict)
    lines = []
    for name, value in ((str(key), value) for key, value in values.items()):
        text = texts.get(name, "")  # what was added with + has none
        if dataclasses.is_dataclass(OmegaConf.get_type(section, name)):
            lines += [*_commented([f"{indent}{name}:"], text), *_settings(section[name], indent + "  ")]
        else:
            lines += _commented(_value(name, value, indent), text)
    return lines


def _value(name: str, value: Any, indent: str) -> list[str]:
    """`name: value` as YAML, with a list, or folders by name, in one line where it fits."""
    flow = None if isinstance(value, (dict, list)) else False
    text = yaml.safe_dump(
        {name: value}, default_flow_style=flow, allow_unicode=True, width=float("inf"), sort_keys=False
    )
    return [line for long in text.splitlines() for line in _wrapped(long, indent, indent + "    ")]


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text, COLUMNS, initial_indent=first, subsequent_indent=others, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _commented(lines: list[str], text: str) -> list[str]:
    """A setting with a comment beside it, or below where the value is long."""
    comment = _wrapped(text, " " * INDENT + "# ", " " * INDENT + "# ")
    if comment and len(lines[-1]) < INDENT - 1:
        beside = lines[-1] + comment[0][len(lines[-1]) :]
        return [*lines[:-1], beside, *comment[1:]]
    return lines + comment
