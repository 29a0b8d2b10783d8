"""I15: what a page says and how much of it is no reason for the server to grow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.conftest import MakeServer
from tests.servers import RunningServer

MIB = 2**20
# At the worst moment of any of these, with as many pages at once, one megabyte each being allowed:
# that is held up to four times on its way. Were there no limit, it would be some hundred.
PAGES = 8
MOST_BYTES = 40 * MIB

Attack = Callable[[RunningServer], Awaitable[None]]
HANDSHAKE = (
    "GET /ws/chat HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.fixture(scope="module")
def attacked(make_server: MakeServer) -> RunningServer:
    """A server of its own: others would be measured with it."""
    return make_server()


@asynccontextmanager
async def page(server: RunningServer) -> AsyncIterator[ClientConnection]:
    """A socket that has heard the first frame."""
    async with connect(
        f"{server.ws_url}/ws/chat", origin=server.url, max_size=None, close_timeout=1
    ) as socket:
        await socket.recv()
        yield socket


async def raw(server: RunningServer, pieces: Iterable[bytes]) -> None:
    """Bytes as they are, after a handshake, until the server has heard enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HANDSHAKE.format(port=server.port).encode())
    await reader.readuntil(b"\r\n\r\n")
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    finally:
        writer.transport.abort()


async def endless_frame(server: RunningServer) -> None:
    """64 MiB of a frame that says it has 1 GiB."""
    head = b"\x81\xff" + (2**30).to_bytes(8, "big") + bytes(4)
    await raw(server, [head, *[b"x" * MIB] * 64])


async def endless_message(server: RunningServer) -> None:
    """64 frames of 1 MiB that are one message."""
    frame = b"\xff" + MIB.to_bytes(8, "big") + bytes(4) + b"x" * MIB
    await raw(server, [b"\x01" + frame, *[b"\x00" + frame] * 63])


async def two_megabytes(server: RunningServer) -> None:
    async with page(server) as socket:
        await socket.send("x" * (2 * MIB))
        await heard_to_its_end(socket)


async def flood(server: RunningServer) -> None:
    async with page(server) as socket:
        for _ in range(1000):
            await socket.send(json.dumps({"type": "models", "more": "x" * 10_000}))
        await heard_to_its_end(socket)


async def broken_text(server: RunningServer) -> None:
    async with page(server) as socket:
        await socket.send(b'{"type": "' + b"\xff" * 100_000 + b'"}', text=True)
        await heard_to_its_end(socket)


async def deep_json(server: RunningServer) -> None:
    async with page(server) as socket:
        for _ in range(5):
            await socket.send("[" * (MIB - 1))
            assert json.loads(await socket.recv())["error"]["code"] == "invalid_json"


async def deaf(server: RunningServer) -> None:
    """Ask again and again and read nothing."""
    async with page(server) as socket:
        socket.transport.pause_reading()
        for _ in range(90):
            await socket.send(json.dumps({"type": "models", "more": "x" * 10_000}))


ATTACKS: list[Attack] = [
    endless_frame,
    endless_message,
    two_megabytes,
    flood,
    broken_text,
    deep_json,
    deaf,
]


async def heard_to_its_end(socket: ClientConnection) -> None:
    """Until the server has closed."""
    async for _ in socket:
        pass


async def attack(server: RunningServer, how: Attack) -> None:
    """One page of many, until it is thrown out or has said all."""
    # Thrown out while it still spoke.
    with suppress(ConnectionClosed, ConnectionError):
        await how(server)


def memory(server: RunningServer, which: str) -> int:
    """Bytes that the server has now (VmRSS) or had at most since `forget_peak` (VmHWM)."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {which}")


def forget_peak(server: RunningServer) -> None:
    """Let VmHWM begin again at what there is now (proc(5), clear_refs)."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")


@pytest.mark.parametrize("how", ATTACKS, ids=lambda how: how.__name__)
async def test_memory_stays_flat(attacked: RunningServer, how: Attack) -> None:
    # Once for what all later ones share: caches, threads, buffers of the allocator.
    await attack(attacked, how)
    forget_peak(attacked)
    before = memory(attacked, "VmRSS")
    async with asyncio.timeout(60):
        await asyncio.gather(*(attack(attacked, how) for _ in range(PAGES)))
    grown = memory(attacked, "VmHWM") - before
    print(f"{how.__name__}: {grown / MIB:.1f} MiB at the worst moment")
    assert grown < MOST_BYTES
    async with page(attacked) as socket:
        await socket.send('{"type": "models"}')
        assert json.loads(await socket.recv())["type"] == "models"
