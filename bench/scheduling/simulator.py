"""The event loop: arrivals, ends, loads and timers in, decisions carried out on virtual engines.

It trusts no policy: memory that is not free, an eviction of a busy replica or a grant to a request
that does not wait raises `BrokenLaw`.
"""

from __future__ import annotations

import enum
import heapq
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.scheduling.engine_model import Batch
from bench.scheduling.workload import Request, Workload
from inference.decisions import Decision, Load, Model, Ticket
from inference.devices import Device
from inference.errors import Refused

# The shortest timer: a float may be too coarse to add less.
TICK = 1e-6
# Decisions in a row at one moment; a sound policy needs a handful.
MAX_DECISIONS = 200


class BrokenLaw(AssertionError):
    """A policy did what cannot be done on real hardware."""


class Policy(Protocol):
    """What the simulator asks of a policy; `inference.scheduler.Scheduler` is one."""

    @property
    def devices(self) -> Sequence[Device]: ...
    def set_models(self, models: Sequence[Model]) -> None: ...
    def submit(self, ticket: Ticket, now: float) -> None: ...
    def finish(self, request_id: str, now: float, tokens: int = 0) -> None: ...
    def loaded(self, replica_id: int, now: float) -> None: ...
    def stopped(self, replica_id: int, now: float) -> None: ...
    def schedule(self, now: float) -> Decision: ...
    def apply(self, decision: Decision, now: float) -> None: ...
    def next_change(self, now: float) -> float | None: ...


class End(enum.StrEnum):
    """How it ended: served; refused at its arrival; given up in the queue; cut while it ran."""

    SERVED = "served"
    REFUSED = "refused"
    EXPIRED = "expired"
    CUT = "cut"


@dataclass(slots=True)
class Life:
    """What became of a request. Times are seconds of the virtual clock; NaN: never."""

    request: Request
    granted: float = math.nan
    finished: float = math.nan
    computed: float = 0.0
    generated: int = 0
    prefilled: int = 0
    preempted: int = 0
    eta: float | None = None
    end: End = End.SERVED
    since: float = math.nan
    replica: int = 0

    @property
    def response(self) -> float:
        """From arrival to the last token."""
        return self.finished - self.request.arrival

    @property
    def wait(self) -> float:
        """All the time that it was there and not computed: queued, loading, preempted."""
        return max(0.0, self.response - self.computed)


@dataclass(slots=True)
class Stay:
    """A model in a device, from the start of its load to the end of its unload."""

    replica: int
    model: str
    devices: tuple[str, ...]
    loading: float
    ready: float = math.nan
    gone: float = math.nan


@dataclass(slots=True)
class Run:
    """All that a simulation found out."""

    lives: list[Life]
    stays: list[Stay]
    end: float
    decisions: int
    decision_seconds: float
    longest_decision: float


@dataclass(slots=True)
class _Replica:
    stay: Stay
    bytes: int
    batch: Batch
    ready: bool = False


