// How the next id is drawn, and when a sample is over: noternn/sampling in JavaScript.

// The distribution that is drawn from; see noternn/sampling/probabilities.py for the order of its steps.
function probabilities(logProbs, mask, options, repeated) {
  const kept = Float64Array.from(logProbs, (value, id) => mask[id] ? value : -Infinity);
  if (repeated && options.repetition_penalty != 1) {
    const most = kept.reduce((a, b) => Math.max(a, b));
    const sum = most + Math.log(kept.reduce((total, value) => total + Math.exp(value - most), 0));
    kept.forEach((value, id) => kept[id] = (value - sum) * (repeated.has(id) ? options.repetition_penalty : 1));
  }
  const order = [...kept.keys()].sort((a, b) => kept[b] - kept[a] || a - b);
  const left = new Set(order.slice(0, numKept(order.map(id => kept[id]), options)));
  const most = kept[order[0]];
  const weights = kept.map((value, id) => left.has(id) ? Math.exp((value - most) / options.temperature) : 0);
  const sum = weights.reduce((a, b) => a + b);
  return weights.map(weight => weight / sum);
}

function numKept(descending, {top_k: topK, top_p: topP, min_p: minP}) {
  const size = descending.length;
  let number = Math.min(topK || size, size);
  if (topP < 1) {
    let sum = 0;
    const cumulative = descending.map(value => sum += Math.exp(value - descending[0]));
    number = Math.min(number, 1 + cumulative.slice(0, -1).filter(part => part / sum < topP).length);
  }
  if (minP > 0)
    number = Math.min(number, descending.filter(value => value - descending[0] >= Math.log(minP)).length);
  return number;
}

function choose(probs, point) {
  let sum = 0;
  const cumulative = probs.map(prob => sum += prob);
  return cumulative.filter(part => part <= point * sum).length;
}

// After these no instrument comes in that was not heard: noternn/sampling/band.py.
const OPENING_BEATS = 32, OPENING_NOTES = 512;

// Composes with a network: a primer and what comes after it, an id at a time.
class Sampler {
  // `point()` gives numbers evenly random in [0, 1).
  constructor(model, network, codec, options, point) {
    Object.assign(this, {network, codec, options, point, pace: model.pace, steps: model.token_steps,
      counts: model.note_counts, isPitched: model.is_pitched, keepsBand: true});
    this.isProgram = codec.tokens.map(token => token.startsWith("Program_"));
    this.programs = codec.tokens.map(token => token == "Program_drum" ? 128
      : token.startsWith("Program_") ? Number(token.slice(8)) : -1);
    this.drum = this.programs.indexOf(128);
    this.bands = model.bands ?? []; // of training pieces, as programs
    this.seed = 0;
    this.begin([]);
  }

  // Start anew with the ids of a primer; steps that were made already are not made again.
  begin(primer) {
    const {network} = this, ids = [BOS, ...primer];
    let same = 0;
    while (same < ids.length && ids[same] === network.ids[same]) same++;
    network.rewind(same);
    Object.assign(this, {state: this.codec.start, ids: [], numNotes: 0, numSteps: 0, stepsSince: 0,
      tokensSince: 0, recent: [], isPrimer: true, at: 0, numHeard: 0, band: null});
    for (const id of ids.slice(same)) network.step(id);
    for (const id of primer) this.append(id);
    this.isPrimer = false;
    if (this.bands.length && this.isOpening) this.band = this.playing();
    else this.closeBand();
  }

  append(id) {
    const notes = this.counts[id], steps = this.steps[id];
    if (!this.isPrimer) {
      this.numNotes += notes;
      this.numSteps += steps;
    }
    this.stepsSince = notes ? steps : this.stepsSince + steps;
    this.tokensSince = notes ? 0 : this.tokensSince + 1;
    this.ids.push(id);
    this.state = this.codec.advance(this.state, id);
    this.at += steps;
    this.numHeard += notes;
    if (!this.isPrimer) this.closeBand();
    if (this.isPitched[id]) this.recent.push(id);
    if (this.recent.length > this.options.repetition_window) this.recent.shift();
  }

  get isOpening() {
    return this.at < OPENING_BEATS * this.codec.stepsPerBeat && this.numHeard < OPENING_NOTES;
  }

  // The instruments that were heard, as ids.
  heard() {
    return new Set(this.ids.filter(id => this.isProgram[id]));
  }

