// The trials of outside workers: asked for again and again; one that is silent can be declared failed.
"use strict";

{
  const $ = (id) => document.getElementById(id);
  const { study, every } = JSON.parse($("data").textContent);

  function cell(text, className = "") {
    const made = document.createElement("td");
    made.textContent = text;
    made.className = className;
    return made;
  }
  const short = (value) => typeof value === "number" ? String(Number(value.toPrecision(6))) : value;
  const duration = (s) => s < 60 ? `${Math.round(s)} s` : s < 3600 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)}:${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} h`;

  function row(trial) {
    const line = document.createElement("tr");
    line.dataset.wire = trial.wire;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Declare failed";
    button.addEventListener("click", () => declareFailed(trial));
    const last = cell("");
    last.append(button);
    line.append(
      cell(trial.attempt > 1 ? `${trial.number} (attempt ${trial.attempt})` : trial.number), cell(trial.worker), cell(trial.host), cell(trial.steps, "right"),
      cell(Object.entries(trial.last).map(([name, value]) => `${name} ${short(value)}`).join(", ")),
      cell(duration(trial.silent_s), "right"), cell(new Date(trial.until * 1000).toLocaleString()), last);
    return line;
  }

  async function declareFailed(trial) {
    if (!confirm(`Declare trial ${trial.number} failed? Its worker stops when it reports next.`)) return;
    const token = document.querySelector("meta[name=form-token]")?.content ?? "";
    try {
      const answer = await fetch(`/studies/${study}/outside/${trial.wire}/failed`, { method: "POST", body: new URLSearchParams(), headers: { accept: "application/json", "x-form-token": token } });
      tell((await answer.json()).told);
      await show();
    } catch (error) { tell(`The gateway does not answer: ${error.message}`); }
  }

  function tell(message) {
    $("told").hidden = false;
    $("told").textContent = message;
  }

  async function show() {
    const answer = await fetch(`/studies/${study}/outside`, { headers: { accept: "application/json" } });
    if (!answer.ok) return;
    const { trials } = await answer.json();
    $("outside-part").hidden = !trials.length;
    $("outside").tBodies[0].replaceChildren(...trials.map(row));
  }

  async function look() {
    if (!document.hidden) try { await show(); } catch { /* the page says so that nothing answers */ }
    setTimeout(look, every * 1000);
  }
  look();
}
