// Answers that lie over a picture: boxes, masks, and places that two pictures have in common.

import { made, plural } from "../words.js";
import { Colours } from "./colours.js";
import { percent } from "./draw_labels.js";
import { blobOf, picture } from "./media.js";

const SPACE = "http://www.w3.org/2000/svg";
const SIDES = ["xmin", "ymin", "xmax", "ymax"];
const MOST_POINTS = 300;
const VEIL = 130;

function drawn(name, attributes) {
  const element = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function given(medium, addresses) {
  return picture(addresses.of(medium.blob), medium.name);
}

// A legend of what was found; whoever is at one sees it alone in the picture.
function legend(rows, frame) {
  const list = made("ul", "", "legend");
  rows.forEach(({ label, score, colour, element }) => {
    const button = made("button", "", "plain");
    const swatch = made("span", "", "swatch");
    swatch.style.background = colour;
    button.type = "button";
    button.append(swatch, made("span", label), made("span", typeof score === "number" ? percent(score) : "", "figure"));
    const alone = (on) => {
      frame.classList.toggle("one-alone", on);
      element.classList.toggle("alone", on);
    };
    for (const name of ["pointerenter", "focus"]) button.addEventListener(name, () => alone(true));
    for (const name of ["pointerleave", "blur"]) button.addEventListener(name, () => alone(false));
    const line = made("li");
    line.append(button);
    list.append(line);
  });
  return list;
}

export async function boxes(result, { body, addresses }) {
  const isBox = (each) => SIDES.every((side) => Number.isFinite(each?.box?.[side])) && "label" in each;
  if (!Array.isArray(result) || !result.every(isBox) || !body.inputs?.blob) return null;
  const image = await given(body.inputs, addresses);
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const colours = new Colours();
  const over = drawn("svg", { viewBox: `0 0 ${width} ${height}`, class: "over", "aria-hidden": "true" });
  const rows = result.map(({ label, score, box }) => {
    const colour = colours.strong(label);
    const element = drawn("rect", {
      x: box.xmin,
      y: box.ymin,
      width: Math.max(0, box.xmax - box.xmin),
      height: Math.max(0, box.ymax - box.ymin),
      "vector-effect": "non-scaling-stroke",
    });
    element.style.stroke = colour;
    over.append(element);
    return { label: String(label), score, colour, element };
  });
  return withLegend(image, [over], rows);
}

export async function masks(result, { body, addresses }) {
  const isMask = (each) => typeof each?.mask === "string";
  if (!Array.isArray(result) || !result.every(isMask) || !body.inputs?.blob) return null;
  const image = await given(body.inputs, addresses);
  const colours = new Colours();
  const rows = [];
  for (const [i, { label, score, mask }] of result.entries()) {
    const name = label ? String(label) : `Mask ${i + 1}`;
    const element = await tinted(mask, colours.rgb(name));
    rows.push({ label: name, score, colour: colours.strong(name), element });
  }
  return withLegend(image, rows.map(({ element }) => element), rows);
}

// The white of a mask, as a veil of one colour.
async function tinted(base64, [red, green, blue]) {
  const bitmap = await createImageBitmap(blobOf(base64, "image/png"));
  const canvas = made("canvas", "", "over");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.ariaHidden = "true";
  const pen = canvas.getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < pixels.data.length; at += 4) {
    const share = pixels.data[at] / 255;
    pixels.data.set([red, green, blue, share * VEIL], at);
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

function withLegend(image, layers, rows) {
  const frame = made("div");
  const stack = made("div", "", "stack");
  stack.append(image, ...layers);
  frame.append(stack, rows.length ? legend(rows, stack) : made("p", "Nothing was found in it.", "note"));
  return frame;
}

export async function points(result, { body, addresses }) {
  const isPlace = (place) => Number.isFinite(place?.x) && Number.isFinite(place?.y);
  const isPair = (each) => isPlace(each?.keypoint_image_0) && isPlace(each?.keypoint_image_1);
  if (!Array.isArray(result) || !result.every(isPair) || body.inputs?.length !== 2) return null;
  const [left, right] = await Promise.all(body.inputs.map((medium) => given(medium, addresses)));
  // Both at one height, side by side.
  const tall = Math.max(left.naturalHeight, right.naturalHeight);
  const scales = [left, right].map((image) => tall / image.naturalHeight);
  const shift = left.naturalWidth * scales[0];
  const wide = shift + right.naturalWidth * scales[1];
  const over = drawn("svg", { viewBox: `0 0 ${wide} ${tall}`, class: "over", "aria-hidden": "true" });
  const best = [...result].sort((a, b) => b.score - a.score).slice(0, MOST_POINTS);
  for (const { keypoint_image_0: a, keypoint_image_1: b } of best) {
    const line = { x1: a.x * scales[0], y1: a.y * scales[0], x2: shift + b.x * scales[1], y2: b.y * scales[1] };
    over.append(drawn("line", { ...line, "vector-effect": "non-scaling-stroke" }));
  }
  const stack = made("div", "", "stack pair");
  left.style.width = `${(100 * shift) / wide}%`;
  right.style.width = `${100 - (100 * shift) / wide}%`;
  stack.append(left, right, over);
  const frame = made("div");
  const drawnOf = best.length < result.length ? `; the best ${best.length} are drawn` : "";
  frame.append(stack, made("p", `${plural(result.length, "place")} found in both${drawnOf}.`, "note"));
  return frame;
}
