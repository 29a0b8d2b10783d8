"""What has been measured of each model: loads, answers, turns. Pure.

Everything here is learnt from what happened; what has not happened yet is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# A new measurement counts for an eighth, so that the mean follows what is new within some tens.
NEWEST = 0.125
FIRST = 5


@dataclass(slots=True)
class Mean:
    """A mean that forgets: plain over the first few values, then exponential."""

    value: float | None = None
    count: int = 0

    def add(self, value: float) -> None:
        """One more measurement."""
        self.count += 1
        part = max(NEWEST, 1.0 / self.count) if self.count <= FIRST else NEWEST
        self.value = value if self.value is None else self.value + part * (value - self.value)

    def __bool__(self) -> bool:
        return self.value is not None


@dataclass(slots=True)
class ModelEstimates:
    """Of one model, in seconds; `cost` in device-seconds.

    `load`: from the decision to the first answer; `wake` the same from sleep. `hold`: how long a
    request runs; `tail` by how much more the long ones do. `turn`: from ready to gone, while others
    waited.
    """

    load: Mean = field(default_factory=Mean)
    wake: Mean = field(default_factory=Mean)
    hold: Mean = field(default_factory=Mean)
    cost: Mean = field(default_factory=Mean)
    tail: Mean = field(default_factory=Mean)
    turn: Mean = field(default_factory=Mean)

    def answered(self, seconds: float, cost: float) -> None:
        """A request ran to its end."""
        # How far beyond the mean an answer may go: the spread decides how long a drain lasts.
        if self.hold.value:
            self.tail.add(max(0.0, seconds - self.hold.value))
        self.hold.add(seconds)
        self.cost.add(cost)


class Estimates:
    """By model id."""

    def __init__(self) -> None:
        self._models: dict[str, ModelEstimates] = {}

    def of(self, model: str) -> ModelEstimates:
        """What is known of a model."""
        return self._models.setdefault(model, ModelEstimates())

    def load(self, model: str, otherwise: float = 0.0) -> float:
        """Seconds of a load; `otherwise` where none was measured."""
        value = self.of(model).load.value
        return otherwise if value is None else value
