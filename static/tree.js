// A conversation as a tree: an edited question, or another answer, is a branch beside the old one.
//
// A node is {id, parent, children, chosen, role, content} and what else belongs to its role:
// `model`, `reasoning`, `tool_calls`, `stats`, `batch` (answers side by side), `tool_call_id`, …

const ROOT = "";

export class Tree {
  #nodes = new Map();

  constructor(saved = []) {
    this.#nodes.set(ROOT, { id: ROOT, children: [], chosen: null });
    for (const node of saved) {
      if (node.id === ROOT) Object.assign(this.node(ROOT), { chosen: node.chosen });
      else this.#nodes.set(node.id, { ...node, children: [] });
    }
    for (const node of this.#nodes.values()) {
      if (node.id !== ROOT) this.node(node.parent)?.children.push(node.id);
    }
    // What is chosen is always below: nobody can make a path that goes round in circles.
    for (const node of this.#nodes.values()) {
      if (!node.children.includes(node.chosen)) node.chosen = node.children.at(-1) ?? null;
    }
  }

  node(id) {
    return this.#nodes.get(id);
  }

  get isEmpty() {
    return this.#nodes.size === 1;
  }

  // The nodes from the first question down to the last answer, by the branches that are chosen.
  get path() {
    const found = [];
    for (let node = this.node(ROOT); node.chosen !== null; found.push(node)) node = this.node(node.chosen);
    return found;
  }

  get last() {
    return this.path.at(-1);
  }

  // Below `parent`, the node that it follows; none for a first question.
  add(parent, fields) {
    const above = parent ?? this.node(ROOT);
    const node = { id: newId(), parent: above.id, children: [], chosen: null, content: "", ...fields };
    this.#nodes.set(node.id, node);
    above.children.push(node.id);
    above.chosen = node.id;
    return node;
  }

  above(node) {
    return node.parent === ROOT ? null : this.node(node.parent);
  }

  // What could stand in the place of a node; answers side by side count as one.
  branches(node) {
    const beside = this.node(node.parent).children.map((id) => this.node(id));
    const firsts = beside.filter((each, place) => !each.batch || beside.findIndex((other) => other.batch === each.batch) === place);
    return { all: firsts, place: firsts.findIndex((each) => each === node || (node.batch && each.batch === node.batch)) };
  }

  // The answers that were asked for together with this one.
  batch(node) {
    if (!node.batch) return [node];
    return this.node(node.parent).children.map((id) => this.node(id)).filter((each) => each.batch === node.batch);
  }

  choose(node) {
    this.node(node.parent).chosen = node.id;
  }

  // With everything below it; the branch beside it that was there last is chosen instead.
  remove(node) {
    const above = this.node(node.parent);
    above.children = above.children.filter((id) => id !== node.id);
    if (above.chosen === node.id) above.chosen = above.children.at(-1) ?? null;
    for (const id of [...node.children]) this.remove(this.node(id));
    this.#nodes.delete(node.id);
  }

  // The conversation up to a node, as the API takes it.
  messages(node) {
    const found = [];
    for (let each = node; each; each = this.above(each)) {
      const message = messageOf(each);
      if (message) found.unshift(message);
    }
    return found;
  }

  toJSON() {
    const root = { id: ROOT, chosen: this.node(ROOT).chosen };
    const nodes = [...this.#nodes.values()].filter(({ id }) => id !== ROOT);
    return [root, ...nodes.map(({ children, ...node }) => node)];
  }
}

// Nobody can guess it, and it is the name under which the server keeps an answer.
export function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function textOf({ content }) {
  if (typeof content === "string") return content;
  return content.filter(({ type }) => type === "text").map(({ text }) => text).join("\n");
}

// The parts that are no text: pictures and sounds.
export function mediaOf({ content }) {
  return typeof content === "string" ? [] : content.filter(({ type }) => type !== "text");
}

// A word for a part, as people read it.
export function wordOf({ type }) {
  return type === "image_url" ? "picture" : "sound";
}

// What a browser can show or play.
export function addressOf(part) {
  if (part.type === "image_url") return part.image_url.url;
  const { data, format } = part.input_audio;
  return `data:audio/${format};base64,${data}`;
}

export function contentOf(text, media) {
  if (!media.length) return text;
  return text ? [...media, { type: "text", text }] : media;
}

function messageOf({ role, content, tool_calls: calls, tool_call_id: id }) {
  if (role === "assistant") {
    if (!calls?.length) return content ? { role, content } : null;
    return { role, content: content || null, tool_calls: calls };
  }
  return id ? { role, tool_call_id: id, content } : { role, content };
}
