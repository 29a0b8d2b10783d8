"""Clients of every kind, who look at each token: readers, leavers, dozers, senders of rubbish.

The echo engine numbers its tokens, so that one that is lost, doubled or out of place is seen.
`python -m bench.crowd PORT PER_SECOND SECONDS` sends rubbish.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from bench.client import Connection, NotOk

# For so long a client that dozes off does not read.
REST_SECONDS = 1.0
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


@dataclass(slots=True)
class Call:
    """One request as its client saw it."""

    kind: str
    asked: float
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
    arrivals: list[float] = field(default_factory=list)


def expected(count: int) -> str:
    """What the echo engine says to the prompt `w`."""
    return "".join(f"{i}:w " for i in range(count))


class Listener(Connection):
    """A connection whose answers are compared with what has to come; `heard` is called after."""

    def __init__(self, text: str, heard: Callable[[Listener], None] | None = None) -> None:
        super().__init__()
        self._text = text
        self._place = 0
        self._heard = heard
        self.call = Call("", 0.0)

    def begin(self, kind: str) -> Call:
        """The next request."""
        self._place = 0
        self.call = Call(kind, time.perf_counter())
        return self.call

    def close(self) -> None:
        """Go away at once, in the middle of whatever is going on."""
        if self._transport is not None:
            self._transport.abort()

    def rest(self) -> None:
        """Read nothing for a while."""
        if self._transport is not None:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(REST_SECONDS, self._transport.resume_reading)

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
            self.call.request_id = self._answer.headers[b"x-request-id"].decode()
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
            self.call.arrivals.append(time.perf_counter())
            if self._heard is not None:
                self._heard(self)

    def _take(self, data: dict[str, object]) -> None:
        if error := data.get("error"):
            assert isinstance(error, dict)
            self.call.error = str(error["code"])
            return
        choices = data["choices"]
        assert isinstance(choices, list)
        text = choices[0]["text"] if choices else ""
        if not self._text.startswith(text, self._place):
            raise Wrong(f"{text!r} where {self._text[self._place :][:40]!r} was to come")
        self._place += len(text)
        self.call.tokens += text.count(" ")


@dataclass(frozen=True, slots=True)
class Asking:
    """Where to ask for what."""

    port: int
    model: str
    tokens: int
    key: str = ""

    def request(self, stream: bool) -> bytes:
        """A completion of exactly so many tokens."""
        asked = {"model": self.model, "prompt": "w", "max_tokens": self.tokens}
        data = json.dumps(asked | {"ignore_eos": True, "stream": stream}).encode()
        key = f"Authorization: Bearer {self.key}\r\n" if self.key else ""
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{key}"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    async def connect(self, heard: Callable[[Listener], None] | None = None) -> Listener:
        """A new connection."""
        loop, text = asyncio.get_running_loop(), expected(self.tokens)
        _, made = await loop.create_connection(
            lambda: Listener(text, heard), "127.0.0.1", self.port
        )
        return made

    async def call(self, kind: str, line: Listener | None = None) -> Call:
        """One request of a client of some kind, to its end. Raises Wrong."""
        doing = {"leaves": _leave_at(self.tokens // 3), "rests": _rest}.get(kind)
        try:
            made = line or await self.connect(doing)
        except OSError as broken:
            now = time.perf_counter()
            return Call(kind, now, error=type(broken).__name__, ended=now)
        call = made.begin(kind)
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


def _leave_at(tokens: int) -> Callable[[Listener], None]:
    def heard(line: Listener) -> None:
        if line.call.tokens >= tokens:
            line.close()

    return heard


def _rest(line: Listener) -> None:
    if len(line.call.arrivals) == 1:
        line.rest()


async def send_rubbish(port: int, nth: int) -> int:
    """Something that is no request; the status of the answer, 0 for a closed line. Raises Wrong."""
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
    status = int(line.split(b" ")[1]) if line.startswith(b"HTTP/1.1 ") else 0
    if status >= 500:
        raise Wrong(f"{data[:60]!r} is answered {status}")
    return status


async def pester(port: int, per_second: float, seconds: float) -> Counter[int]:
    """So much rubbish; how it was answered. Raises Wrong."""
    loop = asyncio.get_running_loop()
    began, tasks = loop.time(), list[asyncio.Task[int]]()
    while (due := len(tasks) / per_second) < seconds:
        await asyncio.sleep(max(0.0, began + due - loop.time()))
        tasks.append(asyncio.create_task(send_rubbish(port, len(tasks))))
    return Counter(await asyncio.gather(*tasks))


def gaps(calls: list[Call]) -> list[float]:
    """Seconds between one piece of an answer and the next."""
    return [b - a for call in calls for a, b in itertools.pairwise(call.arrivals)]


def main() -> None:
    """Rubbish, from a process of its own: port, pieces a second, seconds."""
    port, per_second, seconds = sys.argv[1:]
    found = asyncio.run(pester(int(port), float(per_second), float(seconds)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
