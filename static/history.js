// Conversations that a person keeps: the list beside the page, and saving while one goes on.

import { copies, icon } from "./clipboard.js";
import { WIDE } from "./panel.js";
import { made } from "./words.js";
import { mediaOf, textOf, wordOf } from "./tree.js";

const SEARCH_AFTER = 250;
const TITLE = 80;

async function ask(method, path, body) {
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  const headers = { "X-CSRFToken": token, "Content-Type": "application/json" };
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const found = response.status === 204 ? {} : await response.json().catch(() => ({}));
  if (response.ok) return found;
  throw Object.assign(new Error(found.error?.message ?? "The server did not answer as it should."), { code: found.error?.code });
}

function titleOf(tree) {
  const first = tree.path.map(textOf).find(Boolean) ?? `A ${wordOf(mediaOf(tree.path[0])[0])}`;
  return first.replace(/\s+/g, " ").slice(0, TITLE);
}

// Events: "open" (detail: {nodes, system}), "gone" (what is shown was deleted), "told" (detail: words).
export class History extends EventTarget {
  #panel = document.getElementById("history");
  #list = document.getElementById("kept");
  #search = document.getElementById("search-kept");
  #toggle = document.getElementById("toggle-history");
  #keeping = document.getElementById("keeping");
  #dialog = document.getElementById("share");
  #timer = 0;
  // What is shown, if it is kept: {id, version}.
  current = null;
  #saving = Promise.resolve();
  #waiting = null;

  constructor() {
    super();
    this.#toggle.addEventListener("click", () => this.#open(this.#panel.hidden));
    document.getElementById("close-history").addEventListener("click", () => this.#open(false));
    this.#keeping.addEventListener("change", () => this.#switch());
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#load(), SEARCH_AFTER);
    });
    document.getElementById("delete-kept").addEventListener("click", () => this.#deleteAll());
    this.#dialog.querySelector(".close").addEventListener("click", () => this.#dialog.close());
    copies(document.getElementById("copy-link"), () => document.getElementById("share-link").value);
    document.getElementById("end-link").addEventListener("click", () => this.#endLink());
    this.#load();
  }

  get isOn() {
    return this.#keeping.checked;
  }

  leave() {
    this.current = null;
    this.#mark();
  }

  // Soon, and one after the other; of several that wait only the last counts.
  save(tree, system) {
    if (!this.isOn || tree.isEmpty) return;
    const wasWaiting = this.#waiting;
    this.#waiting = { tree, system, kept: this.current ?? (this.current = {}) };
    if (wasWaiting) return;
    this.#saving = this.#saving.then(() => this.#save()).catch((error) => this.#say(error.message));
  }

  async #save() {
    const { tree, system, kept } = this.#waiting;
    this.#waiting = null;
    const body = { title: titleOf(tree), system, nodes: tree };
    if (!kept.id) {
      Object.assign(kept, await this.#made(body));
      return;
    }
    try {
      kept.version = (await ask("PUT", `/conversations/${kept.id}`, { ...body, version: kept.version })).version;
    } catch (error) {
      if (error.code !== "version_conflict") throw error;
      Object.assign(kept, await this.#made(body));
      this.#say("This conversation was changed in another tab. What is here is kept as a conversation of its own.");
    }
  }

  async #made(body) {
    const { id, version } = await ask("POST", "/conversations", body);
    this.#load();
    return { id, version };
  }

  #open(open) {
    this.#panel.hidden = !open;
    this.#toggle.ariaExpanded = String(open);
    if (open) this.#search.focus();
    else this.#toggle.focus();
  }

  // Run something that may fail; what went wrong is said.
  async #try(work) {
    try {
      await work();
    } catch (error) {
      this.#say(error.message);
    }
  }

  #say(words) {
    this.dispatchEvent(new CustomEvent("told", { detail: words }));
  }

  #switch() {
    this.#try(async () => {
      await ask("POST", "/conversations/keeping", { on: this.#keeping.checked });
      await this.#load();
    });
  }

  #load() {
    return this.#try(async () => {
      const { keeping, conversations } = await ask("GET", `/conversations?q=${encodeURIComponent(this.#search.value)}`);
      this.#keeping.checked = keeping;
      this.#list.replaceChildren(...conversations.map((each) => this.#item(each)));
      document.getElementById("none-kept").hidden = conversations.length > 0;
      document.getElementById("none-kept").textContent = this.#search.value ? "Nothing holds all these words." : "Nothing is kept.";
      document.getElementById("delete-kept").hidden = !conversations.length;
      this.#mark();
    });
  }

  #item(kept) {
    const item = made("li");
    const open = made("button", kept.title, "title");
    open.type = "button";
    open.dir = "auto";
    open.title = kept.title;
    open.addEventListener("click", () => this.#show(kept.id));
    item.dataset.id = kept.id;
    item.append(
      open,
      this.#button("edit", `Rename ${kept.title}`, () => this.#rename(item, kept)),
      this.#button("link", kept.shared ? `Link to ${kept.title}` : `Share ${kept.title}`, () => this.#share(kept)),
      this.#button("delete", `Delete ${kept.title}`, () => this.#delete(kept)),
    );
    return item;
  }

  #button(name, label, action) {
    const button = made("button", "", "tool round small");
    button.type = "button";
    button.title = label;
    button.setAttribute("aria-label", label);
    button.append(icon(name));
    button.addEventListener("click", action);
    return button;
  }

  #mark() {
    for (const item of this.#list.children) {
      item.firstElementChild.setAttribute("aria-current", String(item.dataset.id === this.current?.id));
    }
  }

  #show(id) {
    this.#try(async () => {
      const { version, nodes, system } = await ask("GET", `/conversations/${id}`);
      this.dispatchEvent(new CustomEvent("open", { detail: { nodes, system } }));
      this.current = { id, version };
      this.#mark();
      // What was chosen is under the list.
      if (!WIDE.matches) this.#open(false);
    });
  }

  #rename(item, kept) {
    const form = document.createElement("form");
    const field = document.createElement("input");
    field.value = kept.title;
    field.maxLength = 200;
    field.required = true;
    field.setAttribute("aria-label", "New title");
    form.append(field);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#try(async () => {
        await ask("PATCH", `/conversations/${kept.id}`, { title: field.value });
        await this.#load();
      });
    });
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      item.replaceWith(this.#item(kept));
    });
    item.replaceChildren(form);
    field.select();
  }

  #delete({ id, title }) {
    if (!confirm(`Delete “${title}” for good?`)) return;
    this.#try(async () => {
      await ask("DELETE", `/conversations/${id}`);
      if (this.current?.id === id) this.#gone();
      await this.#load();
    });
  }

  #deleteAll() {
    if (!confirm("Delete everything that is kept, for good?")) return;
    this.#try(async () => {
      await ask("DELETE", "/conversations");
      if (this.current) this.#gone();
      await this.#load();
    });
  }

  #gone() {
    this.current = null;
    this.dispatchEvent(new Event("gone"));
  }

  #share(kept) {
    this.#try(async () => {
      const token = kept.shared ?? (await ask("POST", `/conversations/${kept.id}/share`)).shared;
      const link = document.getElementById("share-link");
      kept.shared = token;
      link.value = `${location.origin}/shared/${token}`;
      this.#dialog.dataset.id = kept.id;
      this.#dialog.showModal();
      link.select();
    });
  }

  #endLink() {
    this.#try(async () => {
      await ask("DELETE", `/conversations/${this.#dialog.dataset.id}/share`);
      this.#dialog.close();
      await this.#load();
    });
  }
}
