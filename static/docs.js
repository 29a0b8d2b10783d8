// Programs of the documentation: coloured, and copied at a click.

import { copyButton } from "./clipboard.js";
import { highlight } from "./highlight.js";

for (const code of document.querySelectorAll(".program code[data-language]")) {
  // What is copied is what was sent, whatever becomes of it on the page.
  const text = code.textContent;
  code.closest(".program").prepend(copyButton("Copy the program", () => text));
  highlight(code, code.dataset.language);
}
