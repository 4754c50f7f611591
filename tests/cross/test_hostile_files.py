"""Every file of `hostile_files` is read right or refused with its reason, at a bounded cost."""

from __future__ import annotations

import functools
import io
import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import hostile_files
import miditoolkit
import pytest
from helpers import small_piece
from hostile_files import LabelledFile, Note, mutant, one_track

from noternn.corpus.tokenized import tokenize_corpus
from noternn.datasets.sources import Source, folder_sources
from noternn.music.midi import read_midi, write_midi
from noternn.music.piece import Piece, PieceError

NOTTINGHAM = Path(__file__).parents[3] / "shared" / "data" / "nottingham_midi"
FILES = hostile_files.all_files()
MAX_SECONDS, MAX_MEGABYTES = 2.0, 500.0


def of_kind(*kinds: str) -> list[Any]:
    return [pytest.param(file, id=file.label) for file in FILES if file.kind in kinds]


def read_bytes(folder: Path, data: bytes) -> Piece:
    path = folder / "piece.mid"
    path.write_bytes(data)
    return read_midi(path)


def notes_of(piece: Piece) -> list[Note]:
    columns = (piece.onset, piece.duration, piece.pitch, piece.velocity, piece.program, piece.is_drum)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def test_there_are_hundreds_of_files_each_with_a_label_of_its_own() -> None:
    assert min(Counter(file.kind for file in FILES).values()) >= 40
    assert len({file.label for file in FILES}) == len(FILES) >= 300


@pytest.mark.parametrize("file", of_kind("unreadable"))
def test_an_unreadable_file_is_refused_with_the_reason(tmp_path: Path, file: LabelledFile) -> None:
    with pytest.raises(PieceError) as caught:
        read_bytes(tmp_path, file.make())
    assert file.reason in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("file", of_kind("odd"))
def test_an_odd_file_gives_its_notes(tmp_path: Path, file: LabelledFile) -> None:
    piece = read_bytes(tmp_path, file.make())
    assert notes_of(piece) == sorted(file.notes)
    assert piece.ticks_per_beat == file.ticks_per_beat
    assert piece.tempos == file.tempos


# Reads each file named on stdin in a process of its own, and prints what came of it. Reading waits for
# nothing, so the processor's time is what it costs, however busy the machine is.
READ_AND_MEASURE = """
import json, os, resource, sys, time
from pathlib import Path
from noternn.music.midi import read_midi
from noternn.music.piece import PieceError
for line in sys.stdin.read().splitlines():
    if os.fork():
        os.wait()
        continue
    start, reason, notes = time.process_time(), "", []
    try:
        piece = read_midi(Path(line))
    except PieceError as error:
        reason = str(error)
    seconds = time.process_time() - start
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if not reason:
        columns = (piece.onset, piece.duration, piece.pitch, piece.velocity, piece.program, piece.is_drum)
        notes = [column.tolist() for column in columns]
    print(json.dumps([line, seconds, kilobytes / 1000, reason, notes]), flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Every file, in `files/`, and every odd path, in `paths/`."""
    folder = tmp_path_factory.mktemp("hostile")
    yield folder
    shutil.rmtree(folder)  # 200 MB


@pytest.fixture(scope="module")
def written(folder: Path) -> dict[Path, LabelledFile]:
    return hostile_files.write_files(folder / "files")


@pytest.fixture(scope="module")
def outcomes(written: dict[Path, LabelledFile]) -> dict[str, list[Any]]:
    """By label: seconds, megabytes, reason, columns of notes."""
    if not hasattr(os, "fork") or sys.platform == "darwin":
        pytest.skip("memory is measured where there is fork, and in Linux's units")
    paths = {str(path): file.label for path, file in written.items() if file.kind == "hostile"}
    command = [sys.executable, "-c", READ_AND_MEASURE]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(
        command, input="\n".join(paths), capture_output=True, text=True, env=environment, timeout=120
    )
    assert result.returncode == 0, result.stderr
    lines = map(json.loads, result.stdout.splitlines())
    return {paths[path]: outcome for path, *outcome in lines}


@pytest.mark.parametrize("file", of_kind("hostile"))
def test_a_hostile_file_costs_little(file: LabelledFile, outcomes: dict[str, list[Any]]) -> None:
    seconds, megabytes, _, _ = outcomes[file.label]
    assert seconds < MAX_SECONDS
    assert megabytes < MAX_MEGABYTES


@pytest.mark.parametrize("file", of_kind("hostile"))
def test_a_hostile_file_is_read_right_or_refused(file: LabelledFile, outcomes: dict[str, list[Any]]) -> None:
    _, _, reason, columns = outcomes[file.label]
    assert file.reason in reason
    assert bool(file.reason) == bool(reason)
    assert sorted(zip(*columns, strict=True)) == sorted(file.notes)


@pytest.fixture(scope="module")
def odd_paths(folder: Path) -> dict[Path, str]:
    return hostile_files.make_path_oddities(folder / "paths")


