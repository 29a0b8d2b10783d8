"""A first visit is light; a long conversation streams without holding up the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.test_conversation import ask, finished

pytestmark = pytest.mark.browser

MOST_BYTES = 300 * 1024


def transferred(page: Page) -> int:
    """Bytes over the network since the page was opened, headers and the page itself included."""
    return int(
        page.evaluate(
            """["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
              .filter(({ name }) => !name.endsWith(".woff2"))
              .reduce((sum, { transferSize }) => sum + transferSize, 0)"""
        )
    )


def test_a_first_visit_is_light(open_page: Callable[..., Page]) -> None:
    page = open_page()
    size = transferred(page)
    assert 20_000 < size <= MOST_BYTES, size
    names = page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    assert not [name for name in names if "katex" in name or "highlight." in name.rsplit("/", 2)[1]]


@pytest.mark.slow
def test_first_paint_is_within_a_second(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.reload()
    paint = page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
    )
    assert paint is not None and paint < 1000


PARAGRAPH = "The parrot, whose **feathers** are `green`, sings at 5 and flies far away. "
CODE = (
    "\n\n```python\nfor word in words:\n    print(word)\n```\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n"
)


def busiest(page: Page, work: Callable[[], None]) -> float:
    """Milliseconds of CPU of the longest task in the browser while `work` goes on.

    Not of time: a task that other programs keep from running would count for theirs.
    """
    session = page.context.new_cdp_session(page)
    events: list[dict[str, Any]] = []
    complete: list[Any] = []
    session.on("Tracing.dataCollected", lambda data: events.extend(data["value"]))
    session.on("Tracing.tracingComplete", lambda data: complete.append(data))
    session.send("Tracing.start", {"categories": "toplevel,devtools.timeline"})
    work()
    session.send("Tracing.end")
    while not complete:
        page.wait_for_timeout(50)
    tasks = [event["tdur"] for event in events if "RunTask" in event["name"] and "tdur" in event]
    assert len(tasks) > 100
    return float(max(tasks)) / 1000


@pytest.mark.slow
def test_no_task_over_50_ms_while_tokens_stream_into_a_long_conversation(page: Page) -> None:
    """10,000 tokens are there; then 100 a second come for ten seconds."""
    opened: list[WebSocketRoute] = []
    asked: list[str] = []

    def connect(line: WebSocketRoute) -> None:
        opened.append(line)
        line.on_message(lambda text: hear(json.loads(text)))
        model = {"id": "m", "state": "ready", "detail": "", "tier": "A", "context": None}
        counts = {"is_default": True, "running": 0, "waiting": 0, "pictures": False}
        empty: dict[str, Any] = {"parameters": [], "defaults": {}}
        line.send(json.dumps({"type": "models", "models": [model | counts | empty]}))

    def hear(frame: dict[str, Any]) -> None:
        if frame["type"] == "chat":
            asked.append(frame["id"])

    def say(text: str) -> None:
        frame = {"type": "token", "id": asked[-1], "text": text, "tokens": 1, "at": [0, 0, 0]}
        opened[-1].send(json.dumps(frame))

    page.route_web_socket("**/ws/chat", connect)
    page.reload()
    page.locator("#model option[value='m']").wait_for(state="attached")
    ask(page, "begin")
    expect(page.locator(".answer")).to_have_count(1)
    whole = (PARAGRAPH * 12 + CODE) * 40
    say(whole)
    expect(page.locator(".code-block")).to_have_count(40)
    expect(page.locator(".hljs-keyword").first).to_be_visible()
    words = (PARAGRAPH * 5 + CODE).split(" ") * 20

    def stream() -> None:
        for word in words[:1000]:
            say(f"{word} ")
            page.wait_for_timeout(8)

    longest = busiest(page, stream)
    usage = {"completion_tokens": 11000}
    timings = {"ttft": 1, "tokens_per_second": 100, "device_seconds": 1, "queue_seconds": 0}
    done = {"type": "done", "id": asked[-1], "usage": usage, "timings": timings}
    opened[-1].send(json.dumps({**done, "finish_reason": "stop", "model": "m"}))
    finished(page)
    assert longest <= 50
