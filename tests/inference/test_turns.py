"""The laws of turns, the bound on the wait, fair share, copies and sleep."""

import pytest

from inference import planning, turns
from inference.decisions import Limits, Ticket
from inference.devices import Device
from inference.errors import WaitTooLong
from inference.fairness import FairShare
from inference.replica import Replica, ReplicaState
from inference.scheduler import Scheduler
from inference.state import State
from inference.turns import overdrawn
from tests.inference.scheduling import GIB, ask, model, resident, scheduler, settle, step


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


def test_whom_a_turn_left_behind_comes_after_all_that_waited_at_its_end() -> None:
    """However long it waits: else a queue that grows takes every turn, and each serves a few."""
    limits = Limits(wait=1_000.0, slice=100.0)
    s = scheduler(model("a", max_num_seqs=1), model("b"), model("c"), limits=limits)
    for i in range(5):
        ask(s, "a", f"a{i}", account=f"user{i}")
    settle(s, 0.0)
    ask(s, "b", "b", now=50.0)
    ask(s, "c", "c", now=60.0)
    settle(s, 60.0)
    assert s.running.keys() == {"a0"}
    # The slice is over, and those of `a` have waited longest.
    s.finish("a0", 151.0)
    settle(s, 151.0)
    assert s.running.keys() == {"b"}
    assert [name for name, _ in s.upcoming(151.0)] == ["c", "a"]
    # Who comes after its end comes after it.
    s.finish("b", 165.0)
    settle(s, 165.0)
    ask(s, "b", "late", now=166.0)
    settle(s, 166.0)
    assert s.running.keys() == {"c"}
    s.finish("c", 170.0)
    settle(s, 170.0)
    assert s.running.keys() == {"a1"}


@pytest.mark.parametrize(("asked", "at", "runs"), [(8, 84.0, "a7"), (7, 84.0, "b"), (9, 96.0, "b")])
def test_who_would_be_late_in_the_next_turn_is_let_in_past_the_ceiling(
    asked: int, at: float, runs: str
) -> None:
    """Left behind, they would cut short the turns of all others. Others must not be late for it."""
    s = scheduler(model("a", max_num_seqs=1), model("b"), limits=Limits(wait=100.0, slice=1_000.0))
    for i in range(asked):
        ask(s, "a", f"a{i}", account=f"user{i}")
    settle(s, 0.0)
    ask(s, "b", "b", now=10.0, account="somebody")
    ask(s, "a", "newcomer", now=60.0, account="another")
    # `b` has waited for 0.8 W at 90 and for 0.95 W at 105; before it come 12 seconds of drain.
    for i, now in enumerate(range(12, round(at) + 1, 12)):
        s.finish(f"a{i}", float(now))
        settle(s, float(now))
    assert s.running.keys() == {runs}


def test_models_that_were_never_loaded_are_planned_for_like_the_others() -> None:
    """Else the first turn takes the time of the first round, and the last of it are told no."""
    s = scheduler(*(model(name) for name in "abcd"), limits=Limits(wait=1_000.0, slice=2_000.0))
    for name in "abcd":
        ask(s, name, name, account=name)
    (load,) = s.schedule(0.0).loads
    s.apply(s.schedule(0.0), 0.0)
    s.loaded(load.replica, 30.0)
    settle(s, 30.0)
    ask(s, "a", "long", now=30.0, account="somebody")
    settle(s, 30.0)
    s.finish("a", 40.0, tokens=10)
    # Before `d` come the drain, three loads and as many unloads, which take as long, and two turns
    # that pay for both, with their drains.
    latest = 0.8 * 1_000 - 10 - 3 * 30 - 3 * 30 - 2 * (60 + 10)
    assert turns.ceiling(s, s.replicas[load.replica], 40.0) == pytest.approx(latest - 30.0)
    # What is told stays what was measured.
    assert dict(s.upcoming(40.0))["d"] is None


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


@pytest.mark.parametrize(("load", "stopped"), [(0.0, ("1",)), (0.2, ("1",)), (0.3, ())])
def test_last_answers_make_room_for_many_who_wait(load: float, stopped: tuple[str, ...]) -> None:
    """Not where a load takes longer than they will: a quarter of a second here."""
    s = scheduler(model("a"), model("b"))
    for i, name in enumerate(("a", "b")):
        ask(s, name, f"known-{name}", now=float(i))
        settle(s, float(i))
        s.finish(f"known-{name}", i + 0.5, tokens=10)
    s.estimates.of("b").load.value = load
    s.submit(Ticket("1", "b", "alice", 3.0, preemptable=True), 3.0)
    settle(s, 3.0)
    for i in range(9):
        ask(s, "a", f"many-{i}", now=10.0)
    settle_closing = s.schedule(10.0)
    assert settle_closing.closings
    s.apply(settle_closing, 10.0)
    assert s.schedule(10.0).preemptions == stopped


@pytest.mark.parametrize(
    ("may", "before", "stopped"), [(True, 2, ("1",)), (True, 3, ()), (False, 0, ())]
)
def test_who_cannot_be_resumed_again_is_not_stopped_for_the_sake_of_speed(
    may: bool, before: int, stopped: tuple[str, ...]
) -> None:
    """Only where the drain has lasted as long as it may."""
    s = scheduler(model("a"), model("b"))
    for i, name in enumerate(("a", "b")):
        ask(s, name, f"known-{name}", now=float(i))
        settle(s, float(i))
        s.finish(f"known-{name}", i + 0.5, tokens=10)
    s.submit(Ticket("1", "b", "alice", 3.0, preemptable=may, preempted=before), 3.0)
    settle(s, 3.0)
    for i in range(9):
        ask(s, "a", f"many-{i}", now=10.0)
    s.apply(s.schedule(10.0), 10.0)
    assert s.schedule(10.0).preemptions == stopped
    assert s.schedule(10.0 + s.limits.drain).preemptions == ("1",)


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
    # After 90 seconds of 100: predictions err, and who is let in is to be served in time.
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
    assert s.position("other") == 1


