"""The best policy without foresight: what it promises is what it gets, and others get less."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace

import numpy as np
import pytest

from bench.scheduling.cells import OURS, Setup, policy
from bench.scheduling.online import Best, Job, Law, as_workload, best, play
from bench.scheduling.simulator import simulate

LAW = Law(8, 3.0)


@pytest.fixture(scope="module")
def found() -> Best:
    return best(LAW)


def test_one_request_waits_for_its_load() -> None:
    assert best(Law(1, 3.0)).wait == pytest.approx(3.0, abs=0.01)


def test_the_expected_wait_is_what_playing_gives(found: Best) -> None:
    rng = random.Random(1)
    waits = [play(LAW, found, LAW.sample(rng)) for _ in range(3000)]
    error = statistics.stdev(waits) / len(waits) ** 0.5
    assert abs(statistics.fmean(waits) - found.wait) < 4 * error


def test_no_other_rule_waits_less(found: Best) -> None:
    """Neither going where most wait, nor staying until nobody does, which is nearly the best."""
    rng = random.Random(2)
    samples = [LAW.sample(rng) for _ in range(1000)]
    least = [play(LAW, found, jobs) for jobs in samples]
    here, first, second = np.indices(found.tail.shape)[1:]
    most = np.where(np.maximum(first, second) > here, np.where(first >= second, 1, 2), 0)
    empty = np.where((here == 0) & (first + second > 0), np.where(first >= second, 1, 2), 0)
    more = []
    for rule in (most, empty):
        # A load that has begun is ended: else two models would take turns at loading.
        rule[1:] = 0
        other = replace(found, choices=[], tail=rule.astype(np.uint8))
        longer = [play(LAW, other, jobs) - wait for jobs, wait in zip(samples, least, strict=True)]
        more.append(statistics.fmean(longer) / (statistics.stdev(longer) / len(longer) ** 0.5))
    # In standard errors.
    assert more[0] > 3 and more[1] > -3


def test_waits_are_those_that_one_counts_by_hand() -> None:
    """By a rule that leaves two and more for one elsewhere, and an empty model for any other."""
    leave = np.zeros((LAW.load + 1, 16, 16, 16), np.uint8)
    leave[0, 2:, 1:, :] = leave[0, 0, 1:, :] = 1
    jobs = [Job(0, 0, 2), Job(0, 0, 2), Job(0, 0, 2), Job(7, 1, 1)]
    # Three wait for the load, run for a step and are stopped; four wait for a load; three while the
    # one is answered and for another load. Then they have one step left.
    assert play(LAW, Best(0.0, [], leave), jobs) == 0.5 * (6 * 3 + 6 * 4 + 3 + 6 * 3)


def test_the_simulator_gets_the_same_requests() -> None:
    rng = random.Random(3)
    jobs = LAW.sample(rng)
    lives = simulate(as_workload(LAW, jobs, rng), policy(OURS, Setup().limits)).lives
    assert [life.computed for life in lives] == pytest.approx([job.steps * 0.5 for job in jobs])
