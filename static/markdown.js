// Markdown as DOM, safely, and cheap enough to be redone for every frame of a streamed answer.

import DOMPurify from "./vendor/dompurify.js";
import { Marked } from "./vendor/marked.js";
import { copyButton } from "./clipboard.js";

// No images, no forms, no styles, no ids: an answer may not load, send, cover or name anything.
const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "b", "blockquote", "br", "code", "del", "details", "div", "em", "h1", "h2", "h3", "h4",
    "h5", "h6", "hr", "i", "kbd", "li", "mark", "ol", "p", "pre", "s", "strong", "sub", "summary",
    "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul",
  ],
  ALLOWED_ATTR: ["align", "class", "href", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

// Classes are how our own page is styled, so only a code block's language may pass.
DOMPurify.addHook("uponSanitizeAttribute", (node, data) => {
  if (data.attrName !== "class") return;
  data.keepAttr = node.nodeName === "CODE" && /^language-[\w+#.-]+$/.test(data.attrValue);
});

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escaped = (text) => text.replace(/[&<>"']/g, (letter) => ENTITIES[letter]);

const marked = new Marked({
  gfm: true,
  // Models put one item a line and mean it.
  breaks: true,
  renderer: {
    // A remote image would tell its host who reads this answer; a link waits for a click.
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

function decorate(fragment) {
  for (const pre of fragment.querySelectorAll("pre")) {
    const code = pre.querySelector("code");
    const frame = document.createElement("div");
    const head = document.createElement("div");
    const language = document.createElement("span");
    frame.className = "code-block";
    head.className = "code-head";
    language.textContent = code?.className.replace("language-", "") || "text";
    head.append(language, copyButton("Copy code", () => pre.textContent));
    pre.replaceWith(frame);
    // Long lines scroll, and what scrolls must be reachable by keyboard.
    pre.tabIndex = 0;
    frame.append(head, pre);
  }
  return fragment;
}

function rendered(token) {
  return decorate(DOMPurify.sanitize(marked.parser([token]), ALLOWED));
}

// One growing text. Blocks (paragraphs, lists, code …) that have not changed keep their DOM: no
// flicker, a selection survives, and the cost of a frame is that of the last block.
export class MarkdownView {
  #element;
  #blocks = [];

  constructor(element) {
    this.#element = element;
  }

  show(text) {
    const tokens = marked.lexer(text).filter((token) => token.type !== "space");
    tokens.forEach((token, place) => this.#set(place, token));
    for (const block of this.#blocks.splice(tokens.length)) block.node.remove();
  }

  #set(place, token) {
    const old = this.#blocks[place];
    if (old?.token.raw === token.raw) return;
    if (old && this.#growsCode(old, token)) return;
    const node = document.createElement("div");
    node.append(rendered(token));
    if (old) old.node.replaceWith(node);
    else this.#element.append(node);
    this.#blocks[place] = { token, node };
  }

  // Code that is still being written keeps its box, and with it the place scrolled to.
  #growsCode(old, token) {
    if (token.type !== "code" || old.token.type !== "code") return false;
    if (token.lang !== old.token.lang) return false;
    old.node.querySelector("code").textContent = token.text;
    old.token = token;
    return true;
  }
}
