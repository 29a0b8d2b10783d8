"""How far a model is, on a terminal: one line that is written over, or a line for each change."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TextIO

WIDTH = 24
# Where nobody can see a line change, so often at most.
QUIET_SECONDS = 5.0


class Progress:
    """Writes to `out`; `clock` in seconds."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._said = ""
        self._when = float("-inf")
        self._open = False

    def show(self, model: dict[str, Any]) -> None:
        """What is known now."""
        line = line_of(model)
        if self._out.isatty():
            self._out.write(f"\r\x1b[K{line}")
            self._open = True
        elif line != self._said and self._clock() - self._when >= QUIET_SECONDS:
            self._out.write(f"{line}\n")
            self._when = self._clock()
        self._said = line
        self._out.flush()

    def end(self) -> None:
        """The line stays."""
        if self._open:
            self._out.write("\n")
            self._open = False


def line_of(model: dict[str, Any]) -> str:
    """A model's state in one line, with a bar where it is known how far it is."""
    words = f"{model['id']}: {model['detail'] or model['state']}"
    if model.get("progress") is None:
        return words
    done = round(WIDTH * model["progress"])
    left = model.get("ready_in")
    eta = "" if left is None else f", about {left:.0f} s left"
    return f"{words} [{'#' * done}{'.' * (WIDTH - done)}] {100 * model['progress']:.0f} %{eta}"
