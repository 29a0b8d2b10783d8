"""What one connection may hold and how long it may take: bytes unsent, time to ask, its number."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.conf import settings
from twisted.internet import main
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Server as Transport

from playground.accounts.identity import Customer, customer_of, is_among

# Of an answer that its client does not read the operating system keeps twice so much (and the
# transport one piece of 64 KiB): enough for a stream of tokens on any line, a part of what Linux
# would grow it to.
SEND_BUFFER_BYTES = 256 * 1024
# How often a watched outlet is looked at, in parts of STALL_SECONDS.
LOOKS = 20
# Files that are not connections: the database, pipes to engines, files that are served.
OTHER_FILES = 256
# What may be tried again later, and its type in OpenAI's words.
KINDS = {429: "rate_limit_error", 503: "server_error"}


class Connection(Transport):
    """A connection that is lost as soon as its client has reset it, whatever it sent before.

    Of a socket with an error uvloop tells once and never again. Twisted would read the bytes that
    came before the reset, wait for more, and keep the connection and its request for ever.
    """

    def doRead(self) -> Any:
        """Look for the error first: who is gone needs no answer to its last words."""
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return main.CONNECTION_LOST
        return super().doRead()


class Outlet:
    """The way out of a connection. Who writes waits here while its peer does not read.

    The transport says when too much is unsent and when it has gone (Twisted's IPushProducer).
    `stalled` is called once nothing of it was taken for STALL_SECONDS. Nobody waits for the last
    piece of an answer, and it may be too little for the transport: of that `watch` is told.
    """

    __slots__ = ("_left", "_room", "_since", "_stalled", "_timer", "_transport")

    def __init__(self, transport: Any, stalled: Callable[[], None]) -> None:
        self._transport = transport
        self._stalled = stalled
        self._room: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._left, self._since = 0, 0.0

    @property
    def full(self) -> bool:
        """Whether to wait before the next write."""
        return self._room is not None

    @property
    def watched(self) -> bool:
        """Whether the peer still has something to take, and will be cut off where it does not."""
        return self._timer is not None

    async def room(self) -> None:
        """Wait until the peer has taken what is unsent, or is gone."""
        while self._room is not None:
            await self._room.wait()

    def pauseProducing(self) -> None:
        """The transport is full."""
        if self._room is None:
            self._room = asyncio.Event()
            self.watch()

    def resumeProducing(self) -> None:
        """The transport is empty."""
        self._open()
        if self._transport.disconnecting:
            # It was to be closed when empty, and a transport looks at that before it resumes us.
            self._transport.startWriting()

    def stopProducing(self) -> None:
        """The connection is lost: nobody waits for it any more."""
        self._open()

    def watch(self) -> None:
        """See to it that what is unsent is taken, however little it is."""
        self._left = unsent(self._transport)
        if self._timer is None:
            self._since = asyncio.get_running_loop().time()
            self._look_later()

    def _open(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        room, self._room = self._room, None
        if room is not None:
            room.set()

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(settings.STALL_SECONDS / LOOKS, self._look)

    def _look(self) -> None:
        now, left = asyncio.get_running_loop().time(), unsent(self._transport)
        if left < self._left:
            self._since = now
        self._left, self._timer = left, None
        if left and now - self._since < settings.STALL_SECONDS:
            self._look_later()
        elif left:
            self._stalled()


def unsent(transport: Any) -> int:
    """Bytes that were written to a transport and that the operating system has not taken yet."""
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen


class Alarm:
    """What Twisted's `callLater` returns, for a connection's time limits.

    The limit is lifted and set again at every request, and put off with every line of its head.
    Twisted's own timers would go through a heap of its reactor each time.
    """

    __slots__ = ("_at", "_handle", "_loop", "_ring")

    def __init__(self, seconds: float, ring: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._at = self._loop.time() + seconds
        self._handle = self._loop.call_at(self._at, self._due)

    def reset(self, seconds: float) -> None:
        """Ring so many seconds from now, not earlier."""
        self._at = self._loop.time() + seconds

    def put_off(self, seconds: float) -> None:
        """Ring so much later."""
        self._at += seconds

    def cancel(self) -> None:
        """Do not ring."""
        self._handle.cancel()

    def _due(self) -> None:
        if self._loop.time() < self._at:
            self._handle = self._loop.call_at(self._at, self._due)
        else:
            self._ring()


class Doors:
    """How many connections are open, in all and from each customer's addresses."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[Customer | None] = Counter()
        self._all = 0

    def enter(self, address: str) -> bool:
        """Count a connection; False where there are too many. A proxy's are other people's."""
        customer = customer_of(address)
        many = self._open[customer] >= settings.CONNECTIONS_PER_ADDRESS
        if self._all >= self._most or (many and not is_among(address, settings.TRUSTED_PROXIES)):
            return False
        self._open[customer] += 1
        self._all += 1
        return True

    def leave(self, address: str) -> None:
        """It is closed."""
        customer = customer_of(address)
        self._all -= 1
        self._open[customer] -= 1
        if not self._open[customer]:
            del self._open[customer]


class TooMany(Protocol):
    """Says that there are too many connections, and closes."""

    def connectionMade(self) -> None:
        """Answer at once, whatever is going to be asked."""
        message = "There are too many open connections from your address. Close some, or wait."
        self.transport.write(answer_now(429, b"Too Many Requests", message, "too_many_connections"))
        self.transport.loseConnection()


def answer_now(status: int, reason: bytes, message: str, code: str) -> bytes:
    """An error of OpenAI's shape, as a whole answer after which the connection is closed."""
    body = error_bytes(status, message, code)
    head = (
        b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"%bContent-Length: %d\r\n\r\n"
        % (status, reason, b"Retry-After: 10\r\n" if status in KINDS else b"", len(body))
    )
    return head + body


def error_bytes(status: int, message: str, code: str) -> bytes:
    """The body of that."""
    kind = KINDS.get(status, "invalid_request_error")
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json.dumps({"error": error}).encode()


def most_connections() -> int:
    """As many as there can be open files, less those that are none; the soft limit is raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(OTHER_FILES, hard - OTHER_FILES)


def limit_send_buffer(listener: socket.socket) -> None:
    """Connections get from the socket that they came by what the system keeps for each of them."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
