"""The audit finds what a corpus holds of a piece: in any key, at many speeds, in whatever voice."""

from __future__ import annotations

import csv
import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noternn.__main__ import main
from noternn.audit.curve import Copied, choose_checkpoint, copied_after, held_out_limit, note_audit
from noternn.audit.exhibits import file_names
from noternn.audit.figures import FLAGGED_PERCENTILE, MAX_PIECES, Figures, RealFigures, pooled, spread
from noternn.audit.index import STRETCHES, Index, index_of
from noternn.audit.report import bar_words, how, shortened
from noternn.audit.streams import Notes, streams_of
from noternn.audit.suffixes import SuffixArray, suffix_order
from noternn.bench import audit as bench_audit
from noternn.errors import UserError
from noternn.evaluation.loading import load_runs
from noternn.music.midi import read_midi, write_midi
from noternn.music.piece import Piece
from noternn.music.steps import MIN_DIFFERENT

BEAT = 480


def tune(seed: int, num_notes: int = 40, low: int = 48, high: int = 84) -> Piece:
    """A melody of random pitches in eighths and quarters."""
    rng = np.random.default_rng(seed)
    duration = rng.choice([BEAT // 2, BEAT], num_notes)
    onset = np.cumsum(duration) - duration
    return Piece.from_notes(onset, duration, rng.integers(low, high, num_notes), name=f"tune {seed}")


def corpus_of(*pieces: Piece) -> Index:
    return Index.build(pieces, [piece.name for piece in pieces])


def part(piece: Piece, start: int, stop: int) -> Piece:
    return piece.select((np.arange(piece.num_notes) >= start) & (np.arange(piece.num_notes) < stop))


def joined(*pieces: Piece) -> Piece:
    """One piece after the other."""
    columns, end = [], 0
    for piece in pieces:
        columns.append((piece.onset - piece.onset.min() + end, piece.duration, piece.pitch))
        end += int((piece.onset + piece.duration).max() - piece.onset.min())
    return Piece.from_notes(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def together(*pieces: Piece) -> Piece:
    """Several pieces at once."""
    columns = [(piece.onset, piece.duration, piece.pitch) for piece in pieces]
    return Piece.from_notes(*(np.concatenate(column) for column in zip(*columns, strict=True)))


texts = st.lists(st.lists(st.integers(0, 3), max_size=30), min_size=1, max_size=4)


def text_of(parts: Sequence[Sequence[int]]) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Parts that end in symbols of their own, and which part each symbol is of."""
    ended = [[*symbols, 100 + i] for i, symbols in enumerate(parts)]
    numbers = np.repeat(np.arange(len(parts)), [len(symbols) for symbols in ended])
    return np.array([s for symbols in ended for s in symbols], dtype=np.uint32), numbers.astype(np.int32)


@given(texts)
def test_suffixes_are_in_order(parts: list[list[int]]) -> None:
    text, _ = text_of(parts)
    symbols = text.tolist()
    assert suffix_order(text).tolist() == sorted(range(len(symbols)), key=lambda i: symbols[i:])


@given(texts, st.lists(st.integers(0, 4), max_size=30), st.none() | st.integers(0, 3))
def test_the_longest_match_is_that_of_a_search_of_everything(
    parts: list[list[int]], asked: list[int], without: int | None
) -> None:
    text, part_of = text_of(parts)
    found, places = SuffixArray(text, suffix_order(text), part_of).longest(
        np.array(asked, dtype=np.uint32), without
    )
    symbols = text.tolist()
    for start in range(len(asked)):
        lengths = [
            next(
                n
                for n in range(len(asked) + 1)
                if start + n == len(asked)
                or place + n == len(symbols)
                or asked[start + n] != symbols[place + n]
            )
            for place in range(len(symbols))
            if part_of[place] != without
        ]
        length, place = int(found[start]), int(places[start])
        assert length == max(lengths, default=0)
        if length:
            assert symbols[place : place + length] == asked[start : start + length]
            assert part_of[place] != without


notes = st.lists(
    st.tuples(st.integers(0, 24), st.integers(1, 6), st.integers(60, 66), st.integers(0, 1)),
    min_size=7,
    max_size=24,
)


def piece_of(rows: Sequence[tuple[int, int, int, int]]) -> Piece:
    onset, duration, pitch, program = np.array(rows).T
    return Piece.from_notes(onset * BEAT // 2, duration * BEAT // 2, pitch, program=program)


def slow_audit(piece: Piece, corpus: Sequence[Piece]) -> list[int]:
    """How long the longest passage with each note is, by trying all of them."""
    stored = [stream.steps.tolist() for other in corpus for stream in streams_of(other, Notes.of(other))]
    longest = [0] * piece.num_notes
    for stretch in STRETCHES:
        distinct = Notes.of(piece, stretch)
        for stream in streams_of(piece, distinct):
            steps = stream.steps.tolist()
            for start in range(len(steps)):
                for stop in range(start + MIN_DIFFERENT, len(steps) + 1):
                    passage = steps[start:stop]
                    if len(set(passage)) >= MIN_DIFFERENT and any(holds(other, passage) for other in stored):
                        for note in distinct.first[stream.notes[start : stop + 1]].tolist():
                            longest[note] = max(longest[note], len(passage) + 1)
    keys = list(zip(piece.onset.tolist(), piece.pitch.tolist(), strict=True))
    return [longest[keys.index(key)] for key in keys]


def holds(steps: list[int], passage: list[int]) -> bool:
    return any(steps[i : i + len(passage)] == passage for i in range(len(steps) - len(passage) + 1))


@settings(max_examples=50, deadline=None)
@given(notes, st.lists(notes, min_size=1, max_size=3), st.integers(0, 6), st.integers(-5, 5))
def test_an_audit_is_that_of_a_slow_search(
    rows: list[tuple[int, int, int, int]],
    others: list[list[tuple[int, int, int, int]]],
    start: int,
    semitones: int,
) -> None:
    piece = piece_of(rows)
    copied = part(piece, start, start + 12).transpose(semitones)
    corpus = [joined(piece_of(others[0]), copied), *map(piece_of, others[1:])]
    audit = Index.build(corpus, [str(i) for i in range(len(corpus))]).audit(piece)
    assert audit.longest.tolist() == slow_audit(piece, corpus)


def test_every_note_says_where_it_comes_from() -> None:
    first, second = tune(1), tune(2)
    sample = joined(tune(3), part(second, 5, 25), tune(4))
    audit = corpus_of(first, second).audit(sample)
    copied = slice(40, 60)
    assert (audit.longest[copied] == 20).all()
    assert (audit.source_piece[copied] == 1).all()
    assert audit.source_note[copied].tolist() == list(range(5, 25))
    assert audit.copied(16) == 20 / 100
    assert audit.copied(21) == 0
    assert audit.passages[0].notes.tolist() == list(range(40, 60))


def test_notes_of_short_or_no_passages_have_their_own_length() -> None:
    audit = corpus_of(tune(1)).audit(tune(2))
    assert audit.longest.max() < 8
    assert (audit.source_piece[audit.longest == 0] == -1).all()
    assert (audit.source_note[audit.longest == 0] == -1).all()


@pytest.mark.parametrize("semitones", [-11, -1, 5])
def test_a_transposed_copy_is_found(semitones: int) -> None:
    sample = joined(tune(3), part(tune(1), 4, 28).transpose(semitones), tune(4))
    assert corpus_of(tune(1), tune(2)).audit(sample).copied(24) == 24 / sample.num_notes


@pytest.mark.parametrize("stretch", [0.5, 1.5, 2, 3])
@pytest.mark.parametrize("ticks_per_beat", [480, 96])
def test_a_copy_at_another_speed_is_found(stretch: float, ticks_per_beat: int) -> None:
    copied = part(tune(1), 4, 28)
    scale = stretch * ticks_per_beat / BEAT
    sample = Piece.from_notes(
        copied.onset * scale, copied.duration * scale, copied.pitch + 2, ticks_per_beat=ticks_per_beat
    )
    audit = corpus_of(tune(1), tune(2)).audit(sample)
    assert (audit.longest == 24).all()
    assert audit.passages[0].stretch == pytest.approx(1 / stretch)


@pytest.mark.parametrize(
    "others", [[(10, 40), (41, 47)], [(85, 100)], [(85, 100), (101, 110)], [(85, 100), (10, 40)]]
)
def test_a_melody_is_found_in_another_voice(others: list[tuple[int, int]]) -> None:
    melody = tune(1)
    voices = [tune(5 + i, num_notes=60, low=low, high=high) for i, (low, high) in enumerate(others)]
    sample = together(melody, *voices)
    audit = corpus_of(together(melody, tune(9, low=20, high=40)), tune(2)).audit(sample)
    is_melody = np.isin(sample.pitch, range(48, 84))
    assert (audit.longest[is_melody] == melody.num_notes).all()
    assert audit.copied(16) == melody.num_notes / sample.num_notes
    assert not audit.passages[0].is_whole


def test_a_part_of_one_instrument_is_found_between_others() -> None:
    melody, around = tune(1), tune(5, num_notes=60)  # they cross
    sample = Piece.from_notes(
        np.append(melody.onset, around.onset),
        np.append(melody.duration, around.duration),
        np.append(melody.pitch, around.pitch),
        program=np.repeat([40, 0], [melody.num_notes, around.num_notes]),
    )
    assert (corpus_of(melody).audit(sample).longest[sample.program == 40] == melody.num_notes).all()


def test_a_note_that_two_instruments_play_is_told_for_both() -> None:
    melody = tune(1)
    doubled = Piece.from_notes(
        *(np.tile(column, 2) for column in (melody.onset, melody.duration, melody.pitch)),
        program=np.repeat([40, 0], melody.num_notes),
    )
    audit = corpus_of(melody).audit(doubled)
    assert (audit.longest == melody.num_notes).all()
    assert audit.copied(32) == 1


def test_drums_are_not_looked_at() -> None:
    melody = tune(1)
    drums = Piece.from_notes(melody.onset, melody.duration, melody.pitch, is_drum=True)
    assert corpus_of(drums, tune(2)).audit(melody).copied(8) == 0
    audit = corpus_of(melody).audit(drums)
    assert audit.num_notes == 0
    assert audit.copied(8) == 0
    assert (audit.longest == 0).all()


def test_an_ostinato_is_no_copy() -> None:
    ostinato = Piece.from_notes(np.arange(64) * BEAT, BEAT, [60, 64, 67, 64] * 16)
    assert corpus_of(ostinato).audit(ostinato).longest.max() == 0


@pytest.mark.parametrize("num_notes", [0, 1, 2, 5])
def test_a_piece_of_few_notes_copies_nothing(num_notes: int) -> None:
    audit = corpus_of(tune(1)).audit(part(tune(1), 0, num_notes))
    assert audit.longest.tolist() == [0] * num_notes
    assert audit.copied(8) == 0


def test_pieces_of_few_notes_can_be_in_a_corpus() -> None:
    index = corpus_of(part(tune(1), 0, 0), part(tune(1), 0, 1), tune(2))
    assert set(index.audit(tune(2)).source_piece.tolist()) == {2}


def test_an_index_of_pieces_without_steps_finds_nothing() -> None:
    assert corpus_of(part(tune(1), 0, 0)).audit(tune(2)).longest.max() == 0


def test_an_index_of_nothing_finds_nothing() -> None:
    assert corpus_of().audit(tune(1)).copied(2) == 0


def test_a_piece_is_not_its_own_source_but_its_near_duplicate_is() -> None:
    first, copy = tune(1), tune(1).transpose(3)
    index = corpus_of(first, tune(2), copy)
    audit = index.audit(first, without=0)
    assert (audit.longest == first.num_notes).all()
    assert set(audit.source_piece.tolist()) == {2}
    assert corpus_of(first, tune(2)).audit(first, without=0).copied(16) == 0


def test_bars_of_the_source_are_known() -> None:
    melody = tune(1)
    index = corpus_of(tune(2), melody)
    last = melody.num_notes - 1
    assert (
        index.bars(1, np.array([0, last])).tolist()
        == melody.bars_and_beats(melody.onset[[0, last]])[0].tolist()
    )


def figures(copied_16: float) -> Figures:
    return Figures(100, 0.9, copied_16, 0.0, 20)


def test_a_sample_is_flagged_above_the_95th_percentile_of_held_out_pieces() -> None:
    held_out = np.array([figures(i / 100) for i in range(101)])
    real = RealFigures(held_out, np.zeros((0, 5)))
    assert real.limit() == pytest.approx(FLAGGED_PERCENTILE / 100)
    assert not real.is_flagged(figures(0.95))
    assert real.is_flagged(figures(0.96))
    assert real.percentile(figures(0.505)) == pytest.approx(100 * 51 / 101)


def test_without_held_out_pieces_those_of_the_corpus_are_the_measure() -> None:
    real = RealFigures(np.zeros((0, 5)), np.array([figures(0.1)]))
    assert real.is_flagged(figures(0.2))
    assert real.what == "pieces of the corpus against the others"
    nothing = RealFigures(np.zeros((0, 5)), np.zeros((0, 5)))
    assert not nothing.is_flagged(figures(1.0))
    assert nothing.percentile(figures(1.0)) is None


def test_samples_together_count_by_their_notes() -> None:
    both = pooled([Figures(100, 0.5, 0.5, 0.0, 20), Figures(300, 0.1, 0.1, 0.1, 40)])
    assert both == pytest.approx((400, 0.2, 0.2, 0.075, 40))
    assert pooled([]) == Figures(0, 0.0, 0.0, 0.0, 0)


def test_many_pieces_are_measured_evenly() -> None:
    assert spread(3) == [0, 1, 2]
    assert spread(0) == []
    assert len(set(spread(10 * MAX_PIECES + 7))) == MAX_PIECES


def test_words_for_passages() -> None:
    assert how(False, 1.0) == "all notes"
    assert how(True, 2.0) == "in one voice, 2 times as fast"
    assert how(True, 2 / 3) == "in one voice, 1.5 times as slow"
    assert bar_words(np.array([3, 9])) == "bars 3-9"
    assert bar_words(np.array([3, 3])) == "bar 3"
    assert len(shortened("x" * 500)) < 50


def test_file_names_are_safe_and_different() -> None:
    names = ["../../etc/x.mid", "a.mid", "A.midi", "\n$.mid", "=1+1.mid", "b" * 300 + ".mid", "a/b.mid"]
    files = file_names(names, ".png")
    assert files[:4] == ["etc_x.png", "a.png", "A_2.png", "sample.png"]
    assert len({file.lower() for file in files}) == len(names)
    assert not any("/" in file or len(file.encode()) > 255 for file in files)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of twelve tunes, and samples: one copied, one new, one broken, one of drums, one of a note."""
    folder = tmp_path_factory.mktemp("music")
    for seed in range(12):
        write_midi(tune(seed), folder / "corpus" / f"tune_{seed:02d}.mid")
    samples = folder / "samples"
    write_midi(joined(tune(100), part(tune(3), 5, 35).transpose(2), tune(101)), samples / "=copied $x_1$.mid")
    write_midi(tune(102), samples / "new.mid")
    write_midi(part(tune(103), 0, 1), samples / "one.mid")
    write_midi(Piece.from_notes([0], [BEAT], [36], is_drum=True), samples / "drums.mid")
    (samples / "broken\n.mid").write_bytes(b"nothing")
    return folder


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_samples_are_audited_against_a_folder(
    music: Path, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["audit", str(music / "samples"), "--against", str(music / "corpus")]
    assert (
        main([*command, "--json", "a.json", "--csv", "a.csv", "--picture", "seen", "--listen", "heard"]) == 0
    )
    out = capsys.readouterr().out
    assert "12 pieces, 480 notes" in out
    assert "=copied $x_1$.mid: 27 % of its notes stand in passages of 16 or more of the corpus" in out
    first, last = tune(3).bars_and_beats(tune(3).onset[[5, 34]])[0].tolist()
    assert f"it copies, most from tune_03.mid bars {first}-{last}\n" in out
    assert "new.mid: 0 % of its notes" in out
    assert "2 skipped:" in out
    assert "broken\\n.mid: not a MIDI file" in out
    assert "drums.mid: holds drums alone" in out
    found = json.loads((workplace / "a.json").read_text(encoding="utf-8"))
    assert [sample["is_flagged"] for sample in found["samples"]] == [True, False, False]
    assert found["samples"][0]["passages"][0]["source"] == "tune_03.mid"
    assert found["samples"][0]["longest"] == 30
    assert len(found["yardstick"]["others"]["copied_16"]) == 12
    with (workplace / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["./=copied $x_1$.mid", "new.mid", "one.mid"]
    assert rows[0]["passage_notes"] == "30"
    pictures = sorted(path.name for path in (workplace / "seen").iterdir())
    assert pictures == ["=copied_x_1.png".lstrip("="), "new.png", "one.png"]
    assert all((workplace / "seen" / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_a_passage_is_written_beside_its_source(music: Path, workplace: Path) -> None:
    command = ["audit", str(music / "samples"), "--against", str(music / "corpus"), "--listen", "heard"]
    assert main(command) == 0
    heard = read_midi(workplace / "heard" / "copied_x_1.mid")
    ours, theirs = part(heard, 0, 30), part(heard, 30, 60)
    assert (ours.pitch - theirs.pitch == 2).all()
    assert (np.diff(ours.onset) == np.diff(theirs.onset)).all()
    assert (ours.duration == theirs.duration).all()
    assert theirs.onset[0] - ours.end == 2 * BEAT


def test_the_index_is_built_once(
    music: Path, workplace: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["audit", str(music / "samples" / "new.mid"), "--against", str(music / "corpus")]
    with caplog.at_level(logging.INFO):
        assert main(command) == 0
        first = capsys.readouterr().out
        assert "building the index" in caplog.text
        caplog.clear()
        assert main(command) == 0
    assert "building the index" not in caplog.text
    assert capsys.readouterr().out == first
    assert list((workplace / "data" / ".cache").glob("*/order.npy"))


@pytest.fixture(scope="module")
def finished_run(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the audit needs of a run: its split and its settings."""
    from noternn.config.schema import to_plain
    from noternn.launch.command_line import corpus_settings

    run = tmp_path_factory.mktemp("runs") / "run"
    names = {
        f"tune_{seed:02d}.mid": read_midi(music / "corpus" / f"tune_{seed:02d}.mid") for seed in range(12)
    }
    hashes = {name: piece.music_hash() for name, piece in names.items()}
    split = {
        "train": {name: hashes[name] for name in list(names)[:8]},
        "validation": {name: hashes[name] for name in list(names)[8:]},
    }
    plain = to_plain(corpus_settings(str(music / "corpus"), ["datamodule.cache_dir=null"]))
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra" / "config.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    (run / "split.json").write_text(json.dumps(split), encoding="utf-8")
    return run


def test_samples_are_audited_against_the_training_pieces_of_a_run(
    music: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(music / "samples"), "--against", str(finished_run)]) == 0
    out = capsys.readouterr().out
    assert "8 pieces, 320 notes" in out
    assert "4 held-out pieces: 95th percentile" in out
    assert "8 pieces against the others: median" in out
    assert "of the training pieces (held-out pieces: median 0 %, 95th percentile 0 %): it copies, most" in out


def test_a_validation_piece_is_no_copy(
    music: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, verdict in (("tune_09.mid", "no more than real"), ("tune_02.mid", "it copies")):
        assert main(["audit", str(music / "corpus" / name), "--against", str(finished_run)]) == 0
        assert verdict in capsys.readouterr().out


def test_a_run_whose_files_have_changed_is_refused(
    music: Path, finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = json.loads((finished_run / "split.json").read_text(encoding="utf-8"))
    for name, value in (("tune_00.mid", "0" * 64), ("gone.mid", "0" * 64)):
        changed = {**split, "train": {**split["train"], name: value}}
        run = tmp_path / name
        (run / ".hydra").mkdir(parents=True)
        (run / ".hydra" / "config.yaml").write_bytes((finished_run / ".hydra" / "config.yaml").read_bytes())
        (run / "split.json").write_text(json.dumps(changed), encoding="utf-8")
        assert main(["audit", str(music / "samples"), "--against", str(run)]) == 1
        assert (
            f"1 of the pieces that it was trained and validated on are not there as they were ({name})"
            in (capsys.readouterr().err)
        )


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"train": 3}', "\x00"])
def test_a_run_without_settings_is_refused_in_a_line(
    music: Path, tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(content, encoding="utf-8")
    (tmp_path / "split.json").write_text(content, encoding="utf-8")
    assert main(["audit", str(music / "samples"), "--against", str(tmp_path)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "cannot be read" in line


def test_mistakes_are_answered_in_a_line(
    music: Path, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "empty").mkdir()
    corpus = str(music / "corpus")
    for arguments, answer in (
        (["nowhere.mid", "--against", corpus], "nowhere.mid: there is no such file or folder"),
        (["empty", "--against", corpus], "empty: there are no MIDI files or scores in it"),
        ([corpus, "--against", "bahc"], "bahc: there is no such file, folder or dataset"),
        ([corpus, "--against", corpus, "--json", "a.txt"], "--json a.txt: it must end in .json"),
    ):
        assert main(["audit", *arguments]) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert answer in line


def test_a_corpus_that_cannot_be_read_is_refused(
    music: Path, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "bad").mkdir()
    (workplace / "bad" / "x.mid").write_bytes(b"nothing")
    assert main(["audit", str(music / "samples"), "--against", "bad"]) == 1
    assert "bad: none of its files could be read (x.mid: not a MIDI file" in capsys.readouterr().err


def test_the_audit_imports_no_torch(music: Path, workplace: Path, offline: dict[str, str]) -> None:
    program = (
        "import sys; from noternn.__main__ import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    )
    command = [
        sys.executable,
        "-c",
        program,
        "audit",
        str(music / "samples"),
        "--against",
        str(music / "corpus"),
    ]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        cwd=workplace,
        env={**offline, "PYTHONPATH": root},
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_the_bench_compares_the_index_with_a_scan() -> None:
    line, rows = bench_audit.bench_audit(num_pieces=3, notes_per_piece=300, sample_notes=60, repeats=1)
    assert line == "3 pieces of 900 notes"
    assert rows[-1]["times_scan"] == 1
    assert all(row["cpu_ms"] > 0 for row in rows)


def test_the_scan_finds_what_the_index_finds() -> None:
    piece, sample = tune(1), joined(part(tune(1), 3, 20), tune(2))
    index = corpus_of(piece, tune(3))
    by_index, by_scan = bench_audit._searches(index, sample)
    assert by_index().tolist() == by_scan().tolist()


def test_the_primer_of_a_sample_does_not_count_as_copied() -> None:
    source, new = tune(1), tune(2)
    sample = joined(source, new)
    start = int(sample.onset[source.num_notes])
    index = corpus_of(source)
    assert Figures.of(index.audit(sample)).copied_16 > 0.4
    for after in copied_after(index, sample, start):
        assert (after.num_notes, after.copied_16) == (new.num_notes, 0.0)
    for after in copied_after(index, joined(new, source), int(sample.onset[new.num_notes])):
        assert after.copied_16 > 0.9


def test_an_epoch_has_one_row_in_the_curve_of_copying(tmp_path: Path) -> None:
    path = tmp_path / "audit.csv"
    for epoch, copied in ((10, 0.5), (20, 0.25), (4, 0.125), (10, 0.0)):
        note_audit(path, epoch, [Copied(figures(copied), figures(copied + 0.1))] * 2)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], float(row["audit/copied_16"])) for row in rows] == [
        ("4", 0.125),
        ("10", 0.0),
        ("20", 0.25),
    ]
    assert rows[0]["num_notes"] == str(2 * int(figures(0.0).num_notes))


def test_what_held_out_pieces_copy_bounds_what_samples_may() -> None:
    assert held_out_limit(corpus_of(tune(1)), [tune(1), tune(2)]) == pytest.approx((0.95, 0.95))
    assert held_out_limit(corpus_of(tune(1)), []) == (None, None)


@pytest.fixture
def audited_run(tmp_path: Path) -> Path:
    """Best at epoch 3; of the checkpoints of 2 and 4 the later is better in validation and copies more."""
    (tmp_path / "checkpoints").mkdir()
    for name in ("best.ckpt", "checkpoints/epoch_002.ckpt", "checkpoints/epoch_004.ckpt"):
        (tmp_path / name).touch()
    losses = "\n".join(f"{epoch},{nll}" for epoch, nll in ((1, 3.0), (2, 2.0), (3, 1.0), (4, 1.5)))
    (tmp_path / "metrics.csv").write_text(f"epoch,val/nll\n{losses}\n")
    for epoch, copied in ((2, 0.1), (3, 0.4), (4, 0.2)):
        note_audit(tmp_path / "audit.csv", epoch, [Copied(figures(copied), figures(copied))])
    return tmp_path


@pytest.mark.parametrize(
    ("ceiling", "chosen"),
    [
        (1.0, "best.ckpt"),
        (0.4, "best.ckpt"),
        (0.3, "checkpoints/epoch_004.ckpt"),
        (0.1, "checkpoints/epoch_002.ckpt"),
    ],
)
def test_a_checkpoint_is_chosen_by_validation_under_a_ceiling_of_copying(
    audited_run: Path, ceiling: float, chosen: str
) -> None:
    assert choose_checkpoint(audited_run, ceiling) == audited_run / chosen


def test_where_no_checkpoint_copies_as_little_the_one_that_copies_least_is_taken(audited_run: Path) -> None:
    assert choose_checkpoint(audited_run, 0.05) == choose_checkpoint(audited_run, 0.1)
    for checkpoint in [audited_run / "best.ckpt", *(audited_run / "checkpoints").iterdir()]:
        checkpoint.unlink()
    with pytest.raises(UserError, match="none of the checkpoints"):
        choose_checkpoint(audited_run, 0.05)


def test_samples_that_are_asked_to_copy_nothing_do_not(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mid"
    command = ["generate", str(tiny_run), "-o", str(out), "--num-notes", "40", "--max-copied", "0"]
    assert main(command) == 0
    assert "composing with" in capsys.readouterr().err
    learned = index_of(load_runs([tiny_run])[0].corpus)
    assert learned.audit(read_midi(out)).copied(16) == 0


def test_a_run_audits_its_samples_at_every_checkpoint(tiny_run: Path) -> None:
    with (tiny_run / "audit.csv").open(newline="") as file:
        rows = {int(row["epoch"]): row for row in csv.DictReader(file)}
    summary = json.loads((tiny_run / "summary.json").read_text())
    assert set(rows) == {2, summary["best_epoch"]}
    assert summary["audit/copied_16"] == float(rows[summary["best_epoch"]]["audit/copied_16"])
    assert 0 <= summary["audit/copied_16_held_out_95"] <= 1
