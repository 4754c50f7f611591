// What followed earlier in a piece where its last ids came before: noternn/model/recall.py in JavaScript.

// Lengths of matches, each with the two shorter ones that it is put together from.
const LENGTHS = [[1, 0, 0], [2, 1, 1], [3, 2, 1], [4, 2, 2], [6, 4, 2], [8, 4, 4], [12, 8, 4], [16, 8, 8],
  [24, 16, 8], [32, 16, 16], [48, 32, 16], [64, 32, 32]];
const PARTS = LENGTHS.map(([length, first, last]) =>
  ({length, last, of: [first, last].map(part => LENGTHS.findIndex(([other]) => other == part))}));
const NUM_SEARCHES = 4, NUM_PART_SEARCHES = 3, HOPS = 4; // of each match: places that are looked at, the latest first
const NUM_HEIGHTS = 128, FIRST_HEIGHT = 60, SPAN = 512, NAMES = 2 ** 26;

// Symbols so far. Equal passages have equal names: two names of halves are the name of the whole.
class Past {
  constructor() {
    this.size = 0;
    this.following = []; // what came after each but the last
    this.searches = PARTS.map(() => ({names: [], earlier: [], known: new Map(), latest: []}));
  }

  append(symbol) {
    const here = this.size++;
    PARTS.forEach(({length, last, of: [first, second]}, i) => {
      const {names, earlier, known, latest} = this.searches[i];
      if (here + 1 < length) {
        names.push(-1);
        earlier.push(-1);
        return;
      }
      const key = length == 1 ? symbol
        : this.searches[first].names[here - last] * NAMES + this.searches[second].names[here];
      let name = known.get(key);
      if (name === undefined) known.set(key, name = latest.push(-1) - 1);
      names.push(name);
      earlier.push(latest[name]);
      latest[name] = here;
    });
  }

  pop() {
    this.size--;
    for (const {names, earlier, latest} of this.searches) {
      const name = names.pop(), before = earlier.pop();
      if (name >= 0) latest[name] = before;
    }
  }

  // Up to `count` distinct symbols that followed: pairs of a symbol and the class of its match.
  followers(count) {
    const found = new Map();
    for (let i = PARTS.length - 1; i >= 0 && found.size < count; i--) {
      const {earlier} = this.searches[i];
      let place = earlier.at(-1);
      for (let hop = 0; hop < HOPS && place >= 0 && found.size < count; hop++) {
        const symbol = this.following[place];
        if (!found.has(symbol)) found.set(symbol, i);
        place = earlier[place];
      }
    }
    return [...found];
  }
}

// A `Past` for each chain of symbols, in which what follows is that of the whole piece.
class Chains {
  constructor() {
    this.pasts = new Map();
    this.order = []; // the chain's past of each symbol
  }

  // Go on by a symbol, which is `following` after the one before; what `followers` gives for it.
  append(chain, symbol, following, count) {
    this.order.at(-1)?.following.push(following);
    if (!this.pasts.has(chain)) this.pasts.set(chain, new Past());
    const past = this.pasts.get(chain);
    this.order.push(past);
    past.append(symbol);
    return past.followers(count);
  }

  pop() {
    this.order.pop().pop();
    this.order.at(-1)?.following.pop();
  }
}

// Where each instrument of a piece stands: noternn/model/part_symbols.py in JavaScript.
class PartSymbols {
  constructor(kinds, {part, within}) {
    Object.assign(this, {kinds, part, within, none: Math.max(...part) + 1, time: 0, undone: []});
    this.current = this.none; // the part whose note is being written
    this.onsets = Array(this.none).fill(-1);
    this.heights = Array(this.none + 1).fill(FIRST_HEIGHT);
  }

