"""How long a turn lasts, who is still let in at its end, and when its last answers are cut short.

While another model waits for its place, a replica goes through: open (everybody is let in), closing
(nobody new is let in, the running answers finish), left (what still runs is stopped and resumed in
the model's next turn). Pure. docs/scheduler.md derives the rules and says what they were measured
against; the constants were chosen with `bench/scheduling`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from inference.copies import contenders, spare
from inference.replica import Lease, Replica
from inference.requests import Lane
from inference.state import LATE_PART, SAFE_PART, State

INFINITY = float("inf")
# A request is preempted at most so often.
MAX_PREEMPTIONS = 3
# A turn stays open for at least so many of its load times, and so many mean answers.
PAYS = 1.0
OPEN_ANSWERS = 2.0
# Work of the batch lane gives way to people only after so many load times, and mean answers.
BATCH_PAYS, BATCH_ANSWERS = 16.0, 2.5
# A turn lasts for so many load times where fewer requests than these would advance in the next.
FEW, FEW_PAYS = 0.5, 4.0
# Neither lengthens a turn beyond this part of W.
LONG_PAYS_PART = 0.1
# The last answers of a turn are stopped when fewer requests advance here than this part of what
# would advance in the next turn. One would be the theorem's; less, because they have to come back.
STAY_PART = 0.5
# Nobody is stopped who has waited for more than this part of the time until its next turn: whoever
# waits for a round twice has the longest response of all. Not where a whole batch waits for the
# same model: a longer drain would cost those more, and keep others out at the door.
STOP_WAITED = 0.6
# A queue is not expected to grow by more than so many times itself.
MOST_GROWTH = 1.0
# Of answers whose lengths are spread exponentially, what is done after one mean length.
DONE_AFTER_MEAN = 0.632


def ceiling(state: State, replica: Replica, now: float, part: float = SAFE_PART) -> float:
    """Seconds that a turn may last while others wait for its place.

    At most the slice, and so that whoever waits still gets its turn within the bound: its wait may
    not become longer than this part of W, the drain and the turns of those before it included. At
    least what pays for the load.
    """
    model = state.models.get(replica.model)
    longest = state.limits.slice
    if model is not None and model.slice is not None:
        longest = min(longest, model.slice)
    since, latest = state.once(("pressure", now), lambda: _pressure(state, now))
    longest += max(0.0, since - replica.ready_at) if since < INFINITY else 0.0
    least = min(longest, pays(state, replica))
    latest -= (1.0 - part) * state.limits.wait
    end = drain(state, replica.model) + state.estimates.unload
    return max(least, min(longest, latest - end - replica.ready_at))


def _pressure(state: State, now: float) -> tuple[float, float]:
    """Since when others wait for a place, and when it must be free for none to wait beyond W."""
    places = state.places()
    since = latest = INFINITY
    before = 0.0
    for model in state.unserved(now):
        oldest = next(state.queues[model.id].oldest(), None)
        before += state.estimates.load(model.id) / places
        if oldest is not None:
            since = min(since, oldest.queued_at)
            latest = min(latest, oldest.queued_at + state.limits.wait - before)
        before += (run_length(state, model.id, before, now) + state.estimates.unload) / places
    return since, latest


def drain(state: State, model: str) -> float:
    """Seconds that the end of a model's turn may take."""
    return min(state.limits.drain, state.estimates.answer(model))


def pays(state: State, replica: Replica) -> float:
    """Seconds after which a turn has paid for its load, and for the unload before it."""
    return PAYS * state.estimates.switch(replica.model)


