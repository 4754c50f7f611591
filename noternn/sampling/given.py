"""Notes that are given, and where others are composed: what infilling and harmonizing ask."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noternn.errors import UserError
from noternn.music.piece import Piece
from noternn.sampling.copies import Place
from noternn.sampling.events import Tables, read
from noternn.sampling.wishes import Wishes
from noternn.tokenizer import EOS_ID, UNK_ID, Codec, EventTokenizer
from noternn.tokenizer.grid import DRUM, chain

MAX_NAMED = 5  # tokens that the vocabulary lacks


class GivenNote(NamedTuple):
    """A note that stays.

    Args:
        onset: in grid steps.
        program: 0 where none is written.
        pitch: 0 to 127.
        steps: how long it sounds.
        ids: that write it, the time before it left out.
    """

    onset: int
    program: int
    pitch: int
    steps: int
    ids: tuple[int, ...]


class ComposedNote(NamedTuple):
    """A note that was composed; times in grid steps, `steps` 0 until its duration is known."""

    onset: int
    program: int
    pitch: int
    steps: int
    velocity: int


class Writing(NamedTuple):
    """How far a sample has come.

    Args:
        time: in grid steps.
        next: number of the next given note.
        forced: ids that must come; `time` and `next` are those after them.
        stage: number of the onset of given notes that comes next; of forced ones while they come.
        program: of the note that is being written.
        notes: that were composed.
        place: of what is heard, where it is asked what is copied.
    """

    time: int
    next: int = 0
    forced: tuple[int, ...] = ()
    stage: int = 0
    program: int = 0
    notes: tuple[ComposedNote, ...] = ()
    place: Place | None = None


class Given:
    """A `Plan` over the tokens of `EventTokenizer`: given notes come as they are, others where it is open.

    Args:
        codec: of the ids.
        notes: that are given, in the order in which they are written.
        spans: where notes are composed, in grid steps: each from a time on, up to another.
        wishes: of what is composed.
        lookahead: so many given notes after the last span are looked at, and the sample is whole then; where
            there are none the piece ends.
        end_from: from which time on it may.

    Raises:
        UserError: if the vocabulary lacks what a given note in a span needs.
    """

    def __init__(
        self,
        codec: Codec,
        notes: Sequence[GivenNote],
        spans: Sequence[tuple[int, int]],
        wishes: Wishes,
        lookahead: int,
        end_from: int = 0,
    ) -> None:
        self.codec, self.notes, self.spans, self.wishes = codec, notes, spans, wishes
        self.tables = Tables.of(codec)
        self.end, self.end_from = spans[-1][1], end_from
        self.first = min([spans[0][0], *(note.onset for note in notes[:1])])
        after = bisect_right([note.onset for note in notes], self.end - 1)
        self.last = min(len(notes), after + lookahead)  # the number of the first that is not looked at
        self.ends_itself = after == len(notes)
        onsets = sorted({note.onset for note in notes})
        self.stages = [onsets.index(note.onset) for note in notes] + [len(onsets)]
        self.most_composed = 0 if wishes.most_at_once is None else self._left_over()
        self._check_vocabulary()
        place = wishes.bound.start(self.first) if wishes.bound else None
        self.start = self._led(Writing(self.first, place=place))
        self._heads = lru_cache(maxsize=4096)(self._find_heads)

    def _left_over(self) -> int:
        """How many composed notes may sound at once: fewer by the most given ones in the spans."""
        assert self.wishes.most_at_once is not None
        begun = [note.onset for note in self.notes if self.is_open(note.onset)]
        most = max((sum(n.onset <= t < n.onset + n.steps for n in self.notes) for t in begun), default=0)
        return self.wishes.most_at_once - most

    def _check_vocabulary(self) -> None:
        tokens = self.codec.vocabulary.tokens
        missing = sorted(
            {note.pitch for note in self.notes if self.is_open(note.onset) and UNK_ID in note.ids}
        )
        if missing:
            named = ", ".join(map(str, missing[:MAX_NAMED])) + (", ..." if len(missing) > MAX_NAMED else "")
            raise UserError(
                f"this network's vocabulary of {len(tokens)} tokens lacks what given notes need "
                f"(of the pitches {named}): transpose them, or take simpler rhythms"
            )

    def is_open(self, time: int) -> bool:
        """Whether notes are composed at a time."""
        return any(start <= time < end for start, end in self.spans)

    def allowed(self, state: Writing, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """See `Plan`."""
        allowed = np.zeros_like(mask)
        if state.forced:
            allowed[state.forced[0]] = True
            return self._bounded(state, allowed, given=allowed)
        heads = self._heads(state.time, state.next, state.program)
        allowed = mask & (self.tables.goes_on | heads)
        if self.wishes.most_at_once is not None:
            allowed &= ~self._crowded(state)
        allowed[EOS_ID] = mask[EOS_ID] and self._may_end(state)
        return self._bounded(state, allowed, self._own_head(state)) if self.wishes.bound else allowed

    def _bounded(
        self, state: Writing, allowed: NDArray[np.bool_], given: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """The ids of these that copy no more than is wished; some of them begin given notes.

        Nor may time move on to a given note that would complete a copied passage: others must come before.
        """
        bound, place = self.wishes.bound, state.place
        if bound is None or place is None:
            return allowed
        composed = bound.allowed(place, allowed & ~given)
        kept = np.asarray(composed | bound.allowed(place, allowed & given, is_given=True))
        if not state.forced and state.next < len(self.notes):
            note = self.notes[state.next]
            head = note.ids[: 1 + self.tables.has_programs]
            for id_ in np.flatnonzero(kept & (self.tables.steps == note.onset - state.time)).tolist():
                kept[id_] &= not bound.would_copy(place, (id_, *head))
        return kept

    def _crowded(self, state: Writing) -> NDArray[np.bool_]:
        """What would let too many notes sound, or lead to where only given ones may begin and none does."""
        ends = [note.onset + max(note.steps, 1) for note in state.notes]
        ends = [end for end in ends if end > state.time]
        crowded = self.tables.crowded(state.time, ends, self.most_composed)
        if state.next < len(self.notes):
            crowded[self.tables.steps == self.notes[state.next].onset - state.time] = False
        return crowded & ~self._own_head(state)

    def _may_end(self, state: Writing) -> bool:
        return self.ends_itself and state.next == len(self.notes) and state.time >= self.end_from

    def _due(self, time: int, next_: int) -> GivenNote | None:
        """The next given note, if it begins at this time."""
        if next_ < len(self.notes) and self.notes[next_].onset == time:
            return self.notes[next_]
        return None

    def _own_head(self, state: Writing) -> NDArray[np.bool_]:
        """The ids that begin the given note that is due, (vocab_size,)."""
        own = np.zeros(len(self.codec.vocabulary), dtype=np.bool_)
        due = self._due(state.time, state.next)
        if due is not None:
            own[list(due.ids[:2])] = True
        return own

    def _find_heads(self, time: int, next_: int, program: int) -> NDArray[np.bool_]:
        """Which ids may begin a note or move time on, (vocab_size,)."""
        tables, due = self.tables, self._due(time, next_)
        shifts = np.zeros_like(tables.begins) if due else self._shifts(time, next_)
        notes = self._composable(time, program)
        if due is not None:
            pitch_is_free = tables.pitch > due.pitch
            if tables.has_programs:
                pitch_is_free |= program != due.program
            rank = tables.rank[tables.program == due.program].max(initial=0)
            notes &= np.where(tables.program >= 0, tables.rank <= rank, pitch_is_free)
            is_own = (
                (tables.pitch == due.pitch) if not tables.has_programs else (tables.program == due.program)
            )
            if tables.has_programs and program == due.program:
                is_own |= (tables.pitch == due.pitch) & (tables.is_drum == (program == DRUM))
            notes |= is_own
        return shifts | notes

    def _composable(self, time: int, program: int) -> NDArray[np.bool_]:
        """Which ids begin a note that may be composed at a time, whatever is given at its onset."""
        tables = self.tables
        if not self.is_open(time):
            return np.zeros_like(tables.begins)
        notes = tables.begins.copy()
        if self.wishes.ids is not None:
            notes &= self.wishes.ids
            if tables.has_programs and not self.wishes.ids[tables.program == program].any():
                notes &= tables.program >= 0  # of this instrument given notes alone
        sounding = [n for n in self.notes if n.onset <= time < n.onset + n.steps]
        for note in sounding:
            if note.onset < time and (not tables.has_programs or note.program == program):
                notes &= tables.pitch != note.pitch
        if self.wishes.is_below and sounding:
            notes &= tables.pitch < max(note.pitch for note in sounding)
        return notes

    def _shifts(self, time: int, next_: int) -> NDArray[np.bool_]:
        """Which ids move time on to where a note may begin."""
        steps = self.tables.steps
        until = self.notes[next_].onset if next_ < len(self.notes) else self.end
        then = time + steps
        is_open = np.any([(start <= then) & (then < end) for start, end in self.spans], axis=0)
        if next_ == len(self.notes):
            return np.asarray((steps > 0) & is_open & (then < until))
        chains = (steps == self.tables.longest) & (then < until)
        return np.asarray((steps > 0) & (then <= until) & (is_open | (then == until) | chains))

    def advance(self, state: Writing, id_: int) -> Writing:
        """See `Plan`."""
        tables, before = self.tables, state
        steps, pitch, program = (int(column[id_]) for column in (tables.steps, tables.pitch, tables.program))
        if state.forced:
            forced = state.forced[1:]
            state = state._replace(forced=forced, program=state.program if program < 0 else program)
        elif steps:
            state = state._replace(time=state.time + steps)
        elif program >= 0:
            state = state._replace(program=program)
        elif pitch >= 0:
            state = self._begin(state, pitch)
        elif state.notes:
            last = state.notes[-1]
            more = last._replace(steps=last.steps + int(tables.duration[id_]))
            if tables.velocity[id_]:
                more = last._replace(velocity=int(tables.velocity[id_]))
            state = state._replace(notes=(*state.notes[:-1], more))
        if self.wishes.bound is not None and before.place is not None:
            is_given = bool(before.forced) or state.next > before.next
            state = state._replace(place=self.wishes.bound.after(before.place, id_, is_given))
        return self._led(state)

    def _begin(self, state: Writing, pitch: int) -> Writing:
        """A note of this pitch begins: the given one that is due, or a composed one."""
        due = self._due(state.time, state.next)
        if (
            due is not None
            and due.pitch == pitch
            and (not self.tables.has_programs or due.program == state.program)
        ):
            rest = due.ids[1 + self.tables.has_programs :]
            return state._replace(next=state.next + 1, forced=rest)
        return state._replace(notes=(*state.notes, ComposedNote(state.time, state.program, pitch, 0, 0)))

    def _led(self, state: Writing) -> Writing:
        """Where nothing is composed the notes of the next given onset are forced, and the time before."""
        if state.forced:
            return state
        state = state._replace(stage=self.stages[state.next])
        if self.is_open(state.time) or state.next >= self.last:
            return state
        onset = self.notes[state.next].onset
        if any(state.time < start < onset for start, _ in self.spans):
            return state
        maximum = self.tables.longest
        shift = [self.codec.vocabulary.id(token) for token in chain("Shift", onset - state.time, maximum)]
        group = [note for note in self.notes[state.next :] if note.onset == onset]
        ids = [id_ for note in group for id_ in note.ids]
        if self.is_open(onset):  # others may come beside them
            return state._replace(time=onset, forced=tuple(shift))
        return state._replace(time=onset, next=state.next + len(group), forced=(*shift, *ids))

    def stage(self, state: Writing) -> int:
        """See `Plan`."""
        return state.stage

    def is_done(self, state: Writing) -> bool:
        """See `Plan`."""
        return not self.ends_itself and state.next >= self.last and not state.forced


def given_notes(codec: Codec, piece: Piece) -> list[GivenNote]:
    """The notes of a piece that an `EventTokenizer` writes, with onsets from tick 0 on and their ids."""
    tokenizer = codec.tokenizer
    assert isinstance(tokenizer, EventTokenizer)
    if not tokenizer.written(piece).num_notes:
        return []
    notes = []
    for onset, tokens in tokenizer.tokens_by_onset(piece):
        parts: list[list[str]] = []
        for token in tokens:
            kind, _ = read(token)
            if kind == "Shift":
                continue
            if kind == "Program" or (kind in ("Pitch", "Drum") and not tokenizer.program):
                parts.append([])
            parts[-1].append(token)
        notes += [_given(codec, onset, part) for part in parts]
    return notes


def _given(codec: Codec, onset: int, tokens: Sequence[str]) -> GivenNote:
    told = [read(token) for token in tokens]
    program = next((value for kind, value in told if kind == "Program"), 0)
    (pitch,) = (value for kind, value in told if kind in ("Pitch", "Drum"))
    steps = sum(value for kind, value in told if kind == "Duration")
    return GivenNote(onset, program, pitch, steps, tuple(codec.vocabulary.id(token) for token in tokens))
