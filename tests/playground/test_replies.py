"""Counting, pacing and sending one answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from inference import requests
from playground.consumers import ChatConsumer
from playground.replies import Outbox, Pace, Tally


def test_pace_allows_a_burst_and_then_so_many_a_second() -> None:
    pace = Pace(burst=3, per_second=2.0)
    assert [pace.allows(100.0) for _ in range(4)] == [True, True, True, False]
    assert [pace.allows(101.0) for _ in range(3)] == [True, True, False]


def test_tally_measures_from_the_question_and_between_tokens() -> None:
    tally = Tally(started=10.0)
    for place in range(5):
        tally.count(requests.Output("x", (place,)), 12.0 + place)
    tally.count(requests.Output(usage=requests.Usage(3, 5)), 17.0)
    done = tally.finished()
    assert done["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    assert done["timings"] == {"ttft": 2.0, "tokens_per_second": 1.0}


def test_an_answer_without_text_has_no_timings() -> None:
    assert Tally(0.0).stopped()["timings"] == {"ttft": None, "tokens_per_second": None}


async def test_idle_outbox_sends_at_once_and_a_busy_one_sends_what_piled_up() -> None:
    sent: list[dict[str, Any]] = []
    gate = asyncio.Event()

    async def send(fields: dict[str, Any]) -> None:
        sent.append(fields)
        await gate.wait()

    outbox = Outbox(send)
    outbox.put("a", "", 1)
    await asyncio.sleep(0)
    for count, text in enumerate("bcd", 2):
        outbox.put(text, "", count)
    gate.set()
    await outbox.sent()
    assert sent == [{"text": "a", "tokens": 1}, {"text": "bcd", "tokens": 4}]


async def test_broken_connection_ends_the_answer() -> None:
    async def send(fields: dict[str, Any]) -> None:
        raise ConnectionError("gone")

    outbox = Outbox(send)
    outbox.put("a", "", 1)
    with pytest.raises(ConnectionError):
        await outbox.sent()


class Told(ChatConsumer):
    """A page that only listens, to a queue that moves as the test says."""

    def __init__(self, news: list[dict[str, Any]]) -> None:
        super().__init__()
        self.news = news
        self.heard: list[dict[str, Any]] = []

    def waiting_news(self, request_id: str) -> dict[str, Any]:
        return self.news.pop(0) if len(self.news) > 1 else self.news[0]

    async def say(self, **fields: Any) -> None:
        self.heard.append(fields)


async def heard_while_waiting(
    monkeypatch: pytest.MonkeyPatch, settings: Any, news: list[dict[str, Any]], keepalive: float
) -> list[dict[str, Any]]:
    monkeypatch.setattr("playground.consumers.NEWS_SECONDS", 0.001)
    settings.KEEPALIVE_SECONDS = keepalive
    consumer = Told(news)
    task = asyncio.create_task(consumer.tell_waiting("a", "request"))
    async with asyncio.timeout(5):
        while len(consumer.news) > 1 or len(consumer.heard) < 2:
            await asyncio.sleep(0.001)
    task.cancel()
    return consumer.heard


async def test_waiting_is_told_only_when_it_changes(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    news = [{"position": 2}, {"position": 2}, {}, {"position": 1}, {}]
    heard = await heard_while_waiting(monkeypatch, settings, news, 1000)
    assert [frame["position"] for frame in heard] == [2, 1]


async def test_waiting_is_told_again_when_nothing_changes_for_long(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    heard = await heard_while_waiting(monkeypatch, settings, [{"position": 2}], 0.01)
    assert heard[0] == heard[1] == {"type": "waiting", "id": "a", "position": 2}
