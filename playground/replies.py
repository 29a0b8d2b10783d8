"""What one streamed answer over a websocket needs: its counts, its pace and its outgoing text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from inference import requests


class Pace:
    """How many messages may come: a burst at once, then so many a second."""

    def __init__(self, burst: int, per_second: float) -> None:
        self.burst = burst
        self.per_second = per_second
        self.left = float(burst)
        self.seen = 0.0

    def allows(self, now: float) -> bool:
        """Whether one more message is fine now."""
        self.left = min(self.burst, self.left + (now - self.seen) * self.per_second)
        self.seen = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass
class Tally:
    """Counts and times of one answer, for the line under it."""

    started: float
    first: float | None = None
    last: float = 0.0
    tokens: int = 0
    usage: requests.Usage | None = None
    finish_reason: str | None = None

    def count(self, output: requests.Output, now: float) -> None:
        """Take one piece of answer into account."""
        self.tokens += len(output.token_ids)
        self.usage = output.usage or self.usage
        self.finish_reason = output.finish_reason or self.finish_reason
        if output.text or output.reasoning:
            self.first = self.first or now
            self.last = now

    def finished(self) -> dict[str, Any]:
        """Fields of the "done" frame of an answer that ran to its end."""
        usage = self.usage or requests.Usage(completion_tokens=self.tokens)
        self.tokens = usage.completion_tokens
        counts = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        }
        return {
            "finish_reason": self.finish_reason,
            "usage": counts,
            "timings": self.timings(),
        }

    def stopped(self) -> dict[str, Any]:
        """Fields of the "done" frame of an answer that was stopped; its prompt is not known."""
        counts = {"completion_tokens": self.tokens}
        return {"finish_reason": "stopped", "usage": counts, "timings": self.timings()}

    def timings(self) -> dict[str, float | None]:
        """Seconds to the first token, and tokens a second from there on."""
        if self.first is None:
            return {"ttft": None, "tokens_per_second": None}
        spent = self.last - self.first
        rate = (self.tokens - 1) / spent if spent > 0 and self.tokens > 1 else None
        return {"ttft": round(self.first - self.started, 3), "tokens_per_second": rate}


class Outbox:
    """Text on its way to the browser: leaves at once when nothing is being sent, else in one piece.

    A model that is faster than the connection so makes larger frames, not more of them, and a
    reader that stalls holds up neither the model nor its slot.
    """

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self._send = send
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tokens = 0
        self._sending: asyncio.Task[None] | None = None

    def put(self, text: str, reasoning: str, tokens: int) -> None:
        """Take new text; `tokens` is the count so far."""
        self._tokens = tokens
        if text:
            self._text.append(text)
        if reasoning:
            self._reasoning.append(reasoning)
        if self._sending is not None and self._sending.done():
            self._sending.result()  # a connection that broke ends the answer
            self._sending = None
        if self._sending is None:
            self._sending = asyncio.create_task(self._flush())

    async def sent(self) -> None:
        """Wait until everything is out."""
        if self._sending is not None:
            await self._sending

    async def aclose(self) -> None:
        """Forget what is not out yet."""
        if self._sending is not None:
            self._sending.cancel()

    async def _flush(self) -> None:
        while self._text or self._reasoning:
            fields: dict[str, Any] = {
                "text": "".join(self._text),
                "tokens": self._tokens,
            }
            if self._reasoning:
                fields["reasoning"] = "".join(self._reasoning)
            self._text.clear()
            self._reasoning.clear()
            await self._send(fields)
