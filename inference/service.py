"""The one door: `stream = await service.generate(request)`.

The scheduler decides, `dispatch.py` acts. Everything here runs on one event loop; what is slow
(loading, tokenising, the database) runs in threads or processes that engines and callers own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from django.conf import settings

from inference.answer import Answer
from inference.board import Board
from inference.catalogue import CardError, Catalogue, ModelCard
from inference.decisions import Limits, Model
from inference.devices import Device, sleep_memory_bytes, visible_devices
from inference.dispatch import Dispatcher
from inference.errors import (
    EngineCrashed,
    InferenceError,
    ModelNotFound,
    ModelTooLarge,
    ModelUnavailable,
    ShuttingDown,
)
from inference.examining import Fit, Verdict, examine, verdicts
from inference.fitting import Fitting
from inference.hub import is_id
from inference.library import Library
from inference.measured import Measured
from inference.replica import Replica, ReplicaState
from inference.requests import Question
from inference.run import Early, Run
from inference.scheduler import Scheduler
from inference.status import ModelStatus, Overview, Place, Queued, QueueShare, Waiting
from inference.switches import Switch
from inference.tasks import check, probe
from inference.weights import free_disk

logger = logging.getLogger(__name__)
Clock = Callable[[], float]
# Between two tries to fetch what somebody wished for.
RETRY_SECONDS = 60.0


class InferenceService:
    """Models, their queues and their engines in this process."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._catalogue = Catalogue()
        self.library = Library(clock, self._needed)
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
            lambda model: self._fitting.step_down(self._catalogue.find(model)),
            self.library.source,
        )
        self._fleet = self._dispatcher.fleet
        self._fitting = Fitting(self._scheduler, self.library)
        self._board = Board(
            self._scheduler, self._fleet, self.library.downloads, clock, self._fitting.known
        )
        self._measured = Measured(settings.LLMS_DATA / "measured.json", self._scheduler.estimates)
        # Cards that were found, and are not in the catalogue that was read last.
        self._fresh: dict[str, ModelCard] = {}
        # Of models that somebody wished for: they are on their way from the Hub.
        self._fetching: dict[str, asyncio.Task[None]] = {}
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
        if card.wish == "drain":
            raise ModelUnavailable(f"Staff of this server took `{card.id}` out of service.", 120)
        check(card, request)
        early = await self._prepare_early(card, request)
        run = Run(self._dispatcher, self._clock, card.id, request)
        await self._start(run, card, request, early)
        return Answer(run.outputs(), run.finish, run.waited, lambda: run.device_seconds, run.divert)

    def waiting(self, request_id: str) -> Waiting | None:
        """Where a request stands in the queue of its model; None when it does not wait."""
        return self._board.waiting(request_id)

    def queue(self, account: str) -> list[Queued]:
        """All that an account waits for, in order of arrival."""
        return self._board.queue(account)

    def queue_share(self, account: str) -> QueueShare:
        """What an account has of its places in the queue."""
        return self._board.queue_share(account)

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

    async def find(self, name: str | None, may_add: bool) -> ModelCard:
        """The card for a name; with `may_add` also for an id of the Hub that no card has yet.

        Raises ModelNotFound, ModelRefused, or ModelUnavailable where the Hub does not answer.
        """
        if not name or not may_add or self._catalogue.find(name) or not is_id(name):
            return self.card(name)
        card = await self.library.find(name)
        if known := self._catalogue.find(card.id):
            return known
        if refusal := (await self._fitting.ladder(card)).refusal:
            raise ModelTooLarge(f"`{card.id}` does not fit on this server. {refusal}")
        await self.library.keep(card)
        self._adopt(card)
        return card

    async def propose(self, name: str) -> Fit:
        """The card that an id of the Hub would get, and how it would run here; nothing is kept.

        Raises as `find` and `examine` do; CardError for one that is in the catalogue.
        """
        if self._catalogue.find(name):
            raise CardError("id", f"`{name}` is in the catalogue already.")
        card = await self.library.find(name)
        if self._catalogue.find(card.id):
            raise CardError("id", f"`{card.id}` is in the catalogue already.")
        return await self.examine(card)

    async def examine(self, card: ModelCard) -> Fit:
        """Whether a card can work here, and how. No weights are fetched for that.

        Raises CardError at the field at fault, ModelUnavailable where the Hub does not answer.
        """
        return await examine(card, self.library, self._fitting)

    async def verdicts(self, cards: Sequence[ModelCard]) -> list[Verdict]:
        """What `examine` says of each of many cards."""
        return await verdicts(cards, self.library, self._fitting)

    def live(self) -> list[ModelStatus]:
        """Models of which there is news: wished for, loaded, on their way, waited for, failed."""
        return self._board.live(self._catalogue.cards.values())

    def states(self) -> dict[str, tuple[str, str]]:
        """State and detail of every model that is not just unloaded."""
        return self._board.states(self._catalogue.cards.values())

    def weight_bytes(self, card: ModelCard) -> int | None:
        """Bytes of a model's weights; None before they were measured."""
        return self._fitting.weight_bytes(card)

    def cards(self) -> list[ModelCard]:
        """Every card, in the catalogue's order."""
        return list(self._catalogue.cards.values())

    def sample(self, name: str) -> Question | None:
        """The least to ask a model, as after a load; None where nothing is known of what it takes.

        Raises ModelNotFound.
        """
        return probe(self.card(name))

    def switches(self) -> list[Switch]:
        """What brought all models in and out, the last at the end."""
        return self._fleet.switches.all()

    def log_of(self, name: str) -> Path | None:
        """Where the processes of a model's last load print to; None where none was loaded."""
        return self._fleet.logs.get(self.card(name).id)

    def models(self) -> list[ModelStatus]:
        """Every card and how its model is doing, in the catalogue's order."""
        return [self._board.status(card) for card in self._catalogue.cards.values()]

    def model_status(self, name: str) -> ModelStatus:
        """One card, by id or alias. Raises ModelNotFound."""
        return self._board.status(self.card(name))

    def place(self, name: str) -> Place | None:
        """How a model is made to fit; None where nobody knows. Raises ModelNotFound."""
        return self._board.place(self.card(name))

    def max_model_len(self, name: str) -> int | None:
        """Tokens of a model's context, None where it is not known. Raises ModelNotFound."""
        return self._board.max_model_len(self.card(name))

    async def fits(self, card: ModelCard) -> bool:
        """Whether the model can be found and would fit as it is when nothing else ran."""
        try:
            steps = (await self._fitting.ladder(card)).steps
        except InferenceError as error:
            logger.info("%s is passed over: %s", card.id, error.message)
            return False
        return bool(steps) and steps[0].rung == "full"

    async def set_cards(self, cards: list[ModelCard]) -> None:
        """The catalogue changed: measure what is new and follow the wishes."""
        before = self._catalogue
        for card in cards:
            self._fresh.pop(card.id, None)
        cards = [*cards, *self._fresh.values()]
        self._catalogue = Catalogue(cards)
        known = [await self._known(card, before.cards.get(card.id)) for card in cards]
        self._scheduler.set_models([model for model in known if model is not None])
        loaded = {replica.model for replica in self._scheduler.replicas.values()}
        self._scheduler.estimates.keep(loaded | self._catalogue.cards.keys())
        if settings.WARM_START and self.devices:
            self._fleet.warm(cards, self.devices[0].kind)
        self._follow_unloads(before)
        self._dispatcher.step()

    # --- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Look at the hardware and take requests; the catalogue comes by `set_cards`."""
        self.devices = await asyncio.to_thread(
            visible_devices, settings.CPU_MEMORY_BYTES, settings.CPU_DTYPE
        )
        self._scheduler.devices = self.devices
        self._fitting.disk_bytes = await asyncio.to_thread(free_disk, settings.LLMS_DATA)
        await asyncio.to_thread(self.library.store.sweep)
        await self._measured.start()
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
        for task in self._fetching.values():
            task.cancel()
        try:
            await self.library.downloads.close()
            await self._dispatcher.shutdown(drain_seconds)
        finally:
            await self._measured.stop()

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

    async def _start(
        self, run: Run, card: ModelCard, request: Question, early: Early | None
    ) -> None:
        """Wait for the weights and a place.

        An engine that is found dead meanwhile costs the request only more waiting.
        """
        if not self._replicas(card.id):
            card = await self._settled(card)
            await self.library.bring(card, request)
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
        if self._started and not self.ready:
            wished = {model.id for model in self._scheduler.wished}
            self.ready = not (self._fetching or wished & self._dispatcher.loading())

    def _follow_unloads(self, before: Catalogue) -> None:
        for card in self._catalogue.cards.values():
            known = before.cards.get(card.id)
            wished = known is not None and known.wanted
            asked = card.unload_before > (known.unload_before if known else 0.0)
            if asked:
                # What began to load since is somebody's who asked, or of the wish taken back.
                since = card.unload_before - time.time() + self._clock()
                self._scheduler.retire(card.id, float("inf") if wished else since)
            if asked or (card.wanted and not wished):
                self._scheduler.forgive(card.id)
        for gone in set(before.cards) - set(self._catalogue.cards):
            self._scheduler.retire(gone)

    # --- from the Hub ----------------------------------------------------------------------------

    async def _settled(self, card: ModelCard) -> ModelCard:
        """The card at one commit, measured, on a rung that fits. Raises ModelUnavailable."""
        pinned = await self.library.pinned(card)
        if pinned is not card:
            self._adopt(pinned)
        # What is pinned may have come or gone since the last look.
        self._fitting.put(await self._fitting.model(pinned))
        self._scheduler.check_possible(card.id, self._clock())
        return pinned

    def _adopt(self, card: ModelCard) -> None:
        """The card is in force from now on, whenever the database is read next."""
        self._fresh[card.id] = card
        self._catalogue = Catalogue([*(c for c in self.cards() if c.id != card.id), card])

    async def _known(self, card: ModelCard, before: ModelCard | None) -> Model | None:
        """The model where its weights are here; what somebody wished for is fetched.

        Other models of the Hub are measured when somebody asks for them, and none twice whose card
        is as it was: a catalogue may have thousands.
        """
        if card == before and not card.wanted:
            return self._scheduler.models.get(card.id)
        try:
            if card.engine == "echo" or await self.library.locate(card):
                return await self._fitting.model(card)
        except InferenceError as error:
            logger.warning("%s cannot be loaded: %s", card.id, error.message)
            return None
        if card.wanted and card.id not in self._fetching:
            self._fetching[card.id] = asyncio.create_task(self._fetch(card.id))
        return self._scheduler.models.get(card.id)

    async def _fetch(self, name: str) -> None:
        """Bring a model that somebody wished for, until it is here or nobody wishes for it."""
        while (card := self._catalogue.find(name)) is not None and card.wanted:
            try:
                await self.library.bring(await self._settled(card), None)
                break
            except InferenceError as error:
                logger.warning("%s cannot be fetched: %s", name, error.message)
                self._fetching.pop(name, None)
                self._note_ready()
                await asyncio.sleep(RETRY_SECONDS)
        self._fetching.pop(name, None)
        self._dispatcher.step()

    def _needed(self) -> list[ModelCard]:
        """Cards whose weights stay on disk: wished for, loaded, waited for."""
        waiting = self._scheduler.waiting
        return [c for c in self.cards() if c.wanted or self._replicas(c.id) or waiting(c.id)]

    def _replicas(self, model: str) -> list[Replica]:
        return [r for r in self._scheduler.replicas.values() if r.model == model]


@cache
def get_service() -> InferenceService:
    """The service of this process, made when first asked for."""
    return InferenceService()
