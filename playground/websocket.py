"""Daphne's side of a websocket, made to close with the codes that the standard has for it."""

from __future__ import annotations

from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol


class WebSocket(WebSocketProtocol):
    """A connection that may be closed with any code, and hears nothing more after that."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Drop what a peer goes on sending: a flood must not pile up in the application's queue."""
        if self.state == self.STATE_OPEN:
            super().onMessage(payload, isBinary)

    def serverClose(self, code: int | None = None) -> None:
        """Close; autobahn's own method refuses 1003, 1008 and all other codes of the standard."""
        self.sendCloseFrame(code=code or self.CLOSE_STATUS_CODE_NORMAL)


def tell_why(factory: WebSocketFactory) -> None:
    """Let connections of `factory` end with a close code where autobahn would cut the line."""
    factory.protocol = WebSocket
    # Set directly: `setProtocolOptions` would put other options back to their defaults.
    factory.failByDrop = False
