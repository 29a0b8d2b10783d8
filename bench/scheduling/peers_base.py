"""What every other policy shares: queues per model, replicas, and room made by evicting idle ones.

A subclass says which request may enter a replica, which models come next, and which replicas may
go. Loads, evictions and memory are the same for all, so that they differ in their rule alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from inference.decisions import Decision, Grant, Load, Model, Ticket
from inference.devices import Device
from inference.placement import place
from inference.replica import Replica, ReplicaState
from inference.sizing import Need


class Peer:
    """A policy with queues in order of arrival. `order` numbers the arrivals.

    `copies`: whether a model may have several places, as far as its card allows. Another one is
    wanted where a whole batch waits beyond what there is, as in our own policy.
    """

    copies = False

    def __init__(self, devices: Sequence[Device]) -> None:
        self.devices = devices
        self.models: dict[str, Model] = {}
        self.replicas: dict[int, Replica] = {}
        self.running: dict[str, int] = {}
        self.tickets: dict[str, Ticket] = {}
        self.order: dict[str, int] = {}
        self.queues: dict[str, dict[str, Ticket]] = {}
        self._arrivals = 0
        self._next_replica = 1

    # --- what happened ---------------------------------------------------------------------------

    def set_models(self, models: Sequence[Model]) -> None:
        """The models there are."""
        self.models = {model.id: model for model in models}

    def submit(self, ticket: Ticket, now: float) -> None:
        """A request arrives; nobody is refused."""
        self._arrivals += 1
        self.order[ticket.request_id] = self._arrivals
        self.tickets[ticket.request_id] = ticket
        self.queues.setdefault(ticket.model, {})[ticket.request_id] = ticket

    def finish(self, request_id: str, now: float, tokens: int = 0) -> None:
        """A running request ended."""
        replica = self.replicas[self.running.pop(request_id)]
        replica.leases.discard(request_id)
        replica.last_used = now
        self.tickets.pop(request_id)
        self.order.pop(request_id)

    def loaded(self, replica_id: int, now: float) -> None:
        """A replica is ready."""
        replica = self.replicas[replica_id]
        replica.state = ReplicaState.READY
        replica.ready_at = replica.last_used = now

    def stopped(self, replica_id: int, now: float) -> None:
        """A replica's memory is free."""
        del self.replicas[replica_id]

    def apply(self, decision: Decision, now: float) -> None:
        """Write down what is being done."""
        for grant in decision.grants:
            self._grant(grant, now)
        for load in decision.loads:
            self._next_replica = max(self._next_replica, load.replica + 1)
            self.replicas[load.replica] = _replica(load, now)
        for replica_id in decision.evictions:
            self.replicas[replica_id].state = ReplicaState.STOPPING

    def next_change(self, now: float) -> float | None:
        """Most rules look at events alone."""
        return None

    def _grant(self, grant: Grant, now: float) -> None:
        replica = self.replicas[grant.replica]
        queue = self.queues[replica.model]
        del queue[grant.request_id]
        if not queue:
            del self.queues[replica.model]
        replica.leases.add(grant.request_id)
        replica.served = True
        replica.last_used = now
        self.running[grant.request_id] = grant.replica

    # --- what to do ------------------------------------------------------------------------------

    def schedule(self, now: float) -> Decision:
        """Grants for whoever may enter; room for the models that come next."""
        granted: set[str] = set()
        grants: list[Grant] = []
        for replica in self.ready():
            found = list(self._grants(replica, now, granted))
            grants += found
            granted.update(grant.request_id for grant in found)
        loads, evictions = self._make_room(self.next_models(now), grants, now)
        return Decision(tuple(grants), tuple(loads), tuple(evictions))

    def _grants(self, replica: Replica, now: float, granted: set[str]) -> Iterator[Grant]:
        room = self._room(replica)
        if room <= 0 or replica.model not in self.queues:
            return
        entering = (t for t in self.may_enter(replica, now) if t.request_id not in granted)
        for ticket in islice(entering, room):
            yield Grant(ticket.request_id, replica.id)

    def _room(self, replica: Replica) -> int:
        """How many may enter; copies get equal shares of what waits and runs."""
        limit = self.limit(replica.model)
        copies = [r for r in self.ready() if r.model == replica.model]
        if len(copies) > 1:
            work = len(self.queues.get(replica.model, ())) + sum(len(r.leases) for r in copies)
            limit = min(limit, math.ceil(work / len(copies)))
        return limit - len(replica.leases)

    def _make_room(
        self, wanted: Iterable[Model], grants: Sequence[Grant], now: float
    ) -> tuple[list[Load], list[int]]:
        """Load what fits, evict for the rest, in the order of `wanted`."""
        loads: list[Load] = []
        evictions: list[int] = []
        replicas = dict(self.replicas)
        entered = {grant.replica for grant in grants}
        hopeless: set[Need] = set()
        live = self.live()
        for model in wanted:
            if model.need in hopeless:
                continue
            if spot := place(model.need, self.devices, list(replicas.values())):
                load = Load(self._next_replica + len(loads), model.id, spot.devices, model.need)
                loads.append(load)
                replicas[load.replica] = _replica(load, now)
                continue
            staying = [
                r
                for r in replicas.values()
                if r.state is not ReplicaState.STOPPING and r.id not in evictions
            ]
            if spot := place(model.need, self.devices, staying):
                # It fits once what is leaving is gone: that room is taken.
                replicas[-len(replicas)] = _reserved(model, spot.devices, now, len(replicas))
                continue
            idle = [r for r in staying if r.idle and r.id not in entered and self.may_go(r, now)]
            idle = [r for r in idle if r.model != model.id]
            idle.sort(key=lambda r: (r.last_used, r.id))
            if spot := place(model.need, self.devices, staying, idle):
                evictions += spot.evict
                replicas[-len(replicas)] = _reserved(model, spot.devices, now, len(replicas))
            elif model.id not in live:
                # Whoever wants another copy has fewer to choose from: not its own.
                hopeless.add(model.need)
        return loads, evictions

    # --- the rule --------------------------------------------------------------------------------

    def limit(self, model: str) -> int:
        """How many requests of a model may run together."""
        return self.models[model].max_num_seqs

    def may_enter(self, replica: Replica, now: float) -> Iterable[Ticket]:
        """Waiting requests that may enter this replica, first come first."""
        return self.queues[replica.model].values()

    def next_models(self, now: float) -> Iterable[Model]:
        """Models that should get a replica, in order."""
        return self.wanting()

    def may_go(self, replica: Replica, now: float) -> bool:
        """Whether an idle replica may be evicted for a model that waits."""
        return replica.model not in self.queues

    # --- small questions -------------------------------------------------------------------------

    def ready(self) -> list[Replica]:
        """Replicas that compute or could."""
        return [r for r in self.replicas.values() if r.state is ReplicaState.READY]

    def live(self) -> set[str]:
        """Models with a replica that stays."""
        return {r.model for r in self.replicas.values() if r.state is not ReplicaState.STOPPING}

    def unserved(self) -> list[Model]:
        """Models that somebody waits for and that have no replica; longest waiter first."""
        live = self.live()
        waiting = [m for m in self.queues if m not in live]
        return [self.models[m] for m in sorted(waiting, key=self.oldest)]

    def wanting(self) -> list[Model]:
        """The same, and models that want another copy; longest waiter first."""
        found = [*self.unserved(), *self.short()]
        return sorted(found, key=lambda model: self.oldest(model.id))

    def short(self) -> list[Model]:
        """Models that want another copy; none where the policy has no copies."""
        return [self.models[m] for m in self.queues if self.copies and self._is_short(m)]

    def _is_short(self, model: str) -> bool:
        there = [
            r
            for r in self.replicas.values()
            if r.model == model and r.state is not ReplicaState.STOPPING
        ]
        loading = any(r.state is ReplicaState.LOADING for r in there)
        if loading or not 0 < len(there) < self.models[model].replicas:
            return False
        room = sum(self.limit(model) - len(r.leases) for r in there)
        return len(self.queues[model]) - room >= self.limit(model)

    def oldest(self, model: str) -> int:
        """The number of a model's first waiting request."""
        return self.order[next(iter(self.queues[model]))]


def _replica(load: Load, now: float) -> Replica:
    return Replica(load.replica, load.model, load.devices, load.need.bytes_per_device, 0, now)


def _reserved(model: Model, devices: tuple[str, ...], now: float, number: int) -> Replica:
    """Memory that is spoken for, so that the next in line does not count on it."""
    return Replica(-number, model.id, devices, model.need.bytes_per_device, 0, now)
