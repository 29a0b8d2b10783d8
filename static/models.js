// The model menu: fed by the server, grouped by what can answer now.

import { made, modelLink, STATES, TIERS } from "./words.js";

const GROUPS = [
  ["Ready now", (model) => model.state === "ready"],
  ["Loads when asked", (model) => model.state !== "ready" && model.state !== "failed"],
  ["Not available", (model) => model.state === "failed"],
];

// Links of other pages name the model to chat with: /?model=…
const WANTED = new URLSearchParams(location.search).get("model");

export class ModelMenu extends EventTarget {
  #select = document.getElementById("model");
  #dot = document.getElementById("model-dot");
  #state = document.getElementById("model-state");
  #facts = document.getElementById("facts");
  #models = [];
  #drawn = "";

  constructor() {
    super();
    this.#select.addEventListener("change", () => this.#show());
  }

  get chosen() {
    return this.#models.find((model) => model.id === this.#select.value);
  }

  get models() {
    return this.#models;
  }

  // The id of another model that could answer now; empty where there is none.
  // `needs` are what the conversation holds beside text: "pictures", "sounds".
  ready(model, needs) {
    const fits = (each) => each.id !== model && each.state === "ready" && needs.every((need) => each[need]);
    return this.#models.find(fits)?.id ?? "";
  }

  choose(id) {
    this.#select.value = id;
    this.#show();
  }

  focus() {
    this.#select.focus();
  }

  update(models) {
    const before = this.chosen?.id;
    this.#models = models;
    // An open menu closes when its options are replaced: only when they differ.
    const drawing = JSON.stringify(models.map(({ id, state }) => [id, state]));
    if (drawing !== this.#drawn) this.#draw(before);
    this.#drawn = drawing;
    this.#show();
  }

  #draw(before) {
    const groups = GROUPS.map(([label, belongs]) => [label, this.#models.filter(belongs)]);
    this.#select.replaceChildren(...groups.filter(([, models]) => models.length).map(group));
    const known = (wanted) => this.#models.some(({ id }) => id === wanted);
    const fallback = this.#models.find((model) => model.is_default) ?? this.#models[0];
    this.#select.value = [before, WANTED].find(known) ?? fallback?.id ?? "";
  }

  #show() {
    const model = this.chosen;
    if (!model) return;
    this.#dot.dataset.state = model.state;
    this.#state.textContent = STATES[model.state] ?? model.state;
    this.#state.title = model.detail;
    this.#facts.replaceChildren(...facts(model));
    this.dispatchEvent(new Event("change"));
  }
}

function group([label, models]) {
  const element = document.createElement("optgroup");
  element.label = label;
  element.append(...models.map(({ id }) => new Option(id, id)));
  return element;
}

function stateWords({ state, detail }) {
  const label = STATES[state] ?? state;
  if (!detail) return label;
  return state === "failed" ? `${label}: ${detail}` : detail;
}

function facts(model) {
  const load = model.waiting ? `${model.running} running, ${model.waiting} waiting` : `${model.running} running`;
  const rows = [
    ["Model", modelLink(model.id)],
    ["State", stateWords(model)],
    ["Tier", [model.tier, TIERS[model.tier]].filter(Boolean).join(", ")],
    ["Context", model.context ? `${model.context.toLocaleString("en")} tokens` : "known once loaded"],
    ["Questions", load],
  ];
  return rows.flatMap(([name, value]) => {
    const words = made("dd");
    words.append(value);
    return [made("dt", name), words];
  });
}
