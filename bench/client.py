"""The clients: many connections from one light process, run as `python -m bench.client JOB`.

A raw protocol and a parser that does no more than is asked of it: an HTTP library would cost more
per token than the servers that are measured. Prints one JSON line of figures.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bench.figures import percentile


@dataclass(frozen=True, slots=True)
class Job:
    """`clients` at once, each asking `requests` times, for `tokens` tokens an answer.

    They begin within `spread` seconds, one after the other. `text` stands before the question.
    """

    port: int
    model: str
    key: str
    clients: int
    requests: int
    tokens: int
    stream: bool
    text: str = ""
    spread: float = 0.0

    def begins(self, client: int) -> float:
        """Seconds from the start of the job to a client's first question."""
        return self.spread * client / self.clients

    def question(self, client: int) -> str:
        """What a client says."""
        return f"{self.text}{client}. Tell me of the capital."

    def request(self, client: int) -> bytes:
        """One chat completion, always of exactly `tokens` tokens."""
        body: dict[str, object] = {
            "model": self.model,
            "messages": [{"role": "user", "content": self.question(client)}],
            "max_tokens": self.tokens,
            "temperature": 0,
            "ignore_eos": True,
        }
        if self.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        data = json.dumps(body).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Bearer {self.key}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data


class NotOk(ValueError):
    """Another status than 200; the message has what the server said."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status}: {said}")
        self.status = status
        self.said = said

    @property
    def code(self) -> str:
        """That of OpenAI's error object."""
        try:
            return str(json.loads(self.said)["error"]["code"])
        except (ValueError, KeyError, TypeError):
            return self.said


@dataclass(slots=True)
class Answer:
    """When its events came, and what its body ends with (the usage stands there)."""

    asked: float
    headers: dict[bytes, bytes] = field(default_factory=dict)
    arrivals: list[float] = field(default_factory=list)
    events: int = 0
    ending: bytes = b""
    ended: float = 0.0


class Connection(asyncio.Protocol):
    """Keep-alive HTTP/1.1, one question at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._answer = Answer(0.0)
        self._left: int | None = None  # bytes of the body; None while the head is awaited
        self._chunked = False
        self._done: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: bytes) -> Answer:
        """Send, and wait for the whole answer."""
        assert self._transport is not None
        self._done = asyncio.get_running_loop().create_future()
        self._left, self._buffer = None, b""
        self._answer = Answer(time.perf_counter())
        self._transport.write(request)
        return await self._done

    def data_received(self, data: bytes) -> None:
        try:
            self._feed(data)
        except ValueError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("The server closed the connection."))

    def _fail(self, error: Exception) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    def _feed(self, data: bytes) -> None:
        self._buffer += data
        before = self._answer.events
        if self._left is None and not self._head():
            return
        ended = self._chunks() if self._chunked else self._whole()
        now = time.perf_counter()
        if self._answer.events > before:
            self._answer.arrivals.append(now)
        if ended and self._done is not None and not self._done.done():
            self._answer.ended = now
            self._done.set_result(self._answer)

    def _head(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        self._buffer = rest
        lines = head.lower().split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines[1:])
        self._answer.headers = headers
        if b" 200 " not in lines[0]:
            raise NotOk(int(lines[0].split(b" ")[1]), rest[:300].decode(errors="replace"))
        self._chunked = headers.get(b"transfer-encoding") == b"chunked"
        self._left = int(headers.get(b"content-length", b"0"))
        return True

    def _chunks(self) -> bool:
        """Take whole chunks off the buffer; True at the last one."""
        while True:
            size, end, rest = self._buffer.partition(b"\r\n")
            if not end:
                return False
            length = int(size, 16)
            if len(rest) < length + 2:
                return False
            self._buffer = rest[length + 2 :]
            if length == 0:
                return True
            self._body(rest[:length])

    def _whole(self) -> bool:
        assert self._left is not None
        if len(self._buffer) < self._left:
            return False
        self._body(self._buffer)
        return True

    def _body(self, body: bytes) -> None:
        # Neither server splits an event over two chunks.
        self._answer.events += body.count(b"data: ")
        self._answer.ending = (self._answer.ending + body)[-1000:]


def tokens_of(answer: Answer, name: str = "completion_tokens") -> int:
    """What the server says it made, or read."""
    _, found, rest = answer.ending.rpartition(b'"%s":' % name.encode())
    if not found:
        raise ValueError(f"No usage in {answer.ending!r}")
    return int(rest.replace(b"}", b",").split(b",")[0])


async def one_client(job: Job, number: int) -> list[Answer]:
    """Ask again as soon as there is an answer."""
    loop = asyncio.get_running_loop()
    transport, connection = await loop.create_connection(Connection, "127.0.0.1", job.port)
    request = job.request(number)
    try:
        return [await connection.ask(request) for _ in range(job.requests)]
    finally:
        transport.close()


async def run(
    job: Job, one: Callable[[Job, int], Awaitable[list[Answer]]] = one_client
) -> dict[str, float]:
    """All clients, each as `one` of its number, and their figures."""

    async def begun(number: int) -> list[Answer]:
        await asyncio.sleep(job.begins(number))
        return await one(job, number)

    began, cpu = time.perf_counter(), time.process_time()
    lists = await asyncio.gather(*map(begun, range(job.clients)))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    answers = [answer for each in lists for answer in each]
    wrong = [tokens_of(a) for a in answers if tokens_of(a) != job.tokens]
    if wrong:
        raise ValueError(f"{len(wrong)} answers had not {job.tokens} tokens but {wrong[:5]}")
    prompt = tokens_of(answers[0], "prompt_tokens")
    found = figures(job, answers, seconds)
    return {**found, "prompt_tokens": prompt, "client_cpu_share": cpu / seconds}


def figures(job: Job, answers: list[Answer], seconds: float) -> dict[str, float]:
    """What was seen from outside."""
    tokens = job.tokens * len(answers)
    # An answer that is not streamed has one arrival: its end.
    first = [(a.arrivals[0] if a.arrivals else a.ended) - a.asked for a in answers]
    gaps = [b - a for x in answers for a, b in zip(x.arrivals, x.arrivals[1:], strict=False)]
    return {
        "requests": len(answers),
        "tokens": tokens,
        "seconds": seconds,
        "requests_per_s": len(answers) / seconds,
        "tokens_per_s": tokens / seconds,
        "ttft_p50_ms": 1000 * percentile(first, 50),
        "ttft_p99_ms": 1000 * percentile(first, 99),
        "gap_p50_ms": 1000 * percentile(gaps, 50),
        "gap_p99_ms": 1000 * percentile(gaps, 99),
        "writes_per_token": sum(len(a.arrivals) for a in answers) / tokens,
    }


def as_text(job: Job) -> str:
    """A job as `main` reads it."""
    return json.dumps(dataclasses.asdict(job))


def main() -> None:
    """Run the job that the command line holds."""
    print(json.dumps(asyncio.run(run(Job(**json.loads(sys.argv[1]))))))


if __name__ == "__main__":
    main()
