// Bytes on their way between a person, a page and a model.

// What each kind of control takes, and what a program's file is called while none is chosen.
export const KINDS = {
  picture: { accepts: "image/png,image/jpeg,image/webp,image/gif", family: "image/", name: "picture.png", type: "image/png", word: "a picture" },
  sound: { accepts: "audio/*,.wav,.flac,.mp3,.ogg,.opus,.aiff,.caf", family: "audio/", name: "sound.wav", type: "audio/wav", word: "a sound" },
  film: { accepts: "video/*,image/gif,.mkv,.avi", family: "video/", name: "film.mp4", type: "video/mp4", word: "a video" },
  file: { accepts: "", family: "", name: "file.bin", type: "application/octet-stream", word: "a file" },
};
// Only what a browser draws and never runs.
const DRAWN = /^(image\/(png|jpeg|webp|gif)|audio\/[\w.+-]+|video\/[\w.+-]+)$/;
const PIECE = 0x8000;

// A file that is asked about; without a blob it stands for one that was not chosen yet.
export class Medium {
  constructor(kind, file = null) {
    this.kind = kind;
    this.blob = file;
    this.name = file?.name || KINDS[kind].name;
    this.type = file?.type || KINDS[kind].type;
  }

  // Of what travels: base64 is four letters for three bytes.
  get size() {
    return this.blob ? Math.ceil(this.blob.size / 3) * 4 : 0;
  }

  async base64() {
    const bytes = new Uint8Array(await this.blob.arrayBuffer());
    let text = "";
    for (let at = 0; at < bytes.length; at += PIECE) text += String.fromCharCode(...bytes.subarray(at, at + PIECE));
    return btoa(text);
  }
}

// The bytes of an answer. A type that a browser might run is not believed.
export function blobOf(base64, type) {
  const text = atob(base64);
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: DRAWN.test(type) ? type : "application/octet-stream" });
}

// Addresses of blobs hold their memory until they are taken back: those of one place, all at once.
export class Addresses {
  #known = [];

  of(blob) {
    this.#known.push(URL.createObjectURL(blob));
    return this.#known.at(-1);
  }

  release() {
    for (const each of this.#known.splice(0)) URL.revokeObjectURL(each);
  }
}

// A picture that has its size.
export async function picture(address, alt) {
  const image = new Image();
  image.src = address;
  image.alt = alt;
  await image.decode();
  return image;
}

// All media inside of a value.
export function mediaIn(value) {
  if (value instanceof Medium) return [value];
  return value && typeof value === "object" ? Object.values(value).flatMap(mediaIn) : [];
}

// The value with each medium replaced by what `each` makes of it.
export function replaced(value, each) {
  if (value instanceof Medium) return each(value);
  if (Array.isArray(value)) return value.map((inner) => replaced(inner, each));
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, replaced(inner, each)]));
}

// The body as JSON, media in base64.
export async function encoded(body) {
  const texts = new Map();
  for (const medium of mediaIn(body)) texts.set(medium, await medium.base64());
  return JSON.stringify(replaced(body, (medium) => texts.get(medium)));
}
