// The playground. Holds the conversation and joins its parts; the drawing is in conversation.js, the
// talking in replies.js and socket.js.

import { CodeBox } from "./code.js";
import { Compare } from "./compare.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { History } from "./history.js";
import { ModelMenu } from "./models.js";
import { Panel } from "./panel.js";
import { Replies } from "./replies.js";
import { Saving } from "./saving.js";
import { Shortcuts } from "./shortcuts.js";
import { ChatSocket } from "./socket.js";
import { remembered, remember, switchTheme } from "./tab.js";
import { contentOf, mediaOf, newId, textOf, Tree, wordOf } from "./tree.js";

const MODELS_EVERY = 15000;
const NEAR_BOTTOM = 60;
// A little less than what the server takes at once.
const LARGEST_MESSAGE = 2 ** 20 - 1000;

const part = (id) => document.getElementById(id);
const scroll = part("scroll");
const { authMode, person } = document.querySelector(".playground").dataset;

const socket = new ChatSocket("/ws/chat");
const replies = new Replies(socket);
const menu = new ModelMenu();
const panel = new Panel();
const composer = new Composer();
const compare = new Compare(menu);
// Only for a person who is signed in.
const history = part("history") ? new History() : null;
const view = new Conversation(part("conversation"), {
  again: (node) => replies.size || ask(tree.above(node)),
  drawn: keepInView,
  edit,
  goOn: (node) => choose(node),
  instead,
  results,
  turn: (node, step) => {
    const { all, place } = tree.branches(node);
    choose(all[place + step]);
  },
});

let tree = new Tree();
let follows = true;
let moved = null;

// --- asking ---------------------------------------------------------------------------------------

function messages(node) {
  const system = panel.system ? [{ role: "system", content: panel.system }] : [];
  return [...system, ...tree.messages(node)];
}

// The body of the request as it would be made now; after an answer, the one that got it.
function call() {
  const params = panel.problem ? {} : panel.params;
  const body = { model: menu.chosen?.id ?? "", messages: messages(tree.last), ...params };
  while (body.messages.at(-1)?.role === "assistant") body.messages.pop();
  if (composer.isEmpty) return body;
  const question = { role: "user", content: contentOf(composer.text, composer.media) };
  return { ...body, messages: [...messages(tree.last), question] };
}

function send(text = composer.text, media = composer.media) {
  if (replies.size || (!text && !media.length) || !isReady()) return;
  if (isTooLarge()) {
    notice("The conversation holds more pictures and sounds than fit into a message. Leave some out, or start a new chat.");
    return;
  }
  const question = tree.add(tree.last, { role: "user", content: contentOf(text, media) });
  composer.set("");
  ask(question);
}

// Whether a question can be asked now; says what is in the way, and what was typed stays.
function isReady() {
  failure("");
  if (!socket.isUp) {
    notice("Not connected to the server. Your message is still below; send it again in a moment.");
    return false;
  }
  notice(panel.problem);
  return !panel.problem;
}

// All of the conversation goes with each question, and the server ends a line that brings too much.
function isTooLarge() {
  return new Blob([JSON.stringify(call())]).size > LARGEST_MESSAGE;
}

// Have a turn that is the person's, or a tool's, answered: by several models side by side.
function ask(question, models = compare.models) {
  if (!isReady()) {
    draw();
    return;
  }
  const asked = { messages: messages(question), params: panel.params };
  const batch = models.length > 1 ? newId() : undefined;
  const nodes = models.map((model) => tree.add(question, { role: "assistant", model, batch }));
  tree.choose(nodes[0]);
  follows = true;
  for (const node of nodes) {
    if (!replies.ask(node, asked)) ended(Object.assign(node, { error: "The connection to the server was lost." }));
  }
  draw();
}

// The question in other words is a branch beside the old one.
function edit(node, text) {
  const media = mediaOf(node);
  if (replies.size || (!text && !media.length) || !isReady()) return;
  ask(tree.add(tree.above(node), { role: "user", content: contentOf(text, media) }));
}

// What tools gave goes back to the model that called them.
function results(node, texts) {
  if (replies.size || !isReady()) return;
  const last = node.tool_calls.reduce(
    (above, { id, function: { name } }, place) =>
      tree.add(above, { role: "tool", name, tool_call_id: id, content: texts[place] }),
    node,
  );
  ask(last, [node.model]);
}

// Another model answers what this one lets wait.
function instead(node, model) {
  moved = { node, model };
  menu.choose(model);
  replies.stop(node);
}

function retry() {
  if (!composer.isEmpty) send();
  else if (tree.last && tree.last.role !== "assistant") ask(tree.last);
}

// --- hearing --------------------------------------------------------------------------------------

// The menu shows each model's state; a question changes it when it waits, begins and ends.
function lookAgain() {
  socket.send({ type: "models" });
}

function grew(node) {
  if (!node.running.began) lookAgain();
  node.running.began = true;
  view.turn(node).grew();
}

function waits(node) {
  if (!node.running.waited) lookAgain();
  node.running.waited = true;
  view.turn(node).waits(node.batch ? "" : menu.ready(node.model, needs(node)));
  keepInView();
}

// What a model must take beside text to go on from here.
function needs(node) {
  const media = tree.messages(node).flatMap(({ content }) => mediaOf({ content: content ?? "" }));
  return [...new Set(media.map((part) => `${wordOf(part)}s`))];
}

