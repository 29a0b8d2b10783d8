"""Who runs next: queues per model, leases, loads and evictions.

Plain synchronous Python. Time comes in as an argument (seconds of any one clock), actions go out as
data: `schedule(now)` only reads, `apply(decision, now)` writes down what the caller is about to do.
So the same class runs in production, in tests and in a simulator. docs/scheduler.md has the policy.

    submit → [queue of a model] → schedule: Grant → running → finish
                                   schedule: Load → loaded | load_failed
                                   schedule: Eviction → stopped
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from inference.decisions import Decision, Failure, Grant, Limits, Load, Model, Ticket
from inference.devices import Device
from inference.errors import AccountQueueFull, ModelUnavailable, QueueFull
from inference.placement import free_bytes, place
from inference.replica import Replica, ReplicaState
from inference.requests import Lane

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0)
MAX_BACKOFF_SECONDS = 60.0
MAX_FAILURES = 5


@dataclass(slots=True)
class Scheduler:
    """Queues, replicas and the policy over them. See the module's picture."""

    devices: Sequence[Device]
    limits: Limits = field(default_factory=Limits)
    models: dict[str, Model] = field(default_factory=dict)
    replicas: dict[int, Replica] = field(default_factory=dict)
    queues: dict[str, dict[str, Ticket]] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    retired: set[int] = field(default_factory=set)
    _accounts: dict[str, int] = field(default_factory=dict)
    _next_replica: int = 1

    # --- what happened ---------------------------------------------------------------------------

    def set_models(self, models: Sequence[Model]) -> None:
        """The catalogue in force. Models that are gone lose their wish and are not loaded again."""
        self.models = {model.id: model for model in models}

    def submit(self, ticket: Ticket, now: float) -> None:
        """Put a request in its model's queue.

        Raises QueueFull, AccountQueueFull, or ModelUnavailable for a model that can never fit or
        whose loads keep failing.
        """
        self._check_possible(self.models[ticket.model], now)
        if self.waiting() >= self.limits.queue:
            raise QueueFull("The server's queue is full. Try again later.", self._retry_after())
        if self._accounts.get(ticket.account, 0) >= self.limits.account_queue:
            raise AccountQueueFull(
                f"You have {self.limits.account_queue} requests waiting; that is the limit.",
                self._retry_after(),
            )
        self.queues.setdefault(ticket.model, {})[ticket.request_id] = ticket
        self._accounts[ticket.account] = self._accounts.get(ticket.account, 0) + 1

    def cancel(self, model: str, request_id: str) -> None:
        """The caller of a waiting request is gone. Unknown ids are no error: grants race this."""
        self._dequeue(model, request_id)

    def finish(self, request_id: str, now: float, tokens: int = 0) -> None:
        """A running request ended after `tokens` tokens, for whatever reason: its lease is free."""
        replica_id = self.running.pop(request_id, None)
        replica = self.replicas.get(replica_id) if replica_id is not None else None
        if replica is not None:
            replica.leases.discard(request_id)
            replica.last_used = now

    def loaded(self, replica_id: int, now: float) -> None:
        """The replica answers: its turn begins."""
        replica = self.replicas[replica_id]
        replica.state = ReplicaState.READY
        replica.ready_at = replica.last_used = now

    def load_failed(self, replica_id: int, reason: str, now: float) -> list[str]:
        """The replica did not start. Returns the requests that waited for it: they fail with it."""
        model = self.replicas.pop(replica_id).model
        self._note_failure(model, reason, now)
        failed = list(self.queues.get(model, ()))
        for request_id in failed:
            self._dequeue(model, request_id)
        return failed

    def stopped(self, replica_id: int, now: float) -> None:
        """The replica was unloaded in good order: its memory is free."""
        if replica := self._remove(replica_id):
            self.failures.pop(replica.model, None)

    def crashed(self, replica_id: int, reason: str, now: float) -> None:
        """The replica died: memory and leases are free. Whoever waits goes on waiting.

        One that dies again and again soon after it got ready is loaded with growing pauses.
        """
        replica = self._remove(replica_id)
        if replica is None:
            return
        if now - replica.ready_at > MAX_BACKOFF_SECONDS:
            self.failures.pop(replica.model, None)
        self._note_failure(replica.model, reason, now)

    def retire(self, model: str, before: float = float("inf")) -> None:
        """Staff unload a model: its replicas that got ready before then drain and go."""
        self.retired.update(r.id for r in self._ready() if r.model == model and r.ready_at < before)

    def forgive(self, model: str) -> None:
        """Staff ask for another try: forget failed loads."""
        self.failures.pop(model, None)

    # --- what to do ------------------------------------------------------------------------------

    def schedule(self, now: float) -> Decision:
        """What to do at `now`. Changes nothing: until `apply`, asking again answers the same."""
        loads, evictions, gated = self._plan(now)
        grants = [grant for replica in self._ready() for grant in self._grants(replica, gated)]
        return Decision(tuple(grants), tuple(loads), tuple(evictions))

    def apply(self, decision: Decision, now: float) -> None:
        """Write down a decision that is being carried out."""
        for grant in decision.grants:
            ticket = self._dequeue(self.replicas[grant.replica].model, grant.request_id)
            if ticket is not None:
                replica = self.replicas[grant.replica]
                replica.leases.add(grant.request_id)
                replica.served = True
                self.running[grant.request_id] = grant.replica
        for load in decision.loads:
            self.replicas[load.replica] = Replica(
                load.replica,
                load.model,
                load.devices,
                load.need.bytes_per_device,
                load.need.kv_cache_bytes,
                started=now,
            )
            self._next_replica = max(self._next_replica, load.replica + 1)
        for replica_id in decision.evictions:
            self.replicas[replica_id].state = ReplicaState.STOPPING

    def next_change(self, now: float) -> float | None:
        """Seconds until `schedule` may answer differently with no event in between."""
        moments = [f.retry_at for m, f in self.failures.items() if self.queues.get(m)]
        moments += [f.retry_at for m, f in self.failures.items() if self._wished(m)]
        if any(self._unserved(now)):
            moments += [r.ready_at + self._slice(r) for r in self._ready()]
        later = [moment - now for moment in moments if moment > now]
        return min(later, default=None)

    # --- what to tell ----------------------------------------------------------------------------

    def waiting(self, model: str | None = None) -> int:
        """How many requests wait, for one model or in all."""
        if model is not None:
            return len(self.queues.get(model, ()))
        return sum(len(queue) for queue in self.queues.values())

    def position(self, model: str, request_id: str) -> int | None:
        """The place of a request in its model's queue, from 1; None when it does not wait."""
        for place_, waiting_id in enumerate(self.queues.get(model, ()), 1):
            if waiting_id == request_id:
                return place_
        return None

    def tickets(self, account: str) -> list[Ticket]:
        """All that this account waits for, in order of arrival."""
        found = [t for queue in self.queues.values() for t in queue.values()]
        return sorted((t for t in found if t.account == account), key=lambda t: t.queued_at)

    def eta(self, request_id: str, now: float) -> float | None:
        """Seconds until the request is granted; None where it is not known."""
        return None

    def turn_left(self, replica_id: int, now: float) -> float | None:
        """Seconds left in the turn of a replica; None while nobody waits for its place."""
        replica = self.replicas[replica_id]
        if replica.state is not ReplicaState.READY or not any(self._unserved(now)):
            return None
        return max(0.0, replica.ready_at + self._slice(replica) - now)

    def upcoming(self, now: float) -> list[tuple[str, float | None]]:
        """Models that wait for a place, in the order in which they come, each with its ETA."""
        return [(model.id, None) for model in self._unserved(now)]

    def gated(self, now: float) -> set[int]:
        """Replicas whose turn is over: they finish what runs and take nothing new."""
        return self._plan(now)[2]

    # --- the policy ------------------------------------------------------------------------------

    def _plan(self, now: float) -> tuple[list[Load], list[int], set[int]]:
        """Loads and evictions for models that want a replica, oldest waiter first, wishes last.

        1. It fits beside what is resident: load it.
        2. It fits once something that is already stopping is gone: wait for that.
        3. Idle replicas and ended turns can make room: evict the idle ones, gate the others.
        4. Otherwise it waits for a turn to end, and so does whatever comes after it in line.
        """
        replicas = dict(self.replicas)
        loads: list[Load] = []
        evictions = [i for i in self.retired if replicas[i].idle]
        gated = set(self.retired)
        for model in self._wanting(now):
            resident = [r for r in replicas.values() if r.id not in evictions]
            if spot := place(model.need, self.devices, list(replicas.values())):
                load = Load(self._next_replica + len(loads), model.id, spot.devices, model.need)
                loads.append(load)
                replicas[load.replica] = Replica(
                    load.replica, model.id, spot.devices, model.need.bytes_per_device, 0, now
                )
                continue
            staying = [r for r in resident if r.state is not ReplicaState.STOPPING]
            if place(model.need, self.devices, staying):
                break
            spot = place(model.need, self.devices, staying, self._evictable(model, staying, now))
            if spot is None:
                if self.queues.get(model.id):
                    break
                continue
            gated.update(spot.evict)
            evictions += [i for i in spot.evict if replicas[i].idle]
            if self.queues.get(model.id):
                break
        return loads, evictions, gated

    def _wanting(self, now: float) -> Iterator[Model]:
        """Models that should have a replica and have none: who waited longest, then wishes."""
        yield from self._unserved(now)
        live = self._live_models()
        for wish in ("pin", "preload"):
            for model in self.models.values():
                if model.wish != wish or model.id in live or self.queues.get(model.id):
                    continue
                if self._may_try(model.id, now):
                    yield model

    def _unserved(self, now: float) -> Iterator[Model]:
        live = self._live_models()
        waiting = [m for m, queue in self.queues.items() if queue and m not in live]
        for model_id in sorted(
            waiting, key=lambda m: next(iter(self.queues[m].values())).queued_at
        ):
            if model_id in self.models and self._may_try(model_id, now):
                yield self.models[model_id]

    def _evictable(self, model: Model, staying: list[Replica], now: float) -> list[Replica]:
        """Replicas that may make room for `model`, in the order in which they are given up.

        A preload wish takes nobody's place. Idle ones nobody waits for go first, least recently
        used first; then those whose turn is over.
        """
        if model.wish == "preload" and not self.queues.get(model.id):
            return []
        ready = [r for r in staying if r.state is ReplicaState.READY and not self._pinned(r)]
        unused = [r for r in ready if r.idle and not self.queues.get(r.model)]
        over = [r for r in ready if r not in unused and self._turn_over(r, now)]
        by_use = sorted(unused, key=lambda r: r.last_used)
        return by_use + sorted(over, key=lambda r: r.ready_at)

    def _grants(self, replica: Replica, gated: set[int]) -> Iterator[Grant]:
        """All that wait for this replica's model, up to its batch size: the engine batches them."""
        model = self.models.get(replica.model)
        queue = self.queues.get(replica.model)
        if replica.id in gated or model is None or not queue:
            return
        room = model.max_num_seqs - len(replica.leases)
        # Interactive first; Python's sort is stable, so each lane keeps its order of arrival.
        in_order = sorted(queue.values(), key=lambda ticket: ticket.lane is Lane.BATCH)
        for ticket in in_order[: max(0, room)]:
            yield Grant(ticket.request_id, replica.id)

    # --- small questions -------------------------------------------------------------------------

    def _ready(self) -> list[Replica]:
        return [r for r in self.replicas.values() if r.state is ReplicaState.READY]

    def _live_models(self) -> set[str]:
        return {r.model for r in self.replicas.values() if r.state is not ReplicaState.STOPPING}

    def _pinned(self, replica: Replica) -> bool:
        model = self.models.get(replica.model)
        return model is not None and model.wish == "pin"

    def _wished(self, model_id: str) -> bool:
        model = self.models.get(model_id)
        return model is not None and model.wish != "none"

    def _slice(self, replica: Replica) -> float:
        model = self.models.get(replica.model)
        own = model.slice if model is not None else None
        return self.limits.slice if own is None else min(own, self.limits.slice)

    def _turn_over(self, replica: Replica, now: float) -> bool:
        # One that has served nobody yet would be loaded in vain, again and again.
        return replica.served and now - replica.ready_at >= self._slice(replica)

    def _may_try(self, model_id: str, now: float) -> bool:
        failure = self.failures.get(model_id)
        return failure is None or now >= failure.retry_at

    def _check_possible(self, model: Model, now: float) -> None:
        failure = self.failures.get(model.id)
        if failure is not None and failure.count >= MAX_FAILURES and now < failure.retry_at:
            raise ModelUnavailable(
                f"The model `{model.id}` failed to load {failure.count} times: {failure.reason}",
                round(failure.retry_at - now),
            )
        others = [r for r in self.replicas.values() if self._pinned(r) and r.model != model.id]
        if place(model.need, self.devices, others) is None:
            raise ModelUnavailable(self._why_never(model, others), 120)

    def _why_never(self, model: Model, pinned: list[Replica]) -> str:
        room = max(free_bytes(self.devices, pinned).values(), default=0) / 2**30
        needs = model.need.bytes_per_device / 2**30
        beside = " beside the pinned models" if pinned else ""
        return (
            f"The model `{model.id}` needs {needs:.1f} GiB on {model.need.devices} device(s); "
            f"at most {max(0.0, room):.1f} GiB can be made free{beside}."
        )

    def _note_failure(self, model: str, reason: str, now: float) -> None:
        count = self.failures[model].count + 1 if model in self.failures else 1
        delay = BACKOFF_SECONDS[count - 1] if count <= len(BACKOFF_SECONDS) else MAX_BACKOFF_SECONDS
        self.failures[model] = Failure(reason, count, now + delay)

    def _remove(self, replica_id: int) -> Replica | None:
        replica = self.replicas.pop(replica_id, None)
        self.retired.discard(replica_id)
        for request_id in replica.leases if replica else ():
            self.running.pop(request_id, None)
        return replica

    def _retry_after(self) -> int:
        return 1 + self.waiting() // 20

    def _dequeue(self, model: str, request_id: str) -> Ticket | None:
        queue = self.queues.get(model, {})
        ticket = queue.pop(request_id, None)
        if not queue:
            self.queues.pop(model, None)
        if ticket is not None:
            left = self._accounts[ticket.account] - 1
            if left:
                self._accounts[ticket.account] = left
            else:
                del self._accounts[ticket.account]
        return ticket