def open_until(state: State, replica: Replica, rank: float, now: float) -> float:
    """The moment until which a replica lets newcomers in while a request of `rank` wants its place.

    1. A turn that has served nobody is not over: it would have been loaded in vain.
    2. At its ceiling it is over, but for those who would be late in the next.
    3. While people are served here, work of the batch lane that is not due wants nothing.
    4. A copy that can be spared ends with rule 7: whom it would serve comes later.
    5. While its requests fill a batch nothing is gained by leaving. Against people only people
       count.
    6. The batch lane's work gives way to people, but not at every one of them, whether or not some
       of them wait for this model beside it.
    7. Else it is open until it has paid for its load, several times where not half a request would
       advance in the next turn, and for two mean answers: longer fills the batch no better.
    """
    line = state.queues.get(replica.model)
    begun = replica.ready_at
    if not replica.served and line:
        return INFINITY
    most = begun + ceiling(state, replica, now)
    if overdrawn(state, replica, now):
        return -INFINITY
    if now >= most:
        last = begun + ceiling(state, replica, now, LATE_PART)
        return min(now, _late(state, replica, now)) if now < last else -INFINITY
    waiting = state.people_waiting(replica.model)
    here = waiting + state.people(replica)
    if here and rank > now:
        return INFINITY
    answer = state.estimates.of(replica.model).hold.value or 0.0
    model = state.models.get(replica.model)
    if rank > now:
        here = len(replica.leases) + len(line or ())
    if spare(state, replica, rank):
        return min(most, begun + max(OPEN_ANSWERS * answer, pays(state, replica)))
    if model and here >= model.max_num_seqs:
        return most
    if line and len(line) > waiting and rank <= now:
        pays_for_batch = _pays_well(state, replica, BATCH_PAYS)
        return min(most, begun + max(BATCH_ANSWERS * answer, pays_for_batch))
    pays_for_turn = _pays_well(state, replica, _loads(state, replica, now))
    return min(most, begun + max(OPEN_ANSWERS * answer, pays_for_turn))


def closes_at(state: State, replica: Replica, rank: float, now: float) -> float:
    """When the turn ends for newcomers while a request of `rank` wants its place, as things stand.

    A rank that lies ahead closes nothing before its moment, but for the ceiling.
    """
    until = open_until(state, replica, rank, now)
    if until < INFINITY or rank <= now:
        return until
    most = replica.ready_at + ceiling(state, replica, now)
    return min(most, max(rank, open_until(state, replica, now, now)))


def _late(state: State, replica: Replica, now: float) -> float:
    """Whoever came before this moment would wait beyond the safe part of W for the next turn.

    Left behind, they would be late then, and cut short the turns of all others.
    """
    again = others(state, now) + state.estimates.switch(replica.model)
    return now + again - SAFE_PART * state.limits.wait


def _loads(state: State, replica: Replica, now: float) -> float:
    """How many load times a turn lasts at least: more where next to nobody is served by leaving."""
    if replica.idle or _advance(state, state.people_waiting, 0.0, now) >= FEW:
        return PAYS
    return FEW_PAYS


