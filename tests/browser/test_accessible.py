"""By keyboard alone, on a phone, read by a machine, from right to left: and axe finds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.api.environments import node_folder
from tests.browser.conftest import PHONE
from tests.browser.test_conversation import answers, ask, finished

pytestmark = pytest.mark.browser

SAMPLE = """# Title

| a | b |
| --- | ---: |
| 1 | 2 |

```python
def greet(name: str) -> str:  # says hello
    return f"Hello {name}" * 42
```

Inline $a^2$ and

$$\\int_0^1 x\\,dx = \\frac{1}{2}$$
"""
DRAW = """async (text) => {
  const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  const url = loaded.find((name) => /\\/markdown\\.\\w+\\.js$/.test(name));
  const { MarkdownView } = await import(url);
  const element = document.querySelector(".turn.answer .markdown");
  element.replaceChildren();
  new MarkdownView(element).finish(text);
}"""


@pytest.fixture(scope="module")
def axe() -> Iterator[str]:
    yield (Path(node_folder()) / "node_modules" / "axe-core" / "axe.min.js").read_text()


def serious(page: Page, axe: str) -> list[str]:
    """What axe calls serious or critical on the page as it stands."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [
        f"{each['id']}: {[node['html'][:150] for node in each['nodes']]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("options", [{}, {"viewport": PHONE, "color_scheme": "dark"}])
def test_axe_finds_nothing_serious(
    open_page: Callable[..., Page], axe: str, options: dict[str, Any]
) -> None:
    page = open_page(**options)
    assert serious(page, axe) == []
    ask(page, "hello")
    finished(page)
    page.evaluate(DRAW, SAMPLE)
    expect(page.locator(".katex-display")).to_be_visible()
    expect(page.locator(".hljs-keyword").first).to_be_visible()
    assert serious(page, axe) == []
    for key in ("Alt+KeyP", "Alt+KeyC", "Alt+KeyK"):
        page.keyboard.press(key)
        assert serious(page, axe) == [], key
        page.keyboard.press("Escape" if key != "Alt+KeyC" else key)


def test_a_phone_sized_visit_by_keyboard_alone(open_page: Callable[..., Page]) -> None:
    page = open_page("echo-slow", viewport=PHONE)
    page.keyboard.press("Tab")
    page.keyboard.press("/")
    expect(page.get_by_label("Your message")).to_be_focused()
    page.keyboard.type(" ".join(["word"] * 100))
    page.keyboard.press("Enter")
    expect(answers(page)).to_contain_text("1:word")
    page.keyboard.press("Escape")
    finished(page)
    page.keyboard.press("Alt+KeyM")
    expect(page.locator("#model")).to_be_focused()
    page.keyboard.type("echo")
    page.keyboard.press("Alt+KeyN")
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.get_by_label("Your message")).to_be_focused()
    page.keyboard.press("Alt+KeyP")
    expect(page.get_by_label("System prompt")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_label("System prompt")).to_be_hidden()


def test_the_list_of_keys_is_a_key_away(page: Page) -> None:
    page.get_by_role("button", name="New chat").focus()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("new chat")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_question_marks_and_slashes_can_be_typed(page: Page) -> None:
    page.get_by_label("Your message").press_sequentially("and/or?")
    expect(page.get_by_label("Your message")).to_have_value("and/or?")


def test_text_from_right_to_left_stands_on_the_right(page: Page) -> None:
    ask(page, "مرحبا بالعالم")
    finished(page)
    said = page.locator(".said")
    assert said.evaluate("element => getComputedStyle(element).direction") == "rtl"
    page.evaluate(DRAW, "שלום עולם\n\nhello")
    directions = page.locator(".markdown p").evaluate_all(
        "all => all.map((element) => getComputedStyle(element).direction)"
    )
    assert directions == ["rtl", "ltr"]


def test_a_machine_that_reads_hears_what_is_new(page: Page) -> None:
    log = page.get_by_role("log", name="Conversation")
    ask(page, "hello")
    finished(page)
    expect(log).to_have_attribute("aria-busy", "false")
    expect(log.get_by_role("article", name="Answer")).to_contain_text("0:hello")
