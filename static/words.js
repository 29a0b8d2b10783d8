// Words that several pages share.

export const STATES = {
  ready: "Ready",
  loading: "Loading…",
  downloading: "Downloading…",
  draining: "Finishing",
  sleeping: "Asleep",
  stopping: "Unloading",
  unloaded: "Loads when asked",
  failed: "Failed to load",
  closed: "Out of service",
};

export const TIERS = { S: "always loaded", A: "loaded on demand", C: "custom code" };

// An id as part of an address; its slashes stay.
export function pathOf(id) {
  return id.split("/").map(encodeURIComponent).join("/");
}

// A link to the page of a model.
export function modelLink(id) {
  const link = made("a", id);
  link.href = `/models/${pathOf(id)}`;
  return link;
}

export function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return `${Math.round(seconds / 60)} min`;
}

// How quick a model was here, of what the server measured; empty where it measured nothing.
export function measuredWords({ tokens_per_second: rate, answer_seconds: answer, load_seconds: load }) {
  const words = [];
  if (rate !== null) words.push(`${rate.toLocaleString("en")} tokens/s`);
  else if (answer !== null) words.push(`an answer ${answer.toLocaleString("en")} s`);
  if (load !== null) words.push(`load ${load.toLocaleString("en")} s`);
  return words.join(", ");
}

// Where a question stands: which stage, which place, how long.
export function waitingWords({ model, stage, detail, position, eta }) {
  const place = position === 1 ? "next in line" : `number ${position} in line`;
  const busy = stage === "loading" || stage === "downloading";
  const state = busy ? `${model} is ${detail}` : `Waiting for ${model}`;
  const words = [state, place, busy ? "" : detail];
  if (eta !== null) words.push(`about ${duration(eta)} left`);
  return words.filter(Boolean).join(" · ");
}

export function made(name, text = "", className = "") {
  const element = document.createElement(name);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}
