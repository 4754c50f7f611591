// The studio: what a trained network composes, heard, seen, and played with.

const DRUMS = 128;
const NETWORK = 0, PLAYER = 1, FILE = 2; // the origin of a note, and its color
const FIRST_SOURCE = 3, MOST_SOURCES = 5, OTHERS = 8; // colors of copied passages
const AHEAD = 8; // beats that are composed ahead of what is heard
const SOUND_AHEAD = 0.35, MARGIN = 0.45; // seconds of sound that are handed over; until new notes are heard
const HIDDEN_AHEAD = 1.5; // a tab in the background wakes once a second
const ROOM = 60; // seconds after the last note that the roll can show
const MOST_PRIMER = 400, LEAD_IN = 4; // notes of a file that are read; beats of it that are heard first
const MOST_UNDO = 50;
const CHANNELS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15]; // of MIDI, without that of drums
const WHITE_KEYS = "asdfghjkl;'", BLACK_KEYS_ABOVE = "wetyuop"; // of the computer's keyboard, as on a piano
const LISTEN_RATE = 44100, RING = 1.5; // of saved sound: samples a second, seconds after the last note

const find = selector => document.querySelector(selector);
const model = JSON.parse(find("#model").textContent);
const card = JSON.parse(find("#corpus").textContent);
const sounds = find("#sounds") && new Sounds(JSON.parse(find("#sounds").textContent), find("#samples").textContent);
const {steps_per_beat: stepsPerBeat} = model.tokenizer;
const quantum = stepsPerBeat % 4 == 0 ? stepsPerBeat / 4 : 1; // what is played falls on sixteenths, if there are any
const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const say = text => {
  if (find("#status").textContent != text) find("#status").textContent = text;
};
const keyOf = note => `${note.onset} ${note.pitch} ${note.program}`;
const endOf = notes => notes.reduce((end, note) => Math.max(end, note.onset + note.duration), 0);

// What the vocabulary can say, for what is played to be read as it was meant.
const known = {
  durations: model.tokens.map(token => /^Duration_(\d+)$/.exec(token)).filter(Boolean).map(match => Number(match[1])),
  programs: model.tokens.map(token => /^Program_(\d+)$/.exec(token)).filter(Boolean).map(match => Number(match[1])),
  hasDrums: model.tokens.includes("Program_drum"),
};
const SHOWN = [48, 79]; // pitches at least

function programOf(pitch) {
  if (model.tokenizer.name == "voices") return pitch >= 67 ? 40 : pitch >= 60 ? 41 : pitch >= 53 ? 42 : 43;
  return known.programs.length ? Number(find("#own-program").value) : 0;
}

class Studio {
  constructor() {
    Object.assign(this, {notes: [], passages: [], version: 0, undone: [], takes: [], held: new Map(), seed: card.seed,
      tempo: Math.round(model.tempo), metre: model.metre, isPlaying: false, isWaiting: false, isListening: false,
      offset: 0, isOver: false, composedTo: 0, isStale: true, range: SHOWN, handed: new Set(), synthesizer: null,
      output: null, channels: new Map(), phrase: []});
    this.roll = new Roll(find("#roll"), this.rollNotes());
    const code = new Blob([find("#engine").textContent], {type: "text/javascript"});
    this.worker = new Worker(URL.createObjectURL(code));
    this.worker.onmessage = ({data}) => this.hear(data);
    this.worker.onerror = event => say(`The network stopped: ${event.message}`);
    this.worker.postMessage({type: "load", model, weights: find("#weights").textContent, corpus: card.index});
    this.begin({isNew: true});
    this.frame();
    setInterval(() => this.sound(), 100);
  }

  // Time

  get stepSeconds() {
    return 60 / this.tempo / stepsPerBeat;
  }

  get position() { // in grid steps
    if (!this.isPlaying) return this.offset;
    const {currentTime, outputLatency = 0} = this.synthesizer.context;
    return this.offset + Math.max(0, currentTime - this.begun - outputLatency) / this.stepSeconds;
  }

