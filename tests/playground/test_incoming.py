"""Bodies on their way in: what they may take of the memory, alone and together."""

from __future__ import annotations

import socket
import sys
from typing import Any

import httpx
import pytest

from playground.incoming import Bodies, Body
from tests.conftest import MakeServer
from tests.servers import RunningServer, wait_until

ROOM = 300_000
HEAD = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"


def test_a_body_that_comes_byte_by_byte_takes_no_more_than_another() -> None:
    body = Body(Bodies())
    for _ in range(100_000):
        assert body.add(b"x") is None
    assert sys.getsizeof(body._data) < 150_000
    assert body.take() == b"x" * 100_000


def test_what_is_handed_on_or_not_wanted_makes_room(settings: Any) -> None:
    settings.BODIES_BYTES = 10
    bodies = Bodies()
    one, two, three = Body(bodies), Body(bodies), Body(bodies)
    assert one.add(b"x" * 6) is None
    refusal = two.add(b"x" * 6)
    assert refusal is not None and refusal.status == 503
    two.drop()
    two.drop()
    assert one.take() == b"x" * 6
    assert bodies.held == 0
    assert three.add(b"x" * 10) is None


@pytest.fixture(scope="module")
def narrow(make_server: MakeServer) -> RunningServer:
    """A server with room for a few bodies."""
    return make_server({"BODIES_BYTES": str(ROOM)})


@pytest.mark.parametrize("last", ["leaves", "is whole"])
def test_beyond_the_room_for_all_bodies_it_is_503(narrow: RunningServer, last: str) -> None:
    def ask(size: int) -> httpx.Response:
        body = {"model": "echo", "prompt": "x" * size}
        return httpx.post(f"{narrow.url}/v1/completions", json=body, timeout=20)

    with socket.create_connection(("127.0.0.1", narrow.port), timeout=20) as line:
        line.sendall(HEAD.format(250_000).encode() + b"x" * 200_000)
        wait_until(lambda: ask(150_000).status_code == 503, what="there is no room")
        refused = ask(150_000)
        assert refused.json()["error"]["code"] == "server_overloaded"
        assert refused.json()["error"]["type"] == "server_error"
        assert 1 <= int(refused.headers["retry-after"]) <= 120
        assert ask(10).status_code == 200
        if last == "is whole":
            line.sendall(b"x" * 50_000)
            assert line.recv(4096).startswith(b"HTTP/1.1 400")
            assert ask(150_000).status_code == 200
    wait_until(lambda: ask(150_000).status_code == 200, what="there is room again")
