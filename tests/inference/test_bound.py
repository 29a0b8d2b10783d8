"""The bound W where it binds: scaled down with the run, in the cells that press it most."""

import sys
from collections import Counter
from collections.abc import Sequence

import pytest

from bench.scheduling.cells import Setup
from bench.scheduling.scenarios import workload
from bench.scheduling.simulator import End, Run, simulate
from bench.scheduling.workload import Cell
from inference import admission
from inference.decisions import Limits
from inference.devices import Device
from inference.scheduler import Scheduler

# Of an hour; the limits are as much of their usual values. Answers and loads are as long as ever.
SCALE = 0.4
WAIT = 1_200.0 * SCALE
ANY = sys.maxsize
LIMITS = Limits(queue=ANY, account_queue=ANY, wait=WAIT, slice=900.0 * SCALE, drain=60.0)
# As the dispatcher's timers: a moment late, so that no rounding makes them early.
LATE = 0.001


class Served(Scheduler):
    """Asked when the service would ask it."""

    __slots__ = ()

    def next_change(self, now: float) -> float | None:
        delay = Scheduler.next_change(self, now)
        return None if delay is None else delay + LATE


def served(devices: Sequence[Device]) -> Served:
    return Served(devices, LIMITS)


def run(scenario: str, switch: float) -> tuple[Run, Counter[End]]:
    work = workload(Cell(scenario, 1, switch, 0), Setup().rates, SCALE)
    done = simulate(work, served)
    return done, Counter(life.end for life in done.lives)


def given_up(ends: Counter[End]) -> float:
    """Of those who were let in, the part that was told no after W."""
    return ends[End.EXPIRED] / (ends.total() - ends[End.REFUSED])


@pytest.mark.parametrize("switch", [3.0, 30.0])
@pytest.mark.parametrize("scenario", ["overload", "market"])
def test_nobody_waits_beyond_the_bound_and_who_is_let_in_is_served(
    scenario: str, switch: float
) -> None:
    done, ends = run(scenario, switch)
    # Else the bound would not bind here.
    assert ends[End.REFUSED] > 0.05 * ends.total()
    waits = [life.wait for life in done.lives if life.end is End.SERVED]
    assert max(waits) <= WAIT + LATE
    assert given_up(ends) < 0.005


def test_without_the_door_many_would_be_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """So these cells can tell a door that works from one that stands open."""
    monkeypatch.setattr(admission, "expected", lambda *_: None)
    _, ends = run("market", 30.0)
    assert ends[End.REFUSED] == 0
    assert given_up(ends) > 0.1
