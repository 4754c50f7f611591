// The network one id at a time, with the weights of a run: noternn/model/stepper.py in JavaScript.

const SPANS = [8, 8, 16, 32], MEMORY = 64, MAX_INTERVAL = 24, REACH = 12, NUM_INTERVALS = 2 * MAX_INTERVAL + 1;
const LAGS = [1, 1, 1, 1, 2, 2, 4, 4, 16, 32];
const AGES = [...Array(17).keys()].map(i => i + 1).concat(25, 33, 65);
const KEPT_STATES = 1024; // so many steps are taken back at once; further back all are made again

// `weight` (rows, columns) times `values`, plus `bias`, added to `sums` or instead of it; four rows at a time.
function multiply(weight, values, bias, sums, isAdded) {
  const columns = values.length, rows = sums.length;
  let row = 0;
  for (; row + 3 < rows; row += 4) {
    let a = 0, b = 0, c = 0, d = 0;
    const first = row * columns, second = first + columns, third = second + columns, fourth = third + columns;
    for (let i = 0; i < columns; i++) {
      const value = values[i];
      a += weight[first + i] * value;
      b += weight[second + i] * value;
      c += weight[third + i] * value;
      d += weight[fourth + i] * value;
    }
    set(sums, row, a, bias, isAdded);
    set(sums, row + 1, b, bias, isAdded);
    set(sums, row + 2, c, bias, isAdded);
    set(sums, row + 3, d, bias, isAdded);
  }
  for (; row < rows; row++) {
    let sum = 0;
    for (let i = 0; i < columns; i++) sum += weight[row * columns + i] * values[i];
    set(sums, row, sum, bias, isAdded);
  }
  return sums;
}

function set(sums, row, sum, bias, isAdded) {
  sums[row] = (isAdded ? sums[row] : 0) + (bias ? bias[row] : 0) + sum;
}

const sigmoid = x => 1 / (1 + Math.exp(-x));

// Half precision (IEEE 754 binary16) or single precision, as base64.
function decodeWeights(text, bits) {
  const letters = atob(text.trim()), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  if (bits == 32) return new Float32Array(bytes.buffer);
  const table = new Float32Array(2 ** 16);
  for (let half = 0; half < table.length; half++) {
    const sign = half >> 15 ? -1 : 1, exponent = half >> 10 & 31, fraction = half & 1023;
    table[half] = sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * fraction / 1024);
  }
  const halves = new Uint16Array(bytes.buffer), weights = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) weights[i] = table[halves[i]];
  return weights;
}

function readBits(text, count) {
  const bytes = atob(text);
  return Uint8Array.from({length: count}, (_, i) => bytes.charCodeAt(i >> 3) >> (7 - i % 8) & 1);
}

class Network {
  // `model` as noternn.model.plain describes it, and the numbers of all its tensors in a row.
  constructor(model, numbers) {
    Object.assign(this, model.network);
    this.tensors = Object.fromEntries(Object.entries(model.tensors).map(([name, {at, shape}]) =>
      [name, numbers.subarray(at, at + shape.reduce((a, b) => a * b, 1))]));
    const size = this.vocabSize = model.tokens.length;
    this.tokenSteps = model.token_steps;
    this.pitchOf = model.token_pitches;
    this.isBeforePitch = readBits(model.before_pitch, size);
    this.followers = model.followers ? readBits(model.followers, size * size) : null;
    this.kinds = model.kinds && {...model.kinds, steps: model.token_steps};
    this.width = this.tensors["layers.0.weight_ih_l0"].length / (4 * this.hidden_size);
    this.embeddingDim = this.tensors["embedding.weight"].length / size;
    const told = model.token_pitches.filter(pitch => pitch >= 0);
    this.lowest = Math.min(...told);
    this.numRows = told.length ? Math.max(...told) - this.lowest + 1 : 0; // pitches that a convolution scores
    this.kernel = this.pitch_channels ? this.layOut(this.tensors["intervals.convolution.weight"]) : null;
    this.lag = LAGS.flatMap((length, lag) => Array(length).fill(lag));
    this.span = SPANS.flatMap((length, span) => Array(length).fill(span));
    this.cache = new Map();
    this.buffers = new Map();
    this.reset();
  }

  reset() {
    const zeros = () => Array.from({length: this.num_layers}, () => new Float64Array(this.hidden_size));
    Object.assign(this, {ids: [], hidden: zeros(), cell: zeros(), time: 0, slot: 0, pitches: [], onsets: []});
    this.recall = this.memory ? new Recall(this.kinds, this.memory) : null;
    this.kept = new Map(); // by the number of ids
    this.logProbs = null;
  }