def test_odd_paths_are_read_or_refused_with_the_reason(folder: Path, odd_paths: dict[Path, str]) -> None:
    found = {source.path: source for source in folder_sources(folder / "paths")}
    assert found.keys() == odd_paths.keys()
    for path, reason in odd_paths.items():
        outcome = reason_to_refuse(found[path])
        assert reason in outcome, path
        assert bool(reason) == bool(outcome), path


def reason_to_refuse(source: Source) -> str:
    try:
        assert source.read().num_notes == 1
    except PieceError as error:
        return str(error)
    return ""


def test_the_whole_set_is_a_corpus(
    folder: Path, written: dict[Path, LabelledFile], odd_paths: dict[Path, str]
) -> None:
    reasons = {path: file.reason for path, file in written.items()} | odd_paths
    sources = folder_sources(folder)
    assert {source.path for source in sources} == reasons.keys()
    tokenizer = {"name": "event", "program": True}
    corpus = tokenize_corpus(sources, tokenizer, cache_dir=None, num_processes=2)
    skipped = {skip.name: skip.reason for skip in corpus.skipped}
    assert skipped.keys() == {source.name for source in sources if reasons[source.path]}
    assert all(reasons[source.path] in skipped.get(source.name, "") for source in sources)
    assert set(corpus.names) == {source.name for source in sources if not reasons[source.path]}


def test_a_network_trains_on_the_whole_set(
    folder: Path, odd_paths: dict[Path, str], train_tiny: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    assert odd_paths
    summary = train_tiny(
        tmp_path / "run", "trainer.max_epochs=1", "tokenizer.program=true", "datamodule.num_processes=2",
        "datamodule.batch_size=64", "datamodule.window_length=256", folder=folder,
    )  # fmt: skip
    assert math.isfinite(summary["val/nll"])
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert len(split["skipped"]) > 250
    assert summary["sample"]["num_notes"] > 0


def reference(data: bytes) -> tuple[int, list[Note], list[tuple[int, float]]]:
    """What miditoolkit reads: resolution, notes (the loudest of those otherwise equal), tempos."""
    midi = miditoolkit.MidiFile(file=io.BytesIO(data))
    loudest: dict[tuple[int, int, int, int, bool], int] = {}
    for instrument in midi.instruments:
        program = 0 if instrument.is_drum else int(instrument.program)
        for note in instrument.notes:
            key = (note.start, note.end - note.start, note.pitch, program, instrument.is_drum)
            if note.end > note.start:
                loudest[key] = max(note.velocity, loudest.get(key, 0))
    notes = sorted(
        (on, length, pitch, velocity, *rest) for (on, length, pitch, *rest), velocity in loudest.items()
    )
    return midi.ticks_per_beat, notes, sorted((change.time, change.tempo) for change in midi.tempo_changes)


def as_reference(piece: Piece) -> tuple[int, list[Note], list[tuple[int, float]]]:
    return piece.ticks_per_beat, notes_of(piece), list(piece.tempos)


@pytest.mark.parametrize("file", of_kind("odd"))
def test_miditoolkit_reads_the_same_or_it_is_said_why_not(tmp_path: Path, file: LabelledFile) -> None:
    data = file.make()
    ours = as_reference(read_bytes(tmp_path, data))
    try:
        theirs = reference(data)
    except Exception:  # mido and miditoolkit raise nearly anything
        theirs = (0, [], [])
    assert (ours != theirs) == bool(file.differs)


def test_miditoolkit_reads_the_same_of_nottingham_tunes() -> None:
    paths = sorted(NOTTINGHAM.glob("*.mid"))[::3]  # it agrees on all 1,034, but takes its time
    if not paths:
        pytest.skip(f"the Nottingham tunes are not at {NOTTINGHAM}")
    for path in paths:
        assert as_reference(read_midi(path)) == reference(path.read_bytes()), path


@functools.cache
def fuzz_seeds() -> list[bytes]:
    """Whole files to be damaged: the odd ones that are small."""
    return [data for file in FILES if file.kind == "odd" and len(data := file.make()) < 2000]


def test_a_mutant_gives_a_piece_or_a_piece_error(tmp_path: Path) -> None:
    write_midi(small_piece(0), tmp_path / "seed.mid")
    seeds = [(tmp_path / "seed.mid").read_bytes(), *fuzz_seeds()]
    random = Random(0)
    outcomes: Counter[str] = Counter()
    for i in range(600):
        data = mutant(seeds[0] if i % 2 else random.choice(seeds), random)
        try:
            assert read_bytes(tmp_path, data).num_notes > 0
            outcomes["read"] += 1
        except PieceError:
            outcomes["refused"] += 1
    assert min(outcomes["read"], outcomes["refused"]) >= 20


def test_a_file_too_large_to_read_is_not_hashed_either(tmp_path: Path) -> None:
    path = tmp_path / "sparse.mid"
    with path.open("wb") as file:
        file.write(one_track(b""))
        file.truncate(5_000_000_000)
    assert Source(path, "sparse").content_hash().startswith("too large: 5000000000 ")
