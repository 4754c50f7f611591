"""One run: data, network, training, and what it leaves in its folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.loggers import Logger

from noternn.audit.curve import FILE_NAME as AUDIT
from noternn.config import schema as configuration
from noternn.config.dataset import Dataset
from noternn.config.schema import Config
from noternn.corpus.reading import ReadingOptions
from noternn.corpus.splits import SPLITS, EncodedCorpus
from noternn.datasets.configured import ready_made_split
from noternn.datasets.sources import Source
from noternn.errors import UserError
from noternn.files import shortest, write_text
from noternn.model.lstm import num_parameters
from noternn.runs.curves import save_curves
from noternn.runs.epochs import best_row
from noternn.runs.summary import FILE_NAME as SUMMARY
from noternn.sampling.composer import load_checkpoint, load_composer
from noternn.tables import read_csv
from noternn.training import slurm
from noternn.training.callbacks import OverfittingCurve, Pruning
from noternn.training.datamodule import MidiDataModule
from noternn.training.devices import check_devices
from noternn.training.loggers import build_loggers, check_loggers
from noternn.training.messages import describe_network, say_how_to_resume, summary_text
from noternn.training.module import NoteRNN
from noternn.training.results import judgement_of, losses_of, sizes_of, versions
from noternn.training.resume import check_resumable, is_trained
from noternn.training.samples import Samples
from noternn.training.stopping import Stopped, StopRequest
from noternn.training.tracking import Tracker, track
from noternn.training.trainer import LAST, build_callbacks, build_trainer, quiet_libraries

log = logging.getLogger(__name__)

MAX_SKIPPED_LINES = 20
METRICS = "metrics.csv"


def train(
    config: Config,
    sources: Sequence[Source],
    run_dir: Path,
    sweep: str | None = None,
    stop: StopRequest | None = None,
    is_hopeless: Callable[[int, float], bool] | None = None,
) -> dict[str, Any]:
    """Train, compose and write everything into the run's folder.

    Args:
        config: the checked configuration.
        sources: the files of its dataset.
        run_dir: exists; `best.ckpt`, `last.ckpt`, `metrics.csv`, `summary.json`, `split.json`,
            `curves.png`, `sample.mid` and the checkpoints are written there.
        sweep: name of the sweep that the run belongs to, or None.
        stop: what signals ask for; None where nobody answers them.
        is_hopeless: given an epoch, counted from 1, and its val/nll: whether to end there; None never does.

    Returns:
        What summary.json holds.

    Raises:
        UserError: if the corpus or the folder cannot be used, or if training diverges.
        Stopped: by a signal, when last.ckpt holds the step that the run was at.
    """
    pruning = Pruning(is_hopeless) if is_hopeless else None
    try:
        return _train(config, sources, run_dir, sweep, stop or StopRequest(), pruning)
    except Stopped as stopped:
        if (run_dir / METRICS).exists():
            _draw_curves(config, run_dir)
        say_how_to_resume(run_dir, (run_dir / LAST).exists())
        if stopped.name == "SIGUSR1" and not sweep and slurm.requeue():
            log.info("Slurm starts the job again, and it goes on by itself")
        raise


def _train(
    config: Config,
    sources: Sequence[Source],
    run_dir: Path,
    sweep: str | None,
    stop: StopRequest,
    pruning: Pruning | None,
) -> dict[str, Any]:
    if not config.resume and (run_dir / METRICS).exists():
        raise UserError(f"{run_dir} already holds a run; continue it with resume={run_dir}, or wait a second")
    check_loggers(config.logger)
    check_devices(config.trainer.accelerator, config.trainer.precision)
    plain = configuration.to_plain(config)
    resumed = _resumed(config, plain, run_dir) if config.resume else None
    if not sweep:  # what starts a sweep's job again knows its folder
        slurm.note_run(run_dir)
    data = load_data(config.dataset, plain, sources)
    if resumed and data.corpus.fingerprint != resumed["noternn"]["corpus_fingerprint"]:
        raise UserError(
            f"resume={config.resume}: it was trained with other files, or split otherwise; start a new run"
        )
    _write_split(data, run_dir / "split.json")
    torch.manual_seed(config.seed)
    module = NoteRNN.of(plain, data.codec)
    describe_network(num_parameters(module.network), data.corpus.sizes["train"].num_notes)
    log.info("run folder: %s", shortest(run_dir))
    wandb = config.logger
    with track(wandb.mode, wandb.project, wandb.entity, run_dir, sweep, plain) as tracker:
        summary = TrainingRun(config, run_dir, data, module, stop, tracker, pruning, sweep).complete(resumed)
    slurm.forget_run()
    return summary


def _resumed(config: Config, plain: dict[str, Any], run_dir: Path) -> dict[str, Any]:
    """What last.ckpt of a run that can go on holds."""
    checkpoint = load_checkpoint(run_dir / LAST)
    check_resumable(config, plain, checkpoint, run_dir)
    for half_written in run_dir.rglob(".*.tmp"):  # by a process that was killed
        half_written.unlink()
    return checkpoint


def _draw_curves(config: Config, run_dir: Path) -> None:
    audits = read_csv(run_dir / AUDIT) if (run_dir / AUDIT).exists() else []
    save_curves(run_dir / METRICS, run_dir / "curves.png", f"{config.dataset.name}, {run_dir.name}", audits)


def load_data(dataset: Dataset, plain: dict[str, Any], sources: Sequence[Source]) -> MidiDataModule:
    """The corpus of a run, read or from the cache, split and encoded; messages say what is in it.

    Args:
        dataset: its section of the configuration.
        plain: the whole configuration as plain data.
        sources: the files of the dataset.
    """
    ready_made = ready_made_split(dataset, sources)
    data = MidiDataModule(
        [source for source in sources if ready_made is None or source.name in ready_made],
        plain["tokenizer"],
        **plain["datamodule"],
        **plain["augmentation"],
        seed=plain["seed"],
        validation_fraction=dataset.validation_fraction,
        test_fraction=dataset.test_fraction,
        train_fraction=dataset.train_fraction,
        options=ReadingOptions(dataset.tracks, dataset.pedal, dataset.limits),
        ready_made=ready_made,
    )
    data.prepare_data()
    data.setup()
    _describe_data(dataset.name, data)
    return data


def _describe_data(name: str, data: MidiDataModule) -> None:
    """Say what was read, dropped, split and lost."""
    tokenized, corpus = data.tokenized, data.corpus
    log.info(
        "dataset %s: %d pieces read, %d skipped",
        name,
        tokenized.num_pieces,
        len(tokenized.skipped),
    )
    for skipped in tokenized.skipped[:MAX_SKIPPED_LINES]:
        log.warning("  skipped %s: %s", skipped.name, skipped.reason)
    if len(tokenized.skipped) > MAX_SKIPPED_LINES:
        log.warning("  ... and %d more: see split.json", len(tokenized.skipped) - MAX_SKIPPED_LINES)
    for split in SPLITS:
        size = corpus.sizes[split]
        log.info(
            "  %-10s %4d pieces, %8s notes, %8s tokens, %5.1f min, unknown tokens %.2f %%",
            split, size.num_pieces, f"{size.num_notes:,}", f"{size.num_tokens:,}",
            size.seconds / 60, 100 * size.unknown_fraction,
        )  # fmt: skip
    if corpus.unused:
        log.info(
            "  %-10s %4d pieces: dataset.train_fraction=%g", "unused", len(corpus.unused), data.train_fraction
        )
    _describe_duplicates(corpus, data.ready_made is not None)
    trip = tokenized.column("round_trip")
    notes = trip[:, 0] / trip[:, 0].sum()
    kept = notes * trip[:, 1]
    log.info(
        "tokenizer %s: vocabulary %d; of the notes %.2f %% are kept, "
        "their onsets within %.4f beats and durations within %.4f on average",
        data.tokenizer["name"], len(corpus.vocabulary), 100 * kept.sum(),
        np.average(trip[:, 2], weights=kept), np.average(trip[:, 3], weights=kept),
    )  # fmt: skip


def _describe_duplicates(corpus: EncodedCorpus, is_ready_made: bool) -> None:
    """Say how many copies there are, and what of the validation split training holds."""
    num_pieces = sum(map(len, corpus.duplicates))
    log.info("  %d near-duplicate groups, %d pieces in them", len(corpus.duplicates), num_pieces)
    copied = (
        f"  of the validation notes {100 * corpus.leak.grouped:.1f} % stand in passages copied from training"
    )
    if not is_ready_made:
        log.info("%s; with copies on both sides it would be %.1f %%", copied, 100 * corpus.leak.ungrouped)
    elif corpus.num_crossing:
        log.warning("%s; %d of the groups have pieces in several splits", copied, corpus.num_crossing)
    else:
        log.info(copied)


def _write_split(data: MidiDataModule, path: Path) -> None:
    """Which piece is in which split, which ones are near-duplicates, and which files were left out."""
    corpus = data.corpus
    names, music_hashes = corpus.names, corpus.music_hashes
    content = {
        "fingerprint": data.corpus.fingerprint,
        "seed": data.seed,
        "sizes": {name: asdict(corpus.sizes[name]) for name in SPLITS},
        "copied_validation_notes": asdict(corpus.leak),
        "duplicates": {
            "num_groups": len(corpus.duplicates),
            "num_pieces": sum(map(len, corpus.duplicates)),
            "num_in_several_splits": corpus.num_crossing,
            "groups": corpus.duplicates,
        },
        **{name: dict(sorted(zip(names[name], music_hashes[name], strict=True))) for name in SPLITS},
        "unused": corpus.unused,
        "skipped": {skipped.name: skipped.reason for skipped in data.tokenized.skipped},
    }
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False))


@dataclass
class TrainingRun:
    """A run that trains: what its steps share."""

    config: Config
    run_dir: Path
    data: MidiDataModule
    module: NoteRNN
    stop: StopRequest
    tracker: Tracker
    pruning: Pruning | None = None
    sweep: str | None = None

    def __post_init__(self) -> None:
        self.curve = OverfittingCurve(self.run_dir / METRICS, self.data.corpus.sizes["validation"])
        self.samples = Samples(self.run_dir, self.data, self.config.sampling, self.tracker)

    def complete(self, resumed: dict[str, Any] | None) -> dict[str, Any]:
        """Train from the start or from a checkpoint, then write what the run came to."""
        (self.run_dir / SUMMARY).unlink(missing_ok=True)  # of the run before it was resumed
        state = resumed["callbacks"][self.curve.state_key] if resumed else {"rows": []}
        if state["rows"]:
            self.tracker.best(best_row(state["rows"]))
        if resumed and is_trained(self.config, resumed):
            self.curve.load_state_dict(state)
        else:
            self.fit(from_checkpoint=resumed is not None)
        return self._finish()

    def fit(self, from_checkpoint: bool) -> None:
        """Train from the start or from last.ckpt until it is enough or a signal stops it."""
        quiet_libraries()
        callbacks = build_callbacks(
            self.config, self.run_dir, self.curve, self._compose, self.stop, self.pruning
        )
        with self.stop.deferred():
            build_trainer(self.config, self.run_dir, self._loggers(), callbacks).fit(
                self.module,
                datamodule=self.data,
                ckpt_path=self.run_dir / LAST if from_checkpoint else None,
                weights_only=True,
            )

    def _loggers(self) -> list[Logger]:
        settings = self.config.logger
        others = build_loggers(settings, self.run_dir, self.sweep, configuration.to_plain(self.config))
        wandb = self.tracker.lightning_logger()
        return [wandb, *others] if wandb else others

    def _compose(self, epoch: int) -> None:
        self.samples.make(self.module.evaluated, epoch)
        self.tracker.curves(self.curve.rows)

    def _finish(self) -> dict[str, Any]:
        """The best weights' sample, the curves and the summary."""
        epoch = int(best_row(self.curve.rows)["epoch"])
        statistics = self.samples.make_best(load_composer(self.run_dir / "best.ckpt"), epoch)
        _draw_curves(self.config, self.run_dir)
        summary = self._summary(statistics, epoch)
        write_text(self.run_dir / SUMMARY, json.dumps(summary, indent=1))
        self.tracker.curves(self.curve.rows)
        self.tracker.finish(summary, self.run_dir / "curves.png")
        print(summary_text(summary, self.run_dir, self.config.logger, self.tracker))
        return summary

    def _summary(self, sample: dict[str, Any], epoch: int) -> dict[str, Any]:
        rows, corpus = self.curve.rows, self.data.corpus
        is_pruned = self.pruning is not None and self.pruning.is_pruned
        plain, num_pieces = configuration.to_plain(self.config), corpus.sizes["validation"].num_pieces
        return {
            "status": "pruned" if is_pruned else "finished",
            **losses_of(rows, corpus),
            **sizes_of(corpus, num_parameters(self.module.network), self.data.train_fraction),
            **judgement_of(rows, plain, num_pieces, is_pruned),
            "sample": sample,
            **self.samples.copied(epoch),
            "versions": versions(),
        }
