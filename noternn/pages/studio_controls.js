// What the buttons, keys and ports of the studio do.

const on = (selector, event, action) => find(selector).addEventListener(event, action);

on("#play", "click", () => studio.toggle());
on("#new", "click", () => studio.renew());
on("#undo", "click", () => studio.undo());
on("#keep", "click", () => studio.keep());
on("#save-midi", "click", () => studio.save("mid"));
on("#save-wav", "click", () => studio.save("wav"));
on("#open", "click", () => find("#file").click());
on("#file", "change", ({target}) => {
  if (target.files[0]) studio.open(target.files[0]);
  target.value = "";
});
on("#volume", "input", ({target}) => studio.synthesizer?.volume(target.value / 100));
on("#roll", "pointerdown", event => studio.go(studio.roll.timeAt(event.offsetX) / studio.stepSeconds));
for (const id of ["#temperature", "#top-p", "#top-k", "#length", "#tempo"]) on(id, "input", () => studio.showValues());
for (const id of ["#temperature", "#top-p", "#top-k", "#length"]) on(id, "change", () => studio.again());
on("#instruments", "change", () => studio.again());
on("#tempo", "input", ({target}) => {
  const wasPlaying = studio.isPlaying;
  if (wasPlaying) studio.pause();
  studio.tempo = Number(target.value);
  if (wasPlaying) studio.play();
  studio.show();
});
studio.showValues();

// Tabs

const tabs = [...document.querySelectorAll("[role=tab]")];
function chooseTab(tab) {
  for (const other of tabs) {
    const isChosen = other == tab;
    other.setAttribute("aria-selected", isChosen);
    other.tabIndex = isChosen ? 0 : -1;
    find(`#${other.getAttribute("aria-controls")}`).hidden = !isChosen;
  }
}
tabs.forEach((tab, i) => {
  tab.addEventListener("click", () => chooseTab(tab));
  tab.addEventListener("keydown", event => {
    const move = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!move) return;
    const next = tabs[(i + move + tabs.length) % tabs.length];
    chooseTab(next);
    next.focus();
  });
});

// The keyboard on the screen

const FIRST_OCTAVE = 48, NARROW = [60, 77]; // where the screen is narrow only so many keys are shown
let octave = 60; // of the key "a"
const isBlack = pitch => BLACK_KEYS.has(pitch % 12);
const noteName = pitch => `${["C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat",
  "B"][pitch % 12]} ${Math.floor(pitch / 12) - 1}`;

for (let pitch = FIRST_OCTAVE; pitch <= FIRST_OCTAVE + 36; pitch++) {
  const key = document.createElement("button");
  key.type = "button";
  key.className = isBlack(pitch) ? "black" : "white";
  key.classList.toggle("near", pitch >= NARROW[0] && pitch <= NARROW[1]);
  key.dataset.pitch = pitch;
  key.setAttribute("aria-label", noteName(pitch));
  key.tabIndex = pitch == 60 ? 0 : -1;
  if (pitch % 12 == 0) key.append(`C${pitch / 12 - 1}`);
  find("#keys").append(key);
}

const pressed = new Map(); // pitch by pointer
const keyAt = event => Number(document.elementFromPoint(event.clientX, event.clientY)?.dataset?.pitch ?? NaN);
on("#keys", "pointerdown", event => {
  const pitch = Number(event.target.dataset.pitch);
  if (!pitch) return;
  event.target.releasePointerCapture(event.pointerId);
  pressed.set(event.pointerId, pitch);
  studio.press(pitch);
});
addEventListener("pointermove", event => {
  const before = pressed.get(event.pointerId), pitch = keyAt(event);
  if (before === undefined || !pitch || pitch == before) return;
  studio.release(before);
  pressed.set(event.pointerId, pitch);
  studio.press(pitch);
});
for (const end of ["pointerup", "pointercancel"])
  addEventListener(end, event => {
    if (pressed.has(event.pointerId)) studio.release(pressed.get(event.pointerId));
    pressed.delete(event.pointerId);
  });
on("#keys", "keydown", event => {
  const pitch = Number(event.target.dataset.pitch), move = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (move) {
    const next = find(`#keys [data-pitch="${pitch + move}"]`);
    if (next) {
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }
  } else if ([" ", "Enter"].includes(event.key) && !event.repeat) studio.press(pitch);
  else return;
  event.preventDefault();
  event.stopPropagation();
});
on("#keys", "keyup", event => {
  if ([" ", "Enter"].includes(event.key)) studio.release(Number(event.target.dataset.pitch));
});

// The computer's keys, as on a piano; z and x change the octave

const WHITE_STEPS = [0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 17], BLACK_STEPS = [1, 3, 6, 8, 10, 13, 15];
const steps = new Map([...WHITE_KEYS].map((key, i) => [key, WHITE_STEPS[i]])
  .concat([...BLACK_KEYS_ABOVE].map((key, i) => [key, BLACK_STEPS[i]])));
const down = new Map(); // pitch by key
addEventListener("keydown", event => {
  if (event.repeat || event.altKey || event.ctrlKey || event.metaKey || event.target.matches("select, [role=tab]")) return;
  const key = event.key.toLowerCase();
  if (steps.has(key)) {
    down.set(event.code, octave + steps.get(key));
    studio.press(down.get(event.code));
  } else if (key == "z" || key == "x") {
    octave = Math.min(96, Math.max(24, octave + (key == "z" ? -12 : 12)));
    say(`The key A plays ${noteName(octave)}.`);
  } else if (key == " " && !event.target.matches("button, input, summary")) find("#play").click();
  else return;
  event.preventDefault();
});
addEventListener("keyup", event => {
  if (down.has(event.code)) studio.release(down.get(event.code));
  down.delete(event.code);
});
addEventListener("blur", () => {
  for (const pitch of [...studio.held.keys()]) studio.release(pitch);
  down.clear();
});

// A file that is dropped

for (const kind of ["dragenter", "dragover"])
  addEventListener(kind, event => {
    event.preventDefault();
    find("#studio").classList.add("dropping");
  });
addEventListener("dragleave", event => {
  if (!event.relatedTarget) find("#studio").classList.remove("dropping");
});
addEventListener("drop", event => {
  event.preventDefault();
  find("#studio").classList.remove("dropping");
  if (event.dataTransfer.files[0]) studio.open(event.dataTransfer.files[0]);
});

// MIDI

function receive({data: [status, pitch, velocity]}) {
  const kind = status & 0xf0;
  if (kind == 0x90 && velocity > 0) studio.press(pitch, velocity);
  else if (kind == 0x80 || kind == 0x90) studio.release(pitch);
}

async function connect() {
  if (!navigator.requestMIDIAccess) return say("This browser knows no MIDI.");
  let access;
  try {
    access = await navigator.requestMIDIAccess();
  } catch {
    return say("MIDI was not allowed.");
  }
  const update = () => {
    const inputs = [...access.inputs.values()], outputs = [...access.outputs.values()], select = find("#midi-out");
    for (const input of inputs) input.onmidimessage = receive;
    const chosen = select.value;
    select.replaceChildren(new Option("this page", ""), ...outputs.map(port => new Option(port.name, port.id)));
    select.value = outputs.some(port => port.id == chosen) ? chosen : "";
    select.onchange = () => {
      studio.channels.clear();
      studio.output = access.outputs.get(select.value) ?? null;
    };
    find("#ports").hidden = false;
    say(`MIDI: ${inputs.length} inputs, ${outputs.length} outputs.`);
  };
  access.onstatechange = update;
  update();
}
on("#midi", "click", connect);

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => studio.roll.isNear && studio.roll.resize());
