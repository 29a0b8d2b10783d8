// Which other models answer beside the chosen one.

import { icon } from "./clipboard.js";
import { made } from "./words.js";

const MOST = 3;

export class Compare extends EventTarget {
  #row = document.getElementById("compare-row");
  #list = document.getElementById("compare-models");
  #add = document.getElementById("compare-add");
  #toggle = document.getElementById("compare");
  #menu;

  constructor(menu) {
    super();
    this.#menu = menu;
    this.#toggle.addEventListener("click", () => this.toggle());
    this.#add.addEventListener("click", () => this.#more());
  }

  // The ids of all models that answer, the chosen one first, each once.
  get models() {
    const others = this.#row.hidden ? [] : [...this.#list.querySelectorAll("select")].map(({ value }) => value);
    return [...new Set([this.#menu.chosen?.id ?? "", ...others])];
  }

  toggle() {
    const open = this.#row.hidden;
    this.#row.hidden = !open;
    this.#toggle.ariaPressed = String(open);
    if (open && !this.#list.childElementCount) this.#more();
  }

  #more() {
    const taken = this.models;
    const next = this.#menu.models.find(({ id, state }) => !taken.includes(id) && state === "ready") ?? this.#menu.models.find(({ id }) => !taken.includes(id));
    if (!next || this.#list.childElementCount >= MOST) return;
    const item = made("li");
    const select = document.createElement("select");
    const remove = made("button", "", "tool round small");
    select.setAttribute("aria-label", `Model ${this.#list.childElementCount + 2}`);
    select.append(...this.#menu.models.map(({ id }) => new Option(id, id)));
    select.value = next.id;
    remove.type = "button";
    remove.setAttribute("aria-label", "Remove this model");
    remove.append(icon("close"));
    remove.addEventListener("click", () => {
      item.remove();
      this.#add.hidden = false;
      if (!this.#list.childElementCount) this.toggle();
      this.#toggle.focus();
    });
    item.append(select, remove);
    this.#list.append(item);
    this.#add.hidden = this.#list.childElementCount >= MOST;
    select.focus();
  }
}
