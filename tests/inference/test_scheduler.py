"""The scheduler's laws. No clock, no sleep: time is an argument."""

import pytest

from inference.admission import MAX_FAILURES
from inference.decisions import Limits, Ticket
from inference.errors import AccountQueueFull, ModelUnavailable, QueueFull
from inference.replica import ReplicaState
from inference.requests import Lane
from inference.scheduler import Scheduler
from tests.inference.scheduling import ask, model, resident, scheduler, settle, step


def test_first_request_loads_its_model_and_is_granted() -> None:
    s = scheduler(model("a"))
    ask(s, "a", "1")
    settle(s, 1.0)
    assert s.running.keys() == {"1"}
    assert s.waiting() == 0


def test_schedule_twice_changes_nothing() -> None:
    s = scheduler(model("a"), model("b", 3))
    ask(s, "a", "1")
    ask(s, "b", "2")
    first = s.schedule(1.0)
    assert first == s.schedule(1.0)
    assert first.loads
    assert not s.replicas


def test_all_queued_requests_are_granted_together_up_to_the_batch_size() -> None:
    s = scheduler(model("a", max_num_seqs=3))
    for i in range(5):
        ask(s, "a", str(i), now=float(i))
    settle(s, 9.0)
    assert s.running.keys() == {"0", "1", "2"}
    s.finish("1", 10.0)
    settle(s, 10.0)
    assert "3" in s.running


def test_models_stay_side_by_side_while_they_fit() -> None:
    s = scheduler(model("a", 4), model("b", 4))
    ask(s, "a", "1")
    ask(s, "b", "2")
    settle(s, 0.0)
    assert resident(s) == {"a", "b"}


def test_busy_replica_is_never_evicted() -> None:
    s = scheduler(model("a"), model("b"))
    ask(s, "a", "1")
    settle(s, 0.0)
    ask(s, "b", "2", now=1.0)
    settle(s, 900.0)
    assert resident(s) == {"a"}
    s.finish("1", 901.0)
    settle(s, 901.0)
    assert s.running.keys() == {"2"}


def test_idle_replica_gives_way_at_once_when_nobody_waits_for_it() -> None:
    s = scheduler(model("a"), model("b"))
    ask(s, "a", "1")
    settle(s, 0.0)
    s.finish("1", 1.0)
    ask(s, "b", "2", now=2.0)
    settle(s, 2.0)
    assert resident(s) == {"b"}


def test_pinned_replica_never_leaves() -> None:
    s = scheduler(model("a", wish="pin"), model("b", 4), model("c", 4))
    settle(s, 0.0)
    assert resident(s) == {"a"}
    ask(s, "b", "1", now=1.0)
    settle(s, 1.0)
    s.finish("1", 2.0)
    ask(s, "c", "2", now=3.0)
    settle(s, 3.0)
    assert resident(s) == {"a", "c"}


def test_no_model_starves_while_another_is_kept_busy_by_newcomers() -> None:
    s = scheduler(model("a", max_num_seqs=2), model("b"), limits=Limits(slice=100.0))
    ask(s, "a", "a0")
    settle(s, 0.0)
    ask(s, "b", "b0", now=1.0)
    served_at = None
    for tick in range(1, 400):
        now = float(tick)
        ask(s, "a", f"a{tick}", now=now)
        for request in list(s.running):
            if request.startswith("a") and int(request[1:]) < tick - 3:
                s.finish(request, now)
        settle(s, now)
        if "b0" in s.running:
            served_at = now
            break
    assert served_at is not None
    assert served_at <= 100.0 + 10.0


def test_turn_goes_on_while_nobody_else_waits() -> None:
    s = scheduler(model("a"), model("b"), limits=Limits(slice=100.0))
    ask(s, "a", "1")
    settle(s, 0.0)
    ask(s, "a", "2", now=5_000.0)
    settle(s, 5_000.0)
    assert s.running.keys() == {"1", "2"}


def test_memory_of_a_stopping_replica_is_free_for_choosing_but_not_for_loading() -> None:
    s = scheduler(model("a"), model("b"), model("c"))
    ask(s, "a", "1")
    settle(s, 0.0)
    s.finish("1", 1.0)
    ask(s, "b", "2", now=2.0)
    decision = s.schedule(2.0)
    s.apply(decision, 2.0)
    assert decision.evictions
    assert not decision.loads
    assert not s.schedule(2.0)  # neither a load nor another eviction until it is gone
    s.stopped(decision.evictions[0], 0.0)
    assert [load.model for load in s.schedule(3.0).loads] == ["b"]


def test_failed_load_fails_exactly_the_requests_that_waited_for_it() -> None:
    s = scheduler(model("a", 4), model("b", 4))
    ask(s, "a", "1")
    ask(s, "b", "2")
    decision = s.schedule(0.0)
    s.apply(decision, 0.0)
    load = next(load for load in decision.loads if load.model == "a")
    assert s.load_failed(load.replica, "no", 0.0) == ["1"]
    assert s.waiting("b") == 1
    assert s.waiting("a") == 0


def test_failed_loads_are_tried_again_with_growing_pauses_then_refused() -> None:
    s = scheduler(model("a"))
    now = 0.0
    pauses = []
    for i in range(MAX_FAILURES):
        ask(s, "a", str(i), now=now)
        pause = 0.0 if s.schedule(now) else s.next_change(now) or 0.0
        pauses.append(round(pause))
        now += pause
        decision = s.schedule(now)
        s.apply(decision, now)
        s.load_failed(decision.loads[0].replica, "the disk is made of cheese", now)
    assert pauses == [0, 1, 2, 4, 8]
    with pytest.raises(ModelUnavailable, match="cheese"):
        ask(s, "a", "last", now=now)
    s.forgive("a")
    ask(s, "a", "again", now=now)
    assert s.schedule(now).loads


