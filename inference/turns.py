"""How long a turn lasts, who is still let in at its end, and when its last answers are cut short.

A replica whose place another model waits for is *closing*: it takes only requests that rank before
the other model's first one, and no request at all once its turn has reached its ceiling. Pure.
docs/scheduler.md derives the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from inference.replica import Lease, Replica
from inference.requests import Lane
from inference.state import RANK_PART, State

INFINITY = float("inf")
# A request is preempted at most so often.
MAX_PREEMPTIONS = 3
# A turn that paid less than this many of its load times is not cut by rank.
PAYS = 1.0


def ceiling(state: State, replica: Replica, now: float) -> float:
    """Seconds that a turn may last while others wait for its place.

    min(slice, W / waiting models - load - drain), at least what pays for the load.
    """
    model = state.models.get(replica.model)
    longest = state.limits.slice
    if model is not None and model.slice is not None:
        longest = min(longest, model.slice)
    waiting = state.unserved(now)
    if not waiting:
        return longest
    turns = math.ceil(len(waiting) / max(1, len(state.devices)))
    load = max(state.estimates.load(m.id) for m in waiting)
    drain = min(state.limits.drain, state.estimates.of(replica.model).hold.value or 0.0)
    part = state.limits.wait * (1 - RANK_PART) / turns - load - drain
    return max(min(longest, part), min(longest, pays(state, replica)))


def pays(state: State, replica: Replica) -> float:
    """Seconds after which a turn has paid for its load."""
    return PAYS * state.estimates.load(replica.model)


def limit(state: State, replica: Replica, rank: float, now: float) -> float:
    """The highest rank that a replica lets in while a request of `rank` waits for its place."""
    turn = now - replica.ready_at
    if not replica.served and state.queues.get(replica.model):
        # One that has served nobody yet would be loaded in vain, again and again.
        return INFINITY
    if turn >= ceiling(state, replica, now):
        return -INFINITY
    return INFINITY if turn < pays(state, replica) else rank


def preemptions(state: State, limits: dict[int, float], now: float) -> Iterator[str]:
    """Running requests that are stopped now, so that somebody else need not wait for their end."""
    for replica_id in limits:
        replica = state.replicas[replica_id]
        if not replica.leases or replica_id in state.retired:
            continue
        leases = [state.running[request_id] for request_id in replica.leases]
        if _overdrawn(state, replica, now) or _worth_it(state, replica, leases, limits, now):
            yield from (lease.ticket.request_id for lease in leases)
        else:
            yield from (lease.ticket.request_id for lease in leases if _gives_way(lease))


def may_resume(lease: Lease) -> bool:
    """Whether the request can be stopped and go on later."""
    return lease.ticket.preemptable and lease.ticket.preempted < MAX_PREEMPTIONS


def _gives_way(lease: Lease) -> bool:
    """Work of the batch lane does not hold up a switch."""
    return lease.ticket.lane is Lane.BATCH and may_resume(lease)


def _overdrawn(state: State, replica: Replica, now: float) -> bool:
    """Whether the drain has lasted as long as a drain may."""
    return replica.closing and now - replica.closing_since >= state.limits.drain


def _worth_it(
    state: State, replica: Replica, leases: list[Lease], limits: dict[int, float], now: float
) -> bool:
    """Whether stopping the stragglers saves the others more than it costs them.

    Saved: everybody who waits for the place waits less by what the stragglers still need. Lost: the
    stragglers wait until their model has its turn again.
    """
    if not replica.closing or not all(map(may_resume, leases)):
        return False
    waiting = state.unserved(now)
    others = sum(len(state.queues[m.id]) for m in waiting)
    rest = residual(state, leases, now)
    away = sum(turn_length(state, m.id) for m in waiting) / max(1, len(state.devices))
    back = state.estimates.load(replica.model)
    return others * rest > STRAGGLER_PRICE * len(leases) * (away + back)


# What a second of a straggler's wait counts, in seconds of everybody else's.
STRAGGLER_PRICE = 2.0


def residual(state: State, leases: list[Lease], now: float) -> float:
    """Seconds until the last of these answers is expected to end."""
    known = state.estimates.of(state.replicas[leases[0].replica].model)
    mean, tail = known.hold.value, known.tail.value or 0.0
    if mean is None:
        return 0.0
    return max(max(mean + tail - (now - lease.granted_at), (mean + tail) / 2) for lease in leases)


def turn_length(state: State, model: str) -> float:
    """Seconds that a model's next turn is expected to take, its load included."""
    known = state.estimates.of(model)
    hold = known.hold.value or 0.0
    tail = known.tail.value or 0.0
    waiting = len(state.queues.get(model, ()))
    card = state.models.get(model)
    slots = card.max_num_seqs if card else 1
    rounds = max(1.0, waiting / slots)
    return state.estimates.load(model) + hold * rounds + tail