  // The instruments that play after a primer, as ids: Instruments.playing in noternn/sampling/band.py.
  playing() {
    const heard = new Set([...this.heard()].map(id => this.programs[id]));
    const shared = band => band.filter(program => heard.has(program)).length;
    const most = Math.max(...this.bands.map(shared)), alike = this.bands.filter(band => shared(band) == most);
    const band = new Set(alike[this.seed % alike.length]);
    for (const own of [...heard].filter(program => !band.has(program) && program < 128).sort((a, b) => a - b)) {
      const others = [...band].filter(program => !heard.has(program) && program < 128);
      others.sort((a, b) => Math.abs(a - own) - Math.abs(b - own) || a - b);
      band.delete(others[0]);
    }
    return new Set([...heard, ...band].map(program => this.programs.indexOf(program)));
  }

  // Keep to the instruments that were heard, once the opening is over.
  closeBand() {
    if (this.band || this.isOpening || !this.isProgram.includes(true)) return;
    this.band = this.heard();
  }

  // Which ids may come next, (vocabSize).
  mask() {
    const mask = this.codec.mask(this.state);
    if (!this.band || !this.keepsBand) return mask;
    const played = mask.map((allowed, id) => allowed && (!this.isProgram[id] || this.band.has(id)) ? 1 : 0);
    return played.some(allowed => allowed) ? played : mask;
  }

  // The network's log-probabilities with those of instruments that do not play given to those that do, drums
  // aside: Passing in noternn/sampling/band.py.
  passedOn(mask) {
    const {logProbs} = this.network, legal = this.codec.mask(this.state);
    const pitched = [...legal.keys()].filter(id => legal[id] && this.isProgram[id] && id != this.drum);
    const own = pitched.filter(id => mask[id]);
    if (!own.length || own.length == pitched.length) return logProbs;
    const logSum = ids => {
      const most = ids.reduce((a, id) => Math.max(a, logProbs[id]), -Infinity);
      return most + Math.log(ids.reduce((sum, id) => sum + Math.exp(logProbs[id] - most), 0));
    };
    const shift = logSum(pitched) - logSum(own), changed = Float64Array.from(logProbs);
    if (Number.isFinite(shift)) for (const id of own) changed[id] += shift;
    return changed;
  }

  get mayEnd() {
    return this.codec.isComplete(this.state);
  }

  get mustEnd() {
    return !this.codec.mask(this.state).some(allowed => allowed);
  }

  // Go on by an id, which it returns. `isWanted` may rule out ids more, such as instruments.
  next(isWanted) {
    const {network, options} = this;
    const repeated = options.repetition_penalty != 1 ? new Set(this.recent) : null;
    const drawn = mask => choose(probabilities(this.passedOn(mask), mask, options, repeated), this.point());
    const narrowed = mask => {
      if (!isWanted) return mask;
      const wanted = mask.map((allowed, id) => allowed && isWanted(id) ? 1 : 0);
      return wanted.some(allowed => allowed) ? wanted : mask;
    };
    let id = drawn(narrowed(this.mask()));
    if (this.lingers(id)) id = drawn(narrowed(this.maskOnward()));
    this.append(id);
    network.step(id);
    return id;
  }

  lingers(id) {
    const steps = this.steps[id];
    if (steps && this.stepsSince + steps > this.mostSteps()) return true;
    return !this.counts[id] && this.tokensSince >= this.pace.tokens;
  }

  mostSteps() {
    const {pace} = this;
    const left = pace.steps_per_note * this.numNotes + pace.steps - (this.numSteps - this.stepsSince);
    return Math.trunc(Math.min(pace.steps, Math.max(left, this.codec.stepsPerBeat)));
  }

  maskOnward() {
    const allowed = this.mask(), most = this.mostSteps();
    let onward = allowed.map((is, id) => is && (!this.steps[id] || this.stepsSince + this.steps[id] <= most));
    if (this.tokensSince >= this.pace.tokens) {
      const notes = onward.map((is, id) => is && this.counts[id] > 0);
      onward = notes.some(is => is) ? notes : onward.map((is, id) => is && !this.isChain(id));
    }
    return onward.some(is => is) ? onward : allowed;
  }

  isChain(id) {
    return this.codec.mask(this.codec.advance(this.state, id))[id];
  }
}

// Evenly random numbers in [0, 1) of a seed: sfc32 (Chris Doty-Humphrey, PractRand).
function random(seed) {
  let [a, b, c, counter] = [0x9e3779b9, 0x243f6a88, seed | 0, 1];
  const next = () => {
    const sum = (a + b | 0) + counter | 0;
    counter = counter + 1 | 0;
    a = b ^ b >>> 9;
    b = c + (c << 3) | 0;
    c = (c << 21 | c >>> 11) + sum | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 12; i++) next();
  return next;
}
