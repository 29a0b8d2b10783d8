"""A program that does as it is told, for tests of the worker that runs it."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.engines.program import Call, Last, parts_of_list
from inference.errors import InvalidRequest, LoadFailed
from inference.requests import Media


class Obedient:
    """Echoes its inputs; the task of a call says what else it does."""

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments
        self._batches: list[list[Any]] = []
        self._counts: dict[int, Iterator[int]] = {}

    def load(self) -> Mapping[str, Any]:
        do(self._arguments.get("load", ""))
        return {"thread": threading.current_thread() is threading.main_thread(), "pid": os.getpid()}

    def parts(self, call: Call) -> list[Call] | None:
        return parts_of_list(call) if call.task == "echo" else None

    def size(self, call: Call) -> int:
        return len(call.inputs) if isinstance(call.inputs, str) else 0

    def run(self, calls: Sequence[Call]) -> list[Any]:
        self._batches.append([call.inputs for call in calls])
        return [self._one(call, len(calls)) for call in calls]

    def _one(self, call: Call, count: int) -> Any:
        if call.task == "batches":
            return self._batches[:-1]
        if call.task == "wait":
            # Until a file is there: tests decide when that is.
            Path(f"{call.inputs}.here").touch()
            while not Path(call.inputs).exists():
                time.sleep(0.005)
        if call.task == "compute":
            while not Path(call.inputs).exists():
                pass
        if call.task == "media":
            return Media(call.inputs.data[::-1], call.inputs.content_type)
        if call.inputs == "poison" or (call.inputs == "large" and count > 1):
            do("memory" if call.inputs == "large" else "raise")
        try:
            do(call.task)
        except InvalidRequest as error:
            return error
        return call.inputs

    def begin(self, key: int, call: Call) -> None:
        do(call.task)
        ends = {"trap": "raise", "stick": "block"}.get(call.task)
        self._counts[key] = trap(call.inputs, ends) if ends else iter(range(call.inputs))

    def step(self) -> list[tuple[int, Any]]:
        found: list[tuple[int, Any]] = []
        for key, numbers in [*self._counts.items()]:
            number = next(numbers, None)
            if number is None:
                self._counts.pop(key)
            found.append((key, Last(len(self._counts)) if number is None else number))
        return found

    def drop(self, key: int) -> None:
        self._counts.pop(key, None)

    def prepare(self, call: Call) -> Any:
        do(call.task)
        return [threading.current_thread().name, call.inputs]


def trap(count: int, ends: str) -> Iterator[int]:
    """Numbers, and then what breaks the step in which it is asked for one more."""
    yield from range(count)
    do(ends)


def do(what: str) -> None:
    """Misbehave in one of many ways."""
    match what:
        case "raise":
            words = " ".join(("the program's", "own"))
            raise KeyError(words)
        case "refuse":
            raise InvalidRequest("No such colour.", "parameters.colour")
        case "fail":
            raise LoadFailed("Its weights are made of cheese.")
        case "memory":
            raise MemoryError
        case "exit":
            os._exit(7)
        case "segfault":
            ctypes.string_at(0)
        case "block":
            threading.Event().wait()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "nonsense":
            for fd in range(3, 64):
                try:
                    os.write(fd, b"\x00\x00\x00\x02\xff\xff")
                except OSError:
                    continue
