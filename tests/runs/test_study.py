import re
import shlex
from pathlib import Path

import pytest
from written_runs import NOTES_PER_TOKEN, write_run

from noternn.__main__ import build_parser, main
from noternn.errors import UserError
from noternn.launch.command_line import check
from noternn.runs.study import Study, read_results, read_study, save_results
from noternn.runs.study_record import as_markdown, baseline_of, record, with_table

pytestmark = pytest.mark.usefixtures("draws")
EXPERIMENTS = Path(__file__).parents[2] / "experiments"
STUDIES = [
    path.parent
    for path in EXPERIMENTS.glob("*/README.md")
    if "<!-- results" in path.read_text(encoding="utf-8")
]
COMMANDS = [
    (path.parent.name, " ".join(command.split()))
    for path in sorted(EXPERIMENTS.glob("*/README.md"))
    for command in re.findall(
        r"(?:^|`)(python (?:train\.py|-m noternn)[^`]*?)(?:`|\n```)",
        path.read_text(encoding="utf-8").partition("**Setup.**")[0],
        re.M,
    )
]


def run_of(folder, nats_per_note, *overrides, **others):
    """A run with these nats a note in its epochs."""
    val_nll = tuple(NOTES_PER_TOKEN * nats for nats in nats_per_note)
    write_run(folder, *overrides, val_nll=val_nll, **others)


@pytest.fixture
def sweep(tmp_path):
    """Three seeds of Adam; SGD, 0.5 worse with each, whose validation rises after its best epoch."""
    for seed, nats in enumerate((2.0, 2.2, 2.1)):
        run_of(tmp_path / f"a{seed}", [3.0, nats], "optimizer=adam", f"seed={seed}", "logger=csv")
        run_of(tmp_path / f"s{seed}", [nats + 0.5, nats + 0.7], "optimizer=sgd", f"seed={seed}")
    return tmp_path


def test_arms_are_what_runs_differ_in_but_for_seeds_and_places(sweep):
    study = read_study([sweep])
    assert {run.arm for run in study.runs} == {"adam", "sgd"}
    assert study.baseline == "adam"
    assert [len(row.runs) for row in study.rows("bach")] == [3, 3]


def test_what_follows_from_the_rest_is_left_out_of_an_arm(tmp_path):
    for optimizer, lr in (("adam", 0.004), ("adamw", 0.004), ("sgd", 0.25)):
        run_of(tmp_path / optimizer, [2.0], f"optimizer={optimizer}", f"optimizer.lr={lr}")
    assert {run.arm for run in read_study([tmp_path]).runs} == {"adam", "adamw", "sgd"}


def test_paths_are_told_by_their_ends(tmp_path):
    for split in ("tables/all.csv", "tables/few.csv"):
        run_of(tmp_path / Path(split).stem, [2.0], f"dataset.split={split}")
    assert {run.arm for run in read_study([tmp_path]).runs} == {
        "dataset.split=all.csv", "dataset.split=few.csv",
    }  # fmt: skip


def test_differences_are_taken_seed_by_seed(sweep):
    baseline, sgd = read_study([sweep]).rows("bach")
    assert baseline.over_seeds("val/nats_per_note").spread > 0.2
    assert sgd.difference.mean == pytest.approx(0.5)
    assert sgd.difference.spread == pytest.approx(0, abs=1e-9)


def test_only_seeds_in_common_are_compared(sweep):
    run_of(sweep / "s3", [9.0], "optimizer=sgd", "seed=3")
    _, sgd = read_study([sweep]).rows("bach")
    assert len(sgd.runs) == 4
    assert sgd.difference.num_values == 3


def test_the_table_tells_the_gap_the_rise_and_what_is_beyond_the_spread(sweep):
    run_of(sweep / "m", [2.05], "optimizer=sgd", "optimizer.lr=1", "seed=0")
    table = as_markdown(read_study([sweep]))
    assert "`bach`, 1,000 notes to train on, seeds 0, 1, 2:" in table
    assert "| `optimizer=adam` | 2.100 ± 0.248 |  | 0.08 | 0.00 | 2 of 2 | 20 |" in table
    assert "| `optimizer=sgd` | 2.600 ± 0.248 | **+0.500 ± 0.000** | 0.04 | 0.20 | 1 of 2 | 10 |" in table
    assert "| `optimizer=sgd, optimizer.lr=1` | 2.050 | +0.050 | 0.04 | 0.00 | 1 of 1 | 10 |" in table


def test_each_dataset_has_a_table_and_arms_of_its_own(sweep):
    run_of(sweep / "f", [2.0], "optimizer=sgd", "trainer.max_epochs=3", dataset="fiddle")
    study = read_study([sweep], "adam")
    assert study.datasets == ["bach", "fiddle"]
    assert [row.arm for row in study.rows("fiddle")] == ["default"]
    assert "no seed in common" in as_markdown(study)


def test_runs_on_other_numbers_of_files_are_not_compared_for_they_have_other_splits(tmp_path):
    for files, nats in ((8, 3.0), (20, 2.0)):
        run_of(tmp_path / f"a{files}", [nats], "recipe=full", f"dataset.max_files={files}")
        run_of(tmp_path / f"b{files}", [nats - 0.5], "recipe=from_base", f"dataset.max_files={files}")
    study = read_study([tmp_path], "full")
    assert study.datasets == ["bach (20 files)", "bach (8 files)"]
    assert [[row.arm for row in study.rows(each)] for each in study.datasets] == [["full", "from_base"]] * 2


