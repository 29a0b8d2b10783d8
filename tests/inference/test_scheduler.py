"""The scheduler's laws. No clock, no sleep: time is an argument."""

import pytest

from inference.admission import MAX_FAILURES
from inference.decisions import Limits, Load, Model, Ticket
from inference.devices import Device
from inference.errors import AccountQueueFull, ModelUnavailable, QueueFull, WaitTooLong
from inference.replica import ReplicaState
from inference.requests import Lane
from inference.scheduler import Scheduler
from inference.sizing import Need

GIB = 2**30


def scheduler(*models: Model, memory: int = 10, limits: Limits | None = None) -> Scheduler:
    """One device of `memory` GiB and these models."""
    made = Scheduler([Device("0", "cuda", "test", memory * GIB, memory * GIB)], limits or Limits())
    made.set_models(list(models))
    return made


def model(name: str, size: int = 6, **more: object) -> Model:
    return Model(name, Need(size * GIB, GIB), **more)  # type: ignore[arg-type]


def ask(s: Scheduler, name: str, request: str, now: float = 0.0, account: str = "alice") -> None:
    s.submit(Ticket(request, name, account, now), now)


def step(s: Scheduler, now: float) -> list[Load]:
    """Decide and apply; loads finish at once, evictions too."""
    decision = s.schedule(now)
    s.apply(decision, now)
    for load in decision.loads:
        s.loaded(load.replica, now)
    for replica in decision.evictions:
        s.stopped(replica, now)
    return list(decision.loads)


def settle(s: Scheduler, now: float) -> None:
    while s.schedule(now):
        step(s, now)


def resident(s: Scheduler) -> set[str]:
    return {r.model for r in s.replicas.values()}


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


def test_closing_replica_takes_nothing_new_and_opens_when_nobody_else_waits() -> None:
    s = scheduler(model("a"), model("b"))
    ask(s, "a", "1")
    settle(s, 0.0)
    ask(s, "b", "2", now=50.0)
    settle(s, 50.0)
    ask(s, "a", "3", now=60.0)
    settle(s, 60.0)
    assert s.running.keys() == {"1"}
    assert [r.closing for r in s.replicas.values()] == [True]
    s.cancel("2", 70.0)
    settle(s, 70.0)
    assert s.running.keys() == {"1", "3"}
    assert [r.closing for r in s.replicas.values()] == [False]


def test_full_batch_is_not_closed_before_the_slice_ends() -> None:
    s = scheduler(model("a", max_num_seqs=1), model("b"), limits=Limits(slice=100.0))
    ask(s, "a", "1")
    settle(s, 0.0)
    ask(s, "b", "2", now=50.0)
    for i, now in enumerate((60.0, 149.0)):
        ask(s, "a", f"a{i}", now=now)
        s.finish(next(iter(s.running)), now)
        settle(s, now)
        assert s.running.keys() == {f"a{i}"}
    # The slice counts from when others began to wait.
    ask(s, "a", "late", now=151.0)
    s.finish("a1", 151.0)
    settle(s, 151.0)
    assert s.running.keys() == {"2"}


def test_drain_is_capped() -> None:
    s = scheduler(model("a"), model("b"), limits=Limits(drain=10.0))
    s.submit(Ticket("1", "a", "alice", 0.0, preemptable=True), 0.0)
    settle(s, 0.0)
    ask(s, "b", "2", now=1.0)
    settle(s, 1.0)
    assert s.next_change(1.0) == pytest.approx(10.0)
    decision = s.schedule(11.0)
    assert decision.preemptions == ("1",)
    s.preempted("1", 11.0, generated=7)
    settle(s, 11.0)
    assert s.running.keys() == {"2"}
    again = next(iter(s.queues["a"].values()))
    # What it ran for does not count as its wait.
    assert (again.generated, again.preempted, again.queued_at) == (7, 1, 11.0)


def test_last_answers_make_room_for_many_who_wait() -> None:
    s = scheduler(model("a"), model("b"))
    for i, name in enumerate(("a", "b")):
        ask(s, name, f"known-{name}", now=float(i))
        settle(s, float(i))
        s.finish(f"known-{name}", i + 0.5, tokens=10)
    s.submit(Ticket("1", "b", "alice", 3.0, preemptable=True), 3.0)
    settle(s, 3.0)
    for i in range(9):
        ask(s, "a", f"many-{i}", now=10.0)
    settle_closing = s.schedule(10.0)
    assert settle_closing.closings
    s.apply(settle_closing, 10.0)
    assert s.schedule(10.0).preemptions == ("1",)


def test_who_cannot_be_resumed_is_not_stopped_for_the_sake_of_speed() -> None:
    s = scheduler(model("a"), model("b"))
    for i, name in enumerate(("a", "b")):
        ask(s, name, f"known-{name}", now=float(i))
        settle(s, float(i))
        s.finish(f"known-{name}", i + 0.5, tokens=10)
    ask(s, "b", "1", now=3.0)
    settle(s, 3.0)
    for i in range(9):
        ask(s, "a", f"many-{i}", now=10.0)
    s.apply(s.schedule(10.0), 10.0)
    assert not s.schedule(10.0).preemptions


