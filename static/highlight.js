// Colours for code. The library is loaded when there is the first code to colour.

import DOMPurify from "./vendor/dompurify.js";

// Longer code stays as it is: colouring it would hold up the page.
const MOST = 30000;
const SPANS = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };

let loading = null;

async function library() {
  loading ??= import("./vendor/highlight.js");
  return (await loading).default;
}

export async function highlight(code, language) {
  const text = code.textContent;
  if (!language || text.length > MOST) return;
  const hljs = await library();
  // The code may have grown meanwhile: whoever let it grow asks again.
  if (!hljs.getLanguage(language) || code.textContent !== text) return;
  const { value } = hljs.highlight(text, { language, ignoreIllegals: true });
  code.replaceChildren(DOMPurify.sanitize(value, SPANS));
}