  // (channels, rolls, places) as (rolls, places, channels)
  layOut(weight) {
    const channels = this.pitch_channels, others = weight.length / channels;
    return Float32Array.from(weight, (_, i) => weight[i % channels * others + Math.floor(i / channels)]);
  }

  buffer(name, size) {
    if (!this.buffers.has(name)) this.buffers.set(name, new Float64Array(size));
    return this.buffers.get(name);
  }

  // Log-probabilities of the next id, (vocabSize), after one more.
  step(id) {
    this.ids.push(id);
    const steps = this.tokenSteps[id];
    this.time += steps;
    if (steps > 0) this.slot = 0;
    const slot = this.slot++;
    if (this.num_pitches && this.pitchOf[id] >= 0) {
      this.pitches.push(this.pitchOf[id]);
      this.onsets.push(this.time);
    }
    const suggested = this.recall ? this.recall.append(id) : [];
    const values = this.runLayers(this.read(slot, suggested));
    this.logProbs = this.predict(id, values, suggested);
    this.keep();
    return this.logProbs;
  }

  keep() {
    const {ids, hidden, cell, time, slot, pitches, logProbs} = this;
    const copy = parts => parts.map(part => part.slice());
    this.kept.set(ids.length, {hidden: copy(hidden), cell: copy(cell), time, slot,
      numPitches: pitches.length, logProbs});
    this.kept.delete(ids.length - KEPT_STATES);
  }

  // Go back to where there were so many ids.
  rewind(length) {
    if (length >= this.ids.length) return;
    const ids = this.ids.slice(0, length), state = this.kept.get(length);
    if (!state) {
      this.reset();
      for (const id of ids) this.step(id);
      return;
    }
    for (let n = this.ids.length; n > length; n--) {
      this.kept.delete(n);
      this.recall?.pop();
    }
    const {hidden, cell, time, slot, numPitches, logProbs} = state, copy = parts => parts.map(part => part.slice());
    Object.assign(this, {ids, hidden: copy(hidden), cell: copy(cell), time, slot, logProbs});
    this.pitches.length = this.onsets.length = numPitches;
  }

  // What an id says to the first layer, by the projection of this name and number if there is one.
  said(name, number, id) {
    const {embeddingDim, width} = this, vector = this.tensors["embedding.weight"]
      .subarray(id * embeddingDim, (id + 1) * embeddingDim);
    const projection = this.tensors[name];
    if (!projection) return vector;
    const key = `${name} ${number} ${id}`;
    if (!this.cache.has(key)) {
      const sums = new Float32Array(width), at = number * embeddingDim * width;
      for (let column = 0; column < width; column++) {
        let sum = 0;
        for (let row = 0; row < embeddingDim; row++) sum += vector[row] * projection[at + row * width + column];
        sums[column] = sum;
      }
      this.cache.set(key, sums);
    }
    return this.cache.get(key);
  }

  // The first layer's input, (width).
  read(slot, suggested) {
    const {width, tensors, ids} = this, values = this.buffer("values", width).fill(0);
    const add = (weights, row = 0) => {
      for (let i = 0, at = row * width; i < width; i++) values[i] += weights[at + i];
    };
    for (let k = 0; k < this.num_input_tokens; k++)
      add(this.said("projection", k, ids[ids.length - this.num_input_tokens + k] ?? 0));
    this.periods.forEach((period, i) => add(tensors[`places.${i}`], this.time % period));
    if (this.num_slots) add(tensors[`places.${this.periods.length}`], Math.min(slot, this.num_slots - 1));
    if (this.num_pitches) this.readPitches(values, add);
    for (const [place, id, class_] of suggested) {
      add(this.said("memory.projection", place % this.memory, id));
      add(tensors["memory.classes"], place * LENGTHS.length + class_);
    }
    return values;
  }

  readPitches(values, add) {
    const last = this.pitches.length - 1, counts = this.buffer("counts", 12 * SPANS.length).fill(0);
    const latest = this.pitches[last];
    for (let ago = 0; ago < this.num_pitches; ago++) {
      const interval = ago > last ? MAX_INTERVAL + 1
        : Math.max(-MAX_INTERVAL, Math.min(MAX_INTERVAL, this.pitches[last - ago] - latest));
      add(this.tensors["intervals.table"], ago * (NUM_INTERVALS + 1) + MAX_INTERVAL + interval);
    }
    for (let ago = 0; ago <= Math.min(last, MEMORY - 1); ago++) {
      const step = (this.pitches[last - ago] - latest + 132) % 12, span = this.span[ago];
      counts[12 * span + step] += SPANS[span] ** -0.5;
    }
    multiply(this.tensors["intervals.classes.weight"], counts, null, values, true);
  }

