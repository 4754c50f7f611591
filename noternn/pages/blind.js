
"use strict";
{ // Leads a listener through the trials, and saves what was answered as a table.
  const key = document.querySelector("#key");
  const sources = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(key.textContent), c => c.charCodeAt(0))));
  const trials = [...document.querySelectorAll(".trial")], questions = ["preferred", "person", "rating_a", "rating_b"];
  const answers = [];
  let current = -1, began = 0;

  const answer = (name, number) => document.querySelector(`input[name="${name}-${number}"]:checked`)?.value;

  function stop() { // what still plays
    for (const playing of document.querySelectorAll(".take.playing .play")) playing.click();
  }

  function show(number) {
    stop();
    current = number;
    began = performance.now();
    trials.forEach((trial, i) => trial.hidden = i != number);
    const isOver = number == trials.length;
    document.querySelector("#end").hidden = !isOver;
    document.querySelector("#progress").textContent = isOver ? "" : `Pair ${number + 1} of ${trials.length}`;
    if (number > 0) scrollTo(0, 0);
    (isOver ? document.querySelector("#save") : trials[number].querySelector(".play"))?.focus();
  }

  trials.forEach((trial, number) => {
    const next = trial.querySelector(".next");
    trial.addEventListener("change", () => next.disabled = !questions.every(name => answer(name, number)));
    next.addEventListener("click", () => {
      const [a, b] = sources[number], seconds = Math.round((performance.now() - began) / 1000);
      answers.push([number + 1, a, b, ...questions.map(name => answer(name, number)), seconds]);
      show(number + 1);
    });
  });

  const cell = value => `"${String(value).replaceAll('"', '""')}"`;
  document.querySelector("#save").addEventListener("click", () => {
    const columns = ["trial", "a", "b", ...questions, "seconds"];
    const text = [columns, ...answers].map(row => row.map(cell).join(",")).join("\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${text}\n`], {type: "text/csv"}));
    link.download = `votes_${key.dataset.seed}_${Date.now()}.csv`;
    link.click();
  });
  show(0);
}
