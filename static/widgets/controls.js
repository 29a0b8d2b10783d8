// One control for each kind of value. A control has `element`, `read()` (undefined: nothing given),
// `problem()` in words, and `say(text)`, which puts a complaint beside it.

import { made } from "../words.js";
import { mediumControl } from "./files.js";
import { tableControl } from "./table.js";

let ids = 0;

function newId() {
  ids += 1;
  return `control-${ids}`;
}

const BUILDERS = {
  text: (spec) => typed(spec, area(spec, 4)),
  line: (spec) => typed(spec, field("text", spec)),
  lines: linesControl,
  integer: numberControl,
  number: numberControl,
  choice: choiceControl,
  json: (spec) => jsonControl(spec, false),
  any: (spec) => jsonControl(spec, true),
  table: tableControl,
  picture: mediumControl,
  sound: mediumControl,
  film: mediumControl,
  file: mediumControl,
};

// `watched` is called whenever its value changes.
export function control(spec, watched) {
  const built = BUILDERS[spec.kind](spec, watched);
  const frame = made("div", "", `control ${spec.kind}`);
  const complaint = made("p", "", "complaint");
  complaint.id = newId();
  complaint.hidden = true;
  frame.append(...labelled(spec, built), complaint);
  frame.addEventListener("input", () => {
    say("");
    watched();
  });

  function say(text) {
    complaint.textContent = text;
    complaint.hidden = !text;
    frame.classList.toggle("wrong", Boolean(text));
    if (built.isGroup) return;
    built.input.setAttribute("aria-invalid", String(Boolean(text)));
    if (text) built.input.setAttribute("aria-errormessage", complaint.id);
  }

  return {
    spec,
    element: frame,
    read: built.read,
    problem: () => problem(spec, built),
    say,
    focus: () => built.input.focus(),
    take: built.take,
  };
}

function problem(spec, built) {
  const wrong = built.problem?.();
  if (wrong) return wrong;
  return spec.required && built.read() === undefined ? `${spec.label} is missing.` : "";
}

// `isGroup`: it has inputs with labels of their own, and `input` is what holds them.
function labelled(spec, { input, element = input, isGroup = false }) {
  const label = made(isGroup ? "span" : "label", spec.label, "label");
  label.id = newId();
  if (isGroup) {
    input.setAttribute("role", "group");
    input.setAttribute("aria-labelledby", label.id);
  } else {
    input.id = newId();
    label.htmlFor = input.id;
    input.required = spec.required;
  }
  if (!spec.note) return [label, element];
  const note = made("p", spec.note, "note");
  note.id = newId();
  input.setAttribute("aria-describedby", note.id);
  return [label, element, note];
}

function unset({ default: value }) {
  return value === null ? "model’s default" : `default: ${JSON.stringify(value)}`;
}

function field(type, spec) {
  const input = made("input");
  input.type = type;
  input.autocomplete = "off";
  if (!spec.required) input.placeholder = unset(spec);
  return input;
}

function area(spec, rows) {
  const input = made("textarea");
  input.rows = rows;
  input.dir = "auto";
  if (!spec.required) input.placeholder = unset(spec);
  return input;
}

function typed(spec, input) {
  input.value = spec.example ?? "";
  return { input, read: () => input.value || undefined };
}

function linesControl(spec) {
  const input = area(spec, 3);
  input.value = (spec.example ?? []).join("\n");
  const read = () => {
    const found = input.value.split("\n").map((each) => each.trim()).filter(Boolean);
    return found.length ? found : undefined;
  };
  return { input, read };
}

// Bounds are shown and not enforced: the server says what it does not take, and why.
function numberControl(spec) {
  const input = field("number", spec);
  input.step = spec.kind === "integer" ? "1" : "any";
  if (spec.low !== null) input.min = spec.low;
  if (spec.high !== null) input.max = spec.high;
  const read = () => (input.value ? input.valueAsNumber : undefined);
  const problem = () => (input.validity.badInput ? `${spec.label} has to be a number.` : "");
  return { input, read, problem };
}

function choiceControl(spec) {
  const input = made("select");
  if (!spec.required) input.append(new Option(unset(spec), ""));
  const words = { true: "yes", false: "no" };
  for (const each of spec.options) input.append(new Option(words[each] ?? String(each), JSON.stringify(each)));
  return { input, read: () => (input.value ? JSON.parse(input.value) : undefined) };
}

// `loose`: what is no JSON is a text.
function jsonControl(spec, loose) {
  const input = area(spec, 3);
  input.className = "code-like";
  input.spellcheck = false;
  let wrong = "";
  const read = () => {
    wrong = "";
    if (!input.value.trim()) return undefined;
    try {
      return JSON.parse(input.value);
    } catch (error) {
      if (loose) return input.value;
      wrong = `${spec.label} has to be JSON: ${error.message}`;
      return undefined;
    }
  };
  const problem = () => {
    read();
    return wrong;
  };
  return { input, read, problem };
}
