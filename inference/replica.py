"""One loaded copy of a model and the requests that hold it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class ReplicaState(enum.StrEnum):
    """Where a copy is in its life. Draining is not kept: it follows from the turn and the queue."""

    LOADING = "loading"
    READY = "ready"
    STOPPING = "stopping"


@dataclass(slots=True)
class Replica:
    """A copy of `model` on `devices`; each of them gives it `bytes_per_device`.

    `leases` are the ids of the requests that run on it; `served` says that it ever had one. Times
    are the scheduler's clock, seconds.
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
    leases: set[str] = field(default_factory=set)

    @property
    def idle(self) -> bool:
        """Ready, and nobody holds it."""
        return self.state is ReplicaState.READY and not self.leases
