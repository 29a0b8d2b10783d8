// The page of everything: memory, models and what may be asked of them, turns and switches.

import { deviceBar } from "../devices.js";
import { duration, made, measuredWords, plural } from "../words.js";
import { drawTimeline } from "./timeline.js";
import { watch } from "./watch.js";
import { askButtons, cardAddress, placeWords, stateParts } from "./words.js";

const part = (id) => document.getElementById(id);
const mayChange = Boolean(part("asking"));
let board = null;

function cell(content, className = "") {
  const element = made("td", "", className);
  element.append(...[content].flat());
  return element;
}

function nameCell(id) {
  const element = made("th", "", "llms-name");
  const link = made("a", id);
  link.href = cardAddress(id);
  element.scope = "row";
  element.append(link);
  return element;
}

function modelRow(model) {
  const row = made("tr");
  row.dataset.model = model.id;
  const state = made("div", "", "llms-live");
  state.append(...stateParts(model));
  row.append(
    nameCell(model.id),
    cell(state, "words"),
    cell(model.wish),
    cell(`${model.running} / ${model.waiting}`),
    cell(placeWords(model)),
    cell(measuredWords(model) || "–"),
  );
  if (mayChange) {
    const buttons = made("div", "", "llms-asks");
    buttons.append(...askButtons(model, "live"));
    row.append(cell(buttons));
  }
  return row;
}

function nextRow({ model, waiting, eta }) {
  const row = made("tr");
  row.append(nameCell(model), cell(String(waiting)), cell(eta === null ? "not known yet" : duration(eta)));
  return row;
}

// A button that is about to be pressed must not be replaced under the finger.
function fill(table, rows, drawn) {
  const text = JSON.stringify(drawn);
  if (table.dataset.drawn === text) return;
  const focused = table.contains(document.activeElement) && document.activeElement.getAttribute("formaction");
  table.tBodies[0].replaceChildren(...rows());
  table.dataset.drawn = text;
  if (focused) table.querySelector(`[formaction="${CSS.escape(focused)}"]`)?.focus();
}

function draw(answer) {
  board = answer;
  const { models, next } = board;
  const total = (name) => models.reduce((sum, each) => sum + each[name], 0);
  part("summary").textContent = board.accepting
    ? `${plural(total("running"), "answer")} running, ${plural(total("waiting"), "request")} waiting.`
    : "The server is stopping and takes no new work.";
  part("devices").replaceChildren(...board.devices.map((device) => deviceBar(device, board.resident)));
  fill(part("models"), () => models.map(modelRow), models);
  part("models-none").hidden = models.length > 0;
  fill(part("next"), () => next.map(nextRow), next);
  part("next-part").hidden = next.length === 0;
  drawTurns();
}

function drawTurns() {
  if (board) part("timeline-none").hidden = drawTimeline(part("timeline"), board, Number(part("range").value));
}

part("range").addEventListener("change", drawTurns);
watch(draw, part("away"));
