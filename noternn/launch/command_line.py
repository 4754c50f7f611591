"""A command line -> the settings of its jobs, checked, with every mistake told in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from noternn import __version__
from noternn.config.checks import choices
from noternn.config.checks import require as require_setting
from noternn.config.dataset import FolderDataset
from noternn.config.programs import remember_config_dir, train_command
from noternn.config.schema import CONF_DIR, Config, parse, register
from noternn.config.tokenizer import Tokenizer
from noternn.errors import UserError, require
from noternn.launch import options, users_datasets
from noternn.launch.environment import check_environment
from noternn.launch.explain import explained, settings_called
from noternn.launch.help import help_text
from noternn.launch.launchers import BY_SUBMITIT
from noternn.launch.options import users_folders
from noternn.launch.resume import MULTIRUN, quoted, resumed, with_requeued_run
from noternn.launch.search import distribution
from noternn.launch.spelling import better, switched_off
from noternn.terminal import printable
from noternn.training.cluster import check_tasks

# What Hydra's launchers and sweepers need: an extra.
PLUGINS = {
    "hydra/launcher=joblib": "joblib",
    **{f"hydra/launcher={name}": "submitit" for name in BY_SUBMITIT},
    "hydra/launcher=ray": "ray",
    "hydra/sweeper=optuna": "optuna",
}


def check(arguments: Sequence[str]) -> list[str]:
    """Check a command line, every job of a sweep included, before anything is started.

    Args:
        arguments: what stands after the script's name.

    Returns:
        The arguments to hand to Hydra: the same, or with `resume=RUN` spelled out.

    Raises:
        UserError: on the first setting that does not exist or has a wrong value, in one line.
        SystemExit: if `--help` or `--version` was asked for, and printed.
    """
    if "--version" in arguments:  # Hydra would tell its own
        print(f"noternn {__version__}")
        raise SystemExit
    # intermixed: settings may stand after -m too
    parsed, unknown = get_args_parser().parse_known_intermixed_args(list(arguments))
    remember_config_dir(Path(parsed.config_dir).absolute() if parsed.config_dir else None)
    _refuse_options(unknown, arguments)
    if parsed.help:
        print(_help(parsed.overrides, parsed.config_dir))
        raise SystemExit
    if parsed.hydra_help or parsed.info or parsed.shell_completion:
        return list(arguments)
    check_environment()
    overrides = switched_off(resumed(with_requeued_run(parsed.overrides, parsed.multirun)))
    flags = [a for a in arguments if a not in parsed.overrides]
    searched = _search_path(parsed.config_dir)
    with _composing():
        settings = _parse_overrides([*searched, *overrides])
        check_plugins(settings)
        multirun = parsed.multirun or MULTIRUN in overrides or _is_sweep(settings)
        _check_search(settings, multirun)
        for job in _jobs(settings, multirun):
            check_tasks(_check_job(job).trainer, multirun)
    return [*flags, *overrides]


def check_plugins(overrides: Sequence[Override]) -> None:
    """Refuse a launcher or sweeper that is not installed; Hydra would do so after all jobs are composed."""
    for override in overrides:
        choice = f"{override.key_or_group}={override.value()}"
        if choice not in PLUGINS:
            continue
        require(PLUGINS[choice], choice)


def _is_sweep(overrides: Sequence[Override]) -> bool:
    """Whether an experiment that is named makes a sweep of the command, without -m."""
    if not any(o.is_sweep_override() for o in overrides):
        return False  # looked at only where it matters, since it takes a while
    fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
    with explained(fixed):
        composed = compose("config", fixed, return_hydra_config=True)
    return bool(OmegaConf.select(composed, "hydra.mode") == RunMode.MULTIRUN)


def _check_search(overrides: Sequence[Override], multirun: bool) -> None:
    """Refuse what no search can draw from, and intervals where there is none."""
    is_search = any(o.key_or_group == "hydra/sweeper" and o.value() == "optuna" for o in overrides)
    if is_search and not multirun:
        raise UserError("hydra/sweeper=optuna: a search is a sweep; add -m")
    for override in (o for o in overrides if o.is_sweep_override()):
        if is_search:
            distribution(override)
        elif override.is_interval_sweep():
            raise UserError(f"{override.input_line}: only a search draws from it; add hydra/sweeper=optuna")
    if is_search:
        fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
        with explained(fixed):
            OmegaConf.to_object(compose("config", fixed, return_hydra_config=True).hydra.sweeper)


def settings(overrides: Sequence[str]) -> Config:
    """The settings that `train.py` takes from these overrides.

    Raises:
        UserError: on the first setting that does not exist or has a wrong value, in one line.
    """
    with _composing():
        parsed = _parse_overrides(overrides)
        swept = next((o.input_line for o in parsed if o.is_sweep_override()), None)
        if swept:
            raise UserError(f"{swept}: several values are a sweep; give one")
        return _check_job([str(o.input_line) for o in parsed])


def settings_of(arguments: Sequence[str]) -> Config:
    """The settings that `train.py` takes from arguments which `check` gave.

    Raises:
        UserError: as `check` does.
    """
    parsed, _ = get_args_parser().parse_known_intermixed_args(list(arguments))
    return settings([*_search_path(parsed.config_dir), *parsed.overrides])


def corpus_settings(target: str, overrides: Sequence[str]) -> Config:
    """The settings of a training on a dataset, named by its option, or on the files at a path.

    Raises:
        UserError: if there is neither, or on a wrong setting.
    """
    second = next((o for o in overrides if o.startswith("dataset=")), None)
    if second:
        raise UserError(f"{second}: one dataset is looked at, and {target} is named already")
    datasets = options.options("dataset", users_folders())
    if target in datasets:
        return settings([f"dataset={target}", *overrides])
    if not os.path.lexists(os.path.expanduser(target)):
        allowed = choices(target, datasets)
        raise UserError(
            f"{printable(target)}: there is no such file, folder or dataset; datasets are {allowed}"
        )
    config = settings(["dataset=folder", "dataset.path=.", *overrides])
    assert isinstance(config.dataset, FolderDataset)
    config.dataset.path = target  # as it is: Hydra would read quotes and ${...} in it
    return config


def other_tokenizers(config: Config) -> dict[str, Tokenizer]:
    """The options of `tokenizer` that a run does not use and that need no extra, with their defaults."""
    names = [name for name in ("event", "chord") if name != config.tokenizer.name]
    return {name: settings([f"tokenizer={name}"]).tokenizer for name in names}


def _search_path(config_dir: str | None) -> list[str]:
    """Where `--config-dir` adds options of the user's own, as an override."""
    if config_dir is None:
        return []
    folder, *_ = users_folders(config_dir)
    return [f"hydra.searchpath=[{quoted(f'file://{folder}')}]"]


