"""Reads scheduler, fleet and downloads for whoever asks how things are; changes none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from inference.abilities import abilities
from inference.catalogue import ModelCard, tier_of
from inference.downloads import Downloads, Flight
from inference.fleet import Fleet
from inference.ladder import QUALITY
from inference.placement import free_bytes
from inference.replica import Replica, ReplicaState
from inference.scheduler import Scheduler
from inference.sizing import Weights
from inference.status import (
    Coming,
    Download,
    ModelStatus,
    Overview,
    Place,
    Queued,
    QueueShare,
    Resident,
    Room,
    SwitchTimes,
    Waiting,
)
from inference.switches import took
from inference.tasks import capabilities

_BEST_FIRST = (
    ReplicaState.READY,
    ReplicaState.LOADING,
    ReplicaState.SLEEPING,
    ReplicaState.STOPPING,
)
# Only what answers is all there.
MOST_PROGRESS = 0.97


class Board:
    """`known` is what was measured of a card's files."""

    def __init__(
        self,
        scheduler: Scheduler,
        fleet: Fleet,
        downloads: Downloads,
        clock: Callable[[], float],
        known: Callable[[ModelCard], Weights | None],
    ) -> None:
        self._known = known
        self._scheduler = scheduler
        self._fleet = fleet
        self._downloads = downloads
        self._clock = clock

    def status(self, card: ModelCard) -> ModelStatus:
        """A card and how its model is doing now."""
        replicas = self._replicas(card.id)
        flight = self._downloads.flights.get(card.id)
        state, detail = self._state(card, replicas)
        ready_in = self._loading_left(replicas)
        progress = self._load_progress(replicas, ready_in)
        if flight is not None and not replicas:
            state, detail = "downloading", _progress(flight)
            ready_in, progress = flight.eta(self._clock()), _part(flight)
        weights = self._known(card)
        # Models of other tasks take pictures and sounds as well, and are not chatted with.
        chatted = weights if card.task == "text-generation" else None
        measured = self._scheduler.estimates.seen(card.id)
        return ModelStatus(
            card=card,
            state=state,
            detail=detail,
            tier=tier_of(card.wish, card.engine),
            max_model_len=self.max_model_len(card),
            abilities=abilities(card),
            running=sum(len(r.leases) for r in replicas),
            waiting=self._scheduler.waiting(card.id) + (len(flight.waiting) if flight else 0),
            is_default=card.is_default,
            load_seconds=self._fleet.load_seconds.get(card.id),
            capabilities=capabilities(card),
            switches=self._fleet.switches.of(card.id),
            place=self.place(card),
            download=self._download(flight) if flight else None,
            pictures=bool(chatted and chatted.pictures),
            sounds=bool(chatted and chatted.sounds),
            defaults=weights.defaults if weights else {},
            progress=progress,
            ready_in=ready_in,
            tokens_per_second=measured.speed.value,
            answer_seconds=measured.hold.value,
            weight_bytes=weights.bytes if weights else None,
        )

    def states(self, cards: Iterable[ModelCard]) -> dict[str, tuple[str, str]]:
        """State and detail of those that are in any but the common state, unloaded.

        Quick for thousands of cards of which few are loaded.
        """
        busy = self._busy()
        found = {}
        for card in cards:
            if card.id in busy or card.wish == "drain":
                flight, replicas = self._downloads.flights.get(card.id), busy.get(card.id) or []
                if flight is not None and not replicas:
                    found[card.id] = "downloading", _progress(flight)
                else:
                    found[card.id] = self._state(card, replicas)
        return found

    def live(self, cards: Iterable[ModelCard]) -> list[ModelStatus]:
        """Those of which there is news: wished for, loaded or failed, on their way, waited for."""
        busy = {*self._busy(), *self._scheduler.queues}
        return [self.status(card) for card in cards if card.wish != "none" or card.id in busy]

    def _busy(self) -> dict[str, list[Replica]]:
        """Models that are loaded, failed or on their way, with their replicas."""
        found: dict[str, list[Replica]] = {}
        for replica in self._scheduler.replicas.values():
            found.setdefault(replica.model, []).append(replica)
        for model in (*self._scheduler.failures, *self._downloads.flights):
            found.setdefault(model, [])
        return found

    def max_model_len(self, card: ModelCard) -> int | None:
        """Tokens of its context: those of a copy that is there, else what its card says."""
        engines = (self._fleet.engine(replica.id) for replica in self._replicas(card.id))
        known = next((engine for engine in engines if engine is not None), None)
        return (known and known.max_model_len) or card.max_model_len

    def place(self, card: ModelCard) -> Place | None:
        """How a model is made to fit; None where nobody knows yet, or it does not."""
        replicas = self._replicas(card.id)
        loaded = next((r.need for r in replicas if r.state is ReplicaState.READY), None)
        model = self._scheduler.models.get(card.id)
        need = loaded or (model.need if model and not model.refusal else None)
        if need is None:
            return None
        return Place(
            need.rung,
            need.engine or card.engine,
            need.devices,
            loaded is not None,
            need.tokens_per_second,
            QUALITY[need.rung],
            need.dtype or card.dtype,
        )

    def waiting(self, request_id: str) -> Waiting | None:
        """Where a request stands in its model's queue; None when it does not wait."""
        if flight := self._downloads.of_request(request_id):
            return self._on_its_way(request_id, flight)
        position = self._scheduler.position(request_id)
        if position is None:
            return None
        model = self._scheduler.queued[request_id]
        eta = self._scheduler.eta(request_id, self._clock())
        replicas = self._replicas(model)
        loading = next((r for r in replicas if r.state is ReplicaState.LOADING), None)
        if loading is not None:
            return Waiting(model, position, eta, *self._replica_state(loading, self._clock()))
        is_there = any(r.state is ReplicaState.READY for r in replicas)
        detail = "" if is_there else "other models have their turn"
        return Waiting(model, position, eta, "queued", detail)

    def _on_its_way(self, request_id: str, flight: Flight) -> Waiting:
        position = 1 + list(flight.waiting).index(request_id)
        eta = flight.eta(self._clock())
        return Waiting(flight.model, position, eta, "downloading", _progress(flight), _part(flight))

    def queue(self, account: str) -> list[Queued]:
        """All that an account waits for, in order of arrival."""
        now = self._clock()
        found = []
        for ticket in self._scheduler.tickets(account):
            if waiting := self.waiting(ticket.request_id):
                found.append(Queued(ticket.request_id, now - ticket.queued_at, waiting))
        for flight in self._downloads.flights.values():
            for request_id, (who, since) in flight.waiting.items():
                if who == account:
                    waiting = self._on_its_way(request_id, flight)
                    found.append(Queued(request_id, now - since, waiting))
        return sorted(found, key=lambda queued: -queued.queued_seconds)

    def queue_share(self, account: str) -> QueueShare:
        """What an account has of its places in the queue."""
        taken, free_in = self._scheduler.taken(account, self._clock())
        return QueueShare(self._scheduler.limits.account_queue, taken, free_in)

    def overview(self) -> Overview:
        """Devices, what they hold, and what comes next."""
        scheduler, now = self._scheduler, self._clock()
        replicas = list(scheduler.replicas.values())
        free = free_bytes(scheduler.devices, replicas)
        return Overview(
            tuple(Room(device, max(0, free[device.id])) for device in scheduler.devices),
            tuple(self._resident(replica, now) for replica in replicas),
            tuple(
                Coming(model, scheduler.waiting(model), eta)
                for model, eta in scheduler.upcoming(now)
            ),
            tuple(self._switches()),
            tuple(self._download(flight) for flight in self._downloads.flights.values()),
            tuple(each for each in self._fleet.switches.totals() if each.model in scheduler.models),
        )

    def _download(self, flight: Flight) -> Download:
        eta, waiting = flight.eta(self._clock()), len(flight.waiting)
        return Download(flight.model, flight.bytes, flight.parcel.total, eta, waiting)

    def _switches(self) -> Iterator[SwitchTimes]:
        for model in self._scheduler.models:
            known = self._scheduler.estimates.of(model)
            if known.load or known.wake:
                rest = (self._median(model, kind) for kind in ("drain", "sleep", "unload"))
                yield SwitchTimes(model, known.load.value, known.wake.value, *rest)

    def _median(self, model: str, kind: str) -> float | None:
        found = took(self._fleet.switches.of(model), kind)
        return found[1] if found else None

    def _resident(self, replica: Replica, now: float) -> Resident:
        model = self._scheduler.models.get(replica.model)
        state, detail = self._replica_state(replica, now)
        return Resident(
            model=replica.model,
            state=state,
            detail=detail,
            tier=tier_of(model.wish, model.need.engine) if model else "A",
            devices=replica.devices,
            bytes_per_device=replica.device_bytes,
            running=len(replica.leases),
            waiting=self._scheduler.waiting(replica.model),
            ready_in=self._ready_in(replica, now),
            turn_left=self._scheduler.turn_left(replica.id, now),
        )

    def _ready_in(self, replica: Replica, now: float) -> float | None:
        known = self._scheduler.estimates.of(replica.model)
        takes = (known.wake if replica.waking else known.load).value
        if replica.state is not ReplicaState.LOADING or takes is None:
            return None
        return max(0.0, takes - (now - replica.started))

    def _loading_left(self, replicas: list[Replica]) -> float | None:
        left = (self._ready_in(replica, self._clock()) for replica in replicas)
        return next((seconds for seconds in left if seconds is not None), None)

    def _load_progress(self, replicas: list[Replica], left: float | None) -> float | None:
        """By how long earlier loads took: one that takes longer stands still near its end."""
        loading = next((r for r in replicas if r.state is ReplicaState.LOADING), None)
        if loading is None or left is None:
            return None
        spent = self._clock() - loading.started
        return min(MOST_PROGRESS, spent / max(spent + left, 0.001))

    def _replicas(self, model: str) -> list[Replica]:
        return [r for r in self._scheduler.replicas.values() if r.model == model]

    def _state(self, card: ModelCard, replicas: list[Replica]) -> tuple[str, str]:
        if not replicas and card.wish == "drain":
            return "closed", "staff took it out of service"
        if not replicas:
            failure = self._scheduler.failures.get(card.id)
            return ("failed", failure.reason) if failure else ("unloaded", "")
        best = min(replicas, key=lambda r: _BEST_FIRST.index(r.state))
        if card.wish == "drain" and best.state is ReplicaState.READY:
            return "draining", "it takes nothing new; what runs and waits is finished"
        if best.id in self._scheduler.retired and best.state is ReplicaState.READY:
            return "draining", "it is being unloaded; running answers finish"
        return self._replica_state(best, self._clock())

    @staticmethod
    def _replica_state(replica: Replica, now: float) -> tuple[str, str]:
        if replica.state is ReplicaState.LOADING:
            verb = "waking" if replica.waking else "loading"
            return "loading", f"{verb} for {now - replica.started:.0f} s"
        if replica.state is ReplicaState.READY and replica.closing:
            return "draining", "its turn is over; running answers finish"
        return str(replica.state), ""


def _part(flight: Flight) -> float:
    return flight.bytes / max(1, flight.parcel.total)


def _progress(flight: Flight) -> str:
    have, total = flight.bytes / 2**30, flight.parcel.total / 2**30
    return f"downloading, {have:.2f} of {total:.2f} GiB"
