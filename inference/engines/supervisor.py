"""The parent's side of one worker: its process, and who waits for which answer.

A worker that dies, for whatever reason, fails exactly the calls that it had, and says in words why.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import socket
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import MsgspecError

from inference.engines.child_process import ChildProcess
from inference.engines.messages import (
    LENGTH,
    MAX_BYTES,
    Ask,
    Drop,
    Failed,
    FromChild,
    Load,
    Loaded,
    Piece,
    Ping,
    ToChild,
    error_of,
    from_child,
    packed,
    plain,
)
from inference.engines.program import Call
from inference.engines.watchdog import Watchdog
from inference.errors import EngineCrashed, InferenceError, InvalidRequest, LoadFailed, OutOfMemory

logger = logging.getLogger(__name__)

# A picture goes in one piece, where the system allows so much: each further piece waits until both
# ends had the CPU again.
BUFFER_BYTES = 4 * 2**20
PING_SECONDS = 5.0
# A worker answers pings on a thread of its own: silence means that it is stopped, or holds the GIL.
DEAF_SECONDS = 25.0
WATCH_SECONDS = 0.25


class Pending:
    """The calls that one thread of a worker has, and when it last said something of one of them.

    What was taken back is still its work until it has let go of it: whoever leaves a worker that
    hangs does not make it well.
    """

    def __init__(self) -> None:
        self.heard = 0.0
        self._keys: set[int] = set()

    @property
    def are_awaited(self) -> bool:
        """Whether it has work."""
        return bool(self._keys)

    def begin(self, key: int) -> None:
        """It has one more."""
        if not self._keys:
            self.heard = time.monotonic()
        self._keys.add(key)

    def hear(self, key: int, over: bool) -> None:
        """Something was said of this call, which may be another thread's."""
        if key not in self._keys:
            return
        self.heard = time.monotonic()
        if over:
            self._keys.discard(key)


