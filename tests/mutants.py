"""Seeded mutants of files: bytes that are changed, cut, doubled, or replaced by what readers stumble over."""

from __future__ import annotations

import json
from random import Random
from typing import Any

ODD_BYTES = (
    *(b"", b"\x00", b"\xff", b"NaN", b"null", b"-1", b"1e999", b"0", b"[]", b"{}", b'"', b"\n", b",", b":"),
    *(b"[" * 300, b"9" * 400, b"-", b"\x1b[2J", b"&a [*a]", b"<<: *a", b"!!binary x", b"2001-99-99", b"1:1"),
)
ODD_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1e300,
        float("nan"),
        float("inf"),
        10**30,
        "",
        "x\x1b[2J\ny",
        [],
        {},
        [[]],
        {"a": None},
    ),
    *([None] * 3, "1", -0.5, 2**63, "${oc.env:HOME}", 0.1),
)


def mutant(data: bytes, rng: Random) -> bytes:
    """A mutant of some bytes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.choice((0, 1, 1, 4, 20, 200)))
        kind = rng.randrange(5)
        if kind == 0:
            changed[start:end] = b""
        elif kind == 1:
            changed[start:start] = changed[start:end] * rng.choice((1, 2, 50))
        elif kind == 2:
            changed[start:end] = rng.choice(ODD_BYTES)
        elif kind == 3 and start < len(changed):
            changed[start] = rng.randrange(256)
        elif start < len(changed):
            changed[start] ^= 1 << rng.randrange(8)
    return bytes(changed)


def mutant_json(data: bytes, rng: Random) -> bytes:
    """The same JSON with an odd value in the place of one of its values."""
    content = json.loads(data)
    where: Any = None
    node, key = content, None
    while isinstance(node, dict | list) and node and (key is None or rng.random() < 0.7):
        keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
        where, key = node, rng.choice(keys)
        node = where[key]
    if where is None:
        return data
    where[key] = rng.choice(ODD_VALUES)
    return json.dumps(content).encode()
