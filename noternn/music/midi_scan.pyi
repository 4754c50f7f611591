"""The compiled reader of events, noternn/music/midi_scan.c; an import error where it was not built."""

def scan_events(
    data: bytes, spans: list[tuple[int, int]], max_events: int, max_notes: int, max_changes: int, /
) -> (
    tuple[
        bytearray,
        list[tuple[int, int, int]],
        list[tuple[int, int, int]],
        list[tuple[int, int]],
        list[tuple[int, int, int]],
    ]
    | None
):
    """Rows of notes, programs, pedals, tempos and metres as in `midi_events.TrackEvents`, or None.

    Raises:
        ValueError: if a span lies outside the data.
    """
