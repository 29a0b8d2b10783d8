"""What becomes of usage records when the server, its database or its disk gives out."""

from __future__ import annotations

import copy
import json
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.api.asking import TEXT
from tests.conftest import MakeServer
from tests.servers import RunningServer, free_port, wait_until
from tests.usage import locked, row_of, rows

pytestmark = pytest.mark.database
SOON = {"USAGE_FLUSH_SECONDS": "0.1", "DATABASE_LOCK_SECONDS": "0.2"}
ENDLESS = {"model": "echo-slow", "prompt": "a b", "max_tokens": 1000, "ignore_eos": True}


def ask(server: RunningServer, count: int = 1) -> list[str]:
    """So many short requests; their ids."""
    with httpx.Client(base_url=server.url) as client:
        said = [client.post(TEXT, json={"prompt": "one two"}) for _ in range(count)]
    assert {each.status_code for each in said} == {200}
    return [each.headers["x-request-id"] for each in said]


def spooled(server: RunningServer) -> str:
    """All that the spool holds."""
    found = ""
    for path in (server.data / "usage").rglob("*.jsonl"):
        try:
            found += path.read_text()
        except FileNotFoundError:
            continue  # settled between the look and the reading
    return found


def on_disk(server: RunningServer, ids: list[str]) -> bool:
    text = spooled(server)
    return all(each.removeprefix("req_") in text for each in ids)


@contextmanager
def endless_stream(server: RunningServer, received: list[str], least: int) -> Iterator[None]:
    """Somebody reads a long answer meanwhile; `least` events have come when this begins."""

    def read() -> None:
        body = ENDLESS | {"stream": True}
        with httpx.stream("POST", f"{server.url}{TEXT}", json=body, timeout=60) as response:
            lines = response.iter_lines()
            try:
                received.extend(line for line in lines if line.startswith("data: {"))
            except httpx.RemoteProtocolError:
                return

    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: len(received) >= least, 20, "the stream runs")
    yield
    reader.join(30)


def test_a_locked_database_costs_no_record(make_server: MakeServer) -> None:
    server = make_server(SOON)
    with locked(server):
        ids = ask(server, 20)
        wait_until(lambda: on_disk(server, ids), 5, "all are on disk")
        began = time.monotonic()
        # Long enough for several tries in vain.
        wait_until(lambda: time.monotonic() - began > 2.5, 5)
        assert not {row["request_id"] for row in rows(server)} & set(ids)
    for each in ids:
        assert row_of(server, each)["completion_tokens"] == 2
    wait_until(lambda: spooled(server) == "", 5, "nothing is left on disk")
    assert server.stop() == 0


def test_kill_9_loses_at_most_the_last_second_and_settles_once(make_server: MakeServer) -> None:
    server = make_server(SOON)
    received: list[str] = []
    with endless_stream(server, received, 30), locked(server):
        waiting = ask(server, 30)
        wait_until(lambda: on_disk(server, waiting), 1, "all are on disk within a second")
        seen = len(received)
        wait_until(lambda: len(received) >= seen + 20, 5, "a second goes by")
        server.kill()
    for _ in range(2):
        server.restart()
        for each in waiting:
            assert row_of(server, each)["outcome"] == "finished"
        wait_until(lambda: spooled(server) == "", 5, "nothing is left on disk")
        server.kill()
    cut = [row for row in rows(server) if row["outcome"] == "lost"]
    assert [row["prompt_tokens"] for row in cut] == [2]
    # At twenty tokens a second.
    assert len(received) - 20 <= cut[0]["completion_tokens"] <= len(received) + 2
    assert set(Counter(row["request_id"] for row in rows(server)).values()) == {1}


def test_an_orderly_end_leaves_nothing_on_disk(make_server: MakeServer) -> None:
    server = make_server({"USAGE_FLUSH_SECONDS": "1", "DRAIN_SECONDS": "1"})
    received: list[str] = []
    with endless_stream(server, received, 5):
        ids = ask(server, 20)
        assert server.stop() == 0
    failure = json.loads(received.pop().removeprefix("data: "))
    assert failure["error"]["code"] == "server_shutting_down"
    found = {row["request_id"]: row for row in rows(server)}
    assert all(found.pop(each)["outcome"] == "finished" for each in ids)
    [cut] = found.values()
    assert (cut["outcome"], cut["completion_tokens"]) == ("failed", len(received))
    assert list((server.data / "usage").iterdir()) == []


def test_an_end_without_the_database_leaves_the_spool(make_server: MakeServer) -> None:
    server = make_server({**SOON, "DATABASE_LOCK_SECONDS": "20"})
    with locked(server):
        ids = ask(server, 5)
        assert server.stop() == 0
        assert on_disk(server, ids)
    server.restart()
    for each in ids:
        assert row_of(server, each)["outcome"] == "finished"
    assert server.stop() == 0


# R11
def test_a_full_disk_hurts_no_caller_and_costs_no_record(make_server: MakeServer) -> None:
    server = make_server(SOON)
    ids = ask(server)
    row_of(server, ids[0])
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    # No file may grow any more.
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, hard))
    began = time.monotonic()
    while time.monotonic() - began < 1:
        ids += ask(server, 5)
    assert not on_disk(server, ids)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert "Traceback" not in server.log.read_text()
    for each in ids:
        assert row_of(server, each)["completion_tokens"] == 2
    assert server.stop() == 0


def test_two_servers_on_one_folder_leave_each_other_alone(make_server: MakeServer) -> None:
    first = make_server(SOON)
    ids = ask(first, 3)
    second = copy.copy(first)
    second.port = free_port()
    second.url = f"http://127.0.0.1:{second.port}"
    second.process = second._start()
    try:
        second.wait_ready()
        with ThreadPoolExecutor(2) as pool:
            for more in pool.map(lambda each: ask(each, 50), (first, second)):
                ids += more
    finally:
        assert second.stop() == 0
    assert first.stop() == 0
    found = Counter(row["request_id"] for row in rows(first))
    assert found == Counter(ids)
