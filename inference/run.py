"""One request from its place in the queue to its last token, through however many turns."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Callable
from typing import Any

from django.conf import settings

from inference.abilities import preemptable
from inference.decisions import Ticket
from inference.dispatch import Dispatcher
from inference.engines.base import Engine, Prepared
from inference.errors import EngineCrashed, EngineTimeout, Preempted, ShuttingDown
from inference.replica import Lease, Replica
from inference.requests import PULSE, Bypass, GenerateRequest, Output, Question

# How often an answer that waits for its next turn shows that it is alive.
PULSE_SECONDS = 1.0
# Characters or tokens of a prompt that tell whether two begin alike.
PREFIX = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Early:
    """A request that was checked before it queued, by the engine of a copy that was loaded."""

    engine: Engine
    prepared: Prepared[Question]


class Run:
    """Holds a lease while the request runs; gives it back when others have to be let in.

    The scheduler may stop a run. One that can go on later queues again and continues from its
    tokens; any other ends with Preempted.
    """

    def __init__(
        self, dispatcher: Dispatcher, clock: Callable[[], float], model: str, request: Question
    ) -> None:
        self._dispatcher = dispatcher
        self._clock = clock
        self._model = model
        self._request = request
        self._preemptable = preemptable(request)
        # A wait counts from here: a download and an engine that is found dead are part of it.
        self._arrived = clock()
        self._waited = 0.0
        self._tokens: list[int] = []
        self._read = 0
        self._bypass: Bypass | None = None
        self._engine: Engine | None = None
        self._prepared: Prepared[Question] | None = None
        self._stream: AsyncGenerator[Output, None] | None = None
        # The task that is inside the engine's stream right now, and whether it is to come out.
        self._inside: asyncio.Task[Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._complete = False
        self._requeued: asyncio.Task[None] | None = None
        self._finished = False
        self._held: tuple[Replica, Lease] | None = None
        self._spent = 0.0

    async def lease(self, early: Early | None) -> int:
        """Queue for a replica; its id."""
        request = self._request
        prepared = early.prepared if early else None
        ticket = Ticket(
            request.request_id,
            self._model,
            request.account,
            self._arrived,
            request.weight,
            request.lane,
            prepared.prompt_tokens if prepared else 0,
            prepared.max_tokens if prepared else 0,
            self._preemptable,
            prefix=_prefix(request),
            places=request.queue_places,
        )
        self._finished = False
        replica_id = await self._dispatcher.lease(ticket)
        self._waited = self._clock() - self._arrived
        self._held = self._dispatcher.held(request.request_id)
        return replica_id

    async def begin(self, replica_id: int, early: Early | None) -> None:
        """Get ready to be answered by a replica. Raises EngineCrashed when it is dead.

        What another copy prepared is not used: an engine leaves out what it knows that it has.
        """
        engine = self._alive(replica_id)
        ours = early is not None and early.engine is engine
        self._prepared = early.prepared if ours and early else await engine.prepare(self._request)
        self._engine = engine
        self._preemptable = self._preemptable and self._prepared.resumable
        if not self._preemptable:
            self._dispatcher.scheduler.hold(self._request.request_id)

    @property
    def waited(self) -> float:
        """Seconds until now without a place, over all turns; a download before the first too."""
        return self._waited

    @property
    def device_seconds(self) -> float:
        """What it has cost until now: its part of the time of the replicas it ran on."""
        if self._held is None:
            return self._spent
        replica, lease = self._held
        return self._spent + replica.cost(lease, self._clock())

    def _settle(self) -> None:
        """The turn ends: its cost will not grow any more."""
        self._spent, self._held = self.device_seconds, None

    def finish(self) -> None:
        """Give the place back; again is no error."""
        if self._requeued is not None:
            self._requeued.cancel()
        self._release()

    def _release(self) -> None:
        if not self._finished:
            self._finished = True
            self._settle()
            ran = self._stream is not None
            self._dispatcher.finish(self._request.request_id, self._said, ran)

    async def outputs(self) -> AsyncGenerator[Output, None]:
        """The answer, over as many turns as it takes."""
        try:
            while True:
                stream = self._enter()
                output = await self._first(stream)
                while output is not None:
                    yield self._counted(output)
                    output = await self._next(stream)
                if self._complete or not self._stopped:
                    return
                if self._requeued is None:
                    self._requeued = asyncio.create_task(self._queue_again())
                while not (await asyncio.wait({self._requeued}, timeout=PULSE_SECONDS))[0]:
                    yield PULSE
                self._requeued.result()
        except EngineCrashed as error:
            if not self._dispatcher.draining:
                raise
            raise ShuttingDown("The server shut down before the answer was complete.") from error
        finally:
            if self._requeued is not None:
                self._requeued.cancel()
                await asyncio.wait({self._requeued})
            if self._stream is not None:
                # Before the place is given back: nobody else gets it while the engine is busy here.
                await self._stream.aclose()
            self._release()

    def divert(self, bypass: Bypass) -> None:
        """Plain pieces of this turn go that way as they are made, if the engine can do that."""
        if self._engine is not None and self._prepared is not None:
            self._bypass = bypass
            bypass.kept = self._tokens if self._preemptable else None
            self._engine.divert(self._prepared, bypass)

    def _enter(self) -> AsyncGenerator[Output, None]:
        assert self._engine is not None and self._prepared is not None
        self._stopped, self._requeued = False, None
        self._stream = self._engine.generate(self._prepared)
        self._dispatcher.stoppable(self._request.request_id, self._stop)
        return self._stream

    async def _first(self, stream: AsyncGenerator[Output, None]) -> Output | None:
        limit = settings.FIRST_TOKEN_SECONDS
        try:
            async with asyncio.timeout(limit):
                output = await self._next(stream)
        except TimeoutError:
            raise EngineTimeout(f"The model said nothing for {limit:g} s.") from None
        if output is None and not self._stopped:
            raise EngineCrashed("The engine ended without an answer.")
        return output

    async def _next(self, stream: AsyncGenerator[Output, None]) -> Output | None:
        """The next piece; None at the end, and when others have to be let in."""
        if self._stopped:
            return None
        self._inside = asyncio.current_task(self._loop)
        try:
            return await anext(stream)
        except StopAsyncIteration:
            return None
        except asyncio.CancelledError:
            if self._called_back():
                return None
            raise
        finally:
            self._inside = None

    def _called_back(self) -> bool:
        """Whether `_stop` cancelled the task, and nobody else wants it to end as well."""
        return self._stopped and self._inside is not None and self._inside.uncancel() == 0

    @property
    def _said(self) -> int:
        """Tokens of the answer, whichever way they went."""
        return self._read + (self._bypass.tokens if self._bypass else 0)

    def _counted(self, output: Output) -> Output:
        self._read += len(output.token_ids)
        if self._preemptable:
            self._tokens.extend(output.token_ids)
        if output.usage is not None:
            self._complete = True
            output.usage = dataclasses.replace(output.usage, queue_seconds=self._waited)
        return output

    def _stop(self) -> None:
        """Others have to be let in: come out of the engine, wherever the caller is."""
        self._stopped = True
        if self._inside is not None:
            self._inside.cancel()
        else:
            # The caller is busy with what it got; the others do not wait for that.
            self._requeued = self._loop.create_task(self._queue_again())
            self._requeued.add_done_callback(_heard)

    async def _queue_again(self) -> None:
        """Leave the engine, wait for the next turn and get ready to go on. Raises Preempted."""
        assert self._stream is not None and self._prepared is not None
        await self._stream.aclose()
        if self._complete:
            # The caller has not come back yet for the end of what it has whole.
            self._release()
            return
        if not self._preemptable:
            self._release()
            raise Preempted("Others had waited for so long that the answer was cut off.")
        asked = self._clock()
        request_id = self._request.request_id
        self._settle()
        replica_id = await self._dispatcher.lease_again(request_id, self._said)
        self._held = self._dispatcher.held(request_id)
        self._waited += self._clock() - asked
        engine = self._alive(replica_id)
        self._prepared = engine.resumed(self._prepared, tuple(self._tokens))
        self._engine = engine

    def _alive(self, replica_id: int) -> Engine:
        engine = self._dispatcher.fleet.engine(replica_id)
        if engine is None or not engine.alive:
            raise EngineCrashed(f"The engine of `{self._model}` is gone.")
        return engine


def _prefix(request: Question) -> int:
    """A number for how the prompt begins: requests alike are best served by the same copy."""
    if not isinstance(request, GenerateRequest):
        return 0
    if request.messages:
        return hash(str(request.messages[0].content)[:PREFIX])
    return hash((request.prompt or "")[:PREFIX])


def _heard(task: asyncio.Task[None]) -> None:
    """The caller hears of a failure when it comes back; if it never does, nobody needs to."""
    if not task.cancelled():
        task.exception()
