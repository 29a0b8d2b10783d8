"""What an answer costs in writes: each is a system call, and wakes whoever reads."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from playground.wire import Request

HEADERS = [(b"Content-Type", b"text/event-stream"), (b"x-request-id", b"req_1")]
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nx-request-id: req_1\r\n"
    b"Server: test\r\nTransfer-Encoding: chunked\r\n\r\n"
)


class Line:
    """A socket with Twisted's transport around it, and each write that goes out."""

    connected, disconnecting, dataBuffer, offset = True, False, b"", 0

    def __init__(self) -> None:
        self.socket = self
        self.writes: list[bytes] = []
        self._tempDataBuffer: list[bytes] = []
        self.wait_for_the_loop = 0
        self.watched = False
        self.takes = 2**20

    def send(self, data: bytes) -> int:
        self.writes.append(data[: self.takes])
        return len(self.writes[-1])

    def watch(self) -> None:
        self.watched = True

    def write(self, data: bytes) -> None:
        self.writeSequence([data])

    def writeSequence(self, pieces: list[bytes]) -> None:
        self._tempDataBuffer += pieces
        self.startWriting()

    def startWriting(self) -> None:
        self.wait_for_the_loop += 1

    def doWrite(self) -> None:
        self.dataBuffer = b"".join(self._tempDataBuffer)
        self.dataBuffer = self.dataBuffer[self.send(self.dataBuffer) :]
        self._tempDataBuffer.clear()


def request(line: Line, method: bytes = b"POST") -> Request:
    server = SimpleNamespace(
        server_name="test",
        protocol_connected=lambda protocol: None,
        protocol_disconnected=lambda protocol: None,
        log_action=lambda *args: None,
    )
    channel: Any = SimpleNamespace(
        factory=SimpleNamespace(server=server, log=lambda done: None),
        transport=line,
        outlet=SimpleNamespace(full=False, watch=line.watch),
        write=line.write,
        writeSequence=line.writeSequence,
        getPeer=lambda: None,
        getHost=lambda: None,
        requestDone=lambda done: None,
    )
    made = Request(channel, queued=False)
    made.method, made.uri, made.clientproto = method, b"/", b"HTTP/1.1"
    made.client_addr = None
    return made


def start(headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": headers}


def body(piece: bytes, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": piece, "more_body": more}


@pytest.mark.parametrize("first", [b"one", b""])
def test_a_stream_is_a_write_for_each_piece_and_none_for_its_head_and_end(first: bytes) -> None:
    line = Line()
    answer = request(line)
    answer.handle_reply(start(HEADERS))
    assert not line.writes
    answer.handle_reply(body(first, more=True))
    assert answer.pipe(b"two") is None
    answer.handle_reply(body(b"the end", more=False))
    chunk = b"3\r\none\r\n" if first else b""
    assert line.writes == [HEAD + chunk, b"3\r\ntwo\r\n", b"7\r\nthe end\r\n0\r\n\r\n"]
    assert answer.finished and not line.wait_for_the_loop


def test_a_whole_answer_is_one_write() -> None:
    line = Line()
    answer = request(line)
    answer.handle_reply(start([(b"Content-Length", b"2")]))
    answer.handle_reply(body(b"ok", more=False))
    assert line.writes == [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: test\r\n\r\nok"]
    assert answer.finished and not line.wait_for_the_loop


@pytest.mark.parametrize("left", [0, 1])
def test_what_is_left_of_an_answer_is_watched(left: int) -> None:
    line = Line()
    answer = request(line)
    answer.handle_reply(start([(b"Content-Length", b"2")]))
    whole = len(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: test\r\n\r\nok")
    line.takes = whole - left
    answer.handle_reply(body(b"ok", more=False))
    assert answer.finished and line.watched == bool(left) == bool(line.wait_for_the_loop)


def test_an_end_that_begins_the_next_answer_takes_it_along() -> None:
    """Asked for meanwhile, and answered on the spot."""
    line = Line()
    answer, following = request(line), request(line)

    def answer_next(done: Request) -> None:
        following.handle_reply(start([(b"Content-Length", b"2")]))
        following.handle_reply(body(b"ok", more=False))

    answer.channel.requestDone = answer_next
    answer.handle_reply(start(HEADERS))
    answer.handle_reply(body(b"one", more=True))
    answer.handle_reply(body(b"end", more=False))
    assert line.writes == [
        HEAD + b"3\r\none\r\n",
        b"3\r\nend\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: test\r\n\r\nok",
    ]
    assert following.finished and not line.wait_for_the_loop
