"""A tune in ABC -> `Score`, after the ABC standard 2.1 (Chris Walshaw, 2011).

What one text leaves open is read as abc2midi does. Grace notes and ornaments are not played. Accidentals hold
for their letter in all octaves up to the bar line, and over a tie for the note that is tied.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from noternn.music.abc_fields import (
    ALTERATIONS,
    WHOLE,
    Key,
    default_length,
    key_of,
    length_of,
    metre_of,
    number,
    played_order,
    properties_of,
    tempo_of,
)
from noternn.music.abc_signs import ARTICULATIONS, DYNAMICS, JUMPS, ORNAMENTS, SYMBOLS
from noternn.music.abc_text import DIRECTIVE, MUSIC, Line, tune_lines
from noternn.music.abc_voice import WHITE_KEYS, Head, Voice
from noternn.music.limits import Limits
from noternn.music.notation import UNITS_PER_BEAT, Score, check_number_of_notes
from noternn.music.piece import PieceError
from noternn.music.remarks import Remarks
from noternn.music.score_bytes import check_bars

LENGTH = r"(\d*)(/*)(\d*)"
TOKEN = re.compile(
    rf"(?P<note>(\^\^?|__?|=)?([A-Ga-g])([,']*){LENGTH})"
    r"|(?P<space>[ \t`)\\$*]+)"
    r"|(?P<bar>\.?((?:\[?\||::|:[ \t]*\[?\||:\])(?:[|:\]]|\[\|){0,20})(?:\[?(\d+(?:[,\-]\d+)*))?)"
    r"|(?P<tuplet>\((\d+)(?::(\d*)(?::(\d*))?)?)"
    r"|(?P<symbol>[.~H-Wh-w])"
    r"|(?P<tie>-)"
    r"|(?P<broken><+|>+)"
    rf"|(?P<rest>[zx]{LENGTH})"
    r"|(?P<rests>[ZX](\d*))"
    r"|(?P<spacer>y[\d/]*)"
    r'|(?P<text>"[^"]*")'
    r'|(?P<quote>"[^"]*)'
    r"|(?P<grace>\{[^{}]*\})"
    r"|(?P<decoration>!([^!|\"]{1,40})!|\+([^+|\"]{1,80})\+)"
    r"|(?P<field>\[([A-Za-z]):([^\[\]]*)\])"
    r"|(?P<ending>\[(\d+(?:[,\-]\d+)*))"
    r"|(?P<overlay>\(?&+\)?)"
    r"|(?P<slur>\([,']?)"
    r"|(?P<open>\[(?=[^\[\]|]*\]))"
    rf"|(?P<close>\]{LENGTH})"
    r"|(?P<newline>!)"
    r"|(?P<microtone>[\^_]{1,2}[\d/]+(?=[A-Ga-g]))"
    r"|(?P<unknown>.)",
    re.DOTALL,
)
MAIL = re.compile(r"=(?:3D|20|$)")  # "quoted-printable"
REPEAT_END = re.compile(r"(?:^|(?<=\]))(:+)(?=[|\[\]])")
REPEAT_START = re.compile(r"(?:[|\]](:+)|\|(:+)\|)$")  # `|:|` ends some tunes, and repeats nothing
OLD_CHORD = re.compile(rf"(?:(?:\^\^?|__?|=)?[A-Ga-g][,']*{LENGTH}){{2,}}")
TUPLET_TIMES = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}  # in the time of how many; of others it depends on the metre
MAX_TUPLET_DEPTH = 4
MAX_SLASHES = 12
MAX_ENDING = 99


def read_abc(text: str, limits: Limits) -> Score:
    """The score of a tune.

    Args:
        text: a tune, with what the head of its file says before it.
        limits: of which notes and beats are looked at.

    Raises:
        PieceError: if it cannot be read, with the reason.
    """
    reader = _Reader(limits)
    header, body = tune_lines(text, reader.remarks)
    reader.read_header(header)
    for line in body:
        reader.read_line(line)
    return reader.score()


class _Reader:
    """Reads the lines of a tune into voices."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.remarks = limits, Remarks()
        self.metre: tuple[int, int] | None = (4, 4)
        self.unit = 0
        self.key = Key({})
        self.program, self.channel, self.transposition = 0, 0, 0
        self.tempo_text = ""
        self.played: tuple[str, ...] = ()
        self.propagation = "pitch"
        self.symbols = dict(SYMBOLS)
        self.declared: dict[str, tuple[Key, list[str]]] = {}  # voices of the header, what MIDI says of them
        self.declared_for_all = Key()
        self.voices: dict[str, Voice] = {}
        self.voice: Voice | None = None
        self.chord: list[tuple[Head, bool]] | None = None  # notes, and whether a tie begins at them
        self.line = 0
        self.num_fields = 0
        self.num_notes = 0
        self.handlers: dict[str, Callable[[re.Match[str]], None]] = {
            name: getattr(self, f"_{name}")
            for name in TOKEN.groupindex
            if name not in ("space", "spacer", "text", "slur", "newline")
        }

    def score(self) -> Score:
        """What was read."""
        if self.chord is not None:
            self._end_chord(1, 1)
        parts = [bars for voice in self.voices.values() if (bars := voice.finish())]
        if len({len(bars) for bars in parts}) > 1:
            self.remarks.add("voices of different numbers of bars")
        return Score(parts, played_sections=self.played, remarks=self.remarks)

    def read_header(self, lines: list[Line]) -> None:
        """Read the fields up to the first key."""
        metre_text, length_text, voice = "", "", ""
        for line in lines:
            self.line = line.number
            if line.kind == "M":
                metre_text = line.text
            elif line.kind == "L":
                length_text = line.text
            elif line.kind == "V":
                voice = self._declare(line.text)
            elif line.kind == "P":
                self.played = played_order(line.text)
            elif line.kind == "Q":
                self.tempo_text = line.text
            elif line.kind == "K":
                self.key = self._key(line.text, key_of).over(Key({}))
            elif line.kind in (DIRECTIVE, "I") and voice and line.text.startswith("MIDI"):
                self.declared[voice][1].append(line.text)
            else:
                self._common_field(line.kind, line.text)
        self.metre = self._metre(metre_text) if metre_text else None
        if not metre_text:
            self.metre = (4, 4)
        self.unit = default_length(self.metre)
        if length_text:
            self._set_unit(self, length_text)

    def _declare(self, text: str) -> str:
        """Note down a voice of the header; its name."""
        name, _, rest = text.partition(" ")
        properties = self._key(rest, properties_of)
        if name == "*":
            self.declared_for_all = properties.over(self.declared_for_all)
            return ""
        before, midi = self.declared.get(name, (Key(), []))
        self.declared[name] = (properties.over(before), midi)
        return name

    def _key(self, text: str, parse: Callable[[str], Key]) -> Key:
        key = parse(text)
        for _ in key.unknown:
            self._remark("properties of voices and keys not understood")
        return key

    def _remark(self, what: str, number: int = 1) -> None:
        self.remarks.add(what, f"line {self.line}", number)

    def _metre(self, text: str) -> tuple[int, int] | None:
        try:
            return metre_of(text)
        except ValueError:
            self._remark("metres not understood")
            return None

    def _set_unit(self, owner: _Reader | Voice, text: str) -> None:
        try:
            owner.unit = length_of(text)
        except ValueError:
            self._remark("unit lengths not understood")

    def _common_field(self, kind: str, text: str) -> None:
        """Read a field that means the same in the header and in the body."""
        if kind in (DIRECTIVE, "I"):
            self._instruction(text)
        elif kind == "U":
            self._redefine(text)
        elif kind == "s":
            self._remark("symbol lines not read")

    def _redefine(self, text: str) -> None:
        found = re.match(r"([H-Wh-w~])[ \t]*=[ \t]*(.*)", text)
        if found:
            names = re.findall(r"[!+]([^!+]+)[!+]", found[2])
            self.symbols[found[1]] = names[0] if names else ""

    def _instruction(self, text: str) -> None:
        words = text.replace("=", " ").split()
        if words[:1] == ["propagate-accidentals"] and words[1:2] and words[1] in ("not", "octave", "pitch"):
            self.propagation = words[1]
        elif words[:1] == ["MIDI"]:
            self._midi(words[1:], self.voice)

    def _midi(self, words: list[str], voice: Voice | None) -> None:
        """Follow `%%MIDI`, for a voice or, in the header, for all."""
        owner = self if voice is None else voice
        values = [int(word) for word in words[1:] if re.fullmatch(r"-?\d{1,3}", word)]
        if words[:1] == ["program"] and values:
            if len(values) == 1 or owner.channel in (0, values[0]):
                owner.program = min(127, max(0, values[-1]))
        elif words[:1] == ["channel"] and values:
            owner.channel = values[0]
        elif words[:1] in (["transpose"], ["rtranspose"]) and values:
            owner.transposition = values[0] + (owner.transposition if words[0] == "rtranspose" else 0)
        elif (
            words[:1] == ["drummap"] and voice is not None and values and (head := TOKEN.fullmatch(words[1]))
        ):
            if head.lastgroup == "note":
                white = _white(head[3], head[4])
                voice.drum_map[white, ALTERATIONS.get(head[2] or "=", 0)] = min(127, max(0, values[-1]))
        else:
            self._remark("MIDI instructions not followed")
        if voice is not None:
            voice.update()

    def read_line(self, line: Line) -> None:
        """Read a line of the body."""
        self.line = line.number
        if line.kind == MUSIC:
            self._music(line.text)
        else:
            self._body_field(line.kind, line.text)

    def _current(self) -> Voice:
        if self.voice is None:
            self.voice = self._voice(next(iter(self.declared), "1"))
        return self.voice

    def _voice(self, name: str) -> Voice:
        """The voice of a name, which begins where it is first named."""
        if name in self.voices:
            return self.voices[name]
        if not self.voices:  # the voices stand in the order of the header
            names = [*self.declared, *([name] if name not in self.declared else [])]
        else:
            names = [name]
        for each in names:
            properties, midi = self.declared.get(each, (Key(), []))
            key = properties.over(self.declared_for_all.over(self.key))
            voice = self.voices[each] = Voice(each, self.metre, self.unit, key)
            voice.program, voice.channel = self.program, self.channel
            voice.transposition = self.transposition
            for text in midi:
                self._midi(text.replace("=", " ").split()[1:], voice)
            voice.update()
            if self.tempo_text:
                self._tempo(voice, self.tempo_text)
            check_bars(len(self.voices))
        return self.voices[name]

    def _body_field(self, kind: str, text: str) -> None:
        self.num_fields += 1
        if self.num_fields > self.limits.max_changes:
            raise PieceError(
                f"holds too many fields; at most {self.limits.max_changes:,} are read "
                "(dataset.limits.max_changes)"
            )
        if kind == "V":
            self._change_voice(text)
            return
        if not self.voices and kind not in "PVKLMQ":
            self._common_field(kind, text)
            return
        if not self.voices and kind in "KLMQ":
            self._field_for_all(kind, text)
            return
        voice = self._current()
        if kind == "K":
            key = self._key(text, key_of)
            if key.alterations is not None:
                voice.accidentals.clear()
            voice.key = key.over(voice.key)
            voice.update()
        elif kind == "L":
            self._set_unit(voice, text)
        elif kind == "M":
            self._change_metre(voice, text)
        elif kind == "Q":
            self._tempo(voice, text)
        elif kind == "P":
            if not voice.is_empty:
                voice.end_bar(is_line=False)
            name = text.strip()
            voice.bar.section = name[:1] if len(name.split(" ")[0]) == 1 else name
        else:
            self._common_field(kind, text)

    def _field_for_all(self, kind: str, text: str) -> None:
        """Read a field between the header and the first voice."""
        if kind == "K":
            self.key = self._key(text, key_of).over(self.key)
        elif kind == "L":
            self._set_unit(self, text)
        elif kind == "M":
            self.metre = self._metre(text)
        else:
            self.tempo_text = text

    def _change_voice(self, text: str) -> None:
        if self.chord is not None:
            self._end_chord(1, 1)
        name, _, rest = text.strip().partition(" ")
        self.voice = voice = self._voice(name)
        if rest.strip():
            voice.key = self._key(rest, properties_of).over(voice.key)
            voice.update()

    def _change_metre(self, voice: Voice, text: str) -> None:
        voice.metre = self._metre(text)
        if voice.is_empty:
            voice.bar.metre = voice.metre
        else:
            voice.next_metre = voice.metre

    def _tempo(self, voice: Voice, text: str) -> None:
        tempo = tempo_of(text, voice.unit)
        if tempo is not None:
            voice.bar.tempos.append((voice.cursor, tempo))

    def _music(self, text: str) -> None:
        """Read a line of music."""
        self._current()
        if MAIL.search(text):
            text = text.replace("=3D", "=").replace("=20", " ").removesuffix("=")
            self._remark("lines quoted as in e-mail (=3D)")
        handlers = self.handlers
        for match in TOKEN.finditer(text):
            handler = handlers.get(match.lastgroup)  # type: ignore[arg-type]
            if handler is not None:
                handler(match)

    def _note(self, match: re.Match[str]) -> None:
        voice = self.voice
        assert voice is not None
        accidental, letter, octaves = match.group(2, 3, 4)
        white = WHITE_KEYS[letter]
        if octaves:
            white += 12 * (octaves.count("'") - octaves.count(","))
        place = white if self.propagation == "octave" else white % 12
        if accidental:
            alteration = ALTERATIONS[accidental]
            if self.propagation != "not":
                voice.accidentals[place] = alteration
        elif white in voice.tied:
            alteration = voice.tied[white]
        elif place in voice.accidentals:
            alteration = voice.accidentals[place]
        else:
            alteration = voice.altered[white % 12]
        up, down = self._ratio(match[5], match[6], match[7])
        if self.chord is not None:
            self.chord.append((Head(white, alteration, voice.unit * up // down), False))
            return
        self._count_notes(1)
        length = self._next_length(voice, up, down)
        if not length:
            self._remark("notes of no length")
        voice.place([Head(white, alteration, length)], length)

    def _count_notes(self, number: int) -> None:
        self.num_notes += number
        if self.num_notes > self.limits.max_notes:
            check_number_of_notes(self.num_notes, self.limits)

    def _next_length(self, voice: Voice, up: int, down: int) -> int:
        """The length of the next note or rest, of which the text says a fraction of the unit."""
        if voice.tuplets:
            more, less = voice.tuplet_ratio()
            up, down = up * more, down * less
        length = self._length(voice.unit * up // down)
        if voice.broken:
            factor = voice.break_rhythm(length)
            if factor is None:
                self._remark("broken rhythms between unequal lengths")
            else:
                length = length * factor[0] // factor[1]
        return length

    def _ratio(self, up: str, slashes: str, down: str) -> tuple[int, int]:
        """What a length after a note says, as a fraction."""
        if not slashes:
            return (number(up) if up else 1), 1
        if len(slashes) > MAX_SLASHES:
            raise PieceError(f"line {self.line}: a length with {len(slashes):,} slashes")
        denominator = number(down) << (len(slashes) - 1) if down else 1 << len(slashes)
        if not denominator:
            raise PieceError(f"line {self.line}: a length is divided by 0")
        return (number(up) if up else 1), denominator

    def _length(self, length: int) -> int:
        """A length in units if it is within the limit."""
        if length > self.limits.max_beats * UNITS_PER_BEAT:
            raise PieceError(
                f"is too long or damaged: a note or rest of {length // UNITS_PER_BEAT:,} beats; "
                f"at most {self.limits.max_beats:,} are read (dataset.limits.max_beats)"
            )
        return length

    def _rest(self, match: re.Match[str]) -> None:
        if self.chord is not None:
            return
        voice = self._current()
        groups = match.groups()
        index = TOKEN.groupindex["rest"]
        up, down = self._ratio(*groups[index : index + 3])
        voice.place([], self._next_length(voice, up, down))

    def _rests(self, match: re.Match[str]) -> None:
        """Bars of rest."""
        voice = self._current()
        digits = match[TOKEN.groupindex["rests"] + 1]
        count = number(digits) if digits else 1
        check_bars(len(voice.bars) + count)
        length = WHOLE if voice.metre is None else WHOLE * voice.metre[0] // voice.metre[1]
        for i in range(count):
            if i:
                voice.end_bar(is_line=True)
            voice.place([], self._length(length))

    def _open(self, _: re.Match[str]) -> None:
        if self.chord is not None:
            self._remark("chords that are not closed")
            self._end_chord(1, 1)
        self.chord = []

    def _close(self, match: re.Match[str]) -> None:
        voice = self._current()
        index = TOKEN.groupindex["close"]
        if self.chord is not None:
            self._end_chord(*self._ratio(*match.groups()[index : index + 3]))
        elif voice.endings:
            if not voice.is_empty:
                voice.end_bar(is_line=False)
            voice.endings = ()

    def _end_chord(self, up: int, down: int) -> None:
        """Place the notes of a chord, whose length is multiplied."""
        voice, chord = self._current(), self.chord or []
        self.chord = None
        if not chord:
            self._remark("chords without notes")
            return
        self._count_notes(len(chord))
        first = chord[0][0].length
        length = self._next_length(voice, first * up, voice.unit * down)
        heads = [
            head._replace(length=length if head.length == first else head.length * length // first)
            for head, _ in chord
        ]
        voice.place(heads, length)
        if any(tie for _, tie in chord):
            notes = voice.bar.notes
            sounding = [
                tie for head, tie in zip(heads, (tie for _, tie in chord), strict=True) if head.length
            ]
            for i, tie in enumerate(sounding, start=len(notes) - len(sounding)):
                notes[i] = notes[i]._replace(tie_out=tie)
            voice.tied = {head.white: head.alteration for head, tie in chord if tie}

    def _tie(self, _: re.Match[str]) -> None:
        if self.chord is not None:
            if self.chord:
                self.chord[-1] = (self.chord[-1][0], True)
        elif not self._current().tie_last():
            self._remark("ties without a note")

    def _broken(self, match: re.Match[str]) -> None:
        voice = self._current()
        count = len(match[0])
        if self.chord is not None or count > MAX_SLASHES:
            self._remark("broken rhythms not understood")
            return
        longer, shorter = ((2 << count) - 1, 1 << count), (1, 1 << count)
        first, second = (longer, shorter) if match[0][0] == ">" else (shorter, longer)
        voice.broken = (first, second)

    def _tuplet(self, match: re.Match[str]) -> None:
        voice = self._current()
        index = TOKEN.groupindex["tuplet"]
        count, time, notes = (number(digits) if digits else 0 for digits in match.groups()[index : index + 3])
        if not time:
            is_compound = voice.metre is not None and voice.metre[0] > 3 and voice.metre[0] % 3 == 0
            time = TUPLET_TIMES.get(count, 3 if is_compound else 2)
        tuplet = [time, count, notes or count]
        if not count or len(voice.tuplets) >= MAX_TUPLET_DEPTH or tuplet in voice.tuplets:
            self._remark("tuplets not understood")  # the last: `(3(3ABC`, which is one
        else:
            voice.tuplets.append(tuplet)

    def _bar(self, match: re.Match[str]) -> None:
        """A bar line, with the signs of repetition around it and the number of an ending behind it."""
        voice = self._current()
        if self.chord is not None:
            self._remark("chords that are not closed")
            self._end_chord(1, 1)
        index = TOKEN.groupindex["bar"]
        sign, ending = match.groups()[index : index + 2]
        sign = sign.replace(" ", "").replace("\t", "")
        if sign.strip(":"):
            ends, starts = REPEAT_END.search(sign), REPEAT_START.search(sign)
            before, after = len(ends[1]) if ends else 0, len(starts[1] or starts[2]) if starts else 0
        else:  # `::`
            before = after = len(sign) // 2
        voice.move_signs()
        voice.end_bar(is_line=True)
        if before and voice.at:
            voice.bars[voice.at - 1].repeat_end = min(MAX_ENDING, max(before + 1, voice.times))
            voice.may_start, voice.is_open = True, False
        if before or after or sign in ("||", "|]", "[|") or len(sign) > 3:
            voice.endings, voice.begins_ending, voice.times = (), False, 0
            # Where `|:` is missing, a repeat goes back to the double bar line before.
            voice.bar.repeat_start |= voice.may_start and not voice.is_open and not before
        if after:
            voice.bar.repeat_start, voice.times, voice.is_open = True, after + 1, True
        if ending:
            self._begin_ending(voice, ending)

    def _ending(self, match: re.Match[str]) -> None:
        voice = self._current()
        if not voice.is_empty:
            voice.end_bar(is_line=False)
        self._begin_ending(voice, match[TOKEN.groupindex["ending"] + 1])

    def _begin_ending(self, voice: Voice, text: str) -> None:
        voice.bar.repeat_start &= voice.is_open
        numbers: list[int] = []
        for part in text.split(","):
            first, _, last = part.partition("-")
            start, stop = number(first), number(last or first)
            numbers += range(start, min(stop, MAX_ENDING) + 1)
            if len(numbers) > MAX_ENDING:
                break
        voice.endings, voice.begins_ending = tuple(n for n in numbers if 0 < n <= MAX_ENDING), True

    def _overlay(self, match: re.Match[str]) -> None:
        """Go back by as many bar lines as there are signs, or to where `(&` stood, and write over it."""
        voice, sign = self._current(), match[0]
        voice.bar.length = max(voice.bar.length, voice.cursor)
        if sign[0] == "(":
            voice.mark = (voice.at, voice.cursor)
            return
        if sign[-1] == ")":
            voice.mark, voice.at, voice.cursor = None, len(voice.bars) - 1, voice.bars[-1].length
            voice.set_layer(0)
            return
        voice.set_layer(voice.layer + 1)
        voice.accidentals.clear()
        if voice.mark is not None:
            voice.at, voice.cursor = voice.mark
        else:
            back = len(sign) - (0 if voice.is_empty else 1)
            voice.at, voice.cursor = max(0, voice.at - back), 0

    def _symbol(self, match: re.Match[str]) -> None:
        letter = match[0]
        if letter != ".":
            name = self.symbols.get(letter)
            if name is None:
                self._remark("unknown decorations")
            elif name:
                self._decorate(name)

    def _decoration(self, match: re.Match[str]) -> None:
        index = TOKEN.groupindex["decoration"]
        name = match[index + 1] or match[index + 2]
        if match[0][0] == "+" and OLD_CHORD.fullmatch(name) and name not in DYNAMICS:
            self.chord = []
            self._music(name)
            self._end_chord(1, 1)
        else:
            name = name.strip()
            self._decorate(name if name in DYNAMICS else name.lower())

    def _decorate(self, name: str) -> None:
        voice = self._current()
        if name in ARTICULATIONS:
            return
        if name in DYNAMICS:
            voice.velocity = DYNAMICS[name]
        elif name in ORNAMENTS:
            self._remark(f"{ORNAMENTS[name]} not played")
        elif name in ("segno", "coda"):
            if not voice.is_empty:
                voice.end_bar(is_line=False)
            setattr(voice.bar, name, True)
            if name == "coda":
                voice.codas.append(voice.at)
        elif sign := JUMPS.get(re.sub(r"[ .]", "", name)):
            if sign in ("fine", "to_coda"):
                setattr(voice.bar, sign, True)
            else:
                voice.bar.jump = sign
        else:
            self._remark("unknown decorations")

    def _grace(self, match: re.Match[str]) -> None:
        self._remark("grace notes dropped", max(1, len(re.findall("[A-Ga-g]", match[0]))))

    def _field(self, match: re.Match[str]) -> None:
        index = TOKEN.groupindex["field"]
        self._body_field(match[index + 1], match[index + 2].strip())

    def _microtone(self, _: re.Match[str]) -> None:
        raise PieceError(f"line {self.line}: has microtones, which MIDI notes have not")

    def _quote(self, _: re.Match[str]) -> None:
        self._remark("quotes that are not closed")

    def _unknown(self, _: re.Match[str]) -> None:
        self._remark("unknown characters")


def _white(letter: str, octaves: str) -> int:
    return WHITE_KEYS[letter] + 12 * (octaves.count("'") - octaves.count(","))
