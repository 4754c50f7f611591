"""The weights of a trained network in a new one of the same shape, whose vocabulary may be another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from noternn.model.lstm import NoteLSTM
from noternn.tokenizer.vocabulary import SPECIAL_TOKENS

NUMBER = re.compile(r"-?\d+")
LABELS = "labels"  # the parameter of `NoteLSTM`


class Matched(NamedTuple):
    """Which rows of a network stand for the tokens of another vocabulary.

    Args:
        rows: of each token, the row of the same token or else of the most alike one; -1 where none is alike.
        num_new: how many tokens have no row of their own.
    """

    rows: list[int]
    num_new: int


def matched(tokens: Sequence[str], known: Sequence[str]) -> Matched:
    """For each token the row of the most alike one that is known.

    The same token is most alike; then, of the tokens that differ in their numbers alone, the one whose
    numbers differ least, such as `Pitch_60` for `Pitch_61`.

    Args:
        tokens: of the new vocabulary.
        known: of the trained one.
    """
    place = {token: row for row, token in enumerate(known)}
    kinds: dict[str, list[tuple[list[int], int]]] = {}
    for row, token in enumerate(known):
        if token not in SPECIAL_TOKENS:
            kinds.setdefault(NUMBER.sub("#", token), []).append((_numbers(token), row))
    rows = [place[token] if token in place else _most_alike(token, kinds) for token in tokens]
    return Matched(rows, sum(token not in place for token in tokens))


def _numbers(token: str) -> list[int]:
    return [int(number) for number in NUMBER.findall(token)]


def _most_alike(token: str, kinds: dict[str, list[tuple[list[int], int]]]) -> int:
    own, others = _numbers(token), kinds.get(NUMBER.sub("#", token), [])
    distances = [(sum(abs(a - b) for a, b in zip(own, other, strict=True)), row) for other, row in others]
    return min(distances, default=(0, -1))[1]


@torch.no_grad()
def inherit(network: NoteLSTM, tokens: Sequence[str], trained: NoteLSTM, known: Sequence[str]) -> int:
    """Give a new network the weights of a trained one; tokens are matched by their names.

    A new token starts as the most alike known one (see `matched`), or as the mean of all where none is. What
    two fully connected layers are wider with a larger vocabulary says nothing at first.

    Args:
        network: of the same settings as `trained`; changed in place.
        tokens: its vocabulary.
        trained: whose weights are taken.
        known: its vocabulary.

    Returns:
        How many tokens are new.
    """
    found = matched(tokens, known)
    by_token = {id(network.embedding.weight), *(id(part) for part in _last_layer(network))}
    old = dict(trained.named_parameters())
    for name, weight in network.named_parameters():
        if name == LABELS:  # in no order that another network knows
            continue
        source = _rows_of(old[name], found.rows) if id(weight) in by_token else old[name]
        shared = tuple(
            slice(min(ours, theirs)) for ours, theirs in zip(weight.shape, source.shape, strict=True)
        )
        if id(weight) in by_token:
            weight.zero_()
        weight[shared] = source[shared]
    return found.num_new


@torch.no_grad()
def inherit_labels(network: NoteLSTM, names: Sequence[str], trained: NoteLSTM, known: Sequence[str]) -> None:
    """Give a new network what stands for the labels of a trained one; others begin as no label does there.

    Args:
        network: after `inherit`; changed in place.
        names: of its labels.
        trained: whose weights it has.
        known: the names of its labels; none where it has none, so that labels say nothing at first.
    """
    if network.labels is None or trained.labels is None:
        return
    rows = {name: row for row, name in enumerate(known, 1)}
    network.labels.copy_(trained.labels[[0, *(rows.get(name, 0) for name in names)]])


def _rows_of(weight: Tensor, rows: Sequence[int]) -> Tensor:
    """The rows of known tokens in the order of others, the mean of all for -1."""
    row = torch.tensor(rows, device=weight.device)
    taken = weight[row.clamp(min=0)]
    taken[row < 0] = weight[len(SPECIAL_TOKENS) :].mean(0)
    return taken


def _last_layer(network: NoteLSTM) -> list[Tensor]:
    """What the last fully connected layer learns, a row or number a token."""
    last = network.head if isinstance(network.head, torch.nn.Linear) else list(network.head.children())[-1]
    return list(last.parameters())
