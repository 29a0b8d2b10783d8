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
};

export const TIERS = { S: "always loaded", A: "loaded on demand" };

export function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return `${Math.round(seconds / 60)} min`;
}

export function made(name, text = "", className = "") {
  const element = document.createElement(name);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}
