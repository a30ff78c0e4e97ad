// Parallel coordinates on a canvas: a line for each completed trial, better ones stand out; dragging along an axis chooses.
"use strict";

const Parallel = (() => {
  const canvas = document.getElementById("parallel");
  const [TOP, BOTTOM, SIDE] = [46, 16, 60];
  const SHADES = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 200, 37]];  // Viridis: safe for the colour-blind
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const brushes = new Map();  // axis: [from, to], 0 to 1
  let axes = [], lines = [], chosen = null, onChoice = () => {}, drag = null;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const shown = (value) => typeof value === "number" ? String(Number(value.toPrecision(3))) : String(value);

  function axisOf(title, values, { choices = [], log = false } = {}) {
    const numbers = values.filter((value) => typeof value === "number");
    if (choices.length || numbers.length < values.filter((value) => value !== undefined).length) {
      const texts = [...new Set([...choices, ...values.filter((value) => value !== undefined).map(String)])];
      const place = (value) => value === undefined ? null : texts.length > 1 ? texts.indexOf(String(value)) / (texts.length - 1) : 0.5;
      return { title, place, ticks: texts.slice(0, 30).map((text) => [place(text), text]) };
    }
    const scaled = log && Math.min(...numbers) > 0 ? Math.log : (value) => value;
    const back = scaled === Math.log ? Math.exp : (value) => value;
    const [low, high] = [scaled(Math.min(...numbers)), scaled(Math.max(...numbers))];
    const place = (value) => value === undefined ? null : high > low ? (scaled(value) - low) / (high - low) : 0.5;
    const steps = numbers.length && high > low ? [0, 0.25, 0.5, 0.75, 1] : [0.5];
    return { title, place, ticks: numbers.length ? steps.map((step) => [step, shown(back(low + (high - low) * step))]) : [] };
  }

  // The best stand out from the page: darkest on a light one, lightest on a dark one.
  function shade(rank) {
    const at = Math.min(0.9999, Math.max(0, isDark.matches ? 1 - rank : rank)) * (SHADES.length - 1);
    const [below, share] = [Math.floor(at), at % 1];
    return `rgb(${SHADES[below].map((from, i) => Math.round(from + (SHADES[below + 1][i] - from) * share)).join(",")})`;
  }

  const x = (at) => SIDE + (axes.length > 1 ? (at * (canvas.clientWidth - 2 * SIDE)) / (axes.length - 1) : 0);
  const y = (place) => canvas.clientHeight - BOTTOM - place * (canvas.clientHeight - TOP - BOTTOM);

  function draw() {
    const ratio = devicePixelRatio || 1;
    canvas.style.minWidth = `${Math.max(300, axes.length * 90)}px`;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = 320 * ratio;
    canvas.style.height = "320px";
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    for (const line of lines) {
      const isOn = !chosen || chosen.has(line.number);
      pen.globalAlpha = isOn ? Math.max(0.18, Math.min(0.8, 120 / lines.length)) : 0.05;
      pen.strokeStyle = isOn ? shade(line.rank) : colour("--quiet");
      pen.lineWidth = line.isBest ? 3 : 1.2;
      if (line.isBest && isOn) pen.globalAlpha = 1;
      pen.beginPath();
      let isOpen = false;
      line.places.forEach((place, at) => {
        if (place === null) { isOpen = false; return; }
        pen[isOpen ? "lineTo" : "moveTo"](x(at), y(place));
        isOpen = true;
      });
      pen.stroke();
    }
    pen.globalAlpha = 1;
    pen.font = "11px system-ui, sans-serif";
    axes.forEach((axis, at) => {
      pen.strokeStyle = colour("--quiet");
      pen.lineWidth = 1;
      pen.beginPath(); pen.moveTo(x(at), y(0)); pen.lineTo(x(at), y(1)); pen.stroke();
      pen.fillStyle = colour("--text");
      pen.textAlign = "center";
      const title = axis.title.length > 15 ? `${axis.title.slice(0, 14)}…` : axis.title;
      pen.fillText(title, x(at), at % 2 ? 14 : 28);
      for (const [place, text] of axis.ticks) {
        const short = text.length > 12 ? `${text.slice(0, 11)}…` : text;
        pen.textAlign = "left";
        pen.fillStyle = colour("--back"); pen.globalAlpha = 0.75;
        pen.fillRect(x(at) + 3, y(place) - 7, pen.measureText(short).width + 4, 13);
        pen.globalAlpha = 1; pen.fillStyle = colour("--text");
        pen.fillText(short, x(at) + 5, y(place) + 4);
      }
      const brush = brushes.get(axis.title);
      if (brush) {
        pen.fillStyle = colour("--main"); pen.globalAlpha = 0.35;
        pen.fillRect(x(at) - 7, y(brush[1]), 14, y(brush[0]) - y(brush[1]));
        pen.globalAlpha = 1;
      }
    });
  }

  function brushed() {
    if (!brushes.size) return null;
    return lines.filter((line) => axes.every((axis, at) => {
      const brush = brushes.get(axis.title);
      return !brush || (line.places[at] !== null && line.places[at] >= brush[0] && line.places[at] <= brush[1]);
    })).map((line) => line.number);
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    const at = Math.round(((event.clientX - box.left - SIDE) / Math.max(1, box.width - 2 * SIDE)) * (axes.length - 1));
    const up = (canvas.clientHeight - BOTTOM - (event.clientY - box.top)) / (canvas.clientHeight - TOP - BOTTOM);
    return [Math.min(axes.length - 1, Math.max(0, at || 0)), Math.min(1.02, Math.max(-0.02, up))];
  }

  canvas.addEventListener("pointerdown", (event) => { if (axes.length) { drag = place(event); canvas.setPointerCapture(event.pointerId); } });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [, up] = place(event);
    brushes.set(axes[drag[0]].title, [Math.min(drag[1], up), Math.max(drag[1], up)]);
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const [, up] = place(event);
    if (Math.abs(up - drag[1]) < 0.02) brushes.delete(axes[drag[0]].title);
    drag = null;
    onChoice(brushed());
    draw();
  });
  addEventListener("resize", draw);
  isDark.addEventListener("change", draw);

  return {
    start(choice) { onChoice = choice; },
    // rows: completed ones, the best first.
    update(rows, parameters, objectives) {
      const used = parameters.filter((each) => new Set(rows.map((row) => row.params[each.name])).size > 1);
      axes = [
        ...used.map((each) => axisOf(each.short, rows.map((row) => row.params[each.name]), each)),
        ...objectives.map((each, at) => axisOf(each.metric, rows.map((row) => row.values[at]))),
      ];
      lines = rows.map((row, rank) => ({
        number: row.number,
        isBest: rank === 0,
        rank: rows.length > 1 ? rank / (rows.length - 1) : 0,
        places: [...used.map((each, at) => axes[at].place(row.params[each.name])), ...objectives.map((_, at) => axes[used.length + at].place(row.values[at]))],
      })).reverse();
      draw();
    },
    choose(numbers) { chosen = numbers; if (!numbers) brushes.clear(); draw(); },
  };
})();
