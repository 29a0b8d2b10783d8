// Python: a method of huggingface_hub's client where it has one that takes all of this, else httpx,
// which comes with it.

import { Medium, mediaIn } from "./media.js";

const WORDS = new Map([[true, "True"], [false, "False"], [null, "None"]]);

// JSON strings are Python strings as well. `file` is how a medium is written.
function literal(value, file) {
  if (value instanceof Medium) return file(value);
  if (WORDS.has(value)) return WORDS.get(value);
  if (typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((each) => literal(each, file)).join(", ")}]`;
  const fields = Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${literal(each, file)}`);
  return `{${fields.join(", ")}}`;
}

// Every value that was given, by where it stands; undefined where the method has no name for one.
function argumentsOf({ form, body }) {
  const found = [];
  const put = (path, value) => {
    const name = form.arguments[path];
    if (name) return found.push([name, value]);
    const isGroup = value && typeof value === "object" && !Array.isArray(value) && !(value instanceof Medium);
    return isGroup && Object.entries(value).every(([key, inner]) => put(path ? `${path}.${key}` : key, inner));
  };
  return put("", body) ? found : undefined;
}

export function python(call) {
  const given = call.form.method ? argumentsOf(call) : undefined;
  return given ? withMethod(call, given) : withBody(call);
}

function withMethod({ address, key, form }, given) {
  const token = key ? `, token=${JSON.stringify(key)}` : "";
  const lines = given.map(([name, value]) => `    ${name}=${literal(value, ({ name: file }) => JSON.stringify(file))},`);
  const call = [`client.${form.method}(`, ...lines, ")"];
  const before = ["from huggingface_hub import InferenceClient  # pip install huggingface_hub", ""];
  const client = `client = InferenceClient(model=${JSON.stringify(address)}${token})`;
  if (!form.file) return [...before, client, "answer = " + call.join("\n"), "print(answer)"].join("\n");
  // The client makes a picture of a picture's bytes, and leaves those of a sound as they are.
  const save = form.file.endsWith(".png")
    ? [`answer.save("${form.file}")`]
    : [`with open("${form.file}", "wb") as file:`, "    file.write(answer)"];
  return [...before, client, "answer = " + call.join("\n"), ...save, `print("${form.file}")`].join("\n");
}

function withBody({ address, key, form, body }) {
  const reads = mediaIn(body).length > 0;
  const imports = [...(reads ? ["import base64", ""] : []), "import httpx  # pip install httpx", ""];
  const reader = [
    "",
    "def read(name):",
    '    with open(name, "rb") as file:',
    "        return base64.b64encode(file.read()).decode()",
    "",
    "",
  ];
  const fields = Object.entries(body).map(
    ([name, value]) => `    ${JSON.stringify(name)}: ${literal(value, ({ name: file }) => `read(${JSON.stringify(file)})`)},`,
  );
  const headers = key ? [`    headers={"Authorization": "Bearer ${key}"},`] : [];
  const tell = form.file
    ? [`with open("${form.file}", "wb") as file:`, "    file.write(response.content)", `print("${form.file}")`]
    : ["print(response.json())"];
  return [
    ...imports,
    ...(reads ? reader : []),
    "body = {",
    ...fields,
    "}",
    "response = httpx.post(",
    `    ${JSON.stringify(address)},`,
    "    json=body,",
    ...headers,
    "    timeout=600,",
    ")",
    "response.raise_for_status()",
    ...tell,
  ].join("\n");
}
