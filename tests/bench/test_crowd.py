"""The clients do what they are called after, and their clocks leave nothing out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bench import crowd
from bench.crowd import LITTLE, Asking, Call, Listener, gaps, lateness

HEAD = b"HTTP/1.1 200 OK\r\nX-Request-Id: req_1\r\nTransfer-Encoding: chunked\r\n\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """A server that does this with each connection, once a request has come."""
    trouble: list[BaseException] = []

    async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.rpartition(b"Content-Length: ")[2]))
            await serve(reader, writer)
        except BaseException as error:
            trouble.append(error)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(asked, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    assert not trouble


def token(nth: int, word: str = "w") -> bytes:
    event = b'data: {"choices": [{"text": "%d:%b "}]}\n\n' % (nth, word.encode())
    return b"%x\r\n%b\r\n" % (len(event), event)


def answer(count: int, word: str = "w") -> bytes:
    return HEAD + b"".join(token(nth, word) for nth in range(count)) + b"0\r\n\r\n"


async def says_three(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(3))
    await writer.drain()
    await reader.read()  # until the client has closed


async def test_the_clock_starts_before_there_is_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect, came = Asking.connect, list[float]()

    async def connecting(self: Asking, heard: Any = None) -> Listener:
        came.append(time.perf_counter())
        return await connect(self, heard)

    monkeypatch.setattr(Asking, "connect", connecting)
    async with serving(says_three) as port:
        call = await Asking(port, "echo", 3).call("reads")
    refused = await Asking(port, "echo", 3).call("reads")
    assert call.whole and call.asked < came[0]
    assert refused.error == "ConnectionRefusedError" and refused.asked < came[1] < refused.ended


def test_drift_adds_up_and_the_first_token_counts() -> None:
    """Five a second are asked for, and each takes 0.3 s; the first one 1.3."""
    call = Call("reads", 100.0, arrivals=[101.3 + 0.3 * nth for nth in range(10)])
    assert lateness([call], 5.0) == pytest.approx([1.1 + 0.1 * nth for nth in range(10)])


def test_tokens_that_come_together_have_no_gap() -> None:
    call = Call("reads", 0.0, arrivals=[1.0, 1.0, 1.5, 1.5, 1.75])
    assert gaps([call]) == [0.5, 0.25]


@pytest.mark.parametrize(("kind", "by_reset"), [("leaves", False), ("resets", True)])
async def test_clients_crash_in_both_ways(kind: str, by_reset: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"".join(map(token, range(3))))
        try:
            assert await reader.read() == b"" and not by_reset
        except ConnectionResetError:
            assert by_reset
        ended.set()

    ended = asyncio.Event()
    async with serving(serve) as port:
        call = await Asking(port, "echo", 9).call(kind)
        await asyncio.wait_for(ended.wait(), 10)
    assert (call.tokens, call.whole, call.error) == (3, False, "ConnectionError")


@pytest.mark.parametrize(("kind", "tokens"), [("is deaf", 0), ("stalls", 1)])
async def test_who_reads_nothing_sees_that_he_is_cut_off(kind: str, tokens: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + token(0))
        await asyncio.wait_for(silent.wait(), 10)

    silent = asyncio.Event()
    async with serving(serve) as port:
        asked = asyncio.create_task(Asking(port, "echo", 9).call(kind))
        await asyncio.wait({asked}, timeout=3 * crowd.LOOK_SECONDS)
        assert not asked.done()
        silent.set()
        call = await asyncio.wait_for(asked, 10)
    assert (call.error, call.tokens) == ("Cut", tokens)


async def test_who_is_never_cut_off_loses_patience() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + token(0))
        await reader.read()

    async with serving(serve) as port:
        call = await Asking(port, "echo", 9, patience=0.2).call("is deaf")
    assert call.error == "StillOpen" and call.ended - call.asked >= 0.2


async def test_slow_clients_rest_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written waits at the server meanwhile, and comes whole in the end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(100, word))
        full.append(writer.transport.get_write_buffer_size())  # type: ignore[attr-defined]
        await writer.drain()
        await reader.read()

    def resting(line: Listener) -> None:
        rest(line)
        assert line._transport is not None
        if not line._transport.is_reading():
            rests.add(line.call.tokens // crowd.REST_TOKENS)

    word, full, rests, rest = "x" * 50_000, list[int](), set[int](), Listener.rest
    monkeypatch.setattr(crowd, "REST_SECONDS", 0.01)
    monkeypatch.setattr(Listener, "rest", resting)
    async with serving(serve) as port:
        call = await Asking(port, "echo", 100, word=word, receive=LITTLE).call("rests")
    assert call.whole and full[0] > 0 and len(rests) >= 100 // crowd.REST_TOKENS
