"""The frames of a websocket, and what happens to them when nobody takes them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor

from bench.pages import TEXT, next_frame
from playground.flow import Outlet
from playground.websocket import WebSocket


class Line(FileDescriptor):
    """Twisted's own transport over a socket that takes nothing until it is told to."""

    connected = 1

    def __init__(self) -> None:
        super().__init__(SimpleNamespace())
        self.room = 0
        self.taken = b""
        self.reading: list[bool] = []
        self.socket = SimpleNamespace(send=self._send)

    def _send(self, data: bytes) -> int:
        if not self.room:
            raise BlockingIOError
        return self.writeSomeData(data)

    def writeSomeData(self, data: bytes) -> int:
        taken = bytes(data)[: self.room]
        self.room -= len(taken)
        self.taken += taken
        return len(taken)

    def startWriting(self) -> None:
        """The test is the reactor."""

    stopWriting = startWriting

    def stopReading(self) -> None:
        self.reading.append(False)

    def startReading(self) -> None:
        self.reading.append(True)


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
async def socket(line: Line) -> WebSocket:
    """A connection after its handshake."""
    found: Any = WebSocket()
    found.transport, found.state = line, WebSocket.STATE_OPEN
    found.outlet = Outlet(line, found._stalled)
    line.registerProducer(found, True)
    return found


def texts(data: bytes) -> list[bytes]:
    """What a client reads."""
    found = []
    while (frame := next_frame(data)) is not None:
        opcode, text, data = frame
        assert opcode == TEXT
        found.append(text)
    assert not data
    return found


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, 300_000])
async def test_a_text_of_any_length_is_one_frame(
    socket: WebSocket, line: Line, length: int
) -> None:
    line.room = 2**20
    socket.write(b"x" * length)
    assert texts(line.taken) == [b"x" * length]


async def test_what_is_not_taken_is_bounded_and_goes_on_when_there_is_room(
    socket: WebSocket, line: Line
) -> None:
    freed: list[bool] = []
    socket.on_free = lambda: freed.append(socket.is_free)
    line.room = 5
    said: list[bytes] = []
    while socket.is_free:
        said.append(b"%d " % len(said) * 100)
        socket.write(said[-1])
    kept = len(line.dataBuffer) + line._tempDataLen
    assert line.bufferSize < kept < line.bufferSize + 1000
    # What such a peer asks for is not read either: the answers would pile up.
    assert line.reading == [False]
    line.room = kept
    line.doWrite()
    assert freed == [True]
    assert line.reading == [False, True]
    socket.write(b"the end")
    line.room = 100
    line.doWrite()
    assert texts(line.taken) == [*said, b"the end"]


async def test_nothing_is_written_once_it_is_being_closed(socket: WebSocket, line: Line) -> None:
    line.room = 100
    socket.state = WebSocket.STATE_CLOSING
    socket.write(b"too late")
    assert (line.taken, line._tempDataBuffer) == (b"", [])