@pytest.mark.parametrize(("rates", "is_flagged"), [((2.5, 2.0, 2.4), False), ((2.0, 2.1, 2.4), True)])
def test_a_best_value_at_the_edge_of_its_sweep_is_flagged(tmp_path, rates, is_flagged):
    for lr, nats in zip((0.001, 0.01, 0.1), rates, strict=True):
        run_of(tmp_path / str(lr), [nats], f"optimizer.lr={lr}")
    table = as_markdown(read_study([tmp_path]))
    assert ("at the edge of what was tried: optimizer.lr=0.001." in table) is is_flagged


def test_every_optimizer_has_edges_of_its_own(tmp_path):
    """The best rate of one is tried for another, too, but is no edge of that one's."""
    tried = {"adam": {0.001: 2.0, 0.002: 1.9, 0.004: 2.1}, "sgd": {0.002: 2.3, 0.25: 2.2, 1: 2.15}}
    for optimizer, rates in tried.items():
        for lr, nats in rates.items():
            overrides = f"optimizer={optimizer}", f"optimizer.lr={lr}"
            run_of(tmp_path / f"{optimizer}{lr}", [nats], *overrides)
    table = as_markdown(read_study([tmp_path]))
    assert "at the edge of what was tried: optimizer=sgd, optimizer.lr=1.\n" in table


def test_failed_runs_are_left_out_and_named(sweep, caplog):
    run_of(sweep / "b", [1.0], "optimizer=adam", "seed=9", status="failed", error="out of luck")
    assert len(read_study([sweep]).runs) == 6
    assert f"left out: {sweep / 'b'}: out of luck" in caplog.text


def test_two_runs_of_one_arm_and_seed_are_refused(sweep):
    run_of(sweep / "again", [1.0], "optimizer=adam", "seed=1")
    with pytest.raises(UserError, match=r"both are adam on bach with seed 1"):
        read_study([sweep])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{sweep}/none"], "there is no such folder"),
        (["{sweep}", "--baseline", "adamm"], "--baseline adamm: there is no such arm; there are adam, sgd"),
        (["{sweep}/a0/.hydra"], "no finished run was found"),
    ],
)
def test_mistakes_are_told_in_a_line(sweep, capsys, arguments, message):
    assert main(["report", *(argument.format(sweep=sweep) for argument in arguments)]) == 1
    assert message in capsys.readouterr().err


def test_a_table_can_be_made_again_from_its_results(sweep, tmp_path):
    study = read_study([sweep], "sgd")
    save_results(study, tmp_path / "results.csv")
    assert as_markdown(read_results(tmp_path / "results.csv", "sgd")) == as_markdown(study)


def test_recording_keeps_what_was_written_around_the_table(sweep, tmp_path):
    target = tmp_path / "studies" / "optimizers"
    assert main(["report", str(sweep), "--study", str(target), "--baseline", "adam"]) == 0
    readme = target / "README.md"
    readme.write_text(readme.read_text().replace("**Question.**", "**Question.** Which one?"))
    assert main(["report", str(sweep), "--study", str(target), "--baseline", "sgd"]) == 0
    text = readme.read_text()
    assert "Which one?" in text
    assert text.count("`bach`, 1,000") == 1
    assert baseline_of(text) == "sgd"
    assert {path.name for path in target.iterdir()} == {
        "README.md", "results.csv", "results.png", "curves.png",
    }  # fmt: skip


def test_a_readme_without_a_place_for_the_table_is_left_alone(sweep):
    with pytest.raises(UserError, match="no place for the table"):
        with_table("# A study\n", read_study([sweep]))


def test_a_study_needs_a_run():
    with pytest.raises(UserError, match="no finished run"):
        Study([])


def test_the_table_of_the_runs_is_that_of_their_results(tmp_path):
    run_of(tmp_path / "sweep" / "a", [1.0014999], "seed=0")  # rounded twice: 1.002
    study = read_study([tmp_path / "sweep"])
    record(study, tmp_path / "study")
    assert as_markdown(read_results(tmp_path / "study" / "results.csv")) == as_markdown(study)


def test_one_arm_alone_is_drawn_over_its_epochs_too(tmp_path):
    run_of(tmp_path / "sweep" / "a", [1.5, 1.2, 1.4], "seed=0")
    assert tmp_path / "study" / "curves.png" in record(read_study([tmp_path / "sweep"]), tmp_path / "study")


@pytest.mark.parametrize("folder", STUDIES, ids=lambda folder: folder.name)
def test_each_recorded_table_is_that_of_its_results(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert with_table(text, read_results(folder / "results.csv", baseline_of(text))) == text


@pytest.mark.parametrize(("study", "command"), COMMANDS, ids=lambda part: part)
def test_each_command_of_a_study_is_accepted(study, command):  # noqa: ARG001  # names the test
    program, *arguments = shlex.split(command)[1:]
    if program == "train.py":
        check(arguments)
    else:
        build_parser().parse_args(arguments[1:])


def test_each_study_says_its_command():
    assert {study for study, _ in COMMANDS} == {path.parent.name for path in EXPERIMENTS.glob("*/README.md")}


def test_each_recorded_study_is_listed():
    listed = re.findall(r"\]\((\w+)/README\.md\)", (EXPERIMENTS / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(path.parent.name for path in EXPERIMENTS.glob("*/README.md"))
