// The parameters of a request, as controls of the panel. Each knows how to be drawn, what it adds to
// the request and what is wrong with it; `needs` is the API's parameter that the model must have.

import { made } from "./words.js";

const DEFAULT = "model’s default";
const SCHEMA = `{
  "type": "object",
  "properties": { "answer": { "type": "string" } },
  "required": ["answer"]
}`;
const TOOLS = `[
  {
    "type": "function",
    "function": {
      "name": "get_weather",
      "description": "Tells the weather of a city.",
      "parameters": {
        "type": "object",
        "properties": { "city": { "type": "string" } },
        "required": ["city"]
      }
    }
  }
]`;

function labelled(control, text, field, aside = null) {
  const row = made("div", "", "row");
  const label = made("label", text);
  label.htmlFor = field.id;
  row.append(label, ...(aside ? [aside] : []));
  control.append(row, field);
}

class Control {
  element = made("div", "", "control");

  constructor(needs) {
    this.needs = needs;
  }

  get problem() {
    return "";
  }

  // What the model does where nothing is set here.
  defaults() {}
}

// A number on a scale; it is left to the model until somebody moves it.
class Scale extends Control {
  #input = document.createElement("input");
  #shown = document.createElement("output");
  #default = null;
  #start;

  constructor(needs, label, { min, max, step, start }) {
    super(needs);
    this.#start = start;
    Object.assign(this.#input, { id: needs.replaceAll("_", "-"), type: "range", min, max, step });
    this.#shown.id = `${this.#input.id}-shown`;
    this.#input.setAttribute("aria-describedby", this.#shown.id);
    labelled(this.element, label, this.#input, this.#shown);
    this.#input.addEventListener("input", () => {
      this.#input.dataset.set = "";
      this.#show();
    });
    this.reset();
  }

  get params() {
    return "set" in this.#input.dataset ? { [this.needs]: this.#input.valueAsNumber } : {};
  }

  defaults(values) {
    this.#default = values[this.needs] ?? null;
    if (!("set" in this.#input.dataset)) this.reset();
  }

  reset() {
    delete this.#input.dataset.set;
    this.#input.value = this.#default ?? this.#start;
    this.#show();
  }

  #show() {
    const isSet = "set" in this.#input.dataset;
    const shown = this.#default === null ? DEFAULT : `${DEFAULT}, ${this.#default}`;
    this.#shown.textContent = isSet ? this.#input.valueAsNumber.toFixed(this.#input.step < 0.1 ? 2 : 1) : shown;
  }
}

// A whole number; empty: left to the model.
class Count extends Control {
  #input = document.createElement("input");

