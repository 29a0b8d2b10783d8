// JavaScript, as a module of Node (18 or later), without any package.

import { Medium, mediaIn } from "./media.js";

function literal(value) {
  if (value instanceof Medium) return `await read(${JSON.stringify(value.name)})`;
  if (!value || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  const fields = Object.entries(value).map(([name, each]) => `${key(name)}: ${literal(each)}`);
  return fields.length ? `{ ${fields.join(", ")} }` : "{}";
}

// In a literal, `__proto__` without brackets would not be a field.
function key(name) {
  if (name === "__proto__") return '["__proto__"]';
  return /^[a-z_]\w*$/i.test(name) ? name : JSON.stringify(name);
}

export function javascript({ address, key: bearer, form, body }) {
  const reads = mediaIn(body).length > 0;
  const names = [...(reads ? ["readFile"] : []), ...(form.file ? ["writeFile"] : [])];
  const lines = names.length ? [`import { ${names.join(", ")} } from "node:fs/promises";`, ""] : [];
  if (reads) lines.push('const read = async (name) => (await readFile(name)).toString("base64");');
  const fields = Object.entries(body).map(([name, value]) => `  ${key(name)}: ${literal(value)},`);
  const authorization = bearer ? [`    Authorization: "Bearer ${bearer}",`] : [];
  const tell = form.file
    ? [`await writeFile("${form.file}", Buffer.from(await response.arrayBuffer()));`, `console.log("${form.file}");`]
    : ["console.log(JSON.stringify(await response.json(), null, 2));"];
  return [
    ...lines,
    "const body = {",
    ...fields,
    "};",
    `const response = await fetch(${JSON.stringify(address)}, {`,
    '  method: "POST",',
    "  headers: {",
    '    "Content-Type": "application/json",',
    ...authorization,
    "  },",
    "  body: JSON.stringify(body),",
    "});",
    "if (!response.ok) throw new Error(await response.text());",
    ...tell,
  ].join("\n");
}
