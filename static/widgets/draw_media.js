// Answers that are a picture, a sound or a file.

import { made } from "../words.js";
import { blobOf, picture } from "./media.js";
import { player } from "./sound.js";
import { texts } from "./draw_texts.js";

// {image: base64, content_type}, whatever the first is called.
export function medium(result, context) {
  const type = result?.content_type;
  if (typeof type !== "string") return null;
  const base64 = Object.entries(result).find(([name, value]) => name !== "content_type" && typeof value === "string")?.[1];
  return base64 === undefined ? null : shown(base64, type, context);
}

async function shown(base64, type, { addresses, form }) {
  const blob = blobOf(base64, type);
  const address = addresses.of(blob);
  const frame = made("div", "", "medium");
  if (blob.type.startsWith("image/")) frame.append(await picture(address, "The answer"));
  else if (blob.type.startsWith("audio/")) frame.append(player(blob, address, "The answer"));
  else if (blob.type.startsWith("video/")) frame.append(film(address));
  const save = made("a", "Save it", "plain");
  save.href = address;
  save.download = form.file || `answer.${type.split("/")[1]?.replace(/\W.*/, "") || "bin"}`;
  frame.append(save);
  return frame;
}

function film(address) {
  const element = made("video");
  element.controls = true;
  element.src = address;
  return element;
}

// {depth, predicted_depth}: near is light.
export async function depth(result, context) {
  if (typeof result?.depth !== "string") return null;
  const frame = made("div", "", "side-by-side");
  if (context.body.inputs?.blob) {
    frame.append(await picture(context.addresses.of(context.body.inputs.blob), context.body.inputs.name));
  }
  frame.append(await picture(context.addresses.of(blobOf(result.depth, "image/png")), "How far away things are"));
  return frame;
}

// What a model of any kind says: a text, a picture or a sound.
export async function pieces(result, context) {
  const found = Array.isArray(result) ? result : [result];
  const frame = made("div");
  for (const each of found) {
    if (typeof each?.generated_image === "string") frame.append(await shown(each.generated_image, "image/png", context));
    else if (typeof each?.generated_audio === "string") frame.append(await shown(each.generated_audio, "audio/wav", context));
    else frame.append(texts([each]) ?? "");
  }
  return frame.childNodes.length ? frame : null;
}
