// curl in a shell. A medium by itself is sent as it is; inside of JSON it is base64.

import { Medium, mediaIn, replaced } from "./media.js";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
// A name that begins with a dash, or is one, is still a file.
const path = ({ name }) => quoted(`./${name}`);

export function curl({ address, key, form, body }) {
  const lines = [`curl ${quoted(address)}`];
  if (key) lines.push(`-H ${quoted(`Authorization: Bearer ${key}`)}`);
  if (form.file) lines.push(`--output ${form.file}`);
  if (isRaw(body)) {
    lines.push(`-H ${quoted(`Content-Type: ${body.inputs.type}`)}`, `--data-binary @${path(body.inputs)}`);
    return lines.join(" \\\n  ");
  }
  lines.push("-H 'Content-Type: application/json'");
  if (!mediaIn(body).length) return [...lines, `-d ${quoted(JSON.stringify(body))}`].join(" \\\n  ");
  return `${pieces(body)} | ${[...lines, "--data-binary @-"].join(" \\\n  ")}`;
}

// Bytes that could begin like JSON would be taken for it: only those whose type says what they are.
function isRaw({ inputs, ...more }) {
  const known = inputs instanceof Medium && /^(image|audio|video)\/[\w.+-]+$/.test(inputs.type);
  return known && !Object.keys(more).length;
}

// The JSON with each file put in where it stands.
function pieces(body) {
  const media = mediaIn(body);
  let count = 0;
  const mark = crypto.getRandomValues(new Uint32Array(4)).join("-");
  const text = JSON.stringify(replaced(body, () => `${mark}:${count++}`));
  const lines = media.flatMap((medium, i) => {
    const before = text.split(new RegExp(`${mark}:\\d+`))[i];
    return [`  printf '%s' ${quoted(before)}`, `  base64 < ${path(medium)} | tr -d '\\n'`];
  });
  const rest = text.split(new RegExp(`${mark}:\\d+`)).at(-1);
  return ["{", ...lines, `  printf '%s' ${quoted(rest)}`, "}"].join("\n");
}
