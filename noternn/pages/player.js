// Plays the takes of a page and draws each as a piano roll; one sounds at a time.

const LOOK_AHEAD = 1.5; // seconds of sound are handed over: a tab in the background wakes once a second
const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

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
