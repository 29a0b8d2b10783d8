// "Show code": the call that the page would make, as a program that runs as it stands.

import { copies } from "./clipboard.js";
import { WRITERS } from "./snippets.js";

const EXAMPLE = "What is the capital of France?";

export class CodeBox {
  #dialog = document.getElementById("code");
  #text = document.getElementById("code-text");
  #tabs = [...this.#dialog.querySelectorAll("[role=tab]")];
  #key;
  #call;

  // `call()` gives the body of the request as it would be made now.
  constructor(call, authMode) {
    this.#call = call;
    this.#key = authMode === "key" ? "YOUR_API_KEY" : "";
    for (const tab of this.#tabs) tab.addEventListener("click", () => this.#choose(tab));
    this.#dialog.querySelector("[role=tablist]").addEventListener("keydown", (event) => this.#arrow(event));
    document.getElementById("close-code").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    copies(document.getElementById("copy-code"), () => this.#text.textContent);
  }

  open() {
    this.#choose(this.#tabs.find((tab) => tab.ariaSelected === "true"));
    this.#dialog.showModal();
  }

  #choose(chosen) {
    for (const tab of this.#tabs) {
      tab.ariaSelected = String(tab === chosen);
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
    this.#text.setAttribute("aria-labelledby", chosen.id);
    const body = this.#call();
    if (!body.messages.some(({ role }) => role === "user")) body.messages.push({ role: "user", content: EXAMPLE });
    this.#text.textContent = WRITERS[chosen.dataset.language]({ base: `${location.origin}/v1`, key: this.#key, body });
  }

  #arrow(event) {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const here = this.#tabs.indexOf(document.activeElement);
    if (here < 0) return;
    const step = event.key === "ArrowRight" ? 1 : -1;
    const next = this.#tabs[(here + step + this.#tabs.length) % this.#tabs.length];
    next.focus();
    this.#choose(next);
  }
}
