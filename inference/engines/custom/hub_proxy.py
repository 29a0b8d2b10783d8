"""Out here: the far end of a jail's way to the Hub, and to nowhere else.

An HTTP proxy on a Unix socket that is shown in the jail. It connects to the Hub's host and the
hosts below its name, at the Hub's port, whatever it is asked for; names are resolved here.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from inference.engines.custom.hub_line import both_ways

CERTIFICATES = ("/etc/ca-certificates", "/etc/pki", "/etc/ssl")
PORTS = {"http": 80, "https": 443}
# The Hub keeps large files under this name.
BESIDE = {"huggingface.co": ("hf.co",)}
HEAD_SECONDS = 30.0
HEAD_BYTES = 64 * 1024
CONNECT_SECONDS = 20.0
AT_ONCE = 32
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
UNREACHABLE = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def certificates() -> dict[str, Path]:
    """Who signs for hosts, by the place where it stands."""
    return {place: Path(place) for place in CERTIFICATES if Path(place).exists()}


class HubProxy:
    """One jail's way to the Hub at `endpoint`. `path` is its socket; start and stop it once."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        host = (parts.hostname or "").lower()
        self._port = parts.port or PORTS.get(parts.scheme, 443)
        self._hosts = (host, *BESIDE.get(host, ()))
        self._folder = Path(tempfile.mkdtemp(prefix="llms-hub-"))
        self.path = self._folder / "hub.sock"
        self._server: asyncio.Server | None = None
        self._answering: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. Raises OSError."""
        self._server = await asyncio.start_unix_server(self._take, self.path, limit=HEAD_BYTES)
        # In the jail it is nobody who connects, and nobody else sees the folder.
        self.path.chmod(0o666)

    async def stop(self) -> None:
        """Cut every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def leads_to(self, host: str, port: int) -> bool:
        """Whether this is the Hub."""
        host = host.lower().rstrip(".")
        known = any(host == each or host.endswith(f".{each}") for each in self._hosts)
        return bool(known and port == self._port)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        try:
            if len(self._answering) <= AT_ONCE:
                await self._answer(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # Whoever is at the other end has left, or sends no request.
            return
        finally:
            self._answering.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        asked = _asked(head)
        if asked is None or not self.leads_to(asked.host, asked.port):
            writer.write(REFUSED)
            await writer.drain()
            return
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                far_reader, far_writer = await asyncio.open_connection(asked.host, asked.port)
        except (OSError, TimeoutError):
            writer.write(UNREACHABLE)
            await writer.drain()
            return
        (far_writer if asked.head else writer).write(asked.head or CONNECTED)
        await both_ways((reader, far_writer), (far_reader, writer))


class _Asked(NamedTuple):
    """Where a request leads. `head` is what the far end is told; empty for a tunnel."""

    host: str
    port: int
    head: bytes = b""


def _asked(head: bytes) -> _Asked | None:
    """Read the first line; None for what is no request to a proxy."""
    first, _, rest = head.partition(b"\r\n")
    try:
        method, target, version = first.decode("ascii").split(" ")
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.username is not None:
        return None
    if method == "CONNECT":
        return _Asked(parts.hostname, port or PORTS["https"])
    if parts.scheme != "http":
        return None
    place = parts._replace(scheme="", netloc="").geturl() or "/"
    # The next request of the same connection would not be looked at.
    lines = [line for line in rest.split(b"\r\n") if line and not _is_hop(line)]
    said = [f"{method} {place} {version}".encode(), *lines, b"Connection: close", b"", b""]
    return _Asked(parts.hostname, port or PORTS["http"], b"\r\n".join(said))


def _is_hop(line: bytes) -> bool:
    return line.lower().startswith((b"connection:", b"proxy-"))
