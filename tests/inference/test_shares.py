"""Who pays for what, who may wait, and what is told where little was measured."""

import math

import pytest

from inference import outlook
from inference.decisions import Limits, Ticket
from inference.devices import Device
from inference.errors import AccountQueueFull, QueueFull, Refused
from inference.placement import free_bytes
from inference.replica import ReplicaState
from inference.requests import Lane
from inference.scheduler import Scheduler
from tests.inference.scheduling import GIB, ask, model, scheduler, settle


def answered(s: Scheduler, name: str, seconds: float, now: float = -10_000.0) -> None:
    """One answer of so many seconds was seen long ago, by somebody who is forgotten."""
    ask(s, name, f"known-{name}", now=now, account="somebody")
    settle(s, now)
    s.finish(f"known-{name}", now + seconds)


def first_of(s: Scheduler, *requests: str) -> str:
    """Who of these stands first in the line."""
    places = {request: s.position(request) for request in requests}
    return min(requests, key=lambda request: places[request] or math.inf)


# --- fair share ----------------------------------------------------------------------------------


def test_a_heavier_account_has_as_much_more_of_the_queue() -> None:
    s = scheduler(model("a", max_num_seqs=1), limits=Limits(wait=100_000.0))
    answered(s, "a", 10.0)
    for i in range(24):
        for account, weight in (("alice", 1.0), ("bob", 3.0)):
            s.submit(Ticket(f"{account}-{i}", "a", account, 0.0, weight=weight), 0.0)
    line = [ticket.account for ticket in s.queues["a"].values()]
    # The very first knew of no other.
    assert line[4:20].count("bob") == 12


def test_who_goes_away_does_not_pay() -> None:
    s = scheduler(model("a", max_num_seqs=1))
    answered(s, "a", 10.0)
    ask(s, "a", "runs", account="charlie")
    settle(s, 0.0)
    ask(s, "a", "first")
    for i in range(50):
        ask(s, "a", f"left-{i}")
        s.cancel(f"left-{i}", 0.0)
    # What the first costs is past; that of the fifty would put it off as far as a rank may lie.
    ask(s, "a", "mine", now=30.0)
    ask(s, "a", "other", now=31.0, account="bob")
    assert first_of(s, "mine", "other") == "mine"


def test_an_answer_is_charged_with_what_it_took() -> None:
    """Nothing was known of the model when it was asked for."""
    s = scheduler(model("a", max_num_seqs=1), model("c", 2))
    # Somebody else uses the machine as well: what nobody else wants costs nothing.
    ask(s, "c", "long", account="charlie")
    ask(s, "a", "1")
    settle(s, 0.0)
    s.finish("1", 100.0)
    ask(s, "a", "runs", now=100.0, account="dora")
    settle(s, 100.0)
    ask(s, "a", "mine", now=100.0)
    ask(s, "a", "other", now=101.0, account="bob")
    assert first_of(s, "mine", "other") == "other"


@pytest.mark.parametrize(("came", "runs"), [(1_008.0, "person"), (1_011.0, "second")])
def test_aged_batch_work_has_three_fifths_of_the_time_before_people(came: float, runs: str) -> None:
    """Six seconds of it are ten until it is due again; who comes before that comes first."""
    s = scheduler(model("a", max_num_seqs=1), limits=Limits(wait=100.0))
    for name in ("first", "second"):
        s.submit(Ticket(name, "a", "night", 0.0, lane=Lane.BATCH), 0.0)
    settle(s, 994.0)
    assert s.running.keys() == {"first"}
    ask(s, "a", "before", now=995.0)
    s.finish("first", 1_000.0)
    settle(s, 1_000.0)
    assert s.running.keys() == {"before"}
    ask(s, "a", "person", now=came, account="bob")
    s.finish("before", 1_020.0)
    settle(s, 1_020.0)
    assert s.running.keys() == {runs}


# --- copies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", [0, 1])
@pytest.mark.parametrize(("prefix", "less"), [(0, 1), (0, 2), (7, 2), (8, 2)])
def test_the_copy_with_the_least_to_do_gets_the_next_request(
    busy: int, prefix: int, less: int
) -> None:
    """Both have room. Equal prompts may meet in the other one only while it is hardly busier."""
    s = scheduler(model("a", 4, max_num_seqs=8, replicas=2))
    for i in range(16):
        ask(s, "a", str(i))
    settle(s, 0.0)
    copies = list(s.replicas.values())
    for copy, most in ((copies[busy], 5), (copies[1 - busy], 5 - less)):
        for request in sorted(copy.leases)[most:]:
            s.finish(request, 1.0)
    s.submit(Ticket("next", "a", "bob", 2.0, prefix=prefix), 2.0)
    settle(s, 2.0)
    assert s.running["next"].replica == copies[1 - busy].id


