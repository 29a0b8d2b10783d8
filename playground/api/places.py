"""Places in the queue that outlive a connection, for answers that are not streamed.

Such a connection says nothing while its request waits, and proxies cut it after a minute or two. So
the request is a task of its own. When it waits too long, its client is told to ask again, and the
same body from the same account finds the task where it left it:

    answer() ── done ──────────────────────────────→ the answer
             └─ waits too long → 503 model_queued → kept ─ the same body again → answer()
                                                        └─ nobody in PLACE_SECONDS → given up
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from inference import Waiting, get_service
from inference.errors import AccountQueueFull, ModelQueued, QueueFull, ShuttingDown

# A request is in the queue, or past it, a moment after it began; then there is no hurry.
FIRST_LOOK_SECONDS = 0.1
LOOK_SECONDS = 1.0
# Bodies that wait and answers that nobody has fetched yet, all accounts together.
MAX_KEPT_BYTES = 256 * 2**20
LONGEST_RETRY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Ask:
    """Who asks for what: two that are equal may have each other's answer.

    The account may keep `limit` places; None: as many as anybody.
    """

    account: str
    path: str
    digest: bytes
    size: int
    limit: int | None = field(default=None, compare=False)

    @classmethod
    def of(cls, account: str, request: HttpRequest, limit: int | None) -> Ask:
        """The account's request, whose body has been read."""
        body = request.body
        return cls(account, request.path.rstrip("/"), sha256(body).digest(), len(body), limit)


@dataclass(eq=False, slots=True)
class Place:
    """One request on its way to its answer; `told`: its client knows that it may come back."""

    ask: Ask
    request_ids: Sequence[str]
    task: asyncio.Task[HttpResponse]
    began: float
    told: bool = False
    waiter: asyncio.Future[None] | None = field(default=None, repr=False)
    expiry: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Bytes that it holds: the body, and then the answer in its stead."""
        if not self.task.done():
            return self.ask.size
        failed = self.task.cancelled() or self.task.exception() is not None
        return 0 if failed else len(self.task.result().content)

    def waiting(self) -> Waiting | None:
        """The last of its requests that wait, or None."""
        service = get_service()
        found = [w for each in self.request_ids if (w := service.waiting(each)) is not None]
        return max(found, key=lambda w: w.position, default=None)

    @property
    def free_in(self) -> float:
        """Seconds until it is kept no more: its client comes when its turn has come, or too late.

        A client whose answer is there comes at any time, so nothing but the end is known then.
        """
        left = self.expiry.when() - asyncio.get_running_loop().time() if self.expiry else 0.0
        waiting = self.waiting()
        return left if waiting is None or waiting.eta is None else min(left, waiting.eta)

    async def give_up(self) -> None:
        """Stop it: out of the queue, or off the engine."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Places:
    """The requests whose clients went away to come back. Used on one event loop."""

    def __init__(self) -> None:
        self._kept: dict[Ask, list[Place]] = {}
        self._open = True

    async def answer(
        self,
        ask: Ask,
        request_ids: Sequence[str],
        work: Callable[[], Coroutine[Any, Any, HttpResponse]],
    ) -> HttpResponse:
        """The answer of `work`, or of the oldest place that is kept for the same ask.

        Raises what `work` raises, and ModelQueued when it waits longer than MAX_SILENT_WAIT.
        """
        place = self._taken(ask)
        if place is None:
            place = self._begin(ask, request_ids, work)
        try:
            await _done(place)
        except ModelQueued:
            place.told = True
            await self._keep(place)
            raise
        except asyncio.CancelledError:
            await (self._keep(place) if place.told else place.give_up())
            raise
        return place.task.result()

    async def close(self) -> None:
        """Give up all that nobody waits for, and keep nothing more."""
        self._open = False
        await asyncio.gather(*(self._drop(place) for place in self._all()))

    def _begin(
        self,
        ask: Ask,
        request_ids: Sequence[str],
        work: Callable[[], Coroutine[Any, Any, HttpResponse]],
    ) -> Place:
        loop = asyncio.get_running_loop()
        place = Place(ask, request_ids, loop.create_task(work()), loop.time())
        place.task.add_done_callback(lambda _: self._finished(place))
        return place

    def _taken(self, ask: Ask) -> Place | None:
        kept = self._kept.get(ask)
        if not kept:
            return None
        place = min(kept, key=lambda place: place.began)
        self._forget(place)
        return place

    async def _keep(self, place: Place) -> None:
        """Keep the place for PLACE_SECONDS. Raises a refusal where there is no room for it."""
        try:
            self._check_room(place)
        except BaseException:
            await place.give_up()
            raise
        loop = asyncio.get_running_loop()
        place.expiry = loop.call_later(settings.PLACE_SECONDS, self._expire, place)
        self._kept.setdefault(place.ask, []).append(place)

    def _check_room(self, place: Place) -> None:
        if not self._open:
            # When the next one is up is not for this one to know.
            raise ShuttingDown("The server is shutting down.", 10)
        kept, ask = self._all(), place.ask
        limit = settings.ACCOUNT_QUEUE_LIMIT if ask.limit is None else ask.limit
        own = [each for each in kept if each.ask.account == ask.account]
        if len(own) >= limit:
            message = f"You have {limit} places that are kept; that is the limit."
            raise AccountQueueFull(message, _free_in(own), limit)
        if self._bytes() + place.size > MAX_KEPT_BYTES:
            raise QueueFull("The server keeps as many places as it can.", _free_in(kept))

    def _finished(self, place: Place) -> None:
        """It may be larger now than it was: an answer for which there is no room is dropped."""
        _wake(place.waiter)
        # The size also takes note of a failure, which asyncio would else report as unheard.
        if place.size and place in self._kept.get(place.ask, ()) and self._bytes() > MAX_KEPT_BYTES:
            self._forget(place)

    def _all(self) -> list[Place]:
        return [place for kept in self._kept.values() for place in kept]

    def _bytes(self) -> int:
        return sum(place.size for place in self._all())

    def _forget(self, place: Place) -> None:
        """No longer kept; what it is doing goes on."""
        self._kept[place.ask].remove(place)
        if not self._kept[place.ask]:
            del self._kept[place.ask]
        if place.expiry is not None:
            place.expiry.cancel()

    def _expire(self, place: Place) -> None:
        self._forget(place)
        place.task.cancel()

    async def _drop(self, place: Place) -> None:
        self._forget(place)
        await place.give_up()


