// What plain HTML cannot do: times in the reader's zone, choosing rows, pages that stay fresh.
"use strict";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const twoDigits = (number) => String(number).padStart(2, "0");

function showTimes(root) {
  for (const each of all("time[datetime]", root)) {
    const time = new Date(each.dateTime);
    const day = `${time.getFullYear()}-${twoDigits(time.getMonth() + 1)}-${twoDigits(time.getDate())}`;
    each.textContent = `${day} ${twoDigits(time.getHours())}:${twoDigits(time.getMinutes())}`;
    each.title = `${each.dateTime.replace("T", " ").replace("Z", "")} UTC`;
  }
}

// --- choosing rows of the table ---------------------------------------------------------------------------------------

function countChosen() {
  const form = document.getElementById("tasks");
  if (!form) return;
  const boxes = all("tbody .pick input", form);
  const chosen = boxes.filter((box) => box.checked).length;
  form.querySelector(".chosen").textContent = chosen ? `${chosen} chosen` : "";
  for (const button of all("[data-least]", form)) button.disabled = chosen < Number(button.dataset.least);
  const every = form.querySelector("[data-all]");
  every.checked = chosen > 0 && chosen === boxes.length;
  every.indeterminate = chosen > 0 && chosen < boxes.length;
}

let lastBox = null;
function choose(event) {
  const boxes = all("#tasks tbody .pick input");
  if (event.target.matches("[data-all]")) for (const box of boxes) box.checked = event.target.checked;
  const [from, to] = [boxes.indexOf(lastBox), boxes.indexOf(event.target)];
  if (event.shiftKey && from >= 0 && to >= 0) {
    for (const box of boxes.slice(Math.min(from, to), Math.max(from, to) + 1)) box.checked = event.target.checked;
  }
  if (to >= 0) lastBox = event.target;
  countChosen();
}

// --- forms ------------------------------------------------------------------------------------------------------------

// A URL holds what was chosen, and nothing else.
function leaveOut(event) {
  const form = event.target;
  const action = event.submitter?.getAttribute("formaction") ?? "";
  form.addEventListener("formdata", ({ formData }) => {
    if (action === "/compare") for (const name of ["back", "queue"]) formData.delete(name);
    if (form.matches(".filters")) for (const [name, value] of [...formData]) if (!value || `${name}=${value}` === "archived=hidden") formData.delete(name);
  }, { once: true });
}

function changeForm(event) {
  const pair = event.target.dataset.pair;
  if (pair) {
    const option = event.target.selectedOptions[0];
    for (const name of pair.split(" ")) event.target.form.elements[name].value = option.dataset[name];
  }
  if (event.target.matches("[data-submit] select")) event.target.form.requestSubmit();
  if (event.target.matches("[data-only-differences]")) document.body.classList.toggle("only-differences", event.target.checked);
}

function addRow(button) {
  const rows = button.closest("section").querySelector("[data-rows]");
  const row = rows.lastElementChild.cloneNode(true);
  for (const field of all("input, textarea", row)) if (field.name !== "section") field.value = "";
  rows.append(row);
  row.querySelector("[name=parameter]").focus();
}

function clickButtons(event) {
  const add = event.target.closest("[data-add]");
  if (add) addRow(add);
  event.target.closest("[data-remove]")?.closest("tr, .object").remove();
  for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
}

function narrow(event) {
  if (!event.target.matches("[data-narrow]")) return;
  const wanted = event.target.value.trim().toLowerCase();
  for (const each of all("fieldset > label, fieldset tr", event.target.form)) {
    each.hidden = !(each.dataset.name ?? each.textContent).toLowerCase().includes(wanted);
  }
}

