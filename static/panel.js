// The side panel: system prompt, and the controls that the chosen model can do something with.
// What is not set is left to the model.

import { controls, SHOWN_FIRST } from "./controls.js";

// Else panels lie over the conversation.
export const WIDE = matchMedia("(min-width: 64rem)");

export class Panel {
  #panel = document.getElementById("panel");
  #toggle = document.getElementById("toggle-panel");
  #system = document.getElementById("system");
  #more = document.getElementById("more-controls");
  #controls = controls();
  #fitting = [];

  constructor() {
    this.#toggle.addEventListener("click", () => this.#open(this.#panel.hidden));
    document.getElementById("close-panel").addEventListener("click", () => this.close());
    document.getElementById("reset-panel").addEventListener("click", () => this.#reset());
    document.getElementById("controls").append(...this.#controls.slice(0, SHOWN_FIRST).map(({ element }) => element));
    this.#more.append(...this.#controls.slice(SHOWN_FIRST).map(({ element }) => element));
    WIDE.addEventListener("change", () => this.#open(WIDE.matches));
    this.#reset();
    this.fit({ parameters: [], defaults: {} });
    this.#open(WIDE.matches);
  }

  // On a phone the panel lies over the conversation.
  get covers() {
    return !this.#panel.hidden && !WIDE.matches;
  }

  get system() {
    return this.#system.value.trim();
  }

  set system(text) {
    this.#system.value = text;
  }

  get params() {
    return Object.assign({}, ...this.#fitting.map(({ params }) => params));
  }

  // What has to be mended before a question can be asked; empty where all is well.
  get problem() {
    return this.#fitting.map(({ problem }) => problem).find(Boolean) ?? "";
  }

  // Show what has an effect on a model, with its own defaults.
  fit({ parameters, defaults }) {
    this.#fitting = this.#controls.filter(({ needs }) => parameters.includes(needs));
    for (const control of this.#controls) {
      control.element.hidden = !this.#fitting.includes(control);
      control.defaults(defaults);
    }
    this.#more.hidden = ![...this.#more.children].some(({ hidden, localName }) => localName !== "summary" && !hidden);
  }

  close() {
    this.#open(false);
    this.#toggle.focus();
  }

  #open(open) {
    this.#panel.hidden = !open;
    this.#toggle.ariaExpanded = String(open);
  }

  #reset() {
    this.#system.value = "";
    for (const control of this.#controls) control.reset();
  }
}
