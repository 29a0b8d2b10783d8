// Markdown as DOM, safely, and cheap enough to be redone for every frame of a streamed answer.

import DOMPurify from "./vendor/dompurify.js";
import { Marked } from "./vendor/marked.js";
import { copyButton } from "./clipboard.js";
import { highlight } from "./highlight.js";
import { drawMath } from "./math.js";
import { made } from "./words.js";

// No images, no forms, no styles, no ids: an answer may not load, send, cover or name anything.
const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "b", "blockquote", "br", "code", "del", "details", "div", "em", "h1", "h2", "h3", "h4",
    "h5", "h6", "hr", "i", "kbd", "li", "mark", "ol", "p", "pre", "s", "strong", "sub", "summary",
    "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul",
  ],
  ALLOWED_ATTR: ["align", "class", "href", "start"],
  // These two hold no address.
  ADD_URI_SAFE_ATTR: ["align", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

// Classes are how our own page is styled: only a code block's language may pass, and its colours.
const CLASSES = { CODE: /^language-[\w+#.-]+$/, SPAN: /^hljs-[\w-]+(?: [\w-]+_)*$/ };
DOMPurify.addHook("uponSanitizeAttribute", (node, data) => {
  if (data.attrName === "class") data.keepAttr = CLASSES[node.nodeName]?.test(data.attrValue) ?? false;
});

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escaped = (text) => text.replace(/[&<>"']/g, (letter) => ENTITIES[letter]);

// Formulas: $$…$$ and \[…\] on their own, $…$ and \(…\) in a line. A dollar that is money has a
// space after it, or a digit behind the next one.
const DISPLAY = /^(?:\$\$([^]+?)(?:\$\$|(?=\n\n)|$)|\\\[([^]+?)(?:\\\]|(?=\n\n)|$))[^\S\n]*(?:\n+|$)/;
const INLINE = /^(?:\$\$([^$\n]+?)\$\$|\\\(([^\n]+?)\\\)|\$(?!\s)((?:\\.|[^\\$\n])+?)(?<!\s)\$(?!\d))/;

const mathOf = (name, level, rule, begins) => ({
  name,
  level,
  start: (source) => source.match(begins)?.index,
  tokenizer(source) {
    const found = rule.exec(source);
    return found ? { type: name, raw: found[0], text: found.slice(1).find(Boolean).trim() } : undefined;
  },
});
const FORMULAS = [
  {
    ...mathOf("formula", "block", DISPLAY, /\$\$|\\\[/),
    renderer: ({ text }) => `<pre><code class="language-math">${escaped(text)}</code></pre>`,
  },
  {
    ...mathOf("formula-inline", "inline", INLINE, /\$|\\\(/),
    renderer: ({ text }) => `<code class="language-math-inline">${escaped(text)}</code>`,
  },
];

const marked = new Marked({
  gfm: true,
  // Models put one item a line and mean it.
  breaks: true,
  extensions: FORMULAS,
  renderer: {
    // A remote image would tell its host who reads this answer; a link waits for a click.
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

function decorate(fragment) {
  for (const pre of fragment.querySelectorAll("pre")) {
    const code = pre.querySelector("code");
    const frame = made("div", "", "code-block");
    const head = made("div", "", "code-head");
    const copied = copyButton("Copy code", () => pre.textContent);
    head.append(made("span", languageOf(code) || "text"), copied);
    pre.replaceWith(frame);
    // Long lines scroll, and what scrolls must be reachable by keyboard.
    pre.tabIndex = 0;
    // Code reads from the left in every language.
    pre.dir = "ltr";
    frame.append(head, pre);
  }
  for (const block of fragment.querySelectorAll("p, li, h1, h2, h3, h4, h5, h6, blockquote, td, th")) block.dir = "auto";
  for (const table of fragment.querySelectorAll("table")) table.tabIndex = 0;
  return fragment;
}

function languageOf(code) {
  return code?.className.replace("language-", "") ?? "";
}

// With the line ends that the parser counts in.
function plain(text) {
  return text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
}

function rendered(token) {
  return decorate(DOMPurify.sanitize(marked.parser([token]), ALLOWED));
}

// Code of this many characters is coloured while it is still being written.
const COLOURED_WHILE_WRITTEN = 4000;
// Blocks at the end that may still change when more comes.
const OPEN_BLOCKS = 2;

// One growing text. Blocks (paragraphs, lists, code …) that have not changed keep their DOM: no
// flicker, a selection survives. Blocks further up are not even read again, so that a frame costs
// as much as the last blocks, however long the answer is.
export class MarkdownView {
  #element;
  #blocks = [];
  // So many blocks are closed, and so many characters of the text are in them.
  #closed = 0;
  #read = 0;

  constructor(element) {
    this.#element = element;
  }

  // `text` is what was shown last, or begins with it.
  show(text) {
    this.#close(this.#draw(plain(text).slice(this.#read)));
  }

  // The text is complete: read it as a whole, and finish what was left for later.
  finish(text) {
    this.#closed = this.#read = 0;
    const tokens = this.#draw(plain(text));
    // Only now it is known where links lead whose addresses are listed at the end.
    if (Object.keys(tokens.links).length) this.#redraw();
    for (const block of this.#blocks) this.#colour(block);
  }

  #draw(text) {
    const tokens = marked.lexer(text);
    const blocks = tokens.filter(({ type }) => type !== "space");
    blocks.forEach((token, place) => this.#set(this.#closed + place, token));
    for (const block of this.#blocks.splice(this.#closed + blocks.length)) block.node.remove();
    return tokens;
  }

  #close(tokens) {
    const count = tokens.filter(({ type }) => type !== "space").length - OPEN_BLOCKS;
    for (let left = count, place = 0; left > 0; place += 1) {
      this.#read += tokens[place].raw.length;
      if (tokens[place].type === "space") continue;
      this.#colour(this.#blocks[this.#closed]);
      this.#closed += 1;
      left -= 1;
    }
  }

  #redraw() {
    for (const block of this.#blocks.filter(({ token }) => token.type !== "code")) {
      block.node.replaceChildren(rendered(block.token));
      drawMath(block.node);
    }
  }

  #set(place, token) {
    const old = this.#blocks[place];
    if (old?.token.raw === token.raw) {
      old.token = token;
      return;
    }
    if (old && this.#growsCode(old, token)) return;
    const node = document.createElement("div");
    node.append(rendered(token));
    const block = { token, node, coloured: false };
    if (old) old.node.replaceWith(node);
    else this.#element.append(node);
    this.#blocks[place] = block;
    drawMath(node);
    if (token.type === "code" && token.text.length < COLOURED_WHILE_WRITTEN) this.#paint(block);
  }

  // Code that is still being written keeps its box, and with it the place scrolled to.
  #growsCode(old, token) {
    if (token.type !== "code" || old.token.type !== "code") return false;
    if (token.lang !== old.token.lang || token.lang === "math") return false;
    const code = old.node.querySelector("code");
    const [text] = code.childNodes;
    const isPlain = code.childNodes.length === 1 && text.nodeType === Node.TEXT_NODE;
    const grows = isPlain && token.text.startsWith(old.token.text) && text.data.startsWith(old.token.text);
    // The text ends with a line break that is not in the token.
    const length = old.token.text.length;
    if (grows) text.replaceData(length, text.length - length, token.text.slice(length));
    else code.textContent = token.text;
    old.token = token;
    old.coloured = false;
    if (token.text.length < COLOURED_WHILE_WRITTEN) this.#paint(old);
    return true;
  }

  #colour(block) {
    if (block.token.type === "code" && !block.coloured) this.#paint(block);
  }

  #paint(block) {
    const code = block.node.querySelector("pre > code");
    const language = languageOf(code);
    if (!code || language === "math") return;
    block.coloured = true;
    highlight(code, language);
  }
}