  at(step) { // the time of the sound
    return this.begun + (step - this.offset) * this.stepSeconds;
  }

  // The network

  hear(data) {
    if (data.type == "ready") {
      find("#studio").classList.add("ready");
      say(this.notes.length ? "Ready." : "Ready: press play, or play something.");
      return;
    }
    if (data.version != this.version) return;
    this.notes = data.notes;
    this.composedTo = data.time;
    this.isOver = data.isOver;
    this.show();
    if (this.isWaiting && this.notes.length) this.play();
    else if (this.isPlaying) this.sound();
  }

  sendSettings() {
    const number = id => Number(find(id).value);
    const options = {temperature: number("#temperature"), top_p: number("#top-p"), top_k: number("#top-k")};
    const unwanted = [...document.querySelectorAll("#instruments input:not(:checked)")].map(box => Number(box.value));
    this.worker.postMessage({type: "set", options, length: number("#length"), unwanted});
  }

  // Compose on from the notes that there are; nothing new is heard before `notBefore`.
  begin({isNew = false, notBefore = 0} = {}) {
    this.version++;
    this.isOver = false;
    this.composedTo = 0;
    this.sendSettings();
    const {notes, version} = this, seed = isNew ? this.seed : undefined;
    this.worker.postMessage({type: "begin", version, seed, notBefore, notes});
    this.ask();
    this.show();
  }

  // Compose ahead, when half of that is used up.
  ask() {
    const ahead = AHEAD * stepsPerBeat;
    if (this.isListening) this.worker.postMessage({type: "until", steps: 0});
    else if (this.composedTo < this.position + ahead / 2)
      this.worker.postMessage({type: "until", steps: this.position + ahead});
  }

  // Forget what was composed but not heard yet, and compose it anew.
  again() {
    const from = this.isPlaying ? this.position + MARGIN / this.stepSeconds : this.offset;
    this.notes = this.notes.filter(note => note.origin != NETWORK || note.onset < from);
    if (!this.isListening) this.begin({notBefore: this.notes.length ? from : 0});
  }

  // Playing

  wake() {
    if (!this.synthesizer) {
      this.synthesizer = new Synthesizer(undefined, sounds);
      this.synthesizer.volume(Number(find("#volume").value) / 100);
    }
    this.synthesizer.context.resume();
  }

  // Where nothing is composed yet, when the first notes are there.
  play({isPatient = true} = {}) {
    this.wake();
    this.isWaiting = isPatient && !this.notes.length && !this.isOver && !this.isListening;
    if (this.isWaiting) return this.mark();
    if (this.isOver && this.offset >= endOf(this.notes)) this.offset = 0;
    this.begun = this.synthesizer.context.currentTime + 0.05;
    this.bus = this.synthesizer.bus();
    this.handed.clear();
    this.isPlaying = true;
    this.mark();
    this.sound();
  }

  pause() {
    this.isWaiting = false;
    this.offset = this.position;
    this.isPlaying = false;
    this.isStale = true;
    this.silence();
    this.mark();
  }

  silence() {
    if (this.bus) this.synthesizer.cut(this.bus);
    this.bus = null;
    for (const channel of [9, ...this.channels.values()]) this.output?.send([0xb0 | channel, 123, 0]);
  }

  go(step) {
    const wasPlaying = this.isPlaying;
    if (wasPlaying) this.pause();
    this.offset = Math.max(0, Math.min(step, endOf(this.notes)));
    this.isStale = true;
    if (wasPlaying) this.play();
    this.ask();
  }

  mark() {
    const isOn = this.isPlaying || this.isWaiting;
    find("#studio").classList.toggle("playing", isOn);
    find("#play").setAttribute("aria-label", isOn ? "Pause" : "Play");
  }