async function openDialog(event) {
  const link = event.target.closest("[data-dialog]");
  if (!link || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const page = await fetchPage(link.href);
  const form = page?.querySelector("main form");
  if (!form) { location.assign(link.href); return; }
  const dialog = document.createElement("dialog");
  dialog.append(form);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (click) => { if (click.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
}

// --- staying fresh ----------------------------------------------------------------------------------------------------

async function fetchPage(url) {
  const response = await fetch(url);
  if (!response.ok || response.redirected) return null;
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

const known = new Map();  // what the server last said, by the name of the part

function isInUse(part) {
  const active = document.activeElement;
  const typing = active?.matches("input:not([type=checkbox]), select, textarea") && part.contains(active);
  const selection = document.getSelection();
  const reading = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  return typing || reading || part.querySelector("details.menu[open]") !== null;
}

function renew(part, fresh) {
  if (part.matches("[data-plots]")) { addPlots(part, fresh); return; }
  if (known.get(part.dataset.live) === fresh.innerHTML || isInUse(part)) return;
  known.set(part.dataset.live, fresh.innerHTML);
  const chosen = new Set(all("input[name=task]:checked", part).map((box) => box.value));
  const queues = all("select", part).map((select) => select.value);
  const open = new Set(all("details[open]", part).map((each) => each.closest("[id]")?.id));
  const focused = part.contains(document.activeElement) ? all("a, button, input", part).indexOf(document.activeElement) : -1;
  part.replaceChildren(...fresh.cloneNode(true).childNodes);
  for (const box of all("input[name=task]", part)) if (box.type === "checkbox") box.checked = chosen.has(box.value);
  all("select", part).forEach((select, at) => { if (queues[at]) select.value = queues[at]; });
  for (const each of all("details", part)) if (open.has(each.closest("[id]")?.id)) each.open = true;
  if (focused >= 0) all("a, button, input", part)[focused]?.focus({ preventScroll: true });
  showTimes(part);
  countChosen();
}

function addPlots(part, fresh) {
  const shown = new Set(all("[data-figure]", part).map((each) => each.dataset.first ?? each.dataset.figure));
  for (const figure of all("figure", fresh)) {
    if (!shown.has(figure.querySelector("[data-figure]").dataset.figure)) part.append(figure.cloneNode(true));
  }
  document.dispatchEvent(new Event("plots"));
}

async function refresh() {
  const main = document.getElementById("main");
  const page = document.hidden ? null : await fetchPage(location.href).catch(() => null);
  for (const part of page ? all("[data-live]") : []) {
    const fresh = page.querySelector(`[data-live="${part.dataset.live}"]`);
    if (fresh) renew(part, fresh);
  }
  if (page) main.dataset.every = page.getElementById("main").dataset.every;
  keepFresh();
}

function keepFresh() {
  const every = Number(document.getElementById("main").dataset.every);
  if (every) setTimeout(refresh, every * 1000);
}

// --- console ----------------------------------------------------------------------------------------------------------

async function earlier(event) {
  const link = event.target.closest("[data-earlier]");
  if (!link || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const pre = document.querySelector("[data-console]");
  const found = await (await fetch(`${pre.dataset.console}?before=${pre.dataset.first}`)).json();
  const height = pre.scrollHeight;
  pre.prepend(found.text);
  pre.scrollTop += pre.scrollHeight - height;
  pre.dataset.first = found.first;
  link.href = `?before=${found.first}`;
  link.hidden = !found.first;
}

async function follow(pre) {
  const found = await fetch(`${pre.dataset.console}?after=${pre.dataset.last}`).then((answer) => answer.json()).catch(() => null);
  if (!found?.text) return;
  const atEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 20;
  document.querySelector("[data-empty]")?.remove();
  pre.append(found.text);
  pre.dataset.last = found.last;
  if (atEnd) pre.scrollTop = pre.scrollHeight;
}

function startConsole() {
  const pre = document.querySelector("[data-console]");
  if (!pre) return;
  pre.scrollTop = pre.scrollHeight;
  if (pre.dataset.still !== undefined) return;
  setInterval(() => { if (!document.hidden && Number(document.getElementById("main").dataset.every)) follow(pre); }, 3000);
}

document.addEventListener("click", (event) => {
  if (event.target.matches(".pick input")) choose(event);
  clickButtons(event);
  openDialog(event);
  earlier(event);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of all("details.menu[open]")) menu.open = false;
});
document.addEventListener("submit", leaveOut);
document.addEventListener("change", changeForm);
document.addEventListener("input", narrow);
for (const part of all("[data-live]")) known.set(part.dataset.live, part.innerHTML);
showTimes(document);
countChosen();
startConsole();
keepFresh();
