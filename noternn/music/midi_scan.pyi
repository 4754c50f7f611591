"""The compiled reader of events, noternn/music/midi_scan.c; an import error where it was not built."""

VERSION: int

def scan_events(
    data: bytes, spans: list[tuple[int, int]], max_events: int, max_notes: int, max_changes: int, /
) -> (
    tuple[
        bytearray,
        bytearray,
        bytearray,
        int,
        int,
        list[tuple[int, int]],
        list[tuple[int, int, int, int]],
        list[tuple[int, int, bytes]],
        list[tuple[int, int]],
        list[tuple[int, int, int]],
        list[tuple[int, int]],
        list[tuple[int, int, int]],
    ]
    | None
):
    """The fields of `midi_events.TrackEvents` after the limits, in its order, or None.

    Raises:
        ValueError: if a span lies outside the data.
    """