  // Hand over the notes of the next moments.
  sound() {
    if (!this.isPlaying) return;
    const {currentTime} = this.synthesizer.context, ahead = document.hidden ? HIDDEN_AHEAD : SOUND_AHEAD;
    const {position} = this, until = position + ahead / this.stepSeconds;
    for (const note of this.notes) {
      const end = note.onset + note.duration;
      if (note.onset >= until || end <= position || this.handed.has(keyOf(note))) continue;
      this.handed.add(keyOf(note));
      const at = this.at(note.onset), missed = Math.max(0, currentTime - at);
      const seconds = note.duration * this.stepSeconds - missed;
      if (note.program == DRUMS && missed > 0.05) continue;
      this.sing(this.bus, at + missed, seconds, note.pitch, note.velocity, note.program);
    }
    this.ask();
    if (this.isListening) this.await();
    else if (this.isOver && position > endOf(this.notes) + stepsPerBeat) this.finish();
  }

  sing(bus, at, seconds, pitch, velocity, program) {
    if (this.output) {
      const channel = this.channelOf(program), {context} = this.synthesizer;
      const time = performance.now() + 1000 * (at - context.currentTime);
      this.output.send([0x90 | channel, pitch, velocity], time);
      this.output.send([0x80 | channel, pitch, 0], time + 1000 * seconds);
    } else if (program == DRUMS) this.synthesizer.drum(bus, at, pitch, velocity);
    else this.synthesizer.tone(bus, at, seconds, pitch, velocity, this.voice(program));
  }

  // The channel of a program, which is told of it when it is first used.
  channelOf(program) {
    if (program == DRUMS) return 9;
    const voice = this.voice(program);
    if (!this.channels.has(voice)) {
      const channel = CHANNELS[this.channels.size % CHANNELS.length];
      this.channels.set(voice, channel);
      this.output.send([0xc0 | channel, voice]);
    }
    return this.channels.get(voice);
  }

  // The sound of a program: where the network knows no instruments, the one that is chosen.
  voice(program) {
    return known.programs.length || model.tokenizer.name == "voices" ? program : Number(find("#own-program").value);
  }

  toggle() {
    const wasOn = this.isPlaying || this.isWaiting;
    if (wasOn) this.pause();
    else this.play();
    say(wasOn ? "Paused." : "The network composes.");
  }

  finish() {
    this.pause();
    this.offset = 0;
    this.isStale = true;
    say("The end. Play it again, or ask for a new one.");
  }

  // Playing along

  press(pitch, velocity = 90) {
    if (this.held.has(pitch)) return;
    this.wake();
    if (!this.isListening && !this.phrase.length) this.remember();
    if (!this.isPlaying) {
      if (this.isOver) this.offset = 0;
      if (this.offset == 0) this.notes = [];
      this.play({isPatient: false});
      this.begun = this.synthesizer.context.currentTime;
    }
    if (find("#together").checked ? !this.notes.length : !this.isListening) this.listen();
    const bus = this.synthesizer.bus(), program = programOf(pitch);
    this.held.set(pitch, {from: this.position, velocity, bus, program});
    this.synthesizer.tone(bus, this.synthesizer.context.currentTime, 8, pitch, velocity, this.voice(program));
    this.light(pitch, true);
  }

  release(pitch) {
    const key = this.held.get(pitch);
    if (!key) return;
    this.held.delete(pitch);
    this.synthesizer.cut(key.bus);
    this.light(pitch, false);
    const onset = quantum * Math.round(key.from / quantum), length = Math.max(quantum, this.position - key.from);
    const duration = this.nearest(known.durations, quantum * Math.max(1, Math.round(length / quantum)));
    const note = {onset, duration, pitch, velocity: key.velocity, program: key.program, origin: PLAYER};
    this.phrase.push(note);
    this.handed.add(keyOf(note));
    this.quiet = this.synthesizer.context.currentTime;
    this.notes = [...this.notes.filter(other => keyOf(other) != keyOf(note)), note]
      .sort((a, b) => a.onset - b.onset || a.pitch - b.pitch);
    if (this.isListening) this.show();
    else {
      this.phrase = [];
      this.again();
    }
  }

