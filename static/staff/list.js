// The list of models: its columns of what models do are kept up to date.

import { watch } from "./watch.js";
import { stateParts } from "./words.js";

const QUIET = { state: "unloaded", detail: "", running: 0, waiting: 0, progress: null, ready_in: null };
const cells = [...document.querySelectorAll("[data-model]")];

watch(({ models }) => {
  const known = new Map(models.map((model) => [model.id, model]));
  for (const cell of cells) {
    const model = known.get(cell.dataset.model) ?? QUIET;
    if (cell.dataset.show === "state") cell.replaceChildren(...stateParts(model));
    else cell.textContent = `${model.running} / ${model.waiting}`;
  }
});
