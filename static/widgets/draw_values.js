// Answers that are numbers, tables, or anything else.

import { copyButton } from "../clipboard.js";
import { made } from "../words.js";

const FEW_NUMBERS = 8;
const FEW_ROWS = 200;
const LONG_TEXT = 120;

// Vectors, in short: how many, how long, and how they begin.
export function vectors(result) {
  const shape = [];
  let inner = result;
  for (; Array.isArray(inner) && inner.length; inner = inner[0]) shape.push(inner.length);
  if (!shape.length || typeof inner !== "number") return null;
  const first = result.flat(shape.length - 1).slice(0, FEW_NUMBERS);
  const frame = made("div", "", "vectors");
  const words = shape.length > 1 ? `${shape.slice(0, -1).join(" × ")} vectors of ${shape.at(-1)} numbers` : `${shape[0]} numbers`;
  const numbers = made("p", `${first.map((each) => each.toFixed(4)).join("  ")}${shape.at(-1) > FEW_NUMBERS ? "  …" : ""}`, "numbers");
  frame.append(made("p", words), numbers, copyButton("Copy all numbers", () => JSON.stringify(result)));
  return frame;
}

// Rows of plain values under the names of their columns.
function table(names, rows, marks = () => false) {
  const wide = made("div", "", "wide");
  const element = made("table", "", "values");
  const head = made("tr");
  head.append(...names.map((name) => made("th", name)));
  const body = rows.slice(0, FEW_ROWS).map((row, y) => {
    const line = made("tr");
    line.append(...row.map((value, x) => made("td", plain(value), marks(y, x) ? "found" : "")));
    return line;
  });
  element.append(head, ...body);
  wide.append(element);
  wide.tabIndex = 0;
  if (rows.length > FEW_ROWS) wide.append(made("p", `${rows.length - FEW_ROWS} more rows are not shown.`, "note"));
  return wide;
}

const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const isPlain = (value) => value === null || ["string", "number", "boolean"].includes(typeof value);

// The answer to a question about a table, and the cells it is from.
export function cells(result, { body }) {
  const given = body.inputs?.table;
  if (typeof result?.answer !== "string" || !given || !Array.isArray(result.coordinates)) return null;
  const frame = made("div");
  frame.append(made("p", result.answer || "(no answer)", "big"));
  if (result.aggregator && result.aggregator !== "NONE") frame.append(made("p", `Computed by ${result.aggregator}.`, "note"));
  const names = Object.keys(given);
  const rows = given[names[0]].map((_, y) => names.map((name) => given[name][y]));
  const isFound = (y, x) => result.coordinates.some(([row, column]) => row === y && column === x);
  frame.append(table(names, rows, isFound));
  return frame;
}

// A list of objects with the same fields, or one object, of plain values.
export function fields(result) {
  if (!Array.isArray(result)) {
    const isFlat = result && typeof result === "object" && Object.keys(result).length && Object.values(result).every(isPlain);
    return isFlat ? table(["", ""], Object.entries(result)) : null;
  }
  const names = result.length && result[0] && typeof result[0] === "object" ? Object.keys(result[0]) : [];
  const isRow = (each) => each && Object.keys(each).join() === names.join() && Object.values(each).every(isPlain);
  return names.length && result.every(isRow) ? table(names, result.map(Object.values)) : null;
}

// JSON, its long texts shortened: they are pictures and sounds.
export function json(result, isWhole = false) {
  const short = (_, value) => (typeof value === "string" && value.length > LONG_TEXT ? `${value.slice(0, 40)}… (${value.length} characters)` : value);
  const text = made("pre", JSON.stringify(result, isWhole ? null : short, 2), "json");
  text.tabIndex = 0;
  return text;
}