def test_accounts_that_are_gone_are_forgotten_once_their_debt_is_past() -> None:
    shares = FairShare(36.0)
    for i in range(10_000):
        now = float(i)
        shares.enter(f"passer-by-{i}", 1.0, 5.0, now)
        shares.leave(f"passer-by-{i}", now)
    assert len(shares.accounts) <= 64


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
                s.slept(replica, now)
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


def stopped_once(s: Scheduler, waited: float) -> None:
    """A request for `a` that waited so long is stopped in favour of nine for `b`."""
    for name in ("a", "b"):
        ask(s, name, f"known-{name}", now=0.0)
        while f"known-{name}" not in s.running:
            decision = s.schedule(0.0)
            s.apply(decision, 0.0)
            for replica in decision.evictions:
                s.stopped(replica, 0.0)
            for load in decision.loads:
                s.loaded(load.replica, 1.0)
        s.finish(f"known-{name}", 5.0)
    s.submit(Ticket("1", "a", "alice", 100.0 - waited, preemptable=True), 100.0)
    settle(s, 100.0)
    for i in range(9):
        ask(s, "b", f"many-{i}", now=110.0)
    s.apply(s.schedule(110.0), 110.0)


def test_a_model_comes_back_for_stopped_answers_when_somebody_comes_or_after_a_while() -> None:
    s = scheduler(model("a"), model("b"), limits=Limits(wait=1_000.0))
    stopped_once(s, waited=0.0)
    assert s.schedule(110.0).preemptions == ("1",)
    s.preempted("1", 110.0, generated=3)
    late = s.head("a") - 110.0
    assert late > 0.0
    ask(s, "a", "newcomer", now=111.0, account="bob")
    assert s.head("a") == 111.0


def test_a_stopped_answer_comes_behind_whoever_it_gave_way_to() -> None:
    """Also where those rank late, because their account has had much: the place went to them."""
    limits = Limits(wait=1_000.0, slice=5.0, drain=1.0)
    s = scheduler(model("a"), model("b"), limits=limits)
    s.submit(Ticket("stopped", "a", "alice", 0.0, preemptable=True), 0.0)
    settle(s, 0.0)
    s.fairness.charge("alice", 10_000.0)
    ask(s, "b", "other", now=1.0)
    assert s.head("b") > 20.0
    for now in (7.0, 8.0):
        s.apply(s.schedule(now), now)
    assert overdrawn(s, next(iter(s.replicas.values())), 8.0)
    s.preempted("stopped", 8.0, generated=3)
    settle(s, 8.0)
    assert s.running.keys() == {"other"} and resident(s) == {"b"}


def test_who_has_waited_long_is_not_put_off_nor_stopped() -> None:
    s = scheduler(model("a"), model("b"), limits=Limits(wait=1_000.0))
    stopped_once(s, waited=799.0)
    assert not s.schedule(110.0).preemptions
    s.preempted("1", 110.0, generated=3)
    ticket = next(iter(s.queues["a"].values()))
    assert s.head("a") == ticket.queued_at


@pytest.mark.parametrize(
    ("waited", "beside", "stopped"),
    [(0.0, 0, True), (0.5, 0, True), (0.7, 0, False), (0.7, 19, False), (0.7, 20, True)],
)
def test_who_has_waited_for_most_of_a_round_is_not_stopped(
    waited: float, beside: int, stopped: bool
) -> None:
    """Waiting for another one it would have the longest response of all.

    Unless a whole batch waits beside it, whom a longer drain would cost more.
    """

    def closing(waited: float) -> Scheduler:
        s = scheduler(model("a", max_num_seqs=20), model("b"), limits=Limits(wait=1_000.0))
        stopped_once(s, waited)
        return s

    s = closing(0.0)
    back = turns.others(s, 110.0) + s.estimates.switch("a")
    s = closing(waited * back)
    for i in range(beside):
        ask(s, "a", f"beside-{i}", now=110.0, account=f"beside-{i}")
    assert bool(s.schedule(110.0).preemptions) == stopped


def test_two_who_want_the_same_place_do_not_open_and_close_it_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closed to the one, open to the other, and what is closing is given up before what is not."""
    devices = [Device(str(i), "cuda", "test", 10 * GIB, 10 * GIB) for i in range(2)]
    s = Scheduler(devices, Limits())
    s.set_models([model(name) for name in "abcd"])
    for name, count in (("a", 2), ("b", 1)):
        for i in range(count):
            ask(s, name, f"{name}{i}")
        settle(s, 0.0)
    ask(s, "c", "c0", 1.0)
    ask(s, "d", "d0", 2.0)

    def limit(state: State, replica: Replica, rank: float, now: float) -> float:
        return turns.INFINITY if replica.model == "b" or rank < 2.0 else -1.0

    monkeypatch.setattr(planning, "limit", limit)
    for _ in range(20):
        step(s, 3.0)
    assert not s.schedule(3.0)
    assert [r.model for r in s.replicas.values() if r.closing] == ["a"]
