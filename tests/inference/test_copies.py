"""The laws of models with several copies: whom a further one is for, and who it may not harm."""

import pytest

from inference.decisions import Limits
from inference.devices import Device
from inference.scheduler import Scheduler
from tests.inference.scheduling import GIB, ask, model, settle


def twins(count: int, **more: object) -> Scheduler:
    """Two devices and a model for both, of which one copy is there and does `count` requests."""
    devices = [Device(str(i), "cuda", "test", 10 * GIB, 10 * GIB) for i in range(2)]
    s = Scheduler(devices, Limits())
    s.set_models([model("a", max_num_seqs=count, replicas=2, **more)])
    for i in range(count):
        ask(s, "a", f"runs-{i}")
    settle(s, 0.0)
    return s


@pytest.mark.parametrize(("asked", "loads"), [(4, 0), (7, 0), (8, 1)])
def test_a_further_copy_comes_for_those_who_are_left_after_the_grants(
    asked: int, loads: int
) -> None:
    s = twins(4)
    for i in range(4):
        s.finish(f"runs-{i}", 1.0)
    for i in range(asked):
        ask(s, "a", str(i), now=2.0)
    decision = s.schedule(2.0)
    assert len(decision.grants) == 4
    assert len(decision.loads) == loads


def test_places_of_a_copy_that_is_to_go_are_nobodys() -> None:
    s = twins(4)
    s.finish("runs-0", 1.0)
    s.retire("a")
    for i in range(4):
        ask(s, "a", str(i), now=2.0)
    decision = s.schedule(2.0)
    assert not decision.grants
    assert len(decision.loads) == 1
