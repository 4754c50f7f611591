"""How large a MIDI file may be: above, it is refused, so that no file fills the memory or takes for ever."""

from dataclasses import dataclass


@dataclass  # not frozen: Hydra could not change the values of a frozen one
class Limits:
    """The most that is read of one file; beyond any of these it is refused as a whole.

    A file at the default limits takes less than 2 seconds and 500 MB; both grow with the limits.

    Args:
        max_megabytes: of the file; a symphony takes about 1.
        max_tracks: tracks that the file announces, and chunks in it that are none.
        max_notes: notes begun; far above a score, but not above "black" MIDI, which no one plays.
        max_events: of any kind, notes included.
        max_changes: of tempo; of metre; of program.
        max_beats: quarter notes until the last note has ended; the default is 14 hours at 120 a minute.
        max_sounding_beats: all durations together, since tokenizers write a long note in many tokens.
        max_seconds: reading and tokenizing it, where files are read in processes; scores take longest.
    """

    max_megabytes: float = 20.0
    max_tracks: int = 1_000
    max_notes: int = 250_000
    max_events: int = 1_000_000
    max_changes: int = 100_000
    max_beats: int = 100_000
    max_sounding_beats: int = 2_000_000
    max_seconds: float = 120.0

    @property
    def max_bytes(self) -> int:
        """`max_megabytes` in bytes."""
        return int(self.max_megabytes * 1e6)


DEFAULT_LIMITS = Limits()
