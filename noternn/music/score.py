"""A score file -> `Piece`; the only importer of music21."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from music21 import converter, harmony, meter, stream, tempo
from numpy.typing import NDArray

from noternn.music.abc_reader import read_abc
from noternn.music.limits import DEFAULT_LIMITS, Limits, read_limited
from noternn.music.midi_parser import MICROSECONDS_PER_MINUTE
from noternn.music.musicxml import read_musicxml
from noternn.music.notation import Score, piece_of
from noternn.music.piece import DEFAULT_TEMPO, Piece, PieceError
from noternn.music.repeats import Repeats
from noternn.music.score_bytes import MAX_SCORE_BYTES, SCORE_FORMATS, checked_text, checked_xml

TICKS_PER_BEAT = 480  # whole for triplets, quintuplets and sixty-fourths
MAX_METRE_NUMERATOR, MAX_METRE_DENOMINATOR = 255, 64
SLOWEST, FASTEST = MICROSECONDS_PER_MINUTE / 0xFFFFFF, MICROSECONDS_PER_MINUTE  # what a MIDI file can hold
MAX_REASON_LENGTH = 80

# By format, what reads the text (of XML the bytes) into a score; music21 reads the others.
READERS: dict[str, Callable[[Any, Limits], Score]] = {"abc": read_abc, "musicxml": read_musicxml}


class _Note(NamedTuple):
    onset: int
    duration: int
    pitch: int


def read_score(
    path: Path,
    name: str | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    repeats: Repeats = "printed",
) -> Piece:
    """Read a score as it is written, at 480 ticks a beat, program 0 and velocity 80.

    Tied notes are one note and chords are notes with one onset. Grace notes, chord symbols and unpitched
    percussion are dropped, repeats are not played, transposing instruments sound at concert pitch. Of
    voices in unison with equal durations one is kept. A pickup is a metre of its own: a beat before a
    first bar of 4/4 gives metres (0, 1, 4), (480, 4, 4).

    Args:
        path: a file with one of the suffixes in `SCORE_FORMATS`.
        name: of the piece; None takes the file's name without its suffix.
        limits: a score above any of them is refused, of which bytes, notes and beats are looked at.
        repeats: how bars that are to be repeated are read, see `noternn.music.repeats.playing_order`.

    Raises:
        PieceError: for whatever reason there is no music to be had; the message is the reason, in one
            line, without the path.
    """
    # music21 would guess other formats from the suffix, among them pickles, which run code.
    if path.suffix.lower() not in SCORE_FORMATS:
        raise PieceError(f"not a score (suffix is none of {', '.join(SCORE_FORMATS)})")
    data = read_limited(path, MAX_SCORE_BYTES)
    given_name = path.stem if name is None else name
    return read_score_bytes(data, path.suffix.lower(), given_name, limits=limits, repeats=repeats)


def read_score_bytes(
    data: bytes,
    suffix: str,
    name: str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    repeats: Repeats = "printed",
) -> Piece:
    """Read a score from the bytes of a file; else as `read_score`."""
    if not data:
        raise PieceError("file is empty")
    if SCORE_FORMATS[suffix] in READERS:
        return piece_of(_read(data, suffix, limits), repeats, name, limits)
    parsed = _parse(data, suffix)
    if isinstance(parsed, stream.Opus):
        raise PieceError(f"holds {len(parsed.scores)} pieces; give them a file each")
    try:
        parts = [_sounding(part).flatten() for part in parsed.getElementsByClass(stream.Part)]
        notes = np.array(sorted({note for part in parts for note in _notes(part)}), dtype=np.int64)
        tempos, metres = _tempo_map(parts), _metre_map(parsed)
        _check_size(notes, limits)
        return Piece.from_notes(
            *notes.T, ticks_per_beat=TICKS_PER_BEAT, tempos=tempos, metres=metres, name=name
        )
    except PieceError:
        raise
    except Exception as error:  # music21 finds many faults only when the score is walked
        raise PieceError(f"is damaged: {_reason(error)}") from error


def _read(data: bytes, suffix: str, limits: Limits) -> Score:
    """What a reader of ours makes of the data."""
    is_xml = SCORE_FORMATS[suffix] == "musicxml"
    checked = checked_xml(data) if is_xml else checked_text(data, suffix)
    try:
        return READERS[SCORE_FORMATS[suffix]](checked, limits)
    except PieceError:
        raise
    except Exception as error:  # a damaged file raises nearly anything
        raise PieceError(f"is damaged: {_reason(error)}") from error


def _parse(data: bytes, suffix: str) -> Any:
    """What music21 makes of the data; it is given no path, so it has no file and no cache to open."""
    # music21 prints a line for each thing it doubts, with the file's own characters, whatever they are.
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore", UserWarning)  # about notation: overfull bars, missing clefs
        try:
            parser = converter.Converter()
            parser.parseData(checked_text(data, suffix), format=SCORE_FORMATS[suffix])
            return parser.stream
        except PieceError:
            raise
        except Exception as error:  # damaged scores raise nearly anything
            raise PieceError(f"is damaged: {_reason(error)}") from error


def _check_number_of_notes(num_notes: int, limits: Limits) -> None:
    if num_notes > limits.max_notes:
        raise PieceError(
            f"holds too many notes: {num_notes:,}; at most {limits.max_notes:,} are read "
            "(dataset.limits.max_notes)"
        )


def _check_size(notes: NDArray[np.int64], limits: Limits) -> None:
    if not len(notes):
        raise PieceError("holds no notes")
    _check_number_of_notes(len(notes), limits)
    beats = int((notes[:, 0] + notes[:, 1]).max()) // TICKS_PER_BEAT
    if beats > limits.max_beats:
        raise PieceError(
            f"is too long or damaged: it lasts {beats:,} beats; at most {limits.max_beats:,} are read "
            "(dataset.limits.max_beats)"
        )
    sounding = int(notes[:, 1].sum()) // TICKS_PER_BEAT
    if sounding > limits.max_sounding_beats:
        raise PieceError(
            f"is damaged: its notes last {sounding:,} beats together; at most {limits.max_sounding_beats:,} "
            "are read (dataset.limits.max_sounding_beats)"
        )


def _reason(error: Exception) -> str:
    text = "".join(c if c.isprintable() else " " for c in str(error))  # it may quote the file
    return " ".join(text.split())[:MAX_REASON_LENGTH] or type(error).__name__


def _sounding(part: Any) -> Any:
    """The part at concert pitch."""
    instruments = part.recurse().getElementsByClass("Instrument")
    if any(instrument.transposition is not None for instrument in instruments):
        return part.toSoundingPitch()
    return part


def _ticks(quarter_lengths: Any) -> int:
    return round(Fraction(quarter_lengths) * TICKS_PER_BEAT)


def _notes(part: Any) -> Iterator[_Note]:
    """The notes of a flattened part, tied ones merged."""
    held: dict[int, _Note] = {}  # by pitch, the notes tied to one that may follow
    for onset, end, pitch, tie in _written_notes(part):
        before = held.pop(pitch, None)
        if before is not None and before.onset + before.duration == onset and tie in ("stop", "continue"):
            note = _Note(before.onset, end - before.onset, pitch)
        else:
            # A tie that leads nowhere (into a second ending, say) ends its note.
            yield from [] if before is None else [before]
            note = _Note(onset, end - onset, pitch)
        if tie in ("start", "continue"):
            held[pitch] = note
        else:
            yield note
    yield from held.values()


def _written_notes(part: Any) -> Iterator[tuple[int, int, int, str | None]]:
    """(onset, end, pitch, kind of tie) of each note head in time order, in ticks."""
    for element in part.notes:
        onset, end = _ticks(element.offset), _ticks(element.offset + element.quarterLength)
        if isinstance(element, harmony.Harmony) or end <= onset:
            continue
        for head in element.notes if element.isChord else [element]:
            if hasattr(head, "pitch"):
                if not 0 <= head.pitch.ps <= 127:  # music21 would move it by octaves
                    raise PieceError(f"is damaged: a pitch must be 0 to 127; got {head.pitch.ps:g}")
                yield onset, end, head.pitch.midi, None if head.tie is None else head.tie.type


def _tempo_map(parts: list[Any]) -> list[tuple[int, float]]:
    """(tick, beats per minute) in time order from tick 0, from the metronome marks."""
    tempos = {0: DEFAULT_TEMPO}
    for part in reversed(parts):  # the first part wins
        for mark in part.getElementsByClass(tempo.MetronomeMark):
            beats_per_minute = mark.getQuarterBPM()
            if beats_per_minute and SLOWEST <= beats_per_minute <= FASTEST:
                tempos[_ticks(mark.offset)] = float(beats_per_minute)
    changes = sorted(tempos.items())
    return changes[:1] + [change for before, change in pairwise(changes) if change[1] != before[1]]


def _metre_map(score: Any) -> list[tuple[int, int, int]]:
    """(tick, numerator, denominator) in time order, from the time signatures and the first bar's length."""
    metres: dict[int, tuple[int, int]] = {}
    for part in reversed(list(score.getElementsByClass(stream.Part))):  # the first part wins
        for offset, signature in _time_signatures(part):
            if signature.denominator > MAX_METRE_DENOMINATOR or signature.numerator > MAX_METRE_NUMERATOR:
                continue
            metres[_ticks(offset)] = (signature.numerator, signature.denominator)
    pickup = _pickup_ticks(score)
    if 0 in metres and pickup:
        first_bar = Fraction(pickup, 4 * TICKS_PER_BEAT)
        numerator, denominator = metres[0]
        # A bar of triplets only has no metre.
        if (
            first_bar < Fraction(numerator, denominator)
            and MAX_METRE_DENOMINATOR % first_bar.denominator == 0
        ):
            metres.setdefault(pickup, metres[0])
            unit = max(denominator, first_bar.denominator)
            metres[0] = (int(first_bar * unit), unit)
    return [(tick, numerator, denominator) for tick, (numerator, denominator) in sorted(metres.items())]


def _time_signatures(part: Any) -> Iterator[tuple[Any, Any]]:
    """(offset, time signature) of a part; flattened, one that stands in two bars would lose a place."""
    for measure in part.getElementsByClass(stream.Measure):
        for signature in measure.getElementsByClass(meter.TimeSignature):
            yield measure.offset + signature.offset, signature
    for signature in part.getElementsByClass(meter.TimeSignature):
        yield signature.offset, signature


def _pickup_ticks(score: Any) -> int:
    """The length of the first bar, where there is a second."""
    first_part = score.getElementsByClass(stream.Part).first()
    measures = [] if first_part is None else list(first_part.getElementsByClass(stream.Measure))[:2]
    return _ticks(measures[1].offset) if len(measures) == 2 else 0
