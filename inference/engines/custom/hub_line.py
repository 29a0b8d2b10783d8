"""In the jail: the near end of the way to the Hub.

A jail has a network of its own in which there is nobody. HTTP clients want a proxy at an address,
so one listens there and hands every connection on to the socket that `hub_proxy` holds outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Mapping

# Where the socket of `hub_proxy` stands in the jail.
SOCKET = "/hub.sock"
ADDRESS = ("127.0.0.1", 3128)
PIECE = 64 * 1024


def environment(endpoint: str) -> Mapping[str, str]:
    """How HTTP clients in the jail find the Hub, and nothing else."""
    proxy = f"http://{ADDRESS[0]}:{ADDRESS[1]}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    return {
        **dict.fromkeys(names, proxy),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": "0",
        # Its transfers ask hosts of their own; plain downloads need none.
        "HF_HUB_DISABLE_XET": "1",
    }


def open_line() -> None:
    """Listen from now on, on a thread of its own."""
    listening = socket.create_server(ADDRESS)
    serving = _serve(listening)
    threading.Thread(target=asyncio.run, args=(serving,), name="hub", daemon=True).start()


async def _serve(listening: socket.socket) -> None:
    server = await asyncio.start_server(_join, sock=listening)
    await server.serve_forever()


async def _join(near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
    try:
        far, to_far = await asyncio.open_unix_connection(SOCKET)
    except OSError:
        to_near.close()
        return
    await both_ways((near, to_far), (far, to_near))


Way = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def both_ways(*ways: Way) -> None:
    """Until either end has said all: who asks the Hub ends no connection before the answer."""
    tasks = [asyncio.create_task(_pipe(*way)) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, writer in ways:
            writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(PIECE):
            writer.write(data)
            await writer.drain()
