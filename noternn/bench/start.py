"""How soon a command answers, how soon training begins, and how long a sweep takes, as processes.

They take turns, as in `noternn.bench.timing`. On a machine that does other things too, look at their
seconds of processor time; what runs side by side is faster only by the clock.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Never

import noternn
from noternn.bench.ingest import write_pieces
from noternn.errors import UserError
from noternn.training.preload import preload

Row = dict[str, Any]
TRAIN = (sys.executable, "-m", "noternn", "train")
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def bench_start(overrides: Sequence[str] = (), repeats: int = 5) -> tuple[str, list[Row]]:
    """Compare answers of `noternn train` with `import torch`, and time a second start until the first step.

    Args:
        overrides: settings of the run that is started, beside a folder for it.
        repeats: that count.

    Returns:
        what was measured, in a line, and the rows; `share_of_torch` is by processor time.
    """
    with tempfile.TemporaryDirectory() as folder:
        start = [sys.executable, "-m", "noternn.bench.start", f"hydra.run.dir={folder}/${{now:%f}}"]
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "a wrong setting": [*TRAIN, "optimizer=adamm"],
            "--help": [*TRAIN, "--help"],
            "first step, beyond imports": [*start, *overrides],
        }
        rows = _in_turns(commands, Path.cwd(), repeats)
    rows = [row | {"share_of_torch": row["cpu_seconds"] / rows[0]["cpu_seconds"]} for row in rows]
    return "whole processes; the corpus of the run is cached", rows


def bench_sweep(num_runs: int = 6, repeats: int = 1, overrides: Sequence[str] = ()) -> tuple[str, list[Row]]:
    """Compare a sweep side by side, each job on its share of the cores, with one job after the other on all.

    Args:
        num_runs: of the sweep.
        repeats: that count.
        overrides: settings of all runs.

    Returns:
        what was measured, in a line, and the rows; `times_first` is by the clock.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_pieces(folder / "midi")
        sweep = [*TRAIN, "-m", f"seed=range({num_runs})", "dataset=folder"]
        sweep += ["dataset.path=midi", "logger=csv", "trainer.max_epochs=5", "early_stopping=none"]
        sweep += ["trainer.accelerator=cpu", "hydra.sweep.dir=runs/${now:%H-%M-%S-%f}", *overrides]
        commands = {
            "one after the other": sweep,
            "side by side": [*sweep, "hydra/launcher=joblib"],
        }
        rows = _in_turns(commands, folder, repeats)
    rows = [row | {"times_first": rows[0]["seconds"] / row["seconds"]} for row in rows]
    return f"a sweep of {num_runs} runs on {os.cpu_count()} cores", rows


def _in_turns(commands: Mapping[str, Sequence[str]], folder: Path, repeats: int) -> list[Row]:
    """Run commands in turns, after a first turn that counts only if there is no other."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(repeats + 1):
        for name, command in commands.items():
            times[name].append(_time(command, folder))
    rows: list[Row] = []
    for name, turns in times.items():
        counted = turns[1:] or turns
        wall, cpu = (statistics.median(column) for column in zip(*counted, strict=True))
        walls = [seconds for seconds, _ in counted]
        spread = max(walls) / min(walls)
        rows.append({"name": name, "seconds": wall, "cpu_seconds": cpu, "spread": spread})
    return rows


def _time(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds by the clock and of the processor; those that the command prints, if it does, as JSON."""
    environment = {name: value for name, value in os.environ.items() if name not in THREAD_SETTINGS}
    environment |= {"WANDB_MODE": "offline", "PYTHONPATH": str(Path(noternn.__file__).parents[1])}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode and not done.stderr.startswith("error: optimizer=adamm"):
        raise UserError(f"{' '.join(command)}: {(done.stderr.splitlines() or ['it failed'])[-1]}")
    if done.stdout.startswith("["):
        wall, cpu = json.loads(done.stdout)
        return wall, cpu
    return seconds, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def _print_time_to_first_step(arguments: list[str]) -> None:
    """Start a training in this process, with all imported that it needs, and end it at the first step."""
    preload()
    from noternn.training.module import NoteRNN

    wall, cpu = time.perf_counter(), time.process_time()

    def end(*_: object) -> Never:
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
        sys.exit()

    NoteRNN.training_step = end  # type: ignore[assignment, method-assign]
    sys.argv[1:] = ["train", *arguments]
    runpy.run_module("noternn", run_name="__main__")


if __name__ == "__main__":
    _print_time_to_first_step(sys.argv[1:])
