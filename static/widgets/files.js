// The control for a picture, a sound, a video or any file: chosen, dropped, pasted or recorded.

import { made } from "../words.js";
import { Addresses, KINDS, Medium } from "./media.js";
import { canRecord, player, record } from "./sound.js";

export function mediumControl(spec, watched) {
  const kind = KINDS[spec.kind];
  const element = made("div", "", "drop");
  const input = made("input");
  const shown = made("div", "", "shown");
  const addresses = new Addresses();
  let file = null;
  input.type = "file";
  input.accept = kind.accepts;
  element.append(shown, made("p", `Drop ${kind.word} here, paste it, or choose a file`, "hint"), input);
  if (spec.kind === "sound") element.append(recordButton(take, say));

  function say(text) {
    shown.replaceChildren(made("p", text, "complaint"));
  }

  function take(found) {
    file = found;
    addresses.release();
    shown.replaceChildren(...(file ? preview(spec.kind, file, addresses, forget) : []));
    element.classList.toggle("full", Boolean(file));
    element.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function forget() {
    input.value = "";
    take(null);
    input.focus();
  }

  input.addEventListener("change", () => take(input.files[0] ?? null));
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    element.classList.add("over");
  });
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("over");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  const fits = (found) => !file && found.type.startsWith(kind.family);
  return {
    input,
    element,
    read: () => (file ? new Medium(spec.kind, file) : undefined),
    take: (found) => fits(found) && (take(found), true),
  };
}

function preview(kind, file, addresses, forget) {
  const address = addresses.of(file);
  const line = made("p", "", "file");
  line.append(made("span", file.name, "name"), made("span", size(file.size), "size"));
  if (file.name === "recording.wav") {
    const save = made("a", "Save");
    save.href = address;
    save.download = file.name;
    line.append(save);
  }
  const remove = made("button", "Remove", "plain");
  remove.type = "button";
  remove.ariaLabel = `Remove ${file.name}`;
  remove.addEventListener("click", forget);
  line.append(remove);
  return [...drawn(kind, file, address), line];
}

function drawn(kind, file, address) {
  if (kind === "sound") return [player(file, address, file.name)];
  if (kind === "picture" || file.type === "image/gif") {
    const image = made("img");
    image.src = address;
    image.alt = file.name;
    return [image];
  }
  if (kind !== "film") return [];
  const film = made("video");
  film.controls = true;
  film.src = address;
  film.ariaLabel = file.name;
  return [film];
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1000))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function recordButton(take, say) {
  const button = made("button", "Record", "plain record");
  button.type = "button";
  let running = null;
  let timer = 0;
  if (!canRecord()) {
    button.disabled = true;
    button.title = "Browsers record only on pages that come over https.";
  }
  button.addEventListener("click", async () => {
    if (running) return running.stop();
    button.disabled = true;
    try {
      running = await record();
    } catch (error) {
      return say(`The microphone cannot be used: ${error.message}`);
    } finally {
      button.disabled = false;
    }
    const began = performance.now();
    const tell = () => (button.textContent = `Stop recording (${Math.round((performance.now() - began) / 1000)} s)`);
    timer = setInterval(tell, 500);
    tell();
    button.classList.add("running");
    try {
      take(await running.file);
    } catch {
      say("What was recorded cannot be read.");
    } finally {
      clearInterval(timer);
      running = null;
      button.textContent = "Record";
      button.classList.remove("running");
    }
  });
  return button;
}
