// The form of a task: its controls, and the body of a request from what they hold.

import { made } from "../words.js";
import { control } from "./controls.js";
import { Medium } from "./media.js";

export class Form {
  element = made("div", "", "controls");
  #controls;
  #fold;

  // `watched` is called whenever a value changes.
  constructor(spec, watched) {
    this.spec = spec;
    this.#controls = spec.controls.map((each) => control(each, watched));
    const [plain, folded] = [false, true].map((isFolded) =>
      this.#controls.filter(({ spec: each }) => isFolded === (each.path[0] === "parameters" && !each.required)),
    );
    this.element.append(...plain.map(({ element }) => element));
    if (folded.length) this.element.append(this.#folded(folded));
  }

  #folded(controls) {
    this.#fold = made("details", "", "parameters");
    const inside = made("div", "", "inside");
    inside.append(...controls.map(({ element }) => element));
    this.#fold.append(made("summary", "Parameters"), inside);
    return this.#fold;
  }

  // Whether everything is there; what is not is said, and the first of it gets the focus.
  check() {
    const wrong = this.#controls.filter((each) => {
      const problem = each.problem();
      each.say(problem);
      return problem;
    });
    if (wrong.length) this.#show(wrong[0]);
    return !wrong.length;
  }

  // A refusal of the server's names the field that it is about: parameters.top_k, inputs[0].
  blame(param, words) {
    if (!param) return;
    const place = param.replaceAll(/\[(\d+)\]/g, ".$1");
    const near = (path) => place === path || place.startsWith(`${path}.`);
    const found = this.#controls.find(({ spec }) => !spec.part && near(spec.path.join(".")));
    if (!found) return;
    found.say(words);
    this.#show(found);
  }

  #show(wrong) {
    if (this.#fold?.contains(wrong.element)) this.#fold.open = true;
    wrong.focus();
  }

  // The body, with media in it as they are; `complete`: examples for what is missing.
  body(complete = false) {
    const found = {};
    const parts = [];
    for (const { spec, read } of this.#controls) {
      const value = read() ?? (complete && spec.required ? example(spec) : undefined);
      if (value === undefined) continue;
      if (spec.part) parts.push({ type: spec.part, [spec.part]: value });
      else put(found, spec.path, value);
    }
    if (parts.length) found.inputs = [{ role: "user", content: parts }];
    return found;
  }

  // A file that was pasted into the page: the first control that has none takes it.
  take(file) {
    return this.#controls.some(({ take }) => take?.(file));
  }
}

function example(spec) {
  if (["picture", "sound", "film", "file"].includes(spec.kind)) return new Medium(spec.kind);
  if (spec.example !== null) return spec.example;
  const least = { integer: 1, number: 1, lines: ["one", "two"], choice: spec.options[0], json: [], table: {} };
  return least[spec.kind] ?? "Hello";
}

function put(body, path, value) {
  const last = path.at(-1);
  const inside = path.slice(0, -1).reduce((place, step, i) => {
    place[step] ??= typeof path[i + 1] === "number" ? [] : {};
    return place[step];
  }, body);
  inside[last] = value;
}
