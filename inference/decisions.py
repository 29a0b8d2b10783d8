"""What goes into the scheduler and what comes out: frozen data, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from inference.requests import Lane
from inference.sizing import Need


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that an operator sets: queue places in all and per account, seconds of a turn."""

    queue: int = 1000
    account_queue: int = 200
    slice: float = 900.0


@dataclass(frozen=True, slots=True)
class Model:
    """What the scheduler knows of a card."""

    id: str
    need: Need
    max_num_seqs: int = 32
    wish: str = "none"
    slice: float | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request in a queue."""

    request_id: str
    model: str
    account: str
    queued_at: float
    weight: float = 1.0
    lane: Lane = Lane.INTERACTIVE


@dataclass(frozen=True, slots=True)
class Grant:
    """The request may run on this replica."""

    request_id: str
    replica: int


@dataclass(frozen=True, slots=True)
class Load:
    """Load the model on these devices; its memory is free."""

    replica: int
    model: str
    devices: tuple[str, ...]
    need: Need


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now. Evictions name replicas, preemptions name requests."""

    grants: tuple[Grant, ...] = ()
    loads: tuple[Load, ...] = ()
    evictions: tuple[int, ...] = ()
    preemptions: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.grants or self.loads or self.evictions or self.preemptions)


@dataclass(slots=True)
class Failure:
    """A model's loads that failed in a row, and when the next may be tried."""

    reason: str
    count: int
    retry_at: float
