"""What Daphne and Twisted do with the bytes of a request before the application sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import unquote

from daphne.http_protocol import HTTPFactory, WebRequest
from django.conf import settings
from twisted.web.http import NO_BODY_CODES, RESPONSES, HTTPChannel

from playground.flow import (
    Alarm,
    Doors,
    Outlet,
    TooMany,
    answer_now,
    error_bytes,
    most_connections,
)
from playground.incoming import Bodies, Body, Refusal
from playground.outgoing import Pipe, as_chunk, at_once, send_now
from playground.plain import Plain, plain_request

TOO_SLOW = "The request did not come whole in time."
UNREADABLE = "The request cannot be read: its first line or a header is malformed."
# Daphne takes their values for ASCII, whatever they are.
ASCII_HEADERS = (b"daphne-root-path", b"sec-websocket-protocol")
# Bytes a second: a body that comes faster may take longer than BODY_SECONDS, a large one has to.
SLOWEST_BODY = 16 * 1024
# A body of more than this is received in larger pieces: each costs some thirty microseconds.
LARGE_BODY_BYTES = 256 * 1024
PIECE_BYTES = 2**20


class Request(WebRequest):
    """A request whose body is neither parsed nor kept beyond the limit."""

    # Whether it was read by `plain_request`: then every sign of it has been looked at.
    is_plain = False
    _refused = False
    # From the end of its head on.
    _body: Body
    _head: dict[str, Any] | None = None
    _pipe: Pipe | None = None

    @property
    def pipe(self) -> Callable[[bytes], Outlet | None]:
        """The way out for pieces of a stream whose first one has gone out."""
        if self._pipe is None:
            if (channel := self.channel) is None:
                return _nowhere
            self._pipe = Pipe(channel.transport, channel.outlet, bool(self.chunked))
        return self._pipe

    @property
    def outlet(self) -> Outlet | None:
        """The way out; None when the connection is gone, or the answer whole."""
        channel = getattr(self, "channel", None)
        return channel and channel.outlet

    def gotLength(self, length: int | None) -> None:
        """Refuse by the announced length, before anything is read.

        Twisted would make a file for what comes, for a large body one on the disk, which is written
        and read on the event loop.
        """
        self._body = Body(self.channel.factory.bodies)
        if length is not None and length > settings.MAX_BODY_BYTES:
            self._refuse(self._body.refusal())
        elif length is not None and length > LARGE_BODY_BYTES:
            self.channel.transport.bufferSize = PIECE_BYTES

    def handleContentChunk(self, data: bytes) -> None:
        """Refuse by what has come, for bodies sent in chunks."""
        if self._refused:
            return
        if self.channel.deadline is not None:
            self.channel.deadline.put_off(len(data) / SLOWEST_BODY)
        if refusal := self._body.add(data):
            self._refuse(refusal)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Hand the request on without Twisted's form parsing.

        It would take a JSON body from plain curl for a form and spend time on it, and answer a
        multipart body without a boundary with a bare 400. Django parses the forms of pages itself.
        """
        if self._refused:
            return
        body = self._body.take()
        if self.is_plain:
            self._ask(command, path, version, body)
            return
        self.content = BytesIO(body)
        # Back to Twisted's own: room for a large piece is dear where a short one comes.
        vars(self.channel.transport).pop("bufferSize", None)
        kinds = self.requestHeaders.getRawHeaders(b"content-type")
        self.requestHeaders.removeHeader(b"content-type")
        self._content_types = kinds
        super().requestReceived(command, path, version)

    def _ask(self, method: bytes, uri: bytes, version: bytes, body: bytes) -> None:
        """Start the application, as Daphne's `process` does, less its looks at odd signs.

        No proxy of ours speaks in Daphne's own headers, and websockets come another way.
        """
        self.request_start = time.time()
        self.method, self.uri, self.clientproto = method, uri, version
        self.path, _, self.query_string = uri.partition(b"?")
        self.client_addr = [self.client.host, self.client.port]
        self.application_queue = self.server.create_application(
            self,
            {
                "type": "http",
                "http_version": "1.1",
                "method": method.decode("ascii"),
                "path": unquote(self.path.decode("ascii")),
                "raw_path": self.path,
                "root_path": self.server.root_path,
                "scheme": "https" if self.isSecure() else "http",
                "query_string": self.query_string,
                "headers": [
                    (name.lower(), value)
                    for name, values in self.requestHeaders.getAllRawHeaders()
                    for value in values
                ],
                "client": self.client_addr,
                "server": [self.host.host, self.host.port],
            },
        )
        self.application_queue.put_nowait(
            {"type": "http.request", "body": body, "more_body": False}
        )

    def process(self) -> Any:
        """Called by `requestReceived` where it would have parsed the form."""
        if self._content_types:
            self.requestHeaders.setRawHeaders(b"content-type", self._content_types)
        said = (self.requestHeaders.getRawHeaders(name, []) for name in ASCII_HEADERS)
        if not all(value.isascii() for values in said for value in values):
            return self.basic_error(400, b"Bad Request", "Invalid header value")
        return super().process()

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """What Daphne refuses to read is refused as everywhere; it would send a page."""
        if status != 400:
            super().basic_error(status, status_text, body)
            return
        said = error_bytes(status, body, "invalid_request")
        length = b"%d" % len(said)
        headers = [(b"Content-Type", b"application/json"), (b"Content-Length", length)]
        self.handle_reply({"type": "http.response.start", "status": status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": said})

    def connectionLost(self, reason: Any) -> None:
        """The client went away before it had its answer."""
        if hasattr(self, "_body"):
            self._body.drop()
        self._close()
        super().connectionLost(reason)
        self.server.client_left(self)

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Whole answers and pieces of a stream go a short way; the rest is Daphne's."""
        if self.finished or self.channel is None:
            return
        if message["type"] == "http.response.start" and self._is_plain(message):
            self._head, self._response_started = message, True
        elif message["type"] == "http.response.body":
            self._write_body(message)
        else:
            super().handle_reply(message)

    def _is_plain(self, start: dict[str, Any]) -> bool:
        """Whether the head can be written as it is, for a connection that is kept."""
        return (
            self.method != b"HEAD"
            and start["status"] not in NO_BODY_CODES
            and self.clientproto == b"HTTP/1.1"
            # Else Twisted has something to say of its own, that the connection ends.
            and not self.responseHeaders._rawHeaders
            and not any(b"\n" in value or b"\r" in value for _, value in start["headers"])
        )

    def finish(self) -> None:
        """The answer is whole."""
        self._close()
        super().finish()

    def _close(self) -> None:
        if self._pipe is not None:
            self._pipe.open = False

    def _write_body(self, message: dict[str, Any]) -> None:
        head, self._head = self._head, None
        more = message.get("more_body")
        if head is not None:
            long = any(name.lower() == b"content-length" for name, _ in head["headers"])
            if more and not long:
                self._begin_stream(head, message["body"])
                return
            if long and not more:
                self._write_whole(head, message["body"])
                return
            self._response_started = False
            super().handle_reply(head)
        elif more and self.startedWriting:
            self.pipe(message["body"])
            return
        with at_once(self.channel):
            super().handle_reply(message)

    def _begin_stream(self, head: dict[str, Any], piece: bytes) -> None:
        """Head and first piece in one write, without a turn of the loop."""
        self.chunked = 1
        lines = self._lines(head)
        lines.append(b"Transfer-Encoding: chunked\r\n\r\n")
        if piece:
            lines.append(as_chunk(piece))
        send_now(self.channel.transport, b"".join(lines))

    def _write_whole(self, head: dict[str, Any], body: bytes) -> None:
        """Head and body in one write."""
        with at_once(self.channel):
            self.channel.write(b"".join([*self._lines(head), b"\r\n", body]))
            self.finish()

    def _lines(self, head: dict[str, Any]) -> list[bytes]:
        self.startedWriting, self.code = 1, head["status"]
        reason = RESPONSES.get(self.code, b"Unknown Status")
        lines = [b"HTTP/1.1 %d %b\r\n" % (self.code, reason)]
        lines += [b"%b: %b\r\n" % each for each in head["headers"]]
        lines.append(b"Server: %b\r\n" % self.server.server_name.encode())
        return lines

    def _refuse(self, refusal: Refusal) -> None:
        """Say why as OpenAI's error, then close: the rest of the body is not wanted."""
        self._refused = True
        self._body.drop()
        answer = answer_now(*refusal)
        # Straight to the transport: Twisted would first read the request to its end.
        self.channel.transport.write(answer)
        self.channel.transport.loseConnection()


def _nowhere(piece: bytes) -> None:
    """The connection is gone."""


class Channel(HTTPChannel):
    """A connection. Most requests come in one piece and hold nothing odd: those are read at once.

    Twisted reads line by line, header by header. Whatever is not plain it reads as ever, and the
    rest of the way is the same for both. A request must have come whole by its deadline, and who
    does not read the answer for STALL_SECONDS is cut off.
    """

    # Until when a request that has begun has to be here; None between requests.
    deadline: Any = None
    _heard = False

    def connectionMade(self) -> None:
        """The first request is awaited from now on."""
        super().connectionMade()
        self.outlet = Outlet(self.transport, self.transport.abortConnection)
        self.deadline = self.callLater(settings.HEAD_SECONDS, self._too_slow)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        idle = self.line_mode and not (self.requests or self._buffer or self._busyReceiving)
        plain = plain_request(data) if idle and self.persistent else None
        if plain is not None:
            self._take(plain)
            return
        self._heard = True
        if self.deadline is None and not self.requests:
            self.deadline = self.callLater(settings.HEAD_SECONDS, self._too_slow)
        super().dataReceived(data)

    def allHeadersReceived(self) -> None:
        """The body's time begins."""
        if self.deadline is not None:
            self.deadline.reset(settings.BODY_SECONDS)
        super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """It is here."""
        self._lift()
        super().allContentReceived()

    def connectionLost(self, reason: Any) -> None:
        """Of a websocket, `playground.websocket` hears it."""
        self._lift()
        super().connectionLost(reason)
        self.factory.doors.leave(self.transport.getPeer().host)

    def timeoutConnection(self) -> None:
        """Idle is who has been sent everything. How slow others may be is the outlet's matter."""
        if self.outlet.watched:
            self.setTimeout(self.timeOut)
        else:
            super().timeoutConnection()

    def pauseProducing(self) -> None:
        """The client does not take what is written."""
        super().pauseProducing()
        self.outlet.pauseProducing()

    def resumeProducing(self) -> None:
        """It took all of it, and is idle from now on."""
        self.resetTimeout()
        super().resumeProducing()
        self.outlet.resumeProducing()

    def stopProducing(self) -> None:
        """It is gone."""
        self.outlet.stopProducing()
        super().stopProducing()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted's own answer has no body."""
        self.transport.write(answer_now(400, b"Bad Request", UNREADABLE, "invalid_request"))
        self.loseConnection()

    def _lift(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _too_slow(self) -> None:
        self.deadline = None
        if self._heard:
            self.transport.write(answer_now(408, b"Request Timeout", TOO_SLOW, "request_timeout"))
        self.loseConnection()

    def _take(self, plain: Plain) -> None:
        self._command, self._path, self._version = plain.method, plain.path, b"HTTP/1.1"
        request = self.requestFactory(self)
        request.is_plain = True
        self.requests.append(request)
        for name, value in plain.headers:
            request.requestHeaders.addRawHeader(name, value)
        self.length = len(plain.body)
        self.allHeadersReceived()
        request.handleContentChunk(plain.body)
        self.allContentReceived()


class Factory(HTTPFactory):
    """Makes connections whose requests are of our class."""

    protocol = Channel

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.timeOut = settings.CONNECTION_IDLE_SECONDS
        self.doors, self.bodies = Doors(most_connections()), Bodies()

    def log(self, request: Any) -> None:
        """Twisted would format a line of an access log that nobody reads."""

    def buildProtocol(self, addr: Any) -> Any:
        if not self.doors.enter(addr.host):
            return TooMany()
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = Request
        protocol.callLater = Alarm
        protocol.abortTimeout = settings.STALL_SECONDS
        return protocol
