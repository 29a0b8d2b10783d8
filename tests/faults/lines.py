"""Connections byte by byte, for clients that no HTTP library would be."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.servers import RunningServer

# As little as Linux lets a receiver keep, so that what is not read waits at the server.
LITTLE = 4096


def line(server: RunningServer, receive: int = 0) -> socket.socket:
    """A connection; with `receive`, one that takes in no more than about so many bytes unread."""
    made = socket.socket()
    if receive:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    made.settimeout(30)
    made.connect(("127.0.0.1", server.port))
    return made


@contextmanager
def many(lines: list[socket.socket]) -> Iterator[list[socket.socket]]:
    """They are closed in the end."""
    with ExitStack() as opened:
        for made in lines:
            opened.enter_context(made)
        yield lines


def post(path: str, body: dict[str, Any]) -> bytes:
    """A request's bytes."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def get(server: RunningServer, path: str) -> bytes:
    """The bytes of a request for a page."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()


def page(server: RunningServer, receive: int = 0) -> socket.socket:
    """A websocket after its handshake, of a page of ours."""
    made = line(server, receive)
    key = base64.b64encode(os.urandom(16)).decode()
    head = (
        f"GET /ws/chat HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: {server.url}\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    )
    made.sendall(head.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += made.recv(1)
    assert b" 101 " in answer.split(b"\r\n")[0], answer
    return made


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """A frame as a browser sends it; the mask is nothing."""
    length = len(payload)
    if length < 126:
        head = bytes([0x80 | opcode, 0x80 | length])
    elif length < 2**16:
        head = bytes([0x80 | opcode, 0x80 | 126]) + struct.pack(">H", length)
    else:
        head = bytes([0x80 | opcode, 0x80 | 127]) + struct.pack(">Q", length)
    return head + bytes(4) + payload


def rest(made: socket.socket) -> bytes:
    """All that can still be read, to the end or the reset."""
    found = b""
    try:
        while piece := made.recv(2**20):
            found += piece
    except ConnectionError:
        pass
    return found


def so_far(made: socket.socket) -> bytes:
    """What has arrived; nothing is waited for."""
    made.setblocking(False)
    try:
        return made.recv(2**20)
    except BlockingIOError:
        return b""


def events_of(heard: bytes) -> list[Any]:
    """The data of a stream's events, from the bytes of the whole answer."""
    body, _, left = b"", *heard.partition(b"\r\n\r\n")[1:]
    while left:
        size, _, left = left.partition(b"\r\n")
        body, left = body + left[: int(size, 16)], left[int(size, 16) + 2 :]
    found = [each[6:] for each in body.split(b"\n\n") if each.startswith(b"data: {")]
    return list(map(json.loads, found))


def is_cut(made: socket.socket) -> bool:
    """Whether the server has ended the connection; nothing is read for that."""
    state = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state != 1  # TCP_ESTABLISHED


def close_code(heard: bytes) -> int:
    """The code of the close frame that the bytes of a websocket end with."""
    kind, length, code = struct.unpack(">BBH", heard[-4:])
    assert (kind, length) == (0x88, 2), heard[-8:]
    return int(code)


def resident(server: RunningServer) -> int:
    """Bytes of memory that the server's process has."""
    text = Path(f"/proc/{server.process.pid}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def seconds_until(made: socket.socket, limit: float) -> float:
    """How long the server lets a connection be."""
    began = time.monotonic()
    while not is_cut(made):
        if time.monotonic() - began > limit:
            raise AssertionError(f"not closed within {limit} s")
        time.sleep(0.02)
    return time.monotonic() - began
