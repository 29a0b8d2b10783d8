"""What goes into the scheduler and what comes out: frozen data, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from inference.catalogue import WANTED
from inference.requests import Lane
from inference.sizing import Need


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that an operator sets.

    `queue`, `account_queue`: places in all and per account. `slice`: longest turn in seconds while
    others wait. `wait`: the bound W on a wait. `drain`: the longest end of a turn.
    `idle`: after so many seconds without a request a model that nobody wished for is unloaded (0:
    never). `host_bytes`: memory of the machine for the weights of models that sleep.
    """

    queue: int = 1000
    account_queue: int = 200
    slice: float = 900.0
    wait: float = 1200.0
    drain: float = 120.0
    idle: float = 0.0
    host_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """What the scheduler knows of a card.

    `replicas` is how many copies there may be; `sleep_bytes` what one that sleeps takes of the
    machine's memory (0: it cannot sleep), `asleep_bytes` what it still takes of each device.
    `refusal` says why it can never be loaded, as far as that is known.
    """

    id: str
    need: Need
    max_num_seqs: int = 32
    wish: str = "none"
    slice: float | None = None
    replicas: int = 1
    sleep_bytes: int = 0
    asleep_bytes: int = 0
    refusal: str = ""

    @property
    def wanted(self) -> bool:
        """Whether it is to be loaded though nobody asks."""
        return self.wish in WANTED


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request in a queue.

    `prompt_tokens` and `max_tokens` (of the answer) are 0 where they are not known yet.
    `generated` counts the tokens that it already got before it was preempted, `preempted` how often
    that happened. `prefix` names the start of its prompt, so that equal ones meet in one replica.
    `places`: so many requests of its account may wait, if that is not the same for everybody.
    """

    request_id: str
    model: str
    account: str
    queued_at: float
    weight: float = 1.0
    lane: Lane = Lane.INTERACTIVE
    prompt_tokens: int = 0
    max_tokens: int = 0
    preemptable: bool = False
    generated: int = 0
    preempted: int = 0
    prefix: int = 0
    places: int | None = None


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
    """What to do now.

    `evictions` are replicas to unload, `sleeps` replicas that keep their weights in the machine's
    memory, `wakes` sleeping replicas to bring back. `preemptions` are running requests to stop: who
    may be resumed waits again (`Scheduler.preempted`), others end with an error. `refusals` are
    waiting requests that cannot be served within the bound: they have left the queue. `closings`
    and `openings` are replicas that from now on make room for another model, or no longer.
    """

    grants: tuple[Grant, ...] = ()
    loads: tuple[Load, ...] = ()
    evictions: tuple[int, ...] = ()
    preemptions: tuple[str, ...] = ()
    sleeps: tuple[int, ...] = ()
    wakes: tuple[int, ...] = ()
    refusals: tuple[str, ...] = ()
    closings: tuple[int, ...] = ()
    openings: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


@dataclass(slots=True)
class Failure:
    """A model's loads that failed in a row, and when the next may be tried."""

    reason: str
    count: int
    retry_at: float
