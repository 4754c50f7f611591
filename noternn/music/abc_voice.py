"""A voice of an ABC tune while it is read: where it is, what holds, and the bars it has made."""

from __future__ import annotations

from typing import NamedTuple

from noternn.music.abc_fields import Key
from noternn.music.notation import DEFAULT_VELOCITY, Bar, Note
from noternn.music.piece import PieceError
from noternn.music.score_bytes import check_bars

WHITE_KEYS = {"C": 60, "D": 62, "E": 64, "F": 65, "G": 67, "A": 69, "B": 71}
WHITE_KEYS |= {letter.lower(): key + 12 for letter, key in WHITE_KEYS.items()}
LETTERS = {key % 12: letter for letter, key in WHITE_KEYS.items() if letter.isupper()}


class Head(NamedTuple):
    """A note of a chord, or alone."""

    white: int  # the pitch without accidentals, which is its place on the staff
    alteration: int
    length: int  # in units


class Last:
    """The notes that were placed last, which a tie or a broken rhythm may change."""

    __slots__ = ("bar", "heads", "length", "num_notes")

    def __init__(self, bar: Bar, num_notes: int, length: int, heads: list[Head]) -> None:
        self.bar, self.num_notes, self.length, self.heads = bar, num_notes, length, heads


class Voice:
    """A voice while it is read."""

    def __init__(self, name: str, metre: tuple[int, int] | None, unit: int, key: Key) -> None:
        self.name, self.metre, self.unit, self.key = name, metre, unit, key
        self.program, self.channel, self.velocity = 0, 0, DEFAULT_VELOCITY
        self.transposition = 0
        self.drum_map: dict[tuple[int, int], int] = {}
        self.bars = [Bar(metre=metre)]
        self.at = 0  # the index of the bar that is written
        self.cursor = 0  # in the bar, in units
        self.layer = 0  # 0, and in overlays more
        self.mark: tuple[int, int] | None = None  # where `(&` stood
        self.accidentals: dict[int, int] = {}
        self.tied: dict[int, int] = {}  # place on the staff -> alteration, of notes that a tie prolongs
        self.tied_layers: dict[int, dict[int, int]] = {}
        self.last: Last | None = None
        self.tuplets: list[list[int]] = []  # time, notes, how many are still to come
        self.broken: tuple[tuple[int, int], tuple[int, int]] | None = None  # factors of last and next length
        self.endings: tuple[int, ...] = ()
        self.begins_ending = False
        self.is_open = False  # whether `|:` waits for its `:|`
        self.may_start = False  # whether a repeat may start at a double bar line: once there was one
        self.times = 0  # how often `|::` plays what it begins
        self.next_metre: tuple[int, int] | None = None
        self.codas: list[int] = []  # bars that begin with the sign
        self.has_notes = False
        self.update()

    def update(self) -> None:
        """Work out what the fields say for each note."""
        self.shift = self.key.shift + self.transposition
        self.signature = self.key.alterations or {}
        self.altered = {key: self.signature.get(letter, 0) for key, letter in LETTERS.items()}
        self.is_drum = bool(self.key.is_drum) or self.channel == 10

    @property
    def bar(self) -> Bar:
        """The bar that is written."""
        return self.bars[self.at]

    @property
    def is_empty(self) -> bool:
        """Whether the bar that is written has no length yet."""
        return not self.cursor and not self.bars[self.at].length

    def end_bar(self, *, is_line: bool) -> None:
        """Go to the next bar, of which the one that follows an empty bar is the bar itself.

        Args:
            is_line: whether at a bar line; else at a sign between two notes.
        """
        if is_line:
            self.accidentals.clear()
        bar = self.bars[self.at]
        bar.length = max(bar.length, self.cursor)
        self.cursor = 0
        if not bar.length:
            return
        if self.at == len(self.bars) - 1:
            bar.endings, bar.begins_ending = self.endings, self.begins_ending
            self.begins_ending = False
            check_bars(len(self.bars))
            self.bars.append(Bar(metre=self.next_metre, continues=not is_line))
            self.next_metre = None
            self.set_layer(0)
        elif self.at == len(self.bars) - 2 and not self.bars[-1].length:
            self.set_layer(0)
        self.at += 1

    def set_layer(self, layer: int) -> None:
        """Go to an overlay, or back from it."""
        if layer == self.layer:
            return
        self.tied_layers[self.layer] = self.tied
        self.tied = self.tied_layers.pop(layer, {})
        self.layer = layer
        self.last, self.broken = None, None
        self.tuplets.clear()

    def place(self, heads: list[Head], length: int) -> None:
        """Write notes that begin together, or a rest, and go on by a length; all in units."""
        bar, shift, is_drum = self.bars[self.at], self.shift, self.is_drum
        program = 0 if is_drum else self.program
        for white, alteration, sounding in heads:
            pitch = white + alteration + shift
            if is_drum and self.drum_map:
                pitch = self.drum_map.get((white, alteration), pitch)
            if not 0 <= pitch <= 127:
                raise PieceError(f"is damaged: a pitch must be 0 to 127; got {pitch}")
            if sounding:
                bar.notes.append(
                    Note(
                        self.cursor, sounding, pitch, True, False, self.layer, self.velocity, program, is_drum
                    )
                )
        self.last = Last(bar, sum(1 for head in heads if head.length), length, heads)
        self.tied = {}
        self.cursor += length

    def tuplet_ratio(self) -> tuple[int, int]:
        """What tuplets multiply the next length with; it counts as read."""
        up, down = 1, 1
        for tuplet in self.tuplets:
            up, down = up * tuplet[0], down * tuplet[1]
            tuplet[2] -= 1
        while self.tuplets and self.tuplets[-1][2] <= 0:
            self.tuplets.pop()
        return up, down

    def break_rhythm(self, length: int) -> tuple[int, int] | None:
        """Multiply the last length by what `>` says if the next one equals it; the factor of the next one.

        What it does to unequal lengths is undefined; abc2midi leaves them, which more often fills the bar.
        """
        broken, self.broken = self.broken, None
        if broken is None or self.last is None or self.last.length != length:
            return None
        self.stretch_last(*broken[0])
        return broken[1]

    def stretch_last(self, up: int, down: int) -> None:
        """Multiply the length of what was placed last."""
        last = self.last
        assert last is not None
        notes = last.bar.notes
        for i in range(len(notes) - last.num_notes, len(notes)):
            notes[i] = notes[i]._replace(length=max(1, notes[i].length * up // down))
        more = last.length * up // down - last.length
        if last.bar is self.bar:
            self.cursor += more
        else:
            last.bar.length += more
        last.length += more

    def tie_last(self) -> bool:
        """Tie what was placed last to what follows; whether there is something."""
        last = self.last
        if last is None or not last.heads:
            return False
        notes = last.bar.notes
        for i in range(len(notes) - last.num_notes, len(notes)):
            notes[i] = notes[i]._replace(tie_out=True)
        self.tied = {head.white: head.alteration for head in last.heads}
        return True

    def finish(self) -> list[Bar]:
        """The bars; signs that stand behind the last one belong to it."""
        self.at = len(self.bars) - 1
        self.end_bar(is_line=True)
        self.move_signs()
        if len(self.codas) > 1 and not any(bar.to_coda for bar in self.bars):
            self.bars[self.codas[0]].coda = False
            self.bars[max(0, self.codas[0] - 1)].to_coda = True
        return self.bars[:-1]

    def move_signs(self) -> None:
        """Give the words at the end of an empty bar to the one before."""
        if not self.at or not self.is_empty:
            return
        bar, before = self.bar, self.bars[self.at - 1]
        before.fine |= bar.fine
        before.to_coda |= bar.to_coda
        before.jump = before.jump or bar.jump
        bar.fine, bar.to_coda, bar.jump = False, False, ""
