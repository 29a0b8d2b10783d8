"""A trace made as much faster as the engines at hand are, so that an hour of it takes minutes.

Prompts and answers are shortened, arrivals move together until the engines are as busy as those
that the trace is made for; what is promised to whoever waits shrinks with the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.scheduling import scenarios, trace
from bench.scheduling.engine_model import Rates
from bench.scheduling.scenarios import HOUR, SCENARIOS, SEQS
from bench.scheduling.trace import Trace
from bench.scheduling.workload import Cell, Request, Workload
from inference.decisions import Limits
from inference.requests import Lane

# The least answer: of one token there would be nothing between tokens.
LEAST = 2


class NotPlayable(ValueError):
    """This trace cannot be played over HTTP to one device; the message says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """What to play: a scenario, or a file in its stead, for so many minutes.

    `shrink`: prompts and answers are divided by it.
    """

    scenario: str
    minutes: float
    shrink: float = 4.0
    seed: int = 0
    file: Trace | None = None


@dataclass(frozen=True, slots=True)
class Engines:
    """What was measured of the engines: how fast they are, and seconds of a load and an unload."""

    rates: Rates
    load: float
    unload: float


@dataclass(frozen=True, slots=True)
class Play:
    """The requests, what is promised meanwhile, and how many times faster than the trace it is."""

    work: Workload
    limits: Limits
    speed: float


def compressed(source: Source, engines: Engines) -> Play:
    """The trace for these engines. Raises NotPlayable."""
    original = _original(source, 1.0)
    if source.file is None:
        hours = source.minutes * 60 * _speed(original.requests, engines.rates, source) / HOUR
        original = _original(source, hours)
    speed = _speed(original.requests, engines.rates, source)
    last = source.minutes * 60
    first = original.requests[0].arrival
    requests = [_faster(request, first, speed, source.shrink) for request in original.requests]
    work = Workload(
        [request for request in requests if request.arrival <= last],
        original.models,
        original.devices,
        engines.load,
        engines.rates,
        engines.unload,
    )
    return Play(work, _limits(speed), speed)


def _limits(speed: float) -> Limits:
    plain = Limits()
    return replace(
        plain,
        queue=100_000,
        account_queue=100_000,
        slice=plain.slice / speed,
        wait=plain.wait / speed,
        drain=plain.drain / speed,
    )


def _original(source: Source, hours: float) -> Workload:
    cell = Cell(source.scenario, 1, 0.0, source.seed)
    if source.file is not None:
        return trace.workload(source.file, cell, Rates())
    if SCENARIOS[source.scenario].side_by_side > 1:
        raise NotPlayable("Here one model fits at a time.")
    work = scenarios.workload(cell, Rates(), hours)
    if any(request.lane is Lane.BATCH for request in work.requests):
        raise NotPlayable("Over HTTP nobody asks in the batch lane.")
    return work


def _speed(requests: Sequence[Request], rates: Rates, source: Source) -> float:
    """The same share of an engine's time is asked for: what it costs there over what it costs."""
    plain = Rates()
    there = sum(plain.in_full_batch(r.prompt, r.answer, SEQS) for r in requests)
    here = sum(
        rates.in_full_batch(r.prompt / source.shrink, r.answer / source.shrink, SEQS)
        for r in requests
    )
    return there / here


def _faster(request: Request, first: float, speed: float, shrink: float) -> Request:
    return replace(
        request,
        arrival=(request.arrival - first) / speed,
        prompt=max(1, round(request.prompt / shrink)),
        answer=max(LEAST, round(request.answer / shrink)),
    )
