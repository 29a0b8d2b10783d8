"""Counting, pacing and sending one answer."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from inference import requests
from playground import answers
from playground.answers import Asked, Owner, Place, Reader, Replies, Reply
from playground.replies import Pace, Tally, tell_waiting


def test_pace_allows_a_burst_and_then_so_many_a_second() -> None:
    pace = Pace(burst=3, per_second=2.0)
    assert [pace.allows(100.0) for _ in range(4)] == [True, True, True, False]
    assert [pace.allows(101.0) for _ in range(3)] == [True, True, False]


def test_tally_measures_from_the_question_and_between_tokens() -> None:
    tally = Tally(started=10.0)
    for place in range(5):
        tally.count(requests.Output("x", (place,)), 12.0 + place)
    tally.count(requests.Output(usage=requests.Usage(3, 5, 0, 1.5)), 17.0)
    done = tally.finished(0.25)
    assert done["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    assert done["timings"] == {
        "ttft": 2.0,
        "tokens_per_second": 1.0,
        "device_seconds": 0.25,
        "queue_seconds": 1.5,
    }


def test_an_answer_without_text_has_no_timings() -> None:
    timings = Tally(0.0).stopped(0.0)["timings"]
    assert (timings["ttft"], timings["tokens_per_second"]) == (None, None)


ASKED = Asked(Owner(None, "page"), "a", "ip:127.0.0.1")
START = Place()


class Page:
    """A connection as an answer sees it, and what was written on it."""

    def __init__(self) -> None:
        self.is_free = True
        self.heard: list[dict[str, Any]] = []
        self.left: list[Reader] = []

    def write(self, text: bytes) -> None:
        self.heard.append(json.loads(text))

    def reads(self, reply: Reply, place: Place = START) -> Reader:
        reader = Reader(reply, self, place, self.left.append)
        reply.readers += (reader,)
        reader.go_on()
        return reader


def test_free_line_gets_all_at_once_and_a_busy_one_what_piled_up() -> None:
    page, reply = Page(), Reply(ASKED)
    reader = page.reads(reply)
    reply.put("a", "", [], 1)
    page.is_free = False
    for count, text in enumerate("bcd", 2):
        reply.put(text, "", [], count)
    reply.end(type="done")
    assert len(page.heard) == 1
    page.is_free = True
    reader.go_on()
    assert page.heard == [
        {"type": "token", "id": "a", "text": "a", "tokens": 1, "at": [1, 0, 0]},
        {"type": "token", "id": "a", "text": "bcd", "tokens": 4, "at": [4, 0, 0]},
        {"type": "done", "id": "a"},
    ]
    assert page.left == [reader] and not reply.readers


def test_line_that_gets_full_in_the_middle_loses_nothing() -> None:
    page, reply = Page(), Reply(ASKED)
    write = page.write

    def fill(text: bytes) -> None:
        write(text)
        page.is_free = False

    page.write = fill  # type: ignore[method-assign]
    reader = page.reads(reply)
    for count in range(1, 4):
        reply.put(f"{count} ", "", [], count)
    reply.end(type="done")
    while not page.left:
        page.is_free = True
        reader.go_on()
    assert "".join(frame.get("text", "") for frame in page.heard) == "1 2 3 "
    assert [frame["type"] for frame in page.heard] == ["token", "token", "done"]


def test_frame_of_a_token_is_json_whatever_the_model_says() -> None:
    reply = Reply(Asked(Owner(None, "page"), 'a"\\\u2028', "ip:127.0.0.1"))
    page = Page()
    page.reads(reply)
    said = 'quote " back \\ new\nline \x00 \u2028 🦜 </script>'
    call = {"index": 0, "function": {"name": said, "arguments": "{}"}}
    reply.put(said, said, [call], 1)
    assert page.heard == [
        {
            "type": "token",
            "id": 'a"\\\u2028',
            "text": said,
            "reasoning": said,
            "tool_calls": [call],
            "tokens": 1,
            "at": [len(said), len(said), 1],
        }
    ]


def test_reader_may_begin_anywhere_in_what_was_said() -> None:
    reply = Reply(ASKED)
    said = [("🦜 par", "hm", []), ("rot", "", [{"index": 0}]), ("", "so", [{"index": 1}])]
    for count, (text, reasoning, calls) in enumerate(said, 1):
        reply.put(text, reasoning, calls, count)
    whole = reply.since(Place())
    assert whole and (whole.text, whole.reasoning) == ("🦜 parrot", "hmso")
    for place in itertools.product(range(9), range(5), range(3)):
        news = reply.since(Place(*place))
        assert (news.text if news else "") == "🦜 parrot"[place[0] :]
        assert (news.reasoning if news else "") == "hmso"[place[1] :]
        assert len(news.calls if news else ()) == 2 - place[2]
    assert reply.has(Place(8, 4, 2)) and not reply.has(Place(9, 0, 0))


def test_reader_that_leaves_hears_no_more_and_the_answer_goes_on() -> None:
    page, reply = Page(), Reply(ASKED)
    reader = page.reads(reply)
    reply.put("a", "", [], 1)
    reader.leave()
    reply.put("b", "", [], 2)
    assert [frame["text"] for frame in page.heard] == ["a"]
    assert page.left == [reader]
    page.reads(reply, Place(1))
    assert page.heard[-1]["text"] == "b"


async def forever(reply: Reply) -> None:
    reply.put("x" * 1000, "", [], 1)
    await asyncio.Event().wait()


def begin(replies: Replies, session: str, name: str = "a", account: str = "ip:1") -> Reply:
    return replies.start(Asked(Owner(None, session), name, account), forever)


async def test_an_answer_that_nobody_comes_back_for_is_ended() -> None:
    replies = Replies()
    reply = begin(replies, "one")
    replies.keep(reply, 0.01)
    assert reply.task is not None
    with pytest.raises(asyncio.CancelledError):
        await reply.task
    assert len(replies) == 0


async def test_an_answer_is_only_for_the_page_that_asked() -> None:
    replies = Replies()
    reply = begin(replies, "one")
    assert replies.find(Owner(None, "one"), "a") is reply
    for other in (Owner(None, "two"), Owner(1, "one")):
        assert replies.find(other, "a") is None
    replies.drop(reply)


async def test_what_is_kept_is_bounded_and_the_oldest_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replies = Replies()
    monkeypatch.setattr(answers, "MAX_KEPT_PER_ACCOUNT", 3)
    monkeypatch.setattr(answers, "MAX_KEPT", 5)
    own = [begin(replies, f"own{i}") for i in range(4)]
    others = [begin(replies, f"other{i}", account=f"ip:{i + 2}") for i in range(4)]
    await asyncio.sleep(0)
    for reply in own:
        replies.keep(reply, 60)
    assert len(replies) == 7 and replies.find(own[0].asked.owner, "a") is None
    for reply in others:
        replies.keep(reply, 60)
    assert len(replies) == 5 and replies.find(own[2].asked.owner, "a") is None
    monkeypatch.setattr(answers, "MAX_KEPT_BYTES", 9000)
    replies.keep(others[3], 60)
    assert len(replies) == 2
    for reply in others:
        replies.drop(reply)
    assert len(replies) == 0


async def heard_while_waiting(
    monkeypatch: pytest.MonkeyPatch, settings: Any, news: list[dict[str, Any]], keepalive: float
) -> list[dict[str, Any]]:
    """What a page hears of a queue that moves as the test says."""
    page, reply = Page(), Reply(ASKED)

    def waiting_news(request_id: str) -> dict[str, Any]:
        return news.pop(0) if len(news) > 1 else news[0]

    monkeypatch.setattr("playground.replies.NEWS_SECONDS", 0.001)
    monkeypatch.setattr("playground.replies.waiting_news", waiting_news)
    settings.KEEPALIVE_SECONDS = keepalive
    page.reads(reply)
    telling = asyncio.create_task(tell_waiting(reply, "request"))
    async with asyncio.timeout(5):
        while len(news) > 1 or len(page.heard) < 2:
            await asyncio.sleep(0.001)
    telling.cancel()
    return page.heard


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
