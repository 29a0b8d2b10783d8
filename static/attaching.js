// Files of a person as parts of a message: pictures of bounded size, sounds in a form that models take.

// Larger pictures are made smaller: models look at no more, and a message has its limit.
const LONGEST_SIDE = 1024;
const QUALITY = 0.85;
const FORMATS = { "audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3" };

export const isSound = ({ type }) => type.startsWith("audio/");

// Rejects what a browser cannot read.
export function partOf(file) {
  return isSound(file) ? soundPart(file) : picturePart(file);
}

// A JPEG; what the picture held beside pixels is gone.
async function picturePart(file) {
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
  return { type: "image_url", image_url: { url: canvas.toDataURL("image/jpeg", QUALITY) } };
}

// WAV and MP3 go as they are; other sounds are written anew.
async function soundPart(file) {
  let format = FORMATS[file.type];
  if (!format) {
    const { asWav } = await import("./widgets/sound.js");
    file = await asWav(file);
    format = "wav";
  }
  return { type: "input_audio", input_audio: { data: await base64(file), format } };
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}
