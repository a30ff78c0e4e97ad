// Fills in what the list of studies cannot have at once: best value, its line, trials by state; of rows in sight alone.
"use strict";

{
  const EVERY_MS = 10000;
  const LIVE = ["in_progress", "queued", "created"];
  const AT_ONCE = 3;
  const inSight = new Set();
  const filled = new Set();
  let busy = 0;

  function draw(row, found) {
    if (found.best) row.querySelector("[data-best]").textContent = found.best;
    row.querySelector("[data-progress]").textContent = found.progress;
    row.querySelector("[data-counts]").textContent = Object.entries(found.counts).map(([state, count]) => `${count} ${state}`).join(", ");
    const [low, high] = [Math.min(...found.line), Math.max(...found.line)];
    const points = found.line.map((value, at) => [(at / Math.max(1, found.line.length - 1)) * 100, high > low ? 22 - ((value - low) / (high - low)) * 20 : 12]);
    if (points.length === 1) points.push([100, points[0][1]]);
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    line.setAttribute("points", points.map((point) => point.join(",")).join(" "));
    row.querySelector("svg").replaceChildren(line);
  }

  async function fill(row) {
    filled.add(row);
    busy += 1;
    try {
      const answer = await fetch(`/studies/${row.dataset.study}/line`, { headers: { accept: "application/json" } });
      if (answer.ok) draw(row, await answer.json());
    } catch { /* the next round asks again */ } finally { busy -= 1; next(); }
  }

  function next() {
    for (const row of inSight) {
      if (busy >= AT_ONCE) return;
      if (!filled.has(row)) fill(row);
    }
  }

  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) inSight[entry.isIntersecting ? "add" : "delete"](entry.target);
    next();
  });
  for (const row of document.querySelectorAll("tr[data-study]")) observer.observe(row);
  setInterval(() => {
    if (document.hidden) return;
    for (const row of inSight) if (LIVE.includes(row.dataset.status)) filled.delete(row);
    next();
  }, EVERY_MS);
}
