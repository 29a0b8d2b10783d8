"""Who runs next: queues per model, leases, loads and evictions.

Plain synchronous Python. Time comes in as an argument (seconds of any one clock), actions go out as
data: `schedule(now)` only reads, `apply(decision, now)` writes down what the caller is about to do.
So the same class runs in production, in tests and in the simulator. docs/scheduler.md has the
policy; `planning.py` chooses who gets a place, `turns.py` how long for, `fairness.py` who comes
first, `outlook.py` tells how long it will take.

    submit → [queue of a model] → schedule: Grant → running → finish
                                   schedule: Load → loaded | load_failed
                                   schedule: Eviction → stopped
                                   schedule: Preemption → preempted → [queue]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from inference import admission, outlook, turns
from inference.decisions import Decision, Failure, Grant, Model, Ticket
from inference.fairness import FairShare
from inference.grants import grants, only_grant
from inference.line import Line
from inference.planning import asleep_or_gone, plan
from inference.replica import Lease, Replica, ReplicaState
from inference.requests import Lane
from inference.state import BATCH_PART, RANK_PART, State

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0)
MAX_BACKOFF_SECONDS = 60.0


@dataclass(slots=True)
class Scheduler(State):
    """Queues, replicas and the policy over them. See the module's picture."""

    def __post_init__(self) -> None:
        self.fairness = FairShare(self.limits.wait * RANK_PART)

    # --- what happened ---------------------------------------------------------------------------

    def set_models(self, models: Sequence[Model]) -> None:
        """The catalogue in force. Models that are gone lose their wish and are not loaded again."""
        self.models = {model.id: model for model in models}
        self.wished = [model for model in self.models.values() if model.wanted]

    def submit(self, ticket: Ticket, now: float) -> None:
        """Put a request in its model's queue.

        Raises QueueFull, AccountQueueFull, WaitTooLong for one that would wait longer than the
        bound, or ModelUnavailable for a model that can never fit or whose loads keep failing.
        """
        with self.unchanging():
            admission.check(self, ticket, now)
        self.fairness.devices = len(self.devices)
        cost = self.estimates.of(ticket.model).cost.value or 0.0
        rank = self.fairness.enter(ticket.account, ticket.weight, cost, now)
        if ticket.lane is Lane.BATCH:
            rank += self.limits.wait * BATCH_PART
        self.estimates.of(ticket.model).asked = now
        self._enqueue(ticket, rank)

    def check_possible(self, model: str, now: float) -> None:
        """Raise ModelUnavailable for a model that would be refused whatever the queue is like."""
        admission.check_possible(self, self.models[model], now)

    def cancel(self, request_id: str, now: float) -> None:
        """The caller of a waiting request is gone. Unknown ids are no error: grants race this."""
        ticket = self._dequeue(request_id)
        if ticket is not None:
            cost = self.estimates.of(ticket.model).cost.value or 0.0
            self.fairness.charge(ticket.account, -cost)
            self.fairness.leave(ticket.account, now)

    def finish(self, request_id: str, now: float, tokens: int = 0, ran: bool = True) -> None:
        """A running request ended, for whatever reason: its lease is free.

        `tokens`, of all its turns, tell how quick the model is; what is charged are device-seconds.
        One that never `ran` says nothing of how long answers take.
        """
        lease = self._release(request_id, now)
        if lease is None:
            return
        ticket, replica = lease.ticket, self.replicas[lease.replica]
        seconds = now - lease.granted_at
        cost = (replica.share - lease.mark) * len(replica.devices)
        usual = self.estimates.of(replica.model).cost.value or 0.0
        self.fairness.charge(ticket.account, cost - usual)
        self.fairness.leave(ticket.account, now)
        self.charge_lane(ticket.lane, cost, now)
        if ran:
            # What it ran before it was stopped counts in neither: plans ask for how long whoever
            # gets a place holds it, and of those who go on that is the rest.
            self.estimates.answered(replica.model, seconds, cost, tokens - ticket.generated)

    def preempted(self, request_id: str, now: float, generated: int) -> None:
        """A running request was stopped with `generated` tokens in all and waits again.

        What it has cost so far is charged.
        """
        lease = self._release(request_id, now)
        if lease is None:
            return
        ticket = lease.ticket
        replica = self.replicas[lease.replica]
        cost = (replica.share - lease.mark) * len(replica.devices)
        self.fairness.charge(ticket.account, cost)
        self.charge_lane(ticket.lane, cost, now)
        again = replace(
            ticket,
            # As if it had come later by the time for which it ran: what is left is its wait.
            queued_at=ticket.queued_at + (now - lease.granted_at),
            generated=generated,
            preempted=ticket.preempted + 1,
        )
        self._enqueue(again, self.rank_again(again, now))

    def hold(self, request_id: str) -> None:
        """A running request turned out to be one that cannot go on once it was stopped."""
        lease = self.running.get(request_id)
        if lease is not None:
            lease.ticket = replace(lease.ticket, preemptable=False)

    def loaded(self, replica_id: int, now: float) -> None:
        """The replica answers: its turn begins. Whoever asked for it pays for the load."""
        replica = self.replicas[replica_id]
        self.yielded.pop(replica.model, None)
        seconds = now - replica.started
        self.estimates.loaded(replica.model, seconds, replica.waking)
        replica.state = ReplicaState.READY
        replica.waking = False
        replica.contested = bool(self.unserved(now))
        replica.overflow = turns.overflow(self, replica.model, self.people_waiting(replica.model))
        replica.ready_at = replica.last_used = replica.share_at = now
        waiting = list(self.queues.get(replica.model, Line()).values())
        for ticket in waiting:
            self.fairness.charge(ticket.account, seconds * len(replica.devices) / len(waiting))

    def load_failed(self, replica_id: int, reason: str, now: float) -> list[str]:
        """The replica did not start. Returns the requests that waited for it: they fail with it.

        Nobody does while another copy answers or is about to: they wait for that one.
        """
        replica = self.replicas.pop(replica_id, None)
        self.retired.discard(replica_id)
        if replica is None:
            # It was asleep, died just before it was woken, and has been counted as a crash.
            return []
        model = replica.model
        self._note_failure(model, reason, now)
        failed = [] if self.served(model) else list(self.queues.get(model, ()))
        for request_id in failed:
            self.cancel(request_id, now)
        return failed

    def called_off(self, replica_id: int) -> None:
        """The replica did not fit and is tried another way: whoever waits for it waits on."""
        self.replicas.pop(replica_id, None)
        self.retired.discard(replica_id)

    def stopped(self, replica_id: int, now: float) -> None:
        """The replica was unloaded in good order: its memory is free."""
        if replica := self._remove(replica_id, now):
            self.failures.pop(replica.model, None)
            if replica.state is ReplicaState.STOPPING:
                self.estimates.unloaded(now - replica.leaving_since)

    def slept(self, replica_id: int, now: float) -> None:
        """The replica's weights are in the machine's memory, its device memory is free."""
        replica = self.replicas[replica_id]
        self.failures.pop(replica.model, None)
        self.estimates.unloaded(now - replica.leaving_since)
        replica.state = ReplicaState.SLEEPING
        replica.falling_asleep = replica.closing = replica.served = False

    def crashed(self, replica_id: int, reason: str, now: float) -> None:
        """The replica died: memory and leases are free. Whoever waits goes on waiting.

        One that dies again and again soon after it got ready is loaded with growing pauses.
        """
        replica = self._remove(replica_id, now)
        if replica is None:
            return
        if now - replica.ready_at > MAX_BACKOFF_SECONDS:
            self.failures.pop(replica.model, None)
        self._note_failure(replica.model, reason, now)

    def retire(self, model: str, before: float = float("inf")) -> None:
        """Staff unload a model: its replicas whose load began before then drain and go.

        One that is still being loaded goes as soon as it could answer; one that sleeps, at once.
        """
        own = (r for r in self.replicas.values() if r.model == model and r.started < before)
        stays = (r for r in own if r.state is not ReplicaState.STOPPING or r.falling_asleep)
        self.retired.update(r.id for r in stays)

    def forgive(self, model: str) -> None:
        """Staff ask for another try: forget failed loads."""
        self.failures.pop(model, None)

    # --- what to do ------------------------------------------------------------------------------

    def schedule(self, now: float) -> Decision:
        """What to do at `now`. Changes nothing: until `apply`, asking again answers the same."""
        if grant := only_grant(self):
            return Decision(grants=(grant,))
        with self.unchanging():
            return self._decide(now)

    def _decide(self, now: float) -> Decision:
        planned = plan(self, now)
        sleeps, evictions = asleep_or_gone(self, planned)
        closing = {i for i, rank in planned.limits.items() if rank < turns.INFINITY}
        was = {r.id for r in self.ready() if r.closing}
        granted = tuple(grants(self, planned))
        return Decision(
            grants=granted,
            loads=tuple(planned.loads),
            evictions=tuple(evictions),
            preemptions=tuple(turns.preemptions(self, planned.limits, now)),
            sleeps=tuple(sleeps),
            wakes=tuple(planned.wakes),
            refusals=tuple(self._overdue(now, {grant.request_id for grant in granted})),
            closings=tuple(sorted(closing - was)),
            openings=tuple(sorted(was - closing)),
        )

    def apply(self, decision: Decision, now: float) -> None:
        """Write down a decision that is being carried out."""
        for request_id in decision.refusals:
            self.cancel(request_id, now)
        for grant in decision.grants:
            self._lease(grant, now)
        for load in decision.loads:
            self.replicas[load.replica] = Replica(
                load.replica,
                load.model,
                load.devices,
                load.need.bytes_per_device,
                load.need.kv_cache_bytes,
                started=now,
                need=load.need,
            )
            self.next_replica = max(self.next_replica, load.replica + 1)
        for replica_id in decision.wakes:
            replica = self.replicas[replica_id]
            replica.state, replica.waking, replica.started = ReplicaState.LOADING, True, now
            replica.host_bytes = 0
        for replica_id in (*decision.evictions, *decision.sleeps):
            self._leave(self.replicas[replica_id], now)
        for replica_id in decision.sleeps:
            self._fall_asleep(self.replicas[replica_id])
        for replica_id in decision.closings:
            self.replicas[replica_id].closing = True
            self.replicas[replica_id].closing_since = now
        for replica_id in decision.openings:
            self.replicas[replica_id].closing = False

    def next_change(self, now: float) -> float | None:
        """Seconds until `schedule` may answer differently with no event in between."""
        if not (self.queues or self.failures or self.limits.idle):
            return None
        with self.unchanging():
            return min((m - now for m in turns.moments(self, now) if m > now), default=None)

    # --- what to tell ----------------------------------------------------------------------------

    def position(self, request_id: str) -> int | None:
        """The place of a request in its model's queue, from 1; None when it does not wait."""
        model = self.queued.get(request_id)
        return self.queues[model].position(request_id) if model else None

    def eta(self, request_id: str, now: float) -> float | None:
        """Seconds until a waiting request is granted; None where that is not known.

        When the batch lane's turn comes depends on who else comes until then: nobody knows.
        """
        position = self.position(request_id)
        if position is None or self._lane(request_id) is Lane.BATCH:
            return None
        with self.unchanging():
            return outlook.wait(self, self.queued[request_id], position, now)

    def upcoming(self, now: float) -> list[tuple[str, float | None]]:
        """Models that wait for a place, in the order in which they come, and when they answer."""
        return outlook.upcoming(self, now)

    def turn_left(self, replica_id: int, now: float) -> float | None:
        """Seconds until a replica's turn closes; None where nobody who waits gets its place."""
        with self.unchanging():
            return outlook.turn_left(self, self.replicas[replica_id], now)

    def tickets(self, account: str) -> list[Ticket]:
        """What an account has waiting, in the order of the queues."""
        return [t for q in self.queues.values() for t in q.values() if t.account == account]

    def taken(self, account: str, now: float) -> tuple[int, float]:
        """How many places an account has in the queue, and about when they will be free.

        The latter in seconds from now: when all who wait for the same models will have been let in.
        """
        known = self.fairness.accounts.get(account)
        if known is None or not known.waiting:
            return 0, 0.0
        asked = [
            name
            for name, line in self.queues.items()
            if any(ticket.account == account for ticket in line.values())
        ]
        waits = [outlook.wait(self, name, self.waiting(name), now) for name in asked]
        guess = float(admission.guess(self))
        return known.waiting, max((guess if wait is None else wait for wait in waits), default=0.0)

    # --- small steps -----------------------------------------------------------------------------

    def _lease(self, grant: Grant, now: float) -> None:
        replica = self.replicas[grant.replica]
        ticket = self._dequeue(grant.request_id)
        if ticket is None:
            return
        replica.spend(now)
        replica.leases.add(grant.request_id)
        replica.served = True
        self.running[grant.request_id] = Lease(ticket, replica.id, now, replica.share)

    def _release(self, request_id: str, now: float) -> Lease | None:
        lease = self.running.pop(request_id, None)
        if lease is not None:
            replica = self.replicas[lease.replica]
            replica.spend(now)
            replica.leases.discard(request_id)
            replica.last_used = now
        return lease

    # --- small questions -------------------------------------------------------------------------

    def _lane(self, request_id: str) -> Lane:
        return self.queues[self.queued[request_id]].lane(request_id)

    def _overdue(self, now: float, granted: set[str]) -> Iterator[str]:
        """Interactive requests whose wait has reached the bound and that are not granted now."""
        for line in self.queues.values():
            for ticket in line.oldest():
                # As `next_change` has it: the difference may round to less.
                if now < ticket.queued_at + self.limits.wait:
                    break
                if ticket.request_id not in granted:
                    yield ticket.request_id

    def _note_failure(self, model: str, reason: str, now: float) -> None:
        count = self.failures[model].count + 1 if model in self.failures else 1
        delay = BACKOFF_SECONDS[count - 1] if count <= len(BACKOFF_SECONDS) else MAX_BACKOFF_SECONDS
        self.failures[model] = Failure(reason, count, now + delay)

    def _leave(self, replica: Replica, now: float) -> None:
        # One that sleeps, or beside which another copy answers, ends nobody's turn.
        ends = replica.state is ReplicaState.READY and len(self.copies(replica.model)) == 1
        if ends and replica.contested:
            self.estimates.turned(replica.model, now - replica.ready_at, replica.overflow)
        if replica.closing:
            self.estimates.of(replica.model).drain.add(now - replica.closing_since)
        if ends and replica.model in self.queues:
            self.yielded[replica.model] = replica.closing_since if replica.closing else now
        replica.state, replica.closing = ReplicaState.STOPPING, False
        replica.leaving_since = now

    def _fall_asleep(self, replica: Replica) -> None:
        model = self.models[replica.model]
        replica.falling_asleep = True
        replica.host_bytes, replica.bytes_asleep = model.sleep_bytes, model.asleep_bytes

    def _remove(self, replica_id: int, now: float) -> Replica | None:
        replica = self.replicas.pop(replica_id, None)
        self.retired.discard(replica_id)
        if replica is None:
            return None
        for request_id in replica.leases:
            self.fairness.leave(self.running.pop(request_id).ticket.account, now)
        # What its requests have cost stands, however late somebody asks for it.
        replica.spend(now)
        replica.leases.clear()
        return replica

    def _enqueue(self, ticket: Ticket, rank: float) -> None:
        self.queues.setdefault(ticket.model, Line()).add(ticket, rank)
        self.queued[ticket.request_id] = ticket.model
        self.fairness.accounts[ticket.account].waiting += 1

    def _dequeue(self, request_id: str) -> Ticket | None:
        model = self.queued.pop(request_id, None)
        if model is None:
            return None
        line = self.queues[model]
        ticket = line.remove(request_id)
        if not line:
            del self.queues[model]
        self.fairness.accounts[ticket.account].waiting -= 1
        return ticket
