"""One run: data, network, training, and what it leaves in its folder."""

from __future__ import annotations

import json
import logging
import shlex
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator

import noternn
from noternn.audit.curve import FILE_NAME as AUDIT
from noternn.audit.curve import copied_after, held_out_limit, note_audit
from noternn.audit.index import Index
from noternn.config import schema as configuration
from noternn.config.schema import Config, Dataset
from noternn.corpus.reading import ReadingOptions
from noternn.corpus.splits import SPLITS, EncodedCorpus
from noternn.datasets.configured import ready_made_split
from noternn.datasets.sources import Source
from noternn.errors import UserError
from noternn.files import shortest, write_text
from noternn.health.checkup import FILE_NAME as HEALTH
from noternn.health.checkup import Yardstick, as_rows, check
from noternn.metrics import rates
from noternn.model.lstm import num_parameters
from noternn.music.midi import write_midi
from noternn.music.piano_roll import save_audio, save_piano_roll
from noternn.music.piece import Piece
from noternn.runs.curves import advice, best_row, save_curves, verdict
from noternn.runs.summary import FILE_NAME as SUMMARY
from noternn.runs.summary import read_summary
from noternn.sampling.composer import (
    Composer,
    checkpoint_content,
    load_checkpoint,
    load_composer,
    network_for,
    opening,
    primer_end,
)
from noternn.sampling.sampler import SamplingOptions
from noternn.tables import read_csv
from noternn.tokenizer import Codec
from noternn.training import slurm
from noternn.training.callbacks import (
    AtomicCheckpointIO,
    ConfiguredEarlyStopping,
    LastCheckpoint,
    NamedCheckpoint,
    OverfittingCurve,
    Progress,
    Pruning,
    SampleEveryCheckpoint,
)
from noternn.training.datamodule import MidiDataModule
from noternn.training.module import NoteRNN
from noternn.training.stopping import Stopped, StopRequest
from noternn.training.tracking import Tracker, track

log = logging.getLogger(__name__)

MAX_SKIPPED_LINES = 20
MAX_PARAMETERS_PER_NOTE = 30  # see `_describe_network`
LAST = "last.ckpt"
# What decides a result, beside the settings and the music.
PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "numpy", "miditoolkit", "music21", "wandb")
METRICS = "metrics.csv"
PRUNED = "pruned: hopeless beside the other trials of the search"  # the verdict on a run
NUM_AUDITED = 8  # samples at each checkpoint, made together: one alone says little
MAX_AUDITED_NOTES = 5_000_000  # of a training split whose index is built: 200 MB, half a minute
# Of these sections what decides a result; the other settings are places (the files are compared) and speed.
DECISIVE = {
    "dataset": ("tracks", "pedal", "limits", "validation_fraction", "test_fraction", "train_fraction"),
    "datamodule": ("batch_size", "window_length"),
}


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
    try:
        return _train(config, sources, run_dir, sweep, stop or StopRequest(), is_hopeless)
    except Stopped as stopped:
        _say_how_to_resume(config, run_dir)
        if stopped.name == "SIGUSR1" and not sweep and slurm.requeue():
            log.info("Slurm starts the job again, and it goes on by itself")
        raise


def _train(
    config: Config,
    sources: Sequence[Source],
    run_dir: Path,
    sweep: str | None,
    stop: StopRequest,
    is_hopeless: Callable[[int, float], bool] | None,
) -> dict[str, Any]:
    if not config.resume and (run_dir / METRICS).exists():
        raise UserError(f"{run_dir} already holds a run; continue it with resume={run_dir}, or wait a second")
    _check_accelerator(config.trainer.accelerator)
    _check_precision(config.trainer.precision, config.trainer.accelerator)
    plain = configuration.to_plain(config)
    resumed = load_checkpoint(run_dir / LAST) if config.resume else None
    if resumed:
        _check_resumable(config, plain, resumed, run_dir)
        for half_written in run_dir.rglob(".*.tmp"):  # by a process that was killed
            half_written.unlink()
    if not sweep:  # what starts a sweep's job again knows its folder
        slurm.note_run(run_dir)
    data = load_data(config.dataset, plain, sources)
    if resumed and data.corpus.fingerprint != resumed["noternn"]["corpus_fingerprint"]:
        raise UserError(
            f"resume={config.resume}: it was trained with other files, or split otherwise; start a new run"
        )
    _write_split(data, run_dir / "split.json")
    torch.manual_seed(config.seed)
    module = build_module(plain, data.codec)
    content = checkpoint_content(
        plain, data.codec, data.corpus.tempo, data.corpus.fingerprint, noternn.__version__
    )
    run = Run(config, run_dir, data, module, content, stop, Pruning(is_hopeless) if is_hopeless else None)
    _describe_network(num_parameters(module.network), data.corpus.sizes["train"].num_notes)
    log.info("run folder: %s", shortest(run_dir))
    with track(**plain["logger"], run_dir=run_dir, group=sweep, config=plain) as tracker:
        summary = run.complete(tracker, resumed)
    slurm.forget_run()
    return summary


