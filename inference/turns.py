"""How long a turn lasts, who is still let in at its end, and when its last answers are cut short.

While another model waits for its place, a replica goes through: open (everybody is let in), closing
(nobody new is let in, the running answers finish), left (what still runs is stopped and resumed in
the model's next turn). Pure. docs/scheduler.md derives the rules and says what they were measured
against; the constants were chosen with `bench/scheduling`.
"""

from __future__ import annotations

from collections.abc import Iterator

from inference.decisions import Ticket
from inference.replica import Lease, Replica
from inference.state import SAFE_PART, State

INFINITY = float("inf")
# A request is preempted at most so often.
MAX_PREEMPTIONS = 3
# A turn stays open for at least so many of its load times, and so many mean answers.
PAYS = 1.0
OPEN_ANSWERS = 2.0
# Work of the batch lane gives way to people only after so many load times.
BATCH_PAYS = 8.0
# The last answers of a turn are stopped when fewer requests advance here than this part of what
# would advance in the next turn. One would be the theorem's; less, because they have to come back.
STAY_PART = 0.5
# Of answers whose lengths are spread exponentially, what is done after one mean length.
DONE_AFTER_MEAN = 0.632


def ceiling(state: State, replica: Replica, now: float) -> float:
    """Seconds that a turn may last while others wait for its place.

    At most the slice, and so that whoever waits still gets its turn within the bound: its wait may
    not become longer than W, the drain and the turns of those before it included. At least what
    pays for the load.
    """
    model = state.models.get(replica.model)
    longest = state.limits.slice
    if model is not None and model.slice is not None:
        longest = min(longest, model.slice)
    since = min((t.queued_at for t in _oldest(state, now)), default=replica.ready_at)
    longest += max(0.0, since - replica.ready_at)
    least = min(longest, pays(state, replica))
    return max(least, min(longest, latest_end(state, replica, now) - replica.ready_at))


def _oldest(state: State, now: float) -> Iterator[Ticket]:
    """Of each model that waits for a place, who has waited longest."""
    return (t for m in state.unserved(now) if (t := next(state.queues[m.id].oldest(), None)))


def latest_end(state: State, replica: Replica, now: float) -> float:
    """The moment at which the turn must have ended for all who wait to be served in time."""
    known = state.estimates.of(replica.model)
    side_by_side = max(1, len(state.devices))
    before = min(state.limits.drain, (known.hold.value or 0.0) + (known.tail.value or 0.0))
    latest = INFINITY
    for model in state.unserved(now):
        oldest = next(state.queues[model.id].oldest(), None)
        before += state.estimates.load(model.id) / side_by_side
        if oldest is not None:
            latest = min(latest, oldest.queued_at + SAFE_PART * state.limits.wait - before)
        before += run_length(state, model.id) / side_by_side
    return latest


def pays(state: State, replica: Replica) -> float:
    """Seconds after which a turn has paid for its load."""
    return PAYS * state.estimates.load(replica.model)


def open_until(state: State, replica: Replica, rank: float, now: float) -> float:
    """The moment until which a replica lets newcomers in while a request of `rank` wants its place.

    1. A turn that has served nobody is not over: it would have been loaded in vain.
    2. At its ceiling it is over.
    3. Before it has paid for its load it is not.
    4. The batch lane's work gives way to people, but not at every one of them.
    5. While its requests fill a batch nothing is gained by leaving.
    6. Else it is open for two mean answers: longer fills the batch no better, and others wait.
    """
    line = state.queues.get(replica.model)
    begun = replica.ready_at
    if not replica.served and line:
        return INFINITY
    most = begun + ceiling(state, replica, now)
    if now >= most or overdrawn(state, replica, now):
        return -INFINITY
    least = begun + pays(state, replica)
    if line and line.head > rank + state.limits.wait / 2:
        return min(most, begun + BATCH_PAYS * pays(state, replica))
    model = state.models.get(replica.model)
    if model and len(replica.leases) + len(line or ()) >= model.max_num_seqs:
        return most
    answers = OPEN_ANSWERS * (state.estimates.of(replica.model).hold.value or 0.0)
    return min(most, max(least, begun + answers))


def limit(state: State, replica: Replica, rank: float, now: float) -> float:
    """The highest rank that is let in; infinity while the turn is open.

    Once it is closing, whoever came before that still has a place in it.
    """
    until = open_until(state, replica, rank, now)
    return INFINITY if now < until else until


def preemptions(state: State, limits: dict[int, float], now: float) -> Iterator[str]:
    """Running requests that are stopped now, so that somebody else need not wait for their end."""
    for replica_id in limits:
        replica = state.replicas[replica_id]
        if not replica.leases or replica_id in state.retired:
            continue
        leases = [state.running[request_id] for request_id in replica.leases]
        if overdrawn(state, replica, now) or _leaves(state, replica, leases, now):
            yield from (lease.ticket.request_id for lease in leases)


def may_resume(lease: Lease) -> bool:
    """Whether the request can be stopped and go on later."""
    return lease.ticket.preemptable and lease.ticket.preempted < MAX_PREEMPTIONS


def overdrawn(state: State, replica: Replica, now: float) -> bool:
    """Whether the drain has lasted as long as a drain may."""
    return replica.closing and now - replica.closing_since >= state.limits.drain


def _leaves(state: State, replica: Replica, leases: list[Lease], now: float) -> bool:
    """Whether more requests advance, per second, when the place changes hands now.

    The marginal value theorem (E. Charnov, 1976): leave when what is gained here in a second is
    less than what the next turn gains on average, its load included. Gain counts requests that
    advance. Where nobody else waits for this model, coming back costs a load of its own.
    """
    if not replica.closing or not all(map(may_resume, leases)):
        return False
    back = 0.0 if replica.model in state.queues else state.estimates.load(replica.model)
    waiting = state.unserved(now)[: max(1, len(state.devices))]
    return len(leases) < STAY_PART * max((_gain(state, m.id, back) for m in waiting), default=0.0)


def _gain(state: State, model: str, back: float) -> float:
    """Requests that advance in the next turn of a model, on average over it and its load."""
    known = state.estimates.of(model)
    hold = known.hold.value
    if hold is None:
        return 0.0
    slots = state.models[model].max_num_seqs
    waiting = min(slots, len(state.queues[model]))
    return waiting * DONE_AFTER_MEAN * hold / (state.estimates.load(model) + back + hold)


def residual(state: State, leases: list[Lease], now: float) -> float:
    """Seconds until the last of these answers is expected to end."""
    known = state.estimates.of(state.replicas[leases[0].replica].model)
    mean, tail = known.hold.value, known.tail.value or 0.0
    if mean is None:
        return 0.0
    return max(max(mean + tail - (now - lease.granted_at), (mean + tail) / 2) for lease in leases)


def run_length(state: State, model: str) -> float:
    """Seconds that a model's next turn is expected to last once it is loaded."""
    known = state.estimates.of(model)
    if known.turn.value is not None:
        return known.turn.value
    card = state.models.get(model)
    waiting = len(state.queues.get(model, ()))
    rounds = max(1.0, waiting / card.max_num_seqs) if card else 1.0
    return (known.hold.value or 0.0) * rounds + (known.tail.value or 0.0)


def turn_length(state: State, model: str) -> float:
    """Seconds that a model's next turn is expected to take, its load included."""
    return state.estimates.load(model) + run_length(state, model)
