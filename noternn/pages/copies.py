"""The training pieces as a page looks for their passages: what pages/copies.js reads."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from noternn.audit.index import Index
from noternn.music.steps import NUM_STEPS

MAX_CHARACTERS = 1_200_000  # of a page that stays below 4 MB with the default network


def plain_index(index: Index) -> dict[str, Any] | None:
    """An index of exact passages as JSON holds it, or None if it is too large for a page."""
    text, piece = index.arrays["text"], index.arrays["piece"].astype(np.int64)
    is_step = text < NUM_STEPS
    steps, numbers = np.unique(text[is_step], return_inverse=True)
    if len(steps) >= 2**16 - 1 or not len(text):
        return None
    codes = np.zeros(len(text), dtype=np.uint16)
    codes[is_step] = numbers + 1
    bars = index.arrays["bars"][index.arrays["note_offsets"][piece] + index.arrays["note"]]
    plain = {
        "steps": steps.tolist(),
        "text": base64.b64encode(codes.astype("<u2").tobytes()).decode(),
        "bars": base64.b64encode(np.minimum(bars, 2**16 - 1).astype("<u2").tobytes()).decode(),
        "starts": np.searchsorted(piece, np.arange(len(index.names))).tolist(),
        "names": index.names,
    }
    return plain if len(plain["text"]) + len(plain["bars"]) <= MAX_CHARACTERS else None
