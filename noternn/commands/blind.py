"""`noternn blind`: a page for a blind listening test, and what its votes say."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noternn.commands.options import check_output, positive_int, write
from noternn.errors import UserError
from noternn.tables import format_table

if TYPE_CHECKING:
    from noternn.evaluation.votes import Judgement
    from noternn.music.piece import Piece

PERSON = "a person"  # the source of held-out pieces


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "runs",
        type=Path,
        nargs="*",
        metavar="RUN_OR_CHECKPOINT",
        help="what composes; the validation pieces of the first, a run's folder, are heard beside it",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="OUT.html", help="the page (blind.html)")
    parser.add_argument(
        "--votes", type=Path, nargs="+", metavar="VOTES.csv", help="say what saved answers amount to"
    )
    parser.add_argument("--num-trials", type=positive_int, default=12, metavar="N", help="pairs to hear (12)")
    parser.add_argument("--num-notes", type=positive_int, default=60, metavar="N", help="of an excerpt (60)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of excerpts and their order (0)")


def run(options: argparse.Namespace) -> None:
    """Write the page, or say what its votes amount to."""
    if bool(options.votes) == bool(options.runs):
        raise UserError("blind: give RUN ... for a page, or --votes for what was answered on it")
    if options.votes:
        _judge(options.votes)
        return
    output = options.output or Path("blind.html")
    check_output("-o", output, ".html")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: it must be at least 0")
    from noternn.pages.blind import make_trials, save_page

    excerpts = _excerpts(options.runs, options.num_trials, options.num_notes, options.seed)
    trials = make_trials(excerpts, options.num_trials, options.seed)
    write("-o", output, lambda path: save_page("Which do you like better?", trials, options.seed, path))


def _excerpts(runs: Sequence[Path], num_trials: int, num_notes: int, seed: int) -> dict[str, Sequence[Piece]]:
    """Excerpts of each source, of the same number of notes or a few more, and the same sound."""
    import numpy as np

    from noternn.config.sampling import Sampling
    from noternn.evaluation.loading import load_runs
    from noternn.model.checkpoint import checkpoint_path
    from noternn.pages.blind import alike
    from noternn.sampling.composer import load_composer
    from noternn.sampling.primers import opening

    first = load_runs([runs[0]])[0]
    codec, tempo, held_out = (
        first.composer.codec,
        first.composer.tempo,
        first.corpus.encoded.ids["validation"],
    )
    if not len(held_out):
        raise UserError(f"{runs[0]}: it has no validation pieces to be heard beside it")
    chosen = np.random.default_rng(seed).permutation(len(held_out))[:num_trials].tolist()
    openings = [opening(held_out[i], codec, num_notes) for i in chosen]
    found: dict[str, Sequence[Piece]] = {PERSON: [alike(codec.decode(ids), tempo) for ids in openings]}
    for path in runs:
        composer = load_composer(checkpoint_path(path))
        sampling = Sampling(**{**composer.drawing, "num_notes": num_notes, "seed": seed})
        pieces = composer.compose_each([[]] * num_trials, sampling)
        found[str(path)] = [alike(piece, tempo) for piece in pieces]
    return found


def _judge(paths: Sequence[Path]) -> None:
    from noternn.evaluation.votes import judge, read_votes

    votes = read_votes(paths)
    judgement = judge(votes)
    rows = [
        {
            "source": s.source,
            "votes": str(s.num_votes),
            "strength": f"{s.value:+.2f}",
            "95 % interval": f"{s.low:+.2f} to {s.high:+.2f}",
            "a person's": f"{s.person:.0%}",
            "rating": f"{s.rating:.1f}",
            **_figures(s.source),
        }
        for s in judgement.strengths
    ]
    print(format_table(rows, list(rows[0])))
    print(f"{len(votes)} votes of {len(paths)} listeners; a strength is the log of the odds to be preferred")
    for line in _told_apart(judgement, len(votes)):
        print(line)


def _figures(source: str) -> dict[str, str]:
    """What is known of a run that a source is: its loss, health and what it copies."""
    from noternn.runs.summary import read_summary

    path = Path(source)
    summary: dict[str, Any] = (read_summary(path) or {}) if path.is_dir() else {}
    sample = summary.get("sample")
    health = str(sample.get("health", "")).split(":")[0] if isinstance(sample, dict) else ""
    nats, copied = summary.get("val/nats_per_note"), summary.get("audit/copied_16")
    return {
        "nats a note": f"{nats:.2f}" if isinstance(nats, int | float) else "",
        "health": health,
        "copied": f"{copied:.0%}" if isinstance(copied, int | float) else "",
    }


def _told_apart(judgement: Judgement, num_votes: int) -> list[str]:
    """Of each two neighbors whether the votes tell them apart, and else how many would."""
    lines = []
    for number in range(len(judgement.strengths) - 1):
        better, worse = (judgement.strengths[number + i].source for i in (0, 1))
        times = judgement.votes_needed(number, number + 1)
        if times <= 1:
            lines.append(f"{better} is preferred to {worse}")
        else:
            more = (
                f"about {times * num_votes:,.0f} such votes would"
                if times < 1000
                else "no number of them would"
            )
            lines.append(f"too few votes to tell {better} from {worse}; {more}, if it stays at that")
    return lines
