// The memory of devices, as bars with a piece for each model on them.

import { made } from "./words.js";

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];
// A name of which two letters can be seen says less than none.
const NAMED_PART = 0.08;

export function bytes(count) {
  const step = count ? Math.min(UNITS.length - 1, Math.floor(Math.log2(count) / 10)) : 0;
  const value = count / 1024 ** step;
  return `${step && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[step]}`;
}

export function deviceBar(device, residents) {
  const element = made("li", "", "device");
  const used = device.memory_bytes - device.free_bytes;
  const bar = made("div", "", "memory");
  bar.setAttribute("role", "img");
  bar.ariaLabel = `${bytes(used)} of ${bytes(device.memory_bytes)} in use`;
  for (const { model, state, devices, bytes_per_device: size } of residents) {
    if (!devices.includes(device.id)) continue;
    const part = size / device.memory_bytes;
    const piece = made("span", part < NAMED_PART ? "" : model, "piece");
    piece.dataset.state = state;
    piece.title = `${model}: ${bytes(size)}`;
    piece.style.width = `${100 * part}%`;
    bar.append(piece);
  }
  const line = made("p", "", "device-line");
  line.append(made("strong", device.id), made("span", device.name), made("span", bar.ariaLabel, "share"));
  element.append(line, bar);
  return element;
}
