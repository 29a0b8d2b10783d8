// Answers on their way: what the socket says of them goes into the nodes of the conversation.
// A line that was lost is taken up where it was cut.

import { newId } from "./tree.js";

const SESSION = "session";

// The secret by which the server knows this page again. Another tab is another page.
function session() {
  try {
    const known = sessionStorage.getItem(SESSION) ?? newId();
    sessionStorage.setItem(SESSION, known);
    return known;
  } catch {
    // Storage may be forbidden; the secret then lasts as long as the page.
    return newId();
  }
}

// Events, each with the node as its detail: "grew", "waits", "ended" (node.stats or node.error say
// how), and "changed" when answers begin or end.
export class Replies extends EventTarget {
  #socket;
  #session = session();
  #running = new Map();

  constructor(socket) {
    super();
    this.#socket = socket;
    socket.addEventListener("up", () => this.#resume());
    socket.addEventListener("frame", ({ detail }) => this.#hear(detail));
  }

  get size() {
    return this.#running.size;
  }

  has(node) {
    return this.#running.has(node.id);
  }

  get nodes() {
    return [...this.#running.values()];
  }

  // Whether the question went out.
  ask(node, { messages, params }) {
    node.running = { at: [0, 0, 0] };
    const sent = this.#socket.send({ type: "chat", id: node.id, model: node.model, messages, params });
    if (!sent) {
      delete node.running;
      return false;
    }
    this.#running.set(node.id, node);
    this.#emit("changed", node);
    return true;
  }

  // Answers of a page that was loaded anew: they are asked for once the line is there.
  expect(nodes) {
    for (const node of nodes) this.#running.set(node.id, node);
    if (this.#socket.isUp) this.#resume();
  }

  stop(node) {
    this.#socket.send({ type: "stop", id: node.id });
  }

  stopAll() {
    for (const node of this.nodes) this.stop(node);
  }

  // Stop, and hear no more of them.
  forget() {
    this.stopAll();
    this.#running.clear();
    this.#emit("changed", null);
  }

  #resume() {
    this.#socket.send({ type: "hello", session: this.#session });
    for (const node of this.nodes) this.#socket.send({ type: "resume", id: node.id, at: node.running.at });
  }

  #hear(frame) {
    const node = this.#running.get(frame.id);
    if (node) HEARD[frame.type]?.(this, node, frame);
  }

  token(node, { text, reasoning = "", tool_calls: calls = [], at }) {
    node.content += text;
    if (reasoning) node.reasoning = (node.reasoning ?? "") + reasoning;
    for (const delta of calls) addCall((node.tool_calls ??= []), delta);
    node.running.at = at;
    this.#emit("grew", node);
  }

  waits(node, frame) {
    node.running.news = frame;
    this.#emit("waits", node);
  }

  end(node, fields) {
    delete node.running;
    Object.assign(node, fields);
    this.#running.delete(node.id);
    this.#socket.send({ type: "got", id: node.id });
    this.#emit("ended", node);
    this.#emit("changed", node);
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

const HEARD = {
  token: (replies, node, frame) => replies.token(node, frame),
  waiting: (replies, node, frame) => replies.waits(node, frame),
  done: (replies, node, { usage, timings, finish_reason: reason, model }) =>
    replies.end(node, { model: model || node.model, stats: { usage, timings, finish_reason: reason } }),
  error: (replies, node, { error }) => replies.end(node, { error: error.message }),
  gone: (replies, node) =>
    replies.end(node, { error: "The connection was lost for so long that the server has given the answer up." }),
};

function addCall(calls, { index, id, function: { name, arguments: text = "" } = {} }) {
  const call = (calls[index] ??= { id: "", type: "function", function: { name: "", arguments: "" } });
  if (id) call.id = id;
  if (name) call.function.name = name;
  call.function.arguments += text;
}
