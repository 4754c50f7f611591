"""A command line -> the settings of its jobs, checked, with every mistake told in one line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from noternn.config.schema import CONF_DIR, Config, FolderDataset, Tokenizer, choices, groups, parse, register
from noternn.errors import UserError, install
from noternn.launch.launchers import BY_SUBMITIT
from noternn.launch.search import distribution
from noternn.training.slurm import noted_run

HELP = """\
Train an LSTM on MIDI files and see when it overfits.

  python train.py dataset=chrono optimizer=adam     one run
  python train.py dataset=folder dataset.path=DIR   one run on the MIDI files and scores below a folder
  python train.py -m optimizer=sgd,adam             a sweep: every combination
  python train.py -m hydra/sweeper=optuna 'optimizer.lr=tag(log,interval(1e-4,1e-2))'   a search
  python train.py resume=RUN                        continue a run or sweep

Groups (choose one option each: GROUP=OPTION)

{groups}

Values (override any: NAME=VALUE)

{values}"""
MULTIRUN = "hydra.mode=MULTIRUN"
# Of Hydra's own settings those that a sweep which goes on takes from its record, and those that it sets anew.
FROM_RECORD = re.compile(
    r"hydra/(launcher|sweeper)=\w+"
    r"|hydra\.sweeper\.(n_trials|n_jobs|seed|n_startup_trials|n_warmup_epochs)=\w+"
    r"|hydra\.launcher\.(n_jobs|timeout_min|signal_delay_s|max_num_timeout|array_parallelism|nodes|tasks_per_node"
    r"|cpus_per_task|gpus_per_node|mem_gb|name|partition|qos|account|constraint)=[\w.-]+"
    r"|\+?hydra\.launcher\.ray\.(init|remote)\.num_(cpus|gpus)=\d+"
)
# What Hydra's launchers and sweepers need: a package, and the extra that brings it.
PLUGINS = {
    "hydra/launcher=joblib": ("hydra-joblib-launcher", "joblib"),
    **{f"hydra/launcher={name}": ("hydra-submitit-launcher", "submitit") for name in BY_SUBMITIT},
    "hydra/launcher=ray": ("hydra-ray-launcher", "ray"),
    "hydra/sweeper=optuna": ("optuna", "optuna"),
}
SET_ANEW = re.compile(r"hydra\.(mode|sweep\.dir|job\.config\.override_dirname\.exclude_keys)=")
# What may change when a sweep goes on: all else decides what its finished jobs came to.
MAY_CHANGE = re.compile(r"(hydra|logger|datamodule\.(cache_dir|num_processes))\b")
YOUR_FILES = "for your own files give dataset=folder dataset.path=FOLDER"


def check(arguments: Sequence[str]) -> list[str]:
    """Check a command line, every job of a sweep included, before anything is started.

    Args:
        arguments: what stands after the script's name.

    Returns:
        The arguments to hand to Hydra: the same, or with `resume=RUN` spelled out.

    Raises:
        UserError: on the first setting that does not exist or has a wrong value, in one line.
        SystemExit: if `--help` was asked for, and printed.
    """
    parsed = get_args_parser().parse_args(list(arguments))
    if parsed.help:
        print(_help(parsed.overrides))
        raise SystemExit
    if parsed.hydra_help or parsed.info or parsed.shell_completion:
        return list(arguments)
    overrides = resumed(_with_requeued_run(parsed.overrides, parsed.multirun))
    flags = [a for a in arguments if a not in parsed.overrides]
    searched = _search_path(parsed.config_dir) if parsed.config_dir else []
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        settings = _parse_overrides([*searched, *overrides])
        check_plugins(settings)
        multirun = parsed.multirun or MULTIRUN in overrides
        _check_search(settings, multirun)
        for job in _jobs(settings, multirun):
            _check_job(job)
    return [*flags, *overrides]


def check_plugins(overrides: Sequence[Override]) -> None:
    """Refuse a launcher or sweeper that is not installed; Hydra would do so after all jobs are composed."""
    for override in overrides:
        choice = f"{override.key_or_group}={override.value()}"
        if choice not in PLUGINS:
            continue
        package, extra = PLUGINS[choice]
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            raise UserError(f"{choice}: it is not installed; run: {install(extra)}") from None


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
        with _explained(fixed):
            OmegaConf.to_object(compose("config", fixed, return_hydra_config=True).hydra.sweeper)


def settings(overrides: Sequence[str]) -> Config:
    """The settings that `train.py` takes from these overrides.

    Raises:
        UserError: on the first setting that does not exist or has a wrong value, in one line.
    """
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        parsed = _parse_overrides(overrides)
        swept = next((o.input_line for o in parsed if o.is_sweep_override()), None)
        if swept:
            raise UserError(f"{swept}: several values are a sweep; give one")
        return _check_job([str(o.input_line) for o in parsed])


def corpus_settings(target: str, overrides: Sequence[str]) -> Config:
    """The settings of a training on a dataset, named by its option, or on the files at a path.

    Raises:
        UserError: if there is neither, or on a wrong setting.
    """
    second = next((o for o in overrides if o.startswith("dataset=")), None)
    if second:
        raise UserError(f"{second}: one dataset is looked at, and {target} is named already")
    datasets = _options("dataset")
    if target in datasets:
        return settings([f"dataset={target}", *overrides])
    if not os.path.lexists(os.path.expanduser(target)):
        from noternn.datasets.sources import (
            printable,  # not above: a mistake is answered before it is imported
        )

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


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))


def _search_path(config_dir: str) -> list[str]:
    """Where `--config-dir` adds options of the user's own, as an override."""
    folder = Path(config_dir).absolute()
    if not folder.is_dir():
        raise UserError(f"--config-dir {config_dir}: there is no such folder")
    return [f"hydra.searchpath=[{_quoted(f'file://{folder}')}]"]


