"""Which notes of a MIDI file are drums: channel 10, and what messages of GS, XG and GM2 make drums.

The rules are those of `noternn.music.midi_parser`. Sources: owner's manuals of Roland's SC-55 and SC-88 (use
for rhythm part, address 40 1x 15) and of Yamaha's MU50 (bank numbers; part mode, address 08 pp 07); General
MIDI 2 (MIDI Manufacturers Association, RP-024: banks 120 and 121).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from noternn.music.midi_events import NO_BANK, TrackEvents

DRUM_CHANNEL = 9
XG_KITS, GM2_KIT, GM2_MELODIC = (126, 127), 120, 121  # banks; 126 holds sound effects, a key each
GS_CHANNELS = (9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15)  # of the parts 0x10 to 0x1F

System = Literal["", "GM", "GM2", "GS", "XG"]
GM_SYSTEMS: dict[int, System] = {1: "GM", 2: "", 3: "GM2"}


def drum_notes(events: TrackEvents) -> NDArray[np.bool_]:
    """Whether each note is a hit of a drum kit, (num_notes,)."""
    onset, channel = events.notes[0], events.notes[3]
    is_drum: NDArray[np.bool_] = (channel & 15 if events.max_port else channel) == DRUM_CHANNEL
    if not events.kits and not any(bank != NO_BANK for _, _, _, bank in events.programs):
        return is_drum
    for place, switches in _switches(events).items():
        rows = np.flatnonzero(channel == place)
        ticks, kits = zip(*switches, strict=True)
        states = np.array([place & 15 == DRUM_CHANNEL, *kits])
        is_drum[rows] = states[np.searchsorted(np.array(ticks), onset[rows], side="right")]
    return is_drum


def _switches(events: TrackEvents) -> dict[int, list[tuple[int, bool]]]:
    """By channel, when it becomes a drum kit (True) or melodic, in time order."""
    messages = [
        (tick, 0 if _reset_of(message) is not None else 1, channel, message)
        for channel, tick, message in events.kits
    ]
    banks = [(tick, 2, channel, bytes([bank])) for channel, tick, _, bank in events.programs if bank >= 0]
    systems: defaultdict[int, System] = defaultdict(lambda: "")  # by port
    switches: defaultdict[int, list[tuple[int, bool]]] = defaultdict(list)
    for tick, kind, channel, cause in sorted([*messages, *banks], key=lambda change: change[:2]):
        port = channel & ~15
        if kind == 2:
            if (kit := _kit_of_bank(cause[0], channel & 15, systems[port])) is not None:
                switches[channel].append((tick, kit))
        elif kind == 0:
            systems[port] = _reset_of(cause) or ""
            for changed in [place for place in switches if place & ~15 == port]:
                switches[changed].append((tick, changed & 15 == DRUM_CHANNEL))
        else:
            part, kit = _part_mode(cause)
            switches[port | part].append((tick, kit))
    return switches


def _reset_of(message: bytes) -> System | None:
    """The standard that a reset turns on, "" where it leaves one; None for other messages."""
    if message[0] == 0x7E:
        return GM_SYSTEMS[message[3]]
    if message[0] == 0x41:
        return "GS" if message[5:7] == b"\x00\x7f" else None
    return "XG" if message[3] == 0 else None


def _part_mode(message: bytes) -> tuple[int, bool]:
    """The channel of a part of GS or XG, and whether it is made a drum kit."""
    if message[0] == 0x41:
        return GS_CHANNELS[message[5] & 15], message[7] > 0
    return message[4], message[6] > 0


def _kit_of_bank(bank: int, channel: int, system: System) -> bool | None:
    """Whether a program of a bank is a drum kit; None if the bank does not say."""
    if system in ("GM", "GS"):  # which ignore it, or have the instruments of the MT-32 in 127
        return None
    if system == "GM2":
        return {GM2_KIT: True, GM2_MELODIC: False}.get(bank)
    if bank in XG_KITS or bank == GM2_KIT:
        return True
    return False if system == "XG" or channel != DRUM_CHANNEL else None
