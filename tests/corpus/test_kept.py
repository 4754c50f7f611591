"""Kept pieces: read once, equal in all to what the file gives, and believed where token caches are."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from noternn.audit.against import Reference, load
from noternn.corpus.cache import clear
from noternn.corpus.kept import read_kept
from noternn.corpus.reading import ReadingOptions
from noternn.corpus.tokenized import read_corpus
from noternn.datasets.sources import Source, folder_sources, frame_sources, installed_sources
from noternn.music.piece import Piece, PieceError

HEAD = "X:{n}\nT:Tune {n}\nM:3/4\nL:1/8\nQ:1/4=90\nK:G\n"
BAR = "GABcde|fgabc'd'|M:4/4\n[GBd]4 {{oops}} z4|Q:1/4=133.3\nG2A2B2{notes}|]\n"
NOTES = ("c2", "d2", "e2", "f2")


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    """Four tunes of a book, and two pieces of frames."""
    (tmp_path / "music").mkdir()
    tunes = [HEAD.format(n=n) + BAR.format(notes=notes) for n, notes in enumerate(NOTES, 1)]
    (tmp_path / "music" / "book.abc").write_text("%abc-2\n" + "\n".join(tunes))
    (tmp_path / "frames.json").write_text(
        '{"train": [[[60, 64], [], [62]]], "valid": [], "test": [[[50], [50, 90]]]}'
    )
    frames = frame_sources(tmp_path / "frames.json", 4, voices=False)
    return folder_sources(tmp_path / "music") + frames


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sources whose files were read, as they are read."""
    names = []
    read = Source.read

    def counted(source: Source, *options: object) -> Piece:
        names.append(source.name)
        return read(source, *options)  # type: ignore[arg-type]

    monkeypatch.setattr(Source, "read", counted)
    return names


def kept(source: Source, cache: Path | None, options: ReadingOptions | None = None) -> Piece:
    options = options or ReadingOptions()
    return read_kept(source, cache, options.limits, options.pedal, options.repeats)


def assert_same(one: Piece, other: Piece) -> None:
    for field in fields(Piece):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(ours, np.ndarray):
            assert (ours.dtype, ours.tolist()) == (theirs.dtype, theirs.tolist()), field.name
        else:
            assert repr(ours) == repr(theirs), field.name  # with the types of all numbers in it


def test_a_kept_piece_equals_the_one_of_the_file_in_all(
    sources: list[Source], cache: Path, reads: list[str]
) -> None:
    first = [kept(source, cache) for source in sources]
    again = [kept(source, cache) for source in sources]
    assert reads == [source.name for source in sources]
    assert any(piece.remarks for piece in first)
    assert any(piece.span for piece in first)
    for source, *pieces in zip(sources, first, again, strict=True):
        for piece in pieces:
            assert_same(piece, kept(source, None))


@pytest.mark.slow
@pytest.mark.parametrize("corpus", ["bach", "classical", "airs"])
def test_kept_pieces_of_installed_scores_equal_those_of_the_files(corpus: str, cache: Path) -> None:
    for source in installed_sources(corpus)[:200]:
        try:
            piece = kept(source, cache)
        except PieceError:
            continue
        assert_same(kept(source, cache), piece)


def test_another_tokenizer_and_the_first_audit_read_no_file_again(
    sources: list[Source], cache: Path, reads: list[str]
) -> None:
    read_corpus(sources, {"name": "event"}, cache, 0)
    assert sorted(reads) == sorted(source.name for source in sources)
    reads.clear()
    read_corpus(sources, {"name": "chord"}, cache, 0)
    read_corpus(sources[1:], {"name": "event"}, cache, 0, ReadingOptions(tracks="pitched"))
    against = load(Reference("these", sources[:3], sources[3:], ReadingOptions(), cache, 0))
    assert against.piece(0).num_notes > 0
    assert not reads


@pytest.mark.parametrize(
    "other",
    [ReadingOptions(repeats="played"), ReadingOptions(pedal=True)],
    ids=["repeats", "pedal"],
)
def test_a_piece_is_kept_for_one_way_of_reading(
    other: ReadingOptions, sources: list[Source], cache: Path, reads: list[str]
) -> None:
    kept(sources[0], cache)
    kept(sources[0], cache, other)
    assert len(reads) == 2


