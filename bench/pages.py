"""The clients of `bench.client` as pages of the playground, run as `python -m bench.pages JOB`.

Each is a websocket of its own that says what the page says. Prints one JSON line of figures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from bench.client import Answer, Job, run

# No browser masks with zeros, but a server has to take it: the frame is its own text.
MASK = bytes(4)
TEXT, CLOSE, PING = 0x1, 0x8, 0x9


def frame(fields: dict[str, object]) -> bytes:
    """A masked frame of one JSON object."""
    text = json.dumps(fields).encode()
    length = bytes([0x80 | len(text)])
    if len(text) > 125:
        length = bytes([0x80 | 126]) + len(text).to_bytes(2, "big")
    return bytes([0x80 | TEXT]) + length + MASK + text


def question(job: Job, client: int, name: str) -> bytes:
    """One chat, always of exactly `tokens` tokens."""
    text = job.question(client)
    return frame(
        {
            "type": "chat",
            "id": name,
            "model": job.model,
            "messages": [{"role": "user", "content": text}],
            "params": {"max_tokens": job.tokens, "temperature": 0, "ignore_eos": True},
        }
    )


class Page(asyncio.Protocol):
    """A page's socket, with one answer at a time."""

    def __init__(self, job: Job, number: int) -> None:
        self._hello = (
            "GET /ws/chat HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{job.port}\r\n"
            f"Origin: http://127.0.0.1:{job.port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ).encode()
        self._session = frame({"type": "hello", "session": f"{number:032d}"})
        self._transport: asyncio.Transport | None = None
        self._upgraded = asyncio.Event()
        self._buffer = b""
        self._answer = Answer(0.0)
        self._done: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._hello)

    async def ask(self, name: str, question: bytes) -> Answer:
        """Send, wait for the whole answer, and say that it was got."""
        await self._upgraded.wait()
        assert self._transport is not None
        self._done = asyncio.get_running_loop().create_future()
        self._answer = Answer(time.perf_counter())
        self._transport.write(question)
        answer = await self._done
        self._transport.write(frame({"type": "got", "id": name}))
        return answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        before = self._answer.events
        try:
            ended = self._frames()
        except ValueError as error:
            self._fail(error)
            return
        now = time.perf_counter()
        if self._answer.events > before:
            self._answer.arrivals.append(now)
        if ended and self._done is not None and not self._done.done():
            self._answer.ended = now
            self._done.set_result(self._answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("The server closed the connection."))

    def _fail(self, error: Exception) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    def _frames(self) -> bool:
        """Take whole frames off the buffer; True at the end of the answer."""
        if not self._upgraded.is_set():
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return False
            if b" 101 " not in head.split(b"\r\n")[0]:
                raise ValueError(head.decode(errors="replace"))
            assert self._transport is not None
            self._transport.write(self._session)
            self._buffer = rest
            self._upgraded.set()
        ended = False
        while (found := next_frame(self._buffer)) is not None:
            opcode, payload, self._buffer = found
            ended = self._hear(opcode, payload) or ended
        return ended

    def _hear(self, opcode: int, payload: bytes) -> bool:
        if opcode == PING:
            return False
        if opcode == CLOSE:
            raise ValueError(f"closed with {int.from_bytes(payload[:2], 'big')}")
        if b'"type":"token"' in payload:
            self._answer.events += 1
            return False
        if b'"type":"error"' in payload:
            raise ValueError(payload.decode())
        self._answer.ending = payload
        return b'"type":"done"' in payload


def next_frame(buffer: bytes) -> tuple[int, bytes, bytes] | None:
    """Kind and payload of the first frame, and what follows it; None while it is not whole."""
    if len(buffer) < 2:
        return None
    length, at = buffer[1], 2
    if length > 125:
        at = 4 if length == 126 else 10
        length = int.from_bytes(buffer[2:at], "big")
    if len(buffer) < at + length:
        return None
    return buffer[0] & 0xF, buffer[at : at + length], buffer[at + length :]


async def one_page(job: Job, number: int) -> list[Answer]:
    """Ask again as soon as there is an answer."""
    loop = asyncio.get_running_loop()
    transport, page = await loop.create_connection(lambda: Page(job, number), "127.0.0.1", job.port)
    try:
        names = [f"{number}-{nth}" for nth in range(job.requests)]
        return [await page.ask(name, question(job, number, name)) for name in names]
    finally:
        transport.close()


def main() -> None:
    """Run the job that the command line holds."""
    print(json.dumps(asyncio.run(run(Job(**json.loads(sys.argv[1])), one_page))))


if __name__ == "__main__":
    main()