  nearest(values, value) {
    return values.reduce((best, other) =>
      Math.abs(other - value) < Math.abs(best - value) ? other : best, values[0] ?? value);
  }

  // Make room for what is played: the network waits.
  listen() {
    const from = this.position + MARGIN / this.stepSeconds;
    this.isListening = true;
    this.version++; // what was composed meanwhile comes too late
    this.isOver = false;
    this.notes = this.notes.filter(note => note.origin != NETWORK || note.onset < from);
    this.ask();
    this.show();
    say("Listening ...");
  }

  // When a phrase is over the network answers.
  await() {
    const patience = Math.max(0.5, 60 / this.tempo);
    if (this.held.size || !this.phrase.length || this.synthesizer.context.currentTime - this.quiet < patience) return;
    this.answer();
  }

  answer() {
    this.isListening = false;
    this.phrase = [];
    this.begin({notBefore: this.position + MARGIN / this.stepSeconds});
    say("Answering.");
  }

  // What there is

  remember() {
    this.undone.push({notes: this.notes, offset: this.isPlaying ? this.position : this.offset, seed: this.seed,
      tempo: this.tempo, metre: this.metre});
    if (this.undone.length > MOST_UNDO) this.undone.shift();
    this.buttons();
  }

  take(notes, {offset = 0, isNew = false, ...others} = {}) {
    const wasPlaying = this.isPlaying || this.isWaiting;
    if (wasPlaying) this.pause();
    Object.assign(this, {notes, offset, isListening: false, phrase: [], ...others});
    find("#tempo").value = this.tempo;
    this.showValues();
    this.begin({isNew, notBefore: endOf(notes) && offset});
    if (wasPlaying) this.play();
  }

  undo() {
    const before = this.undone.pop();
    if (before) this.take(before.notes, before);
    this.buttons();
    say("Undone.");
  }

  renew() {
    this.remember();
    this.seed = Math.floor(Math.random() * 1e6);
    this.take([], {isNew: true});
    say(`A new piece, seed ${this.seed}.`);
  }

  keep() {
    const heard = this.heard();
    if (!heard.length) return say("There is nothing to keep yet.");
    const title = `Take ${this.takes.length + 1}`;
    this.takes.push({title, notes: heard, tempo: this.tempo, metre: this.metre});
    this.listTakes();
    say(`${title} is kept: ${heard.length} notes.`);
  }

  // What was heard so far, or all if it has ended or was not begun.
  heard() {
    const {position} = this;
    return position > 0 && !this.isOver ? this.notes.filter(note => note.onset < position) : this.notes;
  }

  async open(file) {
    let found;
    try {
      found = readMidi(new Uint8Array(await file.arrayBuffer()));
    } catch (error) {
      return say(`${file.name} cannot be read: ${error.message}.`);
    }
    const notes = this.fromFile(found);
    if (!notes.length) return say(`${file.name} has no notes that this network knows.`);
    const kept = notes.slice(-MOST_PRIMER), first = kept[0].onset;
    for (const note of kept) note.onset -= first;
    this.remember();
    const tempo = Math.round(Math.min(240, Math.max(30, found.tempo ?? 120)));
    this.take(kept, {tempo, metre: found.metre ?? this.metre});
    const end = endOf(kept);
    this.begin({notBefore: end});
    this.offset = Math.max(0, end - LEAD_IN * stepsPerBeat);
    this.ask();
    const shortened = kept.length < notes.length ? `, of which it reads the last ${kept.length}` : "";
    say(`${file.name}: ${notes.length} notes${shortened}. Play to hear how the network goes on.`);
  }

