"""`python -m noternn corpus`: what is told of a corpus, as text, as a table and as a page."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noternn.__main__ import main
from noternn.corpus.inspection import Inspection, file_rows, inspect, skip_reasons, sources_at
from noternn.corpus.loading import corpus_of
from noternn.corpus.overview import number, percent
from noternn.corpus.splits import encode_corpus
from noternn.corpus.tokenized import tokenize_corpus
from noternn.datasets.configured import sources_of
from noternn.launch.command_line import corpus_settings, settings
from noternn.music.midi import write_midi
from noternn.music.piece import Piece
from noternn.pages import bars
from noternn.pages import corpus as page
from noternn.tokenizer import EventTokenizer

REPOSITORY = Path(__file__).parents[2]
MakePiece = Callable[[int], Piece]
Capture = pytest.CaptureFixture[str]
HOSTILE_NAMES = (
    "<script>alert(1)<.mid",
    "<img src=x onerror=alert(1)>.mid",
    "\"quoted\" 'name'.mid",
    "two\nlines.mid",
    "=1+1.mid",
    "a,b;c.mid",
    "${oc.env:HOME}.mid",
    "100%s &amp; &.mid",
    "mu\u0308sik \u266b.mid",
)


def look(capsys: Capture, *arguments: object, cache: object = "null") -> list[str]:
    """What a successful command prints."""
    assert main(["corpus", *map(str, arguments), f"datamodule.cache_dir={cache}"]) == 0
    return capsys.readouterr().out.splitlines()


def inspected(folder: Path, *overrides: str) -> Inspection:
    config = corpus_settings(str(folder), [*overrides, "datamodule.cache_dir=null"])
    return inspect(str(folder), sources_at(str(folder), config.dataset), config, {})


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def mixed_dir(tmp_path: Path, make_piece: MakePiece) -> Path:
    """Four pieces, of which two are one in two keys, and four files that cannot be read."""
    folder = tmp_path / "mixed"
    for seed in range(3):
        write_midi(make_piece(seed), folder / f"piece_{seed}.mid")
    write_midi(make_piece(2).transpose(3), folder / "again.mid")
    whole = (folder / "piece_0.mid").read_bytes()
    for cut in (60, 70):
        (folder / f"cut_{cut}.mid").write_bytes(whole[:cut])
    (folder / "empty.mid").touch()
    (folder / "page.mid").write_text("<html>", encoding="utf-8")
    return folder


@pytest.fixture
def hostile_dir(tmp_path: Path, make_piece: MakePiece) -> Path:
    """A folder whose every name is a trap, in its readable and in its unreadable files."""
    folder = tmp_path / "traps <b>"
    folder.mkdir()
    for seed, name in enumerate(HOSTILE_NAMES):
        write_midi(make_piece(seed), folder / "piece.mid")
        (folder / "piece.mid").rename(folder / name)
        (folder / f"broken {name}").touch()
    if sys.platform == "linux":
        shutil.copy(folder / HOSTILE_NAMES[0], os.fsencode(folder) + b"/\xff\xfe.mid")
    return folder


def test_files_pieces_and_music_are_counted(corpus_dir: Path, capsys: Capture) -> None:
    first = look(capsys, corpus_dir)[0]
    assert re.fullmatch(
        rf"{corpus_dir}: 10 files, 0 skipped; 10 pieces, \d+ notes, [\d,]+ beats, \d\.\d minutes", first
    )


def test_skipped_files_are_grouped_by_a_reason_without_its_numbers(mixed_dir: Path, capsys: Capture) -> None:
    lines = look(capsys, mixed_dir)
    assert "8 files, 4 skipped; 4 pieces" in lines[0]
    assert lines[1].startswith(
        "  skipped 2: ends in the middle of a track (track N of N: N of N bytes) (cut_60"
    )
    assert lines[2] == "  skipped 1: file is empty (empty.mid)"
    assert lines[3].startswith("  skipped 1: not a MIDI file")


def test_a_reason_that_stands_alone_keeps_its_numbers(mixed_dir: Path) -> None:
    (mixed_dir / "cut_70.mid").unlink()
    assert any(re.search(r"track \d of \d", reason) for reason, _ in skip_reasons(inspected(mixed_dir)))


def test_near_duplicates_are_named(mixed_dir: Path, capsys: Capture) -> None:
    line = "near-duplicates: 2 pieces in 1 group; the largest has 2 (again.mid, piece_2.mid)"
    assert line in look(capsys, mixed_dir)


def test_every_tokenizer_has_a_line_and_the_one_of_the_training_is_first(
    corpus_dir: Path, capsys: Capture
) -> None:
    def names(*overrides: str) -> list[str]:
        lines = look(capsys, corpus_dir, *overrides)
        header = next(i for i, line in enumerate(lines) if line.startswith("tokenizer"))
        return [line.split()[0] for line in lines[header + 1 : header + 3]]

    assert names() == ["event", "chord"]
    assert names("tokenizer=chord", "tokenizer.pitch_class=true") == ["chord", "event"]


def test_a_tokenizer_that_can_write_nothing_of_it_says_why(tmp_path: Path, capsys: Capture) -> None:
    for seed in range(3):
        drums = Piece.from_notes(np.arange(20) * (60 + seed), 30, 36 + np.arange(20) % 7, is_drum=True)
        write_midi(drums, tmp_path / f"{seed}.mid")
    lines = look(capsys, tmp_path, "tokenizer.program=true")
    assert "instruments  drums 100 %" in lines
    assert "chord: holds no notes that this tokenizer can write (only drums?)" in lines


def test_one_file_has_no_split_and_that_is_no_error(corpus_dir: Path, capsys: Capture) -> None:
    lines = look(capsys, corpus_dir / "piece_000.mid")
    assert ": 1 file, 0 skipped; 1 piece, " in lines[0]
    assert any(line.startswith("no split: the corpus holds only one piece") for line in lines)


def test_a_folder_of_broken_files_is_told_with_the_reasons(tmp_path: Path, capsys: Capture) -> None:
    for i in range(5):
        (tmp_path / f"{i}.mid").touch()
    lines = look(capsys, tmp_path, "--csv", tmp_path / "a.csv", "--html", tmp_path / "a.html")
    assert lines == [
        f"{tmp_path}: 5 files, 5 skipped; 0 pieces, 0 notes, 0 beats, 0.0 seconds",
        "  skipped 5: file is empty (0.mid, 1.mid, 2.mid, ...)",
    ]
    assert [row["skipped"] for row in read_table(tmp_path / "a.csv")] == ["file is empty"] * 5


def test_the_text_is_one_screen_however_many_files_and_reasons(
    tmp_path: Path, make_piece: MakePiece, capsys: Capture
) -> None:
    for seed in range(40):
        piece = make_piece(seed)
        program = [(seed * 3 + i % 7) % 128 for i in range(piece.num_notes)]
        many = Piece.from_notes(
            piece.onset, piece.duration, piece.pitch, program=program, metres=((0, seed % 11 + 1, 4),)
        )
        write_midi(many, tmp_path / f"{seed} {'long ' * 20}.mid")
    for i in range(20):
        (tmp_path / f"broken {i} {'long ' * 20}.mid").write_bytes(f"{'abcdefghijklmnopqrst'[i] * 9}".encode())
    lines = look(capsys, tmp_path, "datamodule.num_processes=0")
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 250


def test_settings_are_those_of_training(corpus_dir: Path) -> None:
    given = ["tokenizer=chord", "dataset.tracks=melody", "seed=3"]
    config = corpus_settings(str(corpus_dir), given)
    trained = settings(["dataset=folder", f"dataset.path={corpus_dir}", *given])
    assert config == trained


def test_the_cache_is_the_one_that_training_uses(corpus_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    look(capsys, corpus_dir, cache=tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    corpus_of(settings(["dataset=folder", f"dataset.path={corpus_dir}", f"datamodule.cache_dir={tmp_path}"]))
    assert kept
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: there is no such file, folder or dataset; datasets are "),
        (["bahc"], "(did you mean bach?)"),
        (["bach", "tokenizer=chrod"], "tokenizer=chrod: there is no such tokenizer; choose chord, event"),
        (["bach", "seed=one"], "seed=one: it must be an integer such as 2"),
        (["bach", "seed=1,2"], "seed=1,2: several values are a sweep; give one"),
        (["bach", "dataset=fiddle"], "dataset=fiddle: one dataset is looked at, and bach is named already"),
        (["bach", "--csv", "table.txt"], "--csv table.txt: it must end in .csv"),
        (["bach", "--html", "page.mid"], "--html page.mid: it must end in .html"),
        ([], "which corpus?"),
        (["--clear-cache", "datamodule.cache_dir=null"], "there is no cache to clear"),
    ],
    ids=str,
)
def test_a_mistake_is_answered_in_one_line(arguments: list[str], message: str, capsys: Capture) -> None:
    assert main(["corpus", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_settings_may_stand_before_and_after_options(
    corpus_dir: Path, tmp_path: Path, capsys: Capture
) -> None:
    table = ("--csv", tmp_path / "a.csv")
    before = look(capsys, corpus_dir, "seed=4", "tokenizer=chord", *table)
    assert look(capsys, corpus_dir, "seed=4", *table, "tokenizer=chord") == before
    assert look(capsys, *table, corpus_dir, "seed=4", "tokenizer=chord") == before


@pytest.mark.parametrize(
    "arguments", [["corpus", "bach", "--cvs", "a.csv"], ["tokens", "a.mid", "b.mid"]], ids=str
)
def test_an_unknown_option_is_refused(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert "unrecognized arguments" in capsys.readouterr().err


def test_an_empty_folder_is_answered_in_one_line(tmp_path: Path, capsys: Capture) -> None:
    assert main(["corpus", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "there are no MIDI files" in err
    assert str(tmp_path) in err
    assert err.count("\n") == 1


def test_a_table_that_cannot_be_written_is_answered_in_one_line(
    corpus_dir: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "a.csv"
    assert main(["corpus", str(corpus_dir), "datamodule.cache_dir=null", "--csv", str(target)]) == 1
    assert f"--csv {target}: cannot be written" in capsys.readouterr().err


def test_the_table_has_a_row_for_every_file(mixed_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    look(capsys, mixed_dir, "--csv", tmp_path / "new" / "a.csv")
    rows = {row["name"]: row for row in read_table(tmp_path / "new" / "a.csv")}
    assert list(rows) == sorted(path.name for path in mixed_dir.iterdir())
    assert rows["empty.mid"]["skipped"] == "file is empty"
    assert rows["empty.mid"]["num_notes"] == ""
    assert rows["again.mid"]["group"] == rows["piece_2.mid"]["group"] != rows["piece_1.mid"]["group"]
    assert (rows["again.mid"]["group_size"], rows["piece_1.mid"]["group_size"]) == ("2", "1")
    assert int(rows["piece_1.mid"]["tokens_event"]) > int(rows["piece_1.mid"]["tokens_chord"]) > 0
    assert rows["piece_1.mid"]["programs"] == "0"


def test_the_splits_of_the_table_are_those_of_training(corpus_dir: Path) -> None:
    config = corpus_settings(str(corpus_dir), ["seed=5"])
    corpus = tokenize_corpus(sources_of(config.dataset), {"name": "event"}, None)
    encoded = encode_corpus(
        corpus, seed=5, validation_fraction=0.1, test_fraction=0.1, tokenizer=EventTokenizer()
    )
    found: dict[Any, list[Any]] = {"train": [], "validation": [], "test": []}
    for row in file_rows(inspected(corpus_dir, "seed=5", "dataset.min_validation=0")):
        found[row["split"]].append(row["name"])
    assert found == {split: sorted(names) for split, names in encoded.names.items()}


def test_a_ready_made_split_is_told_with_its_crossing_groups(
    mixed_dir: Path, tmp_path: Path, capsys: Capture
) -> None:
    rows = [("piece_0.mid", "train"), ("piece_2.mid", "train"), ("again.mid", "validation")]
    table = "file,split\n" + "\n".join(map(",".join, rows))
    (tmp_path / "split.csv").write_text(table, encoding="utf-8")
    overrides = (f"dataset.split={tmp_path / 'split.csv'}", "--csv", tmp_path / "a.csv")
    lines = look(capsys, mixed_dir, *overrides)
    assert "8 files, 5 skipped; 3 pieces" in lines[0]
    assert "ready-made; 100 % of the validation notes stand in passages copied from training" in lines
    assert any("2 pieces in 1 group, 1 of them in more than one split" in line for line in lines)
    written = {row["name"]: row for row in read_table(tmp_path / "a.csv")}
    assert {name: written[name]["split"] for name, _ in rows} == dict(rows)
    assert written["piece_1.mid"]["skipped"].endswith("split.csv names no split for it")


def test_hostile_names_keep_the_table_whole(hostile_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    lines = look(capsys, hostile_dir, "--csv", tmp_path / "a.csv")
    assert not any("\x1b" in line or "lines.mid" in line.split(" ")[0] for line in lines)
    rows = read_table(tmp_path / "a.csv")
    assert len(rows) == len(list(hostile_dir.iterdir()))
    assert all(None not in row and None not in row.values() for row in rows)
    names = {row["name"] for row in rows}
    assert {"two\\nlines.mid", "./=1+1.mid", "a,b;c.mid", "\"quoted\" 'name'.mid"} <= names
    assert not any(name.startswith(("=", "+", "-", "@")) for name in names)


def test_a_score_can_be_looked_at_alone(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "scale.abc").write_text("X:1\nT:Scale\nM:4/4\nL:1/4\nK:C\nCDEF|GABc|\n", encoding="utf-8")
    assert ": 1 file, 0 skipped; 1 piece, 8 notes" in look(capsys, tmp_path / "scale.abc")[0]


def test_a_hostile_name_can_be_looked_at_alone(hostile_dir: Path, capsys: Capture) -> None:
    for name in HOSTILE_NAMES:
        assert ": 1 file, 0 skipped; 1 piece" in look(capsys, hostile_dir / name)[0]


class Tags(HTMLParser):
    """The elements of a page, its text, and whether each is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(path: Path) -> Tags:
    tags = Tags()
    tags.feed(path.read_text(encoding="utf-8"))
    tags.close()
    assert tags.open == []
    return tags


