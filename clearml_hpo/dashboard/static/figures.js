// Draws the figures that are in sight. What is drawn was made by the server; here come only size, colours and the choice.
"use strict";

const Figures = (() => {
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const LATER_MS = 1500;
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["sendDataToCloud"] };
  const canvases = [...document.querySelectorAll("[data-figure]")];
  const figures = new Map();
  const drawnAt = new Map();
  const inSight = new Set();
  const selects = [...document.querySelectorAll("[data-pair]")];
  let isPairChosen = false;
  let study, version = 0, moment = 0, chosen = null, isPaper = false, onChoice = () => {};

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const heightOf = (figure) => figure.layout.height ?? 340;
  const titled = (key, value) => key === "title" && typeof value === "string" ? { text: value } : value;
  const axis = (given = {}) => ({ gridcolor: colour("--grid"), zerolinecolor: colour("--grid"), linecolor: colour("--grid"), automargin: true, ...given });

  function layout(figure, canvas) {
    const given = { ...figure.layout };
    const axes = Object.fromEntries(Object.keys(given).filter((name) => /^[xy]axis\d*$/.test(name)).map((name) => [name, axis(given[name])]));
    const caption = canvas.parentElement.querySelector("figcaption small");
    caption.textContent = given.title?.text ?? "";
    return {
      ...given,
      title: undefined,
      margin: { l: 50, r: 12, t: 30, b: 40 },
      legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { size: 11 } },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: canvas.clientWidth < 500 ? 10 : 12, color: colour("--text") },
      hoverlabel: { bgcolor: colour("--back"), font: { color: colour("--text") }, align: "left" },
      autosize: true,
      height: heightOf(figure),
      dragmode: "select",
      xaxis: axis(given.xaxis),
      yaxis: axis(given.yaxis),
      ...axes,
    };
  }

  function trace(given) {
    const shades = isDark.matches && !isPaper && Array.isArray(given.marker?.colorscale) ? [[0, "#3a4f66"], [1, "#a8d1ff"]] : null;
    const marked = shades ? { ...given, marker: { ...given.marker, colorscale: shades } } : given;
    if (!chosen || !given.customdata) return { ...marked, selectedpoints: null };
    const selectedpoints = given.customdata.flatMap((number, at) => chosen.has(number) ? [at] : []);
    return { ...marked, selectedpoints, unselected: { marker: { opacity: 0.12 } } };
  }

  async function draw(canvas) {
    const figure = figures.get(canvas);
    if (!figure || !window.Plotly) return;
    if (!figure.data.length) {
      canvas.replaceChildren(Object.assign(document.createElement("p"), { className: "note", textContent: "nothing to draw yet" }));
      canvas.classList.remove("js-plotly-plot");
      canvas.style.height = "";
      canvas.dataset.drawn = "";
      return;
    }
    if (!canvas.classList.contains("js-plotly-plot")) canvas.replaceChildren();
    canvas.style.height = `${heightOf(figure)}px`;
    await Plotly.react(canvas, figure.data.map(trace), layout(figure, canvas), config);
    canvas.removeAllListeners?.("plotly_selected");
    canvas.removeAllListeners?.("plotly_deselect");
    canvas.removeAllListeners?.("plotly_click");
    const numbers = (event) => (event?.points ?? []).map((point) => point.customdata).filter((each) => Number.isInteger(each));
    canvas.on("plotly_selected", (event) => { if (event) onChoice(numbers(event)); });
    canvas.on("plotly_deselect", () => onChoice([]));
    canvas.on("plotly_click", (event) => { if (numbers(event).length) onChoice(numbers(event), true); });
    canvas.dataset.drawn = "";
  }

  // Until the user has chosen two parameters, they are the most important ones.
  function pickPair(importances) {
    const [second, first] = importances.data[0]?.y?.slice(-2) ?? [];
    if (isPairChosen || first === undefined) return;
    selects.forEach((each, i) => {
      const option = [...each.options].find((one) => one.textContent === [first, second][i % 2]);
      if (option) each.value = option.value;
    });
    for (const each of document.querySelectorAll("[data-figure]")) if (inSight.has(each)) load(each);
  }

  async function load(canvas) {
    const name = canvas.dataset.figure;
    const pair = [...document.querySelectorAll(`[data-pair="${name}"]`)].map((each) => each.value);
    const asked = `${name}?${new URLSearchParams(pair.length ? { x: pair[0], y: pair[1] } : {})}`;
    const at = `${asked} ${"follows" in canvas.dataset ? moment : version}`;
    if (drawnAt.get(canvas) === at) return;
    drawnAt.set(canvas, at);
    try {
      const answer = await fetch(`/studies/${study}/figures/${asked}`, { headers: { accept: "application/json" } });
      if (!answer.ok) throw new Error((await answer.json()).told);
      figures.set(canvas, JSON.parse(await answer.text(), titled));
      if (name === "importances") pickPair(figures.get(canvas));
      if (inSight.has(canvas) || "drawn" in canvas.dataset) await draw(canvas);
    } catch (error) {
      if (figures.has(canvas)) return;
      canvas.replaceChildren(Object.assign(document.createElement("p"), { className: "message", textContent: `this figure did not load: ${error.message}` }));
      drawnAt.delete(canvas);
    }
  }

  async function show(canvas) {
    if (figures.has(canvas) && !("drawn" in canvas.dataset)) await draw(canvas);
    await load(canvas);
  }

  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      inSight[entry.isIntersecting ? "add" : "delete"](entry.target);
      if (entry.isIntersecting && study) show(entry.target);
    }
  }, { rootMargin: "200px" });

  for (const each of selects) each.addEventListener("change", () => { isPairChosen = true; load(document.querySelector(`[data-figure="${each.dataset.pair}"]`)); });
  const redraw = () => figures.forEach((_, canvas) => { if ("drawn" in canvas.dataset) draw(canvas); });
  isDark.addEventListener("change", redraw);
  // Paper has all figures, those that nobody has scrolled to as well.
  // A browser does not wait for answers before it prints, so they are loaded before, one after the other.
  function paper(is) {
    isPaper = is;
    document.documentElement.classList.toggle("paper", is);
    figures.forEach((_, canvas) => draw(canvas));
  }
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
  async function loadAll() {
    for (const canvas of canvases) if (!figures.has(canvas)) await load(canvas);
  }

  return {
    start(of, choice) { study = of; onChoice = choice; canvases.forEach((canvas) => observer.observe(canvas)); setTimeout(loadAll, LATER_MS); },
    // Figures that follow are asked for anew at most every ten seconds.
    update(plotted, at) { version = plotted; moment = Math.floor(at / 10); inSight.forEach(load); },
    choose(numbers) { chosen = numbers; redraw(); },
    loaded() { return canvases.filter((each) => figures.has(each)).length; },
    // A figure that the page has asked for itself.
    put(canvas, text) { figures.set(canvas, JSON.parse(text, titled)); draw(canvas); },
  };
})();
