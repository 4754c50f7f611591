"""What lies in a run's folder and where: the one place that names its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from noternn.errors import UserError
from noternn.terminal import printable

GPUS = ".gpus"  # in a sweep's folder: which of them its jobs have taken
EPOCHS = ".epochs"  # in a sweep's folder: how many its jobs train
CACHE = ".cache"  # in a sweep's folder: the tokens of its corpora, where there is no other place for them

MAX_SPLIT_BYTES = 100_000_000  # of split.json, which names every piece


@dataclass(frozen=True)
class RunFolder:
    """The files of a run, or of a sweep; none of them need be there.

    Args:
        path: the folder.
    """

    path: Path

    @property
    def best_checkpoint(self) -> Path:
        """The weights of the epoch with the lowest validation nll."""
        return self.path / "best.ckpt"

    @property
    def last_checkpoint(self) -> Path:
        """All that a run needs to go on from its last step."""
        return self.path / "last.ckpt"

    @property
    def checkpoints(self) -> Path:
        """The folder of the weights that are kept besides."""
        return self.path / "checkpoints"

    def checkpoint(self, epoch: int) -> Path:
        """The weights at the end of an epoch."""
        return self.checkpoints / f"epoch_{epoch:03d}.ckpt"

    @property
    def metrics(self) -> Path:
        """The losses, a row an epoch."""
        return self.path / "metrics.csv"

    @property
    def curves(self) -> Path:
        """The picture of the losses."""
        return self.path / "curves.png"

    @property
    def summary(self) -> Path:
        """What the run came to, written at its very end."""
        return self.path / "summary.json"

    @property
    def split(self) -> Path:
        """Which pieces it trains on, which are held out, and which were skipped."""
        return self.path / "split.json"

    @property
    def audit(self) -> Path:
        """How much the samples of each epoch copy, a row an epoch."""
        return self.path / "audit.csv"

    @property
    def health(self) -> Path:
        """The figures of held-out pieces, to compare a sample with."""
        return self.path / "health.json"

    @property
    def sample(self) -> Path:
        """What the best weights composed."""
        return self.path / "sample.mid"

    @property
    def samples(self) -> Path:
        """The folder of what the weights of some epochs composed."""
        return self.path / "samples"

    @property
    def wandb(self) -> Path:
        """A link to what wandb keeps of the run."""
        return self.path / "wandb"

    @property
    def owner(self) -> Path:
        """While a process trains here, its note, see `noternn.runs.owner`."""
        return self.path / ".owner"

    @property
    def record(self) -> Path:
        """The folder of the settings that the run was trained with, see `noternn.runs.record`."""
        return self.path / ".hydra"

    @property
    def settings(self) -> Path:
        """All settings of the run."""
        return self.record / "config.yaml"

    @property
    def choices(self) -> Path:
        """Which option was chosen for each group of settings."""
        return self.record / "hydra.yaml"

    @property
    def overrides(self) -> Path:
        """What the run was given on its command line."""
        return self.record / "overrides.yaml"

    @property
    def multirun(self) -> Path:
        """Of a sweep: its settings."""
        return self.path / "multirun.yaml"

    @property
    def sweep_table(self) -> Path:
        """Of a sweep: what its jobs came to, a row a job."""
        return self.path / "sweep.csv"

    @property
    def learning_curve(self) -> Path:
        """Of a sweep: the picture of what more music buys."""
        return self.path / "learning_curve.png"

    @property
    def is_run(self) -> bool:
        """Whether this is a run that has begun to train."""
        return self.split.is_file()

    @property
    def is_sweep(self) -> bool:
        """Whether this is a sweep."""
        return self.multirun.is_file()

    @property
    def holds_music_or_losses(self) -> bool:
        """Whether there is anything to hear or to see of a run."""
        return any(path.exists() for path in (self.metrics, self.samples, self.sample, self.settings))

    @property
    def jobs(self) -> list[Path]:
        """The folders of all runs in it, at any depth, and of itself if it is one, in order."""
        traces = (self.summary, self.metrics, self.record)
        return sorted({found.parent for trace in traces for found in self.path.rglob(trace.name)})


def refuse_links(folder: Path) -> None:
    """Refuse the folder of a run or sweep that holds symbolic links, through which others could be written.

    The link `wandb` of a run is left alone, which nothing follows. So are the links that wandb makes in its
    own folder, and entries of a token cache.

    Raises:
        UserError: names the first link.
    """
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        for name in sorted(folders + files):
            if (here / name).is_symlink() and (name != "wandb" or RunFolder(here).is_sweep):
                _refuse(here / name)
        folders[:] = [name for name in folders if name not in ("wandb", CACHE, GPUS)]


def refuse_links_on_the_way(path: Path) -> None:
    """Refuse a file to write if a link within the folder of a run or sweep leads to where it would lie.

    Raises:
        UserError: names the link.
    """
    links: list[Path] = []
    for parent in path.parents:
        if parent.is_symlink():
            links.append(parent)
        folder = RunFolder(parent)
        below = [link for link in links if link != parent]
        if below and (folder.is_sweep or folder.is_run or folder.settings.is_file()):
            _refuse(below[0])


def _refuse(link: Path) -> None:
    raise UserError(
        f"{printable(str(link))}: is a symbolic link in the folder of a run, through which other files would "
        "be written; remove it, or put what it leads to in its place"
    )
