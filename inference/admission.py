"""Who may join a queue at all: refusals that are known before anybody waits. Pure."""

from __future__ import annotations

import math

from inference import outlook
from inference.decisions import Model, Ticket
from inference.errors import AccountQueueFull, ModelUnavailable, QueueFull, WaitTooLong
from inference.placement import free_bytes, place
from inference.replica import Replica
from inference.requests import Lane
from inference.state import ADMIT_PART, State

MAX_FAILURES = 5


def check(state: State, ticket: Ticket, now: float) -> None:
    """Raise what keeps a request out.

    ModelUnavailable: the model can never fit beside the pinned ones, or its loads keep failing.
    QueueFull, AccountQueueFull: no place left. WaitTooLong: it would wait longer than the bound.
    """
    check_possible(state, state.models[ticket.model], now)
    _check_places(state, ticket, now)
    _check_wait(state, ticket, now)


def check_possible(state: State, model: Model, now: float) -> None:
    """Raise ModelUnavailable for a model that can never fit, or whose loads keep failing.

    One that is there fits, and serves whatever becomes of the loads of further copies.
    """
    if state.served(model.id):
        return
    failure = state.failures.get(model.id)
    if failure is not None and failure.count >= MAX_FAILURES and now < failure.retry_at:
        raise ModelUnavailable(
            f"The model `{model.id}` failed to load {failure.count} times: {failure.reason}",
            round(failure.retry_at - now),
        )
    pinned = [r for r in state.replicas.values() if state.pinned(r) and r.model != model.id]
    if model.refusal or place(model.need, state.devices, pinned) is None:
        raise ModelUnavailable(_why_never(state, model, pinned), 120)


def _why_never(state: State, model: Model, pinned: list[Replica]) -> str:
    if model.refusal:
        return f"The model `{model.id}` does not fit. {model.refusal}"
    room = max(free_bytes(state.devices, pinned).values(), default=0) / 2**30
    needs = model.need.bytes_per_device / 2**30
    beside = " beside the pinned models" if pinned else ""
    return (
        f"The model `{model.id}` needs {needs:.1f} GiB on {model.need.devices} device(s); "
        f"at most {max(0.0, room):.1f} GiB can be made free{beside}."
    )


def _check_places(state: State, ticket: Ticket, now: float) -> None:
    if state.waiting() >= state.limits.queue:
        message = "The server's queue is full. Try again later."
        raise QueueFull(message, _retry_after(state, ticket, now))
    account = state.fairness.accounts.get(ticket.account)
    places = state.limits.account_queue if ticket.places is None else ticket.places
    if (account.waiting if account else 0) >= places:
        raise AccountQueueFull(
            f"You have {places} requests waiting; that is the limit.",
            _retry_after(state, ticket, now),
            places,
        )


def _check_wait(state: State, ticket: Ticket, now: float) -> None:
    if ticket.lane is Lane.BATCH:
        return
    seconds = expected(state, ticket, now)
    # Of a download, or in front of an engine that was found dead.
    waited = now - ticket.queued_at
    most = ADMIT_PART * (state.limits.wait - waited)
    if seconds is not None and seconds > most and _people_wait(state):
        minutes = math.ceil((waited + seconds) / 60)
        raise WaitTooLong(
            f"The wait for `{ticket.model}` would be about {minutes} minutes; "
            f"the longest that is promised is {round(state.limits.wait / 60)}. Try again later.",
            round(seconds - most),
        )


def _people_wait(state: State) -> bool:
    """Where nobody does, a refusal would keep no promise to anybody, and the model whose loads are
    said to take so long would never be loaded again, nor be known better."""
    return any(line.waiting(Lane.INTERACTIVE) for line in state.queues.values())


def expected(state: State, ticket: Ticket, now: float) -> float | None:
    """The wait of a request that would join now, in seconds, as far as anybody can say."""
    line = state.queues.get(ticket.model)
    account = state.fairness.accounts.get(ticket.account)
    rank = max(now, account.clock) if account else now
    position = 1 + (line.before(min(rank, now + state.fairness.latest)) if line else 0)
    found = outlook.wait(state, ticket.model, position, now, suppose=True)
    return outlook.planned(state, ticket.model, now) if found is None else found


def _retry_after(state: State, ticket: Ticket, now: float) -> int:
    """When some of those who wait now will have been served."""
    seconds = expected(state, ticket, now)
    return math.ceil(seconds) if seconds is not None else guess(state)


def guess(state: State) -> int:
    """Seconds until a place is free, where nothing has been measured yet."""
    return 1 + state.waiting() // 20
