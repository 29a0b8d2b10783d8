// What the browser keeps: the conversation for as long as the tab, the colours for good.

const CONVERSATION = "conversation";

export function remember(state) {
  try {
    sessionStorage.setItem(CONVERSATION, JSON.stringify(state));
  } catch {
    // Storage may be forbidden, or too small for the pictures; the page works without it.
  }
}

// What the tab showed before it was loaded anew.
export function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(CONVERSATION)) ?? {};
  } catch {
    return {};
  }
}

export function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
}
