"""What a page costs that is only open."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.conftest import MakeServer

SOCKETS = 500
MOST_BYTES = 150_000


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no memory of {pid}")


@pytest.mark.slow
async def test_500_idle_pages_cost_less_than_150_kb_each(make_server: MakeServer) -> None:
    server = await asyncio.to_thread(make_server)
    async with AsyncExitStack() as opened:

        async def come() -> None:
            line = connect(f"{server.ws_url}/ws/chat", origin=server.url)
            socket = await opened.enter_async_context(line)
            await socket.recv()

        # The first ones pay for what all of them share.
        for _ in range(20):
            await come()
        before = resident(server.process.pid)
        for _ in range(SOCKETS // 20):
            await asyncio.gather(*(come() for _ in range(20)))
        each = (resident(server.process.pid) - before) / SOCKETS
    print(f"{each:.0f} bytes for each idle page")
    assert each < MOST_BYTES
