"""The vocabulary that turns tokens into ids."""

from __future__ import annotations

from collections.abc import Iterable

PAD, BOS, EOS, UNK = "<pad>", "<bos>", "<eos>", "<unk>"
SPECIAL_TOKENS = (PAD, BOS, EOS, UNK)
PAD_ID, BOS_ID, EOS_ID, UNK_ID = range(4)


class Vocabulary:
    """The bijection token <-> id: the four special tokens, then the others in sorted order."""

    def __init__(self, tokens: Iterable[str]) -> None:
        ordinary = sorted(set(tokens) - set(SPECIAL_TOKENS))
        self.tokens: tuple[str, ...] = (*SPECIAL_TOKENS, *ordinary)
        self._ids = {token: i for i, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def id(self, token: str) -> int:
        """The id of `token`, or that of UNK."""
        return self._ids.get(token, UNK_ID)