def yardstick_of(data: MidiDataModule) -> Yardstick:
    """What samples of a run are compared with."""
    return Yardstick.of(data.pieces("validation"))


def index_of(data: MidiDataModule) -> Index:
    """The training pieces of a run as their tokens tell them, to audit its samples with."""
    return Index.build(data.pieces("train"), data.corpus.names["train"])


def build_module(plain: dict[str, Any], codec: Codec) -> NoteRNN:
    """A new network and its training, from a plain configuration."""
    return NoteRNN(
        network_for(codec, plain["model"]),
        plain["optimizer"],
        plain["seed"],
        schedule=plain["schedule"],
        **plain["module"],
    )


def _say_how_to_resume(config: Config, run_dir: Path) -> None:
    if (run_dir / METRICS).exists():
        _draw_curves(config, run_dir)
    if (run_dir / LAST).exists():
        log.info("stopped; go on with: python train.py %s", shlex.quote(f"resume={shortest(run_dir)}"))
    else:
        log.info("stopped before the first step: there is nothing to resume")


def _draw_curves(config: Config, run_dir: Path) -> None:
    audits = read_csv(run_dir / AUDIT) if (run_dir / AUDIT).exists() else []
    save_curves(run_dir / METRICS, run_dir / "curves.png", f"{config.dataset.name}, {run_dir.name}", audits)


def _check_accelerator(name: str) -> None:
    available = {"auto": True, "cpu": True, "cuda": CUDAAccelerator.is_available()}
    available["mps"] = MPSAccelerator.is_available()
    available["gpu"] = available["cuda"] or available["mps"]
    if not available[name]:
        usable = ", ".join(other for other in available if available[other])
        raise UserError(f"trainer.accelerator={name}: this machine has none; it can do {usable}")


def _check_precision(precision: str, accelerator: str) -> None:
    """Refuse 16 bits where they only cost: on a CPU whose matrix units do not compute with them."""
    has_gpu = CUDAAccelerator.is_available() or MPSAccelerator.is_available()
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not has_gpu)
    if on_cpu and precision != "32-true" and not torch.cpu._is_amx_tile_supported():
        raise UserError(
            f"trainer.precision={precision}: this CPU has no units for it (AMX) and would be 5 to 10 times "
            "slower; use 32-true, or a GPU"
        )


def _check_resumable(
    config: Config, plain: dict[str, Any], checkpoint: dict[str, Any], run_dir: Path
) -> None:
    """Refuse a run that is over, or one that would go on as another than it began."""
    before = checkpoint["noternn"]["config"]
    sections = (
        "tokenizer",
        "augmentation",
        "model",
        "module",
        "optimizer",
        "schedule",
        "dataset",
        "datamodule",
    )
    for section in sections:
        for name in DECISIVE.get(section, plain[section]):
            if before[section].get(name) != plain[section][name]:
                _refuse_change(config, f"{section}.{name}", before[section].get(name), plain[section][name])
    if before["seed"] != config.seed:
        _refuse_change(config, "seed", before["seed"], config.seed)
    if _is_trained(config, checkpoint) and _is_finished(run_dir):
        raise UserError(
            f"resume={config.resume}: this run is over; "
            "to go on give more trainer.max_epochs or early_stopping=none"
        )


def _is_trained(config: Config, checkpoint: dict[str, Any]) -> bool:
    """Whether a checkpoint stands at the end of the training that the configuration asks for."""
    callbacks = checkpoint["callbacks"]
    num_epochs = len(callbacks[OverfittingCurve.__name__]["rows"])
    stopping = [state for name, state in callbacks.items() if "EarlyStopping" in name]
    patience = config.early_stopping.patience
    stopped = bool(stopping) and patience is not None and stopping[0]["wait_count"] >= patience
    return stopped or num_epochs >= config.trainer.max_epochs


