"""Sums since the server's start, by model.

Requests are counted when their usage record is put on disk, in the thread that does so: that costs
the way of a request nothing, and what is counted is what is billed. Models are ids of the
catalogue, outcomes words of ours; nothing here is a name that a caller may choose.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

# From what nobody notices to the longest wait that is promised by default. Each is a line for each
# model.
WAITS = (1.0, 15.0, 60.0, 300.0, 1200.0)
FIRST_TOKENS = (0.1, 0.25, 0.5, 1.0, 2.5, 15.0, 120.0)
# The columns of a usage record, by what Prometheus calls them.
TOKENS = {
    "prompt": "prompt_tokens",
    "completion": "completion_tokens",
    "cached": "cached_tokens",
}


class Spread:
    """How values are spread over buckets: each holds what is at most its bound."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Take one in."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Each bound, as Prometheus writes it, and how many were at most that."""
        names = [*map(str, self._bounds), "+Inf"]
        return list(zip(names, accumulate(self._counts), strict=True))


class Sums:
    """All that ended of one model. `changes` counts what was added; `told` is for whoever writes it
    down, to keep what holds until then."""

    __slots__ = ("changes", "device_seconds", "firsts", "outcomes", "told", "tokens", "waits")

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.tokens = dict.fromkeys(TOKENS, 0)
        self.device_seconds = 0.0
        self.waits = Spread(WAITS)
        self.firsts = Spread(FIRST_TOKENS)
        self.changes = 0
        self.told: tuple[int, Any] = (-1, None)

    def add(self, row: Mapping[str, Any], first: float | None) -> None:
        """One more."""
        self.outcomes[row["outcome"]] += 1
        for name, column in TOKENS.items():
            self.tokens[name] += row[column]
        self.device_seconds += row["device_seconds"]
        self.waits.add(row["queue_seconds"])
        if first is not None:
            self.firsts.add(first)
        self.changes += 1


class Counts:
    """Takes in what ended."""

    def __init__(self) -> None:
        # Answers of the API by their status, added to on the event loop.
        self.answers: Counter[int] = Counter()
        # One thread adds requests, others read.
        self._turn = threading.Lock()
        self._of: dict[str, Sums] = {}

    def add(self, row: Mapping[str, Any], first: float | None) -> None:
        """A request ended: its usage record, and the seconds until its answer's first piece."""
        with self._turn:
            model = row["model"]
            if model not in self._of:
                self._of[model] = Sums()
            self._of[model].add(row, first)

    def of(self, models: Collection[str]) -> Iterator[tuple[str, Sums]]:
        """The sums of these models. All others are forgotten: they left the catalogue, and so there
        are never more of them than it has cards."""
        with self._turn:
            self._of = {model: sums for model, sums in self._of.items() if model in models}
            found = list(self._of.items())
        yield from found


counts = Counts()
