// The playground. Holds the conversation; the drawing is in turns.js, the talking in socket.js.

import { CodeBox } from "./code.js";
import { ModelMenu } from "./models.js";
import { Panel } from "./panel.js";
import { ChatSocket } from "./socket.js";
import { Answer, statsWords, userTurn } from "./turns.js";

const MODELS_EVERY = 15000;
const NEAR_BOTTOM = 60;

const part = (id) => document.getElementById(id);
const prompt = part("prompt");
const scroll = part("scroll");
const finePointer = matchMedia("(pointer: fine)");

const socket = new ChatSocket("/ws/chat");
const menu = new ModelMenu();
const panel = new Panel();

// Turns that are over: {role, content, element}. The one that is being answered is `current`.
let turns = [];
let current = null;
let asked = 0;
let follows = true;

function messages() {
  const system = panel.system ? [{ role: "system", content: panel.system }] : [];
  return [...system, ...turns.map(({ role, content }) => ({ role, content }))];
}

function call() {
  const body = { model: menu.chosen?.id ?? "", messages: messages(), ...panel.params };
  // After an answer, show the call that got it.
  while (body.messages.at(-1)?.role === "assistant") body.messages.pop();
  const draft = prompt.value.trim();
  if (draft) body.messages = [...messages(), { role: "user", content: draft }];
  return body;
}

function keepInView() {
  if (follows) scroll.scrollTop = scroll.scrollHeight;
}

function refresh() {
  part("empty").hidden = turns.length > 0;
  part("stop").hidden = !current;
  part("send").hidden = Boolean(current);
  part("send").disabled = !prompt.value.trim();
  part("conversation").ariaBusy = String(Boolean(current));
}

// Firefox and Safari do not size a text area by its content yet.
function fitPrompt() {
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight}px`;
}

function setPrompt(text) {
  prompt.value = text;
  fitPrompt();
  refresh();
}

function notice(text) {
  part("notice").textContent = text;
  part("notice").hidden = !text;
}

function failure(text) {
  part("failure").querySelector("p").textContent = text;
  part("failure").hidden = !text;
  part("retry").hidden = turns.at(-1)?.role === "assistant";
  keepInView();
}

function send(text) {
  if (current || !text.trim()) return;
  if (!socket.isUp) {
    failure("");
    notice("Not connected to the server. Your message is still below; send it again in a moment.");
    return;
  }
  const element = userTurn(text);
  part("conversation").append(element);
  turns.push({ role: "user", content: text, element });
  setPrompt("");
  ask();
}

// Have the last turn, which is the person's, answered.
function ask() {
  failure("");
  asked += 1;
  const id = `${Date.now().toString(36)}-${asked}`;
  const model = menu.chosen?.id ?? "";
  const answer = new Answer(model, { onDraw: keepInView, onAgain: () => askAgain(answer) });
  current = { id, answer };
  part("conversation").append(answer.element);
  follows = true;
  refresh();
  keepInView();
  if (!socket.send({ type: "chat", id, model, messages: messages(), params: panel.params })) {
    failed("The connection to the server was lost.");
  }
}

function askAgain(answer) {
  if (current || turns.at(-1)?.element !== answer.element) return;
  turns.pop().element.remove();
  ask();
}

function settle(stats) {
  const { answer } = current;
  current = null;
  answer.finish(stats);
  turns.push({ role: "assistant", content: answer.text, element: answer.element });
  refresh();
}

function finished(frame) {
  // Stopped before the first word: as if it had not been asked yet.
  if (frame.finish_reason === "stopped" && !current.answer.text) takeBack();
  else settle(statsWords(frame));
  lookAgain();
}

// What was said so far stays; a question without any answer goes back to where it was typed.
function failed(message) {
  if (current.answer.text) settle("cut off");
  else takeBack();
  failure(message);
  lookAgain();
}

function takeBack() {
  current.answer.element.remove();
  current = null;
  const turn = turns.pop();
  turn.element.remove();
  setPrompt([turn.content, prompt.value].filter(Boolean).join("\n"));
}

// The menu shows each model's state; a question changes it when it waits, begins and ends.
function lookAgain() {
  socket.send({ type: "models" });
}

function spoke(frame) {
  if (!current.answer.text) lookAgain();
  current.answer.add(frame);
}

function waits(frame) {
  if (!current.waited) lookAgain();
  current.waited = true;
  current.answer.waiting(frame);
}

const HEARD = {
  token: spoke,
  waiting: waits,
  done: finished,
  error: (frame) => failed(frame.error.message),
};

function heard(frame) {
  if (frame.type === "models") menu.update(frame.models);
  else if (frame.id === null) notice(frame.error.message);
  // Frames of an answer that was left behind by "New chat" are no longer wanted.
  else if (frame.id === current?.id) HEARD[frame.type](frame);
}

function stop() {
  if (current) socket.send({ type: "stop", id: current.id });
}

function newChat() {
  stop();
  current = null;
  turns = [];
  part("conversation").replaceChildren();
  failure("");
  refresh();
  prompt.focus();
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
}

function pressed(event) {
  if (event.key !== "Escape" || part("code").open) return;
  if (panel.covers) panel.close();
  else stop();
}

function typed(event) {
  // While an input method is composing, Enter chooses a word.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send(prompt.value.trim());
}

function listen() {
  const code = new CodeBox(call, document.querySelector(".playground").dataset.authMode);
  part("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send(prompt.value.trim());
  });
  prompt.addEventListener("keydown", typed);
  prompt.addEventListener("input", () => setPrompt(prompt.value));
  document.addEventListener("keydown", pressed);
  scroll.addEventListener("scroll", () => {
    follows = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_BOTTOM;
  });
  for (const button of document.querySelectorAll(".example")) {
    button.addEventListener("click", () => send(button.textContent));
  }
  const clicks = { stop, retry: () => send(prompt.value.trim()), theme: switchTheme, "new-chat": newChat };
  for (const [id, action] of Object.entries(clicks)) part(id).addEventListener("click", action);
  part("show-code").addEventListener("click", () => code.open());
  menu.addEventListener("change", () => {
    part("empty-model").textContent = menu.chosen.id;
  });
}

function connect() {
  socket.addEventListener("frame", ({ detail }) => heard(detail));
  socket.addEventListener("up", () => notice(""));
  socket.addEventListener("down", () => {
    notice("The connection to the server was lost. Reconnecting…");
    if (current) failed("The connection was lost before the answer was complete.");
  });
  socket.connect();
  setInterval(() => document.hidden || lookAgain(), MODELS_EVERY);
}

listen();
connect();
refresh();
// On a phone the focus would pull the keyboard over the page.
if (finePointer.matches) prompt.focus();
