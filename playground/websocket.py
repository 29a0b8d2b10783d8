"""Daphne's side of a websocket: close codes of the standard, bounds, and frames written at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

from playground.flow import Doors, Outlet
from playground.outgoing import send_now

MAX_FRAME = 2**20
# Messages that wait for the application before no more are read.
MOST_UNHEARD = 4
# "Try again later": what was written was not read.
WS_TRY_AGAIN = 1013
# How long the other end may take to read that it is to close, and to agree.
LAST_WORD_SECONDS = 5.0
# The first byte of every frame here: text, and whole.
TEXT = b"\x81"
# In place of a length that does not fit into seven bits: it follows in two bytes, in eight.
IN_TWO, IN_EIGHT = b"\x7e", b"\x7f"


class WebSocket(WebSocketProtocol):
    """A connection that may be closed with any code, and hears nothing more after that.

    It is its transport's producer (Twisted's IPushProducer): while the peer does not take what is
    written, `is_free` is false. Nothing is read from a peer then, or answers to what it says would
    pile up here; nor while the application has many of its messages still to hear.
    """

    is_free = True
    _unheard = 0
    # Called when the peer has taken what was written.
    on_free: Callable[[], None] | None = None

    def connectionMade(self) -> None:
        """Take the transport over from the HTTP that it began with."""
        super().connectionMade()
        self.outlet = Outlet(self.transport, self._stalled)
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """More than the transport's `bufferSize` waits to be taken."""
        self.is_free = False
        self.outlet.pauseProducing()
        self._read_or_not()

    def resumeProducing(self) -> None:
        """All of it was taken."""
        self.is_free = True
        self.outlet.resumeProducing()
        self._read_or_not()
        if self.on_free is not None:
            self.on_free()

    def stopProducing(self) -> None:
        """The connection is lost, as `onClose` tells too."""
        self.outlet.stopProducing()

    def connectionLost(self, reason: Any) -> None:
        """One connection less of its address."""
        super().connectionLost(reason)
        self.factory.doors.leave(self.transport.getPeer().host)

    def _stalled(self) -> None:
        """Say why after what is unsent; the connection ends soon, whether that is read or not."""
        self.sendCloseFrame(code=WS_TRY_AGAIN)

    def write(self, text: bytes) -> None:
        """Send one text frame, in UTF-8; nothing where the connection is being closed.

        Autobahn's `sendMessage` counts, logs and asks about compression: more than the rest of the
        way of a token.
        """
        if self.state == self.STATE_OPEN:
            send_now(self.transport, frame_head(len(text)) + text)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Hand a message on; what comes once the connection is being closed is dropped."""
        if self.state == self.STATE_OPEN:
            self._unheard += 1
            self._read_or_not()
            super().onMessage(payload, isBinary)

    def heard(self) -> None:
        """The application took one of the messages."""
        self._unheard -= 1
        self._read_or_not()

    def _read_or_not(self) -> None:
        if self.is_free and self._unheard < MOST_UNHEARD:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    def serverClose(self, code: int | None = None) -> None:
        """Close; autobahn's own method refuses 1003, 1008 and all other codes of the standard."""
        self.sendCloseFrame(code=code or self.CLOSE_STATUS_CODE_NORMAL)


def frame_head(length: int) -> bytes:
    """What stands before a text of so many bytes (RFC 6455, 5.2)."""
    if length < 126:
        return TEXT + length.to_bytes(1, "big")
    if length < 2**16:
        return TEXT + IN_TWO + length.to_bytes(2, "big")
    return TEXT + IN_EIGHT + length.to_bytes(8, "big")


def set_up(factory: WebSocketFactory, doors: Doors) -> None:
    """Let connections of `factory` end with a close code where autobahn would cut the line.

    A frame that is too large is refused by its head, before it is read.
    """
    factory.protocol = WebSocket
    factory.doors = doors
    # Set directly: `setProtocolOptions` would put other options back to their defaults.
    factory.failByDrop = False
    factory.closeHandshakeTimeout = LAST_WORD_SECONDS
    factory.maxMessagePayloadSize = MAX_FRAME
