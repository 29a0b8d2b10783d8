"""Clients that say something and reset the connection: nothing of them stays."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.asking import CHAT, TEXT, user
from tests.conftest import MakeServer
from tests.faults.conftest import CATALOGUE
from tests.faults.lines import frame, line, page, post
from tests.servers import RunningServer, wait_until

MANY = 20
LONG = {"model": "echo-slow", "max_tokens": 1000, "ignore_eos": True}
WHOLE = post(TEXT, LONG | {"prompt": "w"})
STREAM = post(CHAT, LONG | {"messages": user("w"), "stream": True})
HALF = b"GET /healthz HTTP/1.1\r\nHo"


@pytest.fixture(scope="module")
def patient(make_server: MakeServer) -> RunningServer:
    """No deadline ends what a reset should have ended, and nobody may leave many connections."""
    patience = {f"{of}_SECONDS": "300" for of in ("HEAD", "BODY", "STALL")}
    most = {"CONNECTIONS_PER_ADDRESS": str(MANY + 5)}
    return make_server({"CATALOGUE": str(CATALOGUE)} | patience | most)


@contextmanager
def asleep(server: RunningServer) -> Iterator[None]:
    """What comes meanwhile finds a loop as after a long turn: all of it is there at once."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def sockets(server: RunningServer) -> int:
    """How many of its open files are sockets."""
    found = 0
    for each in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found += os.readlink(each).startswith("socket:")
    return found


def reset(made: socket.socket) -> None:
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    made.close()


def asking_page(server: RunningServer) -> socket.socket:
    made = page(server)
    asked = {"type": "chat", "id": "one", "model": "echo-slow", "messages": user("w"),
             "params": {"max_tokens": 1000, "ignore_eos": True}}  # fmt: skip
    made.sendall(frame(json.dumps(asked).encode()))
    return made


def asking(data: bytes) -> Callable[[RunningServer], socket.socket]:
    def ask(server: RunningServer) -> socket.socket:
        made = line(server)
        made.sendall(data)
        return made

    return ask


OPEN: dict[str, tuple[Callable[[RunningServer], socket.socket], bytes]] = {
    "a whole answer": (asking(WHOLE), HALF),
    "a stream": (asking(STREAM), HALF),
    "a page": (asking_page, frame(b'{"type": "models"}')),
}


@pytest.mark.parametrize("last", [HALF, WHOLE, STREAM], ids=["half a head", "whole", "stream"])
def test_who_asks_and_resets_leaves_nothing(patient: RunningServer, last: bytes) -> None:
    before = sockets(patient)
    with asleep(patient):
        for _ in range(MANY):
            made = line(patient)
            made.sendall(last)
            reset(made)
    all_gone(patient, before)


@pytest.mark.parametrize("what", OPEN)
def test_who_resets_while_it_is_answered_leaves_nothing(patient: RunningServer, what: str) -> None:
    ask, last = OPEN[what]
    before = sockets(patient)
    lines = [ask(patient) for _ in range(MANY)]
    wait_until(lambda: state(patient) == (MANY, 0), 10, "all run")
    with asleep(patient):
        for made in lines:
            made.sendall(last)
            reset(made)
    all_gone(patient, before)


def state(server: RunningServer) -> tuple[Any, Any]:
    found = server.model("echo-slow")
    return found["running"], found["waiting"]


def all_gone(server: RunningServer, before: int) -> None:
    """Files and places, and the address may open as many connections again."""
    # Whose connection was made later is heard later: by now it has met all of them.
    assert httpx.get(f"{server.url}/healthz", timeout=10).status_code == 200
    wait_until(lambda: sockets(server) <= before, 5, f"{before} sockets are open")
    wait_until(lambda: state(server) == (0, 0), 5, "no place is held")
    assert "Traceback" not in server.log.read_text()
