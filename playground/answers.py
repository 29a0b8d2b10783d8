"""Answers over the websocket, which may outlive the connection on which they were asked for.

An answer is a task that writes down what is said; pages read that from wherever they stand. What is
new goes to them by plain calls: a task woken for each token would cost as much again. When a
connection is lost the answer goes on, and whoever comes back with the same `Owner` gets the rest,
no token twice and none lost. What is kept so is bounded in number, in time and in bytes.
"""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_right
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, NamedTuple, Protocol

import orjson

from inference import errors

# Of one page, at the same time.
MAX_REPLIES = 4
# Of answers that nobody reads, waiting for their page to come back.
MAX_KEPT = 256
MAX_KEPT_PER_ACCOUNT = 16
MAX_KEPT_BYTES = 32 * 2**20
# Characters of an answer that are kept together.
PIECE = 4096
# Characters that nobody has been sent yet; then the model waits. No answer that people read is so
# long: this is for those who ask for much and read nothing.
MAX_AHEAD = 128 * 1024


class Line(Protocol):
    """A connection to write frames on."""

    @property
    def is_free(self) -> bool:
        """Whether the other end takes what is written."""

    def write(self, text: bytes) -> None:
        """Send one frame; nothing where the connection is being closed."""


class Owner(NamedTuple):
    """Whose answer it is: a person, or nobody by name, and the secret of their page."""

    user_id: int | None
    session: str


class Place(NamedTuple):
    """How far somebody has read: characters of text and reasoning, pieces of tool calls."""

    text: int = 0
    reasoning: int = 0
    calls: int = 0


class News(NamedTuple):
    """What a "token" frame tells: what is new, the count of tokens so far, and up to where."""

    text: str
    reasoning: str
    calls: Sequence[Mapping[str, Any]]
    tokens: int
    at: Place


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer's name, and by whom it was asked for."""

    owner: Owner
    name: str
    account: str


class Written:
    """Text that grows at its end, and is read from any place on.

    What is old stands in strings, which take a byte a character where they are ASCII. A buffer to
    write to takes four, and a string for each token some fifty.
    """

    __slots__ = ("_pieces", "_starts", "_tail", "length")

    def __init__(self) -> None:
        self.length = 0
        self._pieces: list[str] = []
        # Where each piece begins, and at last where the tail does.
        self._starts = [0]
        self._tail = StringIO()

    def write(self, text: str) -> None:
        """Put it at the end."""
        self._tail.write(text)
        self.length += len(text)
        if self._tail.tell() >= PIECE:
            self._pieces.append(self._tail.getvalue())
            self._starts.append(self.length)
            self._tail = StringIO()

    def since(self, start: int) -> str:
        """Everything from there on."""
        if start >= self.length:
            return ""
        first = bisect_right(self._starts, start) - 1
        if first < len(self._pieces):
            found = [*self._pieces[first:], self._tail.getvalue()]
            found[0] = found[0][start - self._starts[first] :]
            return "".join(found)
        # Reading leaves the buffer at its end, to write on.
        self._tail.seek(start - self._starts[-1])
        return self._tail.read()

    @property
    def bytes(self) -> int:
        """What it takes of memory."""
        return sum(map(sys.getsizeof, self._pieces)) + 4 * (self.length - self._starts[-1])


