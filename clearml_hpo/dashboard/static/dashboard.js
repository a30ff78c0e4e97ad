// The page of a study: asks for what has changed, keeps the table, shares one choice of trials among table and figures.
"use strict";

{
  const LIVE = ["queued", "running"];
  const PAGE = 100;
  const ALWAYS = ["number", "state"];
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const rows = new Map();
  let version = 0, plotted = 0, at = 0, head = {}, curves = {}, count = 0;
  let curvesAsked = null, chosen = null, sortBy = "rank", isDown = false, most = PAGE, finding = "";

  function element(tag, text = "", attributes = {}) {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }
  const number = (value) => typeof value === "number" ? String(Number(value.toPrecision(6))) : value ?? "";
  const text = (value) => value === null || value === undefined ? "" : typeof value === "number" ? number(value) : value === true ? "True" : value === false ? "False" : String(value);
  function duration(s) {
    if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
    if (s < 3600) return `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")} min`;
    return `${Math.floor(s / 3600)}:${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} h`;
  }
  const took = (row) => row.started ? (row.ended ?? at) - row.started : undefined;

  // --- columns -----------------------------------------------------------------------------------------------------

  const columns = [
    { key: "number", title: "trial", of: (row) => row.number },
    { key: "state", title: "state", of: (row) => row.state + (row.broken ? ", breaks a constraint" : "") },
    ...data.objectives.map((each, i) => ({ key: `value ${each.metric}`, title: each.metric, of: (row) => row.values?.[i] })),
    ...data.parameters.map((each) => ({ key: `param ${each.name}`, title: each.short, full: each.name, of: (row) => row.params?.[each.name] })),
    { key: "iteration", title: "iteration", of: (row) => row.iteration },
    { key: "time", title: "time", of: took, shown: (value) => value === undefined ? "" : duration(value) },
    { key: "worker", title: "worker", of: (row) => row.worker },
    { key: "queue", title: "queue", of: (row) => row.queue },
    { key: "attempt", title: "attempt", of: (row) => row.attempt },
    { key: "reason", title: "reason", of: (row) => row.reason },
  ];
  const hidden = new Set(JSON.parse(sessionStorage.getItem("hidden columns") ?? '["queue","attempt"]'));
  const visible = () => columns.filter((column) => ALWAYS.includes(column.key) || !hidden.has(column.key));
  const cell = (column, row) => column.shown ? column.shown(column.of(row)) : text(column.of(row));

  function ranked() {
    const sign = data.objectives[0].direction === "maximize" ? -1 : 1;
    const done = [...rows.values()].filter((row) => row.state === "completed" && row.values?.every((value) => typeof value === "number"));
    const front = new Map((head.front ?? []).map((each, i) => [each, i]));
    const merit = (row) => [row.broken ? 1 : 0, data.objectives.length > 1 && front.has(row.number) ? 0 : 1, sign * row.values[0]];
    return done.map((row) => [merit(row), row]).sort(([a], [b]) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]).map(([, row]) => row);
  }

  function compare(a, b) {
    if (a === b) return 0;
    if (a === undefined || a === null || a === "") return 1;
    if (b === undefined || b === null || b === "") return -1;
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  }

  function inOrder() {
    const words = finding.toLowerCase().split(/\s+/).filter(Boolean);
    let found = [...rows.values()];
    if (words.length) found = found.filter((row) => { const all = columns.map((column) => cell(column, row)).join("\n").toLowerCase(); return words.every((word) => all.includes(word)); });
    if (sortBy === "rank") {
      const place = new Map(ranked().map((row, i) => [row.number, i]));
      found.sort((a, b) => (place.get(a.number) ?? 1e9) - (place.get(b.number) ?? 1e9) || b.number - a.number);
    } else {
      const column = columns.find((each) => each.key === sortBy);
      const sign = isDown ? -1 : 1;
      found.sort((a, b) => { const [x, y] = [column.of(a), column.of(b)]; const empty = [x, y].some((each) => each === undefined || each === null || each === ""); return (empty ? 1 : sign) * compare(x, y) || a.number - b.number; });
    }
    if (chosen) found.sort((a, b) => chosen.has(b.number) - chosen.has(a.number));
    return found;
  }

  // --- the table ---------------------------------------------------------------------------------------------------

  function drawHeading() {
    const line = element("tr");
    line.append(element("th"));
    for (const column of visible()) {
      const isNumber = [...rows.values()].some((row) => typeof column.of(row) === "number");
      const th = element("th", "", { class: isNumber ? "right" : "", title: column.full ?? column.title, "aria-sort": sortBy === column.key ? (isDown ? "descending" : "ascending") : "none" });
      const button = element("button", column.title + (sortBy === column.key ? (isDown ? " ↓" : " ↑") : ""), { type: "button" });
      button.addEventListener("click", () => { isDown = sortBy === column.key ? !isDown : false; sortBy = column.key; drawTable(); });
      th.append(button);
      line.append(th);
    }
    $("trials").tHead.replaceChildren(line);
  }

  function drawTable() {
    drawHeading();
    const found = inOrder();
    const lines = found.slice(0, most).map((row) => {
      const line = element("tr", "", { "data-number": row.number });
      if (chosen?.has(row.number)) line.classList.add("chosen");
      const box = element("input", "", { type: "checkbox", "aria-label": `choose trial ${row.number}` });
      box.checked = chosen?.has(row.number) ?? false;
      const first = element("td");
      first.append(box);
      line.append(first);
      for (const column of visible()) {
        const value = column.of(row);
        const td = element("td", column.key === "number" ? "" : cell(column, row), typeof value === "number" ? { class: "right" } : column.key === "reason" ? { class: "reason" } : {});
        if (column.key === "number") { td.append(link(row)); td.append(" ", logButton(row)); }
        if (column.key === "state") td.classList.add("state-of", row.state);
        line.append(td);
      }
      return line;
    });
    $("trials").tBodies[0].replaceChildren(...lines);
    $("more").hidden = found.length <= most;
    $("shown").textContent = `${found.length} of ${count}${chosen ? `, ${chosen.size} chosen` : ""}`;
    $("clear").hidden = $("of-chosen").hidden = !chosen;
    $("compare").hidden = !(chosen?.size > 1);
  }

  const link = (row) => element("a", String(row.number), { href: data.url.replace("{task}", row.task), target: "_blank", rel: "noopener" });
  function logButton(row) {
    const button = element("button", "log", { type: "button", class: "quiet", title: `the end of the log of trial ${row.number}` });
    button.addEventListener("click", (event) => { event.stopPropagation(); showLog(`trial ${row.number}`, `/studies/${data.study}/trials/${row.number}/log`); });
    return button;
  }

  async function textOf(address) {
    try {
      const answer = await fetch(address, { headers: { accept: "application/json" } });
      return answer.ok ? await answer.text() : (await answer.json()).told;
    } catch (error) { return `The dashboard does not answer: ${error.message}`; }
  }

  async function showLog(title, address) {
    $("log").querySelector("h2").textContent = title;
    $("log").querySelector("pre").textContent = "reading …";
    $("log").showModal();
    $("log").querySelector("pre").textContent = await textOf(address) || "nothing was printed";
  }

  $("trials").tBodies[0].addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    if (!line || event.target.closest("a, button")) return;
    toggle([Number(line.dataset.number)]);
  });
  $("more").addEventListener("click", () => { most += 5 * PAGE; drawTable(); });
  $("find").addEventListener("input", (event) => { finding = event.target.value; drawTable(); });

  // --- the choice --------------------------------------------------------------------------------------------------

  function toggle(numbers) {
    const next = new Set(chosen ?? []);
    for (const each of numbers) next[next.has(each) ? "delete" : "add"](each);
    choose(next.size ? [...next] : null);
  }

  function choose(numbers) {
    chosen = numbers === null ? null : new Set(numbers);
    drawTable();
    Figures.choose(chosen);
    Parallel.choose(chosen);
    if (!chosen) $("compared").hidden = true;
    else if (!$("compared").hidden) drawCompared();
  }
  $("clear").addEventListener("click", () => choose(null));
  $("compare").addEventListener("click", () => { $("compared").hidden = !$("compared").hidden; if (!$("compared").hidden) drawCompared(); });

  function drawCompared() {
    const those = [...chosen].slice(0, data.most_compared).map((each) => rows.get(each)).filter(Boolean);
    const table = element("table", "", { class: "wide" });
    const headline = element("tr");
    headline.append(element("th", "trial"), ...those.map((row) => element("th", String(row.number))));
    table.append(headline);
    for (const column of columns.slice(1)) {
      const cells = those.map((row) => cell(column, row));
      const differs = new Set(cells).size > 1;
      if (!differs && !column.key.startsWith("value ")) continue;
      const line = element("tr");
      line.append(element("th", column.title), ...cells.map((each) => element("td", each, differs ? { class: "differs" } : {})));
      table.append(line);
    }
    $("differences").replaceChildren(element("h3", `${those.length} trials: what differs`), table);
    drawCurves(those.map((row) => row.number));
  }

  async function drawCurves(numbers) {
    const asked = curvesAsked = new URLSearchParams({ trials: numbers.join(","), metric: $("metric").value });
    try {
      const answer = await fetch(`/studies/${data.study}/compared?${asked}`, { headers: { accept: "application/json" } });
      const found = await answer.json();
      if (asked !== curvesAsked) return;  // others were chosen meanwhile
      if (!answer.ok) throw new Error(found.told);
      $("metric").replaceChildren(...found.metrics.map((each) => element("option", each)));
      $("metric").value = found.metric;
      Figures.put($("curves"), found.figure);
    } catch (error) { tell(`The curves did not load: ${error.message}`, true); }
  }
  $("metric").addEventListener("change", drawCompared);

  // --- head, running trials, failures ------------------------------------------------------------------------------

  function drawHead() {
    $("status").className = `status ${head.status}`;
    $("status").textContent = head.status;
    $("reason").textContent = head.reason;
    $("problem").hidden = !head.problem;
    $("problem").textContent = head.problem ? `The ClearML server is in trouble; this is as it was last read. ${head.problem}` : "";
    $("best").replaceChildren(...best());
    $("budgets").replaceChildren(...head.budgets.map((each) => {
      const part = element("div", "", { class: "budget" });
      const line = element("span");
      line.append(element("span", each.name), element("span", each.text));
      const bar = element("div", "", { class: "bar", role: "progressbar", "aria-label": each.name, "aria-valuenow": Math.round(each.share * 100) });
      const inner = element("div");
      inner.style.width = `${each.share * 100}%`;
      bar.append(inner);
      part.append(line, bar);
      return part;
    }));
    $("counts").textContent = Object.entries(head.counts).map(([state, n]) => `${n} ${state}`).join(", ");
    $("facts").replaceChildren(...head.facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  }

  function best() {
    if (!head.best) return [element("p", "no trial has completed yet", { class: "note" })];
    const values = data.objectives.map((each, i) => `${each.metric} ${number(head.best.values[i])}`);
    const line = element("p");
    line.append("trial ", element("a", String(head.best.number), { href: data.url.replace("{task}", head.best.task) }), head.front.length > 1 ? `, front of ${head.front.length}` : "");
    return [element("div", values.join(", "), { class: "big" }), line, element("p", Object.entries(head.best.shown).map(([name, value]) => `${name}=${value}`).join(", "), { class: "params-of" })];
  }

  function spark(points) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    made.setAttribute("class", "line"); made.setAttribute("viewBox", "0 0 100 24"); made.setAttribute("preserveAspectRatio", "none");
    const values = points.map(([, value]) => value).filter(Number.isFinite);
    const steps = points.map(([step]) => step);
    const [low, high, first, last] = [Math.min(...values), Math.max(...values), Math.min(...steps), Math.max(...steps)];
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    line.setAttribute("points", points.filter(([, value]) => Number.isFinite(value)).map(([step, value]) => `${last > first ? ((step - first) / (last - first)) * 100 : 50},${high > low ? 22 - ((value - low) / (high - low)) * 20 : 12}`).join(" "));
    made.append(line);
    return made;
  }

  function drawRunning() {
    const running = [...rows.values()].filter((row) => row.state === "running").sort((a, b) => a.number - b.number);
    $("running-part").hidden = !running.length;
    const heading = element("tr");
    const titles = [["trial"], ...data.objectives.map((each) => [each.metric, "right"]), [data.watched ? `${data.watched} so far` : ""], ["iteration", "right"], ["time"], ["worker"], ["parameters"]];
    heading.append(...titles.map(([title, side]) => element("th", title, { class: side ?? "" })));
    $("running").tHead.replaceChildren(heading);
    $("running").tBodies[0].replaceChildren(...running.slice(0, 60).map((row) => {
      const line = element("tr", "", { "data-running": row.number });
      const first = element("td");
      first.append(link(row), " ", logButton(row));
      const curve = element("td");
      if (curves[row.task]?.length) curve.append(spark(curves[row.task]));
      line.append(first, ...data.objectives.map((_, i) => element("td", number(row.values?.[i]), { class: "right" })), curve, element("td", text(row.iteration), { class: "right" }), element("td", duration(took(row) ?? 0), { class: "right" }), element("td", row.worker ?? ""),
        element("td", data.parameters.filter((each) => row.params?.[each.name] !== undefined).map((each) => `${each.short}=${text(row.params[each.name])}`).join(", "), { class: "params-of" }));
      return line;
    }));
  }

  function drawFailures() {
    const groups = new Map();
    for (const row of rows.values()) {
      if ([...LIVE, "completed", "pruned", "paused"].includes(row.state)) continue;
      const key = `${row.state}: ${(row.reason ?? "").split("\n")[0] || "no reason was given"}`;
      groups.set(key, [...(groups.get(key) ?? []), row]);
    }
    $("failures-part").hidden = !groups.size;
    $("failures").replaceChildren(...[...groups].sort((a, b) => b[1].length - a[1].length).map(([key, those]) => {
      const line = element("p");
      const pick = element("button", `${those.length} ${those.length > 1 ? "trials" : "trial"}`, { type: "button" });
      pick.addEventListener("click", () => choose(those.map((row) => row.number)));
      line.append(pick, ` ${key} `, logButton(those[those.length - 1]));
      return line;
    }));
  }

  // --- what changes ------------------------------------------------------------------------------------------------

  function take(changes) {
    if (changes.is_whole) rows.clear();  // some may have been deleted
    for (const row of changes.rows) rows.set(row.number, row);
    const isMoved = changes.is_whole || changes.rows.length > 0;
    const hasEnded = changes.plotted !== plotted;
    ({ version, plotted, at, head, count } = changes);
    curves = changes.curves ?? curves;  // they come when they were read anew
    drawHead();
    drawRunning();
    if (isMoved || !count) { drawTable(); drawFailures(); }
    if (hasEnded && !$("compared").hidden) drawCompared();
    if (hasEnded) Parallel.update(ranked(), data.parameters, data.objectives);
    Figures.update(plotted, at);
  }

  async function look() {
    if (!document.hidden) {
      try {
        const answer = await fetch(`/studies/${data.study}/changes?since=${version}`, { headers: { accept: "application/json" } });
        const changes = await answer.json();
        if (answer.ok) take(changes);
        else tell(changes.told, true);
      } catch (error) {
        $("problem").hidden = false;
        $("problem").textContent = `The dashboard does not answer: ${error.message}. Is it still running?`;
      }
    }
    setTimeout(look, (head.is_over ? 5 : 1) * data.every * 1000);
  }

  // --- orders ------------------------------------------------------------------------------------------------------

  function tell(message, isWrong = false) {
    $("told").hidden = false;
    $("told").textContent = message;
    $("told").setAttribute("role", isWrong ? "alert" : "status");
  }

  async function order(name, body) {
    try {
      const answer = await fetch(`/studies/${data.study}/orders/${name}`, { method: "POST", body, headers: { accept: "application/json", "x-form-token": document.querySelector("meta[name=form-token]")?.content ?? "" } });
      const found = await answer.json();
      tell(found.told, !answer.ok);
      if (found.to) location.assign(found.to);
      return answer.ok;
    } catch (error) {
      tell(`The dashboard does not answer: ${error.message}. Is it still running?`, true);
      return false;
    } finally { $("told").scrollIntoView({ block: "nearest" }); }
  }

  for (const form of document.querySelectorAll("form[data-order]")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (form.dataset.sure && !confirm(form.dataset.sure)) return;
      const button = form.querySelector("button");
      button.disabled = true;
      try { if (await order(form.dataset.order, new URLSearchParams(new FormData(form)))) form.reset(); } finally { button.disabled = false; }
    });
  }
  for (const button of document.querySelectorAll("[data-chosen]")) {
    button.addEventListener("click", () => {
      const names = [...chosen].join(", ");
      if (confirm(`${button.textContent} trial ${names}?`)) order(button.dataset.chosen, new URLSearchParams({ trials: names }));
    });
  }
  document.querySelector("[data-fill-best]").addEventListener("click", (event) => {
    for (const [name, value] of Object.entries(head.best?.params ?? {})) {
      const field = event.target.form.elements[`param.${name}`];
      if (field) field.value = value;
    }
  });
  $("notes").addEventListener("toggle", async () => {
    if ($("notes").open) $("notes").querySelector("pre").textContent = await textOf(`/studies/${data.study}/notes`) || "there are none";
  });
  for (const column of columns.filter((each) => !ALWAYS.includes(each.key))) {
    const label = element("label");
    const box = element("input", "", { type: "checkbox" });
    box.checked = !hidden.has(column.key);
    box.addEventListener("change", () => { hidden[box.checked ? "delete" : "add"](column.key); sessionStorage.setItem("hidden columns", JSON.stringify([...hidden])); drawTable(); });
    label.append(box, column.title);
    $("columns").append(label);
  }

  Figures.start(data.study, (numbers, isAdded = false) => isAdded ? toggle(numbers) : choose(numbers.length ? numbers : null));
  Parallel.start(choose);
  look();
}
