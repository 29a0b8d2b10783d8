"""Answers over the websocket, which may outlive the connection on which they were asked for.

An answer is a task that writes down what is said; pages read that from wherever they stand. When a
connection is lost the answer goes on, and whoever comes back with the same `Owner` gets the rest,
no token twice and none lost. What is kept so is bounded in number, in time and in bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, NamedTuple

from inference import errors

# Of one page, at the same time.
MAX_REPLIES = 4
# Of answers that nobody reads, waiting for their page to come back.
MAX_KEPT = 256
MAX_KEPT_PER_ACCOUNT = 16
MAX_KEPT_BYTES = 32 * 2**20

Say = Callable[..., Awaitable[None]]


class Owner(NamedTuple):
    """Whose answer it is: a person, or nobody by name, and the secret of their page."""

    user_id: int | None
    session: str


class Place(NamedTuple):
    """How far somebody has read: characters of text and reasoning, pieces of tool calls."""

    text: int = 0
    reasoning: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer's name, and by whom it was asked for."""

    owner: Owner
    name: str
    account: str


class Reply:
    """What is said in one answer, and who listens."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.tokens = 0
        self.readers = 0
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self._text, self._reasoning = StringIO(), StringIO()
        self._calls: list[Mapping[str, Any]] = []
        self._waiting: Mapping[str, Any] | None = None
        self._last: Mapping[str, Any] | None = None
        self._bells: set[asyncio.Event] = set()

    # --- writing ---------------------------------------------------------------------------------

    def put(
        self, text: str, reasoning: str, calls: Sequence[Mapping[str, Any]], tokens: int
    ) -> None:
        """What the model says next; `tokens` is the count so far."""
        self.tokens = tokens
        if text:
            self._text.write(text)
        if reasoning:
            self._reasoning.write(reasoning)
        if calls:
            self._calls.extend(calls)
        if text or reasoning or calls:
            self._ring()

    def wait(self, news: Mapping[str, Any]) -> None:
        """Where the question stands in the queue."""
        self._waiting = dict(news)
        self._ring()

    def end(self, **frame: Any) -> None:
        """The last frame; nothing comes after it."""
        self._last = frame
        self._ring()

    @property
    def ended(self) -> bool:
        """Whether the last word is said."""
        return self._last is not None

    @property
    def bytes(self) -> int:
        """About what it takes of memory: Python keeps these buffers as four bytes a character."""
        return 4 * (self._text.tell() + self._reasoning.tell()) + 256 * len(self._calls)

    def _ring(self) -> None:
        for bell in self._bells:
            bell.set()

    # --- reading ---------------------------------------------------------------------------------

    async def read(self, say: Say, place: Place) -> None:
        """Pass on everything from `place` to the end.

        What is new leaves at once when nothing is being sent, else in one piece: a model that is
        faster than the connection makes larger frames, not more of them, and a reader that stalls
        holds up neither the model nor its slot.
        """
        bell = asyncio.Event()
        told: Mapping[str, Any] | None = None
        self._bells.add(bell)
        try:
            while True:
                bell.clear()
                if fields := self.since(place):
                    place = Place(*fields["at"])
                    await say(type="token", id=self.asked.name, **fields)
                elif self._last is not None:
                    await say(id=self.asked.name, **self._last)
                    return
                elif self._waiting is not told and self._waiting is not None:
                    told = self._waiting
                    await say(type="waiting", id=self.asked.name, **told)
                else:
                    await bell.wait()
        finally:
            self._bells.discard(bell)

    def since(self, place: Place) -> dict[str, Any]:
        """The fields of a "token" frame with all that is new since `place`; none if nothing is."""
        text = _from(self._text, place.text)
        reasoning = _from(self._reasoning, place.reasoning)
        calls = self._calls[place.calls :]
        if not (text or reasoning or calls):
            return {}
        fields: dict[str, Any] = {"text": text, "tokens": self.tokens}
        if reasoning:
            fields["reasoning"] = reasoning
        if calls:
            fields["tool_calls"] = calls
        fields["at"] = [self._text.tell(), self._reasoning.tell(), len(self._calls)]
        return fields

    def has(self, place: Place) -> bool:
        """Whether so much was said at all."""
        ends = (self._text.tell(), self._reasoning.tell(), len(self._calls))
        return all(0 <= at <= end for at, end in zip(place, ends, strict=True))


def _from(buffer: StringIO, start: int) -> str:
    """What stands in the buffer from `start` on; reading leaves it at its end, to write on."""
    if start == buffer.tell():
        return ""
    buffer.seek(start)
    return buffer.read()


class Replies:
    """Every answer of this process that runs, or whose end its page has not got yet."""

    def __init__(self) -> None:
        self._replies: dict[tuple[Owner, str], Reply] = {}

    def __len__(self) -> int:
        return len(self._replies)

    def find(self, owner: Owner, name: str) -> Reply | None:
        """An answer by its name, for whoever asked for it."""
        return self._replies.get((owner, name))

    def of(self, owner: Owner) -> list[Reply]:
        """All of one page."""
        return [reply for (who, _), reply in self._replies.items() if who == owner]

    def check_room(self, owner: Owner) -> None:
        """Raise AccountQueueFull when a page has as many answers running as it may."""
        if sum(not reply.ended for reply in self.of(owner)) >= MAX_REPLIES:
            raise errors.AccountQueueFull(f"This page has {MAX_REPLIES} answers running already.")

    def start(self, asked: Asked, work: Callable[[Reply], Coroutine[Any, Any, None]]) -> Reply:
        """Begin an answer; `work` writes it."""
        reply = Reply(asked)
        self._replies[asked.owner, asked.name] = reply
        reply.task = asyncio.create_task(work(reply))
        return reply

    def stop(self, reply: Reply) -> None:
        """Cut it short; one that has just ended by itself is no error."""
        if reply.task is not None:
            reply.task.cancel()

    async def follow(self, reply: Reply, say: Say, place: Place) -> None:
        """Read to the end on one connection."""
        if reply.timer is not None:
            reply.timer.cancel()
            reply.timer = None
        reply.readers += 1
        try:
            await reply.read(say, place)
        finally:
            reply.readers -= 1

    def keep(self, reply: Reply, seconds: float) -> None:
        """Nobody reads it now: wait so long for its page to come back, then end it."""
        if reply.readers or self.find(reply.asked.owner, reply.asked.name) is not reply:
            return
        if seconds <= 0:
            self.drop(reply)
            return
        if reply.timer is not None:
            reply.timer.cancel()
        reply.timer = asyncio.get_running_loop().call_later(seconds, self.drop, reply)
        self._make_room(reply.asked.account)

    def drop(self, reply: Reply) -> None:
        """End it and forget it; again is no error."""
        if reply.timer is not None:
            reply.timer.cancel()
            reply.timer = None
        self.stop(reply)
        key = (reply.asked.owner, reply.asked.name)
        if self._replies.get(key) is reply:
            del self._replies[key]

    def _make_room(self, account: str) -> None:
        """The oldest of what nobody reads go first, where there are too many or too large ones."""
        kept = [reply for reply in self._replies.values() if reply.timer is not None]
        own = [reply for reply in kept if reply.asked.account == account]
        for reply in own[: max(0, len(own) - MAX_KEPT_PER_ACCOUNT)]:
            kept.remove(reply)
            self.drop(reply)
        size = sum(reply.bytes for reply in kept)
        while kept and (len(kept) > MAX_KEPT or size > MAX_KEPT_BYTES):
            size -= kept[0].bytes
            self.drop(kept.pop(0))


replies = Replies()
