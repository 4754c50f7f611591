"""How the files of a corpus differ from those that a run was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from noternn.corpus.splits import EncodedCorpus, recorded_pieces

MAX_NAMES = 3  # that are told of each kind


def changed_files(corpus: EncodedCorpus, split_file: Path) -> str:
    """The files that are new, gone and changed since split.json was written, in words; "" if none is.

    A file that was renamed and holds the music of one that is gone is none of them.
    """
    before = {
        name: music for pieces in recorded_pieces(split_file).values() for name, music in pieces.items()
    }
    if not before:
        return ""
    now = {
        name: music
        for split, names in corpus.names.items()
        for name, music in zip(names, corpus.music_hashes[split], strict=True)
    }
    new = [name for name in now if name not in before and now[name] not in before.values()]
    gone = [name for name in before if name not in now and before[name] not in now.values()]
    changed = [name for name in now if name in before and now[name] != before[name]]
    kinds = {"new": new, "gone": gone, "changed": changed}
    return "; ".join(f"{kind}: {_listed(names)}" for kind, names in kinds.items() if names)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