def test_hostile_names_are_text_on_the_page(hostile_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    look(capsys, hostile_dir, "--html", tmp_path / "a.html")
    tags = parsed(tmp_path / "a.html")
    names = [tag for tag, _ in tags.found]
    assert names.count("script") == 1
    assert not {"img", "b"} & set(names)
    assert not any(attribute.startswith("on") for _, attributes in tags.found for attribute in attributes)
    for name in HOSTILE_NAMES:
        assert name.replace("\n", "\\n") in tags.text
        assert f"broken {name}".replace("\n", "\\n") in tags.text


def test_the_page_loads_nothing(mixed_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    look(capsys, mixed_dir, "--html", tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "://" not in text
    assert "default-src 'none'" in text
    assert not any({"src", "href"} & set(attributes) for _, attributes in parsed(tmp_path / "a.html").found)


def test_the_page_sorts_its_files_under_its_own_policy(
    browser: Any, mixed_dir: Path, tmp_path: Path, capsys: Capture
) -> None:
    look(capsys, mixed_dir, "--html", tmp_path / "a.html")
    page = browser.new_page()
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.goto((tmp_path / "a.html").as_uri())
    table = page.locator("table.sortable").last
    names = [table.locator("tbody td:first-child").all_inner_texts()]
    for _ in range(2):
        table.locator("th").first.click()
        names.append(table.locator("tbody td:first-child").all_inner_texts())
    page.close()
    assert names[2] == names[1][::-1]
    assert messages == []


def test_the_page_shows_what_the_text_tells(mixed_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    look(capsys, mixed_dir, "--html", tmp_path / "a.html")
    text = " ".join(parsed(tmp_path / "a.html").text)
    words = (
        "8 files, 4 skipped; 4 pieces",
        "Acoustic Grand Piano (0)",
        "again.mid, piece_2.mid",
        "file is empty",
    )
    for part in (*words, "validation", "tokens chord", "seed 0; "):
        assert part in text


def test_a_long_table_of_files_is_cut_on_the_page(
    corpus_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MAX_ROWS", 3)
    page.save_page(inspected(corpus_dir), tmp_path / "a.html")
    text = " ".join(parsed(tmp_path / "a.html").text)
    assert "piece_002.mid" in text
    assert "piece_003.mid" not in text
    assert "and 7 files more: see --csv" in text


def test_a_page_of_one_file_is_whole(corpus_dir: Path, tmp_path: Path) -> None:
    page.save_page(inspected(corpus_dir / "piece_001.mid"), tmp_path / "a.html")
    assert "None: the corpus holds only one piece" in " ".join(parsed(tmp_path / "a.html").text)


def test_bars_of_a_histogram_hold_every_piece() -> None:
    values = np.concatenate([np.linspace(3, 90, 200), [1e6]])
    edges = bars.bin_edges(values)
    assert edges[0] <= 3
    assert 89 < edges[-1] < 100  # the one far off does not stretch the axis
    assert len(edges) <= bars.NUM_BINS + 2
    titles = re.findall(r"<title>([^<]+): (\d+) piece", bars.histogram("beats", values))
    assert sum(int(height) for _, height in titles) == 201
    assert titles[-1][0].endswith("and more")


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (1, "100 %"), (0.004, "0.4 %"), (0.996, "99.6 %"), (0.25, "25 %")]
)
def test_shares_are_written_so_that_some_is_not_none(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(3.0, "3"), (1234.5, "1,234"), (2.346, "2.35"), (0.001, "0.001")]
)
def test_numbers_have_the_digits_that_tell_something(value: float, text: str) -> None:
    assert number(value) == text


def test_clearing_the_cache_says_how_much_it_freed(corpus_dir: Path, tmp_path: Path, capsys: Capture) -> None:
    cache = tmp_path / "cache"
    look(capsys, corpus_dir, cache=cache)
    (cache / "notes.txt").write_text("mine", encoding="utf-8")
    assert re.fullmatch(
        rf"{cache}: 0\.\d MB of token caches removed", look(capsys, "--clear-cache", cache=cache)[0]
    )
    assert [path.name for path in cache.iterdir()] == ["notes.txt"]
    assert look(capsys, "--clear-cache", cache=cache) == [f"{cache}: 0.0 MB of token caches removed"]


def test_clearing_a_cache_that_is_not_there_is_no_error(tmp_path: Path, capsys: Capture) -> None:
    look(capsys, "--clear-cache", cache=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_clearing_leaves_files_of_others_that_are_named_by_hashes(tmp_path: Path, capsys: Capture) -> None:
    name = "0123456789abcdef" * 2
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "content.json").touch()
    cache = tmp_path / "cache"
    (cache / name[::-1]).mkdir(parents=True)
    (cache / name[::-1] / "song.mid").touch()
    (cache / f"{name}.mid").touch()
    (cache / name).symlink_to(elsewhere)
    look(capsys, "--clear-cache", cache=cache)
    assert (cache / name[::-1] / "song.mid").exists()
    assert (cache / f"{name}.mid").exists()
    assert (elsewhere / "content.json").exists()


def test_looking_needs_no_torch(corpus_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "noternn", "corpus", str(corpus_dir), "datamodule.cache_dir=null"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY)])},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"{corpus_dir}: 10 files")


