// What staff read of a model, and what they may ask of it.

import { duration, made, pathOf, STATES } from "../words.js";

// Django's own way to write an id into an address.
const ODD = /[:/_#?;@&=+$,"[\]<>%\n\\]/g;
const asks = JSON.parse(document.getElementById("asks")?.textContent ?? "[]");
// Which wish each button writes, where that can be seen of the wish.
const WRITES = { preload: "preload", pin: "pin", drain: "drain" };

export const CATALOGUE = "/admin/inference/cataloguerow/";

export function cardAddress(id) {
  const quoted = id.replace(ODD, (sign) => `_${sign.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
  return `${CATALOGUE}${encodeURIComponent(quoted)}/change/`;
}

// The state as a chip, with what is left to wait for.
export function stateParts({ state, detail, progress, ready_in: left }) {
  const words = state === "failed" && detail ? `Failed: ${detail}` : detail || STATES[state] || state;
  const chip = made("span", words, `llms-state llms-${state}`);
  if (progress === null || progress === undefined) return [chip];
  const bar = made("progress");
  bar.max = 1;
  bar.value = progress;
  bar.ariaLabel = `${Math.round(100 * progress)} %`;
  chip.append(left === null ? "" : ` · about ${duration(left)} left`);
  return [chip, bar];
}

export function placeWords({ placement }) {
  if (!placement) return "–";
  const { rung, engine, devices } = placement;
  return `${rung}, ${engine}, ${devices === 1 ? "1 device" : `${devices} devices`}`;
}

// A button for each thing that may be asked; they belong to the form `asking`, which has the token.
export function askButtons({ id, wish }, from) {
  return asks.map(({ what, label, words }) => {
    const button = made("button", label, "button");
    button.title = words;
    button.setAttribute("form", "asking");
    button.setAttribute("formmethod", "post");
    button.setAttribute("formaction", `${CATALOGUE}${pathOf(id)}/ask/${what}?from=${from}`);
    button.ariaPressed = String(WRITES[what] === wish);
    return button;
  });
}
