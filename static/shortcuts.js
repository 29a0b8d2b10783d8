// Keys, and the list of them. With Alt, because letters alone are for typing.

import { made } from "./words.js";

const KEYS = [
  ["Enter", "send"],
  ["Shift Enter", "start a new line"],
  ["Escape", "stop the answer", "escape"],
  ["Alt N", "new chat", "new-chat"],
  ["Alt M", "choose the model", "model"],
  ["/", "to the message", "prompt"],
  ["Alt C", "compare models", "compare"],
  ["Alt P", "parameters", "toggle-panel"],
  ["Alt K", "show code", "show-code"],
  ["?", "this list", "shortcuts"],
];

export class Shortcuts {
  #dialog = document.getElementById("shortcut-list");
  #actions;

  constructor(actions) {
    this.#actions = { ...actions, shortcuts: () => this.open() };
    const list = this.#dialog.querySelector("dl");
    list.append(...KEYS.flatMap(([keys, words]) => [keyed(keys), made("dd", words)]));
    this.#dialog.querySelector(".close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    document.addEventListener("keydown", (event) => this.#pressed(event));
  }

  open() {
    this.#dialog.showModal();
  }

  #pressed(event) {
    // An open dialog has its own keys.
    if (event.isComposing || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
    const typing = event.target.matches("input, textarea, select");
    const found = KEYS.find(([keys, , action]) => action && fits(keys, event) && !(typing && keys.length === 1));
    if (!found) return;
    event.preventDefault();
    this.#actions[found[2]]();
  }
}

// By the place of the key where Alt changes what it writes, as on a Mac.
function fits(keys, event) {
  if (!keys.startsWith("Alt ")) return !event.altKey && event.key === keys;
  return event.altKey && event.code === `Key${keys.at(-1)}`;
}

function keyed(keys) {
  const term = made("dt");
  term.append(...keys.split(" ").flatMap((key) => [made("kbd", key), " "]));
  return term;
}
