"""One run: data, network, training, and what it leaves in its folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import Logger

from noternn.config import schema as configuration
from noternn.config.checks import AUTO
from noternn.config.schema import Config
from noternn.corpus.changes import changed_files
from noternn.corpus.loading import Corpus, corpus_of
from noternn.datasets.configured import licences_of
from noternn.datasets.sources import Source
from noternn.errors import UserError
from noternn.files import shortest, write_text
from noternn.model.build import USUAL_SIZE, decided, num_parameters
from noternn.model.checkpoint import CHECKPOINT_KEY, load_checkpoint
from noternn.runs.curves import save_curves
from noternn.runs.epochs import best_row
from noternn.runs.folder import RunFolder, refuse_links
from noternn.runs.leftover import forget_false_start, forget_half_written, refuse_second_run
from noternn.sampling.composer import composer_of
from noternn.tables import read_csv
from noternn.training import slurm
from noternn.training.ancestor import Ancestor, ancestor_of, start_of, with_network_of
from noternn.training.callbacks import AtomicCheckpointIO, OverfittingCurve, Pruning
from noternn.training.datamodule import MidiDataModule
from noternn.training.devices import check_devices
from noternn.training.followers import started_ranks
from noternn.training.length import with_length
from noternn.training.loggers import build_loggers, check_loggers
from noternn.training.messages import (
    describe_network,
    describe_ranks,
    describe_steps,
    say_how_to_resume,
    summary_text,
)
from noternn.training.module import NoteRNN
from noternn.training.monitors import build_monitors, check_monitors
from noternn.training.optim import check_optimizer
from noternn.training.precision import decided_precision
from noternn.training.results import judgement_of, losses_of, sizes_of, versions
from noternn.training.resume import as_begun, check_audits, check_resumable, is_trained, told_as_unusable
from noternn.training.samples import Samples
from noternn.training.stopping import Stopped, StopRequest
from noternn.training.tracking import Tracker, track
from noternn.training.trainer import build_callbacks, build_trainer, quiet_libraries

log = logging.getLogger(__name__)


def train(
    config: Config,
    sources: Sequence[Source],
    run_dir: Path,
    sweep: Path | None = None,
    stop: StopRequest | None = None,
    is_hopeless: Callable[[int, float], bool] | None = None,
    begin: Callable[[Config], object] | None = None,
) -> dict[str, Any]:
    """Train, compose and write everything into the run's folder; what is refused has written nothing there.

    Args:
        config: the checked configuration.
        sources: the files of its dataset.
        run_dir: exists; `best.ckpt`, `last.ckpt`, `metrics.csv`, `summary.json`, `split.json`,
            `curves.png`, `sample.mid` and the checkpoints are written there.
        sweep: the folder of the sweep that the run belongs to, or None.
        stop: what signals ask for; None where nobody answers them.
        is_hopeless: given an epoch, counted from 1, and its val/nll: whether to end there; None never does.
        begin: called once when all is checked, before the first file is written, with the settings that
            are trained with, in which nothing is left to decide.

    Returns:
        What summary.json holds.

    Raises:
        UserError: if the corpus or the folder cannot be used, or if training diverges.
        Stopped: by a signal, when last.ckpt holds the step that the run was at.
    """
    folder = RunFolder(run_dir)
    pruning = Pruning(is_hopeless) if is_hopeless else None
    try:
        return _train(config, sources, run_dir, sweep, stop or StopRequest(), pruning, begin)
    except Stopped as stopped:
        if folder.metrics.exists():
            _draw_curves(config, run_dir)
        say_how_to_resume(run_dir)
        if stopped.name == "SIGUSR1" and not sweep and slurm.requeue():
            log.info("Slurm starts the job again, and it goes on by itself")
        raise


def _train(
    config: Config,
    sources: Sequence[Source],
    run_dir: Path,
    sweep: Path | None,
    stop: StopRequest,
    pruning: Pruning | None,
    begin: Callable[[Config], object] | None,
) -> dict[str, Any]:
    folder = RunFolder(run_dir)
    refuse_links(run_dir)
    if not config.resume:
        refuse_second_run(run_dir)
    check_loggers(config.logger)
    check_monitors(config.callbacks)
    config, corpus, resumed = loaded(config, sources, run_dir)
    config = with_length(config, data_module(config, corpus), run_dir, sweep, stop)
    plain = configuration.to_plain(config)
    if begin:
        begin(config)
    (forget_half_written if resumed else forget_false_start)(run_dir)
    if not sweep:  # what starts a sweep's job again knows its folder
        slurm.note_run(run_dir)
    _write_split(corpus, config.seed, folder.split)
    torch.manual_seed(config.seed)
    module = NoteRNN.of(plain, corpus.codec, corpus.label_names)
    ancestor = ancestor_of(config.init_from) if config.init_from and not resumed else None
    module.origin = _origin(config, sources, resumed, ancestor)
    if ancestor:
        ancestor.give_to(module.network, corpus.codec.vocabulary.tokens, corpus.label_names)
    if not config.init_from:  # a network that knows more music than this may be larger
        num_notes = corpus.encoded.sizes["train"].num_notes
        describe_network(num_parameters(module.network), num_notes, plain["tokenizer"])
    describe_steps(module.schedule, corpus.encoded.sizes["train"], plain["optimizer"]["lr"])
    describe_ranks(config.trainer.devices * config.trainer.num_nodes, config.datamodule.batch_size)
    log.info("run folder: %s", shortest(run_dir))
    wandb, of_sweep = config.logger, sweep.name if sweep else None
    with track(wandb.mode, wandb.project, wandb.entity, run_dir, of_sweep, plain) as tracker:
        run = TrainingRun(config, run_dir, sources, corpus, module, stop, tracker, pruning, of_sweep)
        summary = run.complete(resumed)
    slurm.forget_run()
    return summary


def loaded(
    config: Config, sources: Sequence[Source] | None, run_dir: Path
) -> tuple[Config, Corpus, dict[str, Any] | None]:
    """The settings of a run with what `auto` stands for, its corpus, and what last.ckpt holds if it goes on.

    Each rank loads them.

    Raises:
        UserError: if the settings cannot be trained with here, or the run cannot go on.
    """
    trainer, plain = config.trainer, configuration.to_plain(config)
    check_devices(trainer.accelerator, trainer.precision, trainer.devices)
    check_optimizer(**plain["optimizer"])
    resumed, start = None, None
    with told_as_unusable(config.resume):
        if config.resume:
            resumed = load_checkpoint(RunFolder(run_dir).last_checkpoint)
        if config.init_from:
            start = resumed[CHECKPOINT_KEY] if resumed else ancestor_of(config.init_from).content
            config = with_network_of(config, start)
        if resumed:
            config = as_begun(config, resumed)
            check_resumable(config, configuration.to_plain(config), resumed, run_dir)
            check_audits(RunFolder(run_dir))
    corpus = corpus_of(config, sources)
    if start:
        corpus = replace(corpus, encoded=corpus.encoded.with_tokens(start["vocabulary"]))
    if resumed:
        content, folder = resumed[CHECKPOINT_KEY], RunFolder(run_dir)
        with told_as_unusable(config.resume):
            corpus = _as_trained_on(corpus, content, config.resume or "", folder)
    config = replace(config, tokenizer=replace(config.tokenizer, **corpus.tokenizer))
    if not resumed:
        size = corpus.encoded.sizes["train"]
        config = replace(config, sampling=config.sampling.as_long_as(size.num_notes / max(1.0, size.seconds)))
    return _with_precision(with_network(config, corpus, resumed), resumed), corpus, resumed


def _origin(
    config: Config, sources: Sequence[Source], resumed: dict[str, Any] | None, ancestor: Ancestor | None
) -> dict[str, Any]:
    """What a checkpoint says of the music that its weights have seen: its terms, and where they started."""
    started_from = resumed[CHECKPOINT_KEY].get("started_from") if resumed else None
    if ancestor:
        started_from = ancestor.record()
    return {"licences": licences_of(config.dataset, sources), "started_from": started_from}


def _with_precision(config: Config, resumed: dict[str, Any] | None) -> Config:
    """The settings with the precision that `auto` stands for on this machine, or in the run that goes on."""
    begun_in = resumed[CHECKPOINT_KEY]["config"]["trainer"].get("precision") if resumed else None
    precision = decided_precision(config.trainer, config.model.hidden_size, begun_in)
    return replace(config, trainer=replace(config.trainer, precision=precision))


def with_network(config: Config, corpus: Corpus, resumed: dict[str, Any] | None) -> Config:
    """The settings with the network that `auto` stands for with this music, or in the run that goes on."""
    begun = resumed[CHECKPOINT_KEY]["config"]["model"] if resumed else None
    options = begun or decided(asdict(config.model), corpus.codec, corpus.encoded.sizes["train"].num_notes)
    size, beats = options["hidden_size"], options.get("position_beats", [])
    if config.model.hidden_size == AUTO and size != USUAL_SIZE and not begun:
        log.info(
            "a network of %d units, not %d, for so few training notes (model.hidden_size)", size, USUAL_SIZE
        )
    return replace(config, model=replace(config.model, position_beats=beats, hidden_size=size))


def _as_trained_on(corpus: Corpus, content: dict[str, Any], resume: str, folder: RunFolder) -> Corpus:
    """The corpus in the order that it had when the run began, whatever its files are called now.

    Raises:
        UserError: if it is another; names the files that differ.
    """
    fingerprint, vocabulary = content["corpus_fingerprint"], content["vocabulary"]
    if not corpus.encoded.is_that_of(fingerprint, vocabulary, folder.split):
        changed = changed_files(corpus.encoded, folder.split)
        if changed:
            raise UserError(
                f"resume={resume}: it was trained with other files ({changed}); "
                "put back what it was trained with, or start a new run"
            )
        raise UserError(
            f"resume={resume}: it was trained with other files, or an earlier version of NoteRNN "
            "read or split them otherwise; start a new run"
        )
    ordered = replace(corpus, encoded=corpus.encoded.in_order_of(folder.split))
    if ordered.labels_record.get("labels_sha256") != content.get("labels_sha256"):
        raise UserError(
            f"resume={resume}: its pieces had other labels (model.labels); put back the folders or the table "
            "that they come from, or start a new run"
        )
    return ordered


def data_module(config: Config, corpus: Corpus) -> MidiDataModule:
    """The batches that a run trains and validates on."""
    return MidiDataModule(
        corpus,
        batch_size=config.datamodule.batch_size,
        window_length=config.datamodule.window_length,
        seed=config.seed,
        **asdict(config.augmentation),
        memory=config.model.memory,
        part_memory=config.model.part_memory,
    )


def _draw_curves(config: Config, run_dir: Path) -> None:
    folder = RunFolder(run_dir)
    audits = read_csv(folder.audit) if folder.audit.exists() else []
    save_curves(folder.metrics, folder.curves, f"{config.dataset.name}, {run_dir.name}", audits)


def _write_split(loaded: Corpus, seed: int, path: Path) -> None:
    """Which piece is in which split, which ones are near-duplicates, and which files were left out."""
    corpus = loaded.encoded
    recorded = corpus.recorded()
    content = {
        "fingerprint": corpus.fingerprint,
        "seed": seed,
        "sizes": recorded.pop("sizes"),
        "copied_validation_notes": asdict(corpus.leak),
        "duplicates": {
            "num_groups": len(corpus.duplicates),
            "num_pieces": sum(map(len, corpus.duplicates)),
            "num_in_several_splits": corpus.num_crossing,
            "groups": corpus.duplicates,
        },
        **recorded,
        "unused": corpus.unused,
        "skipped": {skipped.name: skipped.reason for skipped in loaded.tokenized.skipped},
    }
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False))


@dataclass
class TrainingRun:
    """A run that trains: what its steps share."""

    config: Config
    run_dir: Path
    sources: Sequence[Source]
    corpus: Corpus
    module: NoteRNN
    stop: StopRequest
    tracker: Tracker
    pruning: Pruning | None = None
    sweep: str | None = None

    def __post_init__(self) -> None:
        self.folder = RunFolder(self.run_dir)
        self.curve = OverfittingCurve(self.folder.metrics, self.corpus.encoded.sizes["validation"])
        start = start_of(self.config.init_from)
        config = self.config
        self.samples = Samples(
            self.run_dir, self.corpus, config.sampling, self.tracker, start, config.dataset.pedal
        )

    def complete(self, resumed: dict[str, Any] | None) -> dict[str, Any]:
        """Train from the start or from a checkpoint, then write what the run came to."""
        self.folder.summary.unlink(missing_ok=True)  # of the run before it was resumed
        state = resumed["callbacks"][self.curve.state_key] if resumed else {"rows": []}
        num_rows = len(state["rows"])
        with told_as_unusable(self.config.resume, lambda: len(self.curve.rows) > num_rows + 1):
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
        loggers = self._loggers()
        monitors = build_monitors(self.config.callbacks) if loggers else []  # WANDB_MODE may disable the last
        callbacks = build_callbacks(
            self.config, self.run_dir, self.curve, self._compose, self.stop, self.pruning, monitors
        )
        ranks = started_ranks(self.config, self.sources, self.run_dir)
        with self.stop.deferred(), ranks as environment:
            build_trainer(self.config, self.run_dir, loggers, callbacks, environment).fit(
                self.module,
                datamodule=data_module(self.config, self.corpus),
                ckpt_path=self.folder.last_checkpoint if from_checkpoint else None,
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
        statistics = self._sample(epoch)
        _draw_curves(self.config, self.run_dir)
        summary = self._summary(statistics, epoch)
        write_text(self.folder.summary, json.dumps(summary, indent=1))
        self.tracker.curves(self.curve.rows)
        self.tracker.finish(summary, self.folder.curves)
        print(summary_text(summary, self.samples.choice, self.run_dir, self.config.logger, self.tracker))
        return summary

    def _sample(self, epoch: int) -> dict[str, Any]:
        """Compose with the best weights, whose checkpoint then says how; what is said of the sample."""
        best = self.folder.best_checkpoint
        checkpoint = load_checkpoint(best)
        statistics = self.samples.make_best(composer_of(checkpoint, best), epoch)
        content, course = checkpoint[CHECKPOINT_KEY], self.samples.course
        found = {"sampling": dict(self.samples.choice.way), "course": course and course.as_plain()}
        if any(content.get(name) != value for name, value in found.items()):
            content.update(found)
            AtomicCheckpointIO().save_checkpoint(checkpoint, best)
        return statistics

    def _summary(self, sample: dict[str, Any], epoch: int) -> dict[str, Any]:
        rows, corpus = self.curve.rows, self.corpus.encoded
        is_pruned = self.pruning is not None and self.pruning.is_pruned
        plain, sizes = configuration.to_plain(self.config), corpus.sizes
        return {
            "status": "pruned" if is_pruned else "finished",
            **losses_of(rows, corpus),
            **sizes_of(corpus, num_parameters(self.module.network), self.config.dataset.train_fraction),
            **judgement_of(rows, plain, sizes["validation"].num_pieces, sizes["train"].num_notes, is_pruned),
            "max_epochs": self.config.trainer.max_epochs,
            "precision": self.config.trainer.precision,
            **self.module.origin,
            **({"labels": list(corpus_labels)} if (corpus_labels := self.corpus.label_names) else {}),
            "sample": sample,
            **self.samples.choice.as_plain(),
            **self.samples.copied(epoch),
            "versions": versions(),
        }
