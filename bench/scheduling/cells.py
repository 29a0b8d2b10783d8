"""A cell under one policy: the workload, the run, its figures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from bench.scheduling import trace
from bench.scheduling.bounds import AllResident, without_switches
from bench.scheduling.engine_model import Rates
from bench.scheduling.metrics import Figures, figures
from bench.scheduling.peers_servers import SERVERS
from bench.scheduling.peers_textbook import TEXTBOOK, RoundRobin
from bench.scheduling.scenarios import workload
from bench.scheduling.simulator import Policy, Run, simulate
from bench.scheduling.trace import Trace
from bench.scheduling.workload import Cell, Request, Workload
from inference.decisions import Limits
from inference.devices import Device
from inference.scheduler import Scheduler

OURS = "ours"
NO_SWITCH = "no-switch"
# The name of the scenario that a file makes.
TRACE = "trace"
PEERS = [*SERVERS, *TEXTBOOK]
POLICIES = [OURS, *PEERS, NO_SWITCH]


@dataclass(frozen=True, slots=True)
class Setup:
    """What holds for all cells of a bench: the service model, its length, our limits.

    A switch takes the cell's seconds to load, and `unload` before that.
    """

    rates: Rates = Rates()
    scale: float = 1.0
    limits: Limits = Limits(queue=sys.maxsize, account_queue=sys.maxsize)
    trace: Trace | None = None
    unload: float = 0.0


def policy(name: str, limits: Limits) -> Callable[[Sequence[Device]], Policy]:
    """How a policy is made."""
    if name == OURS:
        return lambda devices: Scheduler(devices, limits)
    if name == NO_SWITCH:
        return AllResident
    return {**SERVERS, **TEXTBOOK}[name]


@lru_cache(maxsize=2)
def prepared(cell: Cell, setup: Setup) -> tuple[Workload, dict[str, float]]:
    """The cell's workload, and each request's response if its user were alone."""
    if cell.scenario == TRACE:
        assert setup.trace is not None
        work = trace.workload(setup.trace, cell, setup.rates)
    else:
        work = workload(cell, setup.rates, setup.scale)
    work = replace(work, unload=setup.unload)
    return work, alone(work)


def measure(cell: Cell, name: str, setup: Setup) -> tuple[Figures, Run]:
    """Run one policy in one cell."""
    work, apart = prepared(cell, setup)
    given = without_switches(work) if name == NO_SWITCH else work
    run = simulate(given, policy(name, setup.limits))
    return figures(given, run, apart, setup.limits.wait), run


def alone(work: Workload) -> dict[str, float]:
    """Responses of each user's requests with the machine for themselves, loads included."""
    users: dict[str, list[Request]] = {}
    for request in work.requests:
        users.setdefault(request.user, []).append(request)
    runs = (simulate(replace(work, requests=own), RoundRobin) for own in users.values())
    return {life.request.id: life.response for run in runs for life in run.lives}
