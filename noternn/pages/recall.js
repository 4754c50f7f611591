// What followed earlier in a piece where its last ids came before: noternn/model/recall.py in JavaScript.

// Lengths of matches, each with the two shorter ones that it is put together from.
const LENGTHS = [[1, 0, 0], [2, 1, 1], [3, 2, 1], [4, 2, 2], [6, 4, 2], [8, 4, 4], [12, 8, 4], [16, 8, 8],
  [24, 16, 8], [32, 16, 16], [48, 32, 16], [64, 32, 32]];
const PARTS = LENGTHS.map(([length, first, last]) =>
  ({length, last, of: [first, last].map(part => LENGTHS.findIndex(([other]) => other == part))}));
const NUM_SEARCHES = 4, HOPS = 4; // of each match: places that are looked at, the latest first
const NUM_HEIGHTS = 128, FIRST_HEIGHT = 60, SPAN = 512, NAMES = 2 ** 26;

// Symbols so far. Equal passages have equal names: two names of halves are the name of the whole.
class Past {
  constructor() {
    this.symbols = [];
    this.searches = PARTS.map(() => ({names: [], earlier: [], known: new Map(), latest: []}));
  }

  append(symbol) {
    const here = this.symbols.push(symbol) - 1;
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
    this.symbols.pop();
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
        const symbol = this.symbols[place + 1];
        if (!found.has(symbol)) found.set(symbol, i);
        place = earlier[place];
      }
    }
    return [...found];
  }
}

// `kinds`: kind, height and steps of each id, and the length of a bar in steps.
class Recall {
  constructor(kinds, count) {
    Object.assign(this, kinds, {count, vocabSize: kinds.kind.length});
    this.ids = Array.from({length: Math.max(...kinds.kind) + 1}, () => new Int32Array(NUM_HEIGHTS + 1).fill(-1));
    kinds.kind.forEach((kind, id) => this.ids[kind][kinds.height[id] < 0 ? NUM_HEIGHTS : kinds.height[id]] = id);
    this.pasts = Array.from({length: NUM_SEARCHES}, () => new Past());
    this.states = [[FIRST_HEIGHT, 0]]; // the last height and the place in the bar, before each id and after all
  }

  // Go on by an id; suggestions as triples of where it stands among all, an id and the class of its match.
  append(id) {
    let [height, place] = this.states.at(-1);
    const own = this.height[id], kind = this.kind[id];
    place = (place + this.steps[id]) % this.bar;
    const moved = kind * SPAN + (own < 0 ? 0 : own - height + SPAN / 2);
    if (own >= 0) height = own;
    this.states.push([height, place]);
    [id, moved, kind, place * this.vocabSize + id].forEach((symbol, i) => this.pasts[i].append(symbol));
    const found = this.pasts.map(past => past.followers(this.count));
    const names = [
      symbol => symbol,
      symbol => this.idOf(symbol, height),
      symbol => this.ids[symbol][NUM_HEIGHTS],
      symbol => symbol % this.vocabSize,
    ];
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
    for (const past of this.pasts) past.pop();
  }
}
