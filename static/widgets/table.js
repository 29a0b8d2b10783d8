// The control for a table: a cell is an input; what is pasted from a spreadsheet fills it.

import { made } from "../words.js";

export function tableControl(spec) {
  const element = made("div", "", "table-control");
  const table = made("table");
  const wide = made("div", "", "wide");
  element.tabIndex = -1;
  wide.append(table);
  element.append(wide, buttons());
  let rows = rowsOf(spec.example ?? { "": [""] });
  draw();

  function buttons() {
    const frame = made("div", "", "buttons");
    const add = (words, change) => {
      const button = made("button", words, "plain");
      button.type = "button";
      button.addEventListener("click", () => {
        change();
        draw();
        changed();
      });
      frame.append(button);
    };
    add("Add a row", () => rows.push(rows[0].map(() => "")));
    add("Add a column", () => rows.forEach((row) => row.push("")));
    add("Remove the last row", () => rows.length > 2 && rows.pop());
    add("Remove the last column", () => rows[0].length > 1 && rows.forEach((row) => row.pop()));
    return frame;
  }

  function draw() {
    table.replaceChildren(
      ...rows.map((row, y) => {
        const line = made("tr");
        line.append(...row.map((text, x) => cell(text, x, y)));
        return line;
      }),
    );
  }

  function cell(text, x, y) {
    const place = made(y ? "td" : "th");
    const own = made("input");
    own.value = text;
    own.ariaLabel = y ? `Row ${y}, column ${x + 1}` : `Name of column ${x + 1}`;
    own.addEventListener("input", () => (rows[y][x] = own.value));
    own.addEventListener("paste", (event) => {
      const pasted = event.clipboardData.getData("text").replace(/\r?\n$/, "");
      if (!/[\t\n]/.test(pasted)) return;
      event.preventDefault();
      fill(pasted.split(/\r?\n/).map((line) => line.split("\t")), x, y);
    });
    place.append(own);
    return place;
  }

  function fill(pasted, x, y) {
    const width = Math.max(rows[0].length, x + Math.max(...pasted.map((line) => line.length)));
    while (rows.length < y + pasted.length) rows.push([]);
    rows = rows.map((row) => [...row, ...Array(width - row.length).fill("")]);
    pasted.forEach((line, down) => line.forEach((text, right) => (rows[y + down][x + right] = text)));
    draw();
    changed();
  }

  function changed() {
    element.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function read() {
    const named = rows[0].map((name, x) => [name.trim(), x]).filter(([name]) => name);
    if (!named.length) return undefined;
    return Object.fromEntries(named.map(([name, x]) => [name, rows.slice(1).map((row) => row[x])]));
  }

  const problem = () => {
    const names = rows[0].map((name) => name.trim()).filter(Boolean);
    return new Set(names).size < names.length ? "Two columns have the same name." : "";
  };
  return { input: element, isGroup: true, read, problem };
}

// The names of the columns first.
function rowsOf(columns) {
  const names = Object.keys(columns);
  const tall = Math.max(...Object.values(columns).map((each) => each.length));
  return [names, ...Array.from({ length: tall }, (_, y) => names.map((name) => columns[name][y] ?? ""))];
}
