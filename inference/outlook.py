"""How long it will take: waits predicted from what was measured. Pure.

Everything is an estimate of means. What has not been measured is None, never a guess.
"""

from __future__ import annotations

import math

from inference.copies import contenders
from inference.decisions import Model
from inference.planning import plan
from inference.replica import Replica, ReplicaState
from inference.state import SAFE_PART, State
from inference.turns import ceiling, closes_at, drain, residual, run_length, turn_length, turns_of

# A model that was asked for within this part of W will be asked for again in the time foreseen.
RECENT_PART = 0.5


def wait(
    state: State, model_id: str, position: int, now: float, suppose: bool = False
) -> float | None:
    """Seconds until the request at `position` (from 1) of a model's line is granted.

    `suppose`: another model's load that is under way, and of which none was measured, ends at once.
    So the door has it, which would refuse more and keep its promise no better; nobody is told that.
    """
    model = state.models.get(model_id)
    if model is None:
        return None
    copies = state.copies(model_id)
    # At the end of a turn nobody new is let in: whoever waits, waits for the next one.
    taking = [r for r in copies if not r.closing]
    if taking:
        start = min((_until_ready(state, r, now) for r in taking), key=_unknown_last)
        room = sum(state.room(r) for r in taking)
        left = max(_left(state, r, now) for r in taking)
    else:
        start = _next_turn(state, model, copies, now, suppose)
        room, left = model.max_num_seqs, _longest_turn(state, model, now)
    if start is None or position <= room:
        return start
    beyond = _served_after(state, model, max(1, len(taking)), position - room, left, now)
    return None if beyond is None else start + beyond


def planned(state: State, model_id: str, now: float) -> float | None:
    """The same where nothing was measured of the model: plans take it to be like the others.

    None where it has a place. Nobody is told this; it is good enough to say that W is not kept.
    """
    if state.copies(model_id):
        return None
    before: list[str] = []
    for model in state.unserved(now):
        if model.id == model_id:
            break
        before.append(model.id)
    places = _free_at(state, now, suppose=True)
    free = min((each for each in places if math.isfinite(each)), default=0.0)
    return free + turns_of(state, before, now) + state.estimates.load(model_id)


def _served_after(
    state: State, model: Model, copies: int, count: int, left: float, now: float
) -> float | None:
    """Seconds until `count` answers have ended, of which `left` are of the present turn.

    Between this turn and the next lie those of the models that are asked for beside this one.
    """
    hold = state.estimates.of(model.id).hold.value
    if hold is None:
        return None
    seconds = count * hold / (model.max_num_seqs * copies)
    if seconds <= left:
        return seconds
    turns = 1 + math.floor((seconds - left) / _longest_turn(state, model, now))
    between = _others(state, model, now) + drain(state, model.id) + state.estimates.switch(model.id)
    return seconds + turns * between


def upcoming(state: State, now: float) -> list[tuple[str, float | None]]:
    """Models without a place, in the order in which they get one, and seconds until they answer."""
    return _upcoming(state, state.unserved(now), now, suppose=False)


def turn_left(state: State, replica: Replica, now: float) -> float | None:
    """Seconds until a replica lets nobody new in, as things stand; 0 once it is closing.

    None where nobody who waits gets its place.
    """
    if replica.closing:
        return 0.0 if contenders(state, now) else None
    rank = plan(state, now).heirs.get(replica.id)
    return None if rank is None else max(0.0, closes_at(state, replica, rank, now) - now)


def _upcoming(
    state: State, models: list[Model], now: float, suppose: bool
) -> list[tuple[str, float | None]]:
    free = sorted(_free_at(state, now, suppose))
    found: list[tuple[str, float | None]] = []
    for model in models:
        start = free.pop(0) if free else 0.0
        load = _load(state, model.id)
        known = load is not None and math.isfinite(start)
        found.append((model.id, start + load if load is not None and known else None))
        free = sorted([*free, start + turn_length(state, model.id, start, now)])
    return found