function ended(node) {
  const isEmpty = !node.content && !node.reasoning && !node.tool_calls;
  const stopped = node.stats?.finish_reason === "stopped";
  if (moved?.node === node) {
    const { model } = moved;
    moved = null;
    if (isEmpty) {
      const question = tree.above(node);
      tree.remove(node);
      ask(question, [model]);
      return;
    }
  }
  if (isEmpty && !node.batch && (node.error || stopped)) takeBack(node);
  else view.turn(node).finish();
  if (node.error && !node.batch) failure(node.error);
  draw();
  if (!replies.size) history?.save(tree, panel.system);
  lookAgain();
}

// As if it had not been asked: a question without any answer goes back to where it was typed.
function takeBack(node) {
  const question = tree.above(node);
  tree.remove(node);
  if (question.role !== "user" || question.children.length) return;
  tree.remove(question);
  composer.giveBack(textOf(question), mediaOf(question));
}

// --- showing --------------------------------------------------------------------------------------

function draw() {
  view.draw();
  refresh();
  keepInView();
  keepInTab();
}

function keepInTab() {
  remember({ nodes: tree, system: panel.system, kept: history?.current ?? null, person });
}

// What this tab showed before, unless that was another person's, who has signed out since.
function before() {
  const found = remembered();
  return found.person && found.person !== person ? {} : found;
}

function choose(node) {
  tree.choose(node);
  follows = false;
  draw();
}

function keepInView() {
  if (follows) scroll.scrollTop = scroll.scrollHeight;
}

function refresh() {
  part("empty").hidden = !tree.isEmpty;
  part("stop").hidden = !replies.size;
  part("send").hidden = Boolean(replies.size);
  part("send").disabled = composer.isEmpty;
  part("conversation").ariaBusy = String(Boolean(replies.size));
}

function notice(text) {
  part("notice").textContent = text;
  part("notice").hidden = !text;
}

function failure(text) {
  part("failure").querySelector("p").textContent = text;
  part("failure").hidden = !text;
  part("retry").hidden = composer.isEmpty && tree.last?.role === "assistant";
  keepInView();
}

function show(saved) {
  replies.forget();
  tree = saved;
  failure("");
  view.show(tree);
  draw();
}

function newChat() {
  history?.leave();
  show(new Tree());
  composer.focus();
}

function escape() {
  if (panel.covers) panel.close();
  else replies.stopAll();
}

// --- joining --------------------------------------------------------------------------------------

function listen() {
  const saving = new Saving(() => ({ tree, system: panel.system }));
  const code = new CodeBox(call, authMode);
  composer.addEventListener("send", () => send());
  composer.addEventListener("changed", refresh);
  composer.addEventListener("refused", ({ detail }) => notice(detail));
  scroll.addEventListener("scroll", () => {
    follows = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_BOTTOM;
  });
  for (const button of document.querySelectorAll(".example")) {
    button.addEventListener("click", () => send(button.textContent, []));
  }
  const shortcuts = new Shortcuts({
    escape,
    "new-chat": newChat,
    model: () => menu.focus(),
    prompt: () => composer.focus(),
    compare: () => compare.toggle(),
    "toggle-panel": () => part("toggle-panel").click(),
    "show-code": () => code.open(),
  });
  const clicks = {
    stop: () => replies.stopAll(),
    retry,
    theme: switchTheme,
    "new-chat": newChat,
    "show-code": () => code.open(),
    save: () => saving.open(),
    shortcuts: () => shortcuts.open(),
  };
  for (const [id, action] of Object.entries(clicks)) part(id).addEventListener("click", action);
  menu.addEventListener("change", () => {
    part("empty-model").textContent = menu.chosen.id;
    panel.fit(menu.chosen);
    composer.take(menu.chosen);
  });
  addEventListener("pagehide", keepInTab);
  history?.addEventListener("told", ({ detail }) => notice(detail));
  history?.addEventListener("gone", newChat);
  history?.addEventListener("open", ({ detail }) => {
    panel.system = detail.system;
    show(new Tree(detail.nodes));
  });
}

function connect() {
  replies.addEventListener("grew", ({ detail }) => grew(detail));
  replies.addEventListener("waits", ({ detail }) => waits(detail));
  replies.addEventListener("ended", ({ detail }) => ended(detail));
  replies.addEventListener("changed", refresh);
  socket.addEventListener("frame", ({ detail }) => {
    if (detail.type === "models") menu.update(detail.models);
    else if (detail.id === null) notice(detail.error.message);
  });
  let isDown = false;
  socket.addEventListener("up", () => {
    isDown = false;
    notice("");
  });
  socket.addEventListener("down", () => {
    // Each try that fails ends here; only the first is news, and what was said since stays.
    if (!isDown) notice("The connection to the server was lost. Reconnecting…");
    isDown = true;
  });
  socket.connect();
  setInterval(() => document.hidden || lookAgain(), MODELS_EVERY);
}

listen();
connect();
const { nodes, system = "", kept = null } = before();
panel.system = system;
if (history) history.current = kept;
show(new Tree(nodes));
replies.expect(tree.path.flatMap((node) => tree.batch(node)).filter(({ running }) => running));
refresh();
// On a phone the focus would pull the keyboard over the page.
if (matchMedia("(pointer: fine)").matches) composer.focus();
