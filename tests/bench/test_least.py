"""The bounds on waits: true of every policy, and exact where that can be worked out by hand."""

import pytest

from bench.scheduling.cells import Setup, measure
from bench.scheduling.engine_model import Rates
from bench.scheduling.least import bounded, least
from bench.scheduling.scenarios import workload
from bench.scheduling.workload import Cell, Request, Workload, devices, models

# An answer of n tokens takes n seconds, alone or not, and a full batch costs no less for each.
PLAIN = Rates(step=1.0, sequence=0.0, prefill=0.0)


def _work(*requests: tuple[float, int, int], gpus: int = 1) -> Workload:
    """Of (arrival, model, seconds)."""
    made = [
        Request(str(i), f"model-{model:02}", "user", arrival, 0, seconds)
        for i, (arrival, model, seconds) in enumerate(requests)
    ]
    return Workload(made, models(4), devices(gpus), 3.0, PLAIN)


def test_models_are_computed_one_after_the_other_with_loads_between() -> None:
    # 4 + 3 + 2 + 3 + 2 seconds; the last to end ran for at most 4 of them.
    found = least(_work((0.0, 0, 4), (0.0, 1, 2), (0.0, 2, 2)))
    assert found.longest == pytest.approx(4 + 3 + 2 + 3 + 2 - 4)


def test_a_batch_of_one_model_bounds_nothing() -> None:
    assert least(_work(*((0.0, 0, 4) for _ in range(9)))).longest == 0.0


def test_the_percentile_leaves_out_one_in_a_hundred() -> None:
    # Of 300 requests for two models three may wait: of the second model there are just three.
    crowd = [(0.0, 0, 4)] * 297
    few = least(_work(*crowd, *[(0.0, 1, 4)] * 3))
    more = least(_work(*crowd, *[(0.0, 1, 4)] * 5))
    assert few.longest > 0.0 and few.p99 == 0.0
    assert more.p99 > 0.0


def test_the_argument_is_for_one_gpu_and_one_model_at_a_time() -> None:
    assert bounded(_work((0.0, 0, 4)))
    assert not bounded(_work((0.0, 0, 4), gpus=2))
    assert not bounded(workload(Cell("pairs", 1, 3.0, 0), Rates(), 0.01))


@pytest.mark.parametrize("name", ["ours", "slices", "rr-gated", "longest-queue"])
def test_no_policy_goes_below_the_bounds(name: str) -> None:
    cell, setup = Cell("market", 1, 30.0, 0), Setup(scale=0.1)
    bound = least(workload(cell, setup.rates, setup.scale))
    found, _ = measure(cell, name, setup)
    assert bound.longest > 100.0
    assert found["wait_max"] >= bound.longest
    assert found["wait_p99"] >= bound.p99
