"""What runs in a worker's child process: one loaded model, called by `worker.py` on one thread.

A program knows neither sockets nor asyncio. `worker.py` makes batches of the calls that wait,
sorted by `size`, and hands them to `run`; calls whose answer comes piece by piece go through
`begin` and `step` instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Call:
    """One question. `inputs` and `parameters` are JSON-like, with `Media` where there are bytes."""

    task: str
    inputs: Any = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Last:
    """The last piece of a stream; its `value` is a piece like any other."""

    value: Any


class Program(Protocol):
    """One model. Made in the child from the arguments that the parent gave, then loaded once.

    An error is told to its caller by its class: one of `inference.errors.RequestError` is the
    caller's own doing, memory that ran out is OutOfMemory, anything else is ProgramFailed. An
    `inference.errors.LoadFailed` (in `load`, any other error too) ends the whole program with its
    words.
    """

    def load(self) -> Mapping[str, Any]:
        """Load the model; facts for the parent, JSON-like, such as `max_model_len`."""

    def parts(self, call: Call) -> Sequence[Call] | None:
        """A call whose inputs are many, as one call for each of them; None for one that is whole.

        The result of a call in parts is the list of theirs, in this order; it fails as its first
        failing part does. Must be quick: it is asked before anything is sorted. May raise.
        """

    def size(self, call: Call) -> int:
        """How long the input is, in any unit: what is alike in size runs together."""

    def run(self, calls: Sequence[Call]) -> Sequence[Any]:
        """One result each, JSON-like with `Media`; an exception in place of one that failed.

        At most `max_batch_size` calls, of any mixture of tasks and parameters. An exception that
        is raised fails all of them; out of memory, each is tried once more by itself.
        """


class StreamingProgram(Program, Protocol):
    """A program whose answers may come in pieces, of many calls at once.

    `key` is the call's number, unique while it runs.
    """

    def begin(self, key: int, call: Call) -> None:
        """Take a call up. Quick; raises what is wrong with the call."""

    def step(self) -> Iterable[tuple[int, Any]]:
        """Move all begun calls on a little: their new pieces, each with its key.

        A `Last` ends its call, and an exception in place of a piece fails it.
        """

    def drop(self, key: int) -> None:
        """The caller left: forget the call."""


class PreparingProgram(StreamingProgram, Protocol):
    """A program that looks at calls before they run, on a thread of its own."""

    def prepare(self, call: Call) -> Any:
        """What a caller is told at once. On another thread than all the rest; may raise."""


def parts_of_list(call: Call) -> list[Call] | None:
    """`parts` for a task whose inputs may be a list of independent ones."""
    if not isinstance(call.inputs, list):
        return None
    return [Call(call.task, each, call.parameters) for each in call.inputs]
