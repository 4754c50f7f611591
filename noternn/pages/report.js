
"use strict";
{ // Draws the curves of runs and how their settings go with their losses, with Plotly.
  const {quantity, isAlone, runs, axes} = JSON.parse(document.getElementById("report-data").textContent);
  const AXIS_WIDTH = 110, HEAD_HEIGHT = 46; // pixels: of a column of settings, and of its name
  const others = runs.filter(run => run.color < 0), colored = runs.filter(run => run.color >= 0).reverse();
  const coarse = matchMedia("(pointer: coarse)"); // there a drag scrolls the page
  const ink = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  // Plotly reads a little HTML in texts, and names are anyone's.
  const plain = text => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  // All runs in one line, which breaks between them: hundreds of lines of their own are slow.
  function joined(runs, xs, ys) {
    const x = [], y = [], text = [];
    for (const run of runs) {
      x.push(...xs(run), null);
      y.push(...ys(run), null);
      text.push(...xs(run).map(() => plain(run.name)), "");
    }
    return {x, y, text};
  }

  function line(points, unit, style) {
    return {type: "scatter", mode: "lines", connectgaps: false, line: style, ...points,
      hovertemplate: `%{text}<br>epoch %{x}<br>${unit} %{y:.4f}<extra></extra>`};
  }

  // A point an epoch while there are few.
  function dotted(run, trace) {
    if (isAlone && run.epochs.length < 40) Object.assign(trace, {mode: "lines+markers", marker: {size: 5}});
  }

  // Around the held-out pieces of the only run; of several they would hide each other.
  function bounds(run) {
    const [low, high] = run.bounds, there = run.boundedEpochs;
    return {type: "scatter", mode: "none", fill: "toself", fillcolor: ink("color-3"), opacity: 0.15,
      hoverinfo: "skip", x: [...there, ...[...there].reverse()], y: [...high, ...[...low].reverse()]};
  }

  function curves() {
    const traces = [line(joined(others, run => run.epochs, run => run.val), quantity, faint())];
    if (isAlone) traces.push(...colored.map(bounds));
    for (const run of colored) {
      const hue = ink(`color-${isAlone ? 3 : run.color}`), own = ink(`color-${isAlone ? 0 : run.color}`);
      const of = name => joined([run], run => run.epochs, run => run[name]);
      const train = line(of("train"), "training pieces", {color: own, width: 1.5, dash: isAlone ? "solid" : "dash"});
      const val = line(of("val"), "held-out pieces", {color: hue, width: 2});
      dotted(run, val);
      dotted(run, train);
      traces.push(train, val);
      if (isAlone && run.running)
        traces.push(line(of("running"), "while training", {color: own, width: 1.5, dash: "dot"}));
    }
    for (const run of colored) {
      const star = {symbol: "star", size: 13, color: ink(`color-${isAlone ? 3 : run.color}`)};
      star.line = {color: ink("paper"), width: 1};
      const points = {x: [run.best[0]], y: [run.best[1]], text: [plain(run.name)]};
      traces.push({...line(points, "best:", {}), mode: "markers", marker: star});
    }
    const shown = colored.flatMap(run => [...run.val, ...run.train, ...(isAlone ? run.running : [])]);
    draw("curves", traces, {yaxis: {...axis(quantity), ...others.length || isAlone ? {range: around(shown)} : {}}});
  }

  // A quantity below the losses, from 0 on and at least as far as `least`.
  // `beside` names what is drawn dotted in the same color.
  function small(id, name, unit, least, x = "epochs", beside = "") {
    const present = runs => runs.filter(run => run[name].length);
    const traces = [line(joined(present(others), run => run[x], run => run[name]), unit, faint())];
    for (const run of present(colored)) {
      const hue = ink(`color-${isAlone ? 4 : run.color}`);
      const trace = line(joined([run], run => run[x], run => run[name]), unit, {color: hue, width: 2});
      if (x == "epochs") dotted(run, trace);
      else Object.assign(trace, {mode: "lines+markers", marker: {size: 6}}); // of few epochs
      traces.push(trace);
      if (beside) traces.push(line(joined([run], run => run[x], run => run[beside]), `${unit}, with wrong notes:`,
        {color: hue, width: 1.5, dash: "dot"}));
    }
    const values = colored.flatMap(run => [...run[name], ...(run[beside] ?? []).filter(value => value !== null)]);
    draw(id, traces, {yaxis: {...axis(unit), zeroline: true, range: around([0, least, ...values])}});
  }

  // What the best runs need: one that diverged would flatten all others. A double click shows everything.
  function around(values) {
    const [low, high] = values.reduce(([low, high], value) =>
      [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
    const margin = 0.06 * (high - low || 1);
    return [low - margin, high + margin];
  }

  const faint = () => ({color: ink("gray"), width: 1});

  function axis(title) {
    return {title: {text: title, standoff: 8}, gridcolor: ink("line"), linecolor: ink("soft"),
      zeroline: false, zerolinecolor: ink("soft"), automargin: true};
  }

  function draw(id, traces, layout) {
    const target = document.getElementById(id);
    if (!target) return;
    for (const trace of traces) if (trace.line?.color == ink("gray")) trace.opacity = runs.length > 60 ? 0.35 : 0.6;
    Plotly.react(target, traces.filter(trace => trace.x.length), {
      autosize: true, showlegend: false, hovermode: "closest", dragmode: coarse.matches ? false : "zoom",
      paper_bgcolor: "transparent", plot_bgcolor: "transparent", margin: {l: 52, r: 12, t: 10, b: 44},
      font: {family: "system-ui, sans-serif", size: 13, color: ink("soft")},
      hoverlabel: {bgcolor: ink("card"), bordercolor: ink("soft"), font: {color: ink("ink")}, namelength: -1},
      xaxis: {...axis("epoch"), rangemode: "tozero"}, ...layout,
    }, {displayModeBar: false, responsive: true});
  }

  // A line a run across its settings. Not Plotly's `parcoords`, which needs WebGL and a script that writes scripts.
  function parallel() {
    const target = document.getElementById("parallel");
    if (!target) return;
    target.style.minWidth = `${AXIS_WIDTH * axes.length}px`;
    const place = axes.map((_, i) => i), last = axes.length - 1;
    const text = run => axes.map((axis, i) => plain(`${run.name}\n${axis.name}: ${run.values[i]}`).replace("\n", "<br>"));
    const across = (runs, style, width) => ({
      ...joined(runs, () => place, run => run.places), text: runs.flatMap(run => [...text(run), ""]),
      type: "scatter", mode: "lines", line: {...style, width}, hovertemplate: "%{text}<extra></extra>",
    });
    const traces = [across(others, faint(), 1)];
    for (const run of colored) traces.push(across([run], {color: ink(`color-${run.color}`)}, 2.2));
    const label = {showarrow: false, xanchor: "left", xshift: 5, bgcolor: ink("paper"), opacity: 0.85, borderpad: 1};
    const annotations = axes.flatMap((axis, x) => axis.ticks.map(([y, text]) =>
      ({...label, x, y, text: plain(text), ...(x == last ? {xanchor: "right", xshift: -5} : {})})));
    const shapes = place.map(x => ({type: "line", x0: x, x1: x, y0: 0, y1: 1, line: {color: ink("soft"), width: 1}}));
    const names = axes.map(axis => plain(axis.name).replace(".", ".<br>"));
    draw("parallel", traces, {annotations, shapes, margin: {l: 40, r: 40, t: HEAD_HEIGHT, b: 12},
      xaxis: {side: "top", tickvals: place, ticktext: names, showgrid: false, zeroline: false, fixedrange: true,
        range: [-0.1, last + 0.1], tickangle: 0},
      yaxis: {visible: false, range: [-0.06, 1.06], fixedrange: true}});
  }

  function drawAll() {
    curves();
    small("gap", "gap", "gap", 0);
    small("copied", "copied", "copied (%)", 5, "copiedEpochs", "near");
    parallel();
  }

  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
}
