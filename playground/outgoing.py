"""What is written on a connection goes to the socket at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playground.flow import Outlet


class Pipe:
    """Called with each piece of one stream, it sends it; where to wait, if the client falls behind.

    All that a piece needs is at hand here. It is looked up for each token of each stream, and
    engines on the same cores leave nothing of it in the cache: what lies in ten objects costs as
    much as the rest of a token. `open` until the answer is whole, or its connection lost.
    """

    __slots__ = ("_chunked", "_free", "_outlet", "_send", "_transport", "open")

    def __init__(self, transport: Any, outlet: Outlet, chunked: bool) -> None:
        self._transport, self._outlet, self._chunked = transport, outlet, chunked
        self._send = transport.socket.send
        # Whether nothing is left that the socket did not take.
        self._free = is_empty(transport)
        self.open = True

    def __call__(self, piece: bytes) -> Outlet | None:
        if not (self.open and piece):
            return None
        data = as_chunk(piece) if self._chunked else piece
        if self._free:
            sent = taken(self._send, data)
            if sent == len(data):
                return None
            self._transport.write(data[sent:])
        else:
            send_now(self._transport, data)
        self._free = is_empty(self._transport)
        return self._outlet if self._outlet.full else None


def as_chunk(piece: bytes) -> bytes:
    """A piece of a body whose length nobody knows yet."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def is_empty(transport: Any) -> bool:
    """Whether nothing waits to be written. Of other transports than Twisted's own nobody knows."""
    return not (getattr(transport, "dataBuffer", True) or transport._tempDataBuffer)


def taken(send: Callable[[bytes], int], data: bytes) -> int:
    """How many bytes the socket takes now."""
    try:
        return send(data)
    except OSError:
        # It is full or lost: the transport's own write finds out what to do.
        return 0


def send_now(transport: Any, data: bytes) -> None:
    """Give the socket what it takes at once; what is left waits for the reactor.

    Twisted's own `write` waits for the next turn of the loop in every case, and asks the operating
    system twice more about a socket that is nearly always ready: a third of what a streamed token
    costs.
    """
    sent = taken(transport.socket.send, data) if is_empty(transport) else 0
    if sent < len(data):
        transport.write(data[sent:])


@contextmanager
def at_once(channel: Any) -> Iterator[None]:
    """Send what is written meanwhile in one piece and without a turn of the loop.

    Head, body and end of an answer are three writes. The first would register the socket with
    epoll, to be called in the next turn, send, and take it out again.
    """
    transport = channel.transport
    if "startWriting" in vars(transport):
        # An answer's end begins the next one, which was asked for meanwhile: it goes along.
        yield
        return
    transport.startWriting = _later
    try:
        yield
    finally:
        del transport.startWriting
        trouble = transport.doWrite() if transport.connected else None
        left = not is_empty(transport)
        if left:
            channel.outlet.watch()
        if left or trouble:
            # A full socket, a lost connection, one to be closed: the reactor's work.
            transport.startWriting()


def _later() -> None:
    """In place of a transport's `startWriting`."""
