// MIDI files: bytes <-> notes, with times in ticks.

const KINDS_OF_ONE = [0xc0, 0xd0]; // events with one byte of data

class MidiReader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  number(size) {
    let value = 0;
    for (let i = 0; i < size; i++) value = value * 256 + this.byte();
    return value;
  }

  byte() {
    if (this.at >= this.bytes.length) throw new Error("the file ends too early");
    return this.bytes[this.at++];
  }

  variable() {
    let value = 0, byte;
    do {
      byte = this.byte();
      value = value * 128 + (byte & 127);
    } while (byte & 128);
    return value;
  }

  text(size) {
    return String.fromCharCode(...Array.from({length: size}, () => this.byte()));
  }
}

// {ticksPerBeat, tempo, metre, notes}; notes have ticks. Throws an Error that says what is wrong.
function readMidi(bytes) {
  const reader = new MidiReader(bytes);
  if (reader.text(4) != "MThd") throw new Error("it is no MIDI file");
  const end = reader.number(4) + 8;
  reader.number(2);
  const numTracks = reader.number(2), ticksPerBeat = reader.number(2);
  if (!ticksPerBeat || ticksPerBeat & 0x8000) throw new Error("its times are no beats");
  const found = {ticksPerBeat, tempo: null, metre: null, notes: []};
  reader.at = end;
  for (let track = 0; track < numTracks && reader.at + 8 <= bytes.length; track++) {
    const isTrack = reader.text(4) == "MTrk", size = reader.number(4), stop = reader.at + size;
    if (isTrack) readTrack(new MidiReader(bytes.subarray(reader.at, stop)), found);
    else track--;
    reader.at = stop;
  }
  found.notes.sort((a, b) => a.onset - b.onset || a.pitch - b.pitch);
  return found;
}

function readTrack(reader, found) {
  const programs = Array(16).fill(0), open = new Map();
  let time = 0, status = 0;
  const close = key => {
    const note = open.get(key)?.shift();
    if (note && time > note.onset) found.notes.push({...note, duration: time - note.onset});
  };
  while (reader.at < reader.bytes.length) {
    time += reader.variable();
    if (reader.bytes[reader.at] & 128) status = reader.byte();
    const kind = status & 0xf0, channel = status & 15;
    if (status == 0xff) readMeta(reader, found);
    else if (kind == 0xf0) reader.at += reader.variable();
    else {
      const first = reader.byte(), second = KINDS_OF_ONE.includes(kind) ? 0 : reader.byte();
      const key = channel * 128 + first;
      if (kind == 0xc0) programs[channel] = first;
      if (kind == 0x80 || (kind == 0x90 && second == 0)) close(key);
      if (kind == 0x90 && second > 0) {
        if (!open.has(key)) open.set(key, []);
        const program = channel == 9 ? 128 : programs[channel];
        open.get(key).push({onset: time, pitch: first, velocity: second, program});
      }
    }
  }
}

function readMeta(reader, found) {
  const kind = reader.byte(), size = reader.variable(), stop = reader.at + size;
  if (kind == 0x51 && size == 3) found.tempo ??= 60e6 / reader.number(3);
  if (kind == 0x58 && size >= 2) found.metre ??= [reader.byte(), 2 ** reader.byte()];
  reader.at = stop;
}

const variableBytes = value => {
  const bytes = [value & 127];
  while (value = Math.floor(value / 128)) bytes.unshift(value & 127 | 128);
  return bytes;
};
const numberBytes = (value, size) => Array.from({length: size}, (_, i) => Math.floor(value / 256 ** (size - 1 - i)) % 256);
const textBytes = text => Array.from(text, character => character.charCodeAt(0));

// The bytes of a file of notes with ticks; a track an instrument.
function writeMidi({ticksPerBeat, tempo, metre, notes}) {
  const programs = [...new Set(notes.map(note => note.program))].sort((a, b) => a - b);
  const meta = [0, 0xff, 0x51, 3, ...numberBytes(Math.round(60e6 / tempo), 3),
    0, 0xff, 0x58, 4, metre[0], Math.log2(metre[1]), 24, 8];
  const tracks = [meta, ...programs.map((program, i) => {
    const channel = program == 128 ? 9 : [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15][i % 15];
    const own = notes.filter(note => note.program == program);
    const events = own.flatMap(({onset, duration, pitch, velocity}) =>
      [[onset, 1, 0x90 | channel, pitch, velocity], [onset + duration, 0, 0x80 | channel, pitch, 0]]);
    events.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    let last = 0;
    return (program == 128 ? [] : [0, 0xc0 | channel, program]).concat(events.flatMap(([time, , ...bytes]) => {
      const delta = variableBytes(time - last);
      last = time;
      return [...delta, ...bytes];
    }));
  })];
  const chunks = tracks.map(bytes => [...bytes, 0, 0xff, 0x2f, 0])
    .flatMap(bytes => [...textBytes("MTrk"), ...numberBytes(bytes.length, 4), ...bytes]);
  return Uint8Array.from([...textBytes("MThd"), ...numberBytes(6, 4), 0, 1, ...numberBytes(tracks.length, 2),
    ...numberBytes(ticksPerBeat, 2), ...chunks]);
}