def _is_finished(run_dir: Path) -> bool:
    """Whether a run has left its results, the last of its files."""
    summary = read_summary(run_dir)
    return summary is not None and summary["status"] == "finished"


def _refuse_change(config: Config, name: str, before: object, value: object) -> None:
    raise UserError(
        f"resume={config.resume}: it was trained with {name}={before}, not {value}; "
        "keep it, or start a new run"
    )


def _quiet_libraries() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message, category in (
        (r".*isinstance\(treespec, LeafSpec\).*", FutureWarning),  # Lightning calls what torch renames
        (r".*does not have many workers.*", UserWarning),  # batches are slices of an array: no workers
        (r".*Checkpoint directory .* exists and is not empty.*", UserWarning),  # a run's own folder
        (r".*train_dataloader.*shuffle.*", UserWarning),
        (r".*callbacks used to create the checkpoint.*", UserWarning),  # resumed with early_stopping=none
    ):
        warnings.filterwarnings("ignore", message, category)


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


def _describe_network(num_parameters: int, num_train_notes: int) -> None:
    """Say how large the network is beside its corpus, and warn above `MAX_PARAMETERS_PER_NOTE`.

    A recurrent network can store about 5 bits a parameter (Collins, Sohl-Dickstein and Sussillo 2017,
    "Capacity and trainability in recurrent neural networks"), and a note is worth about 6 bits before its
    piece is known. So from one parameter a note on it can hold the corpus by heart, and only
    regularization keeps it from that: on Bach's chorales well at 7 a note, while 104 (the original Note-RNN's
    3 x 512) overfit from early on. The bound is about the geometric mean of these two.
    """
    per_note = num_parameters / max(1, num_train_notes)
    log.info("network: %s parameters, %.1f a training note", f"{num_parameters:,}", per_note)
    if per_note > MAX_PARAMETERS_PER_NOTE:
        log.warning(
            "  far too many for this corpus (above %d a note): it may learn it by heart; "
            "take a smaller model.hidden_size, or more music", MAX_PARAMETERS_PER_NOTE,
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
class Run:
    """The parts of a run that its steps share."""

    config: Config
    run_dir: Path
    data: MidiDataModule
    module: NoteRNN
    content: dict[str, Any]
    stop: StopRequest
    pruning: Pruning | None = None

    def __post_init__(self) -> None:
        self.corpus = self.data.corpus
        self.curve = OverfittingCurve(self.run_dir / METRICS, self.corpus.sizes["validation"])
        self.module.checkpoint_content = self.content
        self.primers = self._primers()

    def complete(self, tracker: Tracker, resumed: dict[str, Any] | None) -> dict[str, Any]:
        """Train from the start or from a checkpoint, then write what the run came to."""
        (self.run_dir / SUMMARY).unlink(missing_ok=True)  # of the run before it was resumed
        state = resumed["callbacks"][self.curve.state_key] if resumed else {"rows": []}
        if state["rows"]:
            tracker.best(best_row(state["rows"]))
        if resumed and _is_trained(self.config, resumed):
            self.curve.load_state_dict(state)
        else:
            self.fit(tracker, from_checkpoint=resumed is not None)
        return self._finish(tracker)

    def fit(self, tracker: Tracker, from_checkpoint: bool) -> None:
        """Train from the start or from last.ckpt until it is enough or a signal stops it."""
        _quiet_libraries()
        with self.stop.deferred():
            self._trainer(tracker).fit(
                self.module,
                datamodule=self.data,
                ckpt_path=self.run_dir / LAST if from_checkpoint else None,
                weights_only=True,
            )

    def _trainer(self, tracker: Tracker) -> pl.Trainer:
        config, every = self.config, self.config.checkpoint.every_n_epochs
        saving: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False,
                                  "auto_insert_metric_name": False}  # fmt: skip
        callbacks: list[pl.Callback] = [
            self.curve,
            Progress(self.curve),
            SampleEveryCheckpoint(every, lambda epoch: self._sample_at(epoch, tracker)),
            NamedCheckpoint(self.run_dir, "best", monitor="val/nll", **saving),
            NamedCheckpoint(
                self.run_dir / "checkpoints",
                "epoch_{epoch:03.0f}",
                every_n_epochs=every,
                save_top_k=-1,
                **saving,
            ),
        ]
        if config.early_stopping.patience is not None:
            stopping = asdict(config.early_stopping)
            callbacks.append(ConfiguredEarlyStopping("val/nll", **stopping, check_on_train_epoch_end=True))
        if self.pruning is not None:
            callbacks.append(self.pruning)
        # After all others, so that what it holds of them is from the same moment.
        callbacks.append(LastCheckpoint(self.run_dir / LAST, config.checkpoint.every_minutes, self.stop))
        logger = tracker.lightning_logger()
        return pl.Trainer(
            **asdict(config.trainer),
            devices=1,
            logger=logger or False,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            num_sanity_val_steps=0,
            log_every_n_steps=1,  # nothing is logged a step; larger than a small corpus it would warn
            reload_dataloaders_every_n_epochs=1,  # every epoch has its own order of pieces
            enable_progress_bar=False,  # Progress is ours
            enable_model_summary=False,
            default_root_dir=self.run_dir,
        )

    @cached_property
    def yardstick(self) -> Yardstick:
        """What the validation pieces are like, which the run's folder keeps for later samples."""
        yardstick = yardstick_of(self.data)
        yardstick.save(self.run_dir / HEALTH)
        return yardstick

    @cached_property
    def audited(self) -> Index | None:
        """See `index_of`; None if the training pieces are too many for a run."""
        num_notes = self.corpus.sizes["train"].num_notes
        if num_notes > MAX_AUDITED_NOTES:
            log.info(
                "samples are not audited: %s training notes are too many for it; see python -m noternn audit",
                f"{num_notes:,}",
            )
            return None
        return index_of(self.data)

    def _primers(self) -> list[list[int]]:
        """The openings of the first validation pieces."""
        pieces, count = self.corpus.ids["validation"], self.config.sampling.primer_notes
        numbers = range(min(NUM_AUDITED, len(pieces)))
        return [opening(pieces[number], self.data.codec, count) for number in numbers]

    def _compose(self, composer: Composer, epoch: int, tracker: Tracker) -> Piece:
        """The sample from the first primer; what it and the others copy is noted."""
        settings = asdict(self.config.sampling)
        settings.pop("primer_notes")
        samples = composer.compose_each(self.primers, SamplingOptions(**settings))
        if self.audited is not None:
            copied = [
                copied_after(self.audited, piece, self._end(primer))
                for piece, primer in zip(samples, self.primers, strict=True)
            ]
            tracker.audit(note_audit(self.run_dir / AUDIT, epoch, copied))
        return samples[0]

    def _copied(self, epoch: int) -> dict[str, float | None]:
        """What the samples of an epoch copy, and the most that 95 of 100 held-out pieces do."""
        if self.audited is None:
            return {}
        limit = held_out_limit(self.audited, list(self.data.pieces("validation")))
        (row,) = (row for row in read_csv(self.run_dir / AUDIT) if row["epoch"] == epoch)
        return {"audit/copied_16": row["audit/copied_16"], "audit/copied_16_held_out_95": limit}

    def _end(self, primer: list[int]) -> int:
        """The tick at which a primer ends."""
        return primer_end(primer, self.data.codec, self.corpus.tempo)

    def _sample_at(self, epoch: int, tracker: Tracker) -> None:
        """A sample of the current weights, always from the same primer and seed."""
        composer = Composer(self.module.evaluated, self.data.codec, self.corpus.tempo)
        stem = self.run_dir / "samples" / f"epoch_{epoch:03d}"
        self._save_sample(self._compose(composer, epoch, tracker), stem, epoch, tracker)
        tracker.curves(self.curve.rows)

    def _save_sample(self, piece: Piece, stem: Path, epoch: int, tracker: Tracker) -> dict[str, Any]:
        stem.parent.mkdir(parents=True, exist_ok=True)
        primer_end = self._end(self.primers[0]) or None
        midi, audio, picture = (stem.with_suffix(suffix) for suffix in (".mid", ".wav", ".png"))
        write_midi(piece, midi)
        save_audio(piece, audio)
        save_piano_roll(piece, picture, primer_end=primer_end, title=f"sample, epoch {epoch}")
        statistics = as_rows([check(piece, self.yardstick, midi.name)])[0]
        numbers = {name: value for name, value in statistics.items() if isinstance(value, int | float)}
        tracker.sample(epoch, audio, picture, numbers)
        return statistics

    def _finish(self, tracker: Tracker) -> dict[str, Any]:
        """The best weights' sample, the curves and the summary."""
        rows = self.curve.rows
        best = best_row(rows)
        epoch = int(best["epoch"])
        is_pruned = self.pruning is not None and self.pruning.is_pruned
        sample = self._compose(load_composer(self.run_dir / "best.ckpt"), epoch, tracker)
        statistics = self._save_sample(sample, self.run_dir / "sample", epoch, tracker)
        _draw_curves(self.config, self.run_dir)
        summary: dict[str, Any] = {
            "status": "pruned" if is_pruned else "finished",
            "best_epoch": int(best["epoch"]),
            "num_epochs": int(rows[-1]["epoch"]),
            "val/nll": best["val/nll"],
            **{f"val/{k}": v for k, v in rates(best["val/nll"], self.corpus.sizes["validation"]).items()},
            "train_eval/nll": best["train_eval/nll"],
            "gap/nll": best["gap/nll"],
            "last/val/nll": rows[-1]["val/nll"],
            "last/gap/nll": rows[-1]["gap/nll"],
            "leak/validation": self.corpus.leak.grouped,
            "leak/validation_ungrouped": self.corpus.leak.ungrouped,
            "num_duplicate_groups": len(self.corpus.duplicates),
            "num_parameters": num_parameters(self.module.network),
            "train_fraction": self.data.train_fraction,
            "num_train_notes": self.corpus.sizes["train"].num_notes,
            "seconds": rows[-1]["seconds"],
            "cpu_seconds": rows[-1]["cpu_seconds"],
            "verdict": PRUNED if is_pruned else verdict(rows),
            "advice": []
            if is_pruned
            else advice(
                rows, configuration.to_plain(self.config), self.corpus.sizes["validation"].num_pieces
            ),
            "sample": statistics,
            **self._copied(epoch),
            "versions": {
                "noternn": noternn.__version__,
                **{name: metadata.version(name) for name in PACKAGES},
            },
        }
        write_text(self.run_dir / SUMMARY, json.dumps(summary, indent=1))
        tracker.curves(rows)
        tracker.finish(summary, self.run_dir / "curves.png")
        print(_summary_text(summary, self.run_dir, tracker))
        return summary


