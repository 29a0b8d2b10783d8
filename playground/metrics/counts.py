"""Sums since the server's start, by model.

Requests are counted when their usage record is put on disk, in the thread that does so: that costs
the way of a request nothing, and what is counted is what is billed. Labels are ids of the catalogue
and words of ours, never anything that a caller may choose.
"""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections.abc import Collection, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

# When each series began is twice as many lines, and nothing here needs it.
disable_created_metrics()

# From what nobody notices to the longest wait that is promised by default.
# Each is a line for each model, and writing one takes about 15 µs.
WAITS = (1, 15, 60, 300, 1200)
FIRST_TOKENS = (0.1, 0.25, 0.5, 1, 2.5, 15, 120)
TOKENS = {
    "prompt": "prompt_tokens",
    "completion": "completion_tokens",
    "cached": "cached_tokens",
}


class Counts:
    """Takes in what ended; `registry` is what an exposition is made of."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Requests are added by one thread, and models forgotten by another one.
        self._turn = threading.Lock()
        self._models: set[str] = set()
        # Answers of the API by their status, added to on the event loop.
        self.answers: Tally[int] = Tally()
        own: dict[str, Any] = {"registry": self.registry}
        of_model = ["model"]
        self._requests = Counter(
            "llms_requests",
            "Requests that asked a model and ended, by outcome.",
            ["model", "outcome"],
            **own,
        )
        self._tokens = Counter(
            "llms_tokens",
            "Tokens: of prompts (cached: those of them that a cache had), and of answers.",
            ["model", "of"],
            **own,
        )
        self._device_seconds = Counter(
            "llms_device_seconds", "Requests' parts of the devices' time.", of_model, **own
        )
        self._waits = Histogram(
            "llms_queue_wait_seconds",
            "How long requests waited for their turn.",
            of_model,
            buckets=WAITS,
            **own,
        )
        self._firsts = Histogram(
            "llms_time_to_first_token_seconds",
            "From the question to the first piece of its answer, the wait included.",
            of_model,
            buckets=FIRST_TOKENS,
            **own,
        )
        self._by_model = (
            self._requests, self._tokens, self._device_seconds, self._waits, self._firsts
        )  # fmt: skip

    def add(self, row: Mapping[str, Any], first: float | None) -> None:
        """A request ended: its usage record, and the seconds until its answer's first piece."""
        model = row["model"]
        with self._turn:
            self._models.add(model)
            self._requests.labels(model, row["outcome"]).inc()
            for name, column in TOKENS.items():
                self._tokens.labels(model, name).inc(row[column])
            self._device_seconds.labels(model).inc(row["device_seconds"])
            self._waits.labels(model).observe(row["queue_seconds"])
            if first is not None:
                self._firsts.labels(model).observe(first)

    def keep_only(self, models: Collection[str]) -> None:
        """Forget models that left the catalogue: there are never more series than it has cards."""
        with self._turn:
            for model in self._models.difference(models):
                self._models.discard(model)
                for metric in self._by_model:
                    metric.remove_by_labels({"model": model})


counts = Counts()