# --- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize("places", [1, 4])
def test_an_account_may_have_places_of_its_own(places: int) -> None:
    s = scheduler(model("a"), limits=Limits(account_queue=2))
    for i in range(places):
        s.submit(Ticket(str(i), "a", "alice", 0.0, places=places), 0.0)
    with pytest.raises(AccountQueueFull, match=f"{places} requests") as refusal:
        s.submit(Ticket("more", "a", "alice", 0.0, places=places), 0.0)
    assert refusal.value.limit == places


def refused(s: Scheduler, account: str) -> Refused:
    with pytest.raises((QueueFull, AccountQueueFull)) as refusal:
        ask(s, "a", "more", account=account)
    return refusal.value


@pytest.mark.parametrize(
    ("account", "kind", "answers"), [("bob", QueueFull, 1), ("alice", AccountQueueFull, 5)]
)
@pytest.mark.parametrize("seconds", [7.0, 11.0])
def test_who_finds_no_place_is_told_when_it_would_have_come(
    account: str, kind: type[Refused], answers: int, seconds: float
) -> None:
    """Behind those who wait already, or before them where they have had more than their share."""
    full = kind is QueueFull
    limits = Limits(queue=4 if full else 9, account_queue=9 if full else 4)
    s = scheduler(model("a", max_num_seqs=1), limits=limits)
    answered(s, "a", seconds)
    ask(s, "a", "runs")
    settle(s, 0.0)
    for i in range(4):
        ask(s, "a", str(i))
    refusal = refused(s, account)
    assert type(refusal) is kind
    assert refusal.retry_after == answers * seconds


def test_who_finds_no_place_where_nothing_was_measured_gets_a_guess() -> None:
    for waiting, seconds in ((1, 1), (45, 3)):
        s = scheduler(model("a", max_num_seqs=1), limits=Limits(queue=waiting))
        ask(s, "a", "runs")
        settle(s, 0.0)
        for i in range(waiting):
            ask(s, "a", str(i))
        assert refused(s, "bob").retry_after == seconds


# --- turns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "ends"), [(30.0, 80.0), (None, 150.0), (400.0, 150.0)])
def test_a_card_may_have_shorter_turns_than_others(own: float | None, ends: float) -> None:
    """A full batch stays open until the slice is over, counted from when others began to wait."""
    s = scheduler(
        model("a", max_num_seqs=1, slice=own), model("b"), limits=Limits(wait=1e4, slice=100.0)
    )
    ask(s, "a", "1")
    settle(s, 0.0)
    ask(s, "b", "2", now=50.0)
    for i, (now, closed) in enumerate(((ends - 1.0, False), (ends + 1.0, True))):
        ask(s, "a", f"more-{i}", now=now)
        settle(s, now)
        assert [r.closing for r in s.replicas.values()] == [closed]


def test_a_deep_queue_of_a_card_with_short_turns_is_told_of_more_turns() -> None:
    waits = []
    for own in (None, 50.0):
        hot = model("hot", max_num_seqs=1, slice=own)
        s = scheduler(hot, model("b"), limits=Limits(wait=10_000.0, slice=1_000.0))
        for number, name in enumerate(("b", "hot")):
            answered(s, name, 10.0, now=100.0 * number - 10_000.0)
        ask(s, "hot", "runs")
        settle(s, 0.0)
        ask(s, "b", "another", now=1.0)
        waits.append(outlook.wait(s, "hot", 80, 1.0))
    assert waits[0] is not None and waits[1] is not None
    # 800 s of answers: within one turn of 1,000 s, or in sixteen with those of `b` between.
    assert waits[1] > waits[0] + 100.0


def test_nobody_is_told_a_time_before_an_answer_was_seen() -> None:
    s = scheduler(model("a", max_num_seqs=1))
    ask(s, "a", "runs")
    settle(s, 0.0)
    ask(s, "a", "waits", now=1.0)
    assert s.position("waits") == 1
    assert s.eta("waits", 1.0) is None
    s.finish("runs", 10.0)
    settle(s, 10.0)
    ask(s, "a", "next", now=11.0)
    assert s.eta("next", 11.0) == pytest.approx(10.0)


def test_an_answer_that_turned_out_not_to_be_resumable_is_not_stopped() -> None:
    """Only where it could go on is it stopped for the sake of many who wait."""
    for held in (False, True):
        s = scheduler(model("a"), model("b"))
        for i, name in enumerate(("a", "b")):
            answered(s, name, 0.5, now=float(i))
        s.submit(Ticket("1", "b", "alice", 3.0, preemptable=True), 3.0)
        settle(s, 3.0)
        if held:
            s.hold("1")
        for i in range(9):
            ask(s, "a", f"many-{i}", now=10.0)
        s.apply(s.schedule(10.0), 10.0)
        assert s.schedule(10.0).preemptions == (() if held else ("1",))
    # Who has left meanwhile is no error.
    s.finish("1", 11.0)
    s.hold("1")


