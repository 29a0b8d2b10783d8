"""Daphne's side of a websocket: close codes of the standard, bounds, and frames written at once."""

from __future__ import annotations

from collections.abc import Callable

from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

from playground.wire import send_now

MAX_FRAME = 2**20
# The first byte of every frame here: text, and whole.
TEXT = b"\x81"
# In place of a length that does not fit into seven bits: it follows in two bytes, in eight.
IN_TWO, IN_EIGHT = b"\x7e", b"\x7f"


class WebSocket(WebSocketProtocol):
    """A connection that may be closed with any code, and hears nothing more after that.

    It is its transport's producer (Twisted's IPushProducer): while the peer does not take what is
    written, `is_free` is false and nothing more is heard of it, or answers to what it says would
    pile up here.
    """

    is_free = True
    # Called when the peer has taken what was written.
    on_free: Callable[[], None] | None = None

    def connectionMade(self) -> None:
        """Take the transport over from the HTTP that it began with."""
        super().connectionMade()
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """More than the transport's `bufferSize` waits to be taken."""
        self.is_free = False
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """All of it was taken."""
        self.is_free = True
        self.transport.resumeProducing()
        if self.on_free is not None:
            self.on_free()

    def stopProducing(self) -> None:
        """The connection is lost, as `onClose` tells too."""

    def write(self, text: bytes) -> None:
        """Send one text frame, in UTF-8; nothing where the connection is being closed.

        Autobahn's `sendMessage` counts, logs and asks about compression: more than the rest of the
        way of a token.
        """
        if self.state == self.STATE_OPEN:
            send_now(self.transport, frame_head(len(text)) + text)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Drop what a peer goes on sending: a flood must not pile up in the application's queue."""
        if self.state == self.STATE_OPEN:
            super().onMessage(payload, isBinary)

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


def set_up(factory: WebSocketFactory) -> None:
    """Let connections of `factory` end with a close code where autobahn would cut the line.

    A frame that is too large is refused by its head, before it is read.
    """
    factory.protocol = WebSocket
    # Set directly: `setProtocolOptions` would put other options back to their defaults.
    factory.failByDrop = False
    factory.maxMessagePayloadSize = MAX_FRAME
