"""The least mean wait that anybody could reach who knew the future, on small instances.

One GPU, room for one model. CP-SAT chooses when each request starts. A request computes for just
as long as it would alone, however many run beside it, and a batch has no end of places: real
batches are slower, so the optimum is no more than what any schedule without preemption can reach.
Requests of two models do not overlap, and between the end of one and the start of the other lies a
load; as loads are equal, these pairs say all there is to say about turns. Where the solver runs out
of time its proven bound is taken, which is lower still.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import combinations

from bench.scheduling.cells import Setup, policy
from bench.scheduling.engine_model import Rates
from bench.scheduling.scenarios import ANSWER, PROMPT, length
from bench.scheduling.simulator import simulate
from bench.scheduling.workload import MAX_ANSWER, MAX_PROMPT, Request, Workload, devices, models

# Steps of the solver's clock, per second; durations are rounded down.
TICKS = 20
# CP-SAT's own measure of work, the same on every machine.
EFFORT = 20.0


@dataclass(frozen=True, slots=True)
class Small:
    """A small instance: `count` requests for three models within a minute or two."""

    count: int
    switch: float
    seed: int


INSTANCES = [
    Small(count, switch, seed)
    for count in (10, 12, 14)
    for switch in (3.0, 10.0)
    for seed in (0, 1)
]


def instance(small: Small, rates: Rates) -> Workload:
    """Its workload; the first request comes at once."""
    rng = random.Random(f"{small.count}/{small.switch}/{small.seed}")
    arrivals = sorted([0.0, *(rng.uniform(0, 90) for _ in range(small.count - 1))])
    requests = [
        Request(
            str(number),
            f"model-{rng.randrange(3):02}",
            f"user-{rng.randrange(4)}",
            arrival,
            length(rng, *PROMPT, MAX_PROMPT),
            length(rng, *ANSWER, MAX_ANSWER),
        )
        for number, arrival in enumerate(arrivals)
    ]
    return Workload(requests, models(3), devices(1), small.switch, rates)


def least_mean_wait(work: Workload) -> float:
    """Seconds; proven."""
    # A solver is not needed for anything else here.
    from ortools.sat.python import cp_model

    problem = cp_model.CpModel()
    horizon = _ticks(work.requests[-1].arrival) + sum(
        _ticks(work.rates.alone(r.prompt, r.answer) + work.switch) + 1 for r in work.requests
    )
    starts = {}
    for request in work.requests:
        first = max(_ticks(work.switch), _ticks(request.arrival))
        starts[request.id] = problem.new_int_var(first, first + horizon, request.id)
    for one, other in combinations(work.requests, 2):
        if one.model == other.model:
            continue
        before = problem.new_bool_var(f"{one.id}<{other.id}")
        gap, back = (_ticks(work.rates.alone(r.prompt, r.answer)) for r in (one, other))
        switch = _ticks(work.switch)
        problem.add(starts[other.id] >= starts[one.id] + gap + switch).only_enforce_if(before)
        problem.add(starts[one.id] >= starts[other.id] + back + switch).only_enforce_if(~before)
    problem.minimize(sum(starts[r.id] - _ticks(r.arrival) for r in work.requests))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_deterministic_time = EFFORT
    solver.solve(problem)
    # An arrival was rounded down by at most a tick: nobody starts earlier than that allows.
    slack = sum(r.arrival * TICKS - _ticks(r.arrival) for r in work.requests)
    return max(0.0, solver.best_objective_bound - slack) / TICKS / len(work.requests)


def compare(names: list[str], setup: Setup) -> dict[Small, dict[str, float]]:
    """Mean waits of the bound (`bound`) and of policies, instance by instance."""
    found: dict[Small, dict[str, float]] = {}
    for small in INSTANCES:
        work = instance(small, setup.rates)
        found[small] = {"bound": least_mean_wait(work)}
        for name in names:
            lives = simulate(work, policy(name, setup.limits)).lives
            found[small][name] = sum(life.wait for life in lives) / len(lives)
    return found


def _ticks(seconds: float) -> int:
    return int(seconds * TICKS)