# --- sleep ---------------------------------------------------------------------------------------


def test_what_sleepers_keep_of_a_device_is_not_given_away() -> None:
    sleeper = model("a", 6, sleep_bytes=6, asleep_bytes=2 * 2**30)
    s = scheduler(sleeper, model("b", 7), model("c", 3), limits=Limits(host_bytes=10))
    ask(s, "a", "1")
    settle(s, 0.0)
    s.finish("1", 1.0)
    ask(s, "b", "2", now=2.0)
    decision = s.schedule(2.0)
    assert decision.sleeps
    s.apply(decision, 2.0)
    s.slept(decision.sleeps[0], 3.0)
    settle(s, 3.0)
    assert {r.model: r.state for r in s.replicas.values()} == {
        "a": ReplicaState.SLEEPING,
        "b": ReplicaState.READY,
    }
    # 10 GiB, of which `b` has 7 and the sleeper 2.
    ask(s, "c", "3", now=4.0)
    assert min(free_bytes(s.devices, s.replicas.values()).values()) == 2**30
    assert not s.schedule(4.0).loads


def test_a_sleeper_leaves_for_good_where_what_it_keeps_is_needed() -> None:
    """Else nobody would ever make that room, and whoever waits for it would wait for W."""
    sleeper = model("a", 6, sleep_bytes=6, asleep_bytes=2 * 2**30)
    s = scheduler(sleeper, model("b", 7), model("c", 10), limits=Limits(host_bytes=10))
    ask(s, "a", "1")
    settle(s, 0.0)
    s.finish("1", 1.0)
    ask(s, "b", "2", now=1.0)
    (falls,) = s.schedule(1.0).sleeps
    s.apply(s.schedule(1.0), 1.0)
    s.slept(falls, 2.0)
    settle(s, 2.0)
    s.finish("2", 3.0)
    ask(s, "c", "3", now=3.0)
    ask(s, "a", "4", now=3.0, account="bob")
    decision = s.schedule(3.0)
    assert falls in decision.evictions and not (decision.sleeps or decision.loads)
    s.apply(decision, 3.0)
    # Whoever waits for it has not had a turn.
    assert "a" not in s.yielded
    s.stopped(next(r.id for r in s.replicas.values() if r.model == "b"), 3.0)
    # On its way out it has what it kept, and no more.
    assert free_bytes(s.devices, s.replicas.values()) == {"0": 8 * 2**30}
    s.stopped(falls, 4.0)
    settle(s, 4.0)
    assert "3" in s.running


def test_who_would_keep_what_its_heir_needs_does_not_fall_asleep() -> None:
    """Else the sleeper would have to be unloaded next, or two of them keep a third out for ever."""
    sleeper = model("a", 6, sleep_bytes=6, asleep_bytes=2 * 2**30)
    s = scheduler(sleeper, model("b", 9), limits=Limits(host_bytes=10))
    ask(s, "a", "1")
    settle(s, 0.0)
    s.finish("1", 1.0)
    ask(s, "b", "2", now=1.0)
    decision = s.schedule(1.0)
    assert not decision.sleeps and len(decision.evictions) == 1
    settle(s, 1.0)
    assert "2" in s.running


def test_two_wishes_that_keep_devices_asleep_do_not_keep_a_third_model_out() -> None:
    """Each woke as soon as the other fell asleep for the third, which never had room."""
    models = [
        model("b", 6, wish="preload", sleep_bytes=6, asleep_bytes=5 * GIB),
        model("c", 5, wish="preload", sleep_bytes=5, asleep_bytes=1 * GIB),
        model("d", 5, sleep_bytes=5, asleep_bytes=3 * GIB),
    ]
    devices = [Device(str(i), "cuda", "test", n * GIB, n * GIB) for i, n in enumerate((5, 9))]
    s = Scheduler(devices, Limits(host_bytes=6))
    s.set_models(models)
    settle(s, 0.0)
    ask(s, "d", "1", now=1.0)
    for _ in range(20):
        decision = s.schedule(1.0)
        s.apply(decision, 1.0)
        for replica in list(s.replicas.values()):
            if replica.state is ReplicaState.LOADING:
                s.loaded(replica.id, 1.0)
            elif replica.falling_asleep:
                s.slept(replica.id, 1.0)
            elif replica.state is ReplicaState.STOPPING:
                s.stopped(replica.id, 1.0)
    assert "1" in s.running
