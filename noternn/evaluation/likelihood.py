"""What the best weights of some runs come to on held-out pieces, in one column a way of evaluating them.

Each way gives every token of a piece but BOS a probability from the tokens before it, so that all columns
are exact likelihoods, or bounds that flatter none. What a way has to choose (the copy model's weights, the
rate of dynamic evaluation) is chosen on the validation split. A validation figure itself takes what was
chosen on the other half of the pieces; a test figure what was chosen on all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from noternn.config import schema as configuration
from noternn.corpus.loading import Corpus, load_corpus
from noternn.datasets.configured import sources_of
from noternn.errors import UserError
from noternn.metrics import SplitSize, frame_averages, rates
from noternn.model.checkpoint import CHECKPOINT_KEY, checkpoint_path, load_checkpoint
from noternn.model.lstm import NoteLSTM, select_lanes, store_lanes
from noternn.sampling.composer import Composer, composer_of
from noternn.sampling.copy_model import FILE_NAME, Examples, PitchKinds, fit, save_weights, suggestions
from noternn.sampling.primers import opening
from noternn.tables import format_table
from noternn.tokenizer import PAD_ID, UNK_ID, Codec, FramesTokenizer, VoicesTokenizer

log = logging.getLogger(__name__)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
# Pieces (num_tokens,) and for each token but the first of each some ids (num_tokens - 1, k) -> their
# log-probabilities, the same shape. Only these are kept: whole distributions of a split fill the memory.
Predictor = Callable[[Sequence[Ints], Sequence[Ints]], list[Floats]]

BATCH_SIZE = 32
OPENINGS = 1  # the generator that chooses the pieces to continue
WINDOW_LENGTH = 256  # where the weights stand still it changes nothing but the memory
RATES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # of dynamic evaluation, until one is worse


@dataclass(frozen=True)
class LoadedRun:
    """A run's folder, its best weights, and the data that it was trained on."""

    path: Path
    composer: Composer
    config: dict[str, Any]
    corpus: Corpus


@dataclass(frozen=True)
class Options:
    """Which ways are asked for.

    Args:
        split: validation or test.
        copy: whether to mix the copy model in.
        keys: how many keys to average over; 1 for the piece's own.
        dynamic: whether the weights adapt within each piece.
    """

    split: str = "validation"
    copy: bool = False
    keys: int = 1
    dynamic: bool = False


@dataclass(frozen=True)
class Column:
    """A way of evaluating and what it came to.

    Args:
        name: of the way.
        units: nats per token, note, beat and second.
        settings: what was chosen for it on the validation split.
    """

    name: str
    units: dict[str, float]
    settings: dict[str, Any]


def token_nlls(network: NoteLSTM, pieces: Sequence[Ints]) -> list[Floats]:
    """The nll of every token of some pieces but the first, in nats.

    Args:
        network: in evaluation mode; its state is carried along each piece.
        pieces: the ids of each, (num_tokens,).

    Returns:
        An array (num_tokens - 1,) for each piece.
    """
    return _nlls(static(network)(pieces, _targets(pieces)))


def _targets(pieces: Sequence[Ints]) -> list[Ints]:
    """What comes next, as questions to a `Predictor`, (num_tokens - 1, 1) each."""
    return [piece[1:, None] for piece in pieces]


def _nlls(answers: Sequence[Floats]) -> list[Floats]:
    """The nll of what comes next, which stands in the first column of the answers."""
    return [-answer[:, 0] for answer in answers]


def static(network: NoteLSTM, batch_size: int = BATCH_SIZE, window_length: int = WINDOW_LENGTH) -> Predictor:
    """The network as it was trained: fixed weights, the state carried within each piece."""

    @torch.no_grad()
    def predict(pieces: Sequence[Ints], questions: Sequence[Ints]) -> list[Floats]:
        answers = [np.empty(question.shape) for question in questions]
        order = sorted(range(len(pieces)), key=lambda i: -len(pieces[i]))
        for first in range(0, len(order), batch_size):
            lanes = order[first : first + batch_size]
            state = None
            for start in range(0, len(pieces[lanes[0]]) - 1, window_length):
                lanes = [i for i in lanes if len(pieces[i]) - 1 > start]  # the longest come first
                if state is not None:
                    state = select_lanes(state, torch.arange(len(lanes)), torch.zeros(len(lanes)).bool())
                stop = min(start + window_length, len(pieces[lanes[0]]) - 1)
                logits, state = network(_window(pieces, lanes, start, stop), state)
                for i, row in zip(lanes, logits, strict=True):
                    answers[i][start:stop] = _answers(row, questions[i][start:stop])
        return answers

    return predict


