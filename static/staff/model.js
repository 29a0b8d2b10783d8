// One model's page: what it does, what may be asked of it, a test, its last log.

import { made, measuredWords, pathOf, TIERS } from "../words.js";
import { ask } from "../widgets/ask.js";
import { watch } from "./watch.js";
import { askButtons, placeWords, stateParts } from "./words.js";

const id = JSON.parse(document.getElementById("model").textContent);
const part = (name) => document.getElementById(name);
let wish = null;

function fact([name, words]) {
  const row = made("div");
  row.append(made("dt", name), made("dd", words));
  return row;
}

function draw({ one, events }) {
  if (!one) {
    part("state").replaceChildren(made("span", "not read by the server yet", "llms-state"));
    return;
  }
  const state = made("span", "", "llms-live");
  state.append(...stateParts(one));
  part("state").replaceChildren(state);
  part("facts").replaceChildren(
    ...[
      ["Running / waiting", `${one.running} / ${one.waiting}`],
      ["Tier", [one.tier, TIERS[one.tier]].filter(Boolean).join(", ")],
      ["Placement", placeWords(one)],
      ["Measured", measuredWords(one) || "–"],
    ].map(fact),
  );
  // Buttons stay as they are while they say the same: one may be about to be pressed.
  if (part("asking") && one.wish !== wish) {
    part("asking").querySelectorAll("button").forEach((button) => button.remove());
    part("asking").append(...askButtons(one, "change"));
    wish = one.wish;
  }
  const own = events.filter(({ model }) => model === id).reverse();
  part("moves").querySelector("tbody").replaceChildren(...own.map(moveRow));
}

function moveRow({ kind, began, ended, why }) {
  const row = made("tr");
  const outcome = made("td");
  outcome.append(why ? made("span", why, "llms-state llms-failed") : "done");
  const when = new Date(1000 * ended).toLocaleTimeString("en-GB");
  row.append(made("td", when), made("td", kind), made("td", (ended - began).toFixed(2)), outcome);
  return row;
}

function say(words, failed = false) {
  part("said").hidden = false;
  part("said").className = failed ? "llms-said failed" : "llms-said";
  part("said").textContent = words;
}

async function test(event) {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  say("Asking…");
  try {
    const body = JSON.stringify(Object.fromEntries(new FormData(event.target)));
    const waits = ({ stage, detail, position }) => say(stage ? `Waiting: ${detail || stage}, number ${position}` : "Answering…");
    const answer = await ask(`/staff/test/${pathOf(id)}`, body, { waits });
    const { text, tokens, seconds, first_seconds: first, queue_seconds: queue, tokens_per_second: rate } = answer;
    const figures = [`waited ${queue} s`, `first piece after ${first} s`, `all after ${seconds} s`];
    if (tokens) figures.push(`${tokens} tokens, ${rate} tokens/s`);
    say(`${text}\n\n${figures.join(" · ")}`);
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
}

async function showLog() {
  if (!part("log").open) return;
  const place = part("log").querySelector("pre");
  try {
    const response = await fetch(`/staff/log/${pathOf(id)}`);
    const { text, loaded } = await response.json();
    place.textContent = text || (loaded ? "Its engine printed nothing." : "It was not loaded since the server started.");
    place.scrollTop = place.scrollHeight;
  } catch {
    place.textContent = "The log cannot be read at the moment.";
  }
}

// Not there for staff who may only look.
if (part("test")) {
  part("test").addEventListener("submit", test);
  part("test").querySelector("button").disabled = false;
}
part("log").addEventListener("toggle", showLog);
watch(draw, part("away"), `?model=${encodeURIComponent(id)}`);
