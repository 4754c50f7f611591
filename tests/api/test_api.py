"""NoteRNN from Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import small_piece

import noternn
from noternn.errors import UserError
from noternn.evaluation.loading import load_runs
from noternn.music.piece import Piece


@pytest.fixture(scope="module")
def network(tiny_run: Path) -> noternn.Network:
    return noternn.load(tiny_run)


def test_importing_noternn_imports_neither_torch_nor_numpy() -> None:
    program = "import noternn, sys; print([m for m in ('torch', 'numpy', 'hydra') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_looking_at_a_corpus_imports_no_torch(corpus_dir: Path) -> None:
    program = (
        "import noternn, sys; c = noternn.Corpus(sys.argv[1]); print(sum(p.num_notes for p in c)); "
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(corpus_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    piece = small_piece(1)
    piece.save(tmp_path / "a.mid")
    again = noternn.read(tmp_path / "a.mid")
    assert (again.onset.tolist(), again.pitch.tolist()) == (piece.onset.tolist(), piece.pitch.tolist())


def test_a_piece_is_saved_as_midi_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in .mid"):
        small_piece(1).save(tmp_path / "a.wav")


def test_a_piece_ends_and_is_played_as_asked(network: noternn.Network) -> None:
    assert network.compose(num_notes=20, ending="exact").num_notes == 20
    with pytest.raises(UserError, match="ending"):
        network.compose(num_notes=20, ending="never")
    with pytest.raises(UserError, match="instruments"):
        network.compose(num_notes=20, instruments="piano")


def test_the_same_seed_composes_the_same(network: noternn.Network) -> None:
    first, second = (network.compose(num_notes=20, seed=4) for _ in range(2))
    assert first.pitch.tolist() == second.pitch.tolist()
    assert network.compose(num_notes=20, seed=5).pitch.tolist() != first.pitch.tolist()


def test_a_piece_is_continued(network: noternn.Network) -> None:
    primer = small_piece(0)
    sample = network.compose(num_notes=8, primer=primer)
    assert sample.num_notes >= primer.num_notes + 8


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", 0), ("top_p", 0), ("num_notes", 0), ("seed", -1)]
)
def test_a_number_out_of_range_is_named(network: noternn.Network, name: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"^sampling\.{name}={value}: it must be"):
        network.compose(**{name: value})


def test_the_nats_of_the_notes_add_up_to_those_of_the_validation(tiny_run: Path) -> None:
    run = load_runs([tiny_run])[0]
    network, encoded = noternn.load(tiny_run), run.corpus.encoded
    pieces = list(run.corpus.pieces("validation"))
    nats = [network.nll(piece) for piece in pieces]
    assert [len(n) for n in nats] == [piece.num_notes for piece in pieces]
    size = encoded.sizes["validation"]
    rows = (tiny_run / "metrics.csv").read_text().splitlines()
    names = rows[0].split(",")
    best = min(
        (dict(zip(names, row.split(","), strict=True)) for row in rows[1:]), key=lambda r: float(r["val/nll"])
    )
    total = float(np.concatenate(nats).sum())
    assert total / size.num_notes == pytest.approx(float(best["val/nats_per_note"]), rel=1e-4)


def test_a_piece_of_drums_alone_cannot_be_scored(network: noternn.Network) -> None:
    drums = Piece.from_notes([0, 480], [480, 480], [36, 38], is_drum=[True, True])
    with pytest.raises(UserError, match="only drums"):
        network.nll(drums)


def test_a_corpus_names_what_it_skips(corpus_dir: Path, tmp_path: Path) -> None:
    small_piece(3).save(tmp_path / "good.mid")
    (tmp_path / "bad.mid").write_bytes(b"no music")
    corpus = noternn.Corpus(tmp_path)
    assert len(list(corpus)) == 1
    assert list(corpus.skipped) == ["bad.mid"]
    assert sum(map(len, noternn.Corpus(corpus_dir, "datamodule.cache_dir=null").splits.values())) == 10


def test_there_is_nothing_else() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        noternn.nothing  # noqa: B018
