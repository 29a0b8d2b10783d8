"""How long it will take: waits predicted from what was measured. Pure.

Everything is an estimate of means. What has not been measured is None, never a guess.
"""

from __future__ import annotations

import math

from inference.decisions import Model
from inference.replica import Replica, ReplicaState
from inference.state import State
from inference.turns import residual, run_length, turn_length


def wait(state: State, model_id: str, position: int, now: float) -> float | None:
    """Seconds until the request at `position` (from 1) of a model's line is granted."""
    model = state.models.get(model_id)
    if model is None:
        return None
    copies = state.copies(model_id)
    # At the end of a turn nobody new is let in: whoever waits, waits for the next one.
    taking = [r for r in copies if not r.closing]
    if not taking:
        start = _closing_start(state, model, copies, now) if copies else None
        start = start if copies else dict(upcoming(state, now)).get(model_id)
        return None if start is None else _with_rounds(state, model, position, start, now)
    start = min((_until_ready(state, r, now) for r in taking), key=_unknown_last)
    if start is None:
        return None
    free = sum(state.room(r) for r in taking)
    if position <= free:
        return start
    hold = state.estimates.of(model_id).hold.value
    slots = model.max_num_seqs * len(taking)
    return None if hold is None else start + (position - free) * hold / slots


def upcoming(state: State, now: float) -> list[tuple[str, float | None]]:
    """Models without a place, in the order in which they get one, and seconds until they answer."""
    free = sorted(_free_at(state, now))
    found: list[tuple[str, float | None]] = []
    for model in state.unserved(now):
        start = free.pop(0) if free else 0.0
        load = _load(state, model.id)
        known = load is not None and math.isfinite(start)
        found.append((model.id, start + load if load is not None and known else None))
        free = sorted([*free, start + turn_length(state, model.id)])
    return found


def _with_rounds(
    state: State, model: Model, position: int, start: float, now: float
) -> float | None:
    """The wait of who finds others before it in the same turn, or has to wait for a later one."""
    hold = state.estimates.of(model.id).hold.value
    if position <= model.max_num_seqs:
        return start
    if hold is None:
        return None
    beyond = (position - model.max_num_seqs) * hold / model.max_num_seqs
    longest = max(state.limits.slice if model.slice is None else model.slice, hold)
    turns = math.floor(beyond / longest)
    between = sum(turn_length(state, m.id) for m in state.unserved(now) if m.id != model.id)
    return start + beyond + turns * between / max(1, len(state.devices))


def _closing_start(state: State, model: Model, copies: list[Replica], now: float) -> float | None:
    """When the next turn begins of a model whose present turn is ending."""
    ends = [_until_free(state, r, now) for r in copies]
    load = _load(state, model.id)
    if load is None or math.isinf(min(ends)):
        return None
    others = sum(turn_length(state, m.id) for m in state.unserved(now))
    return min(ends) + others / max(1, len(state.devices)) + load


def _free_at(state: State, now: float) -> list[float]:
    """Seconds until each device's place is free for the next model."""
    by_device = {device.id: 0.0 for device in state.devices}
    for replica in state.replicas.values():
        # What a pinned model holds is never free, but the rest of its device is.
        if replica.state is ReplicaState.SLEEPING or state.pinned(replica):
            continue
        until = _until_free(state, replica, now)
        for device in replica.devices:
            if device in by_device:
                by_device[device] = max(by_device[device], until)
    return list(by_device.values())


def _until_free(state: State, replica: Replica, now: float) -> float:
    if state.pinned(replica):
        return math.inf
    if replica.state is ReplicaState.STOPPING:
        return 0.0
    if replica.state is ReplicaState.LOADING:
        left = _until_ready(state, replica, now) or 0.0
        return left + turn_length(state, replica.model) - state.estimates.load(replica.model)
    leases = [state.running[request_id] for request_id in replica.leases]
    if leases and not state.estimates.of(replica.model).hold:
        # Nobody has seen yet how long its answers take.
        return math.inf
    rest = residual(state, leases, now) if leases else 0.0
    if replica.closing or not state.estimates.of(replica.model).turn:
        return rest
    return max(rest, run_length(state, replica.model) - (now - replica.ready_at))


def _until_ready(state: State, replica: Replica, now: float) -> float | None:
    if replica.state is ReplicaState.READY:
        return 0.0
    known = state.estimates.of(replica.model)
    takes = (known.wake if replica.waking else known.load).value
    return None if takes is None else max(0.0, takes - (now - replica.started))


def _load(state: State, model: str) -> float | None:
    """Seconds of its next load, from sleep where it sleeps."""
    known = state.estimates.of(model)
    asleep = any(
        r.model == model and r.state is ReplicaState.SLEEPING for r in state.replicas.values()
    )
    return known.wake.value if asleep and known.wake else known.load.value


def _unknown_last(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
