// The same call as a program that runs as it stands: Python with the Hub's client, curl, JavaScript.

import { copyButton } from "../clipboard.js";
import { made, pathOf } from "../words.js";
import { curl } from "./code_curl.js";
import { javascript } from "./code_javascript.js";
import { python } from "./code_python.js";
import { tabs } from "./tabs.js";

const LANGUAGES = [
  ["Python", python],
  ["curl", curl],
  ["JavaScript", javascript],
];

export class CodeBox {
  element = made("div", "", "code-box");
  #text = made("pre", "", "code-text");
  #write = LANGUAGES[0][1];
  #call;

  // `call()` gives what would be asked now: {form, body}.
  constructor({ model, keys }, call) {
    this.#call = () => ({
      address: `${location.origin}/hf/models/${pathOf(model)}`,
      key: keys ? "YOUR_API_KEY" : "",
      ...call(),
    });
    this.#text.id = "code-text";
    this.#text.tabIndex = 0;
    const head = made("div", "", "code-head");
    head.append(
      tabs("Language", LANGUAGES.map(([name]) => name), this.#text, (index) => {
        this.#write = LANGUAGES[index][1];
        this.draw();
      }),
      copyButton("Copy the code", () => this.#text.textContent),
    );
    this.element.append(head, this.#text);
  }

  draw() {
    this.#text.textContent = this.#write(this.#call());
  }
}
