// The side panel: system prompt and the knobs. What is not set is left to the model.

const WIDE = matchMedia("(min-width: 64rem)");

export class Panel {
  #panel = document.getElementById("panel");
  #toggle = document.getElementById("toggle-panel");
  #system = document.getElementById("system");
  #temperature = document.getElementById("temperature");
  #shown = document.getElementById("temperature-shown");
  #maxTokens = document.getElementById("max-tokens");

  constructor() {
    this.#toggle.addEventListener("click", () => this.#open(this.#panel.hidden));
    document.getElementById("close-panel").addEventListener("click", () => this.close());
    document.getElementById("reset-panel").addEventListener("click", () => this.#reset());
    this.#temperature.addEventListener("input", () => this.#setTemperature(this.#temperature.value));
    WIDE.addEventListener("change", () => this.#open(WIDE.matches));
    this.#reset();
    this.#open(WIDE.matches);
  }

  // On a phone the panel lies over the conversation.
  get covers() {
    return !this.#panel.hidden && !WIDE.matches;
  }

  get system() {
    return this.#system.value.trim();
  }

  get params() {
    const params = {};
    if ("set" in this.#temperature.dataset) params.temperature = this.#temperature.valueAsNumber;
    if (this.#maxTokens.value && this.#maxTokens.checkValidity()) params.max_tokens = this.#maxTokens.valueAsNumber;
    return params;
  }

  close() {
    this.#open(false);
    this.#toggle.focus();
  }

  #open(open) {
    this.#panel.hidden = !open;
    this.#toggle.ariaExpanded = String(open);
  }

  #setTemperature(value) {
    this.#temperature.dataset.set = "";
    this.#shown.textContent = Number(value).toFixed(1);
  }

  #reset() {
    this.#system.value = "";
    this.#maxTokens.value = "";
    this.#temperature.value = "1";
    delete this.#temperature.dataset.set;
    this.#shown.textContent = "model’s default";
  }
}
