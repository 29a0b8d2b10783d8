// Where a question is typed: a text that grows, with pictures and sounds that are dropped, pasted,
// chosen or recorded.

import { isSound, partOf } from "./attaching.js";
import { icon } from "./clipboard.js";
import { addressOf, wordOf } from "./tree.js";
import { made } from "./words.js";

const MOST = 4;
// A recording of that length fits into a message.
const MOST_SECONDS = 20;
const SOUNDS = "audio/*,.wav,.mp3";

// Events: "send", "changed", "refused" (detail: why a file was not taken).
export class Composer extends EventTarget {
  #form = document.getElementById("composer");
  #prompt = document.getElementById("prompt");
  #file = document.getElementById("attached-file");
  #attach = document.getElementById("attach");
  #record = document.getElementById("record");
  #row = document.getElementById("attached");
  #media = [];
  #pictures = false;
  #sounds = false;
  #recording = null;

  constructor() {
    super();
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#emit("send");
    });
    this.#prompt.addEventListener("keydown", (event) => {
      // While an input method is composing, Enter chooses a word.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#emit("send");
    });
    this.#prompt.addEventListener("input", () => this.#changed());
    this.#prompt.addEventListener("paste", (event) => this.#took(event, event.clipboardData.files));
    this.#attach.addEventListener("click", () => this.#file.click());
    this.#file.addEventListener("change", () => this.#add(this.#file.files));
    this.#record.addEventListener("click", () => this.#recordOrStop());
    const stage = this.#form.parentElement;
    stage.addEventListener("dragover", (event) => this.#drags(event));
    stage.addEventListener("drop", (event) => this.#took(event, event.dataTransfer.files));
  }

  get text() {
    return this.#prompt.value.trim();
  }

  // Parts of a message.
  get media() {
    return [...this.#media];
  }

  get isEmpty() {
    return !this.text && !this.#media.length;
  }

  set(text, media = []) {
    this.#prompt.value = text;
    this.#media = media;
    this.#draw();
  }

  // Before whatever is typed already.
  giveBack(text, media) {
    this.set([text, this.#prompt.value].filter(Boolean).join("\n"), [...media, ...this.#media]);
  }

  focus() {
    this.#prompt.focus();
  }

  // What the chosen model takes beside text.
  take({ pictures, sounds }) {
    this.#pictures = pictures;
    this.#sounds = sounds;
    this.#attach.hidden = !pictures && !sounds;
    this.#record.hidden = !sounds;
    this.#file.accept = [pictures && "image/*", sounds && SOUNDS].filter(Boolean).join();
    const words = [pictures && "picture", sounds && "sound"].filter(Boolean).join(" or ");
    this.#attach.ariaLabel = this.#attach.title = `Add a ${words}`;
    this.#attach.replaceChildren(icon(sounds ? "attach" : "picture"));
  }

  #drags(event) {
    if (!this.#attach.hidden && event.dataTransfer.types.includes("Files")) event.preventDefault();
  }

  #took(event, files) {
    if (!files.length) return;
    event.preventDefault();
    this.#add(files);
  }

  async #add(files) {
    for (const file of files) {
      const refusal = this.#refusal(file);
      if (refusal) {
        this.#emit("refused", refusal);
        break;
      }
      try {
        this.#media.push(await partOf(file));
      } catch {
        const what = isSound(file) ? "sound" : "picture";
        this.#emit("refused", `${file.name || "That"} is no ${what} that a browser can read.`);
      }
    }
    this.#file.value = "";
    this.#draw();
  }

  #refusal(file) {
    if (!this.#pictures && !this.#sounds) return "This model reads text only; it takes no pictures and no sounds.";
    if (isSound(file) && !this.#sounds) return "This model takes no sounds.";
    if (!isSound(file) && !this.#pictures) return "This model takes no pictures.";
    return this.#media.length >= MOST ? `At most ${MOST} files go with a message.` : "";
  }

  async #recordOrStop() {
    if (this.#recording) return this.#recording.stop();
    const { canRecord, record } = await import("./widgets/sound.js");
    if (!canRecord()) return this.#emit("refused", "Browsers record only on pages that come over https.");
    this.#record.disabled = true;
    try {
      this.#recording = await record();
    } catch (error) {
      return this.#emit("refused", `The microphone cannot be used: ${error.message}`);
    } finally {
      this.#record.disabled = false;
    }
    const stop = setTimeout(() => this.#recording.stop(), 1000 * MOST_SECONDS);
    this.#records(true);
    try {
      await this.#add([await this.#recording.file]);
    } catch {
      this.#emit("refused", "What was recorded cannot be read.");
    } finally {
      clearTimeout(stop);
      this.#recording = null;
      this.#records(false);
    }
  }

  #records(on) {
    this.#record.classList.toggle("running", on);
    this.#record.ariaLabel = this.#record.title = on ? "Stop recording" : "Record a sound";
    this.#record.replaceChildren(icon(on ? "stop" : "record"));
  }

  #draw() {
    this.#row.hidden = !this.#media.length;
    this.#row.replaceChildren(...this.#media.map((part, place) => this.#thumb(part, place)));
    this.#changed();
  }

  #thumb(part, place) {
    const item = made("li", "", wordOf(part));
    const remove = made("button", "", "tool round small");
    remove.type = "button";
    remove.setAttribute("aria-label", `Remove ${wordOf(part)} ${place + 1}`);
    remove.append(icon("close"));
    remove.addEventListener("click", () => {
      this.#media.splice(place, 1);
      this.#draw();
      this.focus();
    });
    item.append(preview(part, place + 1), remove);
    return item;
  }

  // Firefox and Safari do not size a text area by its content yet.
  #changed() {
    this.#prompt.style.height = "auto";
    this.#prompt.style.height = `${this.#prompt.scrollHeight}px`;
    this.#emit("changed");
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function preview(part, number) {
  if (part.type === "image_url") {
    return Object.assign(new Image(), { src: addressOf(part), alt: `Picture ${number}` });
  }
  const audio = made("audio");
  audio.controls = true;
  audio.src = addressOf(part);
  audio.ariaLabel = `Sound ${number}`;
  return audio;
}
