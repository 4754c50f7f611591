// The sound of notes by WebAudio: `Synthesizer`, and `Sounds`, recorded notes for it to play with.

const PARTIALS = [0, 1, 0.45, 0.22, 0.12, 0.06, 0.03];
const FADE = 0.015, RELEASE = 0.06; // time constants in seconds
const METALS = new Set([42, 44, 46, 49, 51, 52, 53, 55, 57, 59]); // drums of noise alone, and bright

class Sounds {
  // `facts` are those of pages/sounds.py, `text` is base64 of samples of 16 bits.
  constructor({rate, notes}, text) {
    const samples = new Int16Array(Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer);
    this.programs = new Map();
    for (const {at, length, ...note} of notes) {
      note.buffer = new AudioBuffer({length, sampleRate: rate});
      note.buffer.copyToChannel(Float32Array.from(samples.subarray(at, at + length), value => value / 32768), 0);
      this.programs.set(note.program, [...this.programs.get(note.program) ?? [], note]);
    }
  }

  // The recorded note of an instrument that is nearest to a pitch; drums (128) have no other than their own.
  nearest(program, pitch) {
    const distance = note => Math.abs(note.pitch - pitch), notes = this.programs.get(program);
    const best = notes?.reduce((one, other) => distance(other) < distance(one) ? other : one);
    return best && (program < 128 || best.pitch == pitch) ? best : null;
  }
}

class Synthesizer {
  constructor(context = new AudioContext(), sounds = null) {
    this.context = context;
    this.sounds = sounds;
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

  // A recorded note at the speed that gives it its pitch.
  recorded(bus, at, seconds, note, pitch, velocity) {
    const {buffer, loop} = note, end = at + Math.max(seconds, 0.03);
    const [loopStart, loopEnd] = loop ?? [0, 0], playbackRate = 2 ** ((pitch - note.pitch) / 12);
    const source = new AudioBufferSourceNode(this.context, {buffer, playbackRate, loop: Boolean(loop), loopStart, loopEnd});
    const gain = new GainNode(this.context, {gain: 0.4 * note.gain * (velocity / 127) ** 1.5});
    gain.gain.setTargetAtTime(0, end, RELEASE);
    source.connect(gain).connect(bus);
    source.start(at);
    source.stop(end + 8 * RELEASE);
  }

  tone(bus, at, seconds, pitch, velocity, program) {
    const note = this.sounds?.nearest(program, pitch);
    if (note) return this.recorded(bus, at, seconds, note, pitch, velocity);
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
    const note = this.sounds?.nearest(128, pitch);
    if (note) return this.recorded(bus, at, note.buffer.duration, note, pitch, velocity);
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
