"""A request in one piece is read like the same bytes one by one, however odd it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.web import http
from twisted.web.iweb import INonQueuedRequestFactory
from zope.interface import provider

from playground.plain import plain_request
from playground.wire import Channel

PLAIN = (
    b"POST /v1/completions?a=b HTTP/1.1\r\nHost: x:1\r\nAuthorization: Bearer k\r\n"
    b"content-type:application/json\r\nContent-Length: 5\r\n\r\n{x: }"
)
ODD = [
    PLAIN.replace(b": 5", b": 4"),
    PLAIN.replace(b": 5", b": 6"),
    PLAIN.replace(b": 5", b": +5"),
    PLAIN.replace(b": 5", b": 05"),
    PLAIN.replace(b": 5", b": 5, 5"),
    PLAIN.replace(b"Host: x:1", b"Content-Length: 5"),
    PLAIN.replace(b"Host: x:1", b"Content-Length: 0"),
    PLAIN.replace(b"Host: x:1", b"Content-Length: 7"),
    PLAIN.replace(b"Host: x:1", b"Transfer-Encoding: chunked"),
    PLAIN.replace(b"Host: x:1", b"Transfer-Encoding : identity"),
    PLAIN.replace(b"Host: x:1", b"Expect: 100-continue"),
    PLAIN.replace(b"Host: x:1", b"Connection: close"),
    PLAIN.replace(b"Host: x:1", b"Connection: keep-alive"),
    PLAIN.replace(b"Host: x:1", b"Host:\r\nHost: y"),
    PLAIN.replace(b"Host: x:1", b"Host: x\r\n folded"),
    PLAIN.replace(b"Host: x:1", b"Host : x"),
    PLAIN.replace(b"Host: x:1", b"Host\t: x"),
    PLAIN.replace(b"Host: x:1", b"Host: \tx\t"),
    PLAIN.replace(b"Host: x:1", b"Host: x\rEvil: y"),
    PLAIN.replace(b"Host: x:1", b"Host: x\nEvil: y"),
    PLAIN.replace(b"Host: x:1", b"Host: \x00"),
    PLAIN.replace(b"Host: x:1", b"Host: \xff"),
    PLAIN.replace(b"Host: x:1", b": x"),
    PLAIN.replace(b"Host: x:1", b"nothing"),
    PLAIN.replace(b"Host: x:1", b"Under_Score: x"),
    PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
    PLAIN.replace(b"HTTP/1.1", b"HTTP/1.1 "),
    PLAIN.replace(b"POST ", b"POST  "),
    PLAIN.replace(b"POST", b"post"),
    PLAIN.replace(b"/v1", b"http://x/v1"),
    PLAIN.replace(b"/v1", b"/\xff"),
    PLAIN.replace(b"POST", b"PUT"),
    PLAIN.replace(b"\r\n", b"\n"),
    b"\r\n" + PLAIN,
    PLAIN + PLAIN,
    PLAIN[:-1],
    PLAIN + b"GET",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\nrest",
    b"GET / HTTP/1.1",
    b"GET /" + b"x" * 17000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 600 + b"\r\n",
]


@provider(INonQueuedRequestFactory)
class Heard(http.Request):
    """Notes what came through, and answers nothing of note."""

    def __init__(self, channel: Channel) -> None:
        # Bodies are not taken for forms, as `playground.wire.Request` does not.
        super().__init__(channel, parsePOSTFormSubmission=False)

    def process(self) -> None:
        headers = sorted((k.lower(), v) for k, v in self.requestHeaders.getAllRawHeaders())
        self.channel.heard.append((self.method, self.uri, headers, self.content.read()))
        self.setHeader(b"content-length", b"2")
        self.write(b"ok")
        self.finish()


class Kept(Channel):
    """A connection that is not measured by any clock."""

    requestFactory = Heard
    timeOut = None

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    def callLater(self, seconds: float, work: Any) -> Any:
        return _Never()


class _Never:
    def cancel(self) -> None:
        """Nothing was to happen."""

    def reset(self, seconds: float) -> None:
        """Never is never."""


def read(pieces: list[bytes]) -> tuple[list[Any], bytes, bool]:
    """What was understood, what was answered, and whether the connection is to end."""
    channel, transport = Kept(), StringTransport()
    channel.makeConnection(transport)
    for piece in pieces:
        if not transport.disconnecting:
            channel.dataReceived(piece)
    return channel.heard, transport.value(), transport.disconnecting


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def test_a_plain_request_is_seen_to_be_plain() -> None:
    found = plain_request(PLAIN)
    assert found is not None
    assert (found.method, found.path, found.body) == (b"POST", b"/v1/completions?a=b", b"{x: }")
    assert found.headers[1] == (b"authorization", b"Bearer k")
    assert read([PLAIN])[0] and read([PLAIN]) == read(one_by_one(PLAIN))


@pytest.mark.parametrize("data", ODD, ids=range(len(ODD)))
def test_an_odd_request_is_read_the_same_in_any_pieces(data: bytes) -> None:
    assert read([data]) == read(one_by_one(data))
    # And on a connection that was used before.
    assert read([PLAIN, data]) == read([*one_by_one(PLAIN), *one_by_one(data)])


@settings(max_examples=1000)
@given(
    st.integers(0, len(PLAIN) - 1),
    st.integers(0, 3),
    st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\0", b"\x85", b",", b"5"]),
)
def test_a_damaged_request_is_read_the_same_in_any_pieces(at: int, gone: int, new: bytes) -> None:
    data = PLAIN[:at] + new + PLAIN[at + gone :]
    assert read([data]) == read(one_by_one(data))
