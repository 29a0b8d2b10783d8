"""The stream that a caller gets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from inference.requests import Bypass, Output


class Answer:
    """The stream of one request. Iterate it inside `contextlib.aclosing`: it holds a place.

    A plain async generator would not do: closing one that was never iterated runs no `finally`.
    `queue_seconds` is how long it had waited when it began. `divert(bypass)`: while whoever
    iterates waits for the next piece, that may take it instead, at once and past all generators, if
    it is plain: neither the first nor the last, which always come here.
    """

    __slots__ = ("_cost", "_outputs", "_release", "divert", "queue_seconds")

    def __init__(
        self,
        outputs: AsyncGenerator[Output, None],
        release: Callable[[], None],
        queue_seconds: float,
        cost: Callable[[], float],
        divert: Callable[[Bypass], None],
    ) -> None:
        self.divert = divert
        self._cost = cost
        self._outputs = outputs
        self._release = release
        self.queue_seconds = queue_seconds

    def __aiter__(self) -> AsyncGenerator[Output, None]:
        return self._outputs

    @property
    def device_seconds(self) -> float:
        """What it has cost until now, in seconds of a device."""
        return self._cost()

    async def aclose(self) -> None:
        """Stop the answer and free its place; again is no error."""
        try:
            await self._outputs.aclose()
        finally:
            self._release()
