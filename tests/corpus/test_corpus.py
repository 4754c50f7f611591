"""Corpora: finding and reading files, skipping the unreadable, the token cache, ids."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import os
import random
import re
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noternn.config.dataset import FolderDataset, InstalledDataset, UnionDataset
from noternn.corpus.cache import ArrayCache
from noternn.corpus.reading import ReadingOptions
from noternn.corpus.splits import SPLITS, EncodedCorpus, encode_corpus
from noternn.corpus.tokenized import TokenizedCorpus, tokenize_corpus, tokenize_shards
from noternn.datasets.configured import licences_of, sources_of
from noternn.datasets.packages import PACKAGES
from noternn.datasets.sources import (
    Source,
    find_music_files,
    folder_sources,
    installed_sources,
    matching_sources,
    sample_sources,
    wad_sources,
)
from noternn.errors import UserError
from noternn.music.limits import Limits
from noternn.music.midi import read_midi, write_midi
from noternn.music.piece import Piece, select_tracks
from noternn.tokenizer import (
    BOS_ID,
    EOS_ID,
    SPECIAL_TOKENS,
    UNK_ID,
    EventTokenizer,
    Vocabulary,
    build_tokenizer,
)

MidiFolder = Callable[[int], Path]
MakePiece = Callable[[int], Piece]

EVENT: dict[str, Any] = {"name": "event"}
ODD_NAMES = [
    "a b.mid",
    " leading and trailing .mid",
    "new\nline.mid",
    "Ocarina — Zeldas Wiegenlied für Flöte ♯.mid",
    "ゼルダ.MID",
    "key=value,other.mid",
    'it\'s "quoted".mid',
    "[1] {2} $HOME ${x}.mid",
    "tab\tand\x1b[31mcolor.mid",
    "-m.mid",
    "x" * 240 + ".mid",
]


class UnreadSource(Source):
    """A file that is in the cache, so that reading it would be a mistake."""

    def read(self) -> Piece:
        raise AssertionError(f"{self.name} was read although it is in the cache")


def tokenized(
    folder: Path, tokenizer: dict[str, Any] = EVENT, cache_dir: Path | None = None
) -> TokenizedCorpus:
    return tokenize_corpus(folder_sources(folder), tokenizer, cache_dir, num_processes=0)


def from_cache(folder: Path, cache_dir: Path) -> TokenizedCorpus:
    """The corpus of a folder; fails if a file is read."""
    sources = [UnreadSource(s.path, s.name) for s in folder_sources(folder)]
    return tokenize_corpus(sources, EVENT, cache_dir, num_processes=0)


def all_tokens(corpus: TokenizedCorpus) -> set[str]:
    return {token for i in range(corpus.num_pieces) for token in tokens_of(corpus, i)}


def tokens_of(corpus: TokenizedCorpus, piece: int) -> list[str]:
    vocabulary = Vocabulary({token for shard in corpus.shards for token in shard.values["tokens"]})
    [ids] = corpus.pieces(np.array([piece]), vocabulary)
    return [vocabulary.tokens[i] for i in ids[1:-1]]


def encoded(corpus: TokenizedCorpus, min_count: int = 1) -> EncodedCorpus:
    """With seed 2, twelve pieces of `midi_folder` fall into all three splits."""
    tokenizer = EventTokenizer()
    tokenizer.min_count = min_count
    return encode_corpus(corpus, seed=2, validation_fraction=0.3, test_fraction=0.2, tokenizer=tokenizer)


def assert_same_corpus(first: TokenizedCorpus, second: TokenizedCorpus) -> None:
    assert first.fingerprint == second.fingerprint
    assert first.skipped == second.skipped
    assert np.array_equal(first.groups, second.groups)
    for name in ("names", "music_hashes", "num_notes", "round_trip", "fact_beats", "fact_tempo"):
        assert np.array_equal(first.column(name), second.column(name)), name
    pieces = np.arange(first.num_pieces)
    assert [tokens_of(first, i) for i in pieces] == [tokens_of(second, i) for i in pieces]
    for ours, theirs in zip(first.steps_of(pieces), second.steps_of(pieces), strict=True):
        assert np.array_equal(ours, theirs)


# Finding files


def test_files_are_found_at_any_depth_and_in_any_case(tmp_path: Path) -> None:
    names = ["a.mid", "B.MID", "c.midi", "deep/down/d.Midi", "deep/e.kar", "e.rmi"]
    names += ["deep/h.mxl", "i.musicxml", "j.XML", "k.krn", "l.abc"]
    for name in [*names, "f.mid.txt", "g.mp3", "mid"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(find_music_files(tmp_path)) == sorted(tmp_path / name for name in names)


def test_hidden_files_and_folders_are_ignored(tmp_path: Path) -> None:
    for name in ["a.mid", ".b.mid", "._a.mid", ".trash/c.mid", "deep/.git/d.mid"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(find_music_files(tmp_path)) == [tmp_path / "a.mid"]


def test_folder_may_be_hidden_itself(tmp_path: Path) -> None:
    (tmp_path / ".midi").mkdir()
    (tmp_path / ".midi" / "a.mid").touch()
    assert len(folder_sources(tmp_path / ".midi")) == 1


def test_sources_are_named_by_their_path_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "disc 1").mkdir()
    (tmp_path / "disc 1" / "Frog's Theme.mid").touch()
    (tmp_path / "a.MID").touch()
    assert [s.name for s in folder_sources(tmp_path)] == ["a.MID", str(Path("disc 1", "Frog's Theme.mid"))]


def test_missing_folder_holds_no_files(tmp_path: Path) -> None:
    assert folder_sources(tmp_path / "nowhere") == []


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mid").touch()
    with pytest.raises(UserError, match=r"a\.mid is a file; give the folder"):
        folder_sources(tmp_path / "a.mid")


def test_links_to_folders_are_followed_once_and_never_in_a_loop(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "midi", tmp_path / "elsewhere"
    for name in ["midi/own/a.mid", "elsewhere/b.mid"]:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (folder / "another").symlink_to(folder / "own")
    (folder / "loop").symlink_to(folder)
    (folder / "own" / "out").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    assert list(find_music_files(folder)) == [folder / "own" / "a.mid", folder / "own" / "out" / "b.mid"]


def test_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.mid").touch()
    scandir = os.scandir

    def refuse(path: Any) -> Any:  # permissions do not stop the superuser, who may run the tests
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert list(find_music_files(tmp_path)) == [tmp_path / "a.mid"]
    assert f"{tmp_path / 'closed'} cannot be read (Permission denied)" in caplog.text


# Choosing files


def named(*names: str) -> list[Source]:
    return [Source(Path(name), name) for name in names]


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        ([], [], ["Boss.mid", "1/boss 2.MID", "1/2/Frög.mid"]),
        (["*boss*"], [], ["Boss.mid", "1/boss 2.MID"]),
        (["*/BOSS*.mid"], [], ["1/boss 2.MID"]),
        (["1/*", "boss.mid"], ["*2.mid"], ["Boss.mid", "1/2/Frög.mid"]),
        ([], ["*[12]*"], ["Boss.mid"]),
        (["*fro\u0308g.mid"], [], ["1/2/Frög.mid"]),
    ],
)
def test_files_are_chosen_by_patterns_in_any_case(
    include: list[str], exclude: list[str], left: list[str]
) -> None:
    sources = named("Boss.mid", "1/boss 2.MID", "1/2/Frög.mid")
    assert [s.name for s in matching_sources(sources, include, exclude)] == left


def test_pattern_that_matches_nothing_is_named(caplog: pytest.LogCaptureFixture) -> None:
    assert len(matching_sources(named("a.mid", "b.mid"), [], ["a*", "boss"])) == 1
    [record] = caplog.records
    assert record.getMessage() == "dataset.exclude: 'boss' matches none of the 2 files"


def test_patterns_that_leave_nothing_are_refused(midi_folder: MidiFolder) -> None:
    dataset = FolderDataset(name="folder", path=str(midi_folder(2)), include=["boss"], exclude=["a*"])
    message = (
        r"dataset.include=\['boss'\] and dataset.exclude=\['a\*'\]: none of the 2 files of dataset=folder "
        r"is left; patterns are compared with whole names such as 'piece_000.mid'"
    )
    with pytest.raises(UserError, match=message):
        sources_of(dataset)


def test_files_of_a_union_are_chosen_by_names_with_their_folder(midi_folder: MidiFolder) -> None:
    paths = {"chrono": str(midi_folder(2)), "zelda": str(midi_folder(2))}
    sources = sources_of(UnionDataset(name="all", paths=paths, include=["zelda/*"], max_files=1))
    assert len(sources) == 1
    assert sources[0].name.startswith("zelda/")


def test_files_kept_do_not_depend_on_their_names(midi_folder: MidiFolder) -> None:
    folder = midi_folder(6)

    def kept() -> set[bytes]:
        return {s.path.read_bytes() for s in sample_sources(folder_sources(folder), 3)}

    before = kept()
    assert len(before) == 3
    for path in folder.iterdir():
        path.rename(folder / f"{9 - int(path.stem[-1])}.mid")
    assert kept() == before


def test_more_files_than_there_are_is_all(midi_folder: MidiFolder) -> None:
    sources = folder_sources(midi_folder(2))
    assert sample_sources(sources, 3) == sources


def test_file_that_cannot_be_opened_is_not_kept_before_others(midi_folder: MidiFolder) -> None:
    folder = midi_folder(3)
    (folder / "a.mid").symlink_to(folder / "nowhere")
    assert "a.mid" not in [s.name for s in sample_sources(folder_sources(folder), 3)]


# Datasets


def test_dataset_without_files_says_where_to_put_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset=chrono: .*chrono; put yours there, or run dataset=bach"):
        sources_of(FolderDataset(name="chrono", path=str(tmp_path / "chrono")))


def test_path_of_a_dataset_may_begin_with_the_home_folder(
    midi_folder: MidiFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(midi_folder(2).parent))
    assert len(sources_of(FolderDataset(name="folder", path="~/midi"))) == 2


def test_union_takes_the_folders_that_are_there_and_names_the_others(
    midi_folder: MidiFolder, caplog: pytest.LogCaptureFixture
) -> None:
    folder = midi_folder(2)
    paths = {"chrono": str(folder), "zelda": str(folder / "zelda")}
    sources = sources_of(UnionDataset(name="all", paths=paths))
    assert [s.name for s in sources] == ["chrono/piece_000.mid", "chrono/piece_001.mid"]
    assert "no music for zelda" in caplog.text


def test_union_of_empty_folders_says_where_to_put_files(tmp_path: Path) -> None:
    paths = {"chrono": str(tmp_path / "c"), "zelda": str(tmp_path / "z")}
    with pytest.raises(UserError, match=r"dataset=all: there are no MIDI files or scores \(\.mid, .*\.xml\)"):
        sources_of(UnionDataset(name="all", paths=paths))


def test_union_takes_installed_corpora_besides(midi_folder: MidiFolder) -> None:
    paths = {"chrono": str(midi_folder(2)), "zelda": "nowhere"}
    names = [s.name for s in sources_of(UnionDataset(name="all", paths=paths, corpora=["classical"]))]
    assert names[:2] == ["chrono/piece_000.mid", "chrono/piece_001.mid"]
    assert len(names) == 2 + 59
    assert all(name.startswith("classical/") for name in names[2:])


@pytest.mark.parametrize(("name", "package"), PACKAGES.items())
def test_free_game_music_that_is_missing_is_told_with_its_package(
    name: str, package: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=rf"apt-get install {package}, or unpack .* dataset.path=FOLDER"):
        sources_of(FolderDataset(name=name, path=str(tmp_path / "nowhere")))


def test_a_union_says_which_packages_bring_what_is_missing(
    midi_folder: MidiFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = {
        "openmsx": str(midi_folder(2)),
        "simutrans": str(tmp_path / "s"),
        "planetblupi": str(tmp_path / "p"),
    }
    games = UnionDataset(name="games", paths=paths)
    found = sources_of(games)
    assert licences_of(games, found) == {"openmsx": "GPL-2.0-only"}
    assert "to have it: apt-get install simutrans-data planetblupi-music-midi" in caplog.text
    with pytest.raises(UserError, match=r"apt-get install simutrans-data, or .* dataset.paths.NAME=FOLDER"):
        sources_of(UnionDataset(name="games", paths={"simutrans": str(tmp_path / "s")}))


def test_a_union_goes_on_without_a_corpus_that_is_not_installed(
    midi_folder: MidiFolder, caplog: pytest.LogCaptureFixture
) -> None:
    union = UnionDataset(name="games", paths={"openmsx": str(midi_folder(2))}, corpora=["mozart"])
    assert len(sources_of(union)) == 2
    assert "no music for mozart (there is no installed corpus 'mozart'" in caplog.text


def test_corpus_that_is_not_installed_anywhere_is_refused() -> None:
    with pytest.raises(UserError, match="no installed corpus 'mozart'; there are airs, bach, classical, "):
        sources_of(InstalledDataset(name="mozart", corpus="mozart"))


# Freedoom


def wad(*lumps: tuple[bytes, bytes], kind: bytes = b"IWAD") -> bytes:
    """A WAD file of named lumps; its directory is at its end."""
    data, entries = b"", b""
    for name, content in lumps:
        entries += struct.pack("<ii8s", 12 + len(data), len(content), name)
        data += content
    return struct.pack("<4sii", kind, len(lumps), 12 + len(data)) + data + entries


def test_music_in_wads_is_read_and_named_once(tmp_path: Path, midi_folder: MidiFolder) -> None:
    midi = sorted(midi_folder(3).iterdir())
    first, second, third = (path.read_bytes() for path in midi)
    one = wad((b"PLAYPAL", b"colors"), (b"D_E1M1", first), (b"D_E1M2", second), (b"E1M1", b""))
    two = wad((b"D_RUNNIN", second), (b"D_STALKS", third), (b"D_MUS", b"MUS\x1a"), (b"DEMO", first))
    paths = [tmp_path / "one.wad", tmp_path / "two.wad"]
    for path, data in zip(paths, (one, two), strict=True):
        path.write_bytes(data)
    sources = wad_sources(paths)
    assert [source.name for source in sources] == ["one/D_E1M1", "one/D_E1M2", "two/D_STALKS"]
    for source, path in zip(sources, midi, strict=True):
        assert source.read().music_hash() == read_midi(path).music_hash()
    assert sources[0].content_hash() == hashlib.sha256(first).hexdigest()


BAD_WADS = {
    "empty": (b"", "is no WAD file"),
    "a picture": (b"\x89PNG" + bytes(100), "is no WAD file"),
    "header only": (b"IWAD", "no music in MIDI (lumps named D_*)"),
    "cut": (wad((b"D_E1M1", b"MThd"))[:-1], "is damaged: a directory of 1 lumps does not fit"),
    "a billion lumps": (struct.pack("<4sii", b"IWAD", 10**9, 12), "a directory of 1,000,000,000 lumps"),
    "less than no lumps": (struct.pack("<4sii", b"IWAD", -1, 12), "a directory of -1 lumps"),
    "a lump of 2 GB": (
        struct.pack("<4sii", b"PWAD", 1, 12) + struct.pack("<ii8s", 12, 2**31 - 1, b"D_E1M1"),
        "the lump D_E1M1 runs over its end",
    ),
    "a lump before the start": (
        struct.pack("<4sii", b"PWAD", 1, 12) + struct.pack("<ii8s", -5, 10, b"D_E1M1"),
        "the lump D_E1M1 runs over its end",
    ),
}


@pytest.mark.parametrize(("data", "reason"), BAD_WADS.values(), ids=BAD_WADS.keys())
def test_damaged_wad_is_refused_with_the_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "a.wad").write_bytes(data)
    with pytest.raises(UserError, match=re.escape(reason)):
        wad_sources([tmp_path / "a.wad"])


def test_missing_freedoom_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    monkeypatch.delitem(sys.modules, "vizdoom", raising=False)
    importlib.invalidate_caches()
    with pytest.raises(UserError, match="vizdoom is not installed; pip install"):
        installed_sources("freedoom")


def test_soundtrack_of_freedoom_is_read_with_its_drums_and_without_running_vizdoom() -> None:
    if importlib.util.find_spec("vizdoom") is None:
        pytest.skip("vizdoom, the optional extra `freedoom`, is not installed")
    sources = installed_sources("freedoom")
    assert len(sources) == 75
    assert sources[0].read().is_drum.any()
    assert "vizdoom" not in sys.modules


# Reading


def test_file_that_cannot_be_read_is_skipped_with_its_reason_and_the_rest_goes_on(
    midi_folder: MidiFolder,
) -> None:
    folder = midi_folder(3)
    (folder / "text.mid").write_text("hello")
    (folder / "empty.mid").touch()
    (folder / "cut.mid").write_bytes((folder / "piece_000.mid").read_bytes()[:100])
    (folder / "gone.mid").symlink_to(folder / "nowhere")
    corpus = tokenized(folder)
    assert sorted(corpus.names) == ["piece_000.mid", "piece_001.mid", "piece_002.mid"]
    reasons = {s.name: s.reason for s in corpus.skipped}
    assert reasons.keys() == {"text.mid", "empty.mid", "cut.mid", "gone.mid"}
    assert "not a MIDI file" in reasons["text.mid"]
    assert "file is empty" in reasons["empty.mid"]
    assert "ends in the middle" in reasons["cut.mid"]
    assert "cannot be opened: No such file" in reasons["gone.mid"]


def test_corpus_in_which_nothing_can_be_read_is_refused_with_reasons(tmp_path: Path) -> None:
    for i in range(5):
        (tmp_path / f"{i}.mid").write_text("hello")
    with pytest.raises(
        UserError, match=r"none of the 5 files could be read \(0\.mid: not a MIDI file.*2\.mid"
    ):
        tokenized(tmp_path)


@pytest.mark.parametrize("tokenizer", [EVENT, {"name": "chord"}], ids=["event", "chord"])
def test_piece_of_drums_is_skipped_where_the_tokenizer_writes_none(
    tokenizer: dict[str, Any], midi_folder: MidiFolder
) -> None:
    folder = midi_folder(2)
    write_midi(Piece.from_notes([0, 480], 240, [36, 38], is_drum=True), folder / "beat.mid")
    [skipped] = tokenized(folder, tokenizer).skipped
    assert skipped.name == "beat.mid"
    assert "only drums?" in skipped.reason


def test_piece_of_drums_is_read_where_the_tokenizer_writes_them(midi_folder: MidiFolder) -> None:
    folder = midi_folder(2)
    write_midi(Piece.from_notes([0, 480], 240, [36, 38], is_drum=True), folder / "beat.mid")
    assert tokenized(folder, {"name": "event", "program": True}).num_pieces == 3


def test_odd_file_names_are_read_and_shown_in_one_line(tmp_path: Path, make_piece: MakePiece) -> None:
    folder = tmp_path / "midi"
    for seed, name in enumerate(ODD_NAMES):
        write_midi(make_piece(seed), tmp_path / "piece.mid")
        folder.mkdir(exist_ok=True)
        os.replace(tmp_path / "piece.mid", folder / name)
    undecodable = os.fsdecode(b"\xff\xfe.mid")
    try:
        (folder / undecodable).write_text("hello")
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    cache = tmp_path / "cache"
    corpus = tokenized(folder, cache_dir=cache)
    assert corpus.num_pieces == len(ODD_NAMES)
    names = [*corpus.names, *(s.name for s in corpus.skipped)]
    assert len(set(names)) == len(ODD_NAMES) + 1
    assert all(name.isprintable() and len(name) <= 200 and name.encode() for name in names)
    assert_same_corpus(from_cache(folder, cache), corpus)


def test_order_of_the_files_never_matters(midi_folder: MidiFolder) -> None:
    folder = midi_folder(5)
    (folder / "text.mid").write_text("hello")
    sources = folder_sources(folder)
    shuffled = random.Random(0).sample(sources, len(sources))
    assert_same_corpus(tokenize_corpus(shuffled, EVENT, None, 0), tokenize_corpus(sources, EVENT, None, 0))


def test_parallel_reading_gives_the_same_corpus(midi_folder: MidiFolder) -> None:
    folder = midi_folder(32)
    (folder / "text.mid").write_text("hello")
    parallel = tokenize_corpus(folder_sources(folder), EVENT, None, num_processes=2)
    assert_same_corpus(parallel, tokenized(folder))


def test_tokens_of_a_corpus_are_those_of_its_pieces(midi_folder: MidiFolder, make_piece: MakePiece) -> None:
    corpus = tokenized(midi_folder(3))
    tokenizer = build_tokenizer(**EVENT)
    for i, name in enumerate(corpus.names):
        piece = make_piece(int(name[6:9]))
        assert tokens_of(corpus, i) == tokenizer.tokenize(piece)
        assert corpus.column("num_notes")[i] == piece.num_notes
        assert corpus.facts["beats"][i] == piece.beats
        assert corpus.facts["seconds"][i] == pytest.approx(piece.duration_seconds, rel=1e-4)
        assert corpus.facts["tempo"][i] == pytest.approx(piece.tempos[0][1], rel=1e-4)


def test_notes_that_were_not_asked_for_are_not_in_the_tokens(
    midi_folder: MidiFolder, make_piece: MakePiece
) -> None:
    corpus = tokenize_corpus(folder_sources(midi_folder(2)), EVENT, None, 0, ReadingOptions(tracks="melody"))
    melodies = {f"piece_{i:03d}.mid": select_tracks(make_piece(i), "melody") for i in range(2)}
    num_notes = {name: melody.num_notes for name, melody in melodies.items()}
    assert dict(zip(corpus.names, corpus.column("num_notes"), strict=True)) == num_notes
    assert set(corpus.music_hashes) == {melody.music_hash() for melody in melodies.values()}


@pytest.mark.parametrize(("tracks", "named"), [("piano", "piano"), ([0, 5], "[0,5]")], ids=str)
def test_piece_without_the_notes_asked_for_is_skipped(
    tracks: str | list[int], named: str, midi_folder: MidiFolder
) -> None:
    folder = midi_folder(2)
    write_midi(Piece.from_notes([0, 480], 240, [36, 38], program=40), folder / "violin.mid")
    corpus = tokenize_corpus(folder_sources(folder), EVENT, None, 0, ReadingOptions(tracks=tracks))
    assert corpus.num_pieces == 2
    assert [(s.name, s.reason) for s in corpus.skipped] == [
        ("violin.mid", f"holds no notes of tracks={named}")
    ]


# The cache


def test_second_time_no_file_is_read(midi_folder: MidiFolder, tmp_path: Path) -> None:
    folder = midi_folder(3)
    (folder / "text.mid").write_text("hello")
    first = tokenized(folder, cache_dir=tmp_path / "cache")
    assert_same_corpus(from_cache(folder, tmp_path / "cache"), first)


def test_no_cache_is_kept_without_a_folder(midi_folder: MidiFolder, tmp_path: Path) -> None:
    tokenized(midi_folder(2))
    assert [path.name for path in tmp_path.iterdir()] == ["midi"]


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if path.suffix != ".lock")


def test_cache_leaves_no_temporary_file(midi_folder: MidiFolder, tmp_path: Path) -> None:
    tokenized(midi_folder(2), cache_dir=tmp_path / "new" / "cache")
    shard, index = entries(tmp_path / "new" / "cache")
    assert shard.is_dir()
    assert index.is_dir()
    assert not list(tmp_path.rglob("*.tmp"))


def test_changed_file_is_read_again(midi_folder: MidiFolder, make_piece: MakePiece, tmp_path: Path) -> None:
    folder, cache = midi_folder(2), tmp_path / "cache"
    before = tokenized(folder, cache_dir=cache)
    write_midi(make_piece(7), folder / "piece_000.mid")
    after = tokenized(folder, cache_dir=cache)
    assert after.fingerprint != before.fingerprint
    assert make_piece(7).music_hash() in after.music_hashes
    assert len(entries(cache)) == 4


def test_file_that_was_unreadable_is_read_when_it_is_mended(midi_folder: MidiFolder, tmp_path: Path) -> None:
    folder, cache = midi_folder(2), tmp_path / "cache"
    (folder / "new.mid").write_text("hello")
    assert tokenized(folder, cache_dir=cache).num_pieces == 2
    shutil.copy(folder / "piece_001.mid", folder / "new.mid")
    assert tokenized(folder, cache_dir=cache).num_pieces == 3


@pytest.mark.parametrize(
    "other",
    [{"name": "event", "steps_per_beat": 4}, {"name": "event", "velocity": True}, {"name": "chord"}],
    ids=str,
)
def test_other_tokenizer_has_a_cache_of_its_own(
    other: dict[str, Any], midi_folder: MidiFolder, tmp_path: Path
) -> None:
    folder, cache = midi_folder(2), tmp_path / "cache"
    first = tokenized(folder, cache_dir=cache)
    assert all_tokens(tokenized(folder, other, cache)) != all_tokens(first)
    assert_same_corpus(from_cache(folder, cache), first)


def test_other_tracks_have_a_cache_of_their_own(midi_folder: MidiFolder, tmp_path: Path) -> None:
    folder, cache = midi_folder(2), tmp_path / "cache"
    first = tokenized(folder, cache_dir=cache)
    melody = tokenize_corpus(folder_sources(folder), EVENT, cache, 0, ReadingOptions(tracks="melody"))
    assert melody.column("num_notes").sum() < first.column("num_notes").sum()
    assert_same_corpus(from_cache(folder, cache), first)


@pytest.mark.parametrize("number", [0, 1])
def test_damaged_cache_is_made_again_with_a_warning(
    number: int, midi_folder: MidiFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, cache = midi_folder(3), tmp_path / "cache"
    first = tokenized(folder, cache_dir=cache)
    damaged = entries(cache)[number]
    [array, *_] = sorted(damaged.glob("*.npy"))
    cut = array.read_bytes()[:-1]
    array.unlink()  # `first` still reads the old one
    array.write_bytes(cut)
    assert_same_corpus(tokenized(folder, cache_dir=cache), first)
    assert f"the token cache {damaged} is damaged and is made again" in caplog.text
    assert_same_corpus(from_cache(folder, cache), first)


def test_added_file_changes_one_shard(
    midi_folder: MidiFolder, make_piece: MakePiece, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("noternn.corpus.tokenized.FILES_PER_SHARD", 3)
    folder, cache = midi_folder(10), tmp_path / "cache"
    before = tokenized(folder, cache_dir=cache)
    assert len(before.shards) == 4
    write_midi(make_piece(20), folder / "a new one.mid")
    after = tokenized(folder, cache_dir=cache)
    kept = [shard for shard in after.shards if any(shard.values == other.values for other in before.shards)]
    assert len(kept) == 3
    assert len(entries(cache)) == 4 + 1 + 1 + 1, "shards, index, the changed shard and its index"


def test_shards_hold_the_corpus_that_one_shard_holds(
    midi_folder: MidiFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = midi_folder(12)
    (folder / "text.mid").write_text("hello")
    whole = tokenized(folder)
    monkeypatch.setattr("noternn.corpus.tokenized.FILES_PER_SHARD", 3)
    parts = tokenized(folder, cache_dir=tmp_path / "cache")
    assert len(parts.shards) > 1
    assert parts.names == whole.names
    assert parts.skipped == whole.skipped
    assert np.array_equal(parts.groups, whole.groups)
    one, other = encoded(whole), encoded(parts)
    assert one.vocabulary.tokens == other.vocabulary.tokens
    assert (one.sizes, one.leak, one.names) == (other.sizes, other.leak, other.names)
    for name in SPLITS:
        for ours, theirs in zip(one.ids[name], other.ids[name], strict=True):
            assert np.array_equal(ours, theirs)


def test_machines_can_share_the_shards_and_a_run_finds_them_all(
    midi_folder: MidiFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("noternn.corpus.tokenized.FILES_PER_SHARD", 3)
    folder, cache = midi_folder(12), tmp_path / "cache"
    made = [tokenize_shards(folder_sources(folder), EVENT, ArrayCache(cache), 0, part=(i, 2)) for i in (1, 2)]
    assert made[0]
    assert made[1]
    assert not made[0].keys() & made[1].keys()
    assert_same_corpus(from_cache(folder, cache), tokenized(folder))


def test_second_start_looks_at_no_token(
    midi_folder: MidiFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache = midi_folder(12), tmp_path / "cache"
    first = encoded(tokenized(folder, cache_dir=cache))
    monkeypatch.delattr("noternn.corpus.splits.copied_fraction")
    second = encoded(tokenized(folder, cache_dir=cache))
    assert (first.leak, first.sizes, first.names) == (second.leak, second.sizes, second.names)
    assert first.vocabulary.tokens == second.vocabulary.tokens


def test_cache_folder_that_cannot_be_written_only_warns(
    midi_folder: MidiFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    corpus = tokenized(midi_folder(2), cache_dir=tmp_path / "file" / "cache")
    assert corpus.num_pieces == 2
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "the token cache was not written" in caplog.text


# Ids


def test_vocabulary_is_that_of_the_training_split_alone(midi_folder: MidiFolder) -> None:
    corpus = tokenized(midi_folder(12))
    split = encoded(corpus)
    of = {name: tokens_of(corpus, i) for i, name in enumerate(corpus.names)}
    trained = {token for name in split.names["train"] for token in of[name]}
    assert set(split.vocabulary.tokens) == trained | set(SPECIAL_TOKENS)
    assert set(all_tokens(corpus)) > trained, "the other splits have tokens of their own"


def test_unknown_tokens_are_counted(midi_folder: MidiFolder) -> None:
    corpus = tokenized(midi_folder(12))
    split = encoded(corpus)
    of = {name: tokens_of(corpus, i) for i, name in enumerate(corpus.names)}
    for name in SPLITS:
        tokens = [token for piece in split.names[name] for token in [*of[piece], "<eos>"]]
        expected = sum(token not in split.vocabulary for token in tokens) / len(tokens)
        assert split.sizes[name].unknown_fraction == pytest.approx(expected)
    assert split.sizes["train"].unknown_fraction == 0
    assert split.sizes["validation"].unknown_fraction > 0


def test_rare_tokens_are_unknown_in_training_too(midi_folder: MidiFolder) -> None:
    corpus = tokenized(midi_folder(12))
    split = encoded(corpus, min_count=3)
    trained = np.concatenate([ids[1:-1] for ids in split.ids["train"]])
    counts = np.bincount(trained, minlength=len(split.vocabulary))
    assert counts[len(SPECIAL_TOKENS) :].min() >= 3
    assert counts[UNK_ID] == round(split.sizes["train"].unknown_fraction * split.sizes["train"].num_tokens)
    assert counts[UNK_ID] > 0


def test_ids_are_the_tokens_between_bos_and_eos(midi_folder: MidiFolder) -> None:
    corpus = tokenized(midi_folder(6))
    split = encoded(corpus)
    place = {name: i for i, name in enumerate(corpus.names)}
    for name, ids in zip(split.names["train"], split.ids["train"], strict=True):
        assert (ids[0], ids[-1]) == (BOS_ID, EOS_ID)
        tokens = [split.vocabulary.tokens[i] for i in ids[1:-1]]
        assert tokens == tokens_of(corpus, place[name])


def test_sizes_add_up(midi_folder: MidiFolder) -> None:
    corpus = tokenized(midi_folder(12))
    split = encoded(corpus)
    sizes = [split.sizes[name] for name in SPLITS]
    for name in SPLITS:
        size = split.sizes[name]
        assert size.num_pieces == len(split.ids[name]) == len(split.names[name]) > 0
        assert size.num_tokens == sum(len(ids) - 1 for ids in split.ids[name])
    assert sum(size.num_pieces for size in sizes) == corpus.num_pieces
    assert sum(size.num_notes for size in sizes) == corpus.column("num_notes").sum()
    assert sum(size.beats for size in sizes) == pytest.approx(corpus.facts["beats"].sum())
    assert sum(size.seconds for size in sizes) == pytest.approx(corpus.facts["seconds"].sum())
    assert sum(size.num_tokens for size in sizes) == corpus.num_tokens.sum() + corpus.num_pieces


def test_tempo_is_the_median_of_the_training_pieces(midi_folder: MidiFolder, make_piece: MakePiece) -> None:
    split = encoded(tokenized(midi_folder(6)))
    tempos = [make_piece(int(name[6:9])).tempos[0][1] for name in split.names["train"]]
    assert split.tempo == pytest.approx(np.median(tempos), rel=1e-4)


def test_split_without_pieces_is_empty_and_has_no_unknown_tokens(midi_folder: MidiFolder) -> None:
    corpus = tokenized(midi_folder(2))
    split = encode_corpus(
        corpus, seed=0, validation_fraction=0.5, test_fraction=0.0, tokenizer=EventTokenizer()
    )
    assert len(split.ids["test"]) == 0
    assert split.sizes["test"].unknown_fraction == 0
    assert split.sizes["test"].num_notes == 0


# Which notes of a file are read


def test_limit_of_the_settings_is_that_of_the_reader_and_is_named(midi_folder: MidiFolder) -> None:
    options = ReadingOptions(limits=Limits(max_notes=50))
    corpus = tokenize_corpus(folder_sources(midi_folder(8)), EVENT, None, 0, options)
    assert 0 < corpus.num_pieces < 8
    assert (corpus.column("num_notes") <= 50).all()
    assert all("dataset.limits.max_notes" in skipped.reason for skipped in corpus.skipped)
    assert len(corpus.skipped) == 8 - corpus.num_pieces


def test_pedal_of_the_settings_is_that_of_the_reader(tmp_path: Path) -> None:
    on, off, down, end = b"\x00\x90\x3c\x50", b"\x30\x80\x3c\x00", b"\x00\xb0\x40\x7f", b"\x00\xff\x2f\x00"
    for name, later in (
        ("a", b"\x60\x90\x40\x50\x30\x80\x40\x00"),
        ("b", b"\x60\x90\x43\x50\x60\x80\x43\x00"),
    ):
        track = down + on + off + later + end
        header = b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x00\x30MTrk"
        (tmp_path / f"{name}.mid").write_bytes(header + len(track).to_bytes(4, "big") + track)
    first, second = (
        tokenize_corpus(folder_sources(tmp_path), EVENT, tmp_path / "cache", 0, ReadingOptions(pedal=pedal))
        for pedal in (False, True)
    )
    assert first.fingerprint != second.fingerprint
    assert all_tokens(first) != all_tokens(second)