def _next_turn(
    state: State, model: Model, copies: list[Replica], now: float, suppose: bool
) -> float | None:
    """When a model answers that has no place, or whose turn is ending."""
    if copies:
        return _after_closing(state, model, copies, now)
    models = state.unserved(now)
    # Whoever asks for it first comes after all that wait already.
    models = models if model in models else [*models, model]
    return dict(_upcoming(state, models, now, suppose))[model.id]


def _after_closing(state: State, model: Model, copies: list[Replica], now: float) -> float | None:
    ends = [_until_free(state, r, now) for r in copies]
    load = _load(state, model.id)
    if load is None or math.isinf(min(ends)):
        return None
    others = turns_of(state, (m.id for m in state.unserved(now)), now)
    return min(ends) + others + load


def _others(state: State, model: Model, now: float) -> float:
    """Seconds until all others that are asked for have had a turn each."""
    since = now - RECENT_PART * state.limits.wait
    asked = [m for m in state.models if m != model.id and state.estimates.of(m).asked >= since]
    return 0.0 if len(asked) < state.places() else turns_of(state, asked, now)


def _longest_turn(state: State, model: Model, now: float) -> float:
    """Seconds that a model's next turn may last, so that all others are in time."""
    longest = min(state.limits.slice, math.inf if model.slice is None else model.slice)
    end = drain(state, model.id) + state.estimates.unload
    rest = SAFE_PART * state.limits.wait - _others(state, model, now) - end
    return max(1.0, state.estimates.switch(model.id), min(longest, rest))


def _left(state: State, replica: Replica, now: float) -> float:
    """Seconds left of a turn in which others are let in."""
    if replica.state is ReplicaState.LOADING:
        return _longest_turn(state, state.models[replica.model], now)
    if state.pinned(replica):
        return math.inf
    if state.unserved(now):
        return max(0.0, replica.ready_at + ceiling(state, replica, now) - now)
    model = state.models[replica.model]
    return _longest_turn(state, model, now) if _others(state, model, now) else math.inf


def _free_at(state: State, now: float, suppose: bool) -> list[float]:
    """Seconds until each place is free for the next model; infinity where nobody can tell."""
    held = [r for r in state.replicas.values() if r.state is not ReplicaState.SLEEPING]
    taken = {device for r in held for device in r.devices}
    empty = [0.0 for device in state.devices if device.id not in taken]
    # What a pinned model holds is never free, but the rest of its device is.
    beside = [0.0] if held and all(map(state.pinned, held)) and not empty else []
    leave = (_until_free(state, r, now, suppose) for r in held if not state.pinned(r))
    return [*empty, *beside, *leave]


def _until_free(state: State, replica: Replica, now: float, suppose: bool = False) -> float:
    if state.pinned(replica):
        return math.inf
    if replica.state is ReplicaState.STOPPING:
        return max(0.0, state.estimates.unload - (now - replica.leaving_since))
    return _until_left(state, replica, now, suppose) + state.estimates.unload


def _until_left(state: State, replica: Replica, now: float, suppose: bool) -> float:
    """Seconds until a replica is to go; infinity where nobody can tell."""
    known = state.estimates.of(replica.model)
    if replica.state is ReplicaState.LOADING:
        left = _until_ready(state, replica, now)
        if left is None and not suppose:
            return math.inf
        left = left or 0.0
        return left + run_length(state, replica.model, left, now)
    leases = [state.running[request_id] for request_id in replica.leases]
    if not leases:
        return 0.0
    if not known.hold:
        # Nobody has seen yet how long its answers take.
        return math.inf
    rest = residual(state, leases, now)
    if replica.closing and known.drain.value is not None:
        return min(rest, max(1.0, known.drain.value - (now - replica.closing_since)))
    if replica.closing or known.turn.value is None:
        return rest
    lasts = state.estimates.pace * (known.turn.value + replica.overflow)
    return max(known.drain.value or 0.0, lasts - (now - replica.ready_at))


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
