"""What has been measured of each model: loads, answers, turns. Pure.

Everything here is learnt from what happened; what has not happened yet is None. Plans need a number
all the same: for them a model that nothing is known of is like the others.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

# Means by model and kind; what is of no one model stands under ANY.
Told = Mapping[str, Mapping[str, float]]
ANY = ""

# A new measurement counts for an eighth, so that the mean follows what is new within some tens.
NEWEST = 0.125
FIRST = 5
# A shorter answer says more of how long its prompt took than of how quick the model is.
MEASURED_TOKENS = 8
# Nothing unloads that slowly without saying so: what is only supposed is not to shut a door.
MOST_SUPPOSED = 60.0
# A single turn says no more than that turns last so many times as long, or as short.
MOST_PACE = 2.0


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
    request runs; `tail` by how much more the long ones do. `turn`: from ready until it is to go,
    while others waited; `drain` its end, when nobody new is let in. `speed`: tokens a second of one
    answer. `asked`: when somebody last asked for it.
    """

    load: Mean = field(default_factory=Mean)
    wake: Mean = field(default_factory=Mean)
    hold: Mean = field(default_factory=Mean)
    cost: Mean = field(default_factory=Mean)
    tail: Mean = field(default_factory=Mean)
    turn: Mean = field(default_factory=Mean)
    drain: Mean = field(default_factory=Mean)
    speed: Mean = field(default_factory=Mean)
    asked: float = float("-inf")

    def means(self) -> Iterator[tuple[str, Mean]]:
        """All that is measured, by name."""
        for kind in ("load", "wake", "hold", "cost", "tail", "turn", "drain", "speed"):
            yield kind, getattr(self, kind)

    def answered(self, seconds: float, cost: float, tokens: int = 0) -> None:
        """A request ran to its end, and its answer has so many tokens."""
        if tokens >= MEASURED_TOKENS and seconds > 0:
            self.speed.add(tokens / seconds)
        # How far beyond the mean an answer may go: the spread decides how long a drain lasts.
        if self.hold.value:
            self.tail.add(max(0.0, seconds - self.hold.value))
        self.hold.add(seconds)
        self.cost.add(cost)


class Estimates:
    """By model id. `pace`: how much longer, of late, turns of all models last than foreseen.

    A model's own turns are too far apart to follow the hours of a day.
    """

    def __init__(self) -> None:
        self._models: dict[str, ModelEstimates] = {}
        self._any = ModelEstimates()
        self._pace = Mean()
        self._unload = Mean()

    def of(self, model: str) -> ModelEstimates:
        """What is known of a model."""
        known = self._models.get(model)
        if known is None:
            known = self._models[model] = ModelEstimates()
        return known

    def seen(self, model: str) -> ModelEstimates:
        """The same for whoever only looks: nothing is kept for a model that never did anything."""
        return self._models.get(model) or ModelEstimates()

    def keep(self, models: Container[str]) -> None:
        """Forget all others: models of the Hub come and go."""
        self._models = {name: known for name, known in self._models.items() if name in models}

    def told(self) -> Told:
        """All that is known, for the next start."""
        found = {ANY: _values([*self._any.means(), ("unload", self._unload)])}
        found |= {model: _values(known.means()) for model, known in self._models.items()}
        return {model: kinds for model, kinds in found.items() if kinds}

    def recall(self, told: Told) -> None:
        """What was told at the end of an earlier run. It counts like one measurement of now."""
        for model, kinds in told.items():
            means = dict((self._any if model == ANY else self.of(model)).means())
            if model == ANY:
                means["unload"] = self._unload
            for kind in means.keys() & kinds.keys():
                means[kind].add(kinds[kind])

    @property
    def pace(self) -> float:
        """1 where nothing is known."""
        return math.exp(self._pace.value or 0.0)

    def turned(self, model: str, seconds: float, overflow: float) -> None:
        """A turn for whose place others waited is over; `overflow` of it served long queues."""
        known = self.of(model)
        if known.turn.value is not None:
            foreseen = max(1.0, known.turn.value + overflow)
            # By logarithms, so that twice as long and half as long are level.
            self._pace.add(math.log(min(MOST_PACE, max(1 / MOST_PACE, seconds / foreseen))))
        known.turn.add(max(0.0, seconds - overflow))

    def loaded(self, model: str, seconds: float, woken: bool) -> None:
        """A load took so long, or a wake."""
        if woken:
            self.of(model).wake.add(seconds)
            return
        for known in (self.of(model), self._any):
            known.load.add(seconds)

    def unloaded(self, seconds: float) -> None:
        """A place was free so long after the decision that its model leaves."""
        self._unload.add(seconds)

    def answered(self, model: str, seconds: float, cost: float, tokens: int = 0) -> None:
        """A request ran to its end, and its answer has so many tokens."""
        for known in (self.of(model), self._any):
            known.answered(seconds, cost, tokens)

    def load(self, model: str) -> float:
        """Seconds of a load, for plans: of other models where none of its own was measured."""
        own = self.of(model).load
        return (own if own else self._any.load).value or 0.0

    @property
    def unload(self) -> float:
        """Seconds until a place is free that a model leaves; it hardly matters which.

        As long as a load before any was measured, up to a minute: else the first plans promise too
        much.
        """
        if self._unload.value is None:
            return min(MOST_SUPPOSED, self._any.load.value or 0.0)
        return self._unload.value

    def switch(self, model: str) -> float:
        """Seconds between the answers of another model and those of this one, for plans."""
        return self.load(model) + self.unload

    def answer(self, model: str) -> float:
        """Seconds of one of its longer answers, for plans: of other models likewise."""
        own = self.of(model)
        known = own if own.hold else self._any
        return (known.hold.value or 0.0) + (known.tail.value or 0.0)


def _values(means: Iterable[tuple[str, Mean]]) -> dict[str, float]:
    return {kind: mean.value for kind, mean in means if mean.value is not None}
