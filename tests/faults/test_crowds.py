"""Crowds: who leaves, who comes all at once, who is there when the server ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.crowd import Asking, Call
from tests.api.asking import CHAT, TEXT, user
from tests.api.witness import unharmed
from tests.conftest import MakeServer
from tests.faults.conftest import CATALOGUE, SHORT
from tests.faults.lines import frame, line, page, post
from tests.servers import RunningServer, alive, wait_until
from tests.usage import records_of, rows

pytestmark = pytest.mark.timeout(120)
MODELS = ["echo", "echo-slow"]


def threads(server: RunningServer) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/task").iterdir()))


# R1
def test_450_who_leave_leave_nothing_behind(hasty: RunningServer) -> None:
    """200 streams after five tokens, 200 answers that were not streamed, 50 pages."""
    slow = {"model": "echo-slow", "max_tokens": 1000, "ignore_eos": True}

    def attack() -> None:
        lines = [line(hasty) for _ in range(400)]
        pages = [page(hasty) for _ in range(50)]
        for i, made in enumerate(lines):
            made.sendall(post(TEXT, slow | {"prompt": "w", "stream": i % 2 == 0}))
        chat = {"type": "chat", "model": "echo-slow", "messages": user("w"),
                "params": {"max_tokens": 1000, "ignore_eos": True}}  # fmt: skip
        for i, made in enumerate(pages):
            made.sendall(frame(json.dumps(chat | {"id": str(i)}).encode()))
        for made in lines[::2]:
            heard = b""
            while b"4:w " not in heard:
                heard += made.recv(65536)
        wait_until(lambda: hasty.model("echo-slow")["running"] == 450, 20, "all run")
        for made in lines + pages:
            made.close()
        wait_until(lambda: hasty.model("echo-slow")["running"] == 0, 1, "nothing in flight")

    found = records_of(hasty, attack, MODELS)
    assert len(found) == 450
    assert {each["outcome"] for each in found} == {"cancelled"}
    heard = sorted(each["completion_tokens"] for each in found)
    # Whoever waited for a whole answer left as well: what was made for them is counted.
    assert heard[-200] >= 5 and heard[-1] < 1000


# R2
LONG: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {"messages": user("w"), "max_tokens": 1000, "ignore_eos": True}),
    "completion": (TEXT, {"prompt": "w", "max_tokens": 1000, "ignore_eos": True}),
    "prompts": (TEXT, {"prompt": ["w"] * 8, "max_tokens": 1000, "ignore_eos": True}),
    "choices": (TEXT, {"prompt": "w", "n": 8, "max_tokens": 1000, "ignore_eos": True}),
    "hf chat": (
        "/hf/models/echo-slow/v1/chat/completions",
        {"messages": user("w"), "max_tokens": 1000, "ignore_eos": True},
    ),
    "hf": ("/hf/models/echo-slow", {"inputs": "w " * 300}),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("view", LONG)
def test_no_view_works_on_for_who_has_left(hasty: RunningServer, view: str, stream: bool) -> None:
    path, body = LONG[view]
    with unharmed(hasty):
        before = threads(hasty)
        lines = [line(hasty) for _ in range(10)]
        for made in lines:
            more = {} if view == "hf" else {"model": "echo-slow", "stream": stream}
            made.sendall(post(path, more | body))
        wait_until(lambda: hasty.model("echo-slow")["running"] >= 10, 10, "they run")
        for made in lines:
            made.close()
        # One is somebody else's.
        wait_until(lambda: hasty.model("echo-slow")["running"] <= 1, 1, "nothing in flight")
        assert threads(hasty) <= before + 10


# R4
def test_ten_times_capacity_is_served_as_far_as_there_is_room(make_server: MakeServer) -> None:
    """Eight places, sixteen in the queue, 240 at once."""
    env = {"CATALOGUE": str(CATALOGUE), "QUEUE_LIMIT": "16", "ACCOUNT_QUEUE_LIMIT": "1000"}
    server = make_server(env)
    asking = Asking(server.port, "echo-few", 20)
    asyncio.run(asking.call("reads"))

    async def crowd() -> list[Call]:
        lines = await asyncio.gather(*(asking.connect() for _ in range(240)))
        calls = await asyncio.gather(*(asking.call("reads", made) for made in lines))
        for made in lines:
            made.close()
        return calls

    calls = asyncio.run(crowd())
    ended = Counter("whole" if call.whole else f"{call.status} {call.error}" for call in calls)
    assert ended == {"whole": 8 + 16, "503 server_overloaded": 240 - 24}
    refused = httpx.post(f"{server.url}{TEXT}", json={"model": "echo-few", "prompt": "w"})
    assert refused.status_code == 200  # there is room again


def test_who_is_refused_hears_when_to_come_back(make_server: MakeServer) -> None:
    env = {"CATALOGUE": str(CATALOGUE), "QUEUE_LIMIT": "1", "ACCOUNT_QUEUE_LIMIT": "1000"}
    server = make_server(env)
    slow = {"model": "echo-few", "prompt": "w", "max_tokens": 1000, "ignore_eos": True}
    # From now on it is loaded: else these would all wait for that.
    assert httpx.post(f"{server.url}{TEXT}", json=slow | {"max_tokens": 1}).status_code == 200
    lines = [line(server) for _ in range(9)]
    for made in lines:
        made.sendall(post(TEXT, slow))
    wait_until(lambda: server.model("echo-few")["waiting"] == 1, 20, "it is full")
    took = []
    with httpx.Client(base_url=server.url) as http:
        for _ in range(20):
            refused = http.post(TEXT, json=slow)
            took.append(float(refused.headers["openai-processing-ms"]))
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "server_overloaded"
            assert 1 <= int(refused.headers["retry-after"]) <= 120
    for made in lines:
        made.close()
    assert sorted(took)[10] < 100


# R5
@pytest.mark.parametrize("deadline", [20.0, 1.0], ids=["in time", "too late"])
def test_sigterm_with_twenty_streams(make_server: MakeServer, deadline: float) -> None:
    server = make_server(SHORT | {"DRAIN_SECONDS": str(deadline)})
    asking = Asking(server.port, "echo-slow", 80)  # four seconds
    began = asyncio.Event()

    async def streams() -> list[Call]:
        lines = [await asking.connect(lambda made: began.set()) for _ in range(20)]
        running = [asyncio.create_task(asking.call("reads", made)) for made in lines]
        await asyncio.wait_for(began.wait(), 20)
        await asyncio.to_thread(
            wait_until, lambda: server.model("echo-slow")["running"] == 20, 10, "all run"
        )
        os.kill(server.process.pid, signal.SIGTERM)
        await asyncio.to_thread(wait_until, lambda: status("/readyz") == 503, 2, "no more")
        assert status(TEXT, {"model": "echo", "prompt": "w"}) == 503
        calls = await asyncio.gather(*running)
        for made in lines:
            made.close()
        return calls

    def status(path: str, body: dict[str, Any] | None = None) -> int:
        return httpx.request(
            "POST" if body else "GET", f"{server.url}{path}", json=body
        ).status_code

    children = server.children()
    calls = asyncio.run(streams())
    assert server.process.wait(20) == 0
    assert not any(map(alive, children))
    if deadline > 4:
        assert all(call.whole for call in calls)
    else:
        assert {call.error for call in calls} == {"server_shutting_down"}


KINDS = ["reads", "reads", "reads", "whole", "leaves", "rests"]


async def mixed(asking: Asking, count: int, at_once: int, note: Callable[[Call], None]) -> None:
    """So many requests of all kinds; who is refused tries again."""
    waiting = asyncio.Semaphore(at_once)

    async def one(nth: int) -> None:
        async with waiting:
            call = await asking.call(KINDS[nth % len(KINDS)])
            while call.status in (429, 503):
                await asyncio.sleep(0.05)  # sooner than it is told, as bad clients do
                call = await asking.call(KINDS[nth % len(KINDS)])
            note(call)

    await asyncio.gather(*(one(nth) for nth in range(count)))


# R12
LONG_RUN = (pytest.mark.slow, pytest.mark.database)


@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=LONG_RUN)])
@pytest.mark.timeout(900)
def test_usage_is_what_clients_received(make_server: MakeServer, count: int) -> None:
    """Mixed requests with retries and cancels; each token of every stream is looked at."""
    server = make_server({"CATALOGUE": str(CATALOGUE), "QUEUE_LIMIT": "20"})
    calls: list[Call] = []
    asyncio.run(mixed(Asking(server.port, "echo-quick", 12), count, 40, calls.append))
    assert len(calls) == count
    ids = {call.request_id for call in calls if call.request_id}
    wait_until(lambda: ids <= {row["request_id"] for row in rows(server)}, 30, "all settled")
    settle(calls, rows(server))


def settle(calls: list[Call], found: list[dict[str, Any]]) -> None:
    """Each request has one record, and it says what its client got."""
    known = {row["request_id"]: row for row in found}
    assert len(known) == len(found)
    for call in calls:
        if not call.request_id:
            # Whoever left before the head of a whole answer; nobody here does.
            raise AssertionError(call)
        row = known[call.request_id]
        if call.kind == "leaves":
            # What was on its way when the client left was made, and is counted.
            assert call.tokens <= row["completion_tokens"] <= 12
        else:
            assert (row["completion_tokens"], row["outcome"]) == (12, "finished"), (call, row)
    spent = sum(row["completion_tokens"] for row in found if row["outcome"] == "refused")
    assert spent == 0


# R12
@pytest.mark.timeout(300)
def test_kill_9_in_a_crowd_loses_at_most_the_last_second(make_server: MakeServer) -> None:
    server = make_server({"CATALOGUE": str(CATALOGUE), "QUEUE_LIMIT": "1000"})
    calls: list[Call] = []
    died = 0.0

    async def crowd() -> None:
        nonlocal died
        work = asyncio.create_task(
            mixed(Asking(server.port, "echo-quick", 8), 4000, 60, calls.append)
        )
        while len([call for call in calls if call.whole]) < 60:
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.5)  # so that some are older than a second
        died = time.perf_counter()
        server.process.kill()
        await work

    asyncio.run(crowd())
    server.process.wait()
    server.restart()
    kept = {row["request_id"]: row for row in rows(server)}
    due = [call for call in calls if call.whole and call.ended < died - 1.0]
    assert len(due) >= 60
    lost = [call for call in due if call.request_id not in kept]
    assert not lost
    assert all(kept[call.request_id]["completion_tokens"] == call.tokens for call in due)
    # Nothing is counted that nobody asked for.
    assert len(kept) == len(rows(server))
