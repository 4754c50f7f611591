"""`python -m noternn generate`: one checkpoint is enough, and what is wrong is said in a line."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from noternn.__main__ import main
from noternn.music.midi import read_midi, write_midi
from noternn.music.piece import Piece
from noternn.tokenizer import EventTokenizer

Capture = pytest.CaptureFixture[str]


def generate(checkpoint: Path, output: Path, *options: str) -> bytes:
    """The MIDI file that a successful command writes."""
    length = ["--num-notes", "12", "--exact"]
    assert main(["generate", str(checkpoint), "-o", str(output), *length, *options]) == 0
    return output.read_bytes()


def refusal(capsys: Capture, checkpoint: Path, output: Path, *options: str) -> str:
    """The one line that a failing command prints."""
    capsys.readouterr()
    assert main(["generate", str(checkpoint), "-o", str(output), *options]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def note_rows(piece: Piece) -> list[tuple[float, int]]:
    """(onset in beats, pitch) of every note."""
    return [(on / piece.ticks_per_beat, p) for on, p in zip(piece.onset, piece.pitch, strict=True)]


def test_a_checkpoint_composes_as_many_notes_as_asked_for(tiny_run: Path, tmp_path: Path) -> None:
    generate(tiny_run / "last.ckpt", tmp_path / "out.mid")
    assert read_midi(tmp_path / "out.mid").num_notes == 12


def test_what_was_composed_is_described_on_stdout(tiny_run: Path, tmp_path: Path, capsys: Capture) -> None:
    generate(tiny_run, tmp_path / "out.mid")
    assert f"{tmp_path / 'out.mid'}: 12 notes, " in capsys.readouterr().out


def test_the_same_seed_gives_the_same_bytes(tiny_run: Path, tmp_path: Path) -> None:
    first, second = (generate(tiny_run, tmp_path / name, "--seed", "3") for name in ("a.mid", "b.mid"))
    assert first == second


def test_another_seed_gives_other_notes(tiny_run: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mid"
    assert generate(tiny_run, output, "--seed", "0") != generate(tiny_run, output, "--seed", "1")


@pytest.mark.parametrize("option", [["--temperature", "3"], ["--top-k", "1"]], ids=" ".join)
def test_sampling_options_change_what_is_composed(tiny_run: Path, tmp_path: Path, option: list[str]) -> None:
    output = tmp_path / "out.mid"
    assert generate(tiny_run, output) != generate(tiny_run, output, *option)


def test_a_run_folder_stands_for_its_best_checkpoint(tiny_run: Path, tmp_path: Path) -> None:
    by_folder = generate(tiny_run, tmp_path / "a.mid")
    assert by_folder == generate(tiny_run / "best.ckpt", tmp_path / "b.mid")


def test_one_checkpoint_file_is_enough(tiny_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "mine.ckpt"
    copy.parent.mkdir()
    shutil.copy(tiny_run / "best.ckpt", copy)
    assert generate(copy, tmp_path / "a.mid") == generate(tiny_run, tmp_path / "b.mid")


def test_folders_of_the_output_are_made(tiny_run: Path, tmp_path: Path) -> None:
    assert generate(tiny_run, tmp_path / "new" / "folder" / "out.midi")


def test_the_tempo_is_that_of_the_training_pieces(tiny_run: Path, tmp_path: Path) -> None:
    generate(tiny_run, tmp_path / "out.mid")
    content = torch.load(tiny_run / "best.ckpt", weights_only=True)["noternn"]
    ((tick, tempo),) = read_midi(tmp_path / "out.mid").tempos
    assert (tick, round(tempo, 2)) == (0, round(content["tempo"], 2))
    assert 80 <= tempo <= 140


def test_several_samples_are_those_of_the_seeds_that_follow(
    tiny_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["generate", str(tiny_run), "-o", str(tmp_path / "out.mid"), "--num-notes", "12",
                 "--exact", "--seed", "4", "--num-samples", "3"]) == 0  # fmt: skip
    assert capsys.readouterr().out.count(" 12 notes, ") == 3
    for number in (1, 2, 3):
        alone = generate(tiny_run, tmp_path / "alone.mid", "--seed", str(3 + number))
        assert (tmp_path / f"out_00{number}.mid").read_bytes() == alone
    assert not (tmp_path / "out.mid").exists()


# How to choose and how long


def test_greedy_is_top_k_1_whatever_the_seed(tiny_run: Path, tmp_path: Path) -> None:
    for seed in ("0", "1"):
        generate(tiny_run, tmp_path / f"{seed}.mid", "--top-k", "1", "--seed", seed)
    first, second = (note_rows(read_midi(tmp_path / f"{seed}.mid")) for seed in ("0", "1"))
    assert first == second


@pytest.mark.parametrize(
    "option",
    [
        ["--top-k", "0", "--top-p", "0.3"],
        ["--min-p", "0.9"],
        ["--repetition-penalty", "3"],
        ["--repetition-penalty", "3", "--repetition-window", "2"],
    ],
    ids=" ".join,
)
def test_each_filter_changes_what_is_composed(tiny_run: Path, tmp_path: Path, option: list[str]) -> None:
    output = tmp_path / "out.mid"
    assert generate(tiny_run, output, "--top-k", "0") != generate(tiny_run, output, *option)


def compose(run: Path, output: Path, *options: str) -> Piece:
    assert main(["generate", str(run), "-o", str(output), "--exact", *options]) == 0
    return read_midi(output)


@pytest.mark.parametrize("beats", ["3", "7.5", "40"])
def test_a_length_in_beats_is_kept_to_and_no_note_hangs_over(
    tiny_run: Path, tmp_path: Path, beats: str
) -> None:
    piece = compose(tiny_run, tmp_path / "out.mid", "--beats", beats)
    assert float(beats) - 9 < piece.beats <= float(beats)  # the longest shift of these pieces is far shorter
    assert piece.onset.max() < float(beats) * piece.ticks_per_beat


def test_a_length_in_seconds_is_kept_to(tiny_run: Path, tmp_path: Path) -> None:
    piece = compose(tiny_run, tmp_path / "out.mid", "--seconds", "12")
    assert 7 < piece.duration_seconds < 12.01  # MIDI counts microseconds a beat


def test_a_length_in_beats_begins_at_the_end_of_the_primer(
    tiny_run: Path, corpus_dir: Path, tmp_path: Path
) -> None:
    primer = corpus_dir / "piece_003.mid"
    piece = compose(tiny_run, tmp_path / "out.mid", "--beats", "10", "--primer", str(primer))
    end = read_midi(primer).beats + 10
    assert end - 9 < piece.beats <= end


def test_lengths_and_starts_exclude_each_other(tmp_path: Path, capsys: Capture) -> None:
    for options in (["--beats", "3", "--seconds", "3"], ["--num-notes", "3", "--beats", "3"],
                    ["--primer", "a.mid", "--opening"]):  # fmt: skip
        with pytest.raises(SystemExit, match="2"):
            main(["generate", str(tmp_path), "-o", "out.mid", *options])
        assert "not allowed with argument" in capsys.readouterr().err


# Primers


def test_a_held_out_opening_is_chosen_by_the_seed_and_named(
    train_tiny: Callable[..., object], tmp_path: Path, capsys: Capture
) -> None:
    run = tmp_path / "run"
    train_tiny(run, "dataset.validation_fraction=0.5", "dataset.test_fraction=0", "trainer.max_epochs=1")
    validation = json.loads((run / "split.json").read_text())["validation"]
    capsys.readouterr()
    options = ["--opening", "--num-notes", "12", "--exact"]
    assert main(["generate", str(run), "-o", str(tmp_path / "all.mid"), *options, "--num-samples", "6"]) == 0
    named = re.findall(r"after the opening of (\S+), 16 notes", capsys.readouterr().out)
    assert len(named) == 6
    assert len(set(named)) > 1
    assert set(named) <= set(validation)
    alone = compose(run, tmp_path / "alone.mid", *options, "--seed", "4")
    assert f"after the opening of {named[4]}, " in capsys.readouterr().out
    assert (tmp_path / "all_005.mid").read_bytes() == (tmp_path / "alone.mid").read_bytes()
    assert alone.num_notes == 4 + 12


def test_a_primer_is_continued(tiny_run: Path, corpus_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    primer_path = corpus_dir / "piece_003.mid"
    generate(tiny_run, tmp_path / "out.mid", "--primer", str(primer_path))
    tokenizer = EventTokenizer()
    primer = tokenizer.detokenize(tokenizer.tokenize(read_midi(primer_path)))  # on the grid
    continued = read_midi(tmp_path / "out.mid")
    assert note_rows(continued)[: primer.num_notes] == note_rows(primer)
    assert continued.num_notes == primer.num_notes + 12
    assert f"primer: {primer_path}, {primer.num_notes} notes, " in capsys.readouterr().err


def test_tokens_of_a_primer_that_the_vocabulary_lacks_are_reported(
    tiny_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    primer = Piece.from_notes([0, 480, 960], [480, 480, 7 * 480], [60, 127, 60])
    write_midi(primer, tmp_path / "in.mid")
    generate(tiny_run, tmp_path / "out.mid", "--primer", str(tmp_path / "in.mid"))
    expected = "3 notes, 11 tokens, 2 of them unknown to the vocabulary (Pitch_127, Duration_84)"
    assert expected in capsys.readouterr().err


def test_a_primer_that_is_no_midi_file_is_refused(tiny_run: Path, tmp_path: Path, capsys: Capture) -> None:
    primer = tmp_path / "in.mid"
    primer.write_text("this is not music")
    message = refusal(capsys, tiny_run, tmp_path / "out.mid", "--primer", str(primer))
    assert message == f"error: {primer}: not a MIDI file (does not begin with MThd)\n"


def test_a_primer_that_is_not_there_is_refused(tiny_run: Path, tmp_path: Path, capsys: Capture) -> None:
    message = refusal(capsys, tiny_run, tmp_path / "out.mid", "--primer", str(tmp_path / "none.mid"))
    assert message == f"error: {tmp_path / 'none.mid'}: cannot be opened: No such file or directory\n"


def test_a_primer_of_drums_alone_is_refused(tiny_run: Path, tmp_path: Path, capsys: Capture) -> None:
    write_midi(Piece.from_notes([0, 480], [240, 240], [36, 38], is_drum=True), tmp_path / "drums.mid")
    message = refusal(capsys, tiny_run, tmp_path / "out.mid", "--primer", str(tmp_path / "drums.mid"))
    assert "holds no notes that this tokenizer can write (only drums?)" in message


# What is refused


def test_the_copy_model_is_gone_and_what_there_is_instead_is_said(tmp_path: Path, capsys: Capture) -> None:
    err = refusal(capsys, tmp_path / "run", tmp_path / "out.mid", "--copy")
    assert (
        err == "error: --copy is gone: networks that are trained now have a memory instead (model.memory)\n"
    )


@pytest.mark.parametrize("name", ["missing.ckpt", "."])
def test_a_checkpoint_that_is_not_there_is_refused(name: str, tmp_path: Path, capsys: Capture) -> None:
    message = refusal(capsys, tmp_path / name, tmp_path / "out.mid")
    assert "no checkpoint there; give a run's folder or a .ckpt file" in message


@pytest.mark.parametrize("name", ["out.wav", "out", "out.mid.txt"])
def test_an_output_that_is_not_midi_is_refused(
    tiny_run: Path, tmp_path: Path, capsys: Capture, name: str
) -> None:
    assert "it must end in .mid or .midi" in refusal(capsys, tiny_run, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_an_output_that_cannot_be_written_is_refused(tiny_run: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refusal(capsys, tiny_run, tmp_path / "file" / "out.mid")


def not_a_checkpoint_but_text(path: Path) -> None:
    path.write_text("no zip archive")


def not_a_checkpoint_but_empty(path: Path) -> None:
    path.write_bytes(b"")


def not_a_checkpoint_but_another_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing that torch knows")


def not_a_checkpoint_but_weights(path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(3)}}, path)


def not_a_checkpoint_but_a_tensor(path: Path) -> None:
    torch.save(torch.zeros(3), path)


def not_a_checkpoint_but_of_another_version(path: Path) -> None:
    torch.save({"state_dict": {}, "noternn": {"version": "99.0"}}, path)


@pytest.mark.parametrize(
    "write",
    [
        not_a_checkpoint_but_text,
        not_a_checkpoint_but_empty,
        not_a_checkpoint_but_another_archive,
        not_a_checkpoint_but_weights,
        not_a_checkpoint_but_a_tensor,
        not_a_checkpoint_but_of_another_version,
    ],
)
def test_what_is_no_checkpoint_is_refused(
    write: Callable[[Path], None], tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "other.ckpt"
    write(path)
    message = refusal(capsys, path, tmp_path / "out.mid")
    assert str(path) in message
    assert "checkpoint" in message
    assert not (tmp_path / "out.mid").exists()


def test_a_checkpoint_damaged_anywhere_is_refused(tiny_run: Path, tmp_path: Path, capsys: Capture) -> None:
    """torch itself reads most of these without a word, and composes with other weights."""
    data, damaged = (tiny_run / "best.ckpt").read_bytes(), tmp_path / "flipped.ckpt"
    generate(tiny_run, tmp_path / "whole.mid")
    whole = note_rows(read_midi(tmp_path / "whole.mid"))
    num_refused = 0
    for place in range(0, len(data), len(data) // 60):
        flipped = bytearray(data)
        flipped[place] ^= 0xFF
        damaged.write_bytes(flipped)
        if (
            main(["generate", str(damaged), "-o", str(tmp_path / "out.mid"), "--num-notes", "12", "--exact"])
            == 0
        ):
            assert note_rows(read_midi(tmp_path / "out.mid")) == whole  # it hit padding
            continue
        _, err = capsys.readouterr()
        assert err.startswith(f"error: {damaged}: ")
        assert "the checkpoint is damaged" in err or "not a readable checkpoint" in err
        num_refused += 1
    assert num_refused > 30


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_half_a_checkpoint_is_refused(tiny_run: Path, tmp_path: Path, capsys: Capture, kept: float) -> None:
    data, half = (tiny_run / "best.ckpt").read_bytes(), tmp_path / "half.ckpt"
    half.write_bytes(data[: int(kept * len(data))])
    assert "not a readable checkpoint" in refusal(capsys, half, tmp_path / "out.mid")


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("forced", [False, True], ids=["", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
def test_a_checkpoint_with_a_payload_is_refused_and_not_run(
    tiny_run: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, forced: bool
) -> None:
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    hostile, marker = tmp_path / "hostile.ckpt", tmp_path / "marker"
    content = torch.load(tiny_run / "best.ckpt", weights_only=True)
    torch.save(content | {"payload": Payload(marker)}, hostile)
    message = refusal(capsys, hostile, tmp_path / "out.mid")
    assert "refused, it holds more than weights and plain data" in message
    assert not marker.exists()
    torch.load(hostile, weights_only=False)  # the payload is a real one
    assert marker.exists()


def test_a_bare_pickle_is_refused_and_not_run(tmp_path: Path, capsys: Capture) -> None:
    hostile, marker = tmp_path / "hostile.ckpt", tmp_path / "marker"
    hostile.write_bytes(pickle.dumps(Payload(marker)))
    assert "not a readable checkpoint" in refusal(capsys, hostile, tmp_path / "out.mid")
    assert not marker.exists()


@pytest.mark.parametrize(
    "option",
    [
        ["--num-notes", "0"],
        ["--temperature", "0"],
        ["--temperature", "nan"],
        ["--temperature", "hot"],
        ["--top-k", "-1"],
        ["--top-p", "0"],
        ["--top-p", "1.1"],
        ["--min-p", "-0.1"],
        ["--min-p", "nan"],
        ["--repetition-penalty", "0.9"],
        ["--repetition-penalty", "inf"],
        ["--repetition-window", "0"],
        ["--beats", "0"],
        ["--seconds", "-1"],
        ["--seed", "x"],
    ],
    ids=" ".join,
)
def test_a_number_out_of_range_is_refused(option: list[str], tmp_path: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["generate", str(tmp_path), "-o", "out.mid", *option])
    assert f"argument {option[0]}: " in capsys.readouterr().err


# Which of several


@pytest.fixture
def sweep(tiny_run: Path, tmp_path: Path) -> Path:
    """A sweep of two jobs, of which the second is better, and one that was stopped."""
    folder = tmp_path / "sweep"
    for number, nll in enumerate((2.0, 1.0)):
        shutil.copytree(tiny_run, folder / str(number))
        path = folder / str(number) / "summary.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"val/nll": nll}))
    shutil.copytree(tiny_run, folder / "2")
    (folder / "2" / "summary.json").unlink()
    (folder / "multirun.yaml").touch()
    return folder


def test_of_a_sweep_the_best_job_composes(sweep: Path, tmp_path: Path, capsys: Capture) -> None:
    composed = generate(sweep, tmp_path / "out.mid")
    assert f"the best job of this sweep: {sweep / '1'}\n" in capsys.readouterr().err
    assert composed == generate(sweep / "1", tmp_path / "alone.mid")
    assert main(["listen", str(sweep), "-o", str(tmp_path / "page.html")]) == 0
    assert f"the best job of this sweep: {sweep / '1'}\n" in capsys.readouterr().err


def test_a_sweep_of_which_no_job_has_finished_is_refused(
    sweep: Path, tmp_path: Path, capsys: Capture
) -> None:
    for path in sweep.glob("*/summary.json"):
        path.unlink()
    assert "no job of this sweep has finished" in refusal(capsys, sweep, tmp_path / "out.mid")


def test_the_healthiest_of_several_is_kept(tiny_run: Path, tmp_path: Path, capsys: Capture) -> None:
    options = ["--num-notes", "40", "--seed", "3", "--exact"]
    out = tmp_path / "out.mid"
    assert main(["generate", str(tiny_run), "-o", str(out), *options, "--healthy", "--num-samples", "2"]) == 0
    assert capsys.readouterr().out.count("the healthiest of 8, 40 notes") == 2
    names = [f"all_{number:03d}.mid" for number in range(1, 17)]
    assert (
        main(["generate", str(tiny_run), "-o", str(tmp_path / "all.mid"), *options, "--num-samples", "16"])
        == 0
    )
    made = [(tmp_path / name).read_bytes() for name in names]
    assert (tmp_path / "out_001.mid").read_bytes() in made[::2]
    assert (tmp_path / "out_002.mid").read_bytes() in made[1::2]


def test_without_a_yardstick_nothing_is_called_healthy(
    tiny_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copy(tiny_run / "best.ckpt", tmp_path)
    assert "nothing to compare with" in refusal(
        capsys, tmp_path / "best.ckpt", tmp_path / "out.mid", "--healthy"
    )
