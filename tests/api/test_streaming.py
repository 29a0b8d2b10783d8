"""Streams that wait, that fail half-way and that lose their reader."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.asking import CHAT, TEXT, error_of, user
from tests.api.witness import unharmed
from tests.conftest import MakeServer
from tests.servers import RunningServer, wait_until

WAITING = re.compile(r": queue position=1( eta=\d+)? stage=loading model=echo-late")
LONG = {"model": "echo-slow", "prompt": "one two three", "ignore_eos": True, "max_tokens": 1000}


@pytest.fixture
async def http_async(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose requests can be given up."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as found:
        yield found


def idle(server: RunningServer, model: str = "echo-slow") -> bool:
    """Nothing runs and nothing waits."""
    found = server.model(model)
    return found["running"] == found["waiting"] == 0


async def lines_of(response: httpx.Response, count: int) -> list[str]:
    """The first lines of a stream that are not empty."""
    found: list[str] = []
    async for line in response.aiter_lines():
        found += [line] if line else []
        if len(found) == count:
            break
    return found


async def test_a_reader_that_leaves_frees_its_slot(
    http_async: httpx.AsyncClient, server: RunningServer
) -> None:
    async with http_async.stream("POST", TEXT, json=LONG | {"stream": True, "n": 2}) as response:
        assert len(await lines_of(response, 5)) == 5
        assert server.model("echo-slow")["running"] == 1
    await asyncio.to_thread(wait_until, lambda: idle(server), 1.0, "the slot is free")


async def test_a_caller_that_leaves_a_whole_answer_frees_its_slot(
    http_async: httpx.AsyncClient, server: RunningServer
) -> None:
    asking = asyncio.create_task(http_async.post(TEXT, json=LONG))
    busy = lambda: server.model("echo-slow")["running"]  # noqa: E731
    await asyncio.to_thread(wait_until, busy, 5.0, "the request runs")
    asking.cancel()
    await asyncio.to_thread(wait_until, lambda: idle(server), 1.0, "the slot is free")


async def test_many_prompts_leave_together(
    http_async: httpx.AsyncClient, server: RunningServer
) -> None:
    body = LONG | {"stream": True, "prompt": ["a", "b", "c"]}
    async with http_async.stream("POST", TEXT, json=body) as response:
        await lines_of(response, 4)
        assert server.model("echo-slow")["running"] == 3
    await asyncio.to_thread(wait_until, lambda: idle(server), 1.0, "the slots are free")


async def test_a_hundred_readers_that_leave_leave_nothing_behind(
    http_async: httpx.AsyncClient, server: RunningServer
) -> None:
    async def visit() -> None:
        async with http_async.stream("POST", TEXT, json=LONG | {"stream": True}) as response:
            await lines_of(response, 1)

    await asyncio.gather(*(visit() for _ in range(100)))
    await asyncio.to_thread(wait_until, lambda: idle(server), 1.0, "all slots are free")


async def test_a_stream_that_waits_tells_where_it_stands(make_server: MakeServer) -> None:
    server = make_server({"KEEPALIVE_SECONDS": "0.3"})
    body = {"model": "echo-late", "messages": user("one"), "stream": True}
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=30) as http,
        http.stream("POST", CHAT, json=body) as response,
    ):
        text = (await response.aread()).decode()
    comments, data = text.split("data: ", 1)
    news = [line for line in comments.split("\n") if line]
    assert len([line for line in news if WAITING.fullmatch(line)]) >= 5
    # What comes once it is loaded may say that it has its turn, or how it was placed.
    late = [line for line in news if not WAITING.fullmatch(line)]
    assert all(line.startswith((": queue position=1 ", ": placement ")) for line in late), late
    assert '"role":"assistant"' in data and data.endswith("data: [DONE]\n\n")


async def test_a_reader_that_leaves_the_queue_is_forgotten(
    http_async: httpx.AsyncClient, server: RunningServer
) -> None:
    body = {"model": "echo-mute", "prompt": "one", "stream": True}
    async with http_async.stream("POST", TEXT, json=body) as response:
        assert (await lines_of(response, 1))[0].startswith(": ")
    await asyncio.to_thread(wait_until, lambda: idle(server, "echo-mute"), 1.0, "it is gone")


# R14
async def test_a_failure_after_the_start_is_an_event(make_server: MakeServer) -> None:
    server = make_server({"FIRST_TOKEN_SECONDS": "1.5", "KEEPALIVE_SECONDS": "0.3"})
    body = {"model": "echo-mute", "prompt": "one", "stream": True}
    with unharmed(server):
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            streamed = await http.post(TEXT, json=body)
            whole = await http.post(TEXT, json=body | {"stream": False})
    assert streamed.status_code == 200
    *_, failure, done = [line for line in streamed.text.split("\n") if line.startswith("data")]
    assert '"code":"timeout"' in failure and failure.startswith('data: {"error":')
    assert done == "data: [DONE]"
    assert whole.status_code == 504
    assert error_of(whole)["code"] == "timeout"
    assert idle(server, "echo-mute")
