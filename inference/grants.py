"""Which waiting requests run now, and on which copy of their model. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from inference.decisions import Grant, Model, Ticket
from inference.planning import Plan
from inference.replica import Replica, ReplicaState
from inference.requests import Lane
from inference.state import State
from inference.turns import INFINITY

# Copies of a model whose outstanding work differs by less are alike: then equal prompts meet.
ALIKE = 2


def only_grant(state: State) -> Grant | None:
    """The whole decision where one person waits, for the one copy of a model, which has room.

    So it is for most requests, and all other questions of a decision have the same answer then:
    nothing is to be loaded, nobody has to give way.
    """
    if len(state.queued) != 1 or state.retired or state.limits.idle:
        return None
    (request_id, model_id), *_ = state.queued.items()
    model = state.models.get(model_id)
    interactive = next(state.queues[model_id].oldest(), None)
    if model is None or model.replicas > 1 or not (interactive and _settled(state)):
        return None
    copies = [r for r in state.replicas.values() if r.model == model_id]
    return Grant(request_id, copies[0].id) if copies and state.room(copies[0]) > 0 else None


def _settled(state: State) -> bool:
    """Whether every replica answers and stays, and every wish is fulfilled."""
    there = set()
    for replica in state.replicas.values():
        if replica.state is not ReplicaState.READY or replica.closing:
            return False
        there.add(replica.model)
    return all(model.id in there for model in state.wished)


def grants(state: State, planned: Plan) -> Iterator[Grant]:
    """All that wait for a model, up to the batch size of its replicas: engines batch them."""
    going = set(planned.gone)
    by_model: dict[str, list[Replica]] = {}
    for replica in state.ready():
        if replica.model in state.queues and replica.id not in going:
            by_model.setdefault(replica.model, []).append(replica)
    for model_id, replicas in by_model.items():
        if model := state.models.get(model_id):
            yield from _of_model(state, model, replicas, planned.limits)


def _of_model(
    state: State, model: Model, replicas: list[Replica], limits: dict[int, float]
) -> Iterator[Grant]:
    load = {r.id: len(r.leases) for r in replicas}
    lanes = {lane: state.queues[model.id].ranked(lane) for lane in Lane}
    heads = {lane: entry for lane, line in lanes.items() if (entry := next(line, None))}
    while heads:
        # At equal ranks people come first.
        lane = min(heads, key=lambda each: (_rank(state, each, heads[each][0]), each is Lane.BATCH))
        rank, ticket = heads[lane]
        rank = _rank(state, lane, rank)
        most = model.max_num_seqs
        free = [r for r in replicas if load[r.id] < most and rank <= limits.get(r.id, INFINITY)]
        if free:
            chosen = _choose(free, load, ticket)
            load[chosen] += 1
            yield Grant(ticket.request_id, chosen)
        # Where there is no room for one, there is none for whoever comes later in the same lane.
        following = next(lanes[lane], None) if free else None
        if following:
            heads[lane] = following
        else:
            del heads[lane]


def _rank(state: State, lane: Lane, rank: float) -> float:
    return state.batch_rank(rank) if lane is Lane.BATCH else rank


def _choose(free: list[Replica], load: dict[int, int], ticket: Ticket) -> int:
    """The least busy copy; among copies alike, always the same one for the same prefix."""
    least = min(load[r.id] for r in free)
    alike = sorted(r.id for r in free if load[r.id] < least + ALIKE)
    if ticket.prefix:
        return alike[ticket.prefix % len(alike)]
    return min(alike, key=lambda replica_id: load[replica_id])
