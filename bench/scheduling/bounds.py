"""The bound without switches: what is lost to them cannot be less than the distance from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from bench.scheduling.peers_base import Peer
from bench.scheduling.workload import Workload
from inference.decisions import Decision, Grant, Load, Model, Ticket
from inference.devices import Device
from inference.replica import Replica
from inference.requests import Lane

# More requests than have a place at once.
MOST = 1024


class AllResident(Peer):
    """The first model has a copy on every device; each request goes to the copy with fewest."""

    def __init__(self, devices: Sequence[Device]) -> None:
        super().__init__(devices)
        self.interactive: dict[str, None] = {}

    def submit(self, ticket: Ticket, now: float) -> None:
        """Remember its lane."""
        super().submit(ticket, now)
        if ticket.lane is Lane.INTERACTIVE:
            self.interactive[ticket.request_id] = None

    def _grant(self, grant: Grant, now: float) -> None:
        self.interactive.pop(grant.request_id, None)
        super()._grant(grant, now)

    def schedule(self, now: float) -> Decision:
        """Load everywhere, then grant."""
        if not self.replicas:
            return Decision(loads=tuple(self._copies()))
        return Decision(grants=tuple(self._spread()))

    def _copies(self) -> Iterator[Load]:
        model = next(iter(self.models.values()))
        for number, device in enumerate(self.devices, 1):
            yield Load(number, model.id, (device.id,), model.need)

    def _spread(self) -> Iterator[Grant]:
        held = {replica.id: len(replica.leases) for replica in self.ready()}
        for ticket in self._waiting():
            least = min(held, key=lambda replica: held[replica], default=None)
            if least is None or held[least] >= self.limit(ticket.model):
                return
            held[least] += 1
            yield Grant(ticket.request_id, least)

    def _waiting(self) -> Iterable[Ticket]:
        """The interactive lane first; no more than could enter at once."""
        waiting = self.queues.get(next(iter(self.models)), {})
        yield from islice((waiting[i] for i in self.interactive), MOST)
        yield from islice((t for t in waiting.values() if t.lane is Lane.BATCH), MOST)

    def may_go(self, replica: Replica, now: float) -> bool:
        """Nothing ever goes."""
        return False

    def next_models(self, now: float) -> Sequence[Model]:
        """Nothing more is loaded."""
        return []


def without_switches(work: Workload) -> Workload:
    """Every GPU computes any model at any time, and batches requests for all of them together.

    One model stands for all of them, and its load takes no time.
    """
    model = work.models[0]
    requests = [replace(request, model=model.id) for request in work.requests]
    return replace(work, requests=requests, models=[model], switch=0.0)
