// Formulas. The library, its sheet and its fonts are loaded when there is the first one to draw.

let loading = null;

function sheet() {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = document.querySelector(".playground, .shared").dataset.mathSheet;
  return new Promise((done) => {
    link.addEventListener("load", done);
    link.addEventListener("error", done);
    document.head.append(link);
  });
}

async function library() {
  loading ??= Promise.all([import("./vendor/katex.js"), sheet()]);
  return (await loading)[0].default;
}

// `\$…\$` stays text until the library is there; what it cannot read stays so for good.
export async function drawMath(root) {
  const places = [...root.querySelectorAll("code.language-math-inline, pre > code.language-math")];
  if (!places.length) return;
  const katex = await library();
  for (const code of places) {
    const displayMode = code.parentElement?.localName === "pre";
    const place = document.createElement(displayMode ? "div" : "span");
    place.className = displayMode ? "formula" : "formula inline";
    // Formulas may name no address and no size beyond the page.
    const options = { displayMode, throwOnError: true, trust: false, maxSize: 20, maxExpand: 200, strict: "ignore" };
    try {
      katex.render(code.textContent, place, options);
    } catch (error) {
      if (!(error instanceof katex.ParseError)) throw error;
      code.title = error.message;
      continue;
    }
    (displayMode ? code.closest(".code-block") ?? code.parentElement : code).replaceWith(place);
  }
}
