"""The laws of models with several copies: whom a further one is for, and who it may not harm."""

import pytest

from inference.admission import MAX_FAILURES
from inference.decisions import Limits, Model
from inference.devices import Device
from inference.errors import ModelUnavailable
from inference.replica import ReplicaState
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


def second_fails(s: Scheduler, now: float) -> float:
    """The next copy is tried as soon as may be, and does not start; when that was."""
    now += 0.0 if s.schedule(now).loads else s.next_change(now) or 0.0
    (load,) = s.schedule(now).loads
    s.apply(s.schedule(now), now)
    assert s.load_failed(load.replica, "this GPU is made of cheese", now) == []
    return now


def test_a_further_copy_that_does_not_start_fails_nobody_whom_another_serves() -> None:
    s = twins(1)
    now = 1.0
    ask(s, "a", "waits", now=now)
    tried = [now := second_fails(s, now) for _ in range(MAX_FAILURES + 1)]
    # It is tried again later and later.
    pauses = [round(b - a) for a, b in zip(tried, tried[1:], strict=False)]
    assert pauses == [1, 2, 4, 8, 60]
    # Whoever comes is let in, and the queue goes on.
    ask(s, "a", "comes", now=now)
    assert s.waiting() == 2
    for done, runs in (("runs-0", "waits"), ("waits", "comes")):
        s.finish(done, now)
        s.apply(s.schedule(now), now)
        assert s.running.keys() == {runs}


def test_nobody_is_refused_while_a_copy_is_on_its_way() -> None:
    s = twins(1)
    now = 1.0
    ask(s, "a", "waits", now=now)
    for _ in range(MAX_FAILURES - 1):
        now = second_fails(s, now)
    now += s.next_change(now) or 0.0
    s.apply(s.schedule(now), now)
    first, second = s.replicas.values()
    s.crashed(first.id, "killed", now)
    assert s.failures["a"].count == MAX_FAILURES and second.state is ReplicaState.LOADING
    ask(s, "a", "comes", now=now)
    # Once that does not start either, nobody serves them.
    assert s.load_failed(second.id, "no", now) == ["waits", "comes"]
    with pytest.raises(ModelUnavailable):
        ask(s, "a", "late", now=now)


def test_a_copy_that_is_to_go_serves_nobody_who_waits() -> None:
    s = twins(1)
    s.retire("a")
    ask(s, "a", "waits", now=1.0)
    (load,) = s.schedule(1.0).loads
    s.apply(s.schedule(1.0), 1.0)
    assert s.load_failed(load.replica, "no", 1.0) == ["waits"]


def test_a_copy_that_slept_is_woken_however_often_another_did_not_start() -> None:
    s = twins(1, sleep_bytes=1)
    s.limits = Limits(host_bytes=1)
    now = 1.0
    ask(s, "a", "waits", now=now)
    for _ in range(MAX_FAILURES):
        now = second_fails(s, now)
    (replica,) = s.replicas.values()
    s.set_models([*s.models.values(), Model("wide", model("wide").need)])
    s.cancel("waits", now)
    s.finish("runs-0", now)
    s.devices = s.devices[:1]
    ask(s, "wide", "other", now=now)
    decision = s.schedule(now)
    s.apply(decision, now)
    assert decision.sleeps == (replica.id,)
    s.slept(replica.id, now)
    ask(s, "a", "again", now=now)
    assert s.position("again") == 1


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
