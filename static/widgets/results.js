// Which answer is drawn how. A drawing gives an element, or null for what is not in its shape: code
// that people wrote may call itself a task and still answer otherwise.

import { made } from "../words.js";
import { answers, labels, similarity, words } from "./draw_labels.js";
import { depth, medium, pieces } from "./draw_media.js";
import { boxes, masks, points } from "./draw_pictures.js";
import { spans, speech, texts } from "./draw_texts.js";
import { cells, fields, json, vectors } from "./draw_values.js";

const BY_NAME = { answers, boxes, cells, depth, labels, masks, points, similarity, spans, speech, vectors, words };
// What an answer may be that has no task, the most special first.
const BY_SHAPE = [medium, boxes, masks, labels, pieces, texts, vectors, fields];

// `context` has the form, the body that was asked, and the addresses to show blobs under.
export async function drawn(result, context) {
  const chosen = BY_NAME[context.form.drawn];
  for (const draw of chosen ? [chosen, ...BY_SHAPE] : BY_SHAPE) {
    const found = await draw(result, context);
    if (found) return withRaw(found, result);
  }
  return json(result);
}

function withRaw(found, result) {
  const frame = made("div", "", "drawn");
  const raw = made("details", "", "raw");
  raw.append(made("summary", "As JSON"));
  // Made when it is opened: a thousand vectors are a long text.
  raw.addEventListener("toggle", () => raw.open && raw.childElementCount === 1 && raw.append(json(result)));
  frame.append(found, raw);
  return frame;
}
