"""What the service tells about itself: frozen snapshots for pages, API and admin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from inference.abilities import abilities
from inference.catalogue import ModelCard
from inference.devices import Device
from inference.downloads import Downloads, Flight
from inference.fleet import Fleet
from inference.ladder import QUALITY
from inference.placement import free_bytes
from inference.replica import Replica, ReplicaState
from inference.scheduler import Scheduler
from inference.sizing import Weights
from inference.switches import Switch, SwitchTotal, took
from inference.tasks import capabilities

_BEST_FIRST = (
    ReplicaState.READY,
    ReplicaState.LOADING,
    ReplicaState.SLEEPING,
    ReplicaState.STOPPING,
)


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A card and how its model is doing now.

    `state` is unloaded, downloading, loading, ready, draining, stopping or failed; `detail` says in
    words what is being done or what went wrong. `tier` is C for custom code, S for a pinned model,
    else A. `load_seconds` is the last measured load time. `capabilities` are the API's routes that
    the model answers, `abilities` what requests may ask for, `switches` what its last loads and so
    on took. `place` is None for a model that was not measured yet, or that does not fit. `pictures`
    says whether it reads them, `defaults` how tokens are drawn where a request does not say.
    """

    card: ModelCard
    state: str
    detail: str
    tier: str
    max_model_len: int | None
    abilities: frozenset[str]
    running: int
    waiting: int
    is_default: bool
    load_seconds: float | None
    capabilities: tuple[str, ...] = ()
    switches: tuple[Switch, ...] = ()
    place: Place | None = None
    download: Download | None = None
    pictures: bool = False
    defaults: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """How a model is made to fit: a rung of the ladder, and what to expect of it.

    `loaded` says whether a copy runs so, or would when it is loaded next. `tokens_per_second` is an
    estimate for one answer (memory bandwidth over the bytes that each token reads), None where it
    is not known; `quality` is a note in words; `dtype` what it computes in, auto: what it was
    published in.
    """

    rung: str
    engine: str
    devices: int
    loaded: bool
    tokens_per_second: float | None
    quality: str
    dtype: str = "auto"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Where a request stands in its model's queue: 1 is next; `eta` in seconds where known.

    `stage` is downloading, queued or loading; `progress` (0 to 1) the part that is there of what is
    downloaded.
    """

    model: str
    position: int
    eta: float | None
    stage: str
    detail: str
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """One of the requests that an account waits for."""

    request_id: str
    queued_seconds: float
    waiting: Waiting


@dataclass(frozen=True, slots=True)
class QueueShare:
    """An account's places in the queue: how many, how many are taken, and when all are free again.

    The latter in seconds, as far as can be told.
    """

    limit: int
    taken: int
    free_in: float


@dataclass(frozen=True, slots=True)
class Room:
    """A device and how much of its memory no model has."""

    device: Device
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Resident:
    """A loaded copy of a model, or one that comes or goes.

    `waiting` are the requests in its model's queue. `ready_in`: seconds until it has loaded;
    `turn_left`: seconds until it makes room for those who wait. None where it is not known, or
    does not apply.
    """

    model: str
    state: str
    detail: str
    tier: str
    devices: tuple[str, ...]
    bytes_per_device: int
    running: int
    waiting: int
    ready_in: float | None
    turn_left: float | None


@dataclass(frozen=True, slots=True)
class Coming:
    """A model that waits for a place in memory, and how many wait for it."""

    model: str
    waiting: int
    eta: float | None


@dataclass(frozen=True, slots=True)
class Download:
    """A model on its way from the Hub; `eta` in seconds where it is known."""

    model: str
    bytes: int
    total_bytes: int
    eta: float | None
    waiting: int


@dataclass(frozen=True, slots=True)
class SwitchTimes:
    """What bringing a model in and out takes, in seconds; None where it never happened.

    `load` and `wake` are means until it answers, those by which waits are predicted. The others are
    medians: `drain` from the end of a turn until its last answer is gone, then `sleep` or `unload`.
    """

    model: str
    load_seconds: float | None
    wake_seconds: float | None
    drain_seconds: float | None
    sleep_seconds: float | None
    unload_seconds: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """All of it at a glance; `coming` in the order in which they come, `totals` since the start."""

    rooms: tuple[Room, ...]
    residents: tuple[Resident, ...]
    coming: tuple[Coming, ...]
    switches: tuple[SwitchTimes, ...]
    downloads: tuple[Download, ...] = ()
    totals: tuple[SwitchTotal, ...] = ()


class Board:
    """Reads scheduler and fleet and changes neither."""

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
        state, detail = self._state(card.id, replicas)
        if flight is not None and not replicas:
            state, detail = "downloading", _progress(flight)
        weights = self._known(card)
        return ModelStatus(
            card=card,
            state=state,
            detail=detail,
            tier=_tier(card.wish, card.engine),
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
            pictures=bool(weights and weights.pictures and card.task == "text-generation"),
            defaults=weights.defaults if weights else {},
        )

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
        eta, part = flight.eta(self._clock()), flight.bytes / max(1, flight.parcel.total)
        return Waiting(flight.model, position, eta, "downloading", _progress(flight), part)

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
            tier=_tier(model.wish, model.need.engine) if model else "A",
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

    def _replicas(self, model: str) -> list[Replica]:
        return [r for r in self._scheduler.replicas.values() if r.model == model]

    def _state(self, model: str, replicas: list[Replica]) -> tuple[str, str]:
        if not replicas:
            failure = self._scheduler.failures.get(model)
            return ("failed", failure.reason) if failure else ("unloaded", "")
        best = min(replicas, key=lambda r: _BEST_FIRST.index(r.state))
        return self._replica_state(best, self._clock())

    @staticmethod
    def _replica_state(replica: Replica, now: float) -> tuple[str, str]:
        if replica.state is ReplicaState.LOADING:
            verb = "waking" if replica.waking else "loading"
            return "loading", f"{verb} for {now - replica.started:.0f} s"
        if replica.state is ReplicaState.READY and replica.closing:
            return "draining", "its turn is over; running answers finish"
        return str(replica.state), ""


def _progress(flight: Flight) -> str:
    have, total = flight.bytes / 2**30, flight.parcel.total / 2**30
    return f"downloading, {have:.2f} of {total:.2f} GiB"


def _tier(wish: str, engine: str) -> str:
    if engine == "custom":
        return "C"
    return "S" if wish == "pin" else "A"