  runLayers(values) {
    const size = this.hidden_size, gates = this.buffer("gates", 4 * size);
    for (let layer = 0; layer < this.num_layers; layer++) {
      const [wIh, wHh, bIh, bHh] = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
        .map(name => this.tensors[`layers.${layer}.${name}_l0`]);
      const hidden = this.hidden[layer], cell = this.cell[layer];
      multiply(wIh, values, bIh, gates, false);
      multiply(wHh, hidden, bHh, gates, true);
      for (let i = 0; i < size; i++) {
        cell[i] = Math.fround(sigmoid(gates[size + i]) * cell[i]
          + sigmoid(gates[i]) * Math.tanh(gates[2 * size + i]));
        hidden[i] = Math.fround(sigmoid(gates[3 * size + i]) * Math.tanh(cell[i]));
      }
      const output = this.buffer(`output ${layer}`, size);
      for (let i = 0; i < size; i++) output[i] = this.residual ? values[i] + hidden[i] : hidden[i];
      values = output;
    }
    return values;
  }

  predict(id, values, suggested) {
    const {tensors, vocabSize} = this, last = this.num_fc_layers == 1 ? "head" : "head.3";
    let below = values;
    if (this.num_fc_layers == 2) {
      below = multiply(tensors["head.0.weight"], values, tensors["head.0.bias"],
        this.buffer("below", tensors["head.0.bias"].length), false);
      for (let i = 0; i < below.length; i++) below[i] = Math.max(0, below[i]);
    }
    const weight = tensors[this.tied ? "embedding.weight" : `${last}.weight`];
    const logits = multiply(weight, below, tensors[`${last}.bias`], new Float64Array(vocabSize), false);
    const isBefore = this.isBeforePitch[id];
    if (this.num_pitches && isBefore) this.scorePitches(logits, values);
    if (suggested.length) {
      const boosts = multiply(tensors["memory.boosts.weight"], values, tensors["memory.boosts.bias"],
        this.buffer("boosts", tensors["memory.boosts.bias"].length), false);
      for (const [place, other, class_] of suggested) logits[other] += boosts[place * LENGTHS.length + class_];
    }
    for (let next = 0; next < vocabSize; next++) {
      const isOut = (this.followers && !this.followers[id * vocabSize + next])
        || (this.num_pitches && !isBefore && this.pitchOf[next] >= 0);
      if (isOut) logits[next] = -Infinity;
    }
    return logSoftmax(logits);
  }

  scorePitches(logits, values) {
    const {tensors, lowest} = this, last = this.pitches.length - 1;
    const sums = this.buffer("sums", 128).fill(0);
    const scores = multiply(tensors["intervals.scores.weight"], values, tensors["intervals.scores.bias"],
      this.buffer("scores", this.num_pitches * NUM_INTERVALS), false);
    for (let ago = 0; ago < Math.min(this.num_pitches, last + 1); ago++) {
      const first = this.pitches[last - ago] - MAX_INTERVAL;
      for (let k = 0; k < NUM_INTERVALS; k++)
        if (first + k >= 0 && first + k < 128) sums[first + k] += scores[ago * NUM_INTERVALS + k];
    }
    if (this.kernel) this.convolve(sums, values);
    this.pitchOf.forEach((pitch, next) => {
      if (pitch >= 0) logits[next] += sums[pitch];
    });
  }

  convolve(sums, values) {
    const {numRows, kernel, lowest, tensors, pitch_channels: channels} = this, last = this.pitches.length - 1;
    const found = this.buffer("found", numRows * channels).fill(0);
    for (let ago = 0; ago <= Math.min(last, MEMORY - 1); ago++) {
      const column = this.pitches[last - ago] - lowest, age = this.time - this.onsets[last - ago];
      const rolls = [this.lag[ago], LAGS.length + AGES.filter(start => start <= age).length];
      for (let row = Math.max(0, column - REACH); row <= Math.min(numRows - 1, column + REACH); row++)
        for (const roll of rolls)
          for (let c = 0, at = (roll * (2 * REACH + 1) + column + REACH - row) * channels; c < channels; c++)
            found[row * channels + c] += kernel[at + c];
    }
    const hidden = multiply(tensors["intervals.convolution.hidden.weight"], values,
      tensors["intervals.convolution.hidden.bias"], this.buffer("hidden", channels), false);
    const output = tensors["intervals.convolution.output.weight"];
    for (let row = 0; row < numRows; row++)
      for (let c = 0; c < channels; c++)
        sums[lowest + row] += output[c] * Math.max(0, found[row * channels + c] + hidden[c]);
  }
}

function logSoftmax(logits) {
  let most = -Infinity, sum = 0;
  for (let i = 0; i < logits.length; i++) most = Math.max(most, logits[i] = Math.fround(logits[i]));
  for (const logit of logits) sum += Math.exp(logit - most);
  return logits.map(logit => logit - most - Math.log(sum));
}
