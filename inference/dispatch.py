"""Acts on what the scheduler decides: grants, loads, unloads, and stops whom others wait for.

One of these runs on the event loop; whatever happens to a request or an engine is told to the
scheduler here, and `step` carries out its answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings

from inference.catalogue import ModelCard
from inference.custom import limits_of
from inference.decisions import Decision, Load, Ticket
from inference.engines.base import Resources
from inference.errors import (
    CustomLoadFailed,
    EngineCrashed,
    InferenceError,
    LoadFailed,
    OutOfMemory,
    ShuttingDown,
    WaitTooLong,
)
from inference.fleet import Fleet
from inference.replica import Lease, Replica, ReplicaState
from inference.scheduler import Scheduler

logger = logging.getLogger(__name__)
Stop = Callable[[], None]


class Dispatcher:
    """`find(model_id)` is the catalogue; `changed` is called after every step.

    `step_down(model_id)` is asked for another way when a load runs out of memory, and says whether
    there is one. `source(card)` is what an engine loads.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        load_limit: float,
        logs: Path,
        clock: Callable[[], float],
        find: Callable[[str], ModelCard | None],
        changed: Callable[[], None],
        step_down: Callable[[str], bool],
        source: Callable[[ModelCard], str],
    ) -> None:
        self.scheduler = scheduler
        self.fleet = Fleet(self._engine_died, load_limit)
        self._logs = logs
        self._clock = clock
        self._find = find
        self._changed = changed
        self._step_down = step_down
        self._source = source
        self._granted: dict[str, asyncio.Future[int]] = {}
        self._stops: dict[str, Stop] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self.draining = False

    # --- one request -----------------------------------------------------------------------------

    async def lease(self, ticket: Ticket) -> int:
        """Queue until a replica is granted; its id. Raises what the scheduler refuses with."""
        self.scheduler.submit(ticket, self._clock())
        return await self._turn(ticket.request_id)

    async def lease_again(self, request_id: str, generated: int) -> int:
        """A stopped request gives its place back and queues for the next one."""
        self._stops.pop(request_id, None)
        self.scheduler.preempted(request_id, self._clock(), generated)
        if request_id not in self.scheduler.queued:
            # Its engine died in the same moment, and the lease with it.
            raise EngineCrashed("The engine ended before the answer was complete.")
        return await self._turn(request_id)

    async def _turn(self, request_id: str) -> int:
        future = asyncio.get_running_loop().create_future()
        self._granted[request_id] = future
        self.step()
        try:
            return await future
        except BaseException:
            self.scheduler.cancel(request_id, self._clock())
            self.finish(request_id, ran=False)
            raise
        finally:
            self._granted.pop(request_id, None)

    def held(self, request_id: str) -> tuple[Replica, Lease] | None:
        """The lease of a running request, and on which replica; None when it has none any more."""
        lease = self.scheduler.running.get(request_id)
        return (self.scheduler.replicas[lease.replica], lease) if lease else None

    def stoppable(self, request_id: str, stop: Stop) -> None:
        """`stop` is called when the request has to make room for others."""
        self._stops[request_id] = stop
        lease = self.scheduler.running.get(request_id)
        if lease is not None and self.scheduler.replicas[lease.replica].closing:
            # It may have been told to stop before it could be.
            asyncio.get_running_loop().call_soon(self.step)

    def finish(self, request_id: str, tokens: int = 0, ran: bool = True) -> None:
        """The request ended, for whatever reason. Again is no error."""
        self._stops.pop(request_id, None)
        self.scheduler.finish(request_id, self._clock(), tokens, ran)
        if not self.scheduler.running:
            self._idle.set()
        if self.scheduler.queues or self.scheduler.retired or self.scheduler.drains():
            self.step()

    # --- life ------------------------------------------------------------------------------------

    async def shutdown(self, drain_seconds: float) -> None:
        """Refuse whoever waits, let answers finish for `drain_seconds`, stop every engine."""
        self.draining = True
        for request_id in list(self._granted):
            self._refuse(request_id, ShuttingDown("The server is shutting down.", 10))
        try:
            async with asyncio.timeout(drain_seconds):
                while self.scheduler.running:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            logger.warning("%d answers cut off by the drain limit", len(self.scheduler.running))
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.fleet.stop_all()

    # --- acting on the scheduler -----------------------------------------------------------------

    def step(self) -> None:
        """Ask the scheduler, grant, load, stop."""
        now = self._clock()
        decision = self.scheduler.schedule(now)
        self._note_drains(decision, now)
        self.scheduler.apply(decision, now)
        for request_id in decision.refusals:
            self._refuse(request_id, self._too_long())
        for load in decision.loads:
            self._spawn(self._load(load))
        self._move(decision)
        for grant in decision.grants:
            self._grant(grant.request_id, grant.replica)
        for request_id in decision.preemptions:
            if stop := self._stops.pop(request_id, None):
                stop()
        self._wake_at_next_change(now)
        self._changed()

    def _note_drains(self, decision: Decision, now: float) -> None:
        for replica_id in (*decision.evictions, *decision.sleeps):
            replica = self.scheduler.replicas[replica_id]
            if replica.closing:
                self.fleet.note(replica.model, "drain", now - replica.closing_since)

    def _move(self, decision: Decision) -> None:
        for replica_id in decision.evictions:
            self._spawn(self._evict(replica_id))
        for replica_id in decision.sleeps:
            self._spawn(self._sleep(replica_id))
        for replica_id in decision.wakes:
            self._spawn(self._wake(self.scheduler.replicas[replica_id]))

    def _grant(self, request_id: str, replica_id: int) -> None:
        future = self._granted.get(request_id)
        if future is None or future.done():
            # The caller left between the decision and now.
            self.scheduler.finish(request_id, self._clock(), ran=False)
            return
        future.set_result(replica_id)

    def _refuse(self, request_id: str, refusal: InferenceError) -> None:
        future = self._granted.get(request_id)
        if future is not None and not future.done():
            future.set_exception(refusal)

    def _too_long(self) -> WaitTooLong:
        longest = f"{self.scheduler.limits.wait:g} s, the longest that is promised"
        return WaitTooLong(f"The request waited for {longest}. Try again later.", 120)

    async def _load(self, load: Load) -> None:
        card = self._find(load.model)
        if card is None:
            self._load_failed(load.replica, load.model, f"`{load.model}` left the catalogue.")
            return
        need = load.need
        card = replace(card, engine=need.engine or card.engine, dtype=need.dtype or card.dtype)
        resources = self._resources(card, load)
        await self._come_up(
            load.replica, load.model, self.fleet.start(load.replica, card, resources)
        )

    async def _wake(self, replica: Replica) -> None:
        await self._come_up(replica.id, replica.model, self.fleet.wake(replica.id))

    async def _come_up(self, replica_id: int, model: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except OutOfMemory as error:
            self._too_large(replica_id, model, error.message)
        except InferenceError as error:
            kind = CustomLoadFailed if isinstance(error, CustomLoadFailed) else LoadFailed
            self._load_failed(replica_id, model, error.message, kind)
        except Exception as error:
            # Whatever an engine's parts raise: else its waiters would wait for ever.
            logger.exception("Loading %s broke", model)
            self._load_failed(replica_id, model, f"{type(error).__name__}: {error}"[:500])
        else:
            self.scheduler.loaded(replica_id, self._clock())
        self.step()

    def _too_large(self, replica_id: int, model: str, reason: str) -> None:
        if self._step_down(model):
            logger.warning("%s ran out of memory and is tried another way: %s", model, reason)
            self.scheduler.called_off(replica_id)
        else:
            self._load_failed(replica_id, model, f"{reason} There is no other way to make it fit.")

    def _load_failed(
        self, replica_id: int, model: str, reason: str, kind: type[LoadFailed] = LoadFailed
    ) -> None:
        logger.error("%s did not load: %s", model, reason)
        failure = kind(f"The model `{model}` did not load: {reason}")
        for request_id in self.scheduler.load_failed(replica_id, reason, self._clock()):
            self._refuse(request_id, failure)

    async def _evict(self, replica_id: int) -> None:
        await self.fleet.stop(replica_id)
        self.scheduler.stopped(replica_id, self._clock())
        self.step()

    async def _sleep(self, replica_id: int) -> None:
        try:
            await self.fleet.sleep(replica_id)
        except InferenceError as error:
            logger.warning("A replica did not fall asleep and is unloaded: %s", error.message)
            await self._evict(replica_id)
            return
        self.scheduler.slept(replica_id, self._clock())
        self.step()

    def _engine_died(self, replica_id: int, reason: str) -> None:
        self.scheduler.crashed(replica_id, reason, self._clock())
        self.step()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _wake_at_next_change(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        delay = self.scheduler.next_change(now)
        if delay is not None:
            self._timer = asyncio.get_running_loop().call_later(delay + 0.001, self.step)

    # --- small questions -------------------------------------------------------------------------

    def loading(self) -> set[str]:
        """Models that are being loaded."""
        replicas = self.scheduler.replicas.values()
        return {r.model for r in replicas if r.state is ReplicaState.LOADING}

    def _resources(self, card: ModelCard, load: Load) -> Resources:
        device = next(d for d in self.scheduler.devices if d.id == load.devices[0])
        return Resources(
            self._source(card),
            self._logs / f"engine-{load.replica}.log",
            device.kind,
            load.devices,
            load.need.bytes_per_device,
            load.need.kv_cache_bytes,
            device.memory_bytes,
            load.need.rung,
            load.need.weights_per_device,
            load.need.host_bytes,
            self._logs.parent / "offload" / str(load.replica),
            limits_of(card),
            settings.HANG_SECONDS,
            settings.HUB_ENDPOINT,
        )
