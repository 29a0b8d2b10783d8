// Copy buttons.

const SHOWN_FOR = 1600;

export async function copy(text) {
  // `navigator.clipboard` exists over https and on localhost only; a server in the house is neither.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "off-screen";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

// Make `button` copy what `text()` gives, and show for a moment that it did.
export function copies(button, text) {
  const use = button.querySelector("use");
  button.addEventListener("click", async () => {
    await copy(text());
    use.setAttribute("href", "#icon-check");
    setTimeout(() => use.setAttribute("href", "#icon-copy"), SHOWN_FOR);
  });
}

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

export function copyButton(label, text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "tool round small copy";
  button.title = label;
  button.setAttribute("aria-label", label);
  button.append(icon("copy"));
  copies(button, text);
  return button;
}
