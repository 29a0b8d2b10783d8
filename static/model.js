// The page of one model: its facts, kept up to date, and the form that asks it.

import { drawCode } from "./chat_code.js";
import { bytes } from "./devices.js";
import { made, measuredWords, STATES, TIERS } from "./words.js";
import { Widget } from "./widgets/widget.js";

const LOOK_EVERY = 5000;
const about = JSON.parse(document.getElementById("about").textContent);
const RUNGS = {
  full: "full, as it is",
  "8bit": "8bit, in 8 bits",
  "4bit": "4bit, in 4 bits",
  cpu_offload: "cpu_offload, partly in the machine’s memory",
  disk_offload: "disk_offload, partly on disk",
};

function placementWords({ rung, devices, loaded, tokens_per_second: speed }, task) {
  const words = [RUNGS[rung] ?? rung];
  if (devices > 1) words.push(`on ${devices} devices`);
  if (speed && task === "text-generation") words.push(`about ${Math.ceil(speed).toLocaleString("en")} tokens/s`);
  return loaded ? words.join(", ") : `${words.join(", ")}, when it is loaded`;
}

// Engines whose models have no weights.
const MADE_UP = ["echo", "custom"];

const isWhole = ({ placement }) => !placement || placement.rung === "full";

function facts(status) {
  const rows = [
    ["State", status.detail || (STATES[status.state] ?? status.state)],
    ["Task", status.task],
    ["Tier", [status.tier, TIERS[status.tier]].filter(Boolean).join(", ")],
    ["Context", status.max_model_len ? `${status.max_model_len.toLocaleString("en")} tokens` : ""],
    ["Placement", status.placement ? placementWords(status.placement, status.task) : ""],
    ["Weights", status.weight_bytes && !MADE_UP.includes(status.engine) ? bytes(status.weight_bytes) : ""],
    ["Measured", measuredWords(status.measured)],
    ["Licence", about.licence],
    ["Quality", isWhole(status) ? "" : status.placement.quality],
    ["Revision", status.revision?.slice(0, 12) ?? ""],
    ["Now", status.running || status.waiting ? `${status.running} running, ${status.waiting} waiting` : ""],
  ];
  return rows.filter(([, words]) => words).map(([name, words]) => {
    const row = made("div");
    row.append(made("dt", name), made("dd", words));
    return row;
  });
}

function show(status) {
  document.getElementById("dot").dataset.state = status.state;
  document.getElementById("facts").replaceChildren(...facts(status));
}

async function look() {
  try {
    const response = await fetch(about.ask);
    if (response.ok) show(await response.json());
  } catch {
    // The server is away; what stands here is the last that was known.
  }
}

show(about.status);
if (about.forms.length) new Widget(about, look);
else drawCode(document.getElementById("code"), about);
setInterval(() => document.hidden || look(), LOOK_EVERY);
