"""How long the scheduler thinks. CPU time of this thread: others on the machine do not count."""

import time
from types import SimpleNamespace

import pytest

from bench.scheduling import decision_time

QUEUED = 10_000
# Of the whole promise; about 0.2 were measured.
MOST_MILLISECONDS = 1.0
TRIES = 3


def test_a_decision_takes_a_millisecond_at_most_with_ten_thousand_queued(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over sixteen models, in the median, while answers end and models take turns.

    The best of several tries: a busy machine shares its caches too.
    """
    clock = SimpleNamespace(perf_counter=time.thread_time)
    monkeypatch.setattr(decision_time, "time", clock)
    best = float("inf")
    for _ in range(TRIES):
        best = min(best, decision_time.milliseconds(QUEUED)[0])
        if best <= MOST_MILLISECONDS:
            break
    assert 0.0 < best <= MOST_MILLISECONDS