def _pays_well(state: State, replica: Replica, loads: float) -> float:
    """Seconds of so many load times; beyond the first no more than a part of W."""
    most = max(pays(state, replica), LONG_PAYS_PART * state.limits.wait)
    return min(most, loads * state.estimates.switch(replica.model))


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
    advance, people alone where there are any. Where nobody else waits for this model, coming back
    costs a load of its own. Nobody is stopped for less time than a load takes: coming back costs
    the long answers a round of everybody's turns.
    """
    if not replica.closing or not all(may_stop(state, lease, now) for lease in leases):
        return False
    if residual(state, leases, now) < state.estimates.switch(replica.model):
        return False
    back = 0.0 if replica.model in state.queues else state.estimates.switch(replica.model)
    here = state.people(replica)
    there = _advance(state, state.people_waiting, back, now)
    if here or there:
        return here < STAY_PART * there
    return len(leases) < STAY_PART * _advance(state, state.waiting, back, now)


def may_stop(state: State, lease: Lease, now: float) -> bool:
    """Whether it can go on later, and its next turn comes before it has waited too long."""
    ticket = lease.ticket
    if not may_resume(lease) or ticket.lane is Lane.BATCH:
        return may_resume(lease)
    waited = lease.granted_at - ticket.queued_at
    back = others(state, now) + state.estimates.switch(ticket.model)
    again = waited <= STOP_WAITED * back or _overflows(state, ticket.model)
    return again and waited + back <= SAFE_PART * state.limits.wait


def _overflows(state: State, model: str) -> bool:
    """Whether a whole batch of people waits for a model."""
    card = state.models.get(model)
    return card is not None and state.people_waiting(model) >= card.max_num_seqs


def others(state: State, now: float) -> float:
    """Seconds until all that wait for a place now have had their turns."""
    waiting = [m.id for m in state.unserved(now)]
    return state.once(("others", now), lambda: turns_of(state, waiting, now))


def _advance(state: State, waiting: Callable[[str], int], back: float, now: float) -> float:
    """Requests that advance in the best of the turns that come next."""
    following = [m.id for _, m in contenders(state, now)[: max(1, len(state.devices))]]
    return max((_gain(state, m, waiting(m), back) for m in following), default=0.0)


def _gain(state: State, model: str, waiting: int, back: float) -> float:
    """Requests that advance in the next turn of a model, on average over it and its load."""
    known = state.estimates.of(model)
    hold = known.hold.value
    if not hold:
        return 0.0
    most = min(state.models[model].max_num_seqs, waiting)
    return most * DONE_AFTER_MEAN * hold / (state.estimates.switch(model) + back + hold)


def residual(state: State, leases: list[Lease], now: float) -> float:
    """Seconds until the last of these answers is expected to end."""
    known = state.estimates.of(state.replicas[leases[0].replica].model)
    mean, tail = known.hold.value, known.tail.value or 0.0
    if mean is None:
        return 0.0
    return max(max(mean + tail - (now - lease.granted_at), (mean + tail) / 2) for lease in leases)


def run_length(state: State, model: str, start: float, now: float) -> float:
    """Seconds that a model's next turn is expected to last when it begins `start` seconds from now.

    As long as its turns were, and as it takes to serve those whom its batch has no place for. The
    first lasts as `open_until` has it, and its drain: else the first round of many models would
    take much longer than what is promised to the last of them.
    """
    usual = state.estimates.of(model).turn.value
    if usual is None:
        answer = state.estimates.answer(model)
        usual = max(PAYS * state.estimates.switch(model), OPEN_ANSWERS * answer) + answer
    seconds = usual + overflow(state, model, _expected(state, model, start, now))
    return min(state.limits.slice, state.estimates.pace * seconds)


def overflow(state: State, model: str, waiting: float) -> float:
    """Seconds that a turn lasts longer because not all who wait have a place in its batch."""
    card = state.models.get(model)
    if card is None:
        return 0.0
    hold = state.estimates.of(model).hold.value or 0.0
    return max(0.0, waiting / card.max_num_seqs - 1.0) * hold


def _expected(state: State, model: str, start: float, now: float) -> float:
    """How many will wait then, when they come as they came until now."""
    line = state.queues.get(model)
    oldest = next(line.oldest(), None) if line else None
    if line is None or oldest is None:
        return 0.0
    waiting = line.waiting(Lane.INTERACTIVE)
    age = max(1.0, now - oldest.queued_at)
    return waiting * (1.0 + min(MOST_GROWTH, start / age))


def turn_length(state: State, model: str, start: float, now: float) -> float:
    """Seconds that a model's next turn is expected to take, its load and unload included."""
    load = state.estimates.load(model)
    return load + run_length(state, model, start + load, now) + state.estimates.unload


def turns_of(state: State, models: Iterable[str], now: float) -> float:
    """Seconds that a turn of each of these models takes, one after another in each place."""
    places, seconds = state.places(), 0.0
    for model in models:
        seconds += turn_length(state, model, seconds, now) / places
    return seconds


def moments(state: State, now: float) -> list[float]:
    """When a decision may change with no event in between: back-off, bounds, ends of turns."""
    wanted = {m for m in state.failures if state.queues.get(m) or _wished(state, m)}
    found = [state.failures[m].retry_at for m in wanted]
    oldest = (t for line in state.queues.values() if (t := next(line.oldest(), None)))
    found += [ticket.queued_at + state.limits.wait for ticket in oldest]
    due = (state.batch_rank(line.head(Lane.BATCH)) for line in state.queues.values())
    found += [moment for moment in due if moment < INFINITY]
    if state.limits.idle:
        found += [r.last_used + state.limits.idle for r in state.ready() if r.idle]
    if waiting := contenders(state, now):
        # Whose rank lies ahead closes a turn only then.
        found += [rank for rank, _ in waiting]
        for replica in state.ready():
            found.append(replica.ready_at + ceiling(state, replica, now))
            found.append(open_until(state, replica, now, now))
            if replica.closing:
                found.append(replica.closing_since + state.limits.drain)
    return found


def _wished(state: State, model_id: str) -> bool:
    model = state.models.get(model_id)
    return model is not None and model.wanted
