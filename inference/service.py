"""The one door: `stream = await service.generate(request)`.

The scheduler decides, `dispatch.py` acts. Everything here runs on one event loop; what is slow
(loading, tokenising, the database) runs in threads or processes that engines and callers own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from django.conf import settings

from inference.answer import Answer
from inference.catalogue import Catalogue, ModelCard
from inference.decisions import Limits, Model
from inference.devices import Device, sleep_memory_bytes, visible_devices
from inference.dispatch import Dispatcher
from inference.errors import EngineCrashed, ModelNotFound, ModelUnavailable, ShuttingDown
from inference.ladder import Ladder, Machine, below, of_card
from inference.placement import free_bytes
from inference.replica import Replica, ReplicaState
from inference.requests import Question
from inference.run import Early, Run
from inference.scheduler import Scheduler
from inference.sizing import Need, Weights
from inference.status import Board, ModelStatus, Overview, Queued, QueueShare, Waiting
from inference.tasks import check
from inference.weights import free_disk, local_folder, measure

logger = logging.getLogger(__name__)
Clock = Callable[[], float]


class InferenceService:
    """Models, their queues and their engines in this process."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._catalogue = Catalogue()
        limits = Limits(
            queue=settings.QUEUE_LIMIT,
            account_queue=settings.ACCOUNT_QUEUE_LIMIT,
            slice=settings.SLICE_SECONDS,
            wait=settings.WAIT_SECONDS,
            drain=settings.TURN_DRAIN_SECONDS,
            idle=settings.IDLE_SECONDS,
        )
        self._scheduler = Scheduler([], limits)
        self._dispatcher = Dispatcher(
            self._scheduler,
            settings.LOAD_SECONDS,
            settings.LLMS_DATA / "logs",
            clock,
            lambda model: self._catalogue.find(model),
            self._note_ready,
            self._step_down,
        )
        self._fleet = self._dispatcher.fleet
        self._weights: dict[tuple[object, ...], Weights] = {}
        # Of each model, by what it was measured as: the rung that ran out of memory.
        self._failed: dict[tuple[object, ...], Need] = {}
        self._board = Board(self._scheduler, self._fleet, clock)
        self.devices: list[Device] = []
        self._disk_bytes = 0
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
        early = await self._prepare_early(card, request)
        run = Run(self._dispatcher, self._clock, card.id, request)
        await self._start(run, card, early)
        return Answer(run.outputs(), run.finish, run.waited, lambda: run.device_seconds)

    def waiting(self, request_id: str) -> Waiting | None:
        """Where a request stands in the queue of its model; None when it does not wait."""
        return self._board.waiting(request_id)

    def queue(self, account: str) -> list[Queued]:
        """All that an account waits for, in order of arrival."""
        return self._board.queue(account)

    def queue_share(self, account: str, model: str) -> QueueShare:
        """What an account has of its places in the queue, for one who just asked for this model."""
        return self._board.queue_share(account, model)

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
        """Whether the model can be found and would fit as it is when nothing else ran."""
        try:
            steps = self._ladder(card, await self._measured(card)).steps
        except ModelUnavailable as error:
            logger.info("%s is passed over: %s", card.id, error.message)
            return False
        return bool(steps) and steps[0].rung == "full"

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
                models.append(self._model(card, await self._measured(card)))
            except ModelUnavailable as error:
                logger.warning("%s cannot be loaded: %s", card.id, error.message)
        self._scheduler.set_models(models)
        if settings.WARM_START and self.devices:
            self._fleet.warm(cards, self.devices[0].kind)
        self._follow_unloads(before)
        self._dispatcher.step()

    # --- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Look at the hardware and take requests; the catalogue comes by `set_cards`."""
        self.devices = await asyncio.to_thread(visible_devices, settings.CPU_MEMORY_BYTES)
        self._scheduler.devices = self.devices
        self._disk_bytes = await asyncio.to_thread(free_disk, settings.LLMS_DATA)
        asleep = await asyncio.to_thread(
            sleep_memory_bytes, settings.SLEEP_MEMORY_BYTES, self.devices
        )
        self._scheduler.limits = replace(self._scheduler.limits, host_bytes=asleep)
        self.accepting = True

    def started(self) -> None:
        """The first catalogue is in force: from now on `ready` may become true."""
        self._started = True
        self._note_ready()

    async def shutdown(self, drain_seconds: float) -> None:
        """Refuse new work, let answers finish for `drain_seconds`, then stop every engine."""
        self.accepting = False
        await self._dispatcher.shutdown(drain_seconds)

    # --- asking for a place ----------------------------------------------------------------------

    async def _prepare_early(self, card: ModelCard, request: Question) -> Early | None:
        """Check against a loaded copy before queueing: a bad request must not wait for its 400."""
        ready = [r for r in self._replicas(card.id) if r.state is ReplicaState.READY]
        engine = self._fleet.engine(ready[0].id) if ready else None
        try:
            return Early(engine, await engine.prepare(request)) if engine else None
        except EngineCrashed as error:
            await self._fleet.bury(ready[0].id, error.message)
            return None

    async def _start(self, run: Run, card: ModelCard, early: Early | None) -> None:
        """Wait for a place. An engine found dead meanwhile costs the request only more waiting."""
        if not self._replicas(card.id):
            # What is pinned may have come or gone since the last look.
            model = self._model(card, await self._measured(card))
            self._scheduler.set_models([*self._others(card.id), model])
        while True:
            replica_id = await run.lease(early)
            try:
                await run.begin(replica_id, early)
                return
            except EngineCrashed as error:
                run.finish()
                await self._fleet.bury(replica_id, error.message)
            except BaseException:
                run.finish()
                raise

    def _note_ready(self) -> None:
        """Ready once nothing that was wished for is still loading; a later load changes nothing."""
        if self.ready or not self._started:
            return
        wished = {m.id for m in self._scheduler.models.values() if m.wish != "none"}
        self.ready = not wished & self._dispatcher.loading()

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

    async def _measured(self, card: ModelCard) -> Weights:
        key = _key(card)
        if key not in self._weights:
            self._weights[key] = await asyncio.to_thread(measure, card)
        return self._weights[key]

    def _model(self, card: ModelCard, weights: Weights) -> Model:
        """The card as the scheduler knows it, on the best rung that has not failed."""
        ladder = self._ladder(card, weights)
        failed = self._failed.get(_key(card))
        need = below(ladder, failed) if failed else None
        need = need or next(iter(ladder.steps), ladder.least)
        return Model(
            card.id,
            need,
            card.max_num_seqs,
            card.wish,
            card.slice,
            card.replicas,
            need.sleep_bytes,
            need.asleep_bytes_per_device,
            ladder.refusal,
        )

    def _ladder(self, card: ModelCard, weights: Weights) -> Ladder:
        """The ways in which it fits beside what is pinned."""
        pinned = [r for r in self._scheduler.replicas.values() if self._scheduler.pinned(r)]
        rooms = free_bytes(self.devices, [r for r in pinned if r.model != card.id])
        machine = Machine(
            self.devices[0].kind if self.devices else "cpu",
            tuple(sorted((max(0, room) for room in rooms.values()), reverse=True)),
            min((device.bandwidth for device in self.devices), default=0.0),
            self._scheduler.limits.host_bytes,
            self._disk_bytes,
        )
        return of_card(card, weights, machine)

    def _step_down(self, name: str) -> bool:
        """A load ran out of memory: take the next rung; False where there is none."""
        card, model = self._catalogue.find(name), self._scheduler.models.get(name)
        if card is None or model is None or _key(card) not in self._weights:
            return False
        weights = self._weights[_key(card)]
        following = below(self._ladder(card, weights), model.need)
        if following is None:
            self._failed.pop(_key(card), None)
            return False
        self._failed[_key(card)] = model.need
        self._scheduler.set_models([*self._others(name), self._model(card, weights)])
        return True

    def _others(self, name: str) -> list[Model]:
        return [model for model in self._scheduler.models.values() if model.id != name]

    def _replicas(self, model: str) -> list[Replica]:
        return [r for r in self._scheduler.replicas.values() if r.model == model]


def _key(card: ModelCard) -> tuple[object, ...]:
    """What decides how large a model is."""
    args = json.dumps(dict(card.engine_args), sort_keys=True, default=str)
    return (
        card.engine,
        card.source,
        card.revision,
        card.quantization,
        card.max_model_len,
        card.max_num_seqs,
        card.rungs,
        args,
    )


def _is_local(card: ModelCard) -> bool:
    return card.engine == "echo" or local_folder(card) is not None


_service: InferenceService | None = None


def get_service() -> InferenceService:
    """The service of this process, made when first asked for."""
    global _service
    if _service is None:
        _service = InferenceService()
    return _service
