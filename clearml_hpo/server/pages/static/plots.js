// Draws the plots that are in sight. What is drawn was made by the server; here come only size and colours.
"use strict";

{
  const figures = new Map();  // canvas: the figure as the server sent it
  const colours = ["#2b82d9", "#e07b39", "#2a9d57", "#b04ad0", "#d64545", "#14807d", "#c9a017", "#7f8c9b", "#e2679c", "#6a5acd"];
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["sendDataToCloud", "lasso2d", "select2d"] };

  const ownColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function smoothed(trace, weight) {
    let [last, seen] = [0, 0];
    const y = trace.y.map((value) => {
      if (value === null) return null;
      last = last * weight + (1 - weight) * value;
      seen += 1;
      return last / (1 - weight ** seen);
    });
    const raw = { ...trace, opacity: 0.25, showlegend: false, hoverinfo: "skip", legendgroup: trace.name };
    return [raw, { ...trace, y, legendgroup: trace.name }];
  }

  function traces(figure) {
    const weight = Number(document.querySelector("[data-smooth]")?.value ?? 0);
    const coloured = figure.data.map((trace, at) => {
      const line = trace.line?.color || trace.type !== "scatter" || !document.querySelector("[data-smooth]") ? trace.line : { color: colours[at % colours.length], width: 1.6 };
      return line ? { ...trace, line } : trace;
    });
    return weight ? coloured.flatMap((trace) => trace.mode === "lines" ? smoothed(trace, weight) : [trace]) : coloured;
  }

  function axis(given = {}) {
    return { gridcolor: ownColour("--grid"), zerolinecolor: ownColour("--grid"), linecolor: ownColour("--grid"), automargin: true, ...given };
  }

  function layout(figure, canvas) {
    const given = { ...figure.layout };
    delete given.width;
    const isLogarithmic = document.querySelector("[data-log]")?.checked;
    const axes = Object.fromEntries(Object.keys(given).filter((name) => /^[xy]axis\d*$/.test(name)).map((name) => [name, axis(given[name])]));
    const many = figure.data.length > 12;
    return {
      colorway: colours,
      margin: { l: 50, r: 12, t: given.title ? 50 : 24, b: 36 },
      legend: many ? { font: { size: 10 } } : { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { size: 11 } },
      ...given,
      autosize: true,
      height: canvas.clientHeight,
      paper_bgcolor: given.paper_bgcolor ?? "rgba(0,0,0,0)",
      plot_bgcolor: given.plot_bgcolor ?? "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: ownColour("--text"), ...given.font },
      hoverlabel: { bgcolor: ownColour("--back"), font: { color: ownColour("--text") }, namelength: 40, ...given.hoverlabel },
      xaxis: axis(given.xaxis),
      ...axes,
      annotations: given.annotations?.map((note) => note.showarrow === false && !note.bgcolor ? { bgcolor: `${ownColour("--back")}b0`, borderpad: 0, ...note } : note),
      yaxis: { ...axis(given.yaxis), ...(isLogarithmic ? { type: "log" } : {}) },
      shapes: given.shapes?.map((shape) => ({ layer: "below", ...shape, line: { color: ownColour("--grid"), width: 1.5, ...shape.line } })),
    };
  }

  function say(canvas, text) {
    const note = document.createElement("p");
    note.className = "message";
    note.textContent = text;
    canvas.replaceChildren(note);
  }

  async function draw(canvas) {
    const figure = figures.get(canvas);
    if (!figure.data.length && !figure.layout.images?.length) { say(canvas, "nothing to draw"); return; }
    try {
      if (!canvas.classList.contains("js-plotly-plot")) canvas.replaceChildren();
      await Plotly.react(canvas, traces(figure), layout(figure, canvas), config);
      canvas.removeAllListeners?.("plotly_click");
      canvas.on("plotly_click", (event) => {
        const task = event.points[0]?.data.customdata?.[0];
        if (/^[0-9a-f]{32}$/.test(task) && location.pathname === "/compare") location.assign(`/tasks/${task}`);
      });
    } catch (error) {
      say(canvas, `this plot cannot be drawn: ${error.message}`);
    }
  }

  // Plots that were reported for an older Plotly have titles that are texts.
  function titled(key, value) {
    return key === "title" && typeof value === "string" ? { text: value } : value;
  }

  async function load(canvas) {
    const source = canvas.dataset.figure;
    try {
      const answer = await fetch(source);
      if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
      const figure = JSON.parse(await answer.text(), titled);
      if (canvas.dataset.figure !== source) return;
      figures.set(canvas, figure);
    } catch (error) {
      if (!figures.has(canvas)) say(canvas, `this plot did not load: ${error.message}`);
      return;
    }
    await draw(canvas);
  }

  const inSight = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) { inSight.delete(entry.target); continue; }
      inSight.add(entry.target);
      if (!figures.has(entry.target)) load(entry.target);
    }
  }, { rootMargin: "200px" });

  function observe() {
    for (const canvas of document.querySelectorAll("[data-figure]")) {
      if (canvas.dataset.first) continue;
      canvas.dataset.first = canvas.dataset.figure;
      observer.observe(canvas);
    }
  }

  function drawAgain() {
    for (const canvas of figures.keys()) draw(canvas);
  }

  document.addEventListener("plots", () => {
    observe();
    for (const canvas of figures.keys()) if (inSight.has(canvas)) load(canvas); else figures.delete(canvas);
  });
  document.addEventListener("input", (event) => { if (event.target.matches("[data-smooth], [data-log]")) drawAgain(); });
  document.addEventListener("change", (event) => {
    if (!event.target.dataset.source) return;
    const canvas = event.target.closest("figure").querySelector("[data-figure]");
    canvas.dataset.figure = event.target.dataset.source + event.target.value;
    load(canvas);
  });
  isDark.addEventListener("change", drawAgain);
  observe();
}
