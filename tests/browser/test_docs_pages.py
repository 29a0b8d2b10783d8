"""The pages below /docs: on every screen, in both colours, read by machines; programs copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.api.environments import node_folder
from tests.browser.conftest import PHONE, OpenPage
from tests.browser.test_accessible import serious
from tests.servers import RunningServer

pytestmark = pytest.mark.browser
PATHS = ("/docs", "/docs/waiting", "/docs/limits", "/docs/errors")


@pytest.fixture(scope="module")
def axe() -> Iterator[str]:
    yield (Path(node_folder()) / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.mark.parametrize("options", [{}, {"viewport": PHONE, "color_scheme": "dark"}])
def test_every_page_can_be_read(
    visit: OpenPage, server: RunningServer, axe: str, options: dict[str, Any]
) -> None:
    page = visit(server.url, **options)
    for path in PATHS:
        answer = page.goto(server.url + path)
        assert answer is not None and "unsafe" not in answer.headers["content-security-policy"]
        if path == "/docs":
            expect(page.locator(".hljs-keyword").first).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator(".contents [aria-current=page]")).to_have_count(1)
        width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], path
        assert serious(page, axe) == [], path


def test_a_program_is_copied_as_it_stands(visit: OpenPage, server: RunningServer) -> None:
    page = visit(f"{server.url}/docs")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    program = page.locator("#example-openai_stream")
    expect(program.locator(".hljs-keyword").first).to_be_visible()
    page.locator(".program", has=program).get_by_role("button", name="Copy the program").click()
    copied: str = page.evaluate("navigator.clipboard.readText()")
    assert copied == program.inner_text() and f'base_url="{server.url}/v1"' in copied


def test_the_way_there_and_back(visit: OpenPage, server: RunningServer) -> None:
    page = visit(server.url)
    page.get_by_role("button", name="Show code").click()
    page.get_by_role("link", name="More ways to call it").click()
    expect(page).to_have_title("Docs · LLMs for all")
    for name, title in (("Queue and turns", "Queue"), ("Limits", "Limits"), ("Errors", "Errors")):
        page.get_by_role("navigation", name="Documentation").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(title)
    page.get_by_role("link", name="Docs").click()
    page.get_by_role("link", name="LangChain and LiteLLM").click()
    expect(page.get_by_role("heading", name="LangChain and LiteLLM")).to_be_in_viewport()
