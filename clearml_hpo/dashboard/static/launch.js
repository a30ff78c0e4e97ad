// The page that launches a study: has its text checked, shows faults beside it, asks before the launch.
"use strict";

{
  const form = document.getElementById("launch");
  const text = form.elements.text;
  const lines = document.getElementById("lines");
  const found = document.getElementById("found");
  const buttons = form.querySelectorAll("button");
  let wrong = new Set();

  function element(tag, content, attributes = {}) {
    const made = document.createElement(tag);
    made.textContent = content;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  function number() {
    const count = text.value.split("\n").length;
    lines.replaceChildren(...Array.from({ length: count }, (_, at) => element("span", `${at + 1}\n`, wrong.has(at + 1) ? { class: "wrong" } : {})));
    lines.scrollTop = text.scrollTop;
  }

  function go(line) {
    const before = text.value.split("\n").slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    const end = text.value.indexOf("\n", before);
    text.focus();
    text.setSelectionRange(before, end < 0 ? text.value.length : end);
    text.scrollTop = (line - 4) * parseFloat(getComputedStyle(text).lineHeight);
  }

  function show(role, ...parts) {
    found.setAttribute("role", role);
    found.replaceChildren(...parts);
  }

  function faults(those) {
    wrong = new Set(those.map((each) => each.line));
    number();
    const list = element("ul", "", { class: "faults" });
    for (const each of those) {
      const item = element("li", "");
      if (each.line) {
        const button = element("button", `line ${each.line}`, { type: "button" });
        button.addEventListener("click", () => go(each.line));
        item.append(button, " ");
      }
      item.append(each.text);
      list.append(item);
    }
    show("alert", list);
  }

  // What the dashboard answers; null if there are faults, which are shown.
  async function ask(step) {
    for (const each of buttons) each.disabled = true;
    show("status", element("p", step === "check" ? "checking …" : "launching …", { class: "note" }));
    try {
      const answer = await fetch(`/${step}`, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { accept: "application/json" } });
      const said = await answer.json();
      faults(said.faults ?? (answer.ok ? [] : [{ line: null, text: said.told }]));
      return said.faults || !answer.ok ? null : said;
    } catch (error) {
      faults([{ line: null, text: `The dashboard does not answer: ${error.message}. Is it still running?` }]);
      return null;
    } finally { for (const each of buttons) each.disabled = false; }
  }

  async function check() {
    const said = await ask("check");
    if (said) show("status", ...said.remarks.map((each) => element("p", each)));
    return said;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const checked = await check();
    if (!checked || !confirm(checked.question)) return;
    const said = await ask("launch");
    if (!said) return;
    const line = element("p", "");
    line.append(element("a", "open it", { href: said.to }));
    show("status", ...said.told.map((each) => element("p", each, { class: "message" })), line);
  });
  document.getElementById("check").addEventListener("click", check);
  text.addEventListener("input", number);
  text.addEventListener("scroll", () => { lines.scrollTop = text.scrollTop; });
  number();
}
