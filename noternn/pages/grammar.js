// Tokenizers: notes <-> tokens, and which tokens may come next: noternn/tokenizer in JavaScript.
// Notes are {onset, duration, pitch, velocity, program}, with times in grid steps; program 128 are drums.

const PAD = 0, BOS = 1, EOS = 2, UNK = 3, NUM_SPECIAL = 4, DRUMS = 128, DEFAULT_VELOCITY = 80;
const VOICE_LETTERS = "SATB", VOICE_PROGRAMS = [40, 41, 42, 43], MIDDLE_C = 60;

const ascending = (a, b) => a - b;

function chain(kind, steps, most) {
  const tokens = Array(Math.floor(steps / most)).fill(`${kind}_${most}`);
  return steps % most ? [...tokens, `${kind}_${steps % most}`] : tokens;
}

// By onset, rank of the program and falling pitch; of those that coincide the longest and the loudest.
function distinctNotes(notes, hasProgram, rank) {
  const kept = new Map();
  for (const note of notes) {
    const program = hasProgram ? note.program : 0, key = `${note.onset} ${program} ${note.pitch}`;
    const {duration, velocity} = kept.get(key) ?? note;
    kept.set(key, {...note, program, duration: Math.max(duration, note.duration),
      velocity: Math.max(velocity, note.velocity)});
  }
  return [...kept.values()].sort((a, b) =>
    a.onset - b.onset || rank(a.program) - rank(b.program) || b.pitch - a.pitch);
}

// Where the notes that sound in each step, from the first onset to the last end.
function frames(notes) {
  const start = Math.min(...notes.map(note => note.onset));
  const end = Math.max(...notes.map(note => note.onset + note.duration));
  const rows = Array.from({length: notes.length ? end - start : 0}, () => []);
  for (const note of notes)
    for (let step = note.onset; step < note.onset + note.duration; step++) rows[step - start].push(note);
  return rows;
}

// Notes of rows of [step, pitch, program, token]: what sounds in steps in a row is one.
function heldNotes(rows) {
  const open = new Map(), notes = [];
  for (const [step, pitch, program, token] of rows) {
    const key = program * 128 + pitch, note = open.get(key);
    if (note && note.onset + note.duration >= step) note.duration = step + 1 - note.onset;
    else {
      const begun = {onset: step, duration: 1, pitch, velocity: DEFAULT_VELOCITY, program, token};
      open.set(key, begun);
      notes.push(begun);
    }
  }
  return notes.sort((a, b) => a.onset - b.onset || a.pitch - b.pitch);
}

class EventGrammar {
  constructor(options) {
    Object.assign(this, options);
    this.mostShift = options.max_shift_beats * options.steps_per_beat;
    this.mostDuration = options.max_duration_beats * options.steps_per_beat;
    this.tail = options.velocity ? "Velocity" : "Duration";
    this.first = options.program && options.drums_first ? DRUMS : 0; // program of an onset
    this.start = {last: "Start", maximal: false, program: this.first, pitch: 128};
  }

  // The place of a program in an onset.
  rank(program) {
    return this.drums_first ? (program + 1) % (DRUMS + 1) : program;
  }

  key({last, maximal, program, pitch}) {
    return `${last} ${maximal} ${program} ${pitch}`;
  }

  // Kind and value; null if it is none of these tokens.
  symbol(token) {
    const [kind, value] = token.split("_");
    if (token == "Program_drum") return ["Program", DRUMS];
    return kind == "Drum" ? ["Pitch", Number(value)] : value === undefined ? null : [kind, Number(value)];
  }

  follows(state, token) {
    if (token == "<eos>") return state.last == this.tail;
    const symbol = this.symbol(token);
    if (!symbol) return false;
    const [kind, value] = symbol, mayBegin = ["Start", "Shift", this.tail].includes(state.last);
    switch (kind) {
      case "Duration": return state.last == "Pitch" || (state.last == "Duration" && state.maximal);
      case "Velocity": return state.last == "Duration";
      case "Shift": return state.last == this.tail || (state.last == "Shift" && state.maximal);
      case "Program":
        return mayBegin && (this.rank(state.program) < this.rank(value)
          || (state.program == value && state.pitch > 0));
    }
    const isDue = this.program ? state.last == "Program" : mayBegin;
    const isDrum = Boolean(this.program) && state.program == DRUMS;
    return isDue && value < state.pitch && token.startsWith("Drum_") == isDrum;
  }

