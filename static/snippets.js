// A call of the API as programs that run as they stand.

const QUOTED = JSON.stringify;
const LINE = 88;
const WORDS = { python: { true: "True", false: "False", null: "None" }, plain: {} };
// What the SDKs have no parameter for.
const EXTRAS = ["min_p", "repetition_penalty", "top_k"];
const BOUND = ["response_format", "tool_choice", "tools"];

// A value as source text, on one line where it fits. JSON's strings are everybody's strings.
function written(value, words, indent, step = "    ") {
  const flat = flatly(value, words);
  const isMessage = typeof value?.content === "string";
  if (flat.length + indent.length <= LINE || isMessage || typeof value !== "object" || value === null) return flat;
  const inner = indent + step;
  const items = Array.isArray(value)
    ? value.map((each) => written(each, words, inner, step))
    : Object.entries(value).map(([name, each]) => `${QUOTED(name)}: ${written(each, words, inner, step)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${items.map((item) => inner + item).join(",\n")}\n${indent}${close}`;
}

function flatly(value, words) {
  if (Array.isArray(value)) return `[${value.map((each) => flatly(each, words)).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    return `{${Object.entries(value).map(([name, each]) => `${QUOTED(name)}: ${flatly(each, words)}`).join(", ")}}`;
  }
  return words[String(value)] && typeof value !== "string" ? words[String(value)] : QUOTED(value);
}

// Each message on a line of its own, however short they are.
function messageLines(messages, words, indent) {
  const inner = `${indent}    `;
  return `[\n${messages.map((message) => inner + written(message, words, inner)).join(",\n")},\n${indent}]`;
}

function curl({ base, key, body: { model, messages, ...knobs } }) {
  const fields = [
    `"model": ${QUOTED(model)}`,
    `"messages": [\n      ${messages.map((each) => written(each, {}, "      ", "  ")).join(",\n      ")}\n    ]`,
    ...Object.entries(knobs).map(([name, value]) => `"${name}": ${written(value, {}, "    ", "  ")}`),
  ];
  const lines = [`curl ${base}/chat/completions`, '-H "Content-Type: application/json"'];
  if (key) lines.push(`-H "Authorization: Bearer ${key}"`);
  // Single quotes may not stand inside the shell's; JSON can spell them otherwise.
  const text = `{\n    ${fields.join(",\n    ")}\n  }`.replaceAll("'", "\\u0027");
  lines.push(`-d '${text}'`);
  return lines.join(" \\\n  ");
}

function keywords(given, indent) {
  return Object.entries(given).map(([name, value]) => `${indent}${name}=${written(value, WORDS.python, indent)},`);
}

// The knobs that the SDK knows, and the others in its `extra_body`.
function sorted(knobs) {
  const known = Object.entries(knobs).filter(([name]) => !EXTRAS.includes(name));
  const extra = Object.entries(knobs).filter(([name]) => EXTRAS.includes(name));
  return { ...Object.fromEntries(known), ...(extra.length ? { extra_body: Object.fromEntries(extra) } : {}) };
}

function python({ base, key, body: { model, messages, ...knobs } }) {
  return [
    "from openai import OpenAI  # pip install openai",
    "",
    `client = OpenAI(base_url="${base}", api_key="${key || "any-key"}")`,
    "completion = client.chat.completions.create(",
    `    model=${QUOTED(model)},`,
    `    messages=${messageLines(messages, WORDS.python, "    ")},`,
    ...keywords(sorted(knobs), "    "),
    ")",
    `print(completion.choices[0].message${knobs.tools ? "" : ".content"})`,
  ].join("\n");
}

function javascript({ base, key, body: { model, messages, ...knobs } }) {
  const headers = { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const fields = [
    `    model: ${QUOTED(model)},`,
    `    messages: ${messageLines(messages, {}, "    ")},`,
    ...Object.entries(knobs).map(([name, value]) => `    ${name}: ${written(value, {}, "    ", "  ")},`),
  ];
  return [
    "// Runs in a browser, and in Node as a module (call.mjs).",
    `const response = await fetch("${base}/chat/completions", {`,
    '  method: "POST",',
    `  headers: ${flatly(headers, {})},`,
    "  body: JSON.stringify({",
    ...fields,
    "  }),",
    "});",
    "if (!response.ok) throw new Error(await response.text());",
    "const { choices } = await response.json();",
    `console.log(choices[0].message${knobs.tools ? "" : ".content"});`,
  ].join("\n");
}

function langchain({ base, key, body: { model, messages, ...knobs } }) {
  const bound = Object.fromEntries(Object.entries(knobs).filter(([name]) => BOUND.includes(name)));
  const own = Object.fromEntries(Object.entries(knobs).filter(([name]) => !BOUND.includes(name)));
  const binding = Object.keys(bound).length ? [`model = model.bind(\n${keywords(bound, "    ").join("\n")}\n)`] : [];
  return [
    "from langchain_openai import ChatOpenAI  # pip install langchain-openai",
    "",
    "model = ChatOpenAI(",
    `    base_url="${base}",`,
    `    api_key="${key || "any-key"}",`,
    `    model=${QUOTED(model)},`,
    ...keywords(sorted(own), "    "),
    ")",
    ...binding,
    `answer = model.invoke(${messageLines(messages, WORDS.python, "")})`,
    `print(answer.${knobs.tools ? "tool_calls or answer.content" : "content"})`,
  ].join("\n");
}

export const WRITERS = { curl, python, javascript, langchain };