def test_crash_keeps_the_queue_and_loads_again() -> None:
    s = scheduler(model("a", max_num_seqs=1))
    ask(s, "a", "1")
    ask(s, "a", "2")
    settle(s, 0.0)
    s.crashed(s.running["1"].replica, "killed", 5.0)
    assert not s.running
    assert s.waiting("a") == 1
    settle(s, 5.0 + (s.next_change(5.0) or 0.0))
    assert s.running.keys() == {"2"}


def test_model_that_can_never_fit_is_refused_with_the_reason() -> None:
    s = scheduler(model("a", 20), model("p", 6, wish="pin"), model("b", 6))
    with pytest.raises(ModelUnavailable, match=r"needs 20\.0 GiB"):
        ask(s, "a", "1")
    settle(s, 0.0)
    with pytest.raises(ModelUnavailable, match="beside the pinned"):
        ask(s, "b", "2")


def test_queue_limits_are_typed() -> None:
    s = scheduler(model("a"), limits=Limits(queue=3, account_queue=2))
    ask(s, "a", "1")
    ask(s, "a", "2")
    with pytest.raises(AccountQueueFull):
        ask(s, "a", "3")
    ask(s, "a", "4", account="bob")
    with pytest.raises(QueueFull):
        ask(s, "a", "5", account="charlie")
    s.cancel("1", 4.0)
    ask(s, "a", "6", account="alice")


def test_batch_lane_waits_behind_the_interactive_one() -> None:
    s = scheduler(model("a", max_num_seqs=1))
    s.submit(Ticket("batch", "a", "bob", 0.0, lane=Lane.BATCH), 0.0)
    ask(s, "a", "now", now=1.0)
    settle(s, 1.0)
    assert s.running.keys() == {"now"}


def test_preload_takes_nobodys_place_and_a_wish_loads_without_requests() -> None:
    s = scheduler(model("a"), model("b", wish="preload"), model("c", 4, wish="preload"))
    ask(s, "a", "1")
    settle(s, 0.0)
    assert resident(s) == {"a", "c"}
    s.finish("1", 1.0)
    settle(s, 2.0)
    assert resident(s) == {"a", "c"}


def test_unload_drains_before_it_evicts() -> None:
    s = scheduler(model("a"))
    ask(s, "a", "1")
    settle(s, 0.0)
    s.retire("a")
    ask(s, "a", "2", now=1.0)
    settle(s, 1.0)
    assert s.running.keys() == {"1"}
    s.finish("1", 2.0)
    settle(s, 2.0)
    assert s.running.keys() == {"2"}
    assert [r.state for r in s.replicas.values()] == [ReplicaState.READY]


def test_position_counts_from_one_and_ends_with_the_grant() -> None:
    s = scheduler(model("a", max_num_seqs=1))
    for i in range(3):
        ask(s, "a", str(i), now=float(i))
    assert [s.position(str(i)) for i in range(3)] == [1, 2, 3]
    settle(s, 3.0)
    assert [s.position(str(i)) for i in range(3)] == [None, 1, 2]


def test_who_never_ran_says_nothing_of_how_long_answers_take() -> None:
    s = scheduler(model("a"))
    ask(s, "a", "1")
    settle(s, 0.0)
    s.finish("1", 8.0)
    ask(s, "a", "2", now=9.0)
    settle(s, 9.0)
    s.finish("2", 9.0, ran=False)
    assert s.estimates.of("a").hold.value == 8.0
    assert not s.running


def stopped(s: Scheduler, request: str, now: float, tokens: int) -> None:
    """It is stopped at this moment and goes on at the same."""
    s.preempted(request, now, tokens)
    settle(s, now)
    assert request in s.running


def test_the_speed_of_an_answer_that_was_stopped_is_that_of_its_last_turn() -> None:
    s = scheduler(model("a"))
    s.submit(Ticket("1", "a", "alice", 0.0, preemptable=True), 0.0)
    settle(s, 0.0)
    stopped(s, "1", 100.0, 1000)
    s.finish("1", 101.0, 1010)
    known = s.estimates.of("a")
    # Not 1,010 tokens in a second.
    assert (known.speed.value, known.hold.value, known.cost.value) == (10.0, 1.0, 1.0)


def test_what_fits_is_loaded_while_others_drain() -> None:
    s = scheduler(model("a"), model("b"), model("small", 3), limits=Limits(slice=10.0))
    ask(s, "a", "1")
    settle(s, 0.0)
    ask(s, "b", "2", now=1.0)
    step(s, 50.0)
    # `a` drains for `b`. `small` fits beside `a` now and beside `b` later.
    assert s.replicas[next(iter(s.running.values())).replica].closing
    ask(s, "small", "3", now=51.0)
    assert [load.model for load in step(s, 51.0)] == ["small"]
    s.finish("1", 60.0)
    settle(s, 60.0)
    assert resident(s) == {"b", "small"}


def test_nobody_loads_where_another_waits_for_the_room() -> None:
    s = scheduler(model("a"), model("b", 9), model("small", 3), limits=Limits(slice=10.0))
    ask(s, "a", "1")
    settle(s, 0.0)
    ask(s, "b", "2", now=1.0)
    step(s, 50.0)
    ask(s, "small", "3", now=51.0)
    assert not step(s, 51.0)
    s.finish("1", 60.0)
    settle(s, 60.0)
    assert resident(s) == {"b"}