class Reply:
    """What is said in one answer, and who listens."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.tokens = 0
        # A tuple, because one may leave while all are told.
        self.readers: tuple[Reader, ...] = ()
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self._text, self._reasoning = Written(), Written()
        self._calls: list[Mapping[str, Any]] = []
        # Where somebody stands who has read all.
        self._end = Place()
        self.waiting: Mapping[str, Any] | None = None
        self.last: Mapping[str, Any] | None = None
        self._read = 0
        self._bell = asyncio.Event()

    # --- writing ---------------------------------------------------------------------------------

    def put(
        self, text: str, reasoning: str, calls: Sequence[Mapping[str, Any]], tokens: int
    ) -> None:
        """What the model says next; `tokens` is the count so far."""
        self.tokens = tokens
        if not (text or reasoning or calls):
            return
        before = self._end
        if text:
            self._text.write(text)
        if reasoning:
            self._reasoning.write(reasoning)
        if calls:
            self._calls.extend(calls)
        self._end = end = Place(self._text.length, self._reasoning.length, len(self._calls))
        news = News(text, reasoning, calls, tokens, end)
        for reader in self.readers:
            reader.hear(news, before)

    def wait(self, news: Mapping[str, Any]) -> None:
        """Where the question stands in the queue."""
        self.waiting = dict(news)
        self._tell()

    def end(self, **frame: Any) -> None:
        """The last frame; nothing comes after it."""
        self.last = frame
        self._tell()

    @property
    def ended(self) -> bool:
        """Whether the last word is said."""
        return self.last is not None

    @property
    def bytes(self) -> int:
        """About what it takes of memory."""
        return self._text.bytes + self._reasoning.bytes + 256 * len(self._calls)

    @property
    def is_ahead(self) -> bool:
        """Whether so much is unread that its writer is to wait until `caught_up`."""
        return self._text.length + self._reasoning.length - self._read > MAX_AHEAD

    async def caught_up(self) -> None:
        """Wait until somebody was sent what there is."""
        while self.is_ahead:
            self._bell.clear()
            await self._bell.wait()

    def note_read(self, place: Place) -> None:
        """Somebody was sent everything up to there."""
        self._read = max(self._read, place.text + place.reasoning)
        self._bell.set()

    def _tell(self) -> None:
        for reader in self.readers:
            reader.go_on()

    # --- reading ---------------------------------------------------------------------------------

    def since(self, place: Place) -> News | None:
        """All that is new since `place`; None if nothing is."""
        text = self._text.since(place.text)
        reasoning = self._reasoning.since(place.reasoning)
        calls = self._calls[place.calls :]
        if not (text or reasoning or calls):
            return None
        return News(text, reasoning, calls, self.tokens, self._end)

    def has(self, place: Place) -> bool:
        """Whether so much was said at all."""
        return all(0 <= at <= end for at, end in zip(place, self._end, strict=True))


class Reader:
    """One connection's way through an answer, from a place to its end.

    What is new leaves at once while the line is free, else in one piece when it is free again: a
    model that is faster than the connection makes larger frames, not more of them, and a page that
    stalls holds up neither the model nor its slot.
    """

    __slots__ = ("_ended", "_head", "_line", "_place", "_told", "reply")

    def __init__(
        self, reply: Reply, line: Line, place: Place, ended: Callable[[Reader], None]
    ) -> None:
        self.reply = reply
        self._line = line
        self._place = place
        self._ended = ended
        self._told: Mapping[str, Any] | None = None
        # The same for every token, so it is written once.
        self._head = b'{"type":"token","id":%b,"text":' % orjson.dumps(reply.asked.name)

    def hear(self, news: News, before: Place) -> None:
        """What was just said, after `before`: nearly always all that is new."""
        if self._place is before and self._line.is_free:
            self._send(news)
        else:
            self.go_on()

    def go_on(self) -> None:
        """Send what is new, as far as the line takes it."""
        reply, line = self.reply, self._line
        if line.is_free and (news := reply.since(self._place)):
            self._send(news)
        if not line.is_free:
            return
        if reply.last is not None:
            self._say(reply.last)
            self.leave()
        elif reply.waiting is not self._told and reply.waiting is not None:
            self._told = reply.waiting
            self._say({"type": "waiting", **self._told})

    def leave(self) -> None:
        """Read no more; again is no error."""
        readers = self.reply.readers
        if self in readers:
            self.reply.readers = tuple(each for each in readers if each is not self)
            self._ended(self)

    def _send(self, news: News) -> None:
        self._place = news.at
        self._line.write(self._frame(news))
        self.reply.note_read(news.at)

    def _frame(self, news: News) -> bytes:
        text, reasoning, calls, tokens, at = news
        more = b',"reasoning":%b' % orjson.dumps(reasoning) if reasoning else b""
        if calls:
            more += b',"tool_calls":%b' % orjson.dumps(calls)
        fields = (self._head, orjson.dumps(text), more, tokens, *at)
        return b'%b%b%b,"tokens":%d,"at":[%d,%d,%d]}' % fields

    def _say(self, fields: Mapping[str, Any]) -> None:
        self._line.write(orjson.dumps({"id": self.reply.asked.name, **fields}))


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
            # When is not told: how long an answer gets nobody knows, and a frame has no headers.
            raise errors.AccountQueueFull(f"This page has {MAX_REPLIES} answers running already.")

    def start(self, asked: Asked, work: Callable[[Reply], Coroutine[Any, Any, None]]) -> Reply:
        """Begin an answer; `work` writes it."""
        reply = Reply(asked)
        self._replies[asked.owner, asked.name] = reply
        reply.task = asyncio.create_task(work(reply))
        return reply

    async def ended(self, seconds: float) -> None:
        """Wait until none runs any more, but not longer than that."""
        running = [r.task for r in self._replies.values() if r.task and not r.ended]
        if running:
            await asyncio.wait(running, timeout=seconds)

    def stop(self, reply: Reply) -> None:
        """Cut it short; one that has just ended by itself is no error."""
        if reply.task is not None and not reply.ended:
            reply.task.cancel()

    def follow(self, reader: Reader) -> None:
        """Let a connection have the answer as it comes."""
        reply = reader.reply
        if reply.timer is not None:
            reply.timer.cancel()
            reply.timer = None
        reply.readers += (reader,)
        reader.go_on()

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