class Supervisor:
    """One child process with one program in it.

    `prefix` is a command that the child runs under, such as a jail. `max_bytes` bounds what it may
    say in answer to one call. A child that has calls and does nothing for `hang_seconds` is ended.
    """

    def __init__(
        self,
        name: str,
        log: Path,
        kind: str = "cpu",
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
        hang_seconds: float = math.inf,
    ) -> None:
        self._name = name
        self._process = ChildProcess(log, kind, prefix, env)
        self._max_bytes = max_bytes
        self._keys = itertools.count(1)
        self._calls: dict[int, asyncio.Queue[FromChild | None]] = {}
        # Bytes of the answers so far: nobody may have read them yet.
        self._said: dict[int, int] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._gone = asyncio.Event()
        self._reason = ""
        self._heard = 0.0
        # One each: prompts that are read do not tell that the model computes.
        self._to_prepare, self._to_run = Pending(), Pending()
        self._watchdogs = [
            Watchdog(pending, self._process, hang_seconds)
            for pending in (self._to_prepare, self._to_run)
        ]

    # --- life ------------------------------------------------------------------------------------

    async def start(self, load: Load) -> Mapping[str, Any]:
        """Start the child and load the program; its facts. Raises LoadFailed or OutOfMemory."""
        answers: asyncio.Queue[FromChild | None] = asyncio.Queue()
        self._calls[0] = answers
        try:
            reader = await self._connected()
            self._tasks.append(asyncio.create_task(self._read(reader)))
            await self._write(packed(load))
            answer = await answers.get()
        except EngineCrashed:
            answer = None
        except OSError as error:
            raise LoadFailed(f"Its process did not start: {error}") from error
        finally:
            self._calls.pop(0, None)
        if isinstance(answer, Loaded):
            self._tasks.append(asyncio.create_task(self._watch()))
            self._tasks.append(asyncio.create_task(self._watch_work()))
            return answer.facts
        if isinstance(answer, Failed):
            raise _load_error(answer)
        await self._gone.wait()
        if self._process.was_killed:
            # Another rung may do.
            raise OutOfMemory(f"While it loaded, {self._reason}.", 30)
        raise LoadFailed(f"While it loaded, {self._reason}.")

    async def _connected(self) -> asyncio.StreamReader:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        try:
            starting = asyncio.create_task(asyncio.to_thread(self._process.start, theirs))
            try:
                await asyncio.shield(starting)
            except asyncio.CancelledError:
                # The thread cannot be called off: wait, so that `stop` finds what it started.
                await asyncio.wait([starting])
                raise
            ours.setblocking(False)
            reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return reader

    @property
    def process_id(self) -> int | None:
        """The process that was started, where it was started afresh."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it may still be asked."""
        return self._writer is not None and not self._gone.is_set()

    async def died(self) -> str:
        """Return, in words, once the child is gone."""
        await self._gone.wait()
        return self._reason

    async def stop(self) -> None:
        """End the child and wait until its memory is free."""
        await self.kill("it was stopped")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()

    async def kill(self, reason: str) -> None:
        """End the child; whoever waits for it hears the reason."""
        self._reason = self._reason or reason
        await asyncio.to_thread(self._process.kill)
        self._bury()

    def _bury(self) -> None:
        self._gone.set()
        for answers in self._calls.values():
            answers.put_nowait(None)

    # --- calls -----------------------------------------------------------------------------------

    async def ask(self, call: Call, way: str = "run") -> Any:
        """The answer to one call. Raises what went wrong; cancelling it takes the call back."""
        async with contextlib.aclosing(self.stream(call, way)) as pieces:
            return await anext(pieces)

    async def stream(self, call: Call, way: str = "stream") -> AsyncGenerator[Any, None]:
        """The pieces of an answer. Closing it takes the call back."""
        key, over = next(self._keys), False
        frame = _question(key, way, call)
        answers: asyncio.Queue[FromChild | None] = asyncio.Queue()
        self._calls[key] = answers
        (self._to_prepare if way == "prepare" else self._to_run).begin(key)
        try:
            await self._write(frame)
            while not over:
                answer = await self._next(answers)
                over = answer.last
                yield answer.value
        except InferenceError:
            over = True
            raise
        finally:
            self._calls.pop(key, None)
            self._said.pop(key, None)
            if not over and self.alive and way != "prepare":
                self._say_soon(Drop(key))

    async def _next(self, answers: asyncio.Queue[FromChild | None]) -> Piece:
        answer = await answers.get()
        if isinstance(answer, Failed):
            if answer.kind == "fatal":
                await self.kill(answer.message.rstrip("."))
                raise self._crashed()
            raise error_of(answer)
        if not isinstance(answer, Piece):
            raise self._crashed()
        return answer

    def _crashed(self) -> EngineCrashed:
        return EngineCrashed(f"The engine of `{self._name}` is gone: {self._reason or 'it ended'}.")

    async def _write(self, frame: bytes) -> None:
        if not self.alive or self._writer is None:
            raise self._crashed()
        try:
            self._writer.write(frame)
            await self._writer.drain()
        except OSError as error:
            # The failure closes both directions: the reader finds the same end, and why.
            await self._gone.wait()
            raise self._crashed() from error

    def _say_soon(self, message: ToChild) -> None:
        """Whatever is still unsent before it: a worker that reads nothing holds nobody up here."""
        assert self._writer is not None
        with contextlib.suppress(OSError):  # it dies in this moment
            self._writer.write(packed(message))

    # --- what the child says ---------------------------------------------------------------------

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                if length > self._max_bytes:
                    raise ValueError(f"it said {length:,} bytes at once")
                self._heard_of(from_child(await reader.readexactly(length)), length)
        except (asyncio.IncompleteReadError, OSError):
            self._reason = self._reason or await asyncio.to_thread(self._process.last_words)
        except (MsgspecError, ValueError, RecursionError) as error:
            # Not a program of ours any more, or one that was taken over.
            self._reason = self._reason or f"it spoke nonsense ({error})"
        await asyncio.to_thread(self._process.kill)
        self._bury()

    def _heard_of(self, message: FromChild, length: int) -> None:
        self._heard = asyncio.get_running_loop().time()
        key = 0 if isinstance(message, Loaded) else getattr(message, "key", -1)
        over = isinstance(message, Failed) or (isinstance(message, Piece) and message.last)
        for pending in (self._to_prepare, self._to_run):
            pending.hear(key, over)
        answers = self._calls.get(key)
        if answers is None:
            return
        said = self._said[key] = self._said.get(key, 0) + length
        if said > self._max_bytes:
            raise ValueError(f"it said {said:,} bytes in answer to one call")
        answers.put_nowait(message)

    async def _watch(self) -> None:
        """Ask now and then whether it is still there."""
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        while self.alive:
            self._say_soon(Ping())
            await asyncio.sleep(PING_SECONDS)
            if loop.time() - self._heard > DEAF_SECONDS:
                await self.kill("it stopped answering")

    async def _watch_work(self) -> None:
        """Look now and then whether what has calls still does anything for them."""
        while self.alive:
            await asyncio.sleep(WATCH_SECONDS)
            for watchdog in self._watchdogs:
                if watchdog.uneasy and (why := await asyncio.to_thread(watchdog.look)):
                    await self.kill(why)


def _question(key: int, way: str, call: Call) -> bytes:
    inputs, parameters = plain(call.inputs), plain(dict(call.parameters))
    try:
        return packed(Ask(key, way, call.task, inputs, parameters))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidRequest(f"This cannot be sent to a model: {error}"[:500], "inputs") from error


def _load_error(failed: Failed) -> InferenceError:
    if failed.kind == "memory":
        return OutOfMemory(f"There is not enough memory to load it: {failed.message}"[:500], 30)
    return LoadFailed(failed.message[:500])
