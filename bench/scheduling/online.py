"""The least mean wait on small instances of whoever does not know the future, only its law.

    python -m bench.scheduling.online --report docs/scheduling/online.md

The clairvoyant bound knows when everybody comes and how long each answer is. How much of the
distance to it is due to that, and to nothing that a policy could do better? Here the law is one for
which the best policy can be computed: time goes in steps, in each a request comes with the same
chance, for each of three models alike, and each running answer ends with the same chance. All that
matters then is how many are at each model, which is loaded, and how far its load is. Values are
found backwards in time (a Markov decision process of finite horizon), so no policy has a smaller
expected wait, whatever it remembers or learns.

It is let do more than an engine or the clairvoyant schedule can: batches cost nothing and have no
end of places, answers may be stopped and go on at no cost, a load may be broken off. What it cannot
reach is out of reach for any policy under this law.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

from bench.scheduling.cells import OURS, PEERS, Setup, policy
from bench.scheduling.clairvoyant import INSTANCES, least_mean_wait
from bench.scheduling.engine_model import Rates
from bench.scheduling.simulator import simulate
from bench.scheduling.tables import number, publish, table
from bench.scheduling.workload import Request, Workload, devices, models

# Seconds of a step; requests come within so many seconds; an answer takes so many in the mean, as
# those of the clairvoyant bound's instances do.
STEP = 0.5
WINDOW = 90.0
ANSWER = 7.3
MODELS = 3
# A step in tokens, for policies that count them.
TOKENS = 17
# More requests at one model than this many count as this many: that can only make values smaller.
MOST = 15
# Values change by less than this, in seconds, when the tail is long enough.
NEAR = 1e-3
Array = np.ndarray[Any, np.dtype[np.float64]]
Choices = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, slots=True)
class Job:
    """A request: the step in which it comes, its model, the steps that its answer takes."""

    step: int
    model: int
    steps: int


@dataclass(frozen=True, slots=True)
class Law:
    """`count` requests in the mean; the first comes at once. A load takes `switch` seconds."""

    count: int
    switch: float

    @property
    def arrival(self) -> float:
        """The chance that a request comes in a step."""
        return (self.count - 1) / WINDOW * STEP

    @property
    def end(self) -> float:
        """The chance that a running answer ends in a step."""
        return STEP / ANSWER

    @property
    def load(self) -> int:
        """Steps of a load."""
        return round(self.switch / STEP)

    @property
    def steps(self) -> int:
        """Steps in which requests come."""
        return round(WINDOW / STEP)

    def sample(self, rng: random.Random) -> list[Job]:
        """One instance."""
        return [
            Job(step, rng.randrange(MODELS), self._length(rng))
            for step in range(self.steps)
            if not step or rng.random() < self.arrival
        ]

    def _length(self, rng: random.Random) -> int:
        steps = 1
        while rng.random() >= self.end:
            steps += 1
        return steps


@dataclass(frozen=True, slots=True)
class Best:
    """The best policy of a law, and its expected sum of waits in seconds.

    A choice is 0 to stay, 1 or 2 to load the first or second of the other models. `choices[step]`
    and, when nobody comes any more, `tail` are indexed by the steps that the load has still to go,
    and by the requests of the model that is loaded and of the two others.
    """

    wait: float
    choices: Sequence[Choices]
    tail: Choices

    def choice(self, step: int, left: int, counts: Sequence[int]) -> int:
        """What to do in a state."""
        of = self.choices[step] if step < len(self.choices) else self.tail
        return int(of[(left, *(min(count, MOST) for count in counts))])


def best(law: Law) -> Best:
    """Solve it, backwards in time."""
    cost, stay = _cost(law), _stay(law)
    values = np.zeros_like(cost)
    while True:
        before, (values, tail, _) = values, _back(law, values, cost, stay, 0.0)
        if np.abs(values - before).max() < NEAR:
            break
    choices = []
    for step in reversed(range(law.steps)):
        coming = law.arrival if step + 1 < law.steps else 0.0
        values, choice, after = _back(law, values, cost, stay, coming)
        choices.append(choice)
    # At first nothing is loaded and one waits: its load begins.
    return Best(float(after[law.load, 1, 0, 0]), choices[::-1], tail)


def _cost(law: Law) -> Array:
    """Seconds waited in a step, by state: all of other models, all while a load goes on."""
    counts: Array = np.arange(MOST + 1, dtype=float)
    others = counts[None, :, None] + counts[None, None, :] + 0 * counts[:, None, None]
    loading = others + counts[:, None, None]
    return STEP * np.stack([others, *[loading] * law.load])


def _stay(law: Law) -> Array:
    """The chance that of so many running so many still run a step later."""
    go_on = 1 - law.end

    def chance(running: int, left: int) -> float:
        return comb(running, left) * go_on**left * law.end ** max(0, running - left)

    counts = range(MOST + 1)
    return np.array([[chance(running, left) for left in counts] for running in counts])


def _back(
    law: Law, values: Array, cost: Array, stay: Array, coming: float
) -> tuple[Array, Choices, Array]:
    """A step earlier: values before choosing, choices, and values of each state once chosen."""
    up = np.minimum(np.arange(MOST + 1) + 1, MOST)
    one_more = values[:, up] + values[:, :, up] + values[:, :, :, up]
    later = (1 - coming) * values + coming / MODELS * one_more
    after = np.empty_like(values)
    after[0] = np.tensordot(stay, later[0], 1)
    after[1:] = later[:-1]
    after += cost
    # Loading another model renames them: it is the first then, and what ran waits in its place.
    first, second = after[law.load].transpose(1, 0, 2), after[law.load].transpose(2, 1, 0)
    other = np.minimum(first, second)
    choices = np.where(after <= other, 0, np.where(first <= second, 1, 2)).astype(np.uint8)
    return np.minimum(after, other), choices, after


def play(law: Law, found: Best, jobs: Sequence[Job]) -> float:
    """The sum of waits in seconds where the best policy meets these requests."""
    queues: list[list[int]] = [[] for _ in range(MODELS)]
    coming, loaded, left, step, wait = list(jobs), jobs[0].model, law.load, 0, 0
    while coming or any(queues):
        while coming and coming[0].step <= step:
            job = coming.pop(0)
            queues[job.model].append(job.steps)
        others = [model for model in range(MODELS) if model != loaded]
        counts = [len(queues[model]) for model in (loaded, *others)]
        if step and (choice := found.choice(step, left, counts)):
            loaded, left = others[choice - 1], law.load
        running = queues[loaded] if not left else []
        wait += sum(map(len, queues)) - len(running)
        if left:
            left -= 1
        else:
            queues[loaded] = [steps - 1 for steps in running if steps > 1]
        step += 1
    return STEP * wait


def as_workload(law: Law, jobs: Sequence[Job], rng: random.Random) -> Workload:
    """The same requests for the simulator and the solver; batches cost nothing there either."""
    requests = [
        Request(
            str(place),
            f"model-{job.model:02}",
            f"user-{rng.randrange(4)}",
            job.step * STEP,
            0,
            job.steps * TOKENS,
        )
        for place, job in enumerate(jobs)
    ]
    rates = Rates(STEP / TOKENS, 0.0, 0.0)
    return Workload(requests, models(MODELS), devices(1), law.switch, rates)


def report(laws: Iterable[Law], samples: int, names: Sequence[str]) -> str:
    """A Markdown table: mean waits of the bound, of the best policy and of those named."""
    found = [_line(law, samples, names) for law in laws]
    lines = [
        [f"{law.count} requests, switch {law.switch:g} s", *map(number, waits)]
        for law, waits in found
    ]
    sums = [sum(column) for column in zip(*(waits for _, waits in found), strict=True)]
    lines.append(["all, over the bound", *(f"{each / sums[0]:.2f}" for each in sums)])
    head = ["mean wait, s", "bound", "best without foresight", "the same, expected", *names]
    return table(head, lines)


def _line(law: Law, samples: int, names: Sequence[str]) -> tuple[Law, list[float]]:
    rng = random.Random(f"{law.count}/{law.switch}")
    found = best(law)
    waits: list[list[float]] = []
    for _ in range(samples):
        jobs = law.sample(rng)
        work = as_workload(law, jobs, rng)
        row = [least_mean_wait(work) * len(jobs), play(law, found, jobs), found.wait]
        for name in names:
            lives = simulate(work, policy(name, Setup().limits)).lives
            row.append(sum(life.wait for life in lives))
        waits.append(row)
    return law, [statistics.fmean(column) / law.count for column in zip(*waits, strict=True)]


def main() -> int:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(
        "python -m bench.scheduling.online",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--samples", type=int, default=100, help="instances of each law")
    parser.add_argument("--report", type=Path, help="file for the table")
    options = parser.parse_args()
    laws = sorted({(each.count, each.switch) for each in INSTANCES})
    text = report((Law(*law) for law in laws), options.samples, [OURS, *PEERS])
    publish(text, options.report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
