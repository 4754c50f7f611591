// Saves the takes of a page, as the MIDI file that they come from and as sound.

const SAVED_RATE = 44100, RING = 1.5; // samples a second; seconds after the last note

async function soundOf({onset, duration, pitch, velocity, program, seconds}) {
  const context = new OfflineAudioContext(1, Math.ceil((seconds + RING) * SAVED_RATE), SAVED_RATE);
  const offline = new Synthesizer(context);
  offline.output.gain.value = 0.5;
  for (let i = 0; i < onset.length; i++) {
    if (program[i] < 0) offline.drum(offline.output, onset[i], pitch[i], velocity[i]);
    else offline.tone(offline.output, onset[i], duration[i], pitch[i], velocity[i], program[i]);
  }
  return writeWav(await context.startRendering());
}

async function save({notes, name}, button) {
  const kind = button.value, link = document.createElement("a");
  button.disabled = true;
  const bytes = kind == "mid" ? Uint8Array.from(atob(notes.midi), letter => letter.charCodeAt(0)) : await soundOf(notes);
  button.disabled = false;
  link.href = URL.createObjectURL(new Blob([bytes], {type: kind == "mid" ? "audio/midi" : "audio/wav"}));
  link.download = `${document.querySelector("h1").textContent} ${name}`.replace(/[^\w.-]+/g, "_") + `.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

for (const player of players)
  for (const button of player.take.querySelectorAll(".save"))
    button.addEventListener("click", () => save(player, button));
