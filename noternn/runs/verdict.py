"""What became of a run, in words, and what to try next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from noternn.runs.epochs import Row, best_row

WARM_UP_EPOCHS = 2  # a best epoch among them is no length for a schedule
MAX_CURES = 3  # in the advice, which is read, not worked through
# With another ten chorales the mean changes by about a tenth of a nat a note (standard error).
FEW_PIECES = 10
VERY_FEW_PIECES = 5  # with fewer that stands before everything else
# To learn from; with fewer a trained start ended lower. Pieces of a band have more notes each.
FEW_NOTES, FEW_NOTES_OF_BANDS = 5_000, 100_000
FROM_BASE = (
    "try recipe=from_base first: with 8 pieces the network that comes with NoteRNN as a start ended "
    "0.4 to 1.1 nats a note lower, with 20 up to 0.2"
)

VERY_FEW_NOTES = 20_000  # with which a small network ended lower, see docs/starting.md
SMALLEST_LARGE = 256  # units, of which there are then too many
SMALLER = "try model.hidden_size=auto: with 8 to 20 pieces a small network ended 0.5 to 2.4 nats a note lower"
# On `bach`, seeds 0 and 1: 1.876 and 1.675 nats a note after 20 epochs, 1.888 and 1.659 after 30.
ENOUGH_EPOCHS = 20
MORE_EPOCHS = "on the chorales 30 instead of 20 bought nothing"
# What its tokens are like, where others may differ; instruments, drums and loudness it keeps.
OF_BASE = {"name": "event", "steps_per_beat": 12, "bpe_vocab_size": None}


class Outcome(Enum):
    """What became of a run after its best epoch.

    Args:
        STILL_LEARNING: it was the last epoch, or one of the last quarter and `val/nll` is less than 0.1 %
            above it at the end. Where the learning rate falls until the end, so does `val/nll`: it tells
            little of what more epochs would bring, see `MORE_EPOCHS`.
        SETTLED: that too, and `val/nll` fell by less than 1 % over the last quarter of the epochs; of a run
            of 20 epochs or more, by less than 0.5 % over their last tenth, see `ENOUGH_EPOCHS`.
        MEMORIZED: `train_eval/nll` went on falling, and `val/nll` did not: pieces are learned by heart.
        STALLED: neither fell: the steps are too large, or the run diverges.
    """

    STILL_LEARNING = "still learning"
    SETTLED = "settled"
    MEMORIZED = "memorized"
    STALLED = "stalled"


def outcome(rows: Sequence[Row]) -> Outcome:
    """What became of a run, from the rows of its metrics.csv."""
    best, last = best_row(rows), rows[-1]
    before = rows[-1 - len(rows) // 4]
    since, least = (before, 0.99) if len(rows) < ENOUGH_EPOCHS else (rows[-1 - len(rows) // 10], 0.995)
    is_late = len(rows) >= 4 and best["epoch"] > before["epoch"] and last["val/nll"] < 1.001 * best["val/nll"]
    fell = last["train_eval/nll"] < best["train_eval/nll"]
    if best is last or (is_late and fell):
        is_level = is_late and last["val/nll"] > least * since["val/nll"]
        return Outcome.SETTLED if is_level else Outcome.STILL_LEARNING
    return Outcome.MEMORIZED if fell else Outcome.STALLED


def verdict(rows: Sequence[Row], num_validation_pieces: int | None = None) -> str:
    """In words, what happened to the run, see `Outcome`; first that its figures tell little, where it is so.

    Args:
        rows: of its metrics.csv.
        num_validation_pieces: pieces that its validation is measured on; None where that is not known.
    """
    best, last = best_row(rows), rows[-1]
    where = f"best at epoch {best['epoch']:.0f} of {last['epoch']:.0f}"
    rise = last["val/nats_per_note"] - best["val/nats_per_note"]
    rose = f"rose by {rise:.2f} nats a note" if rise >= 0.005 else "stayed where it was"
    number = num_validation_pieces or VERY_FEW_PIECES
    pieces = "1 piece" if number == 1 else f"{number} pieces"
    few = f"validated on only {pieces}, so the rest may be chance: " if number < VERY_FEW_PIECES else ""
    said = {
        Outcome.STILL_LEARNING: f"{where}: validation fell to the end",
        Outcome.SETTLED: f"{where}: validation has come to rest",
        Outcome.MEMORIZED: f"{where}; from there validation {rose} while training fell: memorizing",
        Outcome.STALLED: f"{where}; from there validation {rose} and training fell no more: learning ended",
    }
    return few + said[outcome(rows)]


def advice(
    rows: Sequence[Row], config: Mapping[str, Any], num_validation_pieces: int, num_train_notes: int
) -> list[str]:
    """What to try next, a line each: only settings that exist, and nothing that the run already has.

    Args:
        rows: of its metrics.csv.
        config: the run's, as plain data.
        num_validation_pieces: pieces that its validation is measured on.
        num_train_notes: that it learned from.
    """
    become = outcome(rows)
    if become is Outcome.MEMORIZED:
        cures = [*_cures(config, int(best_row(rows)["epoch"])), *_smaller(config)]
        lines = [f"try, what helped most first: {'; '.join([*cures[:MAX_CURES], 'more music'])}"]
    elif become is Outcome.SETTLED:
        cures = _cures(config, len(rows)) if _knows_its_pieces(rows[-1]) else _larger(config)
        lines = [f"try {'; '.join([*cures[:MAX_CURES], 'more music'])}"]
    elif become is Outcome.STILL_LEARNING:
        lines = [f"try {'; then '.join(_more_learning(rows[-1], config))}"]
    else:
        lines = [f"try {' and '.join(_smaller_steps(config))}"]
    if num_train_notes < FEW_NOTES_OF_BANDS and not config.get("init_from"):
        lines[:0] = _for_few_notes(config, num_train_notes)
    if num_validation_pieces < FEW_PIECES:
        lines.append(few_pieces(num_validation_pieces, config["dataset"]["validation_fraction"]))
    return lines


def _for_few_notes(config: Mapping[str, Any], num_train_notes: int) -> list[str]:
    """What little music wants before all else, a line each."""
    tokenizer = config["tokenizer"]
    few = FEW_NOTES_OF_BANDS if tokenizer.get("program") is True else FEW_NOTES
    wants_base = num_train_notes < few and fits_base(tokenizer)
    is_large = config["model"]["hidden_size"] >= SMALLEST_LARGE and num_train_notes < VERY_FEW_NOTES
    return [FROM_BASE] * wants_base + [SMALLER] * is_large


def fits_base(tokenizer: Mapping[str, Any]) -> bool:
    """Whether the network that comes with NoteRNN reads tokens of these settings, and would lose none."""
    return all(tokenizer.get(name, value) == value for name, value in OF_BASE.items())


def few_pieces(num_pieces: int, fraction: float) -> str:
    """What to do about so few validation pieces, and whatever their share was."""
    pieces = "1 piece is" if num_pieces == 1 else f"{num_pieces} pieces are"
    more = f"dataset.validation_fraction={min(0.5, max(0.2, 2 * fraction)):g}"
    return (
        f"only {pieces} validated on, so these figures may be chance: "
        f"try experiment=folds, {more} or more music"
    )


def _cures(config: Mapping[str, Any], best_epoch: int) -> list[str]:
    """Settings against memorizing that the run lacks, ordered by what the default loses without each.

    See experiments/ablation: on chorales and tunes most by far without intervals, then without dropout,
    weight decay and, on few chorales, transposition; on six tracks of game music without weight decay.
    Less of it than the default's 0.6 only helps where music is plenty and the network does not memorize.
    """
    model, optimizer, epochs = config["model"], config["optimizer"], config["trainer"]["max_epochs"]
    is_decayed = optimizer["name"] == "AdamW" and optimizer.get("weight_decay", 0) >= 0.6
    cures = {
        # of 8 pieces of a band: the start knew more than all epochs after the first added
        "recipe=finetune": bool(config.get("init_from"))
        and best_epoch == 1
        and config["schedule"].get("piece_tokens") is None,
        "model.num_pitches=8 model.pitch_channels=16": not model["num_pitches"]
        and not config.get("init_from"),
        "model.dropout=0.5": model["dropout"] < 0.4,
        "optimizer=adamw optimizer.weight_decay=0.6": not is_decayed,
        "augmentation=transpose": not config["augmentation"]["transpose"],
        "module.ema_decay=0.995": not config["module"]["ema_decay"],
        f"schedule=cosine {_as_long_as(best_epoch, config)}": not _is_falling(config)
        or (epochs > 1.5 * best_epoch and best_epoch > WARM_UP_EPOCHS),
    }
    return [setting for setting, is_lacking in cures.items() if is_lacking]


def _more_learning(last: Row, config: Mapping[str, Any]) -> list[str]:
    """More epochs, and more units or, where the network knows its training pieces much better, a cure."""
    num_epochs = 2 * int(last["epoch"])
    known = f" ({MORE_EPOCHS})" if num_epochs > ENOUGH_EPOCHS else ""
    more = [f"more epochs: {_as_long_as(num_epochs, config)}{known}"]
    if not _knows_its_pieces(last):
        return [*more, *_larger(config)]
    cures = _cures(config, max(num_epochs, config["trainer"]["max_epochs"]))  # no earlier end among them
    return [*more, *(f"for its gap: {cure}" for cure in cures[:1])]


def _as_long_as(num_epochs: int, config: Mapping[str, Any]) -> str:
    """The setting for so many epochs: in minutes if these have chosen them, and no resumption could."""
    minutes, before = config["trainer"].get("minutes"), config["trainer"]["max_epochs"]
    if minutes is None or config.get("resume"):
        return f"trainer.max_epochs={num_epochs}"
    return f"trainer.minutes={round(minutes * num_epochs / before, 1):g}"


def _smaller(config: Mapping[str, Any]) -> list[str]:
    if config.get("init_from"):  # whose size is the network's
        return []
    return [f"model.hidden_size={max(1, config['model']['hidden_size'] // 2)}"]


def _larger(config: Mapping[str, Any]) -> list[str]:
    if config.get("init_from"):
        return []
    return [f"a larger network: model.hidden_size={2 * config['model']['hidden_size']}"]


def _knows_its_pieces(last: Row) -> bool:
    """Whether training pieces are much better known than others."""
    return last["gap/nll"] >= 0.1 * last["val/nll"]


def _is_falling(config: Mapping[str, Any]) -> bool:
    """Whether the learning rate is lowered in the course of a run."""
    return bool(config["schedule"]["name"] != "constant")


def _smaller_steps(config: Mapping[str, Any]) -> list[str]:
    """Settings that calm a run which no longer learns."""
    calm = [f"optimizer.lr={config['optimizer']['lr'] / 4:g}"]
    if not _is_falling(config):
        calm.append("schedule=cosine")
    if config["trainer"]["gradient_clip_val"] is None:
        calm.append("trainer.gradient_clip_val=1")
    return calm
