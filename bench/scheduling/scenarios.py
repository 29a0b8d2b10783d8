"""Who asks for what, when. Seeded: the same cell is the same workload everywhere.

Load is stated as utilisation: engine seconds that the requests cost in full batches, over the
seconds of all GPUs. Arrivals do not depend on the policy (an open loop), so that all policies get
the same work. Rates grow with the number of GPUs; so do the users.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.scheduling.engine_model import Rates
from bench.scheduling.workload import (
    MAX_ANSWER,
    MAX_PROMPT,
    Cell,
    Request,
    Workload,
    devices,
    models,
)
from inference.requests import Lane

HOUR = 3600.0
SEQS = 32
# Lognormal, near the published BurstGPT trace: median, sigma.
PROMPT = (250, 1.1)
ANSWER = (160, 0.9)
# Their means after clipping, measured once over a million draws; utilisation is planned with them.
MEAN_PROMPT, MEAN_ANSWER = 447, 238
# Structured output, a seed, several choices: such answers cannot be stopped and resumed.
NOT_PREEMPTABLE = 0.1


@dataclass(slots=True)
class Draft:
    """A request before it has an id."""

    arrival: float
    model: int
    user: str
    lane: Lane = Lane.INTERACTIVE


def workload(cell: Cell, rates: Rates, scale: float = 1.0) -> Workload:
    """The requests of a cell. `scale` shortens or lengthens it, at the same load."""
    scenario = SCENARIOS[cell.scenario]
    # Not from the switch time: cells that differ in it alone have the same requests.
    rng = random.Random(f"{cell.scenario}/{cell.gpus}/{cell.seed}")
    drafts = scenario.drafts(rng, cell.gpus, HOUR * scale, capacity(rates))
    drafted = sorted(drafts, key=lambda draft: draft.arrival)
    requests = [_request(i, draft, rng) for i, draft in enumerate(drafted)]
    return Workload(
        requests,
        models(
            scenario.models,
            side_by_side=scenario.side_by_side,
            seqs=SEQS,
            replicas=cell.gpus,
        ),
        devices(cell.gpus),
        cell.switch,
        rates,
    )


def capacity(rates: Rates) -> float:
    """Requests per second of one GPU that computes full batches of one model."""
    return 1 / rates.in_full_batch(MEAN_PROMPT, MEAN_ANSWER, SEQS)


def _request(number: int, draft: Draft, rng: random.Random) -> Request:
    return Request(
        str(number),
        f"model-{draft.model:02}",
        draft.user,
        draft.arrival,
        length(rng, *PROMPT, MAX_PROMPT),
        length(rng, *ANSWER, MAX_ANSWER),
        draft.lane,
        rng.random() >= NOT_PREEMPTABLE,
    )


def length(rng: random.Random, median: float, sigma: float, most: int) -> int:
    """Tokens, lognormal."""
    return max(4, min(most, round(rng.lognormvariate(math.log(median), sigma))))


# --- pieces --------------------------------------------------------------------------------------


def zipf(count: int, exponent: float) -> list[float]:
    """Popularity of ranks 1 to `count`."""
    weights = [rank**-exponent for rank in range(1, count + 1)]
    return [weight / sum(weights) for weight in weights]


def moments(
    rng: random.Random, rate: float, end: float, shape: Callable[[float], float] = lambda _: 1.0
) -> Iterator[float]:
    """A Poisson process with at most `rate` a second, thinned by `shape` (0..1)."""
    now = rng.expovariate(rate)
    while now < end:
        if rng.random() < shape(now):
            yield now
        now += rng.expovariate(rate)


def single(
    rng: random.Random, rate: float, end: float, popularity: Sequence[float], users: int
) -> Iterator[Draft]:
    """Requests that have nothing to do with each other; users of unequal diligence."""
    diligence = zipf(users, 0.6)
    for when in moments(rng, rate, end):
        model = rng.choices(range(len(popularity)), popularity)[0]
        yield Draft(when, model, f"user-{rng.choices(range(users), diligence)[0]}")


# --- the scenarios -------------------------------------------------------------------------------


def campus(rng: random.Random, gpus: int, end: float, full: float) -> Iterator[Draft]:
    """A day in one hour (0.1 at night, 1 at noon) of sessions: a user, one model, 1 to 8 turns."""

    def day(now: float) -> float:
        return 0.1 + 0.9 * math.sin(math.pi * now / end) ** 2

    turns, popularity = 4.5, zipf(8, 1.0)
    for start in moments(rng, 0.55 * full * gpus / turns, end, day):
        user, model = rng.randrange(60 * gpus), rng.choices(range(8), popularity)[0]
        when = start
        for _ in range(rng.randint(1, 8)):
            yield Draft(when, model, f"user-{user}")
            when += rng.expovariate(1 / 40) + 5


def market(rng: random.Random, gpus: int, end: float, full: float) -> Iterator[Draft]:
    """Sixteen models of unequal popularity, at a fifth of the capacity."""
    yield from single(rng, 0.2 * full * gpus, end, zipf(16, 0.9), 80 * gpus)


def burst(rng: random.Random, gpus: int, end: float, full: float) -> Iterator[Draft]:
    """Twice, a class of 60 opens one model within a minute and asks four times; others go on."""
    yield from single(rng, 0.2 * full * gpus, end, zipf(8, 0.8), 40 * gpus)
    for start in (0.2 * end, 0.6 * end):
        for student in range(60):
            when = start + rng.uniform(0, 60)
            for _ in range(4):
                yield Draft(when, 4, f"student-{student}")
                when += rng.expovariate(1 / 60) + 10


def overload(rng: random.Random, gpus: int, end: float, full: float) -> Iterator[Draft]:
    """One model is asked for 110 % of what a GPU can do; seven others are asked for lightly."""
    for when in moments(rng, 1.1 * full, end):
        yield Draft(when, 0, f"hot-{rng.randrange(30)}")
    for draft in single(rng, 0.1 * full * gpus, end, zipf(7, 0.8), 30 * gpus):
        draft.model += 1
        yield draft


def night(rng: random.Random, gpus: int, end: float, full: float) -> Iterator[Draft]:
    """One user leaves hours of work in the batch lane; a few others chat with other models."""
    for _ in range(int(0.5 * full * gpus * end)):
        yield Draft(rng.uniform(0, 60), rng.randrange(3), "batch-user", Lane.BATCH)
    yield from single(rng, 0.1 * full * gpus, end, zipf(8, 0.8), 12 * gpus)


def adversary(rng: random.Random, gpus: int, end: float, full: float) -> Iterator[Draft]:
    """One user asks for two models in turn, one request at a time; others use four models."""
    when, turn = 1.0, 0
    while when < end:
        yield Draft(when, 4 + turn % 2, "adversary")
        when += rng.uniform(2, 8) / gpus
        turn += 1
    yield from single(rng, 0.25 * full * gpus, end, zipf(4, 0.8), 30 * gpus)


Drafts = Callable[[random.Random, int, float, float], Iterator[Draft]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """How a workload is made: `drafts`, and the models they are for."""

    drafts: Drafts
    models: int
    side_by_side: int = 1


SCENARIOS = {
    "campus": Scenario(campus, 8),
    "market": Scenario(market, 16),
    "burst": Scenario(burst, 8),
    "overload": Scenario(overload, 8),
    "night": Scenario(night, 8),
    "adversary": Scenario(adversary, 6),
    # As the market, but two models fit in a GPU.
    "pairs": Scenario(market, 16, side_by_side=2),
}
