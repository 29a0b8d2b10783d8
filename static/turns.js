// What a conversation looks like: the turns of the person, of the model and of tools.

import { copies } from "./clipboard.js";
import { MarkdownView } from "./markdown.js";
import { addressOf, mediaOf, textOf } from "./tree.js";
import { duration, made, plural, waitingWords } from "./words.js";

function cloned(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

// The line under an answer.
export function statsWords({ usage, timings, finish_reason: reason }) {
  const words = [plural(usage.completion_tokens, "token")];
  if (timings.queue_seconds >= 1) words.push(`waited ${duration(timings.queue_seconds)}`);
  if (timings.ttft !== null) words.push(`first after ${timings.ttft.toFixed(2)} s`);
  if (timings.tokens_per_second) words.push(`${Math.round(timings.tokens_per_second).toLocaleString("en")} tokens/s`);
  if (timings.device_seconds) words.push(`${timings.device_seconds.toFixed(2)} device-seconds`);
  if (reason === "stopped") words.push("stopped");
  if (reason === "length") words.push("cut at the maximum length");
  return words.join(" · ");
}

// What turns share: an element for a node, the arrows between its branches, buttons with actions.
// `actions` are the conversation's: copy, edit, again, turn(node, step), …
class Turn {
  constructor(template, node, actions) {
    this.element = cloned(template);
    this.node = node;
    this.actions = actions;
    this.element.dataset.node = node.id;
    for (const [name, step] of [["before", -1], ["after", 1]]) {
      this.on(`.${name}`, () => actions.turn(node, step));
    }
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  on(selector, action) {
    this.part(selector)?.addEventListener("click", action);
  }

  // "2 / 3", with arrows, where there is more than one.
  showBranches({ all, place }) {
    const arrows = this.part(".branches");
    arrows.hidden = all.length < 2;
    arrows.querySelector(".place").textContent = `${place + 1} / ${all.length}`;
    arrows.querySelector(".before").disabled = place === 0;
    arrows.querySelector(".after").disabled = place === all.length - 1;
  }
}

export class UserTurn extends Turn {
  constructor(node, actions) {
    super("user-turn", node, actions);
    this.part(".said").textContent = textOf(node);
    this.part(".media").append(...mediaOf(node).map(shown));
    this.on(".edit", () => this.#edit());
    copies(this.part(".copy"), () => textOf(node));
  }

  #edit() {
    const form = cloned("edit-turn");
    const text = form.querySelector("textarea");
    const bubble = this.part(".bubble");
    const close = () => {
      form.remove();
      bubble.hidden = this.part(".below").hidden = false;
      this.part(".edit").focus();
    };
    text.value = textOf(this.node);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      close();
      this.actions.edit(this.node, text.value.trim());
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
      else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) form.requestSubmit();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    form.querySelector(".cancel").addEventListener("click", close);
    bubble.hidden = this.part(".below").hidden = true;
    this.element.append(form);
    text.focus();
  }
}

function shown(part) {
  if (part.type === "image_url") return Object.assign(new Image(), { src: addressOf(part), alt: "A picture" });
  const audio = made("audio");
  audio.controls = true;
  audio.src = addressOf(part);
  audio.ariaLabel = "A sound";
  return audio;
}

// The result of a tool that the model called.
export class ToolTurn extends Turn {
  constructor(node, actions) {
    super("tool-turn", node, actions);
    this.part(".speaker").textContent = `Result of ${node.name}`;
    this.part(".result").textContent = node.content;
  }
}

// An answer. While it streams, its text is drawn at most once per animation frame.
export class AnswerTurn extends Turn {
  #frame = 0;
  #view;
  #calls = 0;
  #thought = 0;

  constructor(node, actions) {
    super("answer-turn", node, actions);
    this.#view = new MarkdownView(this.part(".markdown"));
    this.part(".speaker").textContent = node.model;
    this.on(".again", () => actions.again(node));
    this.on(".go-on", () => actions.goOn(node));
    this.on(".instead", () => actions.instead(node, this.part(".instead").dataset.model));
    copies(this.part(".below .copy"), () => node.content);
    if (node.running) this.#draw();
    else this.finish();
  }

  // Also in the middle of an answer, when others are let in first.
  waits(ready) {
    const { news } = this.node.running;
    this.part(".words").textContent = waitingWords(news);
    this.part(".waiting").hidden = false;
    const bar = this.part("progress");
    bar.hidden = !news.progress;
    bar.value = news.progress ?? 0;
    // Who does not want to wait may have an answer from a model that does not have to.
    const instead = this.part(".instead");
    instead.hidden = !ready || Boolean(this.node.content);
    instead.dataset.model = ready;
    instead.textContent = `Ask ${ready} instead, it is ready now`;
  }

  grew() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  finish() {
    const { node } = this;
    if (this.#frame) cancelAnimationFrame(this.#frame);
    this.#draw();
    this.#view.finish(node.content);
    this.part(".waiting").hidden = true;
    this.part(".instead").hidden = true;
    this.part(".below").hidden = false;
    this.part(".stats").textContent = node.stats ? statsWords(node.stats) : node.error ? "cut off" : "";
    this.part(".wrong").hidden = !node.error || Boolean(node.content);
    this.part(".wrong").textContent = node.error ?? "";
    this.element.removeAttribute("aria-busy");
    if (node.tool_calls) this.#offerResults();
    this.actions.drawn();
  }

  #draw() {
    const { content, reasoning, tool_calls: calls = [] } = this.node;
    this.#frame = 0;
    if (content || reasoning || calls.length) this.part(".waiting").hidden = Boolean(content || calls.length);
    if (reasoning) {
      this.part(".reasoning").hidden = false;
      // Most of it is there already: only what is new is added.
      this.part(".thought").append(reasoning.slice(this.#thought));
      this.#thought = reasoning.length;
      this.part(".reasoning summary").textContent = content ? "Reasoning" : "Reasoning…";
    }
    this.#view.show(content);
    calls.forEach((call, place) => this.#drawCall(call, place));
    this.actions.drawn();
  }

  #drawCall({ function: { name, arguments: text } }, place) {
    const list = this.part(".calls");
    if (place >= this.#calls) {
      list.append(cloned("tool-call"));
      this.#calls += 1;
    }
    const card = list.children[place];
    card.querySelector(".name").textContent = name;
    card.querySelector(".arguments").textContent = indented(text);
  }

  // The person plays the tool: what is typed here goes back to the model.
  #offerResults() {
    const form = this.part(".results");
    const boxes = [...this.part(".calls").querySelectorAll("textarea")];
    boxes.forEach((box, place) => {
      box.closest("label").hidden = false;
      box.setAttribute("aria-label", `Result of ${this.node.tool_calls[place].function.name}`);
    });
    this.part(".send-results").hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.actions.results(this.node, boxes.map((box) => box.value));
    });
    this.showResults();
  }

  // Once there are results, they stand below as turns of their own.
  showResults() {
    if (!this.node.tool_calls) return;
    const answered = this.node.children.length > 0;
    for (const label of this.part(".calls").querySelectorAll("label")) label.hidden = answered;
    this.part(".send-results").hidden = answered;
  }
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // It is still being written, or the model did not write JSON.
    return text;
  }
}

// Answers side by side, with a button under each to go on from there.
export function besides(turns) {
  const row = made("div", "", "beside");
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", "Answers side by side");
  row.append(...turns.map(({ element }) => element));
  return row;
}
