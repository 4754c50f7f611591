// Which notes stand in passages of 16 that training pieces hold too, in any key: noternn/audit in JavaScript.
// Exact passages at the same speed; see noternn/audit/index.py for what counts.

const WINDOW = 15, MIN_DIFFERENT = 5, GRID = 12, MAX_GAP = 2 ** 16 - 1, MAX_VOICES = 4, MOST_PLACES = 64;

function asNumbers(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return new Uint16Array(bytes.buffer);
}

class Copies {
  // `steps`: the distinct steps from note to note; `text`: their numbers from 1, 0 at the end of a stream;
  // `bars`: of each; `starts`: of each piece in the text.
  constructor({steps, text, bars, starts}) {
    this.codes = new Map(steps.map((step, i) => [step, i + 1]));
    this.text = asNumbers(text);
    this.bars = asNumbers(bars);
    this.starts = starts;
    this.latest = new Map();
    this.earlier = new Int32Array(this.text.length).fill(-1);
    for (let place = 0; place + WINDOW <= this.text.length; place++) {
      const key = this.hash(this.text, place);
      if (!key) continue;
      this.earlier[place] = this.latest.get(key) ?? -1;
      this.latest.set(key, place);
    }
  }

  // Of the window at a place; 0 where it is none.
  hash(text, place) {
    let sum = 17;
    for (let i = place; i < place + WINDOW; i++) {
      if (!text[i]) return 0;
      sum = Math.imul(sum, 0x01000193) + text[i] | 0;
    }
    return sum || 1;
  }

  // For each note {piece, bars: [first, last]} of the longest passage with it, or null.
  find(notes, stepsPerBeat) {
    const longest = new Int32Array(notes.length), found = Array(notes.length).fill(null);
    for (const stream of streamsOf(notes, stepsPerBeat)) {
      const text = Uint16Array.from(stream.steps, step => this.codes.get(step) ?? 0);
      for (let start = 0; start + WINDOW <= text.length; start++) {
        const [length, place] = this.match(text, start);
        if (length < WINDOW || new Set(text.subarray(start, start + length)).size < MIN_DIFFERENT) continue;
        const passage = {piece: this.pieceAt(place), bars: [this.bars[place], this.bars[place + length]]};
        for (const members of stream.notes.slice(start, start + length + 1))
          for (const note of members) {
            if (longest[note] > length) continue;
            longest[note] = length;
            found[note] = passage;
          }
      }
    }
    return found;
  }

  match(text, start) {
    let best = [0, -1], place = this.latest.get(this.hash(text, start)) ?? -1;
    for (let tried = 0; place >= 0 && tried < MOST_PLACES; tried++, place = this.earlier[place]) {
      let length = 0;
      while (text[start + length] && text[start + length] == this.text[place + length]) length++;
      if (length > best[0]) best = [length, place];
    }
    return best;
  }

  pieceAt(place) {
    let low = 0, high = this.starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.starts[middle] <= place) low = middle;
      else high = middle;
    }
    return low;
  }
}

// All notes; those that are the highest, second ... and the lowest where they begin; those of an instrument.
// Each stream has the indices of the notes at each place, and the steps between these.
function streamsOf(notes, stepsPerBeat) {
  const distinct = new Map();
  notes.forEach((note, i) => {
    if (note.program == DRUMS) return;
    const onset = Math.round(note.onset * GRID / stepsPerBeat);
    const end = Math.round((note.onset + note.duration) * GRID / stepsPerBeat);
    const key = onset * 128 + note.pitch, known = distinct.get(key);
    if (known) {
      known.members.push(i);
      known.end = Math.max(known.end, end);
      known.programs.add(note.program);
    } else distinct.set(key, {key, onset, pitch: note.pitch, end, members: [i], programs: new Set([note.program])});
  });
  const all = [...distinct.values()].sort((a, b) => a.key - b.key);
  rank(all);
  const programs = [...new Set(all.flatMap(note => [...note.programs]))];
  const chosen = [all, ...Array.from({length: MAX_VOICES}, (_, i) => all.filter(note => note.above == i)),
    all.filter(note => note.below == 0)];
  if (programs.length > 1)
    chosen.push(...programs.map(program => all.filter(note => note.programs.has(program))));
  return chosen.filter(stream => stream.length > WINDOW).map(stream => ({
    notes: stream.map(note => note.members),
    steps: stream.slice(1).map((note, i) =>
      Math.min(note.onset - stream[i].onset, MAX_GAP) * 256 + note.pitch - stream[i].pitch + 128),
  }));
}

// How many of the notes that sound where each begins are higher, and how many lower.
function rank(notes) {
  let sounding = [];
  for (let start = 0, stop; start < notes.length; start = stop) {
    const {onset} = notes[start];
    sounding = sounding.filter(note => note.end > onset);
    for (stop = start; stop < notes.length && notes[stop].onset == onset; stop++) sounding.push(notes[stop]);
    sounding.sort((a, b) => a.pitch - b.pitch || a.end - b.end || a.key - b.key);
    sounding.forEach((note, i) => {
      if (note.onset == onset) Object.assign(note, {above: sounding.length - 1 - i, below: i});
    });
  }
}