def _window(pieces: Sequence[Ints], lanes: Sequence[int], start: int, stop: int) -> torch.Tensor:
    """The ids of some pieces from `start` to before `stop`, (batch, time); PAD where a piece has ended."""
    ids = np.full((len(lanes), stop - start), PAD_ID, dtype=np.int64)
    for row, i in zip(ids, lanes, strict=True):
        part = pieces[i][start : min(stop, len(pieces[i]) - 1)]
        row[: len(part)] = part
    return torch.from_numpy(ids)


def _answers(logits: torch.Tensor, questions: Ints) -> NDArray[np.float32]:
    """Log-probabilities of some ids, (time, k), from logits (at least time, vocab_size)."""
    log_probs = logits[: len(questions)].float().log_softmax(-1)
    answers: NDArray[np.float32] = log_probs.gather(1, torch.from_numpy(questions)).numpy()
    return answers


def dynamic(network: NoteLSTM, rate: float, window_length: int) -> Predictor:
    """The network whose weights take a step of SGD after each window, and are as trained for each piece.

    Source: Krause et al., Dynamic Evaluation of Neural Sequence Models (2018), with plain SGD.

    Args:
        network: in evaluation mode; it stays as it is.
        rate: of SGD on the mean nll of the window.
        window_length: in tokens.
    """

    def predict(pieces: Sequence[Ints], questions: Sequence[Ints]) -> list[Floats]:
        return [_adapting(deepcopy(network), *both) for both in zip(pieces, questions, strict=True)]

    def _adapting(network: NoteLSTM, piece: Ints, question: Ints) -> Floats:
        optimizer = torch.optim.SGD(network.parameters(), lr=rate)
        ids = torch.from_numpy(piece)[None]  # (1, num_tokens)
        carried, only = network.initial_state(1), torch.zeros(1, dtype=torch.int64)
        answers = np.empty(question.shape)
        for start in range(0, len(piece) - 1, window_length):
            stop = min(start + window_length, len(piece) - 1)
            state = select_lanes(carried, only, only.bool())
            logits, state = network(ids[:, start:stop], state)
            answers[start:stop] = _answers(logits[0].detach(), question[start:stop])
            optimizer.zero_grad()
            nll = cross_entropy(logits[0].float(), ids[0, start + 1 : stop + 1])
            nll.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            store_lanes(carried, only, state)
        return answers

    return predict