  advance(state, token) {
    if (token == "<bos>") return this.start;
    if (token == "<unk>") return this.advanceUnknown(state);
    const symbol = this.symbol(token);
    if (!symbol) return state;
    const [kind, value] = symbol;
    switch (kind) {
      case "Shift": return {last: kind, maximal: value == this.mostShift, program: this.first, pitch: 128};
      case "Program":
        return {last: kind, maximal: false, program: value, pitch: value == state.program ? state.pitch : 128};
      case "Pitch": return {last: kind, maximal: false, program: state.program, pitch: value};
    }
    return {...state, last: kind, maximal: kind == "Duration" && value == this.mostDuration};
  }

  advanceUnknown(state) {
    if (this.isComplete(state)) {
      const last = this.program ? "Program" : "Pitch", pitch = this.program ? 128 : state.pitch;
      const program = this.drums_first && state.program == DRUMS ? 0 : state.program;
      return {last, maximal: false, program, pitch};
    }
    return {...state, maximal: false,
      last: {Program: "Pitch", Pitch: "Duration", Duration: "Velocity"}[state.last]};
  }

  isComplete(state) {
    return ["Start", "Shift", this.tail].includes(state.last);
  }

  encode(notes) {
    const tokens = [];
    let last = null;
    for (const {onset, duration, pitch, velocity, program} of
      distinctNotes(this.program ? notes : notes.filter(note => note.program != DRUMS), this.program,
        program => this.rank(program))) {
      if (last !== null) tokens.push(...chain("Shift", onset - last, this.mostShift));
      last = onset;
      const isDrum = program == DRUMS;
      if (this.program) tokens.push(isDrum ? "Program_drum" : `Program_${program}`);
      tokens.push(`${isDrum ? "Drum" : "Pitch"}_${pitch}`, ...chain("Duration", duration, this.mostDuration));
      if (this.velocity) tokens.push(`Velocity_${4 * Math.floor(velocity / 4) + 2}`);
    }
    return tokens;
  }

  decode(tokens) {
    const notes = [];
    let time = 0, program = 0, last = ["Start", 0];
    tokens.forEach((token, i) => {
      if (token == "<unk>") last = ["Start", 0];
      const symbol = this.symbol(token);
      if (!symbol) return;
      const [kind, value] = symbol;
      if (kind == "Shift") time += value;
      else if (kind == "Program") program = value;
      else if (kind == "Pitch")
        notes.push({onset: time, duration: 0, pitch: value, velocity: DEFAULT_VELOCITY,
          program: last[0] == "Program" ? program : 0, token: i});
      else if (kind == "Duration"
        && (last[0] == "Pitch" || (last[0] == "Duration" && last[1] == this.mostDuration)))
        notes.at(-1).duration += value;
      else if (kind == "Velocity" && last[0] == "Duration") notes.at(-1).velocity = value;
      else return;
      last = [kind, kind == "Pitch" ? 0 : value];
    });
    for (const note of notes) note.duration ||= this.steps_per_beat;
    return {notes, steps: time};
  }
}

class ChordGrammar {
  constructor(options) {
    Object.assign(this, options);
    this.most = options.max_beats * options.steps_per_beat;
    this.chordSteps = options.chord_steps;
    this.tail = options.durations ? "Duration" : "Chord";
    this.start = {last: "Start", maximal: false};
  }

  key({last, maximal}) {
    return `${last} ${maximal}`;
  }

  symbol(token) {
    const match = /^(Duration|Rest)_(\d+)$/.exec(token);
    if (match) return [match[1], Number(match[2])];
    return token.startsWith("<") ? null : ["Chord", 0];
  }

  pitches(token) {
    if (!token.startsWith("pc")) return token.split(".").map(Number);
    const classes = token.slice(2).split(".").map(number => MIDDLE_C + Number(number));
    return classes.length == 1 ? [classes[0], classes[0] + 12] : classes;
  }

  chord(pitches) {
    const distinct = [...new Set(pitches)].sort(ascending);
    if (!this.pitch_class || distinct.length == 1) return distinct.join(".");
    return `pc${[...new Set(distinct.map(pitch => pitch % 12))].sort(ascending).join(".")}`;
  }

  follows(state, token) {
    if (token == "<eos>") return state.last == this.tail;
    switch (this.symbol(token)?.[0]) {
      case "Chord": return ["Start", "Rest", this.tail].includes(state.last);
      case "Duration": return state.last == "Chord" || (state.last == "Duration" && state.maximal);
      case "Rest": return state.last == this.tail || (state.last == "Rest" && state.maximal);
    }
    return false;
  }

