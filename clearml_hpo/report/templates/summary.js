"use strict";

{
  const root = document.documentElement;
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const canvases = [...document.querySelectorAll("[data-figure]")];
  const drawn = new Set();
  let figures = null;

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  async function unpacked(id) {
    const packed = atob(document.getElementById(id).textContent);
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  // The figures' titles are texts, as all Plotlys but the newest know them.
  function titled(key, value) {
    return key === "title" && typeof value === "string" ? { text: value } : value;
  }

  async function load() {
    figures = JSON.parse(await unpacked("figures"), titled);
    const script = document.createElement("script");
    script.textContent = await unpacked("plotly");
    document.head.append(script);
  }

  const loading = canvases.length ? load() : null;  // at once: paper does not wait
  loading?.catch(() => {});  // it is said where a plot would be

  function axis(given = {}) {
    return { gridcolor: colour("--grid"), zerolinecolor: colour("--grid"), linecolor: colour("--grid"), automargin: true, exponentformat: "e", ...given };
  }

  function legendRows(traces, width) {
    const names = traces.filter((each) => each.showlegend !== false && each.name).map((each) => each.name);
    const perRow = Math.max(1, Math.floor((width - 60) / (50 + 7 * Math.max(0, ...names.map((name) => name.length)))));
    return names.length > 1 ? Math.ceil(names.length / perRow) : 0;
  }

  function layout(given, traces, canvas) {
    const axes = Object.fromEntries(Object.keys(given).filter((name) => /^[xy]axis\d*$/.test(name)).map((name) => [name, axis(given[name])]));
    const isNarrow = canvas.clientWidth < 600;
    return {
      ...given,
      title: null,
      margin: { l: 50, r: 12, t: 20 + 20 * (given.showlegend === false ? 0 : legendRows(traces, canvas.clientWidth)), b: 44 },
      legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { size: 11 } },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: isNarrow ? 10 : 12, color: colour("--text") },
      hoverlabel: { bgcolor: colour("--back"), font: { color: colour("--text") }, align: "left" },
      annotations: given.annotations?.map((note) => ({ ...note, bgcolor: `${colour("--back")}c0`, borderpad: 1 })),
      autosize: true,
      height: canvas.clientHeight,
      ...axes,
    };
  }

  function trace(given) {
    const shades = isDark.matches && !root.classList.contains("paper") ? [[0, "#3a4f66"], [1, "#a8d1ff"]] : null;
    return shades && Array.isArray(given.marker?.colorscale) ? { ...given, marker: { ...given.marker, colorscale: shades } } : given;
  }

  async function draw(canvas) {
    try {
      await loading;
      const figure = figures[canvas.dataset.figure];
      drawn.add(canvas);
      await Plotly.react(canvas, figure.data.map(trace), layout(figure.layout, figure.data, canvas), { responsive: true, displaylogo: false, displayModeBar: "hover", modeBarButtonsToRemove: ["lasso2d", "select2d"] });
      canvas.dataset.drawn = "";
    } catch (error) {
      const note = document.createElement("p");
      note.className = "message";
      note.textContent = `this plot cannot be drawn: ${error.message}`;
      canvas.replaceChildren(note);
    }
  }

  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) { observer.unobserve(entry.target); draw(entry.target); }
    }
  }, { rootMargin: "400px" });
  for (const canvas of canvases) observer.observe(canvas);

  isDark.addEventListener("change", () => drawn.forEach(draw));
  addEventListener("beforeprint", () => { root.classList.add("paper"); canvases.forEach(draw); });
  addEventListener("afterprint", () => { root.classList.remove("paper"); drawn.forEach(draw); });
}
