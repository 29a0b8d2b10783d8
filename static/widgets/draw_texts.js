// Answers that are texts: written ones, heard ones, and names found in one.

import { copyButton } from "../clipboard.js";
import { made } from "../words.js";
import { Colours } from "./colours.js";

const WRITTEN = ["generated_text", "summary_text", "translation_text"];

// A text to read and to copy.
export function written(text) {
  const frame = made("div", "", "written");
  const words = made("p", text || "(nothing)", text ? "prose" : "prose none");
  words.dir = "auto";
  frame.append(words);
  if (text) frame.append(copyButton("Copy the text", () => text));
  return frame;
}

// [{generated_text}] and its like.
export function texts(result) {
  if (typeof result === "string") return written(result);
  const found = (Array.isArray(result) ? result : [result]).map((each) => {
    const name = each && typeof each === "object" && WRITTEN.find((one) => typeof each[one] === "string");
    return name ? each[name] : null;
  });
  if (!found.length || found.includes(null)) return null;
  const frame = made("div");
  frame.append(...found.map(written));
  return frame;
}

// {text, chunks}: what was said, and when.
export function speech(result) {
  if (typeof result?.text !== "string") return null;
  const frame = made("div");
  frame.append(written(result.text));
  if (!Array.isArray(result.chunks) || !result.chunks.length) return frame;
  const list = made("ol", "", "chunks");
  for (const { text, timestamp } of result.chunks) {
    const line = made("li");
    line.append(made("span", (timestamp ?? []).map(clock).join(" – "), "time"), made("span", String(text)));
    list.append(line);
  }
  frame.append(list);
  return frame;
}

const clock = (seconds) => (typeof seconds === "number" ? `${seconds.toFixed(2)} s` : "…");

// Names and other pieces, marked in the text that was asked about.
export function spans(result, { body }) {
  const found = Array.isArray(result?.[0]) ? result.flat() : result;
  if (typeof body.inputs !== "string" || !Array.isArray(found)) return null;
  if (!found.every((each) => Number.isInteger(each?.start) && Number.isInteger(each?.end))) return null;
  const letters = [...body.inputs];
  const colours = new Colours();
  const text = made("p", "", "marked");
  text.dir = "auto";
  let at = 0;
  for (const each of [...found].sort((a, b) => a.start - b.start)) {
    // Pieces that lie over each other cannot all be marked: the first one is.
    if (each.start < at) continue;
    const name = String(each.entity_group ?? each.entity ?? "");
    const mark = made("mark", letters.slice(each.start, each.end).join(""), "entity");
    mark.style.setProperty("--hue", colours.of(name));
    mark.append(made("small", name));
    if (typeof each.score === "number") mark.title = `${name}: ${(100 * each.score).toFixed(1)} %`;
    text.append(letters.slice(at, each.start).join(""), mark);
    at = each.end;
  }
  text.append(letters.slice(at).join(""));
  const frame = made("div");
  frame.append(text);
  if (!found.length) frame.append(made("p", "Nothing was found in it.", "note"));
  return frame;
}
