"""The network of a run as a page runs it: its scripts, its description and its weights as text."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError

# In the order in which they need each other.
SCRIPTS = ("recall.js", "network.js", "grammar.js", "sampler.js")
ENGINE = '"use strict";\n' + "".join(
    files("noternn.pages").joinpath(name).read_text("utf-8") for name in SCRIPTS
)
BITS = (16, 32)


class Engine(NamedTuple):
    """What `ENGINE` needs beside itself.

    Args:
        model: the description, JSON.
        weights: all numbers in a row, little-endian, as base64.
    """

    model: str
    weights: str


def rounded(tensors: Mapping[str, NDArray[np.float32]], bits: int) -> dict[str, NDArray[np.float32]]:
    """The weights as so many bits, 16 or 32, hold them.

    Raises:
        UserError: if one is too large for 16 bits.
    """
    if bits == 32:
        return dict(tensors)
    with np.errstate(over="ignore"):
        halves = {name: part.astype(np.float16) for name, part in tensors.items()}
    if not all(np.isfinite(part).all() for part in halves.values()):
        raise UserError("a weight is too large for 16 bits; give --bits 32")
    return {name: part.astype(np.float32) for name, part in halves.items()}


def engine_of(
    description: Mapping[str, Any], tensors: Mapping[str, NDArray[np.float32]], bits: int
) -> Engine:
    """A network as text.

    Args:
        description: see `noternn.model.plain.Plain`.
        tensors: see there.
        bits: of each weight, 16 or 32.

    Raises:
        UserError: see `rounded`.
    """
    at, places, parts = 0, {}, []
    for name, part in rounded(tensors, bits).items():
        places[name] = {"at": at, "shape": list(part.shape)}
        at += part.size
        parts.append(part.astype("<f2" if bits == 16 else "<f4").tobytes())
    model = json.dumps(
        {**description, "bits": bits, "tensors": places}, separators=(",", ":"), allow_nan=False
    )
    return Engine(model, base64.b64encode(b"".join(parts)).decode())
