"""One loaded copy of a model and the requests that hold it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from inference.decisions import Ticket
from inference.sizing import Need


class ReplicaState(enum.StrEnum):
    """Where a copy is in its life. A draining one is READY and `closing`."""

    LOADING = "loading"
    READY = "ready"
    SLEEPING = "sleeping"
    STOPPING = "stopping"


@dataclass(slots=True)
class Lease:
    """The right of one request to use a replica.

    `mark` is the replica's `share` when it was granted: the difference at the end is what the
    request cost.
    """

    ticket: Ticket
    replica: int
    granted_at: float
    mark: float


@dataclass(slots=True)
class Replica:
    """A copy of `model` on `devices`; each of them gives it `bytes_per_device`.

    `leases` are the ids of the requests that run on it; `served` says that it ever had one,
    `contested` that others waited for a place when it got ready; `overflow` is how much longer its
    turn lasts because more waited then than it has places for. A `closing` one makes room for
    another model: it takes only requests that rank before that one's. `leaving_since` is when it
    was to go, unloaded or asleep.
    `share` is the integral of 1 / (running requests), in seconds. A sleeping one, and one that is
    on its way there (`falling_asleep`), keeps `bytes_asleep` of each device and `host_bytes` of the
    machine's memory. `need` is what it was loaded for. All times are the scheduler's clock, in
    seconds.
    """

    id: int
    model: str
    devices: tuple[str, ...]
    bytes_per_device: int
    kv_cache_bytes: int
    started: float
    state: ReplicaState = ReplicaState.LOADING
    ready_at: float = 0.0
    last_used: float = 0.0
    served: bool = False
    contested: bool = False
    overflow: float = 0.0
    leases: set[str] = field(default_factory=set)
    closing: bool = False
    closing_since: float = 0.0
    leaving_since: float = 0.0
    share: float = 0.0
    share_at: float = 0.0
    waking: bool = False
    falling_asleep: bool = False
    bytes_asleep: int = 0
    host_bytes: int = 0
    need: Need | None = None

    @property
    def age(self) -> tuple[float, int]:
        """Older ones first."""
        return self.started, self.id

    @property
    def idle(self) -> bool:
        """Ready, and nobody holds it."""
        return self.state is ReplicaState.READY and not self.leases

    @property
    def device_bytes(self) -> int:
        """What it takes of each of its devices in its present state."""
        # One that is unloaded out of its sleep was never woken for that.
        leaves = self.state is ReplicaState.STOPPING and not self.falling_asleep
        asleep = self.state is ReplicaState.SLEEPING or (leaves and self.host_bytes)
        return self.bytes_asleep if asleep else self.bytes_per_device

    def cost(self, lease: Lease, now: float) -> float:
        """Device-seconds that a request has cost since it was granted, as long as it holds it."""
        running = len(self.leases)
        open_share = (now - self.share_at) / running if running else 0.0
        return (self.share + open_share - lease.mark) * len(self.devices)

    def spend(self, now: float) -> None:
        """Bring `share` up to date; before each change of the leases."""
        if self.leases:
            self.share += (now - self.share_at) / len(self.leases)
        self.share_at = now