def test_nobody_waits_longer_than_the_bound() -> None:
    s = scheduler(model("a", max_num_seqs=1), limits=Limits(wait=100.0))
    ask(s, "a", "1")
    settle(s, 0.0)
    ask(s, "a", "2", now=5.0)
    assert not s.schedule(104.0).refusals
    assert s.next_change(104.0) == pytest.approx(1.0)
    decision = s.schedule(105.0)
    assert decision.refusals == ("2",)
    s.apply(decision, 105.0)
    assert s.waiting() == 0


def test_who_would_wait_longer_than_the_bound_is_refused_at_once() -> None:
    s = scheduler(model("a", max_num_seqs=1), limits=Limits(wait=100.0))
    ask(s, "a", "known")
    settle(s, 0.0)
    s.finish("known", 30.0, tokens=10)
    for i in range(3):
        ask(s, "a", str(i), now=30.0)
        settle(s, 30.0)
    with pytest.raises(WaitTooLong) as refusal:
        ask(s, "a", "one too many", now=30.0)
    assert 1 <= refusal.value.retry_after <= 120


def test_switches_are_charged_to_those_who_ask_for_them() -> None:
    s = scheduler(model("a"), model("b"), model("c", 2))
    # Somebody else uses the machine as well: what nobody else wants costs nothing.
    ask(s, "c", "long", account="charlie")
    settle(s, 0.0)
    now = 0.0
    for i in range(4):
        ask(s, "ab"[i % 2], f"switch-{i}", now=now, account="adversary")
        while decision := s.schedule(now):
            s.apply(decision, now)
            for replica in decision.evictions:
                s.stopped(replica, now)
            if decision.loads:
                now += 30.0
            for load in decision.loads:
                s.loaded(load.replica, now)
        s.finish(f"switch-{i}", now, tokens=1)
    assert s.fairness.accounts["adversary"].clock > now + 30.0
    # Somebody else who asks at the same time, even a little later, comes first.
    ask(s, "a", "fifth", now=now, account="adversary")
    ask(s, "a", "sixth", now=now, account="adversary")
    ask(s, "a", "other", now=now + 1.0, account="bob")
    assert s.position("other") == 2


def test_another_copy_comes_for_a_long_queue_where_there_is_room() -> None:
    s = scheduler(model("a", 4, max_num_seqs=2, replicas=2), model("b", 4))
    for i in range(5):
        ask(s, "a", str(i))
    settle(s, 0.0)
    assert sorted(len(r.leases) for r in s.replicas.values()) == [2, 2]


def test_another_copy_takes_nobodys_place_and_gives_way_first() -> None:
    s = scheduler(model("a", 4, max_num_seqs=1, replicas=2), model("b", 4))
    ask(s, "b", "b0")
    for i in range(3):
        ask(s, "a", f"a{i}")
    settle(s, 0.0)
    assert [r.model for r in s.replicas.values()].count("a") == 1


def test_same_prefix_meets_in_the_same_copy() -> None:
    s = scheduler(model("a", 4, max_num_seqs=4, replicas=2))
    for i in range(9):
        ask(s, "a", str(i))
    settle(s, 0.0)
    for request in list(s.running):
        s.finish(request, 1.0)
    settle(s, 1.0)
    for request in list(s.running):
        s.finish(request, 2.0)
    homes = set()
    for i in range(4):
        s.submit(Ticket(f"p{i}", "a", "alice", 3.0 + i, prefix=77), 3.0 + i)
        settle(s, 3.0 + i)
        homes.add(s.running[f"p{i}"].replica)
        s.finish(f"p{i}", 3.5 + i)
    assert len(homes) == 1


def test_evicted_models_sleep_while_the_machine_has_room_for_their_weights() -> None:
    limits = Limits(host_bytes=10)
    models = [model(name, sleep_bytes=6) for name in "abc"]
    s = scheduler(*models, limits=limits)

    def served(name: str, now: float) -> None:
        ask(s, name, f"{name}-{now}", now=now)
        while decision := s.schedule(now):
            s.apply(decision, now)
            for load in decision.loads:
                s.loaded(load.replica, now)
            for replica in decision.wakes:
                s.loaded(replica, now)
            for replica in decision.evictions:
                s.stopped(replica, now)
            for replica in decision.sleeps:
                s.slept(replica)
        s.finish(f"{name}-{now}", now)

    served("a", 1.0)
    served("b", 2.0)
    states = {r.model: r.state for r in s.replicas.values()}
    assert states == {"a": ReplicaState.SLEEPING, "b": ReplicaState.READY}
    served("a", 3.0)
    states = {r.model: r.state for r in s.replicas.values()}
    assert states["a"] is ReplicaState.READY
    served("c", 4.0)
    asleep = [r.model for r in s.replicas.values() if r.state is ReplicaState.SLEEPING]
    assert len(asleep) == 1
    assert sum(r.host_bytes for r in s.replicas.values()) <= limits.host_bytes


def test_unused_models_are_unloaded_after_the_idle_time_unless_wished_for() -> None:
    s = scheduler(model("a", 4), model("b", 4, wish="pin"), limits=Limits(idle=60.0))
    ask(s, "a", "1")
    settle(s, 0.0)
    s.finish("1", 10.0)
    settle(s, 69.0)
    assert resident(s) == {"a", "b"}
    settle(s, 70.0)
    assert resident(s) == {"b"}


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
