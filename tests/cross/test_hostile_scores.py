"""Every score of `hostile_files.score_files` is read right or refused with its reason, at a bounded cost."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import hostile_files
import pytest
from hostile_files import LabelledFile, Note, mutant

from noternn.corpus.tokenized import tokenize_corpus
from noternn.datasets.sources import Source, folder_sources
from noternn.music.piece import PieceError

FILES = hostile_files.score_files()
MAX_SECONDS, MAX_MEGABYTES = 4.0, 700.0  # music21 itself takes half of it


def of_kind(*kinds: str) -> list[Any]:
    return [pytest.param(file, id=file.label) for file in FILES if file.kind in kinds]


def sources_of(folder: Path, file: LabelledFile) -> list[Source]:
    (folder / f"score{file.suffix}").write_bytes(file.make())
    return folder_sources(folder)


def test_each_file_has_a_label_of_its_own() -> None:
    assert len({file.label for file in FILES}) == len(FILES) >= 60


@pytest.mark.parametrize("file", of_kind("unreadable"))
def test_an_unreadable_score_is_refused_with_the_reason(tmp_path: Path, file: LabelledFile) -> None:
    [source] = sources_of(tmp_path, file)
    with pytest.raises(PieceError) as caught:
        source.read()
    assert file.reason in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("file", of_kind("odd"))
def test_an_odd_score_gives_its_notes(tmp_path: Path, file: LabelledFile) -> None:
    found: list[Note] = []
    for source in sources_of(tmp_path, file):
        piece = source.read()
        columns = (piece.onset, piece.duration, piece.pitch, piece.velocity, piece.program, piece.is_drum)
        found += zip(*(column.tolist() for column in columns), strict=True)
        assert piece.ticks_per_beat == 480
    assert sorted(found) == sorted(file.notes)


# Finds and reads the score in each folder named on stdin in a process of its own, as test_hostile_files does.
READ_AND_MEASURE = """
import json, os, resource, sys, time
from pathlib import Path
import noternn.music.score
from noternn.datasets.sources import folder_sources
from noternn.music.piece import PieceError
for line in sys.stdin.read().splitlines():
    if os.fork():
        os.wait()
        continue
    start, reason = time.process_time(), ""
    try:
        [source] = folder_sources(Path(line))
        source.content_hash()
        source.read()
    except PieceError as error:
        reason = str(error)
    seconds = time.process_time() - start
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([line, seconds, kilobytes / 1000, reason]), flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """By label: seconds, megabytes, reason."""
    if not hasattr(os, "fork") or sys.platform == "darwin":
        pytest.skip("memory is measured where there is fork, and in Linux's units")
    labels = {}
    for file in FILES:
        if file.kind == "hostile":
            folder = tmp_path_factory.mktemp("score")
            (folder / f"score{file.suffix}").write_bytes(file.make())
            labels[str(folder)] = file.label
    command = [sys.executable, "-c", READ_AND_MEASURE]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(
        command, input="\n".join(labels), capture_output=True, text=True, env=environment, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return {labels[path]: outcome for path, *outcome in map(json.loads, result.stdout.splitlines())}


@pytest.mark.parametrize("file", of_kind("hostile"))
def test_a_hostile_score_is_refused_at_little_cost(
    file: LabelledFile, outcomes: dict[str, list[Any]]
) -> None:
    seconds, megabytes, reason = outcomes[file.label]
    assert file.reason in reason
    assert seconds < MAX_SECONDS
    assert megabytes < MAX_MEGABYTES


def test_scores_good_and_bad_are_a_corpus(tmp_path: Path) -> None:
    reasons = {}
    for number, file in enumerate(FILES):
        if file.kind != "hostile":
            reasons[f"{number:03d}{file.suffix}"] = file.reason
            (tmp_path / f"{number:03d}{file.suffix}").write_bytes(file.make())
    corpus = tokenize_corpus(folder_sources(tmp_path), {"name": "event"}, cache_dir=None, num_processes=0)
    skipped = {skip.name: skip.reason for skip in corpus.skipped}
    assert skipped.keys() == {name for name, reason in reasons.items() if reason}
    assert all(reasons[name] in reason for name, reason in skipped.items())
    assert {name.split("#")[0] for name in corpus.names} == reasons.keys() - skipped.keys()


def test_a_mutant_score_gives_a_piece_or_a_piece_error(tmp_path: Path) -> None:
    seeds = [(file.suffix, file.make()) for file in FILES if file.kind == "odd"]
    random = Random(0)
    for _ in range(300):
        suffix, data = random.choice(seeds)
        path = tmp_path / f"score{suffix}"
        path.write_bytes(mutant(data, random))
        for source in folder_sources(tmp_path):
            with contextlib.suppress(PieceError):
                assert source.read().num_notes > 0
        path.unlink()
