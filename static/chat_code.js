// The page of a chat model: how to ask it from a program, in code that runs as it stands.

import { copyButton } from "./clipboard.js";
import { WRITERS } from "./snippets.js";
import { tabs } from "./widgets/tabs.js";
import { made } from "./words.js";

const LANGUAGES = [
  ["Python", "python"],
  ["curl", "curl"],
  ["JavaScript", "javascript"],
  ["LangChain", "langchain"],
];
const QUESTION = "What is the capital of France?";

export function drawCode(place, { model, keys }) {
  const text = made("pre", "", "code-text");
  text.id = "code-text";
  text.tabIndex = 0;
  const call = {
    base: `${location.origin}/v1`,
    key: keys ? "YOUR_API_KEY" : "",
    body: { model, messages: [{ role: "user", content: QUESTION }] },
  };
  const head = made("div", "", "code-head");
  const names = LANGUAGES.map(([name]) => name);
  head.append(
    tabs("Language", names, text, (index) => {
      text.textContent = WRITERS[LANGUAGES[index][1]](call);
    }),
    copyButton("Copy the code", () => text.textContent),
  );
  place.append(head, text);
}