@dataclass(slots=True)
class Simulator:
    """One policy on one workload. `run()` once."""

    work: Workload
    policy: Policy
    now: float = 0.0
    lives: dict[str, Life] = field(default_factory=dict)
    replicas: dict[int, _Replica] = field(default_factory=dict)
    stays: list[Stay] = field(default_factory=list)
    _events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = field(
        default_factory=list
    )
    _sequence: int = 0
    _versions: dict[str, int] = field(default_factory=dict)
    _waiting: set[str] = field(default_factory=set)
    _newcomer: Life | None = None
    _decisions: int = 0
    _decision_seconds: float = 0.0
    _longest: float = 0.0

    def run(self) -> Run:
        """Simulate until every request is answered or refused."""
        self.policy.set_models(self.work.models)
        self._versions = {device.id: 0 for device in self.work.devices}
        for request in self.work.requests:
            self._at(request.arrival, self._arrive, request)
        timer: float | None = None
        while self._events or timer is not None:
            self._step(timer)
            self._decide()
            self._ask_eta()
            timer = self._next_timer()
        self._check_all_served()
        return Run(
            list(self.lives.values()),
            self.stays,
            self.now,
            self._decisions,
            self._decision_seconds,
            self._longest,
        )

    # --- events ----------------------------------------------------------------------------------

    def _step(self, timer: float | None) -> None:
        """The next event, or nothing but the time of the timer."""
        if not self._events or (timer is not None and timer < self._events[0][0]):
            assert timer is not None
            self.now = timer
            return
        when, _, happen, arguments = heapq.heappop(self._events)
        self.now = max(self.now, when)
        happen(*arguments)

    def _at(self, when: float, happen: Callable[..., None], *arguments: object) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (when, self._sequence, happen, arguments))

    def _next_timer(self) -> float | None:
        """None when nobody waits: idle unloads and the like change no figure."""
        if not self._waiting:
            return None
        change = self.policy.next_change(self.now)
        return None if change is None else self.now + max(TICK, change)

    def _arrive(self, request: Request) -> None:
        life = self.lives[request.id] = Life(request)
        try:
            self.policy.submit(request.ticket(), self.now)
        except Refused:
            life.end = End.REFUSED
            return
        self._waiting.add(request.id)
        self._newcomer = life

    def _ask_eta(self) -> None:
        """What a newcomer that has to wait would be told."""
        life, self._newcomer = self._newcomer, None
        if life is not None and life.request.id in self._waiting and hasattr(self.policy, "eta"):
            life.eta = self.policy.eta(life.request.id, self.now)

    def _loaded(self, replica_id: int) -> None:
        replica = self.replicas[replica_id]
        replica.ready = True
        replica.stay.ready = replica.batch.now = self.now
        self.policy.loaded(replica_id, self.now)

    def _stopped(self, replica_id: int) -> None:
        self.replicas.pop(replica_id).stay.gone = self.now
        self.policy.stopped(replica_id, self.now)

    def _worked(self, device: str, version: int) -> None:
        if version == self._versions[device]:
            self._work(device)

    def _work(self, device: str) -> None:
        """Bring a device's batches to now, and plan its next event. They share its time evenly."""
        there = [r for r in self.replicas.values() if r.ready and device in r.stay.devices]
        for replica in there:
            for request_id in replica.batch.advance(self.now):
                self._finish(request_id)
        busy = [r.batch for r in there if r.batch.busy]
        for batch in busy:
            batch.share = 1 / len(busy)
        self._versions[device] += 1
        if (when := min((b.next_event() or self.now for b in busy), default=None)) is not None:
            self._at(when, self._worked, device, self._versions[device])

    def _finish(self, request_id: str) -> None:
        life = self.lives[request_id]
        life.computed += self.now - life.since
        life.generated = life.request.answer
        life.finished = self.now
        self.policy.finish(request_id, self.now, tokens=life.request.answer)

    # --- decisions -------------------------------------------------------------------------------

    def _decide(self) -> None:
        for _ in range(MAX_DECISIONS):
            decision = self._timed()
            if not decision:
                return
            self.policy.apply(decision, self.now)
            self._act(decision)
        raise BrokenLaw(f"The policy never comes to rest at {self.now}: {decision}")

    def _timed(self) -> Decision:
        started = time.perf_counter()
        decision = self.policy.schedule(self.now)
        took = time.perf_counter() - started
        self._decisions += 1
        self._decision_seconds += took
        self._longest = max(self._longest, took)
        return decision

    def _act(self, decision: Decision) -> None:
        if decision.sleeps or decision.wakes:
            raise BrokenLaw("There is no memory for sleepers here.")
        for request_id in decision.refusals:
            self._waiting.remove(request_id)
            self.lives[request_id].end = End.EXPIRED
        # Who was granted a place in the moment in which it was given up is gone.
        granted = [grant for grant in decision.grants if grant.request_id not in decision.refusals]
        touched = {self._preempt(request_id) for request_id in decision.preemptions}
        touched |= {self._grant(grant.request_id, grant.replica) for grant in granted}
        for device in sorted(touched):
            self._work(device)
        for replica_id in decision.evictions:
            self._evict(replica_id)
        for load in decision.loads:
            self._load(load)

    def _grant(self, request_id: str, replica_id: int) -> str:
        replica = self.replicas.get(replica_id)
        if request_id not in self._waiting or replica is None or not replica.ready:
            raise BrokenLaw(f"{request_id} does not wait, or replica {replica_id} is not ready.")
        life = self.lives[request_id]
        if replica.stay.model != life.request.model:
            raise BrokenLaw(f"{request_id} does not wait for {replica.stay.model}.")
        self._waiting.remove(request_id)
        life.since, life.replica = self.now, replica_id
        life.granted = self.now if math.isnan(life.granted) else life.granted
        device = replica.stay.devices[0]
        self._work_before(device)
        life.prefilled += life.request.prompt + life.generated
        replica.batch.add(
            request_id,
            life.request.prompt + life.generated,
            life.request.answer - life.generated,
        )
        return device

    def _work_before(self, device: str) -> None:
        """Bring the device's batches to now before one of them changes."""
        for replica in self.replicas.values():
            if replica.ready and device in replica.stay.devices and replica.batch.now < self.now:
                for request_id in replica.batch.advance(self.now):
                    self._finish(request_id)

    def _preempt(self, request_id: str) -> str:
        """Stop a request: it waits again, or ends here when it cannot be resumed."""
        life = self.lives[request_id]
        replica = self.replicas[life.replica]
        device = replica.stay.devices[0]
        self._work_before(device)
        if not math.isnan(life.finished):
            return device
        life.generated += replica.batch.remove(request_id)
        life.computed += self.now - life.since
        if not life.request.preemptable:
            life.end = End.CUT
            self.policy.finish(request_id, self.now, tokens=life.generated)
            return device
        life.preempted += 1
        self._waiting.add(request_id)
        self.policy.preempted(request_id, self.now, life.generated)  # type: ignore[attr-defined]
        return device

    def _evict(self, replica_id: int) -> None:
        replica = self.replicas[replica_id]
        if not replica.ready or replica.batch.busy:
            raise BrokenLaw(f"Replica {replica_id} is busy and was evicted.")
        replica.ready = False
        self._at(self.now + self.work.unload, self._stopped, replica_id)

    def _load(self, load: Load) -> None:
        stay = Stay(load.replica, load.model, load.devices, self.now)
        for device in load.devices:
            if load.need.bytes_per_device > self._free(device):
                raise BrokenLaw(f"No memory in device {device} for {load.model}.")
        self.replicas[load.replica] = _Replica(
            stay, load.need.bytes_per_device, Batch(self.work.rates)
        )
        self.stays.append(stay)
        self._at(self.now + self.work.switch, self._loaded, load.replica)

    def _free(self, device: str) -> int:
        total = next(d.memory_bytes for d in self.work.devices if d.id == device)
        return total - sum(r.bytes for r in self.replicas.values() if device in r.stay.devices)

    def _check_all_served(self) -> None:
        lost = [i for i, life in self.lives.items() if life.end is End.SERVED and _unfinished(life)]
        if lost:
            raise BrokenLaw(f"{len(lost)} requests were never served, such as {lost[0]}.")


def _unfinished(life: Life) -> bool:
    return math.isnan(life.finished)


def simulate(work: Workload, make: Callable[[Sequence[Device]], Policy]) -> Run:
    """Run a fresh policy on a workload."""
    return Simulator(work, make(work.devices)).run()


Policies = Mapping[str, Callable[[Sequence[Device]], Policy]]
