// Answers that are words with scores: bars, the best first.

import { made } from "../words.js";

const isScored = (name) => (each) => each && typeof each === "object" && typeof each.score === "number" && name in each;

export const percent = (score) => `${(100 * score).toFixed(1)} %`;

// Rows of {words, score, note}; scores beyond 0 to 1 are shown as they are, the best as a full bar.
export function bars(rows) {
  const scores = rows.map(({ score }) => score);
  const isShare = scores.every((score) => score >= 0 && score <= 1);
  const low = isShare ? 0 : Math.min(0, ...scores);
  const high = isShare ? 1 : Math.max(...scores);
  const list = made("ol", "", "bars");
  list.append(...rows.map((row) => bar(row, high > low ? (row.score - low) / (high - low) : 1, isShare)));
  return list;
}

function bar({ words, score, note = "" }, part, isShare) {
  const line = made("li");
  const head = made("div", "", "bar-head");
  const text = made("span", words, "bar-words");
  text.dir = "auto";
  head.append(text, made("span", isShare ? percent(score) : score.toFixed(3), "figure"));
  const track = made("div", "", "track");
  const fill = made("div", "", "fill");
  fill.style.width = `${100 * part}%`;
  track.append(fill);
  line.append(head, track);
  if (note) line.append(made("p", note, "note"));
  return line;
}

// One list of labels, or one for each of several texts.
export function labels(result) {
  const found = Array.isArray(result?.[0]) ? result.flat() : result;
  if (!Array.isArray(found) || !found.length || !found.every(isScored("label"))) return null;
  return bars(found.map(({ label, score }) => ({ words: String(label), score })));
}

// The words that may stand in a gap; with several gaps, a list for each.
export function words(result) {
  const groups = Array.isArray(result?.[0]) ? result : [result];
  if (!groups.every((group) => Array.isArray(group) && group.every(isScored("token_str")))) return null;
  const frame = made("div");
  groups.forEach((group, i) => {
    if (groups.length > 1) frame.append(made("h3", `Gap ${i + 1}`));
    frame.append(bars(group.map(({ token_str: word, score, sequence }) => ({ words: String(word), score, note: String(sequence) }))));
  });
  return frame;
}

// How near each of the others is.
export function similarity(result, { body }) {
  const texts = body.inputs?.sentences;
  const isFitting = Array.isArray(result) && result.length === texts?.length && result.every(Number.isFinite);
  if (!isFitting) return null;
  const rows = result.map((score, i) => ({ words: texts[i], score }));
  return bars(rows.sort((a, b) => b.score - a.score));
}

// Answers to a question; where it was about a text, the best one is marked there.
export function answers(result, { body }) {
  const found = Array.isArray(result) ? result : [result];
  if (!found.length || !found.every(isScored("answer"))) return null;
  const frame = made("div");
  frame.append(bars(found.map(({ answer, score }) => ({ words: String(answer) || "(no answer)", score }))));
  const context = body.inputs?.context;
  const { start, end } = found[0];
  if (typeof context !== "string" || !(end > start)) return frame;
  // The server counts characters, JavaScript halves of some.
  const letters = [...context];
  const text = made("p", letters.slice(0, start).join(""), "marked");
  text.append(made("mark", letters.slice(start, end).join("")), letters.slice(end).join(""));
  text.dir = "auto";
  frame.append(text);
  return frame;
}