  fromFile({ticksPerBeat, notes}) {
    const step = tick => Math.floor((2 * tick * stepsPerBeat + ticksPerBeat) / (2 * ticksPerBeat));
    const isVoices = model.tokenizer.name == "voices", hasPrograms = known.programs.length > 0;
    const found = new Map();
    for (const {onset, duration, pitch, velocity, program} of notes) {
      if (program == DRUMS && !known.hasDrums) continue;
      const note = {onset: step(onset), duration: Math.max(1, step(onset + duration) - step(onset)), pitch, velocity,
        program: isVoices ? programOf(pitch) : hasPrograms ? program : 0, origin: FILE};
      found.set(keyOf(note), note);
    }
    return [...found.values()].sort((a, b) => a.onset - b.onset || a.pitch - b.pitch);
  }

  midi({notes, tempo, metre}) {
    const ticks = Math.max(1, Math.floor(480 / stepsPerBeat)), first = Math.min(...notes.map(note => note.onset));
    return writeMidi({ticksPerBeat: ticks * stepsPerBeat, tempo, metre, notes: notes.map(note => ({...note,
      onset: (note.onset - first) * ticks, duration: note.duration * ticks, program: note.program == DRUMS
        ? DRUMS : this.voice(note.program)}))});
  }

  async wav({notes, tempo}) {
    const step = 60 / tempo / stepsPerBeat, first = Math.min(...notes.map(note => note.onset));
    const length = Math.ceil(((endOf(notes) - first) * step + RING) * LISTEN_RATE);
    const context = new OfflineAudioContext(1, length, LISTEN_RATE), offline = new Synthesizer(context, sounds);
    offline.output.gain.value = 0.5;
    for (const {onset, duration, pitch, velocity, program} of notes) {
      const at = (onset - first) * step;
      if (program == DRUMS) offline.drum(offline.output, at, pitch, velocity);
      else offline.tone(offline.output, at, duration * step, pitch, velocity, this.voice(program));
    }
    return writeWav(await context.startRendering());
  }

