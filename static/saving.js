// A conversation as a file.

import { mediaOf, textOf, wordOf } from "./tree.js";

function saved(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  // The download has its own hold on it once the click is through.
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export function asMarkdown(tree, system) {
  const turns = tree.path.map((node) => {
    const who = { user: "You", tool: `Result of ${node.name}` }[node.role] ?? node.model;
    const media = mediaOf(node).map((part) => `*(a ${wordOf(part)})*`);
    const calls = (node.tool_calls ?? []).map(({ function: { name, arguments: text } }) => `\`${name}(${text})\``);
    return [`## ${who}`, ...media, textOf(node), ...calls].filter(Boolean).join("\n\n");
  });
  return `${[...(system ? [`> ${system.replaceAll("\n", "\n> ")}`] : []), ...turns].join("\n\n")}\n`;
}

export class Saving {
  #dialog = document.getElementById("saving");

  // `current()` gives the tree and the system prompt.
  constructor(current) {
    this.#dialog.querySelector(".close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    document.getElementById("save-markdown").addEventListener("click", () => {
      const { tree, system } = current();
      saved("conversation.md", "text/markdown", asMarkdown(tree, system));
    });
    document.getElementById("save-json").addEventListener("click", () => {
      const { tree, system } = current();
      saved("conversation.json", "application/json", JSON.stringify({ system, nodes: tree }, null, 1));
    });
  }

  open() {
    this.#dialog.showModal();
  }
}
