"""Which models want another copy, and whose copies can be spared. Pure.

A copy is worth its load where a whole batch would still wait once it answers. It wants a place as
the first request that it would serve does: so a queue that grows beyond what one place can compute
gets a second one when its people have waited as long as everybody else, and no sooner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from inference.decisions import Model
from inference.replica import Replica, ReplicaState
from inference.requests import Lane
from inference.state import State

# Another copy is wanted where so many times a copy's batch would still wait once it answers.
COPY_AT = 1.0


def short(state: State, now: float) -> list[tuple[float, Model]]:
    """Models that want another copy, with the rank of the first whom it would serve."""
    return state.once(("short", now), lambda: _short(state, now))


def contenders(state: State, now: float) -> list[tuple[float, Model]]:
    """All that want a place because somebody waits, in the order in which they get one."""
    return state.once(("contenders", now), lambda: _contenders(state, now))


def spare(state: State, replica: Replica, rank: float) -> bool:
    """Whether older copies of its model leave nobody waiting who ranks before `rank`.

    That is asked of one copy after the other, whichever of them are closing: else two would be
    spared because there is the other.
    """
    older = [r for r in _staying(state, replica.model) if r.age < replica.age]
    model = state.models.get(replica.model)
    return bool(older) and model is not None and _rank(state, model, older) > rank


def _contenders(state: State, now: float) -> list[tuple[float, Model]]:
    found = [(state.order(m.id), state.head(m.id), m) for m in state.unserved(now)]
    found += [((rank, math.inf), rank, model) for rank, model in short(state, now)]
    found.sort(key=lambda each: each[0])
    return [(rank, model) for _, rank, model in found]


def _short(state: State, now: float) -> list[tuple[float, Model]]:
    found = []
    for name in state.queues:
        model = state.models.get(name)
        if model is None or model.replicas < 2 or not state.may_try(name, now):
            continue
        copies = state.copies(name)
        loading = any(r.state is ReplicaState.LOADING for r in copies)
        if not loading and 0 < len(copies) < model.replicas:
            rank = _rank(state, model, _staying(state, name))
            if rank < math.inf:
                found.append((rank, model))
    return found


def _staying(state: State, model: str) -> list[Replica]:
    return [r for r in state.copies(model) if r.id not in state.retired]


def _rank(state: State, model: Model, copies: Sequence[Replica]) -> float:
    """The rank of the first whom these copies leave waiting for as long as a load takes.

    Infinity where those who are left are no whole batch.
    """
    line = state.queues.get(model.id)
    if line is None:
        return math.inf
    hold = state.estimates.of(model.id).hold.value
    batches = state.estimates.switch(model.id) / hold if hold else 0.0
    served = sum(max(0, state.room(r)) for r in copies)
    served += int(len(copies) * model.max_num_seqs * batches)
    if len(line) - served < COPY_AT * model.max_num_seqs:
        return math.inf
    people = line.waiting(Lane.INTERACTIVE)
    if served < people:
        return line.rank(Lane.INTERACTIVE, served)
    return state.batch_rank(line.rank(Lane.BATCH, served - people))
