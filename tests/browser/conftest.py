"""A real Chromium, and a page that fails its test when it errs or talks to strangers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    Route,
    expect,
    sync_playwright,
)

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A microphone that hears beeps.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}

# Generous, because engines and tests share two cores; a page that is quick is not slowed by it.
SECONDS = 20
expect.set_options(timeout=SECONDS * 1000)

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser per file. Playwright's own loop counts as running while it is open, so it must
    be closed again before asynchronous tests of other files begin."""
    with sync_playwright() as playwright:
        yield from _launched(playwright)


def _launched(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(
        executable_path=shutil.which("chromium"), args=ARGUMENTS, headless=True
    )
    yield browser
    browser.close()


class Watch:
    """What must not happen on any page: errors, and requests to other hosts."""

    def __init__(self, context: BrowserContext, host: str) -> None:
        self.host = host
        self.strangers: list[str] = []
        self.errors: list[str] = []
        context.on("request", lambda request: self._address(request.url))
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        context.on("console", self._console)

    def _address(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != self.host:
            self.strangers.append(url)

    def _console(self, message: Any) -> None:
        # Markup that the sanitiser takes apart may hit the policy on the way: that is the policy at
        # work, not an error.
        refused = ("has been blocked", "requires 'TrustedScript'")
        if message.type == "error" and not any(words in message.text for words in refused):
            self.errors.append(message.text)


def reload_without_script(page: Page, name: str) -> Callable[[], None]:
    """Load a page anew while its own script (`home`, `model`) is still on its way; it comes when
    what is returned is called."""
    held: list[Route] = []
    address = re.compile(rf"/{name}(\.\w+)?\.js$")
    page.route(address, lambda route: held.append(route))
    with page.expect_request(address):
        page.reload(wait_until="commit")

    def come() -> None:
        for route in held:
            route.continue_()

    return come


@pytest.fixture
def visit(browser: Browser) -> Iterator[OpenPage]:
    """Open any address as a first-time visitor: `visit(url, viewport=PHONE)`."""
    opened: list[tuple[BrowserContext, Watch | None]] = []

    def open_it(url: str, watched: bool = True, **options: Any) -> Page:
        # What moves is drawn by the two cores that all else runs on.
        calm = {"viewport": DESKTOP, "reduced_motion": "reduce"}
        context = browser.new_context(**calm | options)
        watch = Watch(context, urlsplit(url).netloc) if watched else None
        opened.append((context, watch))
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.goto(url)
        return page

    yield open_it
    for context, watch in opened:
        context.close()
        if watch is not None:
            assert watch.strangers == []
            assert watch.errors == []


@pytest.fixture
def open_page(visit: OpenPage, server: Any) -> OpenPage:
    """Open the playground as a first-time visitor: `open_page(viewport=PHONE)`."""

    def open_it(model: str = "echo", **options: Any) -> Page:
        page = visit(server.url, **options)
        page.locator(f"#model option[value='{model}']").wait_for(state="attached")
        page.select_option("#model", model)
        return page

    return open_it


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The playground, on a desktop."""
    return open_page()