  async save(kind, take = {title: "studio", notes: this.heard(), tempo: this.tempo, metre: this.metre}) {
    if (!take.notes.length) return say("There is nothing to save yet.");
    const bytes = kind == "mid" ? this.midi(take) : await this.wav(take);
    const type = kind == "mid" ? "audio/midi" : "audio/wav", link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], {type}));
    link.download = `${card.name} ${take.title}`.replace(/[^\w.-]+/g, "_") + `.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    say(`Saved: ${link.download}, ${take.notes.length} notes.`);
  }

  // What is seen

  frame() {
    const {position} = this, seconds = position * this.stepSeconds;
    if (this.held.size) this.show();
    if (this.isPlaying || this.isStale) this.roll.draw(seconds);
    this.isStale = false;
    const text = clock(seconds);
    if (find("#now").textContent != text) find("#now").textContent = text;
    requestAnimationFrame(() => this.frame());
  }

  // Notes as the roll takes them, with those that are held down.
  rollNotes() {
    const held = [...this.held].map(([pitch, {from, velocity, program}]) =>
      ({onset: from, duration: Math.max(1, this.position - from), pitch, velocity, program, origin: PLAYER}));
    const notes = [...this.notes, ...held], {stepSeconds} = this;
    const bar = 4 * stepsPerBeat * this.metre[0] / this.metre[1], end = Math.max(endOf(notes), this.position);
    const numBars = Math.min(10_000, Math.ceil(end / bar) + Math.ceil(ROOM / bar / stepSeconds));
    const pick = name => notes.map(note => note[name]);
    const colors = this.sourceColors(), pitches = pick("pitch");
    if (!notes.length) this.range = SHOWN; // it grows with what is heard, and stays: the music does not jump
    else this.range = [Math.min(this.range[0], ...pitches), Math.max(this.range[1], ...pitches)];
    return {
      seconds: end * stepSeconds + ROOM, given: 0, range: this.range,
      bars: Array.from({length: numBars}, (_, i) => i * bar * stepSeconds),
      onset: pick("onset").map(step => step * stepSeconds),
      duration: pick("duration").map(steps => steps * stepSeconds),
      pitch: pitches, velocity: pick("velocity"),
      program: pick("program").map(program => program == DRUMS ? -1 : program),
      color: notes.map(note => colors.get(note.passage?.piece) ?? note.origin),
    };
  }

  // The color of each piece of which there are passages, most used first.
  sourceColors() {
    const counts = new Map();
    for (const {passage} of this.notes) if (passage) counts.set(passage.piece, (counts.get(passage.piece) ?? 0) + 1);
    const order = [...counts].sort((a, b) => b[1] - a[1]).map(([piece]) => piece);
    return new Map(order.map((piece, i) => [piece, i < MOST_SOURCES ? FIRST_SOURCE + i : OTHERS]));
  }

  show() {
    this.isStale = true;
    this.roll.lay(this.rollNotes());
    this.legend();
    this.buttons();
  }

  legend() {
    const colors = this.sourceColors(), items = [];
    const composed = this.notes.filter(note => note.origin == NETWORK);
    const names = ["composed", "played by you", "from the file"];
    names.forEach((name, origin) => {
      if (this.notes.some(note => note.origin == origin)) items.push([origin, name]);
    });
    for (const [piece, color] of colors) {
      const notes = this.notes.filter(note => note.passage?.piece == piece);
      const [first, last] = [Math.min, Math.max].map((pick, i) => pick(...notes.map(note => note.passage.bars[i])));
      items.push([color, `as in ${card.index.names[piece]}, bars ${first}-${last}`]);
    }
    const text = JSON.stringify(items);
    if (text != this.shownLegend) {
      this.shownLegend = text;
      find("#legend").replaceChildren(...items.map(([color, name]) => {
        const item = document.createElement("li"), swatch = document.createElement("span");
        swatch.className = `swatch color-${color}`;
        item.append(swatch, name);
        return item;
      }));
    }
    if (!card.index || !composed.length) return;
    const copied = composed.filter(note => note.passage).length;
    find("#copied").textContent = `Of the ${composed.length} notes that the network composed `
      + `${Math.round(100 * copied / composed.length)} % stand in passages of 16 or more of its training pieces`
      + `${card.held_out}.`;
  }

  buttons() {
    find("#undo").disabled = !this.undone.length;
  }

  showValues() {
    for (const output of document.querySelectorAll("output")) {
      const {value} = find(`#${output.htmlFor}`), named = output.dataset[`at${value.replace(".", "_")}`];
      output.textContent = named ?? value + (output.dataset.unit ?? "");
    }
  }

  light(pitch, isOn) {
    find(`#keys [data-pitch="${pitch}"]`)?.classList.toggle("down", isOn);
  }

  listTakes() {
    const button = (label, text, action) => {
      const made = document.createElement("button");
      Object.assign(made, {type: "button", textContent: text, onclick: action});
      made.setAttribute("aria-label", label);
      return made;
    };
    find("#takes").replaceChildren(...this.takes.map(take => {
      const item = document.createElement("li"), name = document.createElement("span");
      const seconds = endOf(take.notes) * 60 / take.tempo / stepsPerBeat;
      name.textContent = `${take.title}: ${take.notes.length} notes, ${clock(seconds)}`;
      item.append(name,
        button(`Go on with ${take.title}`, "Go on", () => {
          this.remember();
          this.take(take.notes, {tempo: take.tempo, metre: take.metre});
          say(`${take.title}: play to hear it, and how it goes on.`);
        }),
        button(`Save ${take.title} as MIDI`, "MIDI", () => this.save("mid", take)),
        button(`Save ${take.title} as WAV`, "WAV", () => this.save("wav", take)),
        button(`Throw ${take.title} away`, "\u2715", () => {
          this.takes = this.takes.filter(other => other != take);
          this.listTakes();
        }));
      return item;
    }));
  }
}

const studio = new Studio();
