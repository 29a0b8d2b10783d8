"""Clients of every kind, who look at each token: they read, crash, doze, stall and send rubbish.

The echo engine numbers its tokens, so that one that is lost, doubled or out of place is seen.
`python -m bench.crowd PORT PER_SECOND SECONDS` sends rubbish.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import orjson

from bench.client import Connection, NotOk

# For so long a client that dozes off does not read, and so many tokens later again.
REST_SECONDS, REST_TOKENS = 1.0, 20
# How often a client that reads nothing looks whether it was cut off.
LOOK_SECONDS = 0.1
# What a client takes in unread, where it is to be little (SO_RCVBUF; Linux doubles it).
LITTLE = 32 * 1024
# What no client of ours would send, and how much of it is a request.
RUBBISH = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{\"a\": [[[",
    b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n" + b"\xff" * 12,
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{\"messages\": 5}",
    b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /v1/models/%00%2e%2e%2f HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"G" * 20_000 + b"\r\n\r\n",
    b"GET /ws/chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
)  # fmt: skip


class Wrong(ValueError):
    """A token that is not the next one, or a server that breaks."""


class Cut(ConnectionError):
    """The server has ended the connection of a client that reads nothing."""


class StillOpen(TimeoutError):
    """It did not, for as long as the client had patience."""


@dataclass(slots=True)
class Call:
    """One request as its client saw it, from before it had a connection."""

    kind: str
    asked: float
    wanted: int = 0
    status: int = 0
    request_id: str = ""
    tokens: int = 0
    whole: bool = False
    # The code of an error, in an answer of its own or in an event.
    error: str = ""
    # Of a refusal: how long it took by the server's clock, and when to come back.
    took_ms: int = 0
    retry_after: int = 0
    ended: float = 0.0
    # When each token came.
    arrivals: list[float] = field(default_factory=list)


@lru_cache(maxsize=4)
def expected(count: int, word: str = "w") -> str:
    """What the echo engine says to a prompt of one word."""
    return "".join(f"{i}:{word} " for i in range(count))


class Listener(Connection):
    """A connection whose answers are compared with what has to come; `heard` is called after."""

    def __init__(self, text: str, heard: Callable[[Listener], None] | None = None) -> None:
        super().__init__()
        self._text = text
        self._place = 0
        self._rests = 0
        self._stalls = False
        self._heard = heard
        self.call = Call("", 0.0)

    def begin(self, call: Call) -> None:
        """The next request."""
        self._place = self._rests = 0
        self.call = call

    def close(self) -> None:
        """Go away at once, in the middle of whatever is going on."""
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """The same as a machine that crashed and came back does it: by a reset."""
        if self._transport is not None:
            at_once = struct.pack("ii", 1, 0)
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            self._transport.abort()

    def rest(self) -> None:
        """Read nothing for a while, once for each REST_TOKENS."""
        if self._transport is not None and self.call.tokens > REST_TOKENS * self._rests:
            self._rests += 1
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(REST_SECONDS, self._transport.resume_reading)

    def stall(self, patience: float) -> None:
        """Read nothing any more. The request ends with Cut, or StillOpen after so many seconds."""
        if self._transport is not None and not self._stalls:
            self._stalls = True
            self._transport.pause_reading()
            self._look(time.perf_counter() + patience)

    def _look(self, until: float) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if is_cut(self._socket()):
            self._fail(Cut("The server has ended the connection."))
        elif time.perf_counter() > until:
            self._fail(StillOpen("The server keeps the connection."))
        else:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look, until)

    def _socket(self) -> socket.socket:
        assert self._transport is not None
        found: socket.socket = self._transport.get_extra_info("socket")
        return found

    def _head(self) -> bool:
        try:
            known = super()._head()
        except NotOk as refusal:
            self.call.status = refusal.status
            self.call.took_ms = int(self._answer.headers.get(b"openai-processing-ms", b"0"))
            self.call.retry_after = int(self._answer.headers.get(b"retry-after", b"0"))
            raise
        if known:
            self.call.status = 200
            self.call.request_id = self._answer.headers.get(b"x-request-id", b"").decode()
        return known

    def _body(self, body: bytes) -> None:
        super()._body(body)
        if not self._chunked:
            self._take(orjson.loads(body))
            return
        before = self.call.tokens
        for event in body.split(b"\n\n"):
            if event.startswith(b"data: {"):
                self._take(orjson.loads(event[6:]))
        if self.call.tokens > before:
            self.call.arrivals += [time.perf_counter()] * (self.call.tokens - before)
            if self._heard is not None:
                self._heard(self)

    def _take(self, data: dict[str, Any]) -> None:
        if error := data.get("error"):
            self.call.error = str(error["code"])
        else:
            self._count(data)

    def _count(self, data: dict[str, Any]) -> None:
        choices = data["choices"]
        text = choices[0]["text"] if choices else ""
        if not self._text.startswith(text, self._place):
            raise Wrong(f"{text[:40]!r} where {self._text[self._place :][:40]!r} was to come")
        self._place += len(text)
        self.call.tokens += text.count(" ")


def is_cut(line: socket.socket) -> bool:
    """Whether the peer has ended the connection; nothing is read for that."""
    state = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state != 1  # TCP_ESTABLISHED


@dataclass(frozen=True, slots=True)
class Asking:
    """Where to ask for what.

    `receive` is SO_RCVBUF (0: what the system gives); for `patience` seconds a client that reads
    nothing waits to be cut off.
    """

    path: ClassVar[str] = "/v1/completions"
    port: int
    model: str
    tokens: int
    key: str = ""
    word: str = "w"
    receive: int = 0
    patience: float = 60.0

    def body(self) -> dict[str, Any]:
        """A completion of exactly so many tokens."""
        asked = {"model": self.model, "prompt": self.word, "max_tokens": self.tokens}
        return asked | {"ignore_eos": True}

    def listener(self, heard: Callable[[Listener], None] | None) -> Listener:
        """Who looks at the answer."""
        return Listener(expected(self.tokens, self.word), heard)

    def request(self, stream: bool) -> bytes:
        """Its bytes."""
        data = json.dumps(self.body() | {"stream": stream}).encode()
        key = f"Authorization: Bearer {self.key}\r\n" if self.key else ""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{key}"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    async def connect(self, heard: Callable[[Listener], None] | None = None) -> Listener:
        """A new connection."""
        loop, line = asyncio.get_running_loop(), socket.socket()
        line.setblocking(False)
        try:
            if self.receive:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive)
            await loop.sock_connect(line, ("127.0.0.1", self.port))
        except BaseException:
            line.close()
            raise
        _, made = await loop.create_connection(lambda: self.listener(heard), sock=line)
        return made

    async def call(self, kind: str, line: Listener | None = None) -> Call:
        """One request of a client of some kind, to its end. Raises Wrong.

        The clock starts before there is a connection: where many come at once, that is what takes
        long.
        """
        call = Call(kind, time.perf_counter(), self.tokens)
        try:
            made = line or await self.connect(self._manners(kind))
        except OSError as broken:
            call.error, call.ended = type(broken).__name__, time.perf_counter()
            return call
        made.begin(call)
        if kind == "is deaf":
            made.stall(self.patience)
        try:
            await made.ask(self.request(stream=kind != "whole"))
        except NotOk as refusal:
            call.error = refusal.code
            made.close()
        except OSError as broken:
            call.error = call.error or type(broken).__name__
        else:
            call.whole = not call.error and call.tokens == self.tokens
            if not (call.whole or call.error):
                raise Wrong(f"{call.tokens} tokens of {self.tokens}, and no error")
        finally:
            call.ended = time.perf_counter()
            if line is None:
                made.close()
        return call

    def _manners(self, kind: str) -> Callable[[Listener], None] | None:
        early = self.tokens // 3
        return {
            "leaves": _once_at(early, Listener.close),
            "resets": _once_at(early, Listener.reset),
            "rests": Listener.rest,
            "stalls": lambda line: line.stall(self.patience),
        }.get(kind)


def _once_at(tokens: int, do: Callable[[Listener], None]) -> Callable[[Listener], None]:
    def heard(line: Listener) -> None:
        if line.call.tokens >= tokens:
            do(line)

    return heard


async def send_rubbish(port: int, nth: int) -> int:
    """Something that is no request; the status of the answer, 0 for a closed line."""
    data = RUBBISH[nth % len(RUBBISH)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(2):
            line = await reader.readline()
    except (OSError, TimeoutError):
        return 0
    finally:
        writer.transport.abort()
    return int(line.split(b" ")[1]) if line.startswith(b"HTTP/1.1 ") else 0


async def pester(port: int, per_second: float, seconds: float) -> Counter[int]:
    """So much rubbish; how it was answered."""
    loop = asyncio.get_running_loop()
    began, tasks = loop.time(), list[asyncio.Task[int]]()
    while (due := len(tasks) / per_second) < seconds:
        await asyncio.sleep(max(0.0, began + due - loop.time()))
        tasks.append(asyncio.create_task(send_rubbish(port, len(tasks))))
    return Counter(await asyncio.gather(*tasks))


def lateness(calls: Sequence[Call], rate: float) -> list[float]:
    """Seconds that each token came after it was due.

    The engine takes 1 / rate for each, so the first is due that long after its client came and the
    others by the same schedule: what was once lost stays lost, and a little more with each token
    adds up.
    """
    return [
        at - call.asked - nth / rate for call in calls for nth, at in enumerate(call.arrivals, 1)
    ]


def gaps(calls: Sequence[Call]) -> list[float]:
    """Seconds between one piece of an answer and the next; one piece may hold several tokens."""
    return [b - a for call in calls for a, b in itertools.pairwise(call.arrivals) if b > a]


def main() -> None:
    """Rubbish, from a process of its own: port, pieces a second, seconds."""
    port, per_second, seconds = sys.argv[1:]
    found = asyncio.run(pester(int(port), float(per_second), float(seconds)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
