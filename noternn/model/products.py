"""Products in which no row depends on how many there are.

A BLAS promises no such thing: it takes other routines, with other orders of summation, for one row than for
several.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

MAX_STREAMS = 64  # more at once gain nothing: the weights are read once for all of these


class PackedProduct:
    """`rows @ weight.T + bias` over weights in the layout that oneDNN wants; see `is_steady`."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.bias = bias
        # torch.compile's own way to oneDNN; there is no public one that keeps the layout
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), MAX_STREAMS)

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows (n, in) -> (n, out)."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.packed, self.bias, "none", [], "")
        return result

    def is_steady(self, width: int) -> bool:
        """Whether rows, of this width, come out the same alone and among others on this machine."""
        rows = torch.randn(MAX_STREAMS, width, generator=torch.Generator().manual_seed(0))
        alone = torch.cat([self(rows[k : k + 1]) for k in range(7)])
        return torch.equal(self(rows)[:7], alone) and torch.equal(self(rows[:7]), alone)


class RowwiseProduct:
    """`rows @ weight.T + bias`, a row after the other: the same alone and among others by construction."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight = np.ascontiguousarray(weight.detach().numpy().T)
        self.bias = bias

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows (n, in) -> (n, out)."""
        stack = rows.numpy()[:, None]  # (n, 1, in): numpy multiplies each matrix of a stack by itself
        return torch.from_numpy(np.matmul(stack, self.weight)[:, 0]).add_(self.bias)


Product = PackedProduct | RowwiseProduct
Pairs = Sequence[tuple[Tensor, Tensor]]  # weight (out, in) and bias (out,)


def build_products(pairs: Pairs) -> Sequence[Product]:
    """Packed if this machine has such products, and they are steady."""
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if has_onednn and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        packed = [PackedProduct(weight, bias) for weight, bias in pairs]
        if all(p.is_steady(weight.shape[1]) for p, (weight, _) in zip(packed, pairs, strict=True)):
            return packed
    return rowwise_products(pairs)


def rowwise_products(pairs: Pairs) -> Sequence[Product]:
    """A row after the other, on any machine."""
    return [RowwiseProduct(weight, bias) for weight, bias in pairs]
