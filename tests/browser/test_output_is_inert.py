"""What a model says is text: no script of it runs, and nothing of it leaves for another host.

The echo model says the prompt back, so each sample comes out of a model.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SAMPLES = [
    "<script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>",
    "<img src=https://evil.example/pixel.png>",
    "![pixel](https://evil.example/pixel.png)",
    "![x](x'onerror='window.hit=1)",
    "<svg onload=window.hit=1><animate onbegin=window.hit=1></svg>",
    "<svg><script>window.hit=1</script></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.hit=1>",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "<iframe src=https://evil.example/></iframe>",
    "<object data=https://evil.example/></object>",
    "<embed src=https://evil.example/>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>@import'https://evil.example/x.css';body{display:none}</style>",
    "<p style=position:fixed;inset:0;background:url(https://evil.example/)>x</p>",
    "<form action=https://evil.example/><button autofocus>x</button></form>",
    "<video src=https://evil.example/ autoplay onerror=window.hit=1></video>",
    "<details open ontoggle=window.hit=1><summary>x</summary></details>",
    "<input autofocus onfocus=window.hit=1>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content=0;url=https://evil.example/>",
    "<a href=javascript:window.hit=1>click</a>",
    "[click](javascript:window.hit=1)",
    "[click](JaVaScRiPt&#58;window.hit=1)",
    "[click](data:text/html,<script>window.hit=1</script>)",
    "<a href=vbscript:window.hit=1>click</a>",
    "`<img src=x onerror=window.hit=1>`",
    '```x" onmouseover="window.hit=1\nx\n```',
    "<noscript><p title='</noscript><img src=x onerror=window.hit=1>'>",
    "<template><img src=x onerror=window.hit=1></template>",
    "<div id=prompt name=prompt class=composer>x</div>",
    "<a id=model-state href=https://evil.example/ target=_self>x</a>",
    "$\\href{javascript:window.hit=1}{click}$",
    "$$\\includegraphics{https://evil.example/pixel.png}$$",
    "$\\htmlStyle{position:fixed}{x} \\htmlData{x=<img src=x onerror=window.hit=1>}{y}$",
    "$\\text{<img src=x onerror=window.hit=1>}$",
    "```html\n<script>window.hit=1</script>\n```",
    "```math\n\\url{javascript:window.hit=1}\n```",
]
# Where a sample may stand.
PLACES = ("{}", "- {}", "> {}", "| a |\n| - |\n| {} |", "**{}**", "[{}](https://example.org/)")
FORBIDDEN = ", ".join(
    f".markdown {name}"
    for name in (
        *(
            "script",
            "img",
            "style",
            "link",
            "iframe",
            "object",
            "embed",
            "svg:not(.icon, .katex *)",
        ),
        *("form", "input", "video", "base", "meta", "template", "[id]"),
        # Formulas are drawn by their library, which writes no markup.
        *("math:not(.katex *)", "[style]:not(.katex *)", ".katex a", ".katex img"),
        *("[onerror]", "[onload]", "[onclick]", "[srcdoc]", "a:not([rel*=noopener])"),
        *("a[href^='javascript' i]", "a[href^='data' i]", "a[href^='vbscript' i]"),
    )
)


# The page's own module, found among what the page has loaded.
MODULE = """const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  const url = loaded.find((name) => /\\/markdown\\.\\w+\\.js$/.test(name));
  const { MarkdownView } = await import(url);"""

# Draws each sample as it grows by one character after the other.
DRAW = f"""async ([samples]) => {{
  {MODULE}
  const place = document.getElementById("conversation");
  for (const sample of samples) {{
    const element = document.createElement("div");
    element.className = "markdown";
    place.append(element);
    const view = new MarkdownView(element);
    for (let end = 1; end <= sample.length; end += 1) view.show(sample.slice(0, end));
  }}
  await new Promise((done) => setTimeout(done, 100));
}}"""


def test_output_is_inert(page: Page) -> None:
    box = page.get_by_label("Your message")
    for count, sample in enumerate(SAMPLES, 1):
        box.fill(f"start\n\n{sample}\n\nend")
        box.press("Enter")
        expect(page.locator(".turn.answer:not([aria-busy])")).to_have_count(count)
        page.locator(".markdown").last.hover()
        assert page.evaluate("window.hit") is None, sample
    expect(page.locator(FORBIDDEN)).to_have_count(0)
    assert all(link.get_attribute("target") for link in page.locator(".markdown a").all())


def test_all_samples_drawn_as_they_are_written_are_inert(page: Page) -> None:
    """As raw text, without the numbers that echo puts between words, cut after each character."""
    page.evaluate(DRAW, [SAMPLES])
    assert page.evaluate("window.hit") is None
    expect(page.locator(FORBIDDEN)).to_have_count(0)


@pytest.mark.slow
def test_200_payloads_cut_after_each_character_are_inert(page: Page) -> None:
    payloads = [place.format(sample) for place in PLACES for sample in SAMPLES]
    assert len(payloads) > 200
    for start in range(0, len(payloads), 20):
        page.evaluate(DRAW, [payloads[start : start + 20]])
    assert page.evaluate("window.hit") is None
    expect(page.locator(FORBIDDEN)).to_have_count(0)


# The same page with a sanitiser that lets everything through.
OFF = """export default {
  addHook() {},
  sanitize(html) {
    const policy = trustedTypes.createPolicy("dompurify", { createHTML: (text) => text });
    this.sanitize = (text) => {
      const range = document.createRange();
      return range.createContextualFragment(policy.createHTML(text));
    };
    return this.sanitize(html);
  },
};"""


def test_without_the_sanitiser_the_policy_alone_holds(
    open_page: Callable[..., Page], server: object
) -> None:
    page = open_page(watched=False)
    left: list[str] = []
    page.on("response", lambda response: left.append(response.url))
    page.route(
        "**/vendor/dompurify.*.js",
        lambda route: route.fulfill(body=OFF, content_type="text/javascript"),
    )
    page.reload()
    page.locator("#model option[value='echo']").wait_for(state="attached")
    # A meta refresh is navigation, which no policy covers: only the sanitiser holds that.
    samples = [sample for sample in SAMPLES if "meta" not in sample]
    page.evaluate(DRAW, [samples])
    assert page.evaluate("window.hit") is None
    assert not [url for url in left if "evil.example" in url]


def test_markdown_is_drawn(page: Page) -> None:
    text = "# Title\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n- **bold** [x](https://example.org/)\n"
    text += "\n7. seven\n\n| c |\n| -: |\n| 3 |\n\n$x^2$ costs $5 or $6\n"
    page.evaluate(DRAW, [[text]])
    drawn = page.locator(".markdown")
    for selector in ("h1", "table td", "li strong", "a[href='https://example.org/']"):
        expect(drawn.locator(selector).first).to_be_visible()
    for selector in ("ol[start='7']", "td[align='right']", ".katex"):
        expect(drawn.locator(selector)).to_have_count(1)
    expect(drawn).to_contain_text("costs $5 or $6")


def test_blocks_that_are_complete_keep_their_place_in_the_document(page: Page) -> None:
    kept = page.evaluate(
        f"""async () => {{
          {MODULE}
          const element = document.createElement("div");
          const view = new MarkdownView(element);
          view.show("first\\n\\nsec");
          const node = element.firstElementChild;
          view.show("first\\n\\nsecond");
          return element.firstElementChild === node && element.children.length === 2;
        }}"""
    )
    assert kept