  constructor(needs, label, { min, placeholder }) {
    super(needs);
    this.placeholder = placeholder;
    const id = needs.replaceAll("_", "-");
    Object.assign(this.#input, { id, type: "number", min, step: 1, inputMode: "numeric", placeholder });
    this.element.classList.add("in-line");
    labelled(this.element, label, this.#input);
  }

  get params() {
    const { value, valueAsNumber } = this.#input;
    return value && this.#input.checkValidity() ? { [this.needs]: valueAsNumber } : {};
  }

  get problem() {
    return this.#input.checkValidity() ? "" : `${this.element.textContent}: ${this.#input.validationMessage}`;
  }

  defaults(values) {
    this.#input.placeholder = values[this.needs] ?? this.placeholder;
  }

  reset() {
    this.#input.value = "";
  }
}

function choice(id, options) {
  const select = document.createElement("select");
  select.id = id;
  select.append(...options.map(([value, text]) => new Option(text, value)));
  return select;
}

class Effort extends Control {
  #select = choice("reasoning-effort", [["", DEFAULT], ["none", "none"], ["low", "low"], ["medium", "medium"], ["high", "high"]]);

  constructor() {
    super("reasoning_effort");
    this.element.classList.add("in-line");
    labelled(this.element, "Reasoning", this.#select);
  }

  get params() {
    return this.#select.value ? { reasoning_effort: this.#select.value } : {};
  }

  reset() {
    this.#select.value = "";
  }
}

class Stops extends Control {
  #lines = document.createElement("textarea");

  constructor() {
    super("stop");
    Object.assign(this.#lines, { id: "stop-words", rows: 2, placeholder: "one a line" });
    labelled(this.element, "Stop at", this.#lines);
  }

  get params() {
    const stop = this.#lines.value.split("\n").filter(Boolean);
    return stop.length ? { stop } : {};
  }

  reset() {
    this.#lines.value = "";
  }
}

// A text area for JSON that says what is wrong with it while it is typed.
class Json {
  area = document.createElement("textarea");
  #wrong = made("p", "", "wrong");
  #what;
  #fits;

  constructor(id, what, fits) {
    this.#what = what;
    this.#fits = fits;
    Object.assign(this.area, { id, rows: 8, spellcheck: false, className: "json" });
    this.#wrong.id = `${id}-wrong`;
    this.#wrong.setAttribute("role", "status");
    this.area.setAttribute("aria-describedby", this.#wrong.id);
    this.area.addEventListener("input", () => this.check());
  }

  get parts() {
    return [this.area, this.#wrong];
  }

  get problem() {
    try {
      return this.#fits(JSON.parse(this.area.value)) ? "" : `${this.#what} is not what it should be.`;
    } catch (error) {
      return `${this.#what} is no JSON: ${error.message}`;
    }
  }

  get value() {
    return JSON.parse(this.area.value);
  }

  check() {
    const { problem } = this;
    this.#wrong.textContent = problem;
    this.area.setAttribute("aria-invalid", String(Boolean(problem)));
  }

  set(text) {
    this.area.value = text;
    this.check();
  }
}

class Format extends Control {
  #select = choice("answer-format", [["text", "text"], ["json_object", "JSON"], ["json_schema", "JSON by a schema"]]);
  #schema = new Json("schema", "The schema", (value) => value?.constructor === Object);
  #box = made("div", "", "more");

  constructor() {
    super("response_format");
    this.element.classList.add("in-line");
    labelled(this.element, "Answer as", this.#select);
    this.#schema.area.setAttribute("aria-label", "JSON schema");
    this.#box.append(...this.#schema.parts);
    this.element.append(this.#box);
    this.#select.addEventListener("change", () => this.#show());
    this.reset();
  }

  get problem() {
    return this.#select.value === "json_schema" ? this.#schema.problem : "";
  }

  get params() {
    const type = this.#select.value;
    if (type === "text") return {};
    if (type === "json_object") return { response_format: { type } };
    return { response_format: { type, json_schema: { name: "answer", schema: this.#schema.value } } };
  }

  reset() {
    this.#select.value = "text";
    this.#schema.set(SCHEMA);
    this.#show();
  }

  #show() {
    this.#box.hidden = this.#select.value !== "json_schema";
  }
}

class Tools extends Control {
  #choice = choice("tool-choice", [["auto", "when it wants"], ["required", "always"], ["none", "never"]]);
  #tools = new Json("tools", "The list of tools", (value) => Array.isArray(value));
  #more = made("details");

  constructor() {
    super("tools");
    const example = made("button", "Insert an example", "plain");
    const row = made("div", "", "control in-line");
    example.type = "button";
    example.addEventListener("click", () => this.#tools.set(TOOLS));
    this.#tools.area.setAttribute("aria-label", "Tools");
    labelled(row, "Call them", this.#choice);
    this.#more.append(made("summary", "Tools"), ...this.#tools.parts, example, row);
    this.element.append(this.#more);
  }

  get problem() {
    return this.#tools.area.value.trim() ? this.#tools.problem : "";
  }

  get params() {
    const tools = this.#tools.area.value.trim() ? this.#tools.value : [];
    if (!tools.length) return {};
    return this.#choice.value === "auto" ? { tools } : { tools, tool_choice: this.#choice.value };
  }

  reset() {
    this.#tools.area.value = "";
    this.#choice.value = "auto";
    this.#more.open = false;
  }
}

export function controls() {
  return [
    new Scale("temperature", "Temperature", { min: 0, max: 2, step: 0.1, start: 1 }),
    new Scale("top_p", "Top p", { min: 0, max: 1, step: 0.05, start: 1 }),
    new Count("max_tokens", "Maximum tokens", { min: 1, placeholder: "no limit" }),
    new Effort(),
    new Format(),
    new Tools(),
    new Count("top_k", "Top k", { min: 0, placeholder: DEFAULT }),
    new Scale("min_p", "Min p", { min: 0, max: 1, step: 0.05, start: 0 }),
    new Scale("presence_penalty", "Presence penalty", { min: -2, max: 2, step: 0.1, start: 0 }),
    new Scale("frequency_penalty", "Frequency penalty", { min: -2, max: 2, step: 0.1, start: 0 }),
    new Scale("repetition_penalty", "Repetition penalty", { min: 0.1, max: 2, step: 0.05, start: 1 }),
    new Count("seed", "Seed", { min: 0, placeholder: "random" }),
    new Stops(),
  ];
}

// These are the ones that people ask for; the others stand behind "More".
export const SHOWN_FIRST = 6;