def test_a_changed_file_is_read_and_a_renamed_one_is_not(
    sources: list[Source], cache: Path, reads: list[str]
) -> None:
    kept(sources[0], cache)
    book = sources[0].path.rename(sources[0].path.with_name("other.abc"))
    [first, *_] = folder_sources(book.parent)
    assert kept(first, cache).name == "other.abc#1"
    assert len(reads) == 1
    book.write_text(book.read_text().replace("GABcde", "GABcdf"))
    [first, *_] = folder_sources(book.parent)
    assert 78 in kept(first, cache).pitch.tolist()
    assert len(reads) == 2


def swap(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-5],
        lambda data: data + b"more",
        lambda data: swap(data, len(data) // 2),
        lambda data: swap(data, len(data) - 1),
        lambda _: b"",
        lambda _: b"\x80\x04cos\nsystem\n.",
    ],
    ids=["cut", "longer", "bit", "sum", "empty", "pickle"],
)
def test_a_damaged_piece_is_read_anew(
    damage: Callable[[bytes], bytes], sources: list[Source], cache: Path, reads: list[str]
) -> None:
    before = kept(sources[0], cache)
    [path] = cache.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert_same(kept(sources[0], cache), before)
    kept(sources[0], cache)
    assert len(reads) == 2


def test_a_piece_under_the_name_of_another_is_not_believed(sources: list[Source], cache: Path) -> None:
    kept(sources[0], cache)
    [first] = cache.iterdir()
    kept(sources[1], cache)
    [second] = set(cache.iterdir()) - {first}
    second.write_bytes(first.read_bytes())
    assert_same(kept(sources[1], cache), kept(sources[1], None))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_another_users_piece_is_not_believed(sources: list[Source], cache: Path, reads: list[str]) -> None:
    kept(sources[0], cache)
    [path] = cache.iterdir()
    os.chown(path, 4242, 4242)
    kept(sources[0], cache)
    assert len(reads) == 2
    kept(sources[0], cache)
    assert len(reads) == 2
    assert path.stat().st_uid == 0


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows keeps users apart by other means")
def test_a_piece_that_anyone_may_change_is_not_believed_nor_a_link_to_one(
    sources: list[Source], cache: Path, tmp_path: Path, reads: list[str]
) -> None:
    kept(sources[0], cache)
    [path] = cache.iterdir()
    path.chmod(0o666)
    kept(sources[0], cache)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o666)
    kept(sources[0], cache)
    assert len(reads) == 3
    assert not path.is_symlink()


def test_a_link_of_ones_own_leads_to_a_piece_of_another_cache(
    sources: list[Source], cache: Path, tmp_path: Path, reads: list[str]
) -> None:
    kept(sources[0], cache)
    [path] = cache.iterdir()
    path.rename(tmp_path / path.name)
    path.symlink_to(tmp_path / path.name)
    kept(sources[0], cache)
    assert len(reads) == 1


def test_a_pipe_in_the_place_of_a_piece_is_not_waited_for(sources: list[Source], cache: Path) -> None:
    kept(sources[0], cache)
    [path] = cache.iterdir()
    path.unlink()
    os.mkfifo(path)
    assert kept(sources[0], cache).num_notes > 0


def test_a_cache_that_cannot_be_written_costs_nothing(sources: list[Source], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_same(kept(sources[0], tmp_path / "file"), kept(sources[0], None))


def test_clearing_deletes_kept_pieces(sources: list[Source], cache: Path) -> None:
    kept(sources[0], cache)
    [path] = cache.iterdir()
    (cache / f".{path.name}.123.tmp").touch()
    (cache / "mine.piece").touch()
    assert clear(cache) > 0
    assert [path.name for path in cache.iterdir()] == ["mine.piece"]


def test_what_is_no_score_is_not_kept(midi_folder: Callable[[int], Path], cache: Path) -> None:
    for source in folder_sources(midi_folder(2)):
        kept(source, cache)
    assert not list(cache.iterdir())
