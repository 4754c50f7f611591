"""The ends of the notes of a MIDI file that no note-off of their own track ends, found elsewhere and counted.

The rules are those of `noternn.music.midi_parser`. Such notes are rare: this costs nothing where every note
has its note-off, and otherwise grows with the number of those that have none.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from noternn.music.midi_events import BY_END, BY_OFF, BY_SILENCE, UNSURE, Columns, TrackEvents
from noternn.music.remarks import Remark

BY_STRIKE = 4  # beside the causes of `midi_events`
PITCHES = 128
CAUSES = {
    BY_STRIKE: "notes ended by a second strike of their key",
    BY_SILENCE: "notes ended by All Notes Off",
    BY_END: "notes ended by the end of the file",
}
OF_NO_LENGTH = "notes of no length dropped"
NEVER = np.iinfo(np.int64).max

Silences = dict[int, Columns]


def settle(events: TrackEvents) -> None:
    """Give every note its end and the cause of it, which may be `BY_STRIKE`; both are changed in place."""
    unsure = np.flatnonzero(events.causes != BY_OFF)
    if not len(unsure):
        return
    keys = events.notes[3] * PITCHES + events.notes[2]
    loose = _settle_in_tracks(events, unsure, keys)
    silences = _silences(events)
    loose = _settle_across_tracks(events, loose, keys, silences)
    if len(loose):
        _settle_without_off(events, loose, keys, silences)


def remarks(events: TrackEvents, is_dropped: NDArray[np.bool_], ticks_per_beat: int) -> tuple[Remark, ...]:
    """What to say of notes that nothing ended and of those dropped; `is_dropped` has shape (num_notes,)."""
    found = []
    if is_dropped.any():
        found.append(_remark(OF_NO_LENGTH, is_dropped, events, ticks_per_beat))
    if events.causes.any():  # BY_OFF is 0
        for cause, what in CAUSES.items():
            rows = (events.causes == cause) & ~is_dropped
            if rows.any():
                found.append(_remark(what, rows, events, ticks_per_beat))
    return tuple(found)


def _remark(what: str, rows: NDArray[np.bool_], events: TrackEvents, ticks_per_beat: int) -> Remark:
    first = int(rows.argmax())
    track = int(np.searchsorted(_track_stops(events), first, side="right"))
    beat = int(events.notes[0, first]) // ticks_per_beat + 1
    return Remark(what, int(np.count_nonzero(rows)), f"track {track + 1}, beat {beat}")


def _track_stops(events: TrackEvents) -> Columns:
    """The number of notes begun in each track and before."""
    return np.array([stop for _, stop in events.tracks], dtype=np.int64)


def _settle_in_tracks(events: TrackEvents, unsure: Columns, keys: Columns) -> Columns:
    """Find which notes of a key that had too few note-offs these end; the others are returned."""
    tracks = np.searchsorted(_track_stops(events), unsure, side="right")
    by_key: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for track, key, row in zip(tracks.tolist(), keys[unsure].tolist(), unsure.tolist(), strict=True):
        by_key[track, key].append(row)
    loose: list[int] = []
    for rows in by_key.values():
        for cluster in _clusters(rows, events):
            loose += _pair_again(cluster, events)
    return np.array(sorted(loose), dtype=np.int64)


def _clusters(rows: Sequence[int], events: TrackEvents) -> Iterator[list[int]]:
    """The notes of a key, split where it was silent: after those that no note-off had ended."""
    cluster: list[int] = []
    for row in rows:
        if cluster and events.causes[cluster[-1]] != UNSURE:
            last = cluster[-1]
            is_same = events.causes[row] == events.causes[last] and _end(events, row) == _end(events, last)
            if not is_same:
                yield cluster
                cluster = []
        cluster.append(row)
    yield cluster


def _end(events: TrackEvents, row: int) -> int:
    return int(events.notes[0, row] + events.notes[1, row])


def _pair_again(cluster: list[int], events: TrackEvents) -> list[int]:
    """Give the note-offs of a cluster to the notes they end; the notes without one."""
    num_offs = sum(int(events.causes[row]) == UNSURE for row in cluster)
    if not num_offs:
        return cluster
    offs = [_end(events, row) for row in cluster[:num_offs]]
    ends = pair(events.notes[0, cluster].tolist(), offs)
    cause = events.causes[cluster[-1]]
    for row, end in zip(cluster, ends, strict=True):
        events.causes[row] = cause if end is None else BY_OFF
        if end is not None:
            events.notes[1, row] = end - events.notes[0, row]
    return [row for row, end in zip(cluster, ends, strict=True) if end is None]


def pair(onsets: Sequence[int], offs: Sequence[int]) -> list[int | None]:
    """The ends of notes of one key from note-offs that need not be as many.

    A note-off is given to a note that began before it; where none sounds, to one that begins at its tick,
    which has no length: some programs write the note-off of such a note first. Notes that get none are those
    that leave each of the others the nearest note-off; of the others the first to begin ends first.

    Args:
        onsets: ticks in order.
        offs: ticks in order.

    Returns:
        The end of each note; None where there is no note-off for it.
    """
    waiting: list[int] = []
    begun = 0
    order: list[int] = []  # numbers of notes, and of the note-offs that count as ~number
    for number, off in enumerate(offs):
        while begun < len(onsets) and onsets[begun] < off:
            waiting.append(begun)
            order.append(begun)
            begun += 1
        if not waiting and begun < len(onsets) and onsets[begun] == off:
            waiting.append(begun)
            order.append(begun)
            begun += 1
        if waiting:
            waiting.pop()
            order.append(~number)
    never = {*waiting, *range(begun, len(onsets))}
    ends: list[int | None] = [None] * len(onsets)
    sounding: deque[int] = deque()
    for number in order:
        if number < 0:
            ends[sounding.popleft()] = offs[~number]
        elif number not in never:
            sounding.append(number)
    return ends


def _settle_across_tracks(events: TrackEvents, loose: Columns, keys: Columns, silences: Silences) -> Columns:
    """Let note-offs of other tracks end notes of their channel and pitch; those without one are returned."""
    if not len(events.strays) or not len(loose):
        return loose
    offs = _by_place(events.strays[:, 1] * PITCHES + events.strays[:, 2], events.strays[:, 0])
    rows_by_key = _by_place(keys[loose], loose)
    for key in rows_by_key.keys() & offs.keys():
        rows = rows_by_key[key]
        rows = rows[np.argsort(events.notes[0, rows], kind="stable")]
        onset = events.notes[0, rows]
        silent = _next(silences.get(key // PITCHES), onset)
        ends = pair(onset.tolist(), np.sort(offs[key]).tolist())
        for row, end, limit in zip(rows.tolist(), ends, silent.tolist(), strict=True):
            if end is not None and end <= limit:
                events.notes[1, row] = end - events.notes[0, row]
                events.causes[row] = BY_OFF
    without_off: Columns = loose[events.causes[loose] != BY_OFF]
    return without_off


def _by_place(places: Columns, values: Columns) -> dict[int, Columns]:
    """The values that stand at each place, in their order."""
    order = np.argsort(places, kind="stable")
    found, first = np.unique(places[order], return_index=True)
    return dict(zip(found.tolist(), np.split(values[order], first[1:]), strict=True))


def _silences(events: TrackEvents) -> Silences:
    """By channel, the ticks at which it is silenced, in order."""
    if not events.silences:
        return {}
    channel, tick = np.array(events.silences, dtype=np.int64).T
    return {place: np.sort(ticks) for place, ticks in _by_place(channel, tick).items()}


def _next(ticks: Columns | None, onsets: Columns) -> Columns:
    """The first of the ticks after each onset; NEVER without one."""
    found = np.full(len(onsets), NEVER)
    if ticks is not None:
        found[:] = np.append(ticks, NEVER)[np.searchsorted(ticks, onsets, side="right")]
    return found


def _settle_without_off(events: TrackEvents, loose: Columns, keys: Columns, silences: Silences) -> None:
    """End notes at a strike of their key, at a silence of their channel, or at the end of their track."""
    onset = events.notes[0, loose]
    struck = _next_strikes(events, loose, keys)
    silent = np.full(len(loose), NEVER)
    channels = events.notes[3, loose]
    for channel, ticks in silences.items():
        of_channel = np.flatnonzero(channels == channel)
        silent[of_channel] = _next(ticks, onset[of_channel])
    ends = np.array([tick for tick, _ in events.tracks], dtype=np.int64)
    own = ends[np.searchsorted(_track_stops(events), loose, side="right")]
    last = np.where(own > onset, own, ends.max())
    events.notes[1, loose] = np.minimum(np.minimum(struck, silent), last) - onset
    cause = np.where(silent <= last, BY_SILENCE, BY_END)
    events.causes[loose] = np.where(struck <= np.minimum(silent, last), BY_STRIKE, cause)


def _next_strikes(events: TrackEvents, loose: Columns, keys: Columns) -> Columns:
    """When the key of each note is struck next in any track; its onset if at once; NEVER if not again."""
    rows = np.flatnonzero(np.isin(keys, keys[loose]))
    has_off = events.causes[rows] == BY_OFF
    order = np.lexsort((rows, has_off, events.notes[0, rows], keys[rows]))
    rows = rows[order]
    strike = np.append(events.notes[0, rows[1:]], NEVER)
    strike[:-1][keys[rows[1:]] != keys[rows[:-1]]] = NEVER
    next_strike = np.empty(len(keys), dtype=np.int64)
    next_strike[rows] = strike
    return next_strike[loose]
