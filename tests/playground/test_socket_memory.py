"""I15: what a page says and how much of it is no reason for the server to grow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.conftest import MakeServer
from tests.servers import RunningServer

MIB = 2**20
# At the worst moment of any of these, with as many pages at once, one megabyte each being allowed.
PAGES = 8
MOST_BYTES = 32 * MIB

Attack = Callable[[ClientConnection], Awaitable[None]]


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


async def raw(socket: ClientConnection, data: bytes) -> None:
    """Bytes as they are, until the server has heard enough."""
    for start in range(0, len(data), MIB):
        if socket.transport.is_closing():
            return
        socket.transport.write(data[start : start + MIB])
        await socket.drain()


async def endless_frame(socket: ClientConnection) -> None:
    """64 MiB of a frame that says it has 1 GiB."""
    await raw(socket, b"\x81\xff" + (2**30).to_bytes(8, "big") + bytes(4))
    await raw(socket, b"x" * (64 * MIB))


async def endless_message(socket: ClientConnection) -> None:
    """64 frames of 1 MiB that are one message."""
    for number in range(64):
        head = b"\x01" if number == 0 else b"\x00"
        await raw(socket, head + b"\xff" + MIB.to_bytes(8, "big") + bytes(4) + b"x" * MIB)


async def two_megabytes(socket: ClientConnection) -> None:
    await socket.send("x" * (2 * MIB))
    await heard_to_its_end(socket)


async def flood(socket: ClientConnection) -> None:
    for _ in range(1000):
        await socket.send(json.dumps({"type": "models", "more": "x" * 10_000}))
    await heard_to_its_end(socket)


async def broken_text(socket: ClientConnection) -> None:
    await socket.send(b'{"type": "' + b"\xff" * 100_000 + b'"}', text=True)
    await heard_to_its_end(socket)


async def deep_json(socket: ClientConnection) -> None:
    for _ in range(5):
        await socket.send("[" * (MIB - 1))
        assert json.loads(await socket.recv())["error"]["code"] == "invalid_json"


async def deaf(socket: ClientConnection) -> None:
    """Ask again and again and read nothing."""
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
    async with page(server) as socket:
        try:
            await how(socket)
        except (ConnectionClosed, ConnectionError):
            # Thrown out while it still spoke.
            return


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
