// A row of tabs, moved through by arrow keys.

import { made } from "../words.js";

// `names` are what they say; `chosen(index)` is called for the first one at once.
export function tabs(label, names, panel, chosen) {
  const list = made("div", "", "tabs");
  list.setAttribute("role", "tablist");
  list.ariaLabel = label;
  const all = names.map((name, i) => {
    const tab = made("button", name);
    tab.type = "button";
    tab.id = `${panel.id}-tab-${i}`;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panel.id);
    tab.addEventListener("click", () => choose(i));
    return tab;
  });
  list.append(...all);
  panel.setAttribute("role", "tabpanel");
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const here = all.indexOf(document.activeElement);
    if (here >= 0) choose((here + step + all.length) % all.length).focus();
  });

  function choose(index) {
    all.forEach((tab, i) => {
      tab.ariaSelected = String(i === index);
      tab.tabIndex = i === index ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", all[index].id);
    chosen(index);
    return all[index];
  }

  choose(0);
  return list;
}
