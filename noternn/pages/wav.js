// WAV files: sound -> bytes.

// Sound, an AudioBuffer, as the bytes of a WAV file of 16 bits a sample.
function writeWav(buffer) {
  const channels = Array.from({length: buffer.numberOfChannels}, (_, i) => buffer.getChannelData(i));
  const size = 2 * channels.length * buffer.length, view = new DataView(new ArrayBuffer(44 + size));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  [[16, 16, 4], [20, 1, 2], [22, channels.length, 2], [24, buffer.sampleRate, 4],
    [28, 2 * channels.length * buffer.sampleRate, 4], [32, 2 * channels.length, 2], [34, 16, 2]]
    .forEach(([at, value, bytes]) => bytes == 2 ? view.setUint16(at, value, true) : view.setUint32(at, value, true));
  text(36, "data");
  view.setUint32(40, size, true);
  for (let i = 0, at = 44; i < buffer.length; i++)
    for (const channel of channels) {
      view.setInt16(at, Math.round(32767 * Math.max(-1, Math.min(1, channel[i]))), true);
      at += 2;
    }
  return new Uint8Array(view.buffer);
}