def keys_around(num_keys: int) -> list[int]:
    """Semitones of the nearest keys, the piece's own first: 0, 1, -1, 2, ..."""
    return [(k + 1) // 2 * (1 if k % 2 else -1) for k in range(num_keys)]


def over_keys(predict: Predictor, codec: Codec, num_keys: int) -> Predictor:
    """The mean of the probabilities in several keys.

    A key is left out of a piece from the first token on that the vocabulary lacks there; that token itself
    counts as impossible in that key. So the probabilities never add up to more than 1.
    """
    maps = [codec.variation(semitones) for semitones in keys_around(num_keys)]
    is_lost = [(there == UNK_ID) & (np.arange(len(there)) != UNK_ID) for there in maps]

    def averaged(pieces: Sequence[Ints], questions: Sequence[Ints]) -> list[Floats]:
        totals = [np.full(question.shape, -np.inf) for question in questions]
        counts = [np.zeros((len(question), 1)) for question in questions]
        for there, lost in zip(maps, is_lost, strict=True):
            moved = predict([there[piece] for piece in pieces], [there[q] for q in questions])
            for i, answer in enumerate(moved):
                is_in = ~np.logical_or.accumulate(lost[pieces[i][:-1]])[:, None]  # what came before is there
                possible = is_in & ~lost[questions[i]]
                totals[i] = np.logaddexp(totals[i], np.where(possible, answer, -np.inf))
                counts[i] += is_in
        return [total - np.log(count) for total, count in zip(totals, counts, strict=True)]

    return averaged


def share_within(codec: Codec, pieces: Sequence[Ints], num_keys: int) -> float:
    """The share of the pieces that the vocabulary can write in all of the keys."""
    maps = [codec.variation(semitones) for semitones in keys_around(num_keys)]
    within = [
        all((there[piece] == UNK_ID).sum() == (piece == UNK_ID).sum() for there in maps) for piece in pieces
    ]
    return float(np.mean(within))


def ensemble(predictors: Sequence[Predictor]) -> Predictor:
    """The mean of the probabilities of several networks."""

    def averaged(pieces: Sequence[Ints], questions: Sequence[Ints]) -> list[Floats]:
        answers = zip(*(predict(pieces, questions) for predict in predictors), strict=True)
        return [np.logaddexp.reduce(answer, axis=0) - np.log(len(predictors)) for answer in answers]

    return averaged


@dataclass(frozen=True)
class Material:
    """The pieces of a split, and what is asked about each of their tokens."""

    pieces: list[Ints]
    size: SplitSize
    suggested: list[Ints]  # by the copy model, (num_tokens - 1, num_suggestions); no columns without it
    lengths: list[Ints]
    codec: Codec

    @classmethod
    def of(cls, run: LoadedRun, split: str, copy: bool) -> Material:
        """A split of a run's corpus, with what the copy model suggests if that is wanted."""
        pieces = list(run.corpus.encoded.ids[split])
        if not pieces:
            raise UserError(f"{run.path}: its {split} split holds no pieces")
        size = run.corpus.encoded.sizes[split]
        none = [np.zeros((len(piece) - 1, 0), dtype=np.int64) for piece in pieces]
        if not copy:
            return cls(pieces, size, none, none, run.composer.codec)
        kinds = PitchKinds(run.composer.codec)
        suggested, lengths = zip(*(suggestions(piece.tolist(), kinds) for piece in pieces), strict=True)
        return cls(pieces, size, list(suggested), list(lengths), run.composer.codec)

    def ask(self, predict: Predictor) -> list[Floats]:
        """Log-probabilities of what comes next, and of what is suggested."""
        suggested = [np.maximum(ids, 0) for ids in self.suggested]
        questions = [np.hstack(both) for both in zip(_targets(self.pieces), suggested, strict=True)]
        return predict(self.pieces, questions)

    def examples(self, answers: Sequence[Floats], which: slice) -> Examples:
        """What the copy model is fitted to: some of the pieces."""
        targets = [piece[1:] for piece in self.pieces]
        parts = (targets, self.suggested, self.lengths, answers)
        return Examples(
            *(np.concatenate([np.zeros((0, *p[0].shape[1:]), p[0].dtype), *p[which]]) for p in parts)
        )

    def units(self, nlls: Sequence[Floats]) -> dict[str, float]:
        """Nats per token, note, beat, second and, of frames, frame, from the nll of each piece's tokens."""
        nll = float(np.concatenate(nlls).mean())
        units = {"nats_per_token": nll, **rates(nll, self.size)}
        if isinstance(self.codec.tokenizer, FramesTokenizer | VoicesTokenizer):
            steps = self.codec.token_steps()
            targets = [piece[1:] for piece in self.pieces]
            pairs = [(nll, steps[ids]) for nll, ids in zip(nlls, targets, strict=True)]
            units |= frame_averages(pairs)
        return units


def load_runs(paths: Sequence[Path]) -> list[LoadedRun]:
    """The runs in some folders with their data.

    Raises:
        UserError: if one cannot be evaluated, or if they are not of one vocabulary and split.
    """
    runs: list[LoadedRun] = []
    for path in paths:
        runs.append(_load_run(path, runs))
        if _identity(runs[-1]) != _identity(runs[0]):
            raise UserError(
                f"{path}: it has another vocabulary or split than {paths[0]}; "
                "only networks that read the same ids of the same pieces can be averaged"
            )
    return runs


def held_out_openings(run: LoadedRun, seeds: Sequence[int]) -> tuple[list[list[int]], list[str]]:
    """For each seed the opening of a validation piece that it chooses, as a primer, and the piece's name.

    Openings have as many notes as those of the run's own samples, `sampling.primer_notes`.
    """
    corpus, num_notes = run.corpus.encoded, run.config["sampling"]["primer_notes"]
    pieces = corpus.ids["validation"]
    # A generator of its own, so that the choice says nothing of the sample's draws.
    chosen = [int(np.random.default_rng((seed, OPENINGS)).integers(len(pieces))) for seed in seeds]
    names = corpus.names["validation"]
    return [opening(pieces[i], run.composer.codec, num_notes) for i in chosen], [names[i] for i in chosen]


def _identity(run: LoadedRun) -> tuple[object, ...]:
    return run.corpus.encoded.fingerprint, run.composer.codec.vocabulary.tokens, run.config["tokenizer"]


def _load_run(path: Path, others: Sequence[LoadedRun]) -> LoadedRun:
    checkpoint = load_checkpoint(checkpoint_path(path))
    composer = composer_of(checkpoint, path)
    content = checkpoint[CHECKPOINT_KEY]
    config = content["config"]
    fingerprint = content.get("corpus_fingerprint")
    corpus = next((r.corpus for r in others if r.corpus.encoded.fingerprint == fingerprint), None)
    if corpus is None:
        try:
            dataset = configuration.dataset_of(config["dataset"])
            corpus = load_corpus(
                sources_of(dataset),
                dataset,
                config["tokenizer"],
                seed=config["seed"],
                cache_dir=config["datamodule"]["cache_dir"],
                num_processes=config["datamodule"]["num_processes"],
                transpose=config["augmentation"]["transpose"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}: the settings in its checkpoint name no corpus that can be read"
            ) from error
    if corpus.encoded.fingerprint != fingerprint:
        raise UserError(
            f"{path}: its corpus is not what it was trained on: files have changed, or are split otherwise; "
            "put back the files, or train a new run"
        )
    return LoadedRun(path, composer, config, corpus)


def evaluate(runs: Sequence[LoadedRun], options: Options) -> list[Column]:
    """What the runs come to: a column for each, then one for each thing that is added to them, from left
    to right: their ensemble, dynamic evaluation, keys, the copy model.
    """
    networks = [run.composer.network for run in runs]
    material = Material.of(runs[0], options.split, options.copy)
    columns: list[Column] = []

    def add(name: str, predict: Predictor, **settings: Any) -> list[Floats]:
        log.info("%s ...", name)
        answers = material.ask(predict)
        columns.append(Column(name, material.units(_nlls(answers)), settings))
        return answers

    predictors = [static(network) for network in networks]
    for number, predict in enumerate(predictors, start=1):
        answers = add("network" if len(runs) == 1 else f"network {number}", predict)
    if len(runs) > 1:
        predict = ensemble(predictors)
        answers = add("ensemble", predict)
    if options.dynamic:
        window = runs[0].config["datamodule"]["window_length"]
        validation = Material.of(runs[0], "validation", copy=False)
        chosen = [fit_rate(network, validation.pieces, window) for network in networks]
        predict = ensemble([dynamic(*both, window) for both in zip(networks, chosen, strict=True)])
        answers = add("+ dynamic", predict, rates=chosen, window_length=window)
    if options.keys > 1:
        codec = runs[0].composer.codec
        predict = over_keys(predict, codec, options.keys)
        within = share_within(codec, material.pieces, options.keys)
        answers = add(f"+ {options.keys} keys", predict, keys=keys_around(options.keys), pieces_within=within)
    if options.copy:
        log.info("+ copy ...")
        columns.append(_copy_column(runs[0], options.split, predict, material, answers))
    return columns


def _copy_column(
    run: LoadedRun, split: str, predict: Predictor, material: Material, answers: Sequence[Floats]
) -> Column:
    """The copy model mixed into what a predictor answered about a split."""
    every = slice(None)
    if split == "validation":
        weights, nlls = fit(material.examples(answers, every)), cross_fitted(material, answers)
    else:
        validation = Material.of(run, "validation", copy=True)
        weights = fit(validation.examples(validation.ask(predict), every))
        nlls = _copied(material, answers, every, weights)
    return Column("+ copy", material.units(nlls), {"weights": weights.tolist()})


def fit_rate(network: NoteLSTM, pieces: Sequence[Ints], window_length: int) -> float:
    """The rate of `dynamic` that suits these pieces best, of `RATES` up to the first one that is too high."""
    best, lowest = 0.0, np.inf
    for rate in RATES:
        answers = dynamic(network, rate, window_length)(pieces, _targets(pieces))
        nll = float(np.concatenate(_nlls(answers)).mean())
        log.info("  rate %g: %.4f nats per token of the validation split", rate, nll)
        if not nll < lowest:
            break
        best, lowest = rate, nll
    return best


def cross_fitted(material: Material, answers: Sequence[Floats]) -> list[Floats]:
    """The nll of each piece's tokens with the copy model, each half of the pieces by the other's weights."""
    even, odd = slice(0, None, 2), slice(1, None, 2)
    nlls = list(answers)  # of which each is replaced
    for half, other in ((even, odd), (odd, even)):
        nlls[half] = _copied(material, answers, half, fit(material.examples(answers, other)))
    return nlls


def _copied(material: Material, answers: Sequence[Floats], which: slice, weights: Floats) -> list[Floats]:
    """The nll of the tokens of some of the pieces with the copy model."""
    nll = -material.examples(answers, which).predict(weights)[0]
    lengths = [len(piece) - 1 for piece in material.pieces[which]]
    return [nll[end - length : end] for end, length in zip(np.cumsum(lengths), lengths, strict=True)]


def save_copy_weights(run: LoadedRun, columns: Sequence[Column]) -> Path | None:
    """Keep the copy weights for `generate`, if they are fitted to the network alone; where, or None."""
    *before, last = columns
    if [column.name for column in before] != ["network"] or last.name != "+ copy":
        return None
    path = checkpoint_path(run.path).with_name(FILE_NAME)
    save_weights(np.array(last.settings["weights"]), path)
    return path


def as_text(runs: Sequence[LoadedRun], options: Options, columns: Sequence[Column]) -> str:
    """The columns as a table, with what they were measured on."""
    size = runs[0].corpus.encoded.sizes[options.split]
    lines = [
        f"{options.split}: {size.num_pieces} pieces, {size.num_notes:,} notes, {size.num_tokens:,} tokens"
    ]
    if options.split == "test":
        lines.append("this is the test split: choose nothing by it")
    rows = [
        {"": unit.replace("_", " "), **{column.name: column.units[unit] for column in columns}}
        for unit in columns[0].units
    ]
    lines += ["", format_table(rows, ["", *(column.name for column in columns)]), ""]
    if len(runs) > 1:
        lines.append(", ".join(f"network {k}: {run.path}" for k, run in enumerate(runs, start=1)))
    return "\n".join(lines + [_note(column, options.split) for column in columns if column.settings])


def _note(column: Column, split: str) -> str:
    """What a column's settings were, and where they come from."""
    s = column.settings
    if "weights" in s:
        where = "the other half of the pieces" if split == "validation" else "the validation split"
        return f"{column.name}: weights fitted on {where}"
    if "rates" in s:
        rates_ = ", ".join(f"{rate:g}" for rate in s["rates"])
        return (
            f"{column.name}: rate {rates_} (chosen on the validation split) every {s['window_length']} tokens"
        )
    keys = ", ".join(f"{key:+d}" if key else "0" for key in s["keys"])
    return (
        f"{column.name}: {keys} semitones; {s['pieces_within']:.0%} of the pieces are within the vocabulary "
        "in all of them, the others are averaged over those keys that have been so far"
    )


def as_plain(runs: Sequence[LoadedRun], options: Options, columns: Sequence[Column]) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "runs": [str(run.path) for run in runs],
        "split": options.split,
        "columns": [{"name": c.name, **c.units, "settings": c.settings} for c in columns],
    }
