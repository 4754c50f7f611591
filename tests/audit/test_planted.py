"""Passages that are copied with differences are found: wrong notes now and then, other rhythms and speeds."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noternn.__main__ import main
from noternn.audit.curve import Copied, note_audit
from noternn.audit.figures import Figures
from noternn.audit.index import Index
from noternn.audit.suffixes import SuffixArray, suffix_order
from noternn.datasets.sources import installed_sources
from noternn.music.midi import write_midi
from noternn.music.piece import Piece

BEAT = 480
NUM_COPIED = 60
WRONG = np.array([-5, -3, -2, -1, 1, 2, 3, 4, 6])

Plant = Callable[[Piece, np.random.Generator], Piece]


def timed(piece: Piece, onset: np.ndarray, duration: np.ndarray | None = None) -> Piece:
    duration = np.maximum(1, np.rint(piece.duration if duration is None else duration).astype(int))
    return Piece.from_notes(np.rint(onset).astype(int), duration, piece.pitch, ticks_per_beat=BEAT)


def wrong(every: int) -> Plant:
    """Every so many notes another pitch."""

    def plant(piece: Piece, rng: np.random.Generator) -> Piece:
        pitch = piece.pitch.astype(int)
        places = np.arange(every // 2, piece.num_notes, every)
        pitch[places] += rng.choice(WRONG, len(places))
        return Piece.from_notes(piece.onset, piece.duration, pitch, ticks_per_beat=BEAT)

    return plant


def missing(every: int) -> Plant:
    return lambda piece, _: piece.select(np.arange(piece.num_notes) % every != every // 2)


def inserted(every: int) -> Plant:
    def plant(piece: Piece, rng: np.random.Generator) -> Piece:
        places = np.arange(every // 2, piece.num_notes, every)
        return Piece.from_notes(
            np.append(piece.onset, piece.onset[places] + BEAT // 4),
            np.append(piece.duration, np.full(len(places), BEAT // 4)),
            np.append(piece.pitch, piece.pitch[places] + rng.choice(WRONG, len(places))),
            ticks_per_beat=BEAT,
        )

    return plant


def swing(long: float) -> Plant:
    """Of two eighths the first takes so much of the beat."""

    def swung(ticks: np.ndarray) -> np.ndarray:
        beats, rest = np.divmod(ticks / BEAT, 1)
        return BEAT * (beats + np.where(rest < 0.5, 2 * long * rest, long + 2 * (1 - long) * (rest - 0.5)))

    def plant(piece: Piece, _: np.random.Generator) -> Piece:
        onset = swung(piece.onset)
        return timed(piece, onset, swung(piece.onset + piece.duration) - onset)

    return plant


def faster(times: float, start: int = 0) -> Plant:
    return lambda piece, _: timed(piece, piece.onset / times + start, piece.duration / times)


def late(ticks: int) -> Plant:
    return lambda piece, _: timed(piece, piece.onset + ticks)


def uneven(ticks: int) -> Plant:
    """Each note early, late or in time."""
    return lambda piece, rng: timed(piece, BEAT + piece.onset + rng.integers(-1, 2, piece.num_notes) * ticks)


KINDS: dict[str, tuple[Plant, float]] = {
    "one wrong note in 20": (wrong(20), 0.95),
    "one wrong note in 12": (wrong(12), 0.9),
    "one wrong note in 8": (wrong(8), 0.75),
    "one note in 12 missing": (missing(12), 0.85),
    "one note more in 12": (inserted(12), 0.85),
    "swing 2 : 1": (swing(2 / 3), 0.95),
    "swing 3 : 1": (swing(3 / 4), 0.95),
    "1/24 beat late": (late(BEAT // 24), 0.95),
    "1/24 beat early, late or in time": (uneven(BEAT // 24), 0.9),
    "4 times slower": (faster(1 / 4), 0.95),
    "4 times faster": (faster(4), 0.85),
    "half as fast, from between the grid on": (faster(1 / 2, 3 * BEAT // 24), 0.95),
    "4/3 times as fast": (faster(4 / 3), 0.95),
    "swing and wrong notes": (lambda piece, rng: wrong(12)(swing(2 / 3)(piece, rng), rng), 0.85),
    "half as fast with wrong notes": (lambda piece, rng: wrong(12)(faster(1 / 2)(piece, rng), rng), 0.85),
}


@pytest.fixture(scope="module")
def chorales() -> list[Piece]:
    pieces = [source.read() for source in installed_sources("bach")[:60:2]]
    return [timed(p, p.onset * BEAT / p.ticks_per_beat, p.duration * BEAT / p.ticks_per_beat) for p in pieces]


@pytest.fixture(scope="module")
def index(chorales: list[Piece]) -> Index:
    return Index.build(chorales, [str(i) for i in range(len(chorales))])


def excerpt(piece: Piece, rng: np.random.Generator, num_notes: int = NUM_COPIED) -> Piece:
    """Some notes of a piece, in another key, from time 0 on."""
    start = int(rng.integers(0, piece.num_notes - num_notes))
    chosen = piece.select(
        (np.arange(piece.num_notes) >= start) & (np.arange(piece.num_notes) < start + num_notes)
    )
    return timed(chosen, chosen.onset - chosen.onset.min()).transpose(int(rng.integers(-5, 6)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_copy_is_found(kind: str, chorales: list[Piece], index: Index) -> None:
    plant, least = KINDS[kind]
    rng = np.random.default_rng(0)
    shares = []
    for number in rng.integers(0, len(chorales), 10).tolist():
        audit = index.audit(plant(excerpt(chorales[number], rng), rng))
        shares.append(audit.near.copied(16))
        assert audit.near.copied(16) >= audit.copied(16)
    assert np.mean(shares) >= least


def test_exact_figures_know_no_differences(chorales: list[Piece], index: Index) -> None:
    rng = np.random.default_rng(0)
    sample = faster(1 / 4)(excerpt(chorales[3], rng), rng)
    audit = index.audit(sample)
    assert audit.copied(16) == 0
    assert audit.near.copied(16) > 0.9
    assert audit.near.passages[0].stretch == 1 / 4


def chords_shuffled(piece: Piece, rng: np.random.Generator) -> Piece:
    onsets, chord = np.unique(piece.onset, return_inverse=True)
    return timed(piece, onsets[rng.permutation(len(onsets))[chord]])


def pitches_shuffled(piece: Piece, rng: np.random.Generator) -> Piece:
    return Piece.from_notes(
        piece.onset, piece.duration, piece.pitch[rng.permutation(piece.num_notes)], ticks_per_beat=BEAT
    )


@pytest.mark.parametrize("shuffle", [chords_shuffled, pitches_shuffled])
def test_shuffled_music_copies_nothing(shuffle: Plant, chorales: list[Piece], index: Index) -> None:
    rng = np.random.default_rng(1)
    shuffled = [shuffle(chorales[i % len(chorales)], rng) for i in range(200)]
    assert sum(index.audit(piece).near.copied(16) > 0 for piece in shuffled) == 0


def melody(seed: int, num_notes: int = 60) -> Piece:
    rng = np.random.default_rng(seed)
    duration = rng.choice([BEAT // 2, BEAT], num_notes)
    return Piece.from_notes(np.cumsum(duration) - duration, duration, rng.integers(48, 84, num_notes))


def test_every_agreeing_note_says_where_it_comes_from() -> None:
    source = melody(1)
    pitch = source.pitch.astype(int)
    pitch[[20, 33, 50]] += 1
    sample = Piece.from_notes(source.onset, source.duration, pitch, ticks_per_beat=BEAT)
    near = Index.build([melody(0), source], ["other", "source"]).audit(sample).near
    expected = np.arange(60)
    expected[[20, 33, 50]] = -1
    assert near.source_note.tolist() == expected.tolist()
    assert (near.source_piece == 1).all()
    assert (near.longest == 57).all()
    [passage] = near.passages
    assert passage.num_differing == 3
    assert passage.others.tolist() == passage.source_others.tolist() == [20, 33, 50]


def test_a_passage_ends_where_more_differs() -> None:
    source, other = melody(1), melody(2)
    pitch = np.append(source.pitch[:30], other.pitch[:30])
    sample = Piece.from_notes(source.onset, source.duration, pitch, ticks_per_beat=BEAT)
    longest = Index.build([source], ["source"]).audit(sample).near.longest
    assert (longest[:30] >= 30).all()
    assert (longest[36:] < 16).all()


def test_too_many_wrong_notes_are_no_copy() -> None:
    sample = wrong(4)(melody(1), np.random.default_rng(0))
    assert Index.build([melody(1)], ["source"]).audit(sample).near.copied(16) == 0


def test_all_of_a_long_piece_is_looked_for(chorales: list[Piece], index: Index) -> None:
    rng = np.random.default_rng(0)
    columns, end = [], 0
    for piece in [wrong(12)(chorale, rng) for chorale in chorales]:
        columns.append((piece.onset + end, piece.duration, piece.pitch))
        end += piece.end
    onset, duration, pitch = (np.concatenate(column) for column in zip(*columns, strict=True))
    sample = Piece.from_notes(onset, duration, pitch, ticks_per_beat=BEAT)
    assert sample.num_notes > 5000
    assert index.audit(sample).near.copied(16) > 0.9


def test_a_piece_is_not_its_own_near_source() -> None:
    index = Index.build([melody(1), melody(2)], ["a", "b"])
    assert index.audit(melody(1), without=0).near.copied(16) == 0
    varied = wrong(12)(melody(1), np.random.default_rng(0))
    near = Index.build([melody(1), melody(2), varied], ["a", "b", "c"]).audit(melody(1), without=0).near
    assert near.copied(16) == 1
    assert set(near.source_piece.tolist()) == {2}


def test_passages_do_not_go_on_into_another_voice() -> None:
    high, low = melody(1, 17), melody(2, 17)
    sample = Piece.from_notes(
        np.append(high.onset, low.onset),
        np.append(high.duration, low.duration),
        np.append(high.pitch, low.pitch - 36),
        program=np.repeat([0, 40], 17),
    )
    near = Index.build([sample], ["source"]).audit(sample).near
    assert max(len(passage) for passage in near.passages) <= sample.num_notes


parts = st.lists(st.lists(st.integers(0, 2), max_size=20), min_size=1, max_size=4)


@given(parts, st.lists(st.integers(0, 2), max_size=20), st.none() | st.integers(0, 3))
def test_close_matches_are_matches_and_hold_the_longest(
    lists: list[list[int]], asked: list[int], without: int | None
) -> None:
    text = [symbol for i, symbols in enumerate(lists) for symbol in [*symbols, 100 + i]]
    part = np.repeat(np.arange(len(lists)), [len(symbols) + 1 for symbols in lists]).astype(np.int32)
    array = np.array(text, dtype=np.uint32)
    suffixes, query = SuffixArray(array, suffix_order(array), part), np.array(asked, dtype=np.uint32)
    longest, _ = suffixes.longest(query, without)
    best = np.zeros(len(asked), dtype=int)
    for place, there, length in zip(*suffixes.close(query, 2, 3, without), strict=True):
        assert text[there : there + length] == asked[place : place + length]
        assert part[there] != without
        best[place] = max(best[place], length)
    assert best.tolist() == np.where(longest >= 2, longest, 0).tolist()


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed in range(6):
        write_midi(melody(seed), tmp_path / "corpus" / f"tune_{seed}.mid")
    write_midi(wrong(12)(melody(3), np.random.default_rng(0)), tmp_path / "varied.mid")
    return tmp_path


def test_the_report_says_both_figures(music: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = ["--json", "a.json", "--csv", "a.csv", "--picture", "seen", "--listen", "heard"]
    assert main(["audit", "varied.mid", "--against", "corpus", *outputs]) == 0
    exact, near = capsys.readouterr().out.splitlines()[-2:]
    assert exact.startswith("varied.mid: 0 % of its notes stand in passages of 16 or more of the corpus")
    assert exact.endswith("no more than real pieces do")
    assert near.startswith("  with a wrong note now and then, or in a rhythm that is near: 100 % ")
    assert ": it copies, most from tune_3.mid bars 1-" in near
    [sample] = json.loads((music / "a.json").read_text(encoding="utf-8"))["samples"]
    assert (sample["is_flagged"], sample["near_is_flagged"]) == (False, True)
    assert sample["near_passages"][0]["differing_notes"] == sample["near_differing_notes"] == 5
    assert (music / "seen" / "varied.png").is_file()
    assert (music / "heard" / "varied.mid").is_file()


def test_columns_of_exact_figures_come_first(music: Path) -> None:
    assert main(["audit", "varied.mid", "--against", "corpus", "--csv", "a.csv"]) == 0
    with (music / "a.csv").open(newline="", encoding="utf-8") as file:
        names = csv.DictReader(file).fieldnames
    assert names is not None
    is_near = [name.startswith("near_") for name in names]
    assert is_near == sorted(is_near)
    assert "near_16" in names


def test_an_epoch_of_an_earlier_version_stays_in_the_curve_of_copying(tmp_path: Path) -> None:
    path = tmp_path / "audit.csv"
    before = "epoch,audit/copied_8,audit/copied_16,audit/copied_32,audit/longest,num_notes"
    path.write_text(f"{before}\n1,0.5,0.25,0.0,20,100\n")
    note_audit(path, 2, [Copied(Figures(100, 0.5, 0.25, 0.0, 20), Figures(100, 0.5, 0.5, 0.25, 40))])
    header, first, second = path.read_text().splitlines()
    assert header.startswith(f"{before},audit/near_8,audit/near_16,")
    assert first.startswith("1,0.5,0.25,0.0,20,100,nan")
    assert second == "2,0.5,0.25,0.0,20,100,0.5,0.5,0.25,40"
