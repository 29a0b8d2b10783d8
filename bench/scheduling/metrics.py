"""Figures of one run. docs/scheduling.md says in words what each of them means."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from bench.figures import percentile
from bench.scheduling.simulator import End, Life, Run
from bench.scheduling.workload import Workload
from inference.requests import Lane

Figures = dict[str, float]


def figures(work: Workload, run: Run, alone: Mapping[str, float], bound: float) -> Figures:
    """All of them. `alone`: response by request, had its user the machine for themselves.

    Waits and responses are the interactive lane's; the batch lane, which yields to it, has its own.
    """
    served = [life for life in run.lives if life.end is End.SERVED]
    quick = [life for life in served if life.request.lane is Lane.INTERACTIVE]
    waits = sorted(life.wait for life in quick)
    count = Counter(life.end for life in run.lives)
    lost = [bound] * (len(run.lives) - len(served))
    first = work.requests[0].arrival
    makespan = max((life.finished for life in served), default=first) - first
    promised = len(waits) + count[End.EXPIRED] + count[End.CUT]
    return {
        "requests": len(run.lives),
        **{end.value: count[end] for end in (End.REFUSED, End.EXPIRED, End.CUT)},
        "wait_p50": percentile(waits, 50),
        "wait_p99": percentile(waits, 99),
        "wait_max": waits[-1] if waits else 0.0,
        # As if whoever was refused, or ended with an error, had waited for all of W.
        "counted_p99": percentile([*waits, *lost], 99),
        "counted_max": max([*waits, *lost], default=0.0),
        "wait_mean": statistics.fmean(waits) if waits else 0.0,
        "batch_wait_max": _longest(served, Lane.BATCH),
        "response_max": max((life.response for life in quick), default=0.0),
        "makespan": makespan,
        "tokens_per_second": sum(life.request.answer for life in served) / max(makespan, 1e-9),
        "jain": jain(user_ratios(run.lives, alone)),
        "switches": len(run.stays),
        "preemptions": sum(life.preempted for life in served),
        "preempted_most": max((life.preempted for life in served), default=0),
        "within_bound": sum(wait <= bound for wait in waits) / max(1, promised),
        **_eta(served),
        "decision_ms": 1e3 * run.decision_seconds / max(1, run.decisions),
        "decision_max_ms": 1e3 * run.longest_decision,
    }


def _longest(served: Sequence[Life], lane: Lane) -> float:
    return max((life.wait for life in served if life.request.lane is lane), default=math.nan)


def user_ratios(lives: Sequence[Life], alone: Mapping[str, float]) -> list[float]:
    """Per user: the sum of the responses alone over the sum of the actual ones.

    Of a user none of whose requests was served it is 0.
    """
    apart: dict[str, float] = defaultdict(float)
    actual: dict[str, float] = defaultdict(float)
    for life in lives:
        served = life.end is End.SERVED
        apart[life.request.user] += alone[life.request.id] if served else 0.0
        actual[life.request.user] += life.response if served else 0.0
    return [apart[user] / actual[user] if actual[user] else 0.0 for user in apart]


def jain(values: Sequence[float]) -> float:
    """1 when all are equal, 1/n when one has everything."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 0.0


def _eta(served: Sequence[Life]) -> Figures:
    """Errors of the first ETA of those that waited: relative to the wait (at least 1 s), seconds.

    NaN where the policy gives none. `eta_known` is the share of waiters that were told one.
    """
    waited = [life for life in served if life.wait >= 1.0]
    told = [(life.eta, life.wait) for life in waited if life.eta is not None]
    errors = [abs(eta - wait) for eta, wait in told]
    relative = [abs(eta - wait) / max(wait, 1.0) for eta, wait in told]
    return {
        "eta_error": statistics.median(relative) if relative else math.nan,
        "eta_error_seconds": statistics.median(errors) if errors else math.nan,
        "eta_known": len(told) / len(waited) if waited else math.nan,
    }
