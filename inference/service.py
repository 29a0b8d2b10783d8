"""The one door: `stream = await service.generate(request)`.

The scheduler decides, this module acts. Everything here runs on one event loop; what is slow
(loading, tokenising, the database) runs in threads or processes that engines and callers own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from django.conf import settings

from inference.answer import Answer
from inference.catalogue import Catalogue, ModelCard
from inference.decisions import Limits, Load, Model, Ticket
from inference.devices import Device, visible_devices
from inference.engines.base import Engine, Prepared, Resources
from inference.errors import (
    EngineCrashed,
    EngineTimeout,
    InferenceError,
    LoadFailed,
    ModelNotFound,
    ModelUnavailable,
    ShuttingDown,
)
from inference.fleet import Fleet
from inference.placement import place
from inference.replica import Replica, ReplicaState
from inference.requests import Output, Question
from inference.scheduler import Scheduler
from inference.sizing import Need
from inference.status import Board, ModelStatus, Overview, Queued, Waiting
from inference.tasks import check
from inference.weights import local_folder, measure, source_of

logger = logging.getLogger(__name__)
Clock = Callable[[], float]


class InferenceService:
    """Models, their queues and their engines in this process."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._catalogue = Catalogue()
        self._scheduler = Scheduler(
            [], Limits(settings.QUEUE_LIMIT, settings.ACCOUNT_QUEUE_LIMIT, settings.SLICE_SECONDS)
        )
        self._fleet = Fleet(self._engine_died, settings.LOAD_SECONDS)
        self._granted: dict[str, asyncio.Future[int]] = {}
        self._queued_for: dict[str, str] = {}
        self._needs: dict[tuple[object, ...], Need] = {}
        self._board = Board(self._scheduler, self._fleet, clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self.devices: list[Device] = []
        self._started = False
        self.accepting = False
        self.ready = False

    # --- one request -----------------------------------------------------------------------------

    async def generate(self, request: Question) -> Answer:
        """Check the request, wait for its turn and return its stream.

        Raises RequestError (not found, invalid, too long), Refused (queue full, model unavailable,
        shutting down) or LoadFailed, all before the stream exists. The stream raises EngineError.
        """
        if not self.accepting:
            raise ShuttingDown("The server is shutting down.", 10)
        card = self.card(request.model)
        check(card, request)
        prepared = await self._prepare_early(card, request)
        asked = self._clock()
        engine, prepared = await self._granted_engine(card, request, prepared)
        waited = self._clock() - asked
        outputs = self._run(engine, prepared, waited)
        return Answer(outputs, lambda: self._finish(request.request_id), waited)

    def waiting(self, request_id: str) -> Waiting | None:
        """Where a request stands in the queue of its model; None when it does not wait."""
        model = self._queued_for.get(request_id)
        return self._board.waiting(model, request_id) if model else None

    def queue(self, account: str) -> list[Queued]:
        """All that an account waits for, in order of arrival."""
        return self._board.queue(account)

    def overview(self) -> Overview:
        """What is loaded where, and what comes next. It tells nothing of who asks."""
        return self._board.overview()

    # --- the catalogue ---------------------------------------------------------------------------

    def card(self, name: str | None) -> ModelCard:
        """The card for a name, the default card for none. Raises ModelNotFound."""
        default = self._catalogue.default
        card = self._catalogue.find(name) if name else default
        if card is None and settings.ALIAS_UNKNOWN == "default":
            card = default
        if card is None:
            raise ModelNotFound(name or "default")
        return card

    def models(self) -> list[ModelStatus]:
        """Every card and how its model is doing, in the catalogue's order."""
        return [self._board.status(card) for card in self._catalogue.cards.values()]

    def model_status(self, name: str) -> ModelStatus:
        """One card, by id or alias. Raises ModelNotFound."""
        return self._board.status(self.card(name))

    async def fits(self, card: ModelCard) -> bool:
        """Whether the model can be found and would fit on this machine when nothing else ran."""
        try:
            need = (await self._measured(card)).need
        except ModelUnavailable as error:
            logger.info("%s is passed over: %s", card.id, error.message)
            return False
        return place(need, self.devices, []) is not None

    async def set_cards(self, cards: list[ModelCard]) -> None:
        """The catalogue changed: measure what is new and follow the wishes."""
        before = self._catalogue
        self._catalogue = Catalogue(cards)
        # A model on the Hub is measured when somebody asks for it: that needs the network.
        seen = self._scheduler.models
        known = [c for c in cards if c.id in seen or c.wish != "none" or _is_local(c)]
        models = []
        for card in known:
            try:
                models.append(await self._measured(card))
            except ModelUnavailable as error:
                logger.warning("%s cannot be loaded: %s", card.id, error.message)
        self._scheduler.set_models(models)
        self._follow_unloads(before)
        self._step()

    # --- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Look at the hardware and take requests; the catalogue comes by `set_cards`."""
        self.devices = await asyncio.to_thread(visible_devices, settings.CPU_MEMORY_BYTES)
        self._scheduler.devices = self.devices
        self.accepting = True

    def started(self) -> None:
        """The first catalogue is in force: from now on `ready` may become true."""
        self._started = True
        self._note_ready()

    async def shutdown(self, drain_seconds: float) -> None:
        """Refuse new work, let answers finish for `drain_seconds`, then stop every engine."""
        self.accepting = False
        refusal = ShuttingDown("The server is shutting down.", 10)
        for future in self._granted.values():
            if not future.done():
                future.set_exception(refusal)
        try:
            async with asyncio.timeout(drain_seconds):
                while self._scheduler.running:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            logger.warning("%d answers cut off by the drain limit", len(self._scheduler.running))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._fleet.stop_all()

    # --- asking for a place ----------------------------------------------------------------------

    async def _prepare_early(self, card: ModelCard, request: Question) -> Prepared[Question] | None:
        """Check against a loaded copy before queueing: a bad request must not wait for its 400."""
        ready = [r for r in self._replicas(card.id) if r.state is ReplicaState.READY]
        engine = self._fleet.engine(ready[0].id) if ready else None
        try:
            return await engine.prepare(request) if engine else None
        except EngineCrashed as error:
            await self._fleet.bury(ready[0].id, error.message)
            return None

    async def _granted_engine(
        self, card: ModelCard, request: Question, prepared: Prepared[Question] | None
    ) -> tuple[Engine, Prepared[Question]]:
        """Wait for a place. An engine found dead meanwhile costs the request only more waiting."""
        while True:
            replica_id = await self._lease(card, request)
            engine = self._fleet.engine(replica_id)
            try:
                if engine is None or not engine.alive:
                    raise EngineCrashed(f"The engine of `{card.id}` is gone.")
                return engine, prepared or await engine.prepare(request)
            except EngineCrashed as error:
                self._finish(request.request_id)
                await self._fleet.bury(replica_id, error.message)
            except BaseException:
                self._finish(request.request_id)
                raise

    async def _lease(self, card: ModelCard, request: Question) -> int:
        if card.id not in self._scheduler.models:
            model = await self._measured(card)
            self._scheduler.set_models([*self._scheduler.models.values(), model])
        now = self._clock()
        ticket = Ticket(
            request.request_id, card.id, request.account, now, request.weight, request.lane
        )
        self._scheduler.submit(ticket, now)
        future = asyncio.get_running_loop().create_future()
        self._granted[request.request_id] = future
        self._queued_for[request.request_id] = card.id
        self._step()
        try:
            return await future
        except BaseException:
            self._scheduler.cancel(card.id, request.request_id)
            self._finish(request.request_id)
            raise
        finally:
            self._granted.pop(request.request_id, None)
            self._queued_for.pop(request.request_id, None)

    async def _run(
        self, engine: Engine, prepared: Prepared[Question], waited: float
    ) -> AsyncGenerator[Output, None]:
        request_id = prepared.request.request_id
        try:
            async with aclosing(engine.generate(prepared)) as outputs:
                yield _waited(await self._first(outputs), waited)
                async for output in outputs:
                    yield _waited(output, waited)
        except EngineCrashed as error:
            if self.accepting:
                raise
            raise ShuttingDown("The server shut down before the answer was complete.") from error
        finally:
            self._finish(request_id)

    @staticmethod
    async def _first(outputs: AsyncGenerator[Output, None]) -> Output:
        limit = settings.FIRST_TOKEN_SECONDS
        try:
            async with asyncio.timeout(limit):
                return await anext(outputs)
        except TimeoutError:
            raise EngineTimeout(f"The model said nothing for {limit:g} s.") from None
        except StopAsyncIteration:
            raise EngineCrashed("The engine ended without an answer.") from None

    def _finish(self, request_id: str) -> None:
        self._scheduler.finish(request_id, self._clock())
        if not self._scheduler.running:
            self._idle.set()
        if self._scheduler.queues or self._scheduler.retired:
            self._step()

    # --- acting on the scheduler -----------------------------------------------------------------

    def _step(self) -> None:
        """Ask the scheduler, grant, load, stop."""
        now = self._clock()
        decision = self._scheduler.schedule(now)
        self._scheduler.apply(decision, now)
        for load in decision.loads:
            self._spawn(self._load(load))
        for replica_id in decision.evictions:
            self._spawn(self._evict(replica_id))
        for grant in decision.grants:
            self._grant(grant.request_id, grant.replica)
        self._wake_at_next_change(now)
        self._note_ready()

    def _grant(self, request_id: str, replica_id: int) -> None:
        future = self._granted.get(request_id)
        if future is None or future.done():
            # The caller left between the decision and now.
            self._scheduler.finish(request_id, self._clock())
            return
        future.set_result(replica_id)

    async def _load(self, load: Load) -> None:
        card = self._catalogue.find(load.model)
        try:
            if card is None:
                raise LoadFailed(f"`{load.model}` left the catalogue.")
            await self._fleet.start(load.replica, card, self._resources(card, load))
        except InferenceError as error:
            self._load_failed(load, error.message)
        except Exception as error:
            # Whatever an engine's parts raise: else its waiters would wait for ever.
            logger.exception("Loading %s broke", load.model)
            self._load_failed(load, f"{type(error).__name__}: {error}"[:500])
        else:
            self._scheduler.loaded(load.replica, self._clock())
        self._step()

    def _load_failed(self, load: Load, reason: str) -> None:
        logger.error("%s did not load: %s", load.model, reason)
        for request_id in self._scheduler.load_failed(load.replica, reason, self._clock()):
            future = self._granted.get(request_id)
            if future is not None and not future.done():
                message = f"The model `{load.model}` did not load: {reason}"
                future.set_exception(LoadFailed(message))

    async def _evict(self, replica_id: int) -> None:
        await self._fleet.stop(replica_id)
        self._scheduler.stopped(replica_id, self._clock())
        self._step()

    def _engine_died(self, replica_id: int, reason: str) -> None:
        self._scheduler.crashed(replica_id, reason, self._clock())
        self._step()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _wake_at_next_change(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        delay = self._scheduler.next_change(now)
        if delay is not None:
            self._timer = asyncio.get_running_loop().call_later(delay + 0.001, self._step)

    def _note_ready(self) -> None:
        """Ready once nothing that was wished for is still loading; a later load changes nothing."""
        wished = {m.id for m in self._scheduler.models.values() if m.wish != "none"}
        replicas = self._scheduler.replicas.values()
        loading = {r.model for r in replicas if r.state is ReplicaState.LOADING}
        self.ready = self.ready or (self._started and not wished & loading)

    def _follow_unloads(self, before: Catalogue) -> None:
        age = time.time() - self._clock()
        for card in self._catalogue.cards.values():
            known = before.cards.get(card.id)
            if card.unload_before and (known is None or known.unload_before < card.unload_before):
                self._scheduler.retire(card.id, card.unload_before - age)
            if known is not None and known.wish == "none" != card.wish:
                self._scheduler.forgive(card.id)
        for gone in set(before.cards) - set(self._catalogue.cards):
            self._scheduler.retire(gone)

    # --- small questions -------------------------------------------------------------------------

    async def _measured(self, card: ModelCard) -> Model:
        args = json.dumps(dict(card.engine_args), sort_keys=True, default=str)
        key = (card.source, card.revision, card.max_model_len, card.max_num_seqs, args)
        if key not in self._needs:
            kind = self.devices[0].kind if self.devices else "cpu"
            self._needs[key] = await asyncio.to_thread(measure, card, kind)
        return Model(card.id, self._needs[key], card.max_num_seqs, card.wish, card.slice)

    def _resources(self, card: ModelCard, load: Load) -> Resources:
        device = next(d for d in self.devices if d.id == load.devices[0])
        return Resources(
            source_of(card),
            settings.LLMS_DATA / "logs" / f"engine-{load.replica}.log",
            device.kind,
            load.devices,
            load.need.bytes_per_device,
            load.need.kv_cache_bytes,
            device.memory_bytes,
        )

    def _replicas(self, model: str) -> list[Replica]:
        return [r for r in self._scheduler.replicas.values() if r.model == model]


def _waited(output: Output, seconds: float) -> Output:
    if output.usage is not None:
        output.usage = dataclasses.replace(output.usage, queue_seconds=seconds)
    return output


def _is_local(card: ModelCard) -> bool:
    return card.engine == "echo" or local_folder(card) is not None


_service: InferenceService | None = None


def get_service() -> InferenceService:
    """The service of this process, made when first asked for."""
    global _service
    if _service is None:
        _service = InferenceService()
    return _service
