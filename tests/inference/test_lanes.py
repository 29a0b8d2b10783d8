"""The laws of the two lanes: people first, and work of the batch lane not for ever behind them."""

import pytest

from inference.decisions import Limits, Ticket
from inference.requests import Lane
from inference.scheduler import Scheduler
from inference.state import BATCH_SHARE
from tests.inference.scheduling import ask, model, scheduler, settle, step

W = 100.0


def leave(s: Scheduler, name: str, request: str, now: float) -> None:
    """Work for the batch lane; its answers can be resumed."""
    s.submit(Ticket(request, name, "owl", now, lane=Lane.BATCH, preemptable=True), now)


def known(s: Scheduler, *names: str) -> None:
    """Loads of 1 s and answers of 4 s have been measured."""
    for number, name in enumerate(names):
        now = -100.0 + 10.0 * number
        ask(s, name, f"known-{name}", now=now)
        while not s.running:
            decision = s.schedule(now)
            s.apply(decision, now)
            for replica in decision.evictions:
                s.stopped(replica, now)
            for load in decision.loads:
                s.loaded(load.replica, now + 1.0)
        s.finish(f"known-{name}", now + 4.0)


def test_people_do_not_wait_behind_a_backlog_of_aged_batch_work() -> None:
    s = scheduler(model("a", max_num_seqs=1), limits=Limits(wait=W))
    for i in range(40):
        leave(s, "a", f"old-{i}", 0.0)
    settle(s, 0.0)
    # Nobody else is there, so the lane has all of the time, which is more than its share.
    for i in range(20):
        s.finish(f"old-{i}", 10.0 * (i + 1))
        settle(s, 10.0 * (i + 1))
    ask(s, "a", "person-0", now=201.0)
    s.finish("old-20", 210.0)
    settle(s, 210.0)
    assert s.running.keys() == {"person-0"}
    ask(s, "a", "person-1", now=211.0)
    s.finish("person-0", 212.0)
    settle(s, 212.0)
    assert s.running.keys() == {"person-1"}


def test_aged_batch_work_comes_before_people_when_its_lane_is_due() -> None:
    s = scheduler(model("a", max_num_seqs=1), limits=Limits(wait=W))
    for i in range(3):
        leave(s, "a", f"old-{i}", 0.0)
    settle(s, 0.0)
    s.finish("old-0", 10.0)
    ask(s, "a", "person-0", now=10.0)
    settle(s, 10.0)
    assert s.running.keys() == {"person-0"}
    due = max(W, 10.0 + 10.0 / BATCH_SHARE) + 1.0
    ask(s, "a", "person-1", now=due)
    s.finish("person-0", due)
    settle(s, due)
    assert s.running.keys() == {"old-1"}


def test_whatever_the_lane_has_had_it_is_due_again_at_a_moment_that_is_told() -> None:
    s = scheduler(model("a", max_num_seqs=1), limits=Limits(wait=W))
    for i in range(2):
        leave(s, "a", f"old-{i}", 0.0)
    settle(s, 0.0)
    ask(s, "a", "person", now=200.0)
    s.finish("old-0", 200.0)
    settle(s, 200.0)
    assert s.next_change(200.0) == 200.0 / BATCH_SHARE


def test_people_stand_before_the_batch_lane() -> None:
    s = scheduler(model("a", max_num_seqs=1))
    ask(s, "a", "runs")
    settle(s, 0.0)
    leave(s, "a", "old", 0.0)
    ask(s, "a", "person", now=1_500.0)
    assert (s.position("person"), s.position("old")) == (1, 2)


def test_no_time_is_told_to_the_batch_lane_for_nobody_knows_it() -> None:
    s = scheduler(model("a", max_num_seqs=1))
    known(s, "a")
    ask(s, "a", "runs")
    settle(s, 0.0)
    leave(s, "a", "old", 0.0)
    assert s.eta("old", 1.0) is None
    ask(s, "a", "person", now=1.0)
    assert s.eta("person", 1.0) is not None


def test_batch_answers_are_stopped_for_one_person() -> None:
    s = scheduler(model("a"), model("b"), limits=Limits(wait=W))
    known(s, "a", "b")
    for i in range(9):
        leave(s, "b", f"work-{i}", 0.0)
    settle(s, 0.0)
    ask(s, "a", "person", now=50.0)
    s.apply(s.schedule(50.0), 50.0)
    assert len(s.schedule(50.0).preemptions) == 9


def test_people_are_not_stopped_for_work_of_the_batch_lane() -> None:
    s = scheduler(model("a"), model("b"), limits=Limits(wait=W))
    known(s, "b", "a")
    s.submit(Ticket("person", "a", "alice", 0.0, preemptable=True), 0.0)
    settle(s, 0.0)
    for i in range(9):
        leave(s, "b", f"work-{i}", 1.0)
    settle(s, 60.0)
    assert s.running.keys() == {"person"}
    # Nor do others who come meanwhile wait behind it.
    ask(s, "a", "another", now=61.0)
    settle(s, 61.0)
    assert s.running.keys() == {"person", "another"}


@pytest.mark.parametrize("beside", [False, True])
def test_batch_work_keeps_its_place_for_some_loads_when_people_come(beside: bool) -> None:
    """Also where people wait for the same model, because batch work fills it."""
    s = scheduler(model("a"), model("b", max_num_seqs=32), limits=Limits(wait=W))
    known(s, "b", "a")
    for i in range(40):
        leave(s, "b", f"work-{i}", 0.0)
    settle(s, 0.0)
    if beside:
        ask(s, "b", "beside", now=1.0, account="bob")
    ask(s, "a", "person", now=1.0, account="bob")
    step(s, 1.0)
    assert s.waiting("b") - s.people_waiting("b") > 0
    assert not any(r.closing for r in s.ready())
    # Longer than the two mean answers that people have.
    step(s, 9.5)
    assert not any(r.closing for r in s.ready())
    step(s, 10.0)
    assert any(r.closing for r in s.ready())


def test_batch_work_behind_a_full_batch_of_people_does_not_shorten_their_turn() -> None:
    s = scheduler(model("a"), model("b", max_num_seqs=4), limits=Limits(wait=1_000.0))
    known(s, "b", "a")
    for i in range(8):
        ask(s, "b", f"beside-{i}", now=0.0, account=f"user-{i}")
    leave(s, "b", "work", 0.0)
    settle(s, 0.0)
    ask(s, "a", "person", now=1.0, account="bob")
    # Long after the time that work of the batch lane is given, and before the ceiling.
    step(s, 300.0)
    assert not any(r.closing for r in s.ready())
