// Where a question is typed: a text that grows, and pictures that are dropped, pasted or chosen.

import { made } from "./words.js";
import { icon } from "./clipboard.js";

// Larger pictures are made smaller: models look at no more, and a message has its limit.
const LONGEST_SIDE = 1024;
const QUALITY = 0.85;
const MOST_PICTURES = 4;

// Events: "send", "changed", "refused" (detail: why a file was not taken).
export class Composer extends EventTarget {
  #form = document.getElementById("composer");
  #prompt = document.getElementById("prompt");
  #file = document.getElementById("picture-file");
  #attach = document.getElementById("attach");
  #row = document.getElementById("attached");
  #pictures = [];
  #takes = false;

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
    const stage = this.#form.parentElement;
    stage.addEventListener("dragover", (event) => this.#drags(event));
    stage.addEventListener("drop", (event) => this.#took(event, event.dataTransfer.files));
  }

  get text() {
    return this.#prompt.value.trim();
  }

  get pictures() {
    return [...this.#pictures];
  }

  get isEmpty() {
    return !this.text && !this.#pictures.length;
  }

  set(text, pictures = []) {
    this.#prompt.value = text;
    this.#pictures = pictures;
    this.#draw();
  }

  // Before whatever is typed already.
  giveBack(text, pictures) {
    this.set([text, this.#prompt.value].filter(Boolean).join("\n"), [...pictures, ...this.#pictures]);
  }

  focus() {
    this.#prompt.focus();
  }

  // Whether the chosen model reads pictures.
  takePictures(takes) {
    this.#takes = takes;
    this.#attach.hidden = !takes;
  }

  #drags(event) {
    if (this.#takes && event.dataTransfer.types.includes("Files")) event.preventDefault();
  }

  #took(event, files) {
    if (!files.length) return;
    event.preventDefault();
    this.#add(files);
  }

  async #add(files) {
    if (!this.#takes) {
      this.#emit("refused", "This model reads text only; it takes no pictures.");
      return;
    }
    for (const file of files) {
      if (this.#pictures.length >= MOST_PICTURES) {
        this.#emit("refused", `At most ${MOST_PICTURES} pictures go with a message.`);
        break;
      }
      try {
        this.#pictures.push(await shrunk(file));
      } catch {
        this.#emit("refused", `${file.name || "That"} is no picture that a browser can read.`);
      }
    }
    this.#file.value = "";
    this.#draw();
  }

  #draw() {
    this.#row.hidden = !this.#pictures.length;
    this.#row.replaceChildren(...this.#pictures.map((url, place) => this.#thumb(url, place)));
    this.#changed();
  }

  #thumb(url, place) {
    const item = made("li");
    const image = new Image();
    const remove = made("button", "", "tool round small");
    image.src = url;
    image.alt = `Picture ${place + 1}`;
    remove.type = "button";
    remove.setAttribute("aria-label", `Remove picture ${place + 1}`);
    remove.append(icon("close"));
    remove.addEventListener("click", () => {
      this.#pictures.splice(place, 1);
      this.#draw();
      this.focus();
    });
    item.append(image, remove);
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

// A data: URL with the picture as a JPEG of bounded size; what it held beside pixels is gone.
async function shrunk(file) {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const pen = canvas.getContext("2d");
  // A JPEG knows no transparency; without this it would be black.
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  return canvas.toDataURL("image/jpeg", QUALITY);
}
