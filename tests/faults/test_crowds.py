"""Crowds: who comes all at once, who is there when the server ends, what all of them are billed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from bench.crowd import Asking, Call
from tests.api.asking import TEXT, user
from tests.api.witness import unharmed
from tests.conftest import MakeServer
from tests.faults.conftest import CATALOGUE, SHORT
from tests.faults.lines import close_code, frame, page, rest
from tests.pace import busyness
from tests.servers import alive, wait_until
from tests.usage import records_of, rows

pytestmark = pytest.mark.timeout(120)


# R4
def test_ten_times_capacity_is_served_as_far_as_there_is_room(make_server: MakeServer) -> None:
    """Eight places, sixteen in the queue, 240 at once. Who is refused hears it at once, and when
    to come back."""
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

    calls: list[Call] = []

    def attack() -> None:
        with unharmed(server, "echo-few", "echo-beside"):
            calls.extend(asyncio.run(crowd()))

    found = records_of(server, attack, ["echo-few", "echo-beside"])
    ended = Counter("whole" if call.whole else f"{call.status} {call.error}" for call in calls)
    assert ended == {"whole": 8 + 16, "503 server_overloaded": 240 - 24}
    refused = [call for call in calls if not call.whole]
    assert all(1 <= call.retry_after <= 120 for call in refused)
    # By the server's own clock: this process reads 240 answers one by one.
    assert max(call.took_ms for call in refused) < 100 * busyness()
    kept = {row["request_id"]: row["completion_tokens"] for row in found}
    assert all(kept.pop(call.request_id) == call.tokens == 20 for call in calls if call.whole)
    # The rest is the bystander's, the first caller's after it, and of those who got nothing.
    told = {row["request_id"] for row in found if row["outcome"] == "finished"} & kept.keys()
    assert sum(kept.values()) == sum(kept[each] for each in told)


# R5
@pytest.mark.engine
@pytest.mark.parametrize("deadline", [20.0, 1.0], ids=["in time", "too late"])
def test_sigterm_with_twenty_streams(make_server: MakeServer, deadline: float) -> None:
    """The worker of a model ends with its server."""
    server = make_server(SHORT | {"DRAIN_SECONDS": str(deadline)})
    worked = httpx.post(f"{server.url}{TEXT}", json={"model": "worker", "prompt": "w"}, timeout=90)
    assert worked.status_code == 200, worked.text
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
    assert children
    calls = asyncio.run(streams())
    assert server.process.wait(20) == 0
    assert not any(map(alive, children))
    if deadline > 4:
        assert all(call.whole for call in calls)
    else:
        assert {call.error for call in calls} == {"server_shutting_down"}
    found = {row["request_id"]: row for row in rows(server)}
    assert all(found[call.request_id]["completion_tokens"] == call.tokens for call in calls)


# R5
def test_pages_are_told_that_the_server_restarts(make_server: MakeServer) -> None:
    """Past the deadline: who hears an answer, and who hears nothing."""
    server = make_server(SHORT | {"DRAIN_SECONDS": "1"})
    chat = {"type": "chat", "id": "a", "model": "echo-slow", "messages": user("w"),
            "params": {"max_tokens": 1000, "ignore_eos": True}}  # fmt: skip
    with page(server) as idle, page(server) as busy:
        busy.sendall(frame(json.dumps(chat).encode()))
        wait_until(lambda: server.model("echo-slow")["running"] == 1, 20, "it runs")
        assert server.stop() == 0
        last = rest(busy)
        assert b"server_shutting_down" in last
        assert close_code(last) == close_code(rest(idle)) == 1012
    # Whatever was to be done after that was done.
    [cut] = rows(server)
    assert cut["outcome"] == "failed" and cut["completion_tokens"] > 0


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
