
"use strict";
{ // Plays the takes of a page with WebAudio and draws each as a piano roll; one sounds at a time.
  const LOOK_AHEAD = 1.5; // seconds of sound are handed over: a tab in the background wakes once a second
  const PARTIALS = [0, 1, 0.45, 0.22, 0.12, 0.06, 0.03];
  const FADE = 0.015, RELEASE = 0.06; // time constants in seconds
  const PIXELS_PER_SECOND = 56; // at least: what does not fit moves
  const GUTTER = 28, TOP = 16; // pixels: of the names of octaves and the numbers of bars
  const BLACK_KEYS = new Set([1, 3, 6, 8, 10]);
  const METALS = new Set([42, 44, 46, 49, 51, 52, 53, 55, 57, 59]); // drums of noise alone, and bright
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

  class Synthesizer {
    constructor() {
      this.context = new AudioContext();
      this.output = new GainNode(this.context);
      const limiter = new DynamicsCompressorNode(this.context, {threshold: -14, ratio: 12, knee: 8});
      this.output.connect(limiter).connect(this.context.destination);
      this.wave = new PeriodicWave(this.context, {real: PARTIALS.map(() => 0), imag: PARTIALS});
      const {sampleRate} = this.context;
      this.noise = new AudioBuffer({length: sampleRate / 2, sampleRate});
      const samples = this.noise.getChannelData(0);
      for (let i = 0; i < samples.length; i++) samples[i] = 2 * Math.random() - 1;
    }

    volume(share) {
      this.output.gain.setTargetAtTime(share * share, this.context.currentTime, FADE);
    }

    // What begins and ends together; a bus that is cut fades out, and with it all that was handed over.
    bus() {
      const bus = new GainNode(this.context);
      bus.connect(this.output);
      return bus;
    }

    cut(bus) {
      bus.gain.setTargetAtTime(0, this.context.currentTime, FADE);
      setTimeout(() => bus.disconnect(), 200);
    }

    // Organs, bows and winds go on while a note lasts; what is struck or plucked dies away by itself.
    static isHeld(program) {
      const isStruck = [45, 46, 47, 55].includes(program); // pizzicato, harp, timpani, orchestra hit
      const within = (first, last) => program >= first && program <= last;
      return within(16, 23) || (within(40, 79) && !isStruck) || within(88, 95);
    }

    tone(bus, at, seconds, pitch, velocity, program) {
      const frequency = 440 * 2 ** ((pitch - 69) / 12), held = Synthesizer.isHeld(program);
      // The ear hears high tones of equal amplitude as louder.
      const level = 0.3 * (velocity / 127) ** 1.5 * 2 ** ((60 - pitch) / 36);
      const attack = held ? 0.03 : 0.005, end = at + Math.max(seconds, attack + 0.02);
      const string = new OscillatorNode(this.context, {frequency, periodicWave: this.wave});
      const brightest = Math.min(9 * frequency, 16000);
      const filter = new BiquadFilterNode(this.context, {frequency: brightest, Q: 0});
      const gain = new GainNode(this.context, {gain: 0});
      const decay = 0.9 * 2 ** ((60 - pitch) / 24);
      if (!held) filter.frequency.setTargetAtTime(2.5 * frequency, at, decay / 2); // upper partials die sooner
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(level, at + attack);
      gain.gain.setTargetAtTime(held ? 0.6 * level : 0, at + attack, held ? 0.3 : decay);
      gain.gain.setTargetAtTime(0, end, RELEASE);
      string.connect(filter).connect(gain).connect(bus);
      string.start(at);
      string.stop(end + 8 * RELEASE);
    }

    drum(bus, at, pitch, velocity) {
      const isKick = pitch == 35 || pitch == 36, isMetal = METALS.has(pitch);
      const level = 0.5 * (velocity / 127) ** 1.5;
      const gain = new GainNode(this.context, {gain: 0}), decay = isKick ? 0.09 : isMetal ? 0.04 : 0.06;
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(isKick ? 1.6 * level : level, at + 0.002);
      gain.gain.setTargetAtTime(0, at + 0.002, decay);
      gain.connect(bus);
      let source;
      if (isKick) {
        source = new OscillatorNode(this.context, {frequency: 130});
        source.frequency.setValueAtTime(130, at);
        source.frequency.exponentialRampToValueAtTime(45, at + 0.12);
        source.connect(gain);
      } else {
        const frequency = isMetal ? 7000 : 300 + 60 * Math.max(0, pitch - 37);
        const type = isMetal ? "highpass" : "bandpass";
        const filter = new BiquadFilterNode(this.context, {type, frequency, Q: 0.6});
        source = new AudioBufferSourceNode(this.context, {buffer: this.noise});
        source.connect(filter).connect(gain);
      }
      source.start(at);
      source.stop(at + Math.min(8 * decay, 0.49));
    }
  }

  class Roll {
    constructor(canvas, notes) {
      Object.assign(this, {canvas, notes, position: 0, left: 0, isNear: false});
      this.length = notes.duration.map((seconds, i) => notes.program[i] < 0 ? 0.12 : Math.max(seconds, 0.05));
      const pitches = notes.pitch.filter((_, i) => notes.program[i] >= 0);
      const drums = [...new Set(notes.pitch.filter((_, i) => notes.program[i] < 0))].sort((a, b) => b - a);
      this.high = pitches.length ? Math.max(...new Set(pitches)) + 2 : 0;
      this.low = pitches.length ? Math.min(...new Set(pitches)) - 2 : 1;
      this.numPitched = pitches.length ? this.high - this.low + 1 : 0;
      this.numRows = this.numPitched + (drums.length ? drums.length + 1 : 0);
      const firstDrum = this.numPitched + 1;
      this.row = notes.pitch.map((pitch, i) =>
        notes.program[i] < 0 ? firstDrum + drums.indexOf(pitch) : this.high - pitch);
      // A canvas takes memory as a picture does: only those in sight have one.
      new IntersectionObserver(entries => {
        this.isNear = entries.at(-1).isIntersecting;
        if (this.isNear) this.resize();
        else canvas.width = 0;
      }, {rootMargin: "200px"}).observe(canvas);
      new ResizeObserver(() => this.isNear && this.resize()).observe(canvas);
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
      this.scale = Math.max(PIXELS_PER_SECOND, this.width / this.notes.seconds);
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

  let synthesizer = null, volume = 0.7, playing = null;

  class Player {
    constructor(take) {
      this.take = take;
      this.notes = JSON.parse(take.querySelector("script").textContent);
      const [canvas, button, seek, now, loudness] = [".roll", ".play", ".seek", ".now", ".volume"]
        .map(name => take.querySelector(name));
      Object.assign(this, {button, seek, now, offset: 0, bus: null});
      this.name = button.getAttribute("aria-label").replace(/^Play /, "");
      this.roll = new Roll(canvas, this.notes);
      this.link = document.querySelector(`a[href="#${take.id}"]`);
      button.addEventListener("click", () => this.toggle());
      seek.addEventListener("input", () => this.go(Number(seek.value)));
      take.addEventListener("keydown", event => this.press(event));
      const point = event => event.buttons == 1 && this.go(this.roll.timeAt(event.offsetX));
      canvas.addEventListener("pointerdown", point);
      canvas.addEventListener("pointermove", point);
      loudness.addEventListener("input", () => setVolume(Number(loudness.value)));
    }

    get position() {
      if (!this.bus) return this.offset;
      const {currentTime, outputLatency = 0} = synthesizer.context;
      return this.offset + Math.max(0, currentTime - this.begin - outputLatency);
    }

    press(event) {
      if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches(".volume, summary")) return;
      const moves = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5};
      if (event.key == " " && event.target != this.button) this.toggle();
      else if (event.target != this.seek) return;
      else if (event.key in moves) this.go(this.position + moves[event.key]);
      else if (event.key == "Home") this.go(0);
      else if (event.key == "End") this.go(this.notes.seconds);
      else return;
      event.preventDefault();
    }

    toggle() {
      if (this.bus) this.pause(); else this.play();
    }

    play() {
      if (playing) playing.pause();
      playing = this;
      synthesizer ??= new Synthesizer();
      synthesizer.context.resume();
      synthesizer.volume(volume);
      if (this.offset > this.notes.seconds - 0.05) this.offset = 0;
      this.begin = synthesizer.context.currentTime + 0.05;
      this.bus = synthesizer.bus();
      this.next = 0;
      this.sound();
      this.timer = setInterval(() => this.sound(), 200);
      this.frame();
      this.show(true);
    }

    pause() {
      this.offset = Math.min(this.position, this.notes.seconds);
      this.silence();
      playing = null;
      this.show(false);
      this.tell();
    }

    silence() {
      clearInterval(this.timer);
      cancelAnimationFrame(this.request);
      if (this.bus) synthesizer.cut(this.bus);
      this.bus = null;
    }

    go(seconds) {
      const wasPlaying = this.bus;
      if (wasPlaying) this.pause();
      this.offset = Math.min(Math.max(0, seconds), this.notes.seconds);
      if (wasPlaying && this.offset < this.notes.seconds) this.play();
      this.tell();
    }

    // Hand over the notes of the next moments; those that sound already where playing begins, from there on.
    sound() {
      const {onset, duration, pitch, velocity, program} = this.notes, {currentTime} = synthesizer.context;
      const until = this.offset + currentTime - this.begin + LOOK_AHEAD;
      for (; this.next < onset.length && onset[this.next] < until; this.next++) {
        const i = this.next, at = this.begin + onset[i] - this.offset;
        const missed = Math.max(0, this.begin - at, currentTime - at);
        if (program[i] < 0 && missed < 0.05) synthesizer.drum(this.bus, at + missed, pitch[i], velocity[i]);
        if (program[i] >= 0 && duration[i] > missed)
          synthesizer.tone(this.bus, at + missed, duration[i] - missed, pitch[i], velocity[i], program[i]);
      }
      if (this.position > this.notes.seconds + 4 * RELEASE) {
        this.pause();
        this.offset = 0;
        this.tell();
      }
    }

    frame() {
      this.tell();
      this.request = requestAnimationFrame(() => this.frame());
    }

    tell() {
      const seconds = Math.min(this.position, this.notes.seconds), text = clock(seconds);
      this.roll.draw(seconds);
      this.seek.value = seconds;
      if (this.now.textContent != text) {
        this.now.textContent = text;
        this.seek.setAttribute("aria-valuetext", `${text} of ${clock(this.notes.seconds)}`);
      }
    }

    show(isPlaying) {
      this.take.classList.toggle("playing", isPlaying);
      this.link?.classList.toggle("playing", isPlaying);
      this.button.setAttribute("aria-label", `${isPlaying ? "Pause" : "Play"} ${this.name}`);
    }
  }

  function setVolume(percent) {
    volume = percent / 100;
    for (const slider of document.querySelectorAll(".take .volume")) slider.value = percent;
    synthesizer?.volume(volume);
  }

  const takes = [...document.querySelectorAll(".take")].filter(take => take.querySelector(".play"));
  const players = takes.map(take => new Player(take));
  addEventListener("beforeprint", () => players.forEach(({roll}) => {
    roll.isNear = true;
    roll.resize();
  }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    players.forEach(player => player.roll.isNear && player.roll.resize()));
}
