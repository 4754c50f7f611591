// Notes as a moving piano roll on a canvas: `Roll`.

const PIXELS_PER_SECOND = 56; // at least: what does not fit moves
const GUTTER = 28, TOP = 16; // pixels: of the names of octaves and the numbers of bars
const BLACK_KEYS = new Set([1, 3, 6, 8, 10]);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

class Roll {
  constructor(canvas, notes) {
    Object.assign(this, {canvas, position: 0, left: 0, isNear: false});
    this.lay(notes);
    // A canvas takes memory as a picture does: only those in sight have one.
    new IntersectionObserver(entries => {
      this.isNear = entries.at(-1).isIntersecting;
      if (this.isNear) this.resize();
      else canvas.width = 0;
    }, {rootMargin: "200px"}).observe(canvas);
    new ResizeObserver(() => this.isNear && this.resize()).observe(canvas);
  }

  // Take these notes, or some more; music that goes on has a `range` of pitches that does not change.
  lay(notes) {
    this.notes = notes;
    this.length = notes.duration.map((seconds, i) => notes.program[i] < 0 ? 0.12 : Math.max(seconds, 0.05));
    const pitches = [...notes.range ?? [], ...notes.pitch.filter((_, i) => notes.program[i] >= 0)];
    const drums = [...new Set(notes.pitch.filter((_, i) => notes.program[i] < 0))].sort((a, b) => b - a);
    this.high = pitches.length ? Math.max(...new Set(pitches)) + 2 : 0;
    this.low = pitches.length ? Math.min(...new Set(pitches)) - 2 : 1;
    this.numPitched = pitches.length ? this.high - this.low + 1 : 0;
    this.numRows = this.numPitched + (drums.length ? drums.length + 1 : 0);
    const firstDrum = this.numPitched + 1;
    this.row = notes.pitch.map((pitch, i) =>
      notes.program[i] < 0 ? firstDrum + drums.indexOf(pitch) : this.high - pitch);
  }

  resize() {
    const ratio = devicePixelRatio || 1, {clientWidth, clientHeight} = this.canvas;
    this.width = clientWidth - GUTTER;
    this.height = clientHeight;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.pen = this.canvas.getContext("2d");
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(this.canvas);
    this.ink = name => style.getPropertyValue(`--${name}`);
    this.scale = this.notes.range ? PIXELS_PER_SECOND
      : Math.max(PIXELS_PER_SECOND, this.width / this.notes.seconds);
    this.draw(this.position);
  }

  // The time at the left edge: the music moves under the playhead, or turns pages where that is asked for.
  follow() {
    const shown = this.width / this.scale, last = Math.max(0, this.notes.seconds - shown);
    if (!calm.matches) this.left = this.position - 0.3 * shown;
    else if (this.position < this.left || this.position > this.left + 0.95 * shown)
      this.left = this.position - 0.05 * shown;
    this.left = Math.min(Math.max(0, this.left), last);
  }

  timeAt(x) {
    return this.left + (x - GUTTER) / this.scale;
  }

  draw(position) {
    this.position = position;
    if (!this.isNear || !this.pen) return;
    this.follow();
    const {pen, width, height} = this;
    this.step = (height - TOP - 4) / this.numRows;
    pen.clearRect(0, 0, GUTTER + width, height);
    this.drawOctaves();
    pen.save();
    pen.translate(GUTTER, 0);
    pen.save();
    pen.beginPath();
    pen.rect(0, 0, width, height);
    pen.clip();
    this.drawGrid();
    this.drawNotes();
    pen.restore();
    this.drawPlayhead();
    pen.restore();
  }

  x(seconds) {
    return (seconds - this.left) * this.scale;
  }

  y(row) {
    return TOP + row * this.step;
  }

  drawOctaves() {
    const {pen} = this;
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = this.ink("soft");
    pen.textBaseline = "middle";
    for (let row = 0; row < this.numPitched; row++)
      if ((this.high - row) % 12 == 0) pen.fillText(`C${(this.high - row) / 12 - 1}`, 6, this.y(row + 0.5));
  }

  drawPlayhead() {
    const {pen} = this, x = this.x(this.position);
    pen.fillStyle = this.ink("playhead");
    pen.fillRect(x - 1, 0, 2, this.height);
    pen.beginPath();
    pen.moveTo(x - 6, 0);
    pen.lineTo(x + 6, 0);
    pen.lineTo(x, 9);
    pen.fill();
  }

  drawGrid() {
    const {pen, width, height, notes} = this;
    pen.fillStyle = this.ink("lane");
    for (let row = 0; row < this.numPitched; row++)
      if (BLACK_KEYS.has((this.high - row) % 12)) pen.fillRect(0, this.y(row), width, this.step);
    if (this.x(notes.given) > 0) {
      pen.fillStyle = this.ink("given");
      pen.fillRect(0, TOP, this.x(notes.given), height);
    }
    const apart = notes.bars.length > 1 ? (notes.bars.at(-1) - notes.bars[0]) / (notes.bars.length - 1) : 1;
    const every = [1, 2, 4, 8, 16, 32, 64, 128, 256].find(n => n * apart * this.scale > 40) ?? 512;
    pen.textBaseline = "top";
    notes.bars.forEach((seconds, i) => {
      const x = this.x(seconds);
      if (i % every || x < -40 || x > width) return;
      pen.fillStyle = this.ink("line");
      pen.fillRect(Math.round(x), 0, 1, height);
      pen.fillStyle = this.ink("soft");
      pen.fillText(i + 1, x + 7, 2);
    });
  }

  drawNotes() {
    const {pen, notes, position} = this, right = this.left + this.width / this.scale;
    const thick = Math.max(2, this.step - 1), round = Math.min(2.5, thick / 2), lit = [];
    const hues = [...Array(9).keys()].map(i => this.ink(`color-${i}`)), gray = this.ink("gray");
    const box = (i, more) => [this.x(notes.onset[i]) - more, this.y(this.row[i] + 0.5) - thick / 2 - more,
      Math.max(2, this.length[i] * this.scale - 1) + 2 * more, thick + 2 * more];
    const fill = (i, more) => {
      pen.fillStyle = hues[notes.color[i]] ?? gray;
      pen.beginPath();
      pen.roundRect(...box(i, more), round + more);
      pen.fill();
    };
    for (let i = 0; i < notes.onset.length && notes.onset[i] < right; i++) {
      const end = notes.onset[i] + this.length[i];
      if (end < this.left) continue;
      if (position > 0 && notes.onset[i] <= position && position < end) lit.push(i);
      pen.globalAlpha = 0.5 + 0.4 * notes.velocity[i] / 127;
      fill(i, 0);
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = this.ink("lit");
    pen.lineWidth = 1.5;
    for (const i of lit) {
      fill(i, 1.5);
      pen.stroke();
    }
  }
}
