"""The sustain pedal that would hold the notes of a channel until they end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

MIN_ONSETS = 3  # of notes that a pedal lets go together; two may end so by chance

Span = tuple[int, int]  # the ticks at which a pedal goes down and up


def pedal_spans(notes: Iterable[tuple[int, int, object]]) -> list[Span]:
    """When a pedal may be down on a channel without making a note longer, in time order.

    A pedal lets all notes go at once. So it goes up where notes that began at different times end together,
    and goes down as soon as no other note ends before that: a note that ends while the pedal is down would
    sound on, unless its key is struck again then. See `noternn.music.midi_parser` for what a reader does.

    Args:
        notes: onset, end and key of each. No key is struck while it sounds.
    """
    by_key: defaultdict[object, list[Span]] = defaultdict(list)
    for onset, end, key in notes:
        by_key[key].append((onset, end))
    let_go: defaultdict[int, list[int]] = defaultdict(list)  # by the tick of an end, the onsets
    for spans in by_key.values():
        struck = {onset for onset, _ in spans}
        for onset, end in spans:
            if end not in struck:
                let_go[end].append(onset)
    spans, before = [], -1
    for end, onsets in sorted(let_go.items()):
        down = max(before + 1, min(onsets))
        if len(set(onsets)) >= MIN_ONSETS and down < end:
            spans.append((down, end))
        before = end
    return spans
