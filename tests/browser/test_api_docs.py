"""The API's description in a real browser: it renders under our policy, and its examples run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DESKTOP, SECONDS, Watch
from tests.servers import RunningServer

pytestmark = pytest.mark.browser


@pytest.fixture
def docs(browser: Browser, server: RunningServer) -> Iterator[Page]:
    """The page, rendered. It fails its test when it errs or talks to strangers."""
    context = browser.new_context(viewport=DESKTOP)
    watch = Watch(context, urlsplit(server.url).netloc)
    page = context.new_page()
    page.set_default_timeout(SECONDS * 1000)
    answer = page.goto(f"{server.url}/docs/api")
    assert answer is not None and "unsafe" not in answer.headers["content-security-policy"]
    page.locator(".opblock").first.wait_for()
    yield page
    context.close()
    assert watch.strangers == []
    assert watch.errors == []


def test_every_operation_is_shown(docs: Page, server: RunningServer) -> None:
    described = docs.request.get(f"{server.url}/v1/openapi.json").json()
    count = sum(len(methods) for methods in described["paths"].values())
    expect(docs.locator(".opblock")).to_have_count(count)


@pytest.mark.parametrize("operation", ["create_completion", "create_chat_completion"])
def test_an_example_runs(docs: Page, operation: str) -> None:
    block = docs.locator(f"[id$='-{operation}']")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    answer = block.locator(".live-responses-table .response")
    expect(answer.locator(".response-col_status")).to_contain_text("200")
    said = answer.locator(".response-col_description .highlight-code code").first.inner_text()
    assert json.loads(said)["choices"][0]["finish_reason"] == "stop"
