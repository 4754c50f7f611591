"""Words, curves and tables of runs and sweeps."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from matplotlib.figure import Figure

from noternn.runs.curves import draw_losses, save_curves, save_learning_curve
from noternn.runs.sweep import SWEEP_COLUMNS, sweep_rows
from noternn.runs.verdict import MORE_EPOCHS, advice, verdict
from noternn.tables import format_table, read_csv, write_csv, write_text

pytestmark = pytest.mark.usefixtures("draws")
COLUMNS = ("epoch", "train/nll", "train_eval/nll", "val/nll", "gap/nll", "val/nats_per_note")


def rows_of(validation: list[float], training: list[float]) -> list[dict[str, float]]:
    return [
        dict(zip(COLUMNS, (epoch, train + 0.1, train, val, val - train, 2 * val), strict=True))
        for epoch, (val, train) in enumerate(zip(validation, training, strict=True), start=1)
    ]


OVERFITTED = rows_of([3.0, 2.5, 2.75, 3.0], [2.9, 2.3, 2.0, 1.9])


STILL_LEARNING = rows_of([3.0, 2.5, 2.4], [2.9, 2.45, 2.3])
SETTLED = rows_of([3.0, 2.5, 2.2, 2.1, 2.02, 2.01, 2.005, 2.003], [2.9, 2.3, 2.0, 1.9, 1.8, 1.7, 1.6, 1.6])
HARDLY_OFF = rows_of(
    [3.0, 2.5, 2.2, 2.1, 2.02, 2.01, 2.005, 2.006], [2.9, 2.3, 2.0, 1.9, 1.8, 1.7, 1.6, 1.59]
)
FALLING_AT_ITS_END = rows_of(
    [3.0, 2.5, 2.2, 2.1, 2.07, 2.05, 2.005, 2.006], [2.9, 2.3, 2.0, 1.9, 1.8, 1.7, 1.6, 1.59]
)


def slowly_falling(num_epochs: int) -> list[dict[str, float]]:
    """By more than 1 % over the last quarter, by less than 0.5 % over the last tenth."""
    left = [(1 - epoch / num_epochs) ** 2 for epoch in range(1, num_epochs + 1)]
    return rows_of([2.0 + 0.6 * part for part in left], [1.8 + part for part in left])


STALLED = rows_of([3.0, 2.5, 2.6], [2.9, 2.3, 2.4])
CONFIG: dict[str, Any] = {
    "dataset": {"validation_fraction": 0.1},
    "augmentation": {"transpose": 0, "velocity": 0},
    "model": {"hidden_size": 256, "dropout": 0.2, "num_pitches": 0},
    "module": {"ema_decay": 0.0},
    "optimizer": {"name": "Adam", "lr": 0.002, "weight_decay": 0.0},
    "schedule": {"name": "constant"},
    "trainer": {"max_epochs": 60, "gradient_clip_val": 1.0},
}
DEFAULT_CURES: dict[str, dict[str, Any]] = {
    "augmentation": {"transpose": 6},
    "module": {"ema_decay": 0.995},
    "schedule": {"name": "cosine"},
    "model": {"dropout": 0.4, "num_pitches": 8},
    "optimizer": {"name": "AdamW", "weight_decay": 0.6},
}


MANY = 10**6  # notes


def with_settings(**sections: dict[str, Any]) -> dict[str, Any]:
    return {name: CONFIG.get(name, {}) | sections.get(name, {}) for name in CONFIG | sections}


def cures(config: dict[str, Any]) -> list[str]:
    (line,) = advice(OVERFITTED, config, num_validation_pieces=50, num_train_notes=MANY)
    return line.removeprefix("try, what helped most first: ").split("; ")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (STILL_LEARNING, "best at epoch 3 of 3: validation fell to the end"),
        (SETTLED, "best at epoch 8 of 8: validation has come to rest"),
        (HARDLY_OFF, "best at epoch 7 of 8: validation has come to rest"),
        (FALLING_AT_ITS_END, "best at epoch 7 of 8: validation fell to the end"),
        (slowly_falling(20), "best at epoch 20 of 20: validation has come to rest"),
        (slowly_falling(19), "best at epoch 19 of 19: validation fell to the end"),
        (STILL_LEARNING[:1], "best at epoch 1 of 1: validation fell to the end"),
        (
            OVERFITTED,
            "best at epoch 2 of 4; from there validation rose by 1.00 nats a note while training fell: "
            "memorizing",
        ),
        (
            STALLED,
            "best at epoch 2 of 3; from there validation rose by 0.20 nats a note and training fell no more: "
            "learning ended",
        ),
        (
            rows_of([3.0, 2.5, 2.501], [2.9, 2.3, 2.2]),
            "best at epoch 2 of 3; from there validation stayed where it was while training fell: memorizing",
        ),
    ],
    ids=[
        "still learning",
        "settled",
        "hardly off its best",
        "hardly off its best, and falling before",
        "enough epochs",
        "too few epochs",
        "one epoch",
        "memorized",
        "stalled",
        "memorized slightly",
    ],
)
def test_the_verdict_says_in_words_what_happened(rows: list[dict[str, float]], words: str) -> None:
    assert verdict(rows) == words


def test_a_run_that_memorized_is_told_the_cures_it_lacks_the_strongest_first() -> None:
    assert cures(CONFIG) == [
        "model.num_pitches=8 model.pitch_channels=16",
        "model.dropout=0.5",
        "optimizer=adamw optimizer.weight_decay=0.6",
        "more music",
    ]


def test_no_cure_is_told_that_the_run_has() -> None:
    has = DEFAULT_CURES | {"trainer": {"max_epochs": 2}, "model": {"dropout": 0.2, "num_pitches": 8}}
    assert cures(with_settings(**has)) == ["model.dropout=0.5", "model.hidden_size=128", "more music"]


def test_a_run_that_still_learned_is_told_more_epochs_and_a_larger_network() -> None:
    lines = advice(STILL_LEARNING, CONFIG, num_validation_pieces=50, num_train_notes=MANY)
    assert lines == ["try more epochs: trainer.max_epochs=6; then a larger network: model.hidden_size=512"]
    many = rows_of(*[[start * 0.98**n for n in range(12)] for start in (3.0, 2.9)])
    (line,) = advice(many, CONFIG, num_validation_pieces=50, num_train_notes=MANY)
    assert line.startswith(f"try more epochs: trainer.max_epochs=24 ({MORE_EPOCHS}); then")


def test_a_run_whose_minutes_chose_its_epochs_is_told_more_minutes() -> None:
    timed = with_settings(trainer={"minutes": 5, "max_epochs": 3, "gradient_clip_val": 1.0})
    (line,) = advice(STILL_LEARNING, timed, num_validation_pieces=50, num_train_notes=MANY)
    assert line.startswith("try more epochs: trainer.minutes=10; then")
    resumed = {**timed, "resume": "runs/first"}  # with more epochs, perhaps, than the minutes chose
    (line,) = advice(STILL_LEARNING, resumed, num_validation_pieces=50, num_train_notes=MANY)
    assert line.startswith("try more epochs: trainer.max_epochs=6; then")


def test_a_run_that_knows_its_training_pieces_much_better_is_told_a_cure_and_no_larger_network() -> None:
    rows = rows_of([3.0, 2.5], [2.8, 2.0])
    less_decayed = DEFAULT_CURES | {"optimizer": {"name": "AdamW", "weight_decay": 0.3}}
    (line,) = advice(rows, with_settings(**less_decayed), num_validation_pieces=50, num_train_notes=MANY)
    cure = "optimizer=adamw optimizer.weight_decay=0.6"
    assert line == f"try more epochs: trainer.max_epochs=4; then for its gap: {cure}"
    (line,) = advice(rows, with_settings(**DEFAULT_CURES), num_validation_pieces=50, num_train_notes=MANY)
    assert line == "try more epochs: trainer.max_epochs=4"


def test_a_run_on_few_notes_is_told_to_start_from_the_base_first() -> None:
    few = {"num_validation_pieces": 50, "num_train_notes": 4_999}
    event = with_settings(tokenizer={"name": "event"})
    for tokens, most in (({"name": "event"}, 5_000), ({"name": "event", "program": True}, 100_000)):
        for num_notes in (most - 1, most):
            (first, *_) = advice(SETTLED, with_settings(tokenizer=tokens), 50, num_notes)
            assert first.startswith("try recipe=from_base first:") == (num_notes < most)
    others = [{"name": "chord"}, {"name": "event", "steps_per_beat": 50}]
    for other in (*(with_settings(tokenizer=tokens) for tokens in others), event | {"init_from": "base"}):
        assert "base" not in "".join(advice(SETTLED, other, **few))


def test_a_start_that_is_forgotten_after_an_epoch_is_told_smaller_steps() -> None:
    steps = {"optimizer": {"name": "AdamW", "lr": 0.002, "weight_decay": 0.6}}
    tuned = with_settings(**DEFAULT_CURES | steps) | {"init_from": "base"}
    for best, is_told in ((1, True), (2, False)):
        rows = rows_of([2.0] * (best - 1) + [1.9, 2.5, 2.6], [2.0] * (best - 1) + [1.9, 1.0, 0.5])
        (line,) = advice(rows, tuned, num_validation_pieces=50, num_train_notes=MANY)
        assert ("recipe=finetune" in line) == is_told
    with_it = tuned | {"schedule": {"name": "cosine", "piece_tokens": 1000}}
    first = rows_of([1.9, 2.5, 2.6], [1.9, 1.0, 0.5])
    assert "recipe=finetune" not in "".join(advice(first, with_it, 50, MANY))


def test_a_large_network_on_very_few_notes_is_told_a_small_one() -> None:
    chords = with_settings(tokenizer={"name": "chord"}, model={"hidden_size": 256})
    told = [advice(SETTLED, chords, 50, num_notes)[0] for num_notes in (19_999, 20_000)]
    assert [line.startswith("try model.hidden_size=auto: ") for line in told] == [True, False]
    small = with_settings(tokenizer={"name": "chord"}, model={"hidden_size": 128})
    assert "model.hidden_size=auto" not in "".join(advice(SETTLED, small, 50, 5_000))


def test_a_run_that_stalled_is_told_smaller_steps() -> None:
    config = with_settings(trainer={"gradient_clip_val": None})
    lines = advice(STALLED, config, num_validation_pieces=50, num_train_notes=MANY)
    assert lines == ["try optimizer.lr=0.0005 and schedule=cosine and trainer.gradient_clip_val=1"]


def test_a_run_that_settled_is_told_the_cures_it_lacks_and_more_music() -> None:
    (line,) = advice(SETTLED, CONFIG, num_validation_pieces=50, num_train_notes=MANY)
    assert line.startswith("try model.num_pitches=8 model.pitch_channels=16; ")
    assert line.endswith("; more music")


def test_a_run_that_settled_without_a_gap_is_told_a_larger_network() -> None:
    (line,) = advice(
        rows_of([3.0, 2.1, 2.01, 2.0], [2.9, 2.1, 2.0, 1.95]),
        CONFIG,
        num_validation_pieces=50,
        num_train_notes=MANY,
    )
    assert line == "try a larger network: model.hidden_size=512; more music"


@pytest.mark.parametrize(("num_pieces", "is_told"), [(1, True), (9, True), (10, False)])
def test_figures_of_few_pieces_are_told_to_be_chance(num_pieces: int, is_told: bool) -> None:
    lines = advice(OVERFITTED, CONFIG, num_pieces, MANY)
    assert any("may be chance" in line for line in lines) == is_told


@pytest.mark.parametrize("num_epochs", [1, 4, 60])
def test_curves_are_drawn_from_the_table_of_a_run(num_epochs: int, tmp_path: Path) -> None:
    table, picture = tmp_path / "metrics.csv", tmp_path / "curves.png"
    rows = (OVERFITTED * 15)[:num_epochs]
    write_csv(table, [{**row, "epoch": i + 1} for i, row in enumerate(rows)], COLUMNS)
    save_curves(table, picture, title="a run with $ and _ in its name")
    pixels = matplotlib.image.imread(picture)
    assert pixels.shape[0] > 400
    assert pixels.shape[1] > 600
    assert pixels[..., :3].min() < 0.5 < pixels[..., :3].max()


@pytest.mark.parametrize("is_wide", [False, True])
def test_the_interval_around_validation_is_shaded_and_leaves_the_axes_as_they_were(is_wide: bool) -> None:
    axes, plain = Figure().subplots(), Figure().subplots()
    some = [row | {"val/nll_low": -50.0 if is_wide else 2.0, "val/nll_high": 3.1} for row in OVERFITTED[2:]]
    rows = [row | {"val/nll_low": math.nan, "val/nll_high": math.nan} for row in OVERFITTED[:2]] + some
    draw_losses(axes, rows)
    draw_losses(plain, OVERFITTED)
    assert axes.get_ylim() == plain.get_ylim()
    assert len(axes.collections) == 1
    assert not plain.collections


def save_summary(folder: Path, **summary: object) -> None:
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary))


def test_sweep_is_sorted_by_val_nll_with_failed_jobs_last(tmp_path: Path) -> None:
    save_summary(tmp_path / "a", status="failed", error="no such thing")
    save_summary(tmp_path / "b", **{"status": "finished", "val/nll": 2.5})
    save_summary(tmp_path / "c" / "deeper", **{"status": "finished", "val/nll": 2.25})
    (tmp_path / "unfinished").mkdir()
    rows = sweep_rows(tmp_path)
    assert [row["job"] for row in rows] == [str(Path("c", "deeper")), "b", "a"]
    assert rows[2]["error"] == "no such thing"


def test_a_job_that_was_stopped_is_listed_with_how_far_it_got(tmp_path: Path) -> None:
    save_summary(tmp_path / "a", status="failed", error="no such thing")
    (tmp_path / "b").mkdir()
    columns = (*COLUMNS, "seconds", "cpu_seconds")
    rows = [row | {"seconds": 10.0, "cpu_seconds": 9.0} for row in OVERFITTED]
    write_csv(tmp_path / "b" / "metrics.csv", rows, columns)
    (tmp_path / "c" / ".hydra").mkdir(parents=True)
    save_summary(tmp_path / "d", **{"status": "finished", "val/nll": 2.75})
    assert [(row["job"], row["status"]) for row in sweep_rows(tmp_path)] == [
        ("d", "finished"), ("b", "stopped"), ("c", "stopped"), ("a", "failed"),
    ]  # fmt: skip
    assert sweep_rows(tmp_path)[1] == {
        "job": "b", "status": "stopped", "val/nll": 2.5, "val/nats_per_note": 5.0,
        "gap/nll": pytest.approx(0.2), "best_epoch": 2, "num_epochs": 4, "seconds": 10.0, "cpu_seconds": 9.0,
    }  # fmt: skip
    assert sweep_rows(tmp_path)[2]["num_epochs"] == 0


def job_row(fraction: float, seed: int, status: str = "finished", **other: object) -> dict[str, object]:
    settings = {"dataset.train_fraction": fraction, "seed": seed} | other
    notes, nats = 60_000 * fraction + 100 * seed, 3 - 0.1 * fraction + 0.01 * seed
    return {
        "job": ",".join(f"{name}={value}" for name, value in settings.items()), "status": status,
        "train_fraction": fraction, "num_train_notes": notes, "val/nats_per_note": nats,
    }  # fmt: skip


@pytest.mark.parametrize("optimizers", [["adam"], ["adam", "sgd"]])
def test_a_learning_curve_is_drawn_of_jobs_that_differ_in_train_fraction(
    optimizers: list[str], tmp_path: Path
) -> None:
    rows = [job_row(f, seed, optimizer=o) for f in (0.25, 0.5, 1) for seed in (0, 1) for o in optimizers]
    assert save_learning_curve([*rows, {"job": "x", "status": "failed"}], tmp_path / "curve.png")
    assert matplotlib.image.imread(tmp_path / "curve.png").shape[0] > 400


@pytest.mark.parametrize(
    "rows", [[], [job_row(0.5, 0), job_row(0.5, 1)], [job_row(0.5, 0), job_row(1, 0, status="stopped")]]
)
def test_no_learning_curve_is_drawn_of_one_size(rows: list[dict[str, object]], tmp_path: Path) -> None:
    assert not save_learning_curve(rows, tmp_path / "curve.png")
    assert not list(tmp_path.iterdir())


def test_sweep_without_jobs_is_an_empty_table(tmp_path: Path) -> None:
    assert sweep_rows(tmp_path) == []
    assert format_table([], SWEEP_COLUMNS).split() == list(SWEEP_COLUMNS)


def test_table_aligns_text_left_and_numbers_right() -> None:
    rows = [
        {"job": "lr=0.1", "val/nll": 2.5, "epochs": 7},
        {"job": "lr=0.01", "val/nll": 12.25, "epochs": 12},
        {"job": "failed", "val/nll": None, "epochs": 1234.5},
    ]
    assert format_table(rows, ("job", "val/nll", "epochs", "missing")).splitlines() == [
        "job      val/nll  epochs  missing",
        "lr=0.1    2.5000       7        -",
        "lr=0.01  12.2500      12        -",
        "failed         -    1234        -",
    ]


def test_csv_gives_back_the_numbers_that_were_written(tmp_path: Path) -> None:
    rows = [{"epoch": 1.0, "val/nll": 1 / 3}, {"epoch": 2.0, "val/nll": 1e-300}]
    write_csv(tmp_path / "t.csv", rows, ("epoch", "val/nll"))
    assert read_csv(tmp_path / "t.csv") == rows


def test_what_is_left_empty_in_csv_is_no_number(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"epoch": 1}], ("epoch", "val/nll"))
    (row,) = read_csv(tmp_path / "t.csv")
    assert row["epoch"] == 1
    assert math.isnan(row["val/nll"])


def test_csv_quotes_what_would_break_it_and_leaves_out_other_columns(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"job": 'a,"b"', "other": 1}], ("job", "error"))
    assert (tmp_path / "t.csv").read_text() == 'job,error\n"a,""b""",\n'


def test_writing_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_text(path, "first, and longer")
    write_text(path, "naïve ♯")
    assert path.read_text("utf-8") == "naïve ♯"
    assert list(tmp_path.iterdir()) == [path]


def test_that_hardly_anything_was_validated_on_is_said_first() -> None:
    rows = [{"epoch": 1.0, "val/nll": 2.0, "train_eval/nll": 2.0, "val/nats_per_note": 4.0}]
    assert verdict(rows, 1).startswith(
        "validated on only 1 piece, so the rest may be chance: best at epoch 1"
    )
    assert verdict(rows, 4).startswith("validated on only 4 pieces")
    assert verdict(rows, 5) == verdict(rows) == "best at epoch 1 of 1: validation fell to the end"