  // Go on by an id: its chain, by what each search looks it up, and what it is after the part's last height.
  append(id) {
    const {kinds, none, time, onsets, heights} = this, begun = this.part[id], size = kinds.vocabSize;
    const current = begun >= 0 ? begun : this.current, onset = onsets[begun];
    this.undone.push([time, this.current, begun, onset, current, heights[current]]);
    this.time += kinds.steps[id];
    this.current = current;
    const place = this.time % kinds.bar, moved = kinds.symbol(id, heights[current]);
    if (kinds.height[id] >= 0) heights[current] = kinds.height[id];
    if (begun >= 0) {
      onsets[begun] = this.time;
      const gap = onset >= 0 ? this.time - onset : 0;
      return {chain: begun, symbols: [size + gap, size + place, kinds.ids.length * SPAN], moved, height: heights[begun]};
    }
    if (this.within[id] && current != none)
      return {chain: current, symbols: [id, id, moved], moved, height: heights[current]};
    const said = current != none ? current : none + id, all = none + size;
    this.current = none;
    return {chain: none, symbols: [said, place * all + said, kinds.steps[id] > 0 ? all : said], moved, height: heights[none]};
  }

  pop() {
    const [time, before, begun, onset, current, height] = this.undone.pop();
    Object.assign(this, {time, current: before});
    if (begun >= 0) this.onsets[begun] = onset;
    this.heights[current] = height;
  }
}

// `kinds`: kind, height and steps of each id, the length of a bar in steps, and its parts or null.
class Recall {
  constructor(kinds, count) {
    Object.assign(this, kinds, {count, vocabSize: kinds.kind.length});
    this.ids = Array.from({length: Math.max(...kinds.kind) + 1}, () => new Int32Array(NUM_HEIGHTS + 1).fill(-1));
    kinds.kind.forEach((kind, id) => this.ids[kind][kinds.height[id] < 0 ? NUM_HEIGHTS : kinds.height[id]] = id);
    const chains = number => Array.from({length: number}, () => new Chains());
    this.pasts = chains(NUM_SEARCHES);
    this.partSymbols = kinds.parts ? new PartSymbols(this, kinds.parts) : null;
    this.partPasts = chains(kinds.parts ? NUM_PART_SEARCHES : 0);
    this.states = [[FIRST_HEIGHT, 0]]; // the last height and the place in the bar, before each id and after all
  }

  // What an id is after some height.
  symbol(id, height) {
    return this.kind[id] * SPAN + (this.height[id] < 0 ? 0 : this.height[id] - height + SPAN / 2);
  }

  // Go on by an id; suggestions as triples of where it stands among all, an id and the class of its match.
  append(id) {
    let [height, place] = this.states.at(-1);
    const own = this.height[id], kind = this.kind[id];
    place = (place + this.steps[id]) % this.bar;
    const moved = this.symbol(id, height);
    if (own >= 0) height = own;
    this.states.push([height, place]);
    const found = [id, moved, kind, place * this.vocabSize + id].map((symbol, i) =>
      this.pasts[i].append(0, symbol, symbol, this.count));
    const names = [
      symbol => symbol,
      symbol => this.idOf(symbol, height),
      symbol => this.ids[symbol][NUM_HEIGHTS],
      symbol => symbol % this.vocabSize,
    ];
    if (this.partSymbols) {
      const told = this.partSymbols.append(id), following = [id, id, told.moved];
      found.push(...this.partPasts.map((past, i) => past.append(told.chain, told.symbols[i], following[i], this.count)));
      names.push(symbol => symbol, symbol => symbol, symbol => this.idOf(symbol, told.height));
    }
    return found.flatMap((pairs, i) => pairs.map(([symbol, class_], j) =>
      [i * this.count + j, names[i](symbol), class_])).filter(([, suggested]) => suggested >= 0);
  }

  idOf(symbol, height) {
    const interval = symbol % SPAN, kind = (symbol - interval) / SPAN;
    if (!interval) return this.ids[kind][NUM_HEIGHTS];
    const own = interval - SPAN / 2 + height;
    return own >= 0 && own < NUM_HEIGHTS ? this.ids[kind][own] : -1;
  }

  pop() {
    this.states.pop();
    this.partSymbols?.pop();
    for (const past of [...this.pasts, ...this.partPasts]) past.pop();
  }
}
