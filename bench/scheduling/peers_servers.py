"""The rules of today's servers, as they are read from their sources and described here in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from bench.scheduling.peers_base import Peer
from inference.decisions import Decision, Grant, Model, Ticket
from inference.devices import Device
from inference.replica import Replica, ReplicaState

# llama-swap's default; requests beyond it are turned away with a status 429.
LLAMA_SWAP_LIMIT = 10
SLICE_SECONDS = 900.0


class StrictFifo(Peer):
    """One line for all models. Nobody is served before whoever came earlier has begun."""

    def schedule(self, now: float) -> Decision:
        """Grant from the head of the line until one cannot begin; make room for that one."""
        line = iter(sorted(self.queues, key=self.oldest))
        if not self.queues:
            return Decision()
        return self._from_head(next(line), now)

    def _from_head(self, model: str, now: float) -> Decision:
        """One grant at a time: the loop around a policy asks again until nothing is left."""
        for replica in self.ready():
            if replica.model == model:
                room = self.limit(model) - len(replica.leases)
                grants = tuple(Grant(i, replica.id) for i in self._run_of(model, room))
                return Decision(grants=grants)
        if model in self.live():
            return Decision()
        loads, evictions = self._make_room([self.models[model]], [], now)
        return Decision(loads=tuple(loads), evictions=tuple(evictions))

    def _run_of(self, model: str, room: int) -> Iterator[str]:
        """Requests for the model that nobody for another model stands before."""
        others = [self.oldest(m) for m in self.queues if m != model]
        end = min(others, default=self._arrivals + 1)
        for request_id in islice(self.queues[model], max(0, room)):
            if self.order[request_id] > end:
                return
            yield request_id

    def may_go(self, replica: Replica, now: float) -> bool:
        """Any idle replica makes room for the head of the line."""
        return True


class LlamaSwap(Peer):
    """A request for a resident model goes to it at once, ten of a model at a time.

    Others queue in order of arrival. A swap starts when the models in its way have nothing in
    flight, whoever waits for how long; swaps on different GPUs run side by side, and all who ask
    for a model that is being loaded join its load. What is beyond the limit of ten is refused
    there; here such clients ask again without pause, so they wait, and none of their work is lost.
    """

    def limit(self, model: str) -> int:
        """Ten in flight."""
        return min(LLAMA_SWAP_LIMIT, super().limit(model))


class Ollama(Peer):
    """One request at a time is being scheduled; while its model is not ready, all newcomers wait.

    Whatever is accepted before goes to its runner, which computes as many at a time as it has
    slots (here the batch size) and keeps the rest in its own line; a runner with anything accepted
    is not unloaded. To make room the least recently used idle runner goes; with none idle one is
    waited for. Loads do not block the line when another GPU is free for the next model.
    """

    def __init__(self, devices: Sequence[Device]) -> None:
        super().__init__(devices)
        self.accepted: dict[str, dict[str, None]] = {}
        self.line: dict[str, str] = {}

    def submit(self, ticket: Ticket, now: float) -> None:
        """To the end of the one line."""
        super().submit(ticket, now)
        self.line[ticket.request_id] = ticket.model
        self._accept()

    def loaded(self, replica_id: int, now: float) -> None:
        """Its head is served, and the line moves."""
        super().loaded(replica_id, now)
        self._accept()

    def apply(self, decision: Decision, now: float) -> None:
        """A head whose model is being loaded waits for it outside the line."""
        super().apply(decision, now)
        self._accept()

    def _grant(self, grant: Grant, now: float) -> None:
        accepted = self.accepted[self.replicas[grant.replica].model]
        super()._grant(grant, now)
        accepted.pop(grant.request_id)

    def _accept(self) -> None:
        """Whoever heads the line and has a runner, loading or ready, is that runner's."""
        live = self.live()
        while self.line:
            request_id, model = next(iter(self.line.items()))
            if model not in live:
                return
            del self.line[request_id]
            self.accepted.setdefault(model, {})[request_id] = None

    def may_enter(self, replica: Replica, now: float) -> Iterable[Ticket]:
        """Only what its runner has accepted."""
        for request_id in list(self.accepted.get(replica.model, ())):
            yield self.tickets[request_id]

    def next_models(self, now: float) -> Iterable[Model]:
        """The model that the head of the line needs."""
        if not self.line:
            return []
        head = next(iter(self.line.values()))
        return [] if head in self.live() else [self.models[head]]

    def may_go(self, replica: Replica, now: float) -> bool:
        """Idle, and nothing accepted for it."""
        return not self.accepted.get(replica.model)


class Slices(Peer):
    """Plain time slices: after 15 minutes a model gives way to whoever waited longest.

    It gives way sooner when nothing is left to do for it. A turn that is over takes nothing new
    while another model waits, and ends when what runs is done.
    """

    def _over(self, replica: Replica, now: float) -> bool:
        return now - replica.ready_at >= SLICE_SECONDS - 1e-6

    def may_enter(self, replica: Replica, now: float) -> Iterable[Ticket]:
        """All, until the turn is over and the place is wanted."""
        if self._over(replica, now) and self._pressed(replica, now):
            return []
        return self.queues[replica.model].values()

    def _pressed(self, replica: Replica, now: float) -> bool:
        """As many models wait for a place as there are turns that ended before this one."""
        earlier = [
            r
            for r in self.replicas.values()
            if r.state is ReplicaState.STOPPING
            or (r.ready_at, r.id) < (replica.ready_at, replica.id)
        ]
        return len(self.unserved()) > len(earlier)

    def may_go(self, replica: Replica, now: float) -> bool:
        """Nothing to do, or its turn is over."""
        return super().may_go(replica, now) or self._over(replica, now)

    def next_change(self, now: float) -> float | None:
        """The end of the next slice, while somebody waits for a place."""
        if not self.unserved():
            return None
        ends = [r.ready_at + SLICE_SECONDS - now for r in self.ready()]
        return min((end for end in ends if end > 0), default=None)


SERVERS: dict[str, type[Peer]] = {
    "fifo": StrictFifo,
    "llama-swap": LlamaSwap,
    "ollama": Ollama,
    "slices": Slices,
}
