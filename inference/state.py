"""The tables that the scheduler decides over, and small questions that its parts ask of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import nextafter
from typing import Any, TypeVar

from inference.decisions import Failure, Limits, Model, Ticket
from inference.devices import Device
from inference.estimates import Estimates
from inference.fairness import FairShare
from inference.line import Line
from inference.replica import Lease, Replica, ReplicaState
from inference.requests import Lane

# The part of the bound W by which a rank may lie behind an arrival.
RANK_PART = 0.03
# Predictions err, so plans end before the bound W: a turn at the first of these parts of it, at the
# second where those who are let in would be late themselves; the third is admitted at most.
SAFE_PART = 0.8
LATE_PART = 0.95
ADMIT_PART = 0.85
# A batch request ranks as if it had come later by this part of W.
BATCH_PART = 1.0
# Of the devices' time, the part in which the batch lane's aged work comes before people.
BATCH_SHARE = 0.6
# An answer that was stopped ranks as if it had come later by so many load times, at most by this
# part of W: so its model comes back for those who wait for it anew. Who has waited for half of W is
# not put off.
STOPPED_LOADS = 10.0
STOPPED_PART = 0.1
LONG_PART = 0.5

Found = TypeVar("Found")


@dataclass(slots=True)
class State:
    """Queues, leases, replicas, measurements. Whoever reads them decides nothing here."""

    devices: Sequence[Device]
    limits: Limits = field(default_factory=Limits)
    models: dict[str, Model] = field(default_factory=dict)
    # Those that are to be loaded though nobody asks: few, where the catalogue has thousands.
    wished: Sequence[Model] = ()
    replicas: dict[int, Replica] = field(default_factory=dict)
    queues: dict[str, Line] = field(default_factory=dict)
    # The model of each request that waits.
    queued: dict[str, str] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    running: dict[str, Lease] = field(default_factory=dict)
    retired: set[int] = field(default_factory=set)
    # When the last turn of a model ended that left some of its queue behind.
    yielded: dict[str, float] = field(default_factory=dict)
    estimates: Estimates = field(default_factory=Estimates)
    fairness: FairShare = field(default_factory=lambda: FairShare(0.0))
    next_replica: int = 1
    # Until then the batch lane has had its share; a moment.
    batch_clock: float = 0.0
    memo: dict[object, Any] | None = None

    def ready(self) -> list[Replica]:
        """Replicas that answer, closing ones too."""
        return [r for r in self.replicas.values() if r.state is ReplicaState.READY]

    def copies(self, model: str) -> list[Replica]:
        """Replicas of a model that answer or are about to."""
        up = (ReplicaState.READY, ReplicaState.LOADING)
        return [r for r in self.replicas.values() if r.model == model and r.state in up]

    def served(self, model: str) -> bool:
        """Whether a copy of the model that is to stay answers or is about to."""
        return any(replica.id not in self.retired for replica in self.copies(model))

    def live_models(self) -> set[str]:
        """Models with a replica that answers or is about to."""
        up = (ReplicaState.READY, ReplicaState.LOADING)
        return {r.model for r in self.replicas.values() if r.state in up}

    def pinned(self, replica: Replica) -> bool:
        """Whether it never leaves: the oldest copy of a pinned model. Further ones come and go."""
        model = self.models.get(replica.model)
        if model is None or model.wish != "pin":
            return False
        return all(replica.age <= other.age for other in self.copies(replica.model))

    def drains(self) -> bool:
        """Whether a copy waits for its last answer, to leave for good."""
        models = (self.models.get(replica.model) for replica in self.replicas.values())
        return any(model is not None and model.wish == "drain" for model in models)

    def head(self, model: str) -> float:
        """The lowest rank that waits for a model; infinity for none."""
        line = self.queues.get(model)
        if line is None:
            return float("inf")
        return min(line.head(Lane.INTERACTIVE), self.batch_rank(line.head(Lane.BATCH)))

    def batch_rank(self, rank: float) -> float:
        """Where a batch request stands: not before its lane is due again."""
        return max(rank, self.batch_clock)

    def charge_lane(self, lane: Lane, cost: float, now: float) -> None:
        """Device-seconds of the batch lane put off when it comes before people again."""
        if lane is Lane.BATCH:
            late = cost / (BATCH_SHARE * max(1, len(self.devices)))
            self.batch_clock = max(self.batch_clock, now) + late

    def rank_again(self, ticket: Ticket, now: float) -> float:
        """The rank of an answer that was stopped: later than by its wait.

        And behind whoever it gives way to, whose account may have had more than its share: else the
        model would be unloaded and loaded again for the same answer.
        """
        if ticket.lane is Lane.BATCH:
            return ticket.queued_at + self.limits.wait * BATCH_PART
        most = LONG_PART * self.limits.wait - (now - ticket.queued_at)
        if most <= 0.0:
            return ticket.queued_at
        loads = STOPPED_LOADS * self.estimates.load(ticket.model)
        rank = ticket.queued_at + min(loads, STOPPED_PART * self.limits.wait, most)
        following = self.unserved(now)
        behind = nextafter(self.head(following[0].id), float("inf")) if following else rank
        return max(rank, behind)

    def people(self, replica: Replica) -> int:
        """How many interactive answers run on it."""
        running = (self.running[request_id] for request_id in replica.leases)
        return sum(lease.ticket.lane is Lane.INTERACTIVE for lease in running)

    def people_waiting(self, model: str) -> int:
        """How many interactive requests wait for a model."""
        line = self.queues.get(model)
        return line.waiting(Lane.INTERACTIVE) if line else 0

    def waiting(self, model: str | None = None) -> int:
        """How many requests wait, for one model or in all."""
        if model is not None:
            return len(self.queues.get(model, ()))
        return len(self.queued)

    def may_try(self, model_id: str, now: float) -> bool:
        """Whether no failed load keeps the model back."""
        failure = self.failures.get(model_id)
        return failure is None or now >= failure.retry_at

    def unserved(self, now: float) -> list[Model]:
        """Models that somebody waits for and that have no replica, first come the lowest ranks."""
        return self.once(("unserved", now), lambda: self._unserved(now))

    def once(self, key: object, find: Callable[[], Found]) -> Found:
        """What `find` finds, sought only once while nothing changes."""
        if self.memo is None:
            return find()
        if key not in self.memo:
            self.memo[key] = find()
        found: Found = self.memo[key]
        return found

    @contextmanager
    def unchanging(self) -> Iterator[None]:
        """While nothing happens, what is asked again and again is found out once."""
        self.memo = {}
        try:
            yield
        finally:
            self.memo = None

    def _unserved(self, now: float) -> list[Model]:
        live = self.live_models()
        waiting = [m for m in self.queues if m not in live and m in self.models]
        ready = [m for m in waiting if self.may_try(m, now)]
        return [self.models[m] for m in sorted(ready, key=self.order)]

    def order(self, model: str) -> tuple[float, float]:
        """Whom a turn left behind comes after all that waited at its end, however long it waits."""
        head = max(self.head(model), self.yielded.get(model, 0.0))
        return head, self.queues[model].head(Lane.BATCH)

    def places(self) -> int:
        """How many models have turns side by side, as things stand."""
        held = [r for r in self.replicas.values() if r.state is not ReplicaState.SLEEPING]
        taken = {device for r in held for device in r.devices}
        empty = sum(device.id not in taken for device in self.devices)
        return max(1, empty + sum(not self.pinned(r) for r in held))

    def room(self, replica: Replica) -> int:
        """How many more requests it takes."""
        model = self.models.get(replica.model)
        return model.max_num_seqs - len(replica.leases) if model else 0
