"""Who may not wait at all: too many, or for too long. Each is told when to come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.api.asking import CHAT, error_of, user
from tests.api.test_keys import make_key
from tests.api.test_waiting import Reader, waiting
from tests.conftest import MakeServer
from tests.servers import RunningServer
from tests.turns import ENV, busy


@pytest.fixture(scope="module")
def narrow(make_server: MakeServer) -> RunningServer:
    """Two places in the queue, one for each account."""
    return make_server(ENV | {"QUEUE_LIMIT": "2", "ACCOUNT_QUEUE_LIMIT": "1"})


def refused(response: httpx.Response, status: int, code: str) -> None:
    """The refusal is typed, and says when to come back."""
    assert (response.status_code, error_of(response)["code"]) == (status, code)
    assert 1 <= int(response.headers["retry-after"]) <= 120


@contextmanager
def full(server: RunningServer, *callers: dict[str, str]) -> Iterator[None]:
    """Each of these callers waits for a model that has no place."""
    with busy(server), ExitStack() as stack:
        for headers in callers:
            stack.enter_context(waiting(server, "right", headers))
        yield


@pytest.mark.parametrize("stream", [False, True])
def test_own_places_and_the_servers_are_told_apart(narrow: RunningServer, stream: bool) -> None:
    names = (f"alice-{stream}", f"bob-{stream}", f"carol-{stream}")
    alice, bob, carol = (
        {"authorization": f"Bearer {make_key(narrow, name, name)}"} for name in names
    )
    body = {"model": "right", "messages": user("x"), "stream": stream}

    def ask(headers: dict[str, str]) -> httpx.Response:
        return httpx.post(f"{narrow.url}{CHAT}", json=body, headers=headers, timeout=30)

    with full(narrow, alice):
        refused(ask(alice), 429, "rate_limit_exceeded")
    with full(narrow, alice, bob):
        refused(ask(carol), 503, "server_overloaded")


def test_nobody_waits_longer_than_is_promised(make_server: MakeServer) -> None:
    server = make_server(ENV | {"WAIT_SECONDS": "2", "MAX_SILENT_WAIT": "60"})
    body = {"model": "right", "messages": user("x")}
    with busy(server):
        refused(httpx.post(f"{server.url}{CHAT}", json=body, timeout=30), 503, "wait_too_long")
        reader = Reader(server, "right", {})
        reader.thread.join(30)
        # Its response had begun, so it is told as an event.
        assert '"code":"wait_too_long"' in reader.lines[-2][1]
        assert reader.lines[-1][1] == "data: [DONE]"
