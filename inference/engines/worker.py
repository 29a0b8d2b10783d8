"""A child process that runs one program: `python -m inference.engines.worker < socket`.

Three threads: one reads what the parent says, one looks at calls before they run (`prepare`), and
the main one does the work. When the parent goes away the socket closes, and the process ends.
"""

from __future__ import annotations

import importlib
import os
import queue
import socket
import sys
import threading
import traceback
from collections.abc import Iterable
from typing import Any

from inference.engines import child
from inference.engines.batcher import Batcher, Job
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
    failure,
    packed,
    plain,
    to_child,
)
from inference.engines.program import Call, Last


class Channel:
    """The socket to the parent, for any number of threads that send and one that reads."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: FromChild) -> None:
        """Send one message; what cannot be sent is told as a failure of its call."""
        try:
            frame = packed(message)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            frame = packed(failure(getattr(message, "key", 0), error))
        with self._lock:
            self._connection.sendall(frame)

    def receive(self) -> ToChild:
        """The next message. Raises EOFError when the parent is gone."""
        (length,) = LENGTH.unpack(self._exactly(LENGTH.size))
        if length > MAX_BYTES:
            raise EOFError("This is no message.")
        return to_child(self._exactly(length))

    def _exactly(self, count: int) -> bytearray:
        found = bytearray(count)
        view = memoryview(found)
        while view:
            read = self._connection.recv_into(view)
            if not read:
                raise EOFError("The parent is gone.")
            view = view[read:]
        return found


class Worker:
    """The program and all that waits for it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._inbox: queue.SimpleQueue[ToChild] = queue.SimpleQueue()
        self._to_prepare: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        self._streams: set[int] = set()
        self._program: Any = None
        self._batcher = Batcher(1, 0.0)

    def serve(self) -> None:
        """Load, then work until the parent goes away."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        load = self._inbox.get()
        assert isinstance(load, Load)
        if not self._load(load):
            return
        threading.Thread(target=self._prepare, name="prepare", daemon=True).start()
        while True:
            self._take_in()
            for key, answer in self._batcher.run(self._program):
                self._answer(key, answer, last=True)
            if self._streams:
                self._step()

    # --- threads beside the main one -------------------------------------------------------------

    def _read(self) -> None:
        try:
            while True:
                self._sort(self._channel.receive())
        except (EOFError, OSError):
            # Not sys.exit: the main thread may be deep in a computation and never see it.
            os._exit(0)

    def _sort(self, message: ToChild) -> None:
        if isinstance(message, Ping):
            self._channel.send(message)
        elif isinstance(message, Ask) and message.way == "prepare":
            self._to_prepare.put(message)
        else:
            self._inbox.put(message)

    def _prepare(self) -> None:
        while True:
            asked = self._to_prepare.get()
            try:
                answer = self._program.prepare(_call(asked))
            except Exception as error:  # whatever a program raises; its caller is told
                answer = error
            self._answer(asked.key, answer, last=True)

    # --- the main thread -------------------------------------------------------------------------

    def _load(self, load: Load) -> bool:
        try:
            module, _, name = load.program.partition(":")
            self._program = getattr(importlib.import_module(module), name)(**load.arguments)
            facts = self._program.load()
        except Exception as error:  # whatever a model's parts raise; the parent is told
            traceback.print_exc()
            self._channel.send(failure(0, error))
            return False
        self._batcher = Batcher(load.max_batch_size, load.max_wait)
        self._channel.send(Loaded(plain(facts)))
        return True

    def _take_in(self) -> None:
        """Read what has come; with nothing to do, wait for it."""
        while (message := self._next()) is not None:
            if isinstance(message, Ask):
                self._begin(message)
            elif isinstance(message, Drop):
                self._drop(message.key)

    def _next(self) -> ToChild | None:
        timeout = 0.0 if self._streams else self._batcher.patience()
        try:
            return self._inbox.get(timeout != 0.0, timeout)
        except queue.Empty:
            return None

    def _begin(self, asked: Ask) -> None:
        call = _call(asked)
        try:
            if asked.way == "stream":
                self._program.begin(asked.key, call)
                self._streams.add(asked.key)
            else:
                parts = self._program.parts(call)
                calls = [call] if parts is None else list(parts)
                sizes = [self._program.size(each) for each in calls]
                self._batcher.add(Job(asked.key, calls, sizes, whole=parts is None))
        except Exception as error:  # whatever a program raises; its caller is told
            self._answer(asked.key, error, last=True)

    def _drop(self, key: int) -> None:
        self._batcher.drop(key)
        if key in self._streams:
            self._streams.discard(key)
            self._program.drop(key)
        # Until it hears that, the parent takes what was left for work that goes on.
        self._channel.send(Piece(key, None, last=True))

    def _step(self) -> None:
        try:
            pieces: Iterable[tuple[int, Any]] = self._program.step()
        except Exception as error:  # a program that does not say whose fault it was
            pieces = [(key, error) for key in self._streams]
            for key in self._streams:
                self._program.drop(key)
        for key, piece in pieces:
            last = isinstance(piece, Last | BaseException)
            if last:
                self._streams.discard(key)
            self._answer(key, piece.value if isinstance(piece, Last) else piece, last)

    def _answer(self, key: int, answer: Any, last: bool) -> None:
        if isinstance(answer, BaseException):
            self._channel.send(_told(key, answer))
            return
        self._channel.send(Piece(key, plain(answer), last))


def _call(asked: Ask) -> Call:
    return Call(asked.task, asked.inputs, asked.parameters)


def _told(key: int, error: BaseException) -> Failed:
    trace = "".join(traceback.format_exception(error))
    failed = failure(key, error, trace[-20_000:])
    if failed.kind == "program":
        # Where, but not what it says: that may quote what somebody sent.
        where = "".join(traceback.format_tb(error.__traceback__))
        print(f"A call failed:\n{where}{type(error).__name__}", file=sys.stderr, flush=True)
    return failed


def attend(connection: socket.socket) -> None:
    """Be the worker at the other end of this socket, until it closes."""
    Worker(Channel(connection)).serve()


def main() -> None:
    """Take the socket from where standard input would be."""
    connection = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if child.SERVER_PID in os.environ:
        child.follow(int(os.environ[child.SERVER_PID]))
    attend(connection)


if __name__ == "__main__":
    main()