  advance(state, token) {
    if (token == "<bos>") return this.start;
    if (token == "<unk>")
      return {last: this.durations && state.last == "Chord" ? "Duration" : "Chord", maximal: false};
    const symbol = this.symbol(token);
    if (!symbol || (symbol[0] == "Duration" && !this.follows(state, token))) return state;
    return {last: symbol[0], maximal: symbol[0] != "Chord" && symbol[1] == this.most};
  }

  isComplete(state) {
    return state.last != "Chord" || this.tail == "Chord";
  }

  encode(given) {
    const notes = given.filter(note => note.program != DRUMS), tokens = [];
    const onsets = [...new Set(notes.map(note => note.onset))].sort(ascending);
    onsets.forEach((onset, i) => {
      const chord = notes.filter(note => note.onset == onset);
      const end = Math.max(...chord.map(note => note.onset + note.duration)), next = onsets[i + 1] ?? end;
      const sounding = Math.min(end, next) - onset;
      tokens.push(this.chord(chord.map(note => note.pitch)));
      if (this.durations) tokens.push(...chain("Duration", this.rests ? sounding : next - onset, this.most));
      if (this.rests) tokens.push(...chain("Rest", next - onset - sounding, this.most));
    });
    return tokens;
  }

  decode(tokens) {
    const spans = []; // token, steps and where it stands
    let state = this.start;
    tokens.forEach((token, i) => {
      const [kind, steps] = this.symbol(token) ?? ["", 0], after = this.advance(state, token);
      if (after.last == "Chord" && !after.maximal && (kind == "Chord" || token == "<unk>"))
        spans.push([token, 0, i]);
      else if (kind == "Rest") spans.push([token, steps, i]);
      else if (kind == "Duration" && this.follows(state, token)) spans.at(-1)[1] += steps;
      state = after;
    });
    const notes = [];
    let time = 0;
    for (const [token, steps, i] of spans) {
      const duration = steps || this.chordSteps;
      if (this.symbol(token)?.[0] == "Chord")
        for (const pitch of this.pitches(token))
          notes.push({onset: time, duration, pitch, velocity: DEFAULT_VELOCITY, program: 0, token: i});
      time += duration;
    }
    return {notes, steps: time};
  }
}

class FramesGrammar {
  constructor(options) {
    Object.assign(this, options);
    this.start = 130;
  }

  key(state) {
    return state;
  }

  pitch(token) {
    return token.startsWith("Pitch_") ? Number(token.slice(6)) : null;
  }

  follows(state, token) {
    if (token == "<eos>") return state == 129;
    return token == "End" || (this.pitch(token) ?? 128) < Math.min(state, 128);
  }

  advance(state, token) {
    if (token == "<bos>") return this.start;
    if (token == "<unk>") return Math.min(state, 128);
    return token == "End" ? 129 : this.pitch(token) ?? state;
  }

  isComplete(state) {
    return state >= 129;
  }

  encode(notes) {
    return frames(notes.filter(note => note.program != DRUMS)).flatMap(row =>
      [...new Set(row.map(note => note.pitch))].sort((a, b) => b - a).map(pitch => `Pitch_${pitch}`)
        .concat("End"));
  }

  decode(tokens) {
    const rows = [];
    let step = 0, isOpen = false;
    tokens.forEach((token, i) => {
      const pitch = this.pitch(token);
      if (pitch !== null) rows.push([step, pitch, 0, i]);
      if (token == "End") step++;
      isOpen = pitch !== null || (isOpen && token != "End");
    });
    return {notes: heldNotes(rows), steps: step + (isOpen ? 1 : 0)};
  }
}

class VoicesGrammar {
  constructor(options) {
    Object.assign(this, options);
    this.start = -1;
  }

  key(state) {
    return state;
  }

  // Voice and pitch, 128 for a rest; null if it is no token of a voice.
  symbol(token) {
    const [letter, value] = token.split("_"), voice = VOICE_LETTERS.indexOf(letter);
    return voice < 0 || value === undefined ? null : [voice, value == "rest" ? 128 : Number(value)];
  }

  follows(state, token) {
    return token == "<eos>" ? state == 0 : this.symbol(token)?.[0] === Math.max(state, 0);
  }

  advance(state, token) {
    if (token == "<bos>") return this.start;
    const symbol = this.symbol(token);
    if (token != "<unk>" && !symbol) return state;
    return ((token == "<unk>" ? Math.max(state, 0) : symbol[0]) + 1) % 4;
  }

