// Asks the server in the name of whoever looks at the page. Answers are streams of events: "waiting"
// while there is something to wait for, then "answer" or "error".

const BLANK = "\n\n";

// A refusal or a failure, in the server's words; `param` names the field that it is about.
export class Refusal extends Error {
  constructor(message, param = null) {
    super(message);
    this.param = param;
  }
}

function token() {
  return document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? "";
}

// The "answer" event. `waits` gets the fields of each "waiting" event; `signal` ends it all.
export async function ask(address, body, { signal, waits }) {
  const response = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": token() },
    body,
    signal,
  }).catch((error) => {
    throw error.name === "AbortError" ? error : new Refusal("The server cannot be reached.");
  });
  if (!response.ok) throw await refusal(response);
  for await (const { name, fields } of events(response)) {
    if (name === "answer") return fields;
    if (name === "error") throw new Refusal(fields.error.message, fields.error.param);
    waits(fields);
  }
  throw new Refusal("The connection was lost before the answer was there.");
}

async function refusal(response) {
  try {
    const { error, param } = await response.json();
    return new Refusal(typeof error === "string" ? error : error.message, param);
  } catch {
    return new Refusal(`The server answered ${response.status} ${response.statusText}.`);
  }
}

async function* events(response) {
  const decoder = new TextDecoder();
  // An answer comes in thousands of pieces: they are put together once, at its end.
  let pieces = [];
  for await (const bytes of read(response.body)) {
    const piece = decoder.decode(bytes, { stream: true });
    pieces.push(piece);
    if (!piece.includes("\n")) continue;
    const blocks = pieces.join("").split(BLANK);
    pieces = [blocks.pop()];
    for (const block of blocks) yield event(block);
  }
}

// Not every browser lets a stream be read by `for await`.
async function* read(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The connection was lost before the answer was there.");
  } finally {
    reader.releaseLock();
  }
}

function event(block) {
  const lines = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
  return { name: lines.event, fields: JSON.parse(lines.data) };
}
