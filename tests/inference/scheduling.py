"""Schedulers for tests: small devices, small models, loads and stops that end at once."""

from inference.decisions import Limits, Load, Model, Ticket
from inference.devices import Device
from inference.scheduler import Scheduler
from inference.sizing import Need

GIB = 2**30


def scheduler(*models: Model, memory: int = 10, limits: Limits | None = None) -> Scheduler:
    """One device of `memory` GiB and these models."""
    made = Scheduler([Device("0", "cuda", "test", memory * GIB, memory * GIB)], limits or Limits())
    made.set_models(list(models))
    return made


def model(name: str, size: int = 6, **more: object) -> Model:
    return Model(name, Need(size * GIB, GIB), **more)  # type: ignore[arg-type]


def ask(s: Scheduler, name: str, request: str, now: float = 0.0, account: str = "alice") -> None:
    s.submit(Ticket(request, name, account, now), now)


def step(s: Scheduler, now: float) -> list[Load]:
    """Decide and apply; loads finish at once, evictions too."""
    decision = s.schedule(now)
    s.apply(decision, now)
    for load in decision.loads:
        s.loaded(load.replica, now)
    for replica in decision.evictions:
        s.stopped(replica, now)
    return list(decision.loads)


def settle(s: Scheduler, now: float) -> None:
    while s.schedule(now):
        step(s, now)


def resident(s: Scheduler) -> set[str]:
    return {r.model for r in s.replicas.values()}