  isComplete(state) {
    return state <= 0;
  }

  encode(notes) {
    return frames(notes.filter(note => VOICE_PROGRAMS.includes(note.program))).flatMap(row =>
      VOICE_PROGRAMS.map((program, voice) => {
        const pitches = row.filter(note => note.program == program).map(note => note.pitch);
        return `${VOICE_LETTERS[voice]}_${pitches.length ? Math.max(...pitches) : "rest"}`;
      }));
  }

  decode(tokens) {
    const rows = [];
    let step = 0, due = 0;
    tokens.forEach((token, i) => {
      const [voice, pitch] = token == "<unk>" ? [due, 128] : this.symbol(token) ?? [-1, 128];
      if (voice < 0) return;
      if (voice < due) step++;
      if (pitch < 128) rows.push([step, pitch, VOICE_PROGRAMS[voice], i]);
      due = (voice + 1) % 4;
      if (due == 0) step++;
    });
    return {notes: heldNotes(rows), steps: step + (due > 0 ? 1 : 0)};
  }
}

const GRAMMARS = {event: EventGrammar, chord: ChordGrammar, frames: FramesGrammar, voices: VoicesGrammar};

// A tokenizer with its vocabulary; states of its grammar are numbered in the order in which they come up.
class Codec {
  constructor(model) {
    this.tokens = model.tokens;
    this.noteCounts = model.note_counts;
    this.ids = new Map(model.tokens.map((token, id) => [token, id]));
    this.grammar = new GRAMMARS[model.tokenizer.name](model.tokenizer);
    this.stepsPerBeat = model.tokenizer.steps_per_beat;
    this.numbers = new Map();
    this.states = [];
    this.nexts = [];
    this.masks = [];
    this.canEnd = new Map();
    this.start = this.number(this.grammar.start);
  }

  number(state) {
    const key = this.grammar.key(state);
    let number = this.numbers.get(key);
    if (number === undefined) {
      this.numbers.set(key, number = this.states.push(state) - 1);
      this.nexts.push(new Map());
    }
    return number;
  }

  advance(number, id) {
    const next = this.nexts[number];
    if (!next.has(id)) next.set(id, this.number(this.grammar.advance(this.states[number], this.tokens[id])));
    return next.get(id);
  }

  isComplete(number) {
    return this.grammar.isComplete(this.states[number]);
  }

  // Ids that the grammar allows, with the states to which they lead.
  successors(number) {
    const found = [];
    for (let id = NUM_SPECIAL; id < this.tokens.length; id++)
      if (this.grammar.follows(this.states[number], this.tokens[id])) found.push([id, this.advance(number, id)]);
    return found;
  }

  reachesEnd(number) {
    if (this.canEnd.has(number)) return this.canEnd.get(number);
    const seen = new Set([number]), stack = [number];
    while (stack.length) {
      const here = stack.pop();
      if (this.canEnd.get(here) || this.grammar.follows(this.states[here], "<eos>")) {
        this.canEnd.set(number, true);
        return true;
      }
      for (const [, after] of this.successors(here)) {
        if (seen.has(after)) continue;
        seen.add(after);
        stack.push(after);
      }
    }
    for (const state of seen) this.canEnd.set(state, false);
    return false;
  }

  // Which ids may come next, without EOS, (vocabSize).
  mask(number) {
    if (!this.masks[number]) {
      const mask = this.masks[number] = new Uint8Array(this.tokens.length);
      for (const [id, after] of this.successors(number)) mask[id] = this.reachesEnd(after) ? 1 : 0;
    }
    return this.masks[number];
  }

  encode(notes) {
    return this.grammar.encode(notes).map(token => this.ids.get(token) ?? this.nearest(token));
  }

  // An instrument that is not there is its nearest, of its family if one is; another token is unknown.
  nearest(token) {
    const program = /^Program_(\d+)$/.exec(token)?.[1];
    if (program === undefined) return UNK;
    const apart = id => {
      const other = Number(this.tokens[id].slice(8));
      return 1000 * (other >> 3 != program >> 3) + Math.abs(other - program);
    };
    const known = this.tokens.flatMap((other, id) => /^Program_\d+$/.test(other) ? [id] : []);
    return known.length ? known.reduce((best, id) => apart(id) < apart(best) ? id : best) : UNK;
  }

  decode(ids) {
    return this.grammar.decode(ids.map(id => this.tokens[id]));
  }
}
