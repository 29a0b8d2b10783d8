// Draws the branch of the conversation that is chosen, and keeps it as it is where nothing changed.

import { AnswerTurn, besides, ToolTurn, UserTurn } from "./turns.js";

const KINDS = { user: UserTurn, assistant: AnswerTurn, tool: ToolTurn };

export class Conversation {
  #place;
  #actions;
  #turns = new Map();
  #rows = new Map();
  #tree = null;

  constructor(place, actions) {
    this.#place = place;
    this.#actions = actions;
  }

  show(tree) {
    if (tree !== this.#tree) {
      this.#turns.clear();
      this.#rows.clear();
    }
    this.#tree = tree;
    this.draw();
  }

  turn(node) {
    let found = this.#turns.get(node.id);
    if (!found) this.#turns.set(node.id, (found = new KINDS[node.role](node, this.#actions)));
    return found;
  }

  draw() {
    const path = this.#tree.path;
    const rows = path.map((node) => this.#row(node));
    let at = this.#place.firstElementChild;
    for (const row of rows) {
      if (row === at) at = at.nextElementSibling;
      else this.#place.insertBefore(row, at);
    }
    while (at) {
      const next = at.nextElementSibling;
      at.remove();
      at = next;
    }
    for (const node of path) this.turn(node).showBranches(this.#tree.branches(node));
    for (const turn of this.#turns.values()) turn.showResults?.();
  }

  #row(node) {
    const beside = this.#tree.batch(node);
    if (beside.length === 1) return this.turn(node).element;
    const turns = beside.map((each) => this.turn(each));
    const known = this.#rows.get(node.batch);
    const row = known?.childElementCount === turns.length ? known : besides(turns);
    this.#rows.set(node.batch, row);
    for (const turn of turns) {
      const goesOn = turn.node === node;
      turn.element.classList.toggle("chosen", goesOn);
      const button = turn.element.querySelector(".go-on");
      button.hidden = false;
      button.setAttribute("aria-pressed", String(goesOn));
      button.querySelector("span").textContent = goesOn ? "Goes on from here" : "Go on from here";
    }
    return row;
  }
}
