"""What the service tells about itself: frozen snapshots for pages, API and admin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from inference.abilities import abilities
from inference.catalogue import ModelCard
from inference.fleet import Fleet
from inference.replica import Replica, ReplicaState
from inference.scheduler import Scheduler
from inference.switches import Switch
from inference.tasks import capabilities

_BEST_FIRST = (ReplicaState.READY, ReplicaState.LOADING, ReplicaState.STOPPING)


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A card and how its model is doing now.

    `state` is unloaded, loading, ready, draining, stopping or failed; `detail` says in words what
    is being done or what went wrong. `tier` is S for a pinned model, else A. `load_seconds` is the
    last measured load time. `capabilities` are the API's routes that the model answers.
    `abilities` are what requests may ask for, `switches` what its last loads and so on took.
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


@dataclass(frozen=True, slots=True)
class Waiting:
    """Where a request stands in its model's queue: 1 is next; `eta` in seconds where known.

    `stage` is queued or loading.
    """

    model: str
    position: int
    eta: float | None
    stage: str
    detail: str


class Board:
    """Reads scheduler and fleet and changes neither."""

    def __init__(self, scheduler: Scheduler, fleet: Fleet, clock: Callable[[], float]) -> None:
        self._scheduler = scheduler
        self._fleet = fleet
        self._clock = clock

    def status(self, card: ModelCard) -> ModelStatus:
        """A card and how its model is doing now."""
        replicas = self._replicas(card.id)
        state, detail = self._state(card.id, replicas)
        engines = [e for r in replicas if (e := self._fleet.engine(r.id)) is not None]
        return ModelStatus(
            card=card,
            state=state,
            detail=detail,
            tier="S" if card.wish == "pin" else "A",
            max_model_len=engines[0].max_model_len if engines else card.max_model_len,
            abilities=abilities(card),
            running=sum(len(r.leases) for r in replicas),
            waiting=self._scheduler.waiting(card.id),
            is_default=card.is_default,
            load_seconds=self._fleet.load_seconds.get(card.id),
            capabilities=capabilities(card),
            switches=self._fleet.switches.of(card.id),
        )

    def waiting(self, request_id: str) -> Waiting | None:
        """Where a request stands in its model's queue; None when it does not wait."""
        position = self._scheduler.position(request_id)
        if position is None:
            return None
        model = self._scheduler.queued[request_id]
        loading = next((r for r in self._replicas(model) if r.state is ReplicaState.LOADING), None)
        if loading is None:
            return Waiting(model, position, None, "queued", "")
        took = self._fleet.load_seconds.get(model)
        since = self._clock() - loading.started
        eta = max(0.0, took - since) if took is not None else None
        return Waiting(model, position, eta, "loading", f"loading for {since:.0f} s")

    def _replicas(self, model: str) -> list[Replica]:
        return [r for r in self._scheduler.replicas.values() if r.model == model]

    def _state(self, model: str, replicas: list[Replica]) -> tuple[str, str]:
        if not replicas:
            failure = self._scheduler.failures.get(model)
            return ("failed", failure.reason) if failure else ("unloaded", "")
        best = min(replicas, key=lambda r: _BEST_FIRST.index(r.state))
        now = self._clock()
        if best.state is ReplicaState.LOADING:
            return "loading", f"loading for {now - best.started:.0f} s"
        if best.state is ReplicaState.READY and best.closing:
            return "draining", "its turn is over; running answers finish"
        return str(best.state), ""