@contextmanager
def _composing() -> Iterator[None]:
    """Hydra can compose in this block, from the package's options and the user's."""
    register()
    options.register()
    users_datasets.register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        yield


def _refuse_options(unknown: Sequence[str], arguments: Sequence[str]) -> None:
    """Answer `--epochs 5` with the setting that it stands for."""
    option = next((argument for argument in unknown if argument.startswith("-")), None)
    if option is None:
        return
    name, equals, value = option.lstrip("-").partition("=")
    after = [*arguments[list(arguments).index(option) + 1 :], "VALUE"][0]
    if not equals:
        value = after if "=" not in after and not after.startswith("--") else "VALUE"
    with _composing():
        found = settings_called(name.replace("-", "_"), compose("config"))
    advice = f"write {' or '.join(f'{setting}={value}' for setting in found)}" if found else "see --help"
    raise UserError(f"{option}: there is no such option; {advice}")


def _parse_overrides(overrides: Sequence[str]) -> list[Override]:
    parsed = []
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())  # glob(*) asks it for options
    for text in overrides:
        name, equals, value = text.partition("=")
        try:
            parsed += parser.parse_overrides([text])
        except HydraException as error:
            meant = better(text)
            advice = f"write {meant}" if meant else f'put the value in quotes: "{name}={quoted(value)}"'
            advice = f"cannot be read; {advice}" if name and equals else "not a setting; write NAME=VALUE"
            raise UserError(f"{text}: {advice}") from error
    return parsed


def _jobs(overrides: Sequence[Override], multirun: bool) -> Iterator[list[str]]:
    """Overrides of jobs that together use every value of a sweep at least once."""
    fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
    swept = [_values(o) for o in overrides if o.is_sweep_override()]
    if swept and not multirun:
        name = next(o for o in overrides if o.is_sweep_override()).input_line
        setting, _, value = str(name).partition("=")
        raise UserError(
            f"{name}: several values are a sweep; add -m ({train_command()} -m {name}), or write one value "
            f'with a comma in quotes: "{setting}={quoted(value)}"'
        )
    yield fixed + [values[0] for values in swept]
    for i, values in enumerate(swept):
        others = [v[0] for j, v in enumerate(swept) if j != i]
        for value in values[1:]:
            yield fixed + others + [value]


def _values(override: Override) -> list[str]:
    """The settings of a sweep over a list, a range or an interval; the ends of these two.

    What lies between two good numbers is good.
    """
    swept = override.value()
    if isinstance(swept, IntervalSweep):
        values = [f"{swept.start}", f"{swept.end}"]
    else:
        values = list(override.sweep_string_iterator())
        if not values:
            raise UserError(f"{override.input_line}: there is nothing in it; give a range such as range(0,3)")
        if override.is_range_sweep():
            values = [values[0], values[-1]]
    return [f"{override.get_key_element()}={value}" for value in values]


def _check_job(overrides: list[str]) -> Config:
    with explained(overrides):
        composed = compose("config", overrides=overrides, return_hydra_config=True)
        users_datasets.refuse_incomplete(composed)
        n_jobs = OmegaConf.select(composed, "hydra.launcher.n_jobs", default=None)
        require_setting(n_jobs != 0, "hydra.launcher.n_jobs", n_jobs, "-1 for one a core, or at least 1")
        tasks = OmegaConf.select(composed, "hydra.launcher.tasks_per_node", default=1)
        require_setting(
            tasks == 1, "hydra.launcher.tasks_per_node", tasks, "1: a job starts trainer.devices itself"
        )
        with open_dict(composed):
            del composed["hydra"]
        return parse(composed)


def _help(overrides: list[str], config_dir: str | None) -> str:
    """Hydra's own help goes through all its options and takes as long as to import torch."""
    with _composing(), explained(overrides):
        config = compose("config", overrides=[*_search_path(config_dir), *overrides])
    return help_text(config, users_folders(config_dir))
