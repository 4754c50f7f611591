// Composes ahead of what is heard, and tells the page all notes so far.

const CHUNK = 24; // milliseconds of composing before messages are looked at
const PAUSE = 200; // milliseconds between one telling and the next, while there is more to compose
const LOOKED_AT = 1200; // last notes whose passages are looked for

class Composer {
  constructor({model, weights, corpus}) {
    this.model = model;
    this.network = new Network(model, decodeWeights(weights, model.bits));
    this.codec = new Codec(model);
    this.copies = corpus ? new Copies(corpus) : null;
    this.isHeld = ["frames", "voices"].includes(model.tokenizer.name);
    this.sampler = new Sampler(model, this.network, this.codec, model.sampling, () => this.point());
    this.settings = {length: 0, unwanted: []};
    this.target = 0;
    this.passages = [];
    this.begin({notes: [], version: 0, seed: 0, notBefore: 0});
  }

  set({options, length, unwanted}) {
    Object.assign(this.sampler.options, options);
    this.sampler.keepsBand = unwanted.length == 0; // else those that are chosen play
    this.settings = {length, unwanted: unwanted.map(program => `Program_${program == DRUMS ? "drum" : program}`)};
  }

  // Go on from these notes. Nothing that is composed begins before the step `notBefore`.
  begin({notes, version, seed, notBefore}) {
    if (seed !== undefined) [this.point, this.sampler.seed] = [random(seed), seed];
    this.version = version;
    this.notBefore = notBefore;
    this.base = notes.length ? Math.min(...notes.map(note => note.onset)) : Math.ceil(notBefore);
    this.origins = new Map(notes.map(note => [this.key(note), note.origin]));
    this.given = notes;
    this.numGiven = notes.filter(note => note.origin == 0).length;
    const ids = this.codec.encode(notes);
    this.numTokens = ids.length;
    this.sampler.begin(ids);
    this.isOver = false;
    this.hasNews = true;
    this.told = 0; // when
  }

  key({onset, pitch, program}) {
    return `${onset - this.base} ${pitch} ${program}`;
  }

  get time() {
    return this.base + this.network.time;
  }

  isWanted(id) {
    const token = this.codec.tokens[id];
    if (this.settings.unwanted.includes(token)) return false;
    if (this.time >= this.notBefore) return true;
    const steps = this.model.token_steps[id], missing = this.notBefore - this.time;
    if (this.model.note_counts[id]) return false;
    return !steps || steps >= missing || steps == this.longestStep();
  }

  // Of what may come next the furthest step in time.
  longestStep() {
    const mask = this.codec.mask(this.sampler.state);
    return mask.reduce((most, allowed, id) => allowed ? Math.max(most, this.model.token_steps[id]) : most, 0);
  }

  // Compose for a moment; whether there is more to do.
  work() {
    const until = performance.now() + CHUNK, isFree = () => this.settings.unwanted.length == 0;
    while (!this.isOver && this.time < this.target && performance.now() < until) {
      if (this.sampler.mustEnd) this.isOver = true;
      else this.sampler.next(isFree() && this.time >= this.notBefore ? null : id => this.isWanted(id));
      this.hasNews = true;
      const {length} = this.settings, {mayEnd} = this.sampler;
      if (length && mayEnd && this.numGiven + this.numComposed() >= length) this.isOver = true;
    }
    const isDone = this.isOver || this.time >= this.target;
    if (this.hasNews && (isDone || performance.now() > this.told + PAUSE)) this.tell();
    return !isDone;
  }

  numComposed() {
    return this.isHeld ? this.codec.decode(this.sampler.ids.slice(this.numTokens)).notes.length
      : this.sampler.numNotes;
  }

  tell() {
    this.hasNews = false;
    this.told = performance.now();
    const {notes, steps} = this.codec.decode(this.sampler.ids);
    for (const note of notes) {
      note.onset += this.base;
      note.origin = this.origins.get(this.key(note)) ?? 0;
    }
    const composed = notes.filter(({token}) => token >= this.numTokens);
    if (!this.sampler.mayEnd && !this.isHeld) composed.pop(); // half-written
    const complete = this.isHeld ? notes : [...this.given, ...composed];
    const first = Math.max(0, complete.length - LOOKED_AT);
    if (this.copies) {
      const found = this.copies.find(complete.slice(first), this.codec.stepsPerBeat);
      this.passages.length = Math.min(this.passages.length, first);
      while (this.passages.length < first) this.passages.push(null);
      this.passages.push(...found);
      complete.forEach((note, i) => note.passage = this.passages[i]);
    }
    postMessage({type: "notes", version: this.version, notes: complete, time: this.base + steps,
      isOver: this.isOver});
  }
}

let composer = null, timer = null;

function work() {
  timer = composer.work() ? setTimeout(work, 0) : null;
}

onmessage = ({data}) => {
  if (data.type == "load") {
    composer = new Composer(data);
    postMessage({type: "ready"});
  } else if (data.type == "until") composer.target = data.steps;
  else composer[data.type](data);
  timer ??= setTimeout(work, 0);
};
