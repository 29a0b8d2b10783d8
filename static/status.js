// The board: asks the server every two seconds while somebody looks, and counts down in between.

import { bytes, deviceBar } from "./devices.js";
import { duration, made, modelLink, plural, STATES, TIERS } from "./words.js";

const ASK_EVERY = 2000;
const DRAW_EVERY = 1000;
// Of a switch, in the order of the table's columns.
const PARTS = ["Load", "Drain", "Sleep", "Wake", "Unload"];

const part = (id) => document.getElementById(id);

// The last answer and when it came.
let board = null;
let askedAt = 0;

// Seconds that were left when the server spoke, less what has passed since.
function left(seconds) {
  return seconds === null ? null : Math.max(0, seconds - (performance.now() - askedAt) / 1000);
}

function turnWords({ state, turn_left: turn, ready_in: ready, tier }) {
  if (state === "loading") return ready === null ? "" : `ready in ${duration(left(ready))}`;
  if (state === "draining") return "over";
  if (state !== "ready") return "";
  if (turn === null) return tier === "S" ? "stays" : "nobody waits";
  return `${duration(left(turn))} left`;
}

function cell(label, text, className = "") {
  const element = made("td", text, className);
  element.dataset.label = label;
  return element;
}

function row(...cells) {
  const element = made("tr");
  element.append(...cells);
  return element;
}

function modelCell({ model, state = "" }) {
  const element = made("th", "", "name");
  element.scope = "row";
  if (state) {
    const dot = made("span", "", "dot");
    dot.dataset.state = state;
    element.append(dot);
  }
  element.append(modelLink(model));
  return element;
}

function residentRow(resident) {
  const state = resident.detail && resident.state === "loading" ? resident.detail : STATES[resident.state];
  return row(
    modelCell(resident),
    cell("State", state ?? resident.state),
    cell("Turn", turnWords(resident)),
    cell("Running", String(resident.running), "number"),
    cell("Waiting", String(resident.waiting), "number"),
    cell("Kind", TIERS[resident.tier] ?? resident.tier),
    cell("Where", resident.devices.join(", ")),
  );
}

function comingRow(coming, index) {
  return row(
    cell("", String(index + 1), "number place"),
    modelCell(coming),
    cell("Waiting", String(coming.waiting), "number"),
    cell("In about", coming.eta === null ? "not known yet" : duration(left(coming.eta))),
  );
}

function downloadRow(download) {
  const bar = made("progress");
  bar.max = download.total_bytes;
  bar.value = download.bytes;
  const progress = cell("Progress", `${bytes(download.bytes)} of ${bytes(download.total_bytes)} `);
  progress.append(bar);
  return row(
    modelCell(download),
    progress,
    cell("Waiting", String(download.waiting), "number"),
    cell("In about", download.eta === null ? "not known yet" : duration(left(download.eta))),
  );
}

function switchRow(took) {
  const words = (seconds) => (seconds === null ? "–" : `${seconds.toLocaleString("en")} s`);
  const cells = PARTS.map((part) => cell(part, words(took[`${part.toLowerCase()}_seconds`]), "number"));
  return row(modelCell({ model: took.model }), ...cells);
}

function fill(id, rows) {
  part(id).querySelector("tbody").replaceChildren(...rows);
  part(id).hidden = rows.length === 0;
  part(`${id}-none`)?.toggleAttribute("hidden", rows.length > 0);
}

function summary() {
  if (!board.accepting) return "The server is stopping and takes no new work.";
  const total = (list, field) => list.reduce((sum, each) => sum + each[field], 0);
  const models = new Map([...board.next, ...board.resident].map(({ model, waiting }) => [model, waiting]));
  const waiting = [...models.values()].reduce((sum, each) => sum + each, 0);
  const running = total(board.resident, "running");
  if (!running && !waiting) return "Nothing runs and nobody waits.";
  return `${plural(running, "answer")} running, ${plural(waiting, "request")} waiting`;
}

function draw() {
  if (!board) return;
  part("summary").textContent = summary();
  part("devices").replaceChildren(...board.devices.map((device) => deviceBar(device, board.resident)));
  fill("resident", board.resident.map(residentRow));
  fill("next", board.next.map(comingRow));
  fill("downloads", board.downloads.map(downloadRow));
  fill("switching", board.switching.map(switchRow));
}

async function ask() {
  try {
    const response = await fetch("/v1/status");
    if (!response.ok) throw new Error(response.statusText);
    board = await response.json();
    askedAt = performance.now();
    part("notice").hidden = true;
    draw();
  } catch {
    part("notice").hidden = false;
  }
}

// One question at a time: a server that is slow to answer is not asked again meanwhile.
async function watch() {
  if (!document.hidden) await ask();
  setTimeout(watch, ASK_EVERY);
}

document.addEventListener("visibilitychange", () => document.hidden || ask());
setInterval(() => document.hidden || draw(), DRAW_EVERY);
watch();
