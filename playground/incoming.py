"""The body of a request on its way in: how much there may be of it, and of all together."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings


class Refusal(NamedTuple):
    """Why no more is taken."""

    status: int
    reason: bytes
    message: str
    code: str


TOO_LARGE = "The request body is larger than {} bytes."
TOO_MANY = "The server is receiving too many large requests. Try again later."


class Bodies:
    """Bytes of the bodies that have not come whole, of all connections together.

    Nobody's key is known before a body is here, and any number of them may be sent.
    """

    def __init__(self) -> None:
        self.held = 0


class Body:
    """What has come of one body. In one piece: sent byte by byte it would take thirty times as much
    memory in pieces."""

    __slots__ = ("_all", "_data")

    def __init__(self, bodies: Bodies) -> None:
        self._all, self._data = bodies, bytearray()

    def add(self, data: bytes) -> Refusal | None:
        """More of it; where it is too much, why."""
        self._data += data
        self._all.held += len(data)
        if len(self._data) > settings.MAX_BODY_BYTES:
            return self.refusal()
        if self._all.held > settings.BODIES_BYTES:
            return Refusal(503, b"Service Unavailable", TOO_MANY, "server_overloaded")
        return None

    @staticmethod
    def refusal() -> Refusal:
        """Of a body that is too large, however many there are."""
        message = TOO_LARGE.format(settings.MAX_BODY_BYTES)
        return Refusal(413, b"Request Entity Too Large", message, "content_too_large")

    def take(self) -> bytes:
        """All of it; it is held here no longer."""
        whole = bytes(self._data)
        self.drop()
        return whole

    def drop(self) -> None:
        """It is not wanted any more. Again is no error."""
        self._all.held -= len(self._data)
        self._data = bytearray()
