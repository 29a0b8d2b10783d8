"""What loading, sleeping, waking, draining and unloading took, model by model. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

# In the order in which they come up in a model's life.
KINDS = ("load", "drain", "sleep", "wake", "unload")
REMEMBERED = 50


@dataclass(frozen=True, slots=True)
class Switch:
    """One of KINDS: how long it took and when it ended (seconds since 1970); `why` it failed."""

    model: str
    kind: str
    seconds: float
    ended: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class SwitchTotal:
    """All switches of one of KINDS since the start, those that failed apart from the others."""

    model: str
    kind: str
    failed: bool
    count: int
    seconds: float


class Switches:
    """The last so many of each model, and sums of all."""

    def __init__(self) -> None:
        self._of: dict[str, deque[Switch]] = {}
        self._sums: dict[tuple[str, str, bool], tuple[int, float]] = {}

    def add(self, switch: Switch) -> None:
        """Remember one, and forget the oldest of its model."""
        self._of.setdefault(switch.model, deque(maxlen=REMEMBERED)).append(switch)
        key = (switch.model, switch.kind, bool(switch.why))
        count, seconds = self._sums.get(key, (0, 0.0))
        self._sums[key] = (count + 1, seconds + switch.seconds)

    def totals(self) -> Iterator[SwitchTotal]:
        """The sums."""
        for key, sums in self._sums.items():
            yield SwitchTotal(*key, *sums)

    def all(self) -> list[Switch]:
        """Those of every model, by their end."""
        return sorted((each for own in self._of.values() for each in own), key=lambda s: s.ended)

    def of(self, model: str) -> tuple[Switch, ...]:
        """Those of a model, oldest first."""
        return tuple(self._of.get(model, ()))


def took(switches: Sequence[Switch], kind: str) -> tuple[float, float] | None:
    """Seconds of the last one of a kind that succeeded, and their median; None for no such."""
    found = [switch.seconds for switch in switches if switch.kind == kind and not switch.why]
    return (found[-1], median(found)) if found else None
