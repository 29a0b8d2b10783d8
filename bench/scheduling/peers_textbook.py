"""Rules from queueing theory and from papers, made to work with batches and several GPUs."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from bench.scheduling.peers_base import Peer
from inference.decisions import Decision, Grant, Model, Ticket
from inference.devices import Device
from inference.replica import Replica


class RoundRobin(Peer):
    """Models in a fixed circle, each served until nobody waits and nothing runs (exhaustive).

    Models that nobody asks for are passed over; a model stays while no other is wanted.
    """

    copies = True

    def __init__(self, devices: Sequence[Device]) -> None:
        super().__init__(devices)
        self.last = -1

    def apply(self, decision: Decision, now: float) -> None:
        """The circle goes on from the model that was loaded last."""
        super().apply(decision, now)
        if decision.loads:
            self.last = list(self.models).index(decision.loads[-1].model)

    def next_models(self, now: float) -> Iterable[Model]:
        """Wanted models in the circle's order."""
        circle = list(self.models)
        turned = {m: (i - self.last - 1) % len(circle) for i, m in enumerate(circle)}
        return sorted(self.wanting(), key=lambda model: turned[model.id])


class Gated(Peer):
    """A turn serves those that waited when it began, and nobody who comes later.

    While no model waits for a place every turn begins anew at once, so nothing stands idle.
    """

    copies = True

    def __init__(self, devices: Sequence[Device]) -> None:
        super().__init__(devices)
        self.gates: dict[int, int] = {}

    def submit(self, ticket: Ticket, now: float) -> None:
        """Gates stand where they stood before the newcomer, if it is the first to want a place."""
        self._move_gates()
        super().submit(ticket, now)

    def loaded(self, replica_id: int, now: float) -> None:
        """The turn begins."""
        super().loaded(replica_id, now)
        self.gates[replica_id] = self._arrivals

    def stopped(self, replica_id: int, now: float) -> None:
        """The turn is history."""
        super().stopped(replica_id, now)
        self.gates.pop(replica_id, None)

    def _move_gates(self) -> None:
        if not self.unserved():
            self.gates.update({replica.id: self._arrivals for replica in self.ready()})

    def may_enter(self, replica: Replica, now: float) -> Iterable[Ticket]:
        """Whoever came before the gate; all, when nobody wants a place."""
        if not self.unserved():
            yield from self.queues[replica.model].values()
            return
        for ticket in self.queues[replica.model].values():
            if self.order[ticket.request_id] > self.gates[replica.id]:
                return
            yield ticket

    def may_go(self, replica: Replica, now: float) -> bool:
        """All before the gate are served: an idle replica has granted whoever may enter."""
        return True


class RoundRobinGated(Gated, RoundRobin):
    """The circle, gated."""


class LongestQueue(Peer):
    """The model with the most waiting requests comes next, and is served until it has none."""

    copies = True

    def next_models(self, now: float) -> Iterable[Model]:
        """Wanted models, longest queue first, then longest waiter."""
        return sorted(self.wanting(), key=lambda m: (-len(self.queues[m.id]), self.oldest(m.id)))


class VirtualTokens(Gated):
    """VTC: whoever has had the fewest tokens comes first; an answer's tokens count twice.

    The model that the user with the lowest counter asks for comes next. Its turn is gated, so that
    a switch serves all that waited for it, in the order of their users' counters. Somebody new
    begins at the lowest counter among those present.
    """

    def __init__(self, devices: Sequence[Device]) -> None:
        super().__init__(devices)
        self.counters: dict[str, float] = {}
        self.present: dict[str, int] = {}
        # Waiting requests, by model and user.
        self.lines: dict[str, dict[str, dict[str, Ticket]]] = {}

    def submit(self, ticket: Ticket, now: float) -> None:
        """A user who was away is lifted to the least of those who are here."""
        user = ticket.account
        if user not in self.present:
            least = min((self.counters[other] for other in self.present), default=0.0)
            self.counters[user] = max(self.counters.get(user, 0.0), least)
        self.present[user] = self.present.get(user, 0) + 1
        super().submit(ticket, now)
        lines = self.lines.setdefault(ticket.model, {})
        lines.setdefault(user, {})[ticket.request_id] = ticket

    def finish(self, request_id: str, now: float, tokens: int = 0) -> None:
        """The answer is charged when it is there."""
        user = self.tickets[request_id].account
        self.counters[user] += 2 * tokens
        self.present[user] -= 1
        if not self.present[user]:
            del self.present[user]
        super().finish(request_id, now, tokens)

    def _grant(self, grant: Grant, now: float) -> None:
        """A prompt is charged when it is let in."""
        ticket = self.tickets[grant.request_id]
        self.counters[ticket.account] += ticket.prompt_tokens
        line = self.lines[ticket.model][ticket.account]
        del line[ticket.request_id]
        if not line:
            del self.lines[ticket.model][ticket.account]
        super()._grant(grant, now)

    def may_enter(self, replica: Replica, now: float) -> Iterable[Ticket]:
        """Whoever came before the gate; each time the user with the lowest counter by then."""
        gate = self.gates[replica.id] if self.unserved() else self._arrivals
        lines = {user: iter(line.values()) for user, line in self.lines[replica.model].items()}
        heads: list[tuple[float, int, Ticket]] = []
        for user, line in lines.items():
            self._push(heads, self.counters[user], next(line, None), gate)
        while heads:
            counter, _, ticket = heapq.heappop(heads)
            yield ticket
            following = next(lines[ticket.account], None)
            self._push(heads, counter + ticket.prompt_tokens, following, gate)

    def _push(
        self,
        heads: list[tuple[float, int, Ticket]],
        counter: float,
        ticket: Ticket | None,
        gate: int,
    ) -> None:
        if ticket is not None and self.order[ticket.request_id] <= gate:
            heapq.heappush(heads, (counter, self.order[ticket.request_id], ticket))

    def next_models(self, now: float) -> Iterable[Model]:
        """Wanted models, by the lowest counter of a user who waits for them."""
        return sorted(self.wanting(), key=lambda model: self._lowest(model.id))

    def _lowest(self, model: str) -> tuple[float, int]:
        return min(self.counters[user] for user in self.lines[model]), self.oldest(model)


TEXTBOOK: dict[str, type[Peer]] = {
    "rr-exhaustive": RoundRobin,
    "rr-gated": RoundRobinGated,
    "longest-queue": LongestQueue,
    "vtc": VirtualTokens,
}