async def _done(place: Place) -> None:
    """Wait for the answer, as long as a silent connection may. Raises ModelQueued."""
    loop = asyncio.get_running_loop()
    limit = settings.MAX_SILENT_WAIT
    until = loop.time() + limit
    pause = FIRST_LOOK_SECONDS
    while not await _done_in(place, pause):
        waiting, left = place.waiting(), until - loop.time()
        if waiting and (left <= 0 or (waiting.eta or 0) > limit):
            raise _come_back(waiting, loop.time() - place.began)
        pause = min(LOOK_SECONDS, left) if left > 0 else LOOK_SECONDS


async def _done_in(place: Place, seconds: float) -> bool:
    """Whether the answer is there before that. One future; `asyncio.wait` would make more of it for
    every short request."""
    if place.task.done():
        return True
    loop = asyncio.get_running_loop()
    place.waiter = loop.create_future()
    timer = loop.call_later(seconds, _wake, place.waiter)
    try:
        await place.waiter
    finally:
        timer.cancel()
        place.waiter = None
    return place.task.done()


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _free_in(kept: Sequence[Place]) -> int:
    """Whole seconds until one of these is free: about when the oldest is."""
    oldest = min(kept, key=lambda place: place.began, default=None)
    return math.ceil(oldest.free_in if oldest else LONGEST_RETRY_SECONDS)


def _come_back(waiting: Waiting, waited: float) -> ModelQueued:
    """Where nothing is known, the rest is taken to be as long as what is behind it."""
    eta = waiting.eta
    when = "it is not known how long that takes" if eta is None else f"in about {eta:.0f} s"
    retry_after = min(waited if eta is None else eta, LONGEST_RETRY_SECONDS)
    return ModelQueued(
        f"The model `{waiting.model}` is queued: your request is number {waiting.position} in line "
        f"({when}). Send it again as it is: its place is kept for {settings.PLACE_SECONDS:g} s.",
        math.ceil(retry_after),
    )


places = Places()