def _with_requeued_run(overrides: Sequence[str], multirun: bool) -> list[str]:
    """With `resume=` the run of this job of Slurm, if it is started again."""
    run = None if multirun or any(o.startswith("resume=") for o in overrides) else noted_run()
    return [*overrides, f"resume={run}"] if run else list(overrides)


def resumed(overrides: Sequence[str]) -> list[str]:
    """The overrides of the run or sweep named by `resume=`, then the others, in its folder."""
    runs = [o.split("=", 1)[1] for o in overrides if o.startswith("resume=")]
    if not runs or runs[-1] in ("null", ""):
        return list(overrides)
    run = Path(_unquoted(runs[-1]))
    others = [o for o in overrides if not o.startswith("resume=")]
    if (run / "multirun.yaml").is_file():
        return _resumed_sweep(run, others)
    record = run / ".hydra" / "overrides.yaml"
    if not (run / "last.ckpt").is_file() or not record.is_file():
        advice = "give the folder of a run, which holds last.ckpt, or of a sweep"
        raise UserError(f"resume={run}: no run to continue there; {advice}")
    before = _plain(run, record, _record(run, record))
    folder = _quoted(str(run))  # that of a sweep's job holds a "="
    return [*before, *others, f"resume={folder}", "hydra.mode=RUN", f"hydra.run.dir={folder}"]


def _resumed_sweep(sweep: Path, others: Sequence[str]) -> list[str]:
    """The same for a sweep: with its launcher or another, its sweeper, and nothing else changed."""
    changed = next((o for o in others if not MAY_CHANGE.match(o.lstrip("+~"))), None)
    if changed:
        raise UserError(f"{changed}: it cannot change in a sweep that goes on; start another")
    record = sweep / "multirun.yaml"
    content = _record(sweep, record)
    try:
        task, own = (content["hydra"]["overrides"][part] for part in ("task", "hydra"))
    except (KeyError, TypeError):
        task, own = None, None
    before = _plain(sweep, record, task)
    if not _is_list_of_text(own):
        raise _unreadable(sweep, record)
    for override in own:
        if not (FROM_RECORD.fullmatch(override) or SET_ANEW.match(override)):
            raise UserError(f"resume={sweep}: its record sets {override}, which no record of a sweep may set")
    kept = [o for o in own if FROM_RECORD.fullmatch(o)]
    if any(o.startswith("hydra/launcher=") for o in others):  # the settings of another are not its own
        kept = [o for o in kept if "launcher" not in o.split("=")[0]]
    folder = _quoted(str(sweep))
    return [*before, *kept, *others, f"resume={folder}", MULTIRUN, f"hydra.sweep.dir={folder}"]