def test_a_terminal_without_the_letters_of_a_name_gets_them_escaped(hostile_dir: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "noternn", "corpus", str(hostile_dir / HOSTILE_NAMES[-1]),
         "datamodule.cache_dir=null"],
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "\\u266b.mid: 1 file" in run.stdout


# Sharing the work


def test_machines_that_share_the_work_leave_nothing_to_read(
    midi_folder: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache = midi_folder(12), tmp_path / "cache"
    (folder / "broken.mid").write_text("hello")
    # in processes of their own and side by side, as on machines
    program = (
        "import sys; from noternn.corpus import tokenized; from noternn.__main__ import main;"
        "tokenized.FILES_PER_SHARD = 3; sys.exit(main(sys.argv[1:]))"
    )
    of_all = [sys.executable, "-c", program, "corpus", str(folder), f"datamodule.cache_dir={cache}"]
    running = [
        subprocess.Popen([*of_all, "--shard", part], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        for part in ("1/2", "2/2")
    ]
    told = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    line = r"part . of 2: (\d+) shards with (\d+) pieces, (\d+) files skipped, in .*\n"
    found = [re.fullmatch(line, text) for text in told]
    assert all(found)
    counts = [[int(number) for number in match.groups()] for match in found if match]
    assert np.sum(counts, axis=0)[1:].tolist() == [12, 1]
    assert all(num_shards > 0 for num_shards, _, _ in counts)
    monkeypatch.setattr("noternn.corpus.tokenized.FILES_PER_SHARD", 3)
    monkeypatch.setattr("noternn.corpus.reading.read_one", None)
    config = corpus_settings(str(folder), [f"datamodule.cache_dir={cache}"])
    assert inspect("", sources_at(str(folder), config.dataset), config, {}).num_pieces == 12


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2"])
def test_part_that_is_none_is_refused(part: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["corpus", "bach", f"--shard={part}"])
    assert "it must be I/N such as 3/16" in capsys.readouterr().err


def test_sharing_the_work_needs_a_cache(corpus_dir: Path, capsys: Capture) -> None:
    assert main(["corpus", str(corpus_dir), "datamodule.cache_dir=null", "--shard", "1/2"]) != 0
    assert "--shard needs a cache that all machines share" in capsys.readouterr().err


TUNES = """X:1
M:4/4
L:1/4
K:C
|:TC D E F|1 G A B c:|2 c B A G|]

X:2
M:4/4
L:1/4
K:C
TC TD {e}E F|G4|]
"""


def test_what_a_reader_did_not_understand_is_told_by_kind(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "book.abc").write_text(TUNES, encoding="utf-8")
    lines = look(capsys, tmp_path, "--csv", tmp_path / "a.csv", "--html", tmp_path / "a.html")
    assert "  read, but 3 trills not played in 2 pieces (first: book.abc#1, line 5)" in lines
    rows = {row["name"]: row for row in read_table(tmp_path / "a.csv")}
    assert rows["book.abc#1"]["remarks"] == "1 trills not played (first: line 5)"
    assert rows["book.abc#2"]["remarks"].startswith("2 trills not played")
    assert "trills not played" in (tmp_path / "a.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("repeats", "beats"), [("once", 8), ("played", 16)])
def test_repeats_are_read_as_the_dataset_says(tmp_path: Path, repeats: str, beats: int) -> None:
    (tmp_path / "book.abc").write_text(TUNES, encoding="utf-8")
    inspection = inspected(tmp_path, f"dataset.repeats={repeats}")
    lengths = dict(
        zip(inspection.columns["name"].tolist(), inspection.columns["beats"].tolist(), strict=True)
    )
    assert lengths == {"book.abc#1": beats, "book.abc#2": 8}
