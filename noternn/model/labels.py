"""A network of labels, and what a mix of them is in words: `zelda`, or `chrono:0.7,zelda:0.3`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from noternn.config.checks import choices
from noternn.errors import UserError
from noternn.model.lstm import NoteLSTM
from noternn.terminal import printable

MAX_SHARE = 10  # of a label that is exaggerated

Bands = tuple[frozenset[int], ...]  # programs that play together; drums are 128


@dataclass(frozen=True)
class Labels:
    """A trained network that is told a label.

    Args:
        network: in evaluation mode, with the names in their order.
        names: of the labels.
        bands: of the training pieces of each label, see `noternn.tokenizer.bands.bands_of`; none where they
            are not known.
    """

    network: NoteLSTM
    names: tuple[str, ...]
    bands: tuple[Bands, ...] = ()

    def told(self, mix: str = "") -> NoteLSTM:
        """The network that is told a mix of labels, see `shares_of`; "" for no label.

        Raises:
            UserError: if it is no mix of its labels.
        """
        return self.network.told(shares_of(mix, self.names)).eval()

    def bands_of(self, mix: str) -> Bands:
        """The bands of all labels in a mix.

        Raises:
            UserError: if it is no mix of its labels.
        """
        shares = shares_of(mix, self.names)
        return tuple(band for k, bands in enumerate(self.bands) if shares[k] for band in bands)


class Told(NamedTuple):
    """A network that is told a label, and the bands that may play."""

    network: NoteLSTM
    bands: Bands


def told(mix: str, network: NoteLSTM, bands: Bands, labels: Labels | None) -> Told:
    """A network that is told a mix of labels, with the bands of these.

    Args:
        mix: see `shares_of`; "" changes nothing.
        network: that is told none.
        bands: of all training pieces, which play where those of the mix are not known.
        labels: of the network; None where it has none.

    Raises:
        UserError: if it is no mix of its labels, or if it has none.
    """
    if not mix:
        return Told(network, bands)
    if labels is None:
        raise UserError(
            f"--label {printable(mix)}: this network was trained without labels; train one with "
            "model.labels=folder, dataset or a CSV table"
        )
    return Told(labels.told(mix), labels.bands_of(mix) or bands)


def shares_of(mix: str, names: Sequence[str]) -> list[float]:
    """The share of each label in a mix.

    Args:
        mix: names with shares, such as `chrono:0.7,zelda:0.3`. What they leave of 1 is no label's; above 1
            they are exaggerated, see `NoteLSTM.told`. Names without shares have equal ones. "" is no label.
        names: of the labels.

    Raises:
        UserError: names the label that there is none of, or the share that is none.
    """
    if mix in names:  # whatever signs stand in it
        return [float(name == mix) for name in names]
    given = [_part(part.strip(), names) for part in mix.split(",")] if mix else []
    shares = [0.0] * len(names)
    for name, share in given:
        if name not in names:
            known = choices(name, list(map(printable, names)))
            raise UserError(
                f"--label {printable(mix)}: there is no label {printable(name)!r}; there are {known}"
            )
        shares[names.index(name)] += 1 / len(given) if share is None else share
    if len({share is None for _, share in given}) > 1:
        raise UserError(f"--label {printable(mix)}: give a share to each label or to none")
    return shares


def _part(text: str, names: Sequence[str]) -> tuple[str, float | None]:
    """A label and its share; None without one."""
    name, mark, number = text.rpartition(":")
    if text in names or not mark:
        return text, None
    try:
        share = float(number)
    except ValueError:
        return text, None
    if not 0 < share <= MAX_SHARE:
        raise UserError(f"--label {printable(text)}: a share must be above 0 and at most {MAX_SHARE}")
    return name, share