def _copied_lines(summary: dict[str, Any]) -> list[str]:
    if "audit/copied_16" not in summary:
        return []
    copied, limit = summary["audit/copied_16"], summary["audit/copied_16_held_out_95"]
    beside = "" if limit is None else f" (in 95 of 100 held-out pieces at most {limit:.0%})"
    return [f"  copied               {copied:.0%} of the samples' notes, in passages of 16{beside}"]


def _summary_text(summary: dict[str, Any], run_dir: Path, tracker: Tracker) -> str:
    s = summary["sample"]
    lines = [
        "",
        summary["verdict"],
        *summary["advice"],
        f"  best epoch           {summary['best_epoch']} of {summary['num_epochs']}",
        f"  val/nll              {summary['val/nll']:.4f} nats per token, "
        f"{summary['val/nats_per_note']:.4f} per note",
        f"  generalization gap   {summary['gap/nll']:.4f} at the best epoch, "
        f"{summary['last/gap/nll']:.4f} at the last",
        f"  parameters           {summary['num_parameters']:,}",
        f"  seconds              {summary['seconds']:.0f}",
        f"  sample               {s['num_notes']} notes, {s['num_pitches']} pitches, longest repetition "
        f"{s['longest_repetition']}, silent {s['silent_fraction'] or 0:.0%}",
        f"                       {s['health']}",
        *_copied_lines(summary),
        f"  run folder           {shortest(run_dir)}",
        "    best.ckpt last.ckpt metrics.csv curves.png sample.mid sample.png sample.wav split.json",
    ]
    if tracker.directory:
        lines.append(f"  wandb                {'offline' if tracker.offline else tracker.url}")
        if tracker.offline:
            lines.append(f"    look at it         wandb leet {shortest(tracker.directory.parent)}")
            lines.append(f"    upload it          wandb sync {shortest(tracker.directory)}")
    return "\n".join(lines)
