"""The summed nll and the tokens of each piece that is validated on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noternn.training.ranks import told_by_all


class PieceSums:
    """Sums by piece, over any number of batches; no GPU is waited for before the end."""

    def __init__(self) -> None:
        self._pieces = [np.zeros(0, dtype=np.int64)]
        self._rows: list[Tensor] = [torch.zeros(0, 2)]

    def update(self, piece: NDArray[np.int64], rows: Tensor) -> None:
        """Add a batch.

        Args:
            piece: (batch,) which one each row reads.
            rows: (batch, 2) the nll of each row in nats and its tokens, each summed, on any device.
        """
        self._pieces.append(piece)
        self._rows.append(rows)

    def of_all(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each piece, (num_pieces,) in their order, its nll and its tokens.

        They are the pieces of all processes, which must call it together. Each piece is one process's alone.
        """
        pieces, of_row = np.unique(np.concatenate(self._pieces), return_inverse=True)
        on_device = torch.cat(self._rows[1:] or self._rows)
        rows = on_device.cpu().double().numpy()
        sums = [np.bincount(of_row, weights=column, minlength=len(pieces)) for column in rows.T]
        told = told_by_all((pieces, *sums))
        number, nll, num_tokens = (np.concatenate(parts) for parts in zip(*told, strict=True))
        order = np.argsort(number, kind="stable")
        return nll[order], num_tokens[order]
