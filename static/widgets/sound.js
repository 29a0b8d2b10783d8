// Sounds: heard by the microphone, written as WAV, seen as a wave.

import { made } from "../words.js";

// What most models hear; a recording in it is small and needs no decoder at the server.
const RATE = 16000;
const HEAD = 44;
// How often a recording hands over what it has heard.
const PIECE_MS = 100;
// A microphone that is silent for longer after it was opened is taken for a broken one.
const OPENING_MS = 5000;
const WIDTH = 600;
const HEIGHT = 64;

export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && globalThis.MediaRecorder);

// Records until `stop`; then the promise has the file. A microphone takes a moment to open, and a recording stopped
// before that would be empty: it counts as begun when something was heard.
export async function record() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(stream);
  const pieces = [];
  const ended = new Promise((resolve) => {
    recorder.addEventListener("dataavailable", ({ data }) => pieces.push(data));
    // It also comes after an error; what was heard until then is kept.
    recorder.addEventListener("stop", () => {
      for (const track of stream.getTracks()) track.stop();
      resolve(new Blob(pieces));
    });
  });
  const begun = new Promise((resolve, reject) => {
    recorder.addEventListener("dataavailable", ({ data }) => data.size && resolve());
    recorder.addEventListener("error", ({ error }) => reject(error));
    setTimeout(() => reject(new Error("it gives no sound")), OPENING_MS);
  });
  const stop = () => recorder.state === "inactive" || recorder.stop();
  recorder.start(PIECE_MS);
  try {
    await begun;
  } catch (error) {
    stop();
    throw error;
  }
  return { file: ended.then(asWav), stop };
}

// A sound as most models take it.
export async function asWav(blob) {
  const heard = await decoded(blob, RATE);
  return new File([wav(mono(heard), RATE)], "recording.wav", { type: "audio/wav" });
}

// An offline context decodes to its own rate, and opens no device.
async function decoded(blob, rate) {
  return new OfflineAudioContext(1, 1, rate).decodeAudioData(await blob.arrayBuffer());
}

function mono(buffer) {
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, i) => buffer.getChannelData(i));
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, at) => channels.reduce((sum, each) => sum + each[at], 0) / channels.length);
}

function wav(samples, rate) {
  const bytes = new DataView(new ArrayBuffer(HEAD + 2 * samples.length));
  const word = (at, text) => [...text].forEach((letter, i) => bytes.setUint8(at + i, letter.charCodeAt(0)));
  word(0, "RIFF");
  bytes.setUint32(4, HEAD - 8 + 2 * samples.length, true);
  word(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true);
  bytes.setUint16(22, 1, true);
  bytes.setUint32(24, rate, true);
  bytes.setUint32(28, 2 * rate, true);
  bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  word(36, "data");
  bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((each, i) => bytes.setInt16(HEAD + 2 * i, Math.max(-1, Math.min(1, each)) * 0x7fff, true));
  return bytes.buffer;
}

// A player with the wave above it; a browser that cannot decode the sound may play it all the same.
export function player(blob, address, name) {
  const frame = made("div", "", "player");
  const audio = made("audio");
  audio.controls = true;
  audio.src = address;
  audio.ariaLabel = name;
  frame.append(audio);
  drawWave(frame, audio, blob).catch(() => frame.classList.add("without-wave"));
  return frame;
}

async function drawWave(frame, audio, blob) {
  const samples = mono(await decoded(blob, RATE));
  const canvas = made("canvas", "", "wave");
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  canvas.setAttribute("role", "img");
  canvas.ariaLabel = `The wave of ${(samples.length / RATE).toFixed(1)} seconds of sound`;
  frame.prepend(canvas);
  const peaks = peaksOf(samples);
  const draw = () => paint(canvas, peaks, audio.duration ? audio.currentTime / audio.duration : 0);
  audio.addEventListener("timeupdate", draw);
  canvas.addEventListener("click", ({ offsetX }) => {
    if (audio.duration) audio.currentTime = (offsetX / canvas.clientWidth) * audio.duration;
  });
  draw();
}

function peaksOf(samples) {
  const step = Math.max(1, samples.length / (WIDTH / 3));
  const count = Math.floor(samples.length / step);
  return Array.from({ length: count }, (_, i) => {
    const piece = samples.subarray(i * step, (i + 1) * step);
    return piece.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
  });
}

function paint(canvas, peaks, played) {
  const style = getComputedStyle(canvas);
  const pen = canvas.getContext("2d");
  const most = Math.max(...peaks, 0.01);
  pen.clearRect(0, 0, WIDTH, HEIGHT);
  peaks.forEach((peak, i) => {
    const tall = Math.max(1, (peak / most) * (HEIGHT - 4));
    pen.fillStyle = i / peaks.length < played ? style.accentColor : style.color;
    pen.fillRect(i * 3, (HEIGHT - tall) / 2, 2, tall);
  });
}
