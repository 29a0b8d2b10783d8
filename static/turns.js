// What a conversation looks like: the turns of the person and of the model.

import { copies } from "./clipboard.js";
import { MarkdownView } from "./markdown.js";
import { plural, waitingWords } from "./words.js";

function cloned(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

export function userTurn(text) {
  const element = cloned("user-turn");
  element.querySelector(".bubble").textContent = text;
  return element;
}

// The line under an answer.
export function statsWords({ usage, timings, finish_reason: reason }) {
  const words = [plural(usage.completion_tokens, "token")];
  if (timings.ttft !== null) words.push(`first after ${timings.ttft.toFixed(2)} s`);
  if (timings.tokens_per_second) words.push(`${Math.round(timings.tokens_per_second).toLocaleString("en")} tokens/s`);
  if (reason === "stopped") words.push("stopped");
  if (reason === "length") words.push("cut at the maximum length");
  return words.join(" · ");
}

// A streamed answer. Text is drawn at most once per animation frame.
export class Answer {
  text = "";
  #reasoning = "";
  #frame = 0;
  #view;
  #onDraw;

  constructor(model, { onDraw, onAgain }) {
    this.element = cloned("answer-turn");
    this.#onDraw = onDraw;
    this.#view = new MarkdownView(this.#part(".markdown"));
    this.#part(".speaker").textContent = model;
    this.#part(".again").addEventListener("click", onAgain);
    copies(this.#part(".below .copy"), () => this.text);
  }

  // Also in the middle of an answer, when others are let in first.
  waiting(frame) {
    this.#part(".words").textContent = waitingWords(frame);
    this.#part(".waiting").hidden = false;
  }

  add({ text, reasoning = "" }) {
    this.text += text;
    this.#reasoning += reasoning;
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  finish(stats) {
    if (this.#frame) cancelAnimationFrame(this.#frame);
    this.#draw();
    this.#part(".waiting").hidden = true;
    this.#part(".below").hidden = false;
    this.#part(".stats").textContent = stats;
    this.element.removeAttribute("aria-busy");
    this.#onDraw();
  }

  #draw() {
    this.#frame = 0;
    this.#part(".waiting").hidden = Boolean(this.text);
    if (this.#reasoning) {
      this.#part(".reasoning").hidden = false;
      this.#part(".thought").textContent = this.#reasoning;
    }
    this.#view.show(this.text);
    this.#onDraw();
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }
}
