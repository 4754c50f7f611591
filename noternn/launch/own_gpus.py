"""Which GPUs a job of a sweep has for itself, beside the other jobs of this machine."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noternn.runs.folder import GPUS

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, by number or name; asking wakes none of them."""
    named = os.environ.get(VISIBLE)
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@contextmanager
def own_gpus(sweep_dir: Path, num_each: int) -> Iterator[str | None]:
    """The GPUs of one job of a sweep in this block, as CUDA_VISIBLE_DEVICES takes them; None leaves all.

    Jobs that are more than there are GPUs for share them evenly. A job whose process dies gives its own back.

    Args:
        sweep_dir: the sweep's folder, in which its jobs find what is taken.
        num_each: GPUs of a job.
    """
    gpus = visible_gpus()
    num_groups = len(gpus) // num_each
    if num_groups < 2:
        yield None
        return
    folder = sweep_dir / GPUS
    folder.mkdir(parents=True, exist_ok=True)
    number, file = _first_free(folder, num_groups)
    try:
        yield ",".join(gpus[number * num_each : (number + 1) * num_each])
    finally:
        os.close(file)


def _first_free(folder: Path, num_groups: int) -> tuple[int, int]:
    """The group of GPUs that the fewest jobs have, and the open file whose lock says so."""
    import fcntl  # jobs have processes of their own on Linux alone

    for place in itertools.count():
        num_sharing, number = divmod(place, num_groups)
        file = os.open(folder / f"{number}_{num_sharing}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number, file
        except OSError:
            os.close(file)
    raise AssertionError