def _record(run: Path, record: Path) -> Any:
    try:
        return yaml.safe_load(record.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise _unreadable(run, record) from None


def _unreadable(run: Path, record: Path) -> UserError:
    return UserError(f"resume={run}: its record of settings cannot be read ({record})")


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _plain(run: Path, record: Path, overrides: Any) -> list[str]:
    """Recorded overrides; runs are shared, so only plain settings are taken."""
    if not _is_list_of_text(overrides):
        raise _unreadable(run, record)
    for override in overrides:
        # Hydra calls what a _target_ names, its own settings hold such, and ${} can read the environment.
        if override.lstrip("+~").startswith("hydra") or "_target_" in override or "${" in override:
            raise UserError(f"resume={run}: its record sets {override}, which no record of a run may set")
    return [override for override in overrides if not override.startswith("resume=")]


def _quoted(value: str) -> str:
    """A value as Hydra's grammar reads it back unchanged."""
    escaped = value.replace("'", "\\'")
    return f"'{escaped}'"


def _unquoted(value: str) -> str:
    """A value as the user meant it, with or without the quotes of Hydra's grammar."""
    quote = value[0]
    if quote not in "'\"" or len(value) < 2 or value[-1] != quote:
        return value
    return value[1:-1].replace(f"\\{quote}", quote)


def _parse_overrides(overrides: Sequence[str]) -> list[Override]:
    parsed = []
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())  # glob(*) asks it for options
    for text in overrides:
        name, equals, value = text.partition("=")
        try:
            parsed += parser.parse_overrides([text])
        except HydraException as error:
            quoted = f'put the value in quotes: "{name}={_quoted(value)}"'
            advice = f"cannot be read; {quoted}" if name and equals else "not a setting; write NAME=VALUE"
            raise UserError(f"{text}: {advice}") from error
    return parsed


def _jobs(overrides: Sequence[Override], multirun: bool) -> Iterator[list[str]]:
    """Overrides of jobs that together use every value of a sweep at least once."""
    fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
    swept = [_values(o) for o in overrides if o.is_sweep_override()]
    if swept and not multirun:
        name = next(o for o in overrides if o.is_sweep_override()).input_line
        raise UserError(f"{name}: several values are a sweep; add -m (python train.py -m {name})")
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
        if override.is_range_sweep():
            values = [values[0], values[-1]]
    return [f"{override.get_key_element()}={value}" for value in values]


def _check_job(overrides: list[str]) -> Config:
    with _explained(overrides):
        return parse(compose("config", overrides=overrides))


def _help(overrides: list[str]) -> str:
    """Hydra's own help goes through all its options and takes as long as to import torch."""
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"), _explained(overrides):
        values = OmegaConf.to_yaml(compose("config", overrides=overrides))
    return HELP.format(groups=groups(), values=values)


@contextmanager
def _explained(overrides: Sequence[str]) -> Iterator[None]:
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
    section, _, name = key.rpartition(".")
    names = sorted({str(k) for k in parent} - {"hydra"})
    where = f"{section} has" if section else "there are"
    advice = {
        "dataset.path": f"; {YOUR_FILES}",
        "experiment": "; the first line of an experiment's file must be: # @package _global_",
    }
    return f"{key}: there is no such setting; {where} {choices(name, names)}{advice.get(key, '')}"


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
