"""The vocabulary that turns tokens into ids."""

from __future__ import annotations

from collections.abc import Iterable

PAD, BOS, EOS, UNK = "<pad>", "<bos>", "<eos>", "<unk>"
SPECIAL_TOKENS = (PAD, BOS, EOS, UNK)
PROGRAM = "Program_"  # of tokens that say an instrument
PAD_ID, BOS_ID, EOS_ID, UNK_ID = range(4)


class Vocabulary:
    """The bijection token <-> id: the four special tokens, then the others in sorted order."""

    def __init__(self, tokens: Iterable[str]) -> None:
        ordinary = sorted(set(tokens) - set(SPECIAL_TOKENS))
        self.tokens: tuple[str, ...] = (*SPECIAL_TOKENS, *ordinary)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        programs = map(_program, ordinary)
        self._programs = sorted(program for program in programs if program is not None)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def id(self, token: str) -> int:
        """The id of `token`, or that of UNK.

        An instrument that is not there is its nearest: of its family in General MIDI, if one is, by number.
        """
        if token in self._ids:
            return self._ids[token]
        program = _program(token)
        if program is None or not self._programs:
            return UNK_ID
        nearest = min(self._programs, key=lambda known: (known // 8 != program // 8, abs(known - program)))
        return self._ids[f"{PROGRAM}{nearest}"]


def _program(token: str) -> int | None:
    """The General MIDI program that a token says; None for drums and other tokens."""
    number = token.removeprefix(PROGRAM)
    return int(number) if number != token and number.isdecimal() else None
