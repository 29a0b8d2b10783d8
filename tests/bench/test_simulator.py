"""The simulator loses nothing, repeats itself, and catches a policy that cheats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from bench.scheduling.cells import POLICIES, Setup, alone, measure, policy
from bench.scheduling.metrics import figures, jain
from bench.scheduling.peers_textbook import RoundRobin, RoundRobinGated
from bench.scheduling.scenarios import SCENARIOS, capacity, workload
from bench.scheduling.simulator import BrokenLaw, End, Run, Simulator, simulate
from bench.scheduling.workload import Cell, Request, Workload, devices, models
from inference.decisions import Decision, Grant, Load, Ticket
from inference.requests import Lane
from inference.scheduler import Scheduler

SHORT = Setup(scale=0.05)
Make = Callable[..., Any]


def run(cell: Cell, name: str) -> tuple[Workload, Run]:
    work = workload(cell, SHORT.rates, SHORT.scale)
    return work, simulate(work, policy(name, SHORT.limits))


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "no-switch"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_request_ends_once_and_every_token_is_made(scenario: str, name: str) -> None:
    work, done = run(Cell(scenario, 2, 3.0, 0), name)
    assert [life.request for life in done.lives] == list(work.requests)
    for life in done.lives:
        if life.end is End.SERVED:
            assert life.generated == life.request.answer
            assert life.request.arrival <= life.granted < life.finished <= done.end
        else:
            assert name == "ours"


@pytest.mark.parametrize("name", POLICIES)
def test_the_same_cell_gives_the_same_figures(name: str) -> None:
    cell = Cell("pairs", 2, 3.0, 1)
    one, other = (measure(cell, name, SHORT)[0] for _ in range(2))
    clocked = ("decision_ms", "decision_max_ms")
    kept = [{k: v for k, v in f.items() if k not in clocked and v == v} for f in (one, other)]
    assert kept[0] == kept[1]


def test_cells_that_differ_in_the_switch_have_the_same_requests() -> None:
    quick, slow = (workload(Cell("campus", 1, s, 0), SHORT.rates, 0.05) for s in (0.3, 30.0))
    assert quick.requests == slow.requests
    assert quick.requests != workload(Cell("campus", 1, 0.3, 1), SHORT.rates, 0.05).requests


@pytest.mark.parametrize("scenario", ["market", "burst", "adversary"])
def test_what_is_asked_for_is_less_than_the_machine_can_do(scenario: str) -> None:
    work = workload(Cell(scenario, 1, 0.3, 0), SHORT.rates, 1.0)
    assert len(work.requests) < 0.7 * capacity(SHORT.rates) * 3600


def test_the_hot_model_alone_is_more_than_a_gpu_can_do() -> None:
    work = workload(Cell("overload", 1, 0.3, 0), SHORT.rates, 1.0)
    hot = [r for r in work.requests if r.model == "model-00"]
    seconds = sum(SHORT.rates.in_full_batch(r.prompt, r.answer, 32) for r in hot)
    assert seconds == pytest.approx(1.1 * 3600, rel=0.1)


def one(number: int, model: int, arrival: float, answer: int = 10, **other: Any) -> Request:
    return Request(str(number), f"model-{model:02}", f"u{number}", arrival, 100, answer, **other)


def small(*requests: Request, gpus: int = 1, switch: float = 5.0, fit: int = 1) -> Workload:
    return Workload(requests, models(3, side_by_side=fit), devices(gpus), switch, SHORT.rates)


def test_a_wait_is_the_load_and_not_the_computing() -> None:
    done = simulate(small(one(0, 0, 1.0)), RoundRobin)
    assert done.lives[0].wait == pytest.approx(5.0)
    assert done.lives[0].computed == pytest.approx(SHORT.rates.alone(100, 10))


def test_models_that_fit_side_by_side_share_the_device() -> None:
    work = small(one(0, 0, 0.0, 100), one(1, 1, 0.0, 100), fit=2)
    done = simulate(work, RoundRobin)
    assert [life.wait for life in done.lives] == pytest.approx([5.0, 5.0])
    assert [x.computed for x in done.lives] == pytest.approx([2 * SHORT.rates.alone(100, 100)] * 2)


class Impatient(RoundRobin):
    """Stops the first answer once, half a second after its start."""

    def next_change(self, now: float) -> float | None:
        return 0.5 if "0" in self.running else None

    def schedule(self, now: float) -> Decision:
        if "0" in self.running and now >= 5.5 and "1" in self.tickets and not self.stopped_once:
            return Decision(preemptions=("0",))
        return super().schedule(now)

    stopped_once = False

    def preempted(self, request_id: str, now: float, generated: int) -> None:
        self.stopped_once, self.generated = True, generated
        ticket = self.tickets[request_id]
        super().finish(request_id, now, generated)
        self.submit(ticket, now)


def test_a_preempted_request_keeps_its_tokens_and_pays_its_prefill_again() -> None:
    work = small(one(0, 0, 0.0, 100), one(1, 1, 0.0, 10))
    policies: list[Impatient] = []

    def make(devices: Sequence[Any]) -> Impatient:
        policies.append(Impatient(devices))
        return policies[0]

    life = simulate(work, make).lives[0]
    assert life.preempted == 1 and life.generated == 100
    assert 10 < policies[0].generated < 17
    assert life.prefilled == 200 + policies[0].generated
    again = SHORT.rates.prefill * (100 + policies[0].generated)
    # Half a token's time may be lost where it was stopped.
    assert life.computed == pytest.approx(SHORT.rates.alone(100, 100) + again, abs=0.031)


def test_a_request_that_cannot_resume_ends_where_it_is_stopped() -> None:
    work = small(one(0, 0, 0.0, 100, preemptable=False), one(1, 1, 0.0, 10))
    lives = simulate(work, Impatient).lives
    assert lives[0].end is End.CUT and math.isnan(lives[0].finished)
    assert lives[1].end is End.SERVED


class Cheat(RoundRobin):
    """Does one forbidden thing."""

    what = Decision()

    def schedule(self, now: float) -> Decision:
        return self.what if now > 5.0 else super().schedule(now)

    def apply(self, decision: Decision, now: float) -> None:
        if decision is not self.what:
            super().apply(decision, now)


NEED = models(1)[0].need


@pytest.mark.parametrize(
    "what",
    [
        Decision(evictions=(1,)),
        Decision(loads=(Load(2, "model-01", ("0",), NEED),)),
        Decision(grants=(Grant("1", 1),)),
        Decision(grants=(Grant("0", 1),)),
        Decision(sleeps=(1,)),
    ],
    ids=["evicts a busy replica", "no memory", "wrong model", "runs already", "sleeps"],
)
def test_a_policy_that_breaks_a_law_is_caught(what: Decision) -> None:
    class Now(Cheat):
        pass

    Now.what = what
    with pytest.raises(BrokenLaw):
        simulate(small(one(0, 0, 0.0, 100), one(1, 1, 5.5)), Now)


def test_a_policy_that_forgets_somebody_is_caught() -> None:
    class Forgets(RoundRobin):
        def submit(self, ticket: Ticket, now: float) -> None:
            if ticket.request_id != "1":
                super().submit(ticket, now)

    with pytest.raises(BrokenLaw, match="never served"):
        simulate(small(one(0, 0, 0.0), one(1, 0, 1.0)), Forgets)


def test_refused_requests_are_counted_and_cost_their_user_everything() -> None:
    work = small(*(one(n, n % 3, 0.1 * n) for n in range(12)))
    limits = replace(SHORT.limits, queue=4)
    found = Simulator(work, Scheduler(work.devices, limits)).run()
    figured = figures(work, found, alone(work), 1200.0)
    assert figured["refused"] > 0
    assert figured["counted_p99"] == 1200.0 > figured["wait_p99"]


def test_the_batch_lane_has_its_own_waits() -> None:
    work = small(one(0, 0, 0.0), one(1, 1, 0.0, lane=Lane.BATCH))
    done = simulate(work, RoundRobinGated)
    figured = figures(work, done, alone(work), 1200.0)
    assert figured["wait_max"] == pytest.approx(5.0) and figured["batch_wait_max"] > 10.0


def test_jains_index() -> None:
    assert jain([0.5, 0.5, 0.5]) == pytest.approx(1.0)
    assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert jain([0.0]) == 0.0


def test_alone_a_user_has_the_machine() -> None:
    work = small(*(one(n, n % 3, 0.0) for n in range(3)))
    assert list(alone(work).values()) == pytest.approx([5.0 + SHORT.rates.alone(100, 10)] * 3)
