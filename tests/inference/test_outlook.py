"""What is told of waits: known where it was measured, and not spoilt by what never leaves."""

import pytest

from inference import outlook, turns
from inference.decisions import Limits, Ticket
from inference.errors import WaitTooLong
from inference.estimates import MOST_SUPPOSED, Estimates
from inference.replica import Replica
from inference.requests import Lane
from inference.scheduler import Scheduler
from inference.state import RANK_PART
from tests.inference.scheduling import ask, model, resident, scheduler, settle

W = Limits().wait


def learnt(s: Scheduler, *names: str, answer: float = 10.0, unload: float = 0.0) -> None:
    """A load of 3 s, one answer and an unload have been seen of each model, long ago."""
    for number, name in enumerate(names):
        now = -10_000.0 + 100.0 * number
        ask(s, name, f"known-{name}", now=now)
        while not s.running:
            decision = s.schedule(now)
            s.apply(decision, now)
            now += unload if decision.evictions else 0.0
            for replica in decision.evictions:
                s.stopped(replica, now)
            now += 3.0 if decision.loads else 0.0
            for load in decision.loads:
                s.loaded(load.replica, now)
        s.finish(f"known-{name}", now + answer)


def test_a_pinned_model_beside_the_others_leaves_their_wait_known() -> None:
    s = scheduler(model("small", 1, wish="pin"), model("a"), model("b"))
    settle(s, 0.0)
    for name, other in (("a", "1"), ("b", "2")):
        ask(s, name, other, now=1.0)
        (load,) = s.schedule(1.0).loads
        s.apply(s.schedule(1.0), 1.0)
        s.loaded(load.replica, 4.0)
        s.apply(s.schedule(4.0), 4.0)
        s.finish(other, 5.0)
        s.retire(name)
        settle(s, 5.0)
    ask(s, "a", "3", now=6.0)
    settle(s, 6.0)
    ask(s, "b", "4", now=6.0)
    known = dict(s.upcoming(7.0))["b"]
    assert known is not None and known >= 3.0
    assert s.eta("4", 7.0) == known


def test_who_comes_first_for_a_model_waits_for_all_that_wait_already() -> None:
    s = scheduler(*map(model, "abcd"))
    learnt(s, *"abcd")
    ask(s, "a", "1")
    settle(s, 0.0)
    ask(s, "b", "2", now=1.0)
    one = outlook.wait(s, "d", 1, 2.0)
    ask(s, "c", "3", now=2.0)
    two = outlook.wait(s, "d", 1, 2.0)
    assert one is not None and two is not None
    # A load and a turn more.
    assert two >= one + 3.0 + 10.0


def told(unload: float) -> tuple[Scheduler, list[float]]:
    """Who waits second and third beside a running answer, and what they are told."""
    s = scheduler(*map(model, "abc"), limits=Limits(wait=1_000.0))
    learnt(s, *"abc", unload=unload)
    ask(s, "a", "1")
    s.apply(s.schedule(0.0), 0.0)
    s.stopped(next(iter(s.replicas)), 0.0)
    settle(s, 0.0)
    ask(s, "b", "2", now=1.0)
    ask(s, "c", "3", now=1.0)
    etas = [s.eta(name, 1.0) for name in ("2", "3")]
    return s, [eta for eta in etas if eta is not None]


def test_what_is_in_the_way_has_to_be_unloaded_first() -> None:
    _, quick = told(0.0)
    s, slow = told(40.0)
    # As they were measured: twice 40 s, and then once none.
    unload = 80.0 / 3.0
    assert s.estimates.unload == pytest.approx(unload)
    assert slow[0] == pytest.approx(quick[0] + unload)
    # The turn between is to pay for its unload too, and lasts longer.
    assert slow[1] >= quick[1] + 2 * unload
    # While it goes, what is left of it.
    s.finish("1", 11.0)
    s.apply(s.schedule(11.0), 11.0)
    early, later = s.eta("2", 11.0), s.eta("2", 21.0)
    assert early is not None and later == pytest.approx(early - 10.0)


def test_turns_end_so_much_earlier_as_unloads_take() -> None:
    """Else whoever waits for the last of many models waits longer than was promised."""
    limits = Limits(wait=400.0, slice=10_000.0)
    ends = []
    for unload in (0.0, 30.0):
        s = scheduler(*map(model, "abc"), limits=limits)
        s.estimates.unloaded(unload)
        ask(s, "a", "1")
        settle(s, 0.0)
        s.estimates.unloaded(unload)
        ask(s, "b", "2", now=1.0)
        ask(s, "c", "3", now=1.0)
        (replica,) = s.replicas.values()
        ends.append(turns.ceiling(s, replica, 1.0))
    # Its own, that of the model between, and that one's turn, which is to pay for it.
    assert ends[0] - ends[1] == pytest.approx(90.0)


def test_a_long_queue_ahead_is_waited_for() -> None:
    s = scheduler(model("a"), model("b", max_num_seqs=2), model("c"))
    learnt(s, *"abc")
    ask(s, "a", "1")
    settle(s, 0.0)
    ask(s, "b", "first")
    ask(s, "c", "mine")
    before = s.eta("mine", 1.0)
    for i in range(5):
        ask(s, "b", f"more-{i}", now=1.0)
    after = s.eta("mine", 1.0)
    assert before is not None and after is not None
    # Six where two have places: two rounds of 10 s more, or longer when others come as well.
    assert after >= before + 2 * 10.0


def test_between_the_turns_that_a_deep_queue_takes_lie_those_of_other_models() -> None:
    s = scheduler(model("hot", max_num_seqs=1), model("b"), limits=Limits(wait=1_000.0))
    learnt(s, "b", "hot")
    ask(s, "hot", "runs")
    settle(s, 0.0)
    alone = outlook.wait(s, "hot", 85, 1.0)
    ask(s, "b", "another", now=1.0)
    beside = outlook.wait(s, "hot", 85, 1.0)
    # No turn of an hour-long queue may keep others waiting for more than 800 s.
    assert alone == pytest.approx(850.0)
    assert beside is not None and beside >= 850.0 + 3.0 + 10.0


def test_what_other_models_need_between_is_known_at_the_door() -> None:
    s = scheduler(model("hot", max_num_seqs=1), model("b"), limits=Limits(wait=1_000.0))
    learnt(s, "b", "hot")
    ask(s, "hot", "runs")
    settle(s, 0.0)
    for i in range(83):
        ask(s, "hot", str(i))
    # 830 s of answers before the next: in time, but for the turns of another model.
    ask(s, "b", "another")
    with pytest.raises(WaitTooLong):
        ask(s, "hot", "one more", now=0.0)


def test_models_side_by_side_have_their_turns_side_by_side() -> None:
    s = scheduler(*(model(name, 5) for name in "abcde"))
    learnt(s, *"abcde")
    for name in "ab":
        ask(s, name, f"runs-{name}")
    settle(s, 0.0)
    for name in "cde":
        ask(s, name, f"waits-{name}", now=1.0)
    c, d, e = (wait for _, wait in s.upcoming(1.0))
    assert c is not None and d is not None and e is not None
    assert d - c < 3.0 < e - d


def test_turns_that_last_longer_of_late_are_foreseen_for_all_models() -> None:
    known = Estimates()
    known.turned("a", 20.0, overflow=0.0)
    assert known.pace == 1.0
    for _ in range(20):
        known.turned("a", 40.0 * known.of("a").turn.value / 20.0, overflow=0.0)  # type: ignore[operator]
    assert known.pace == pytest.approx(2.0)


def test_what_a_long_queue_took_does_not_count_as_the_usual_turn() -> None:
    known = Estimates()
    known.turned("a", 120.0, overflow=100.0)
    assert known.of("a").turn.value == pytest.approx(20.0)


def door(limit: float) -> Scheduler:
    """One model answers; four others, that were never loaded, are waited for."""
    s = scheduler(*map(model, "abcdef"), limits=Limits(wait=limit))
    ask(s, "a", "1")
    s.apply(s.schedule(0.0), 0.0)
    s.loaded(next(iter(s.replicas)), 30.0)
    for number, name in enumerate("bcde"):
        ask(s, name, name, now=30.0 + number)
    return s


def test_models_never_loaded_are_planned_for_at_the_door() -> None:
    """Nobody is told a time for them, but W is promised."""
    # Before `f` come four times a load of 30 s, an unload as long, and a turn that pays for both.
    s = door(700.0)
    ask(s, "f", "last", now=40.0)
    assert s.eta("last", 40.0) is None
    s = door(530.0)
    with pytest.raises(WaitTooLong):
        ask(s, "f", "last", now=40.0)


def test_an_unload_takes_as_long_as_a_load_before_any_was_measured() -> None:
    known = Estimates()
    assert known.unload == 0.0
    known.loaded("a", 30.0, woken=False)
    assert (known.unload, known.switch("a")) == (30.0, 60.0)
    known.unloaded(2.0)
    assert (known.unload, known.switch("a")) == (2.0, 32.0)


def test_what_is_only_supposed_of_unloads_has_a_bound() -> None:
    known = Estimates()
    known.loaded("a", 520.0, woken=False)
    assert known.unload == MOST_SUPPOSED
    known.unloaded(90.0)
    assert known.unload == 90.0


@pytest.mark.parametrize("load", [520.0, 1_100.0])
def test_a_slow_load_shuts_no_other_model_out(load: float) -> None:
    """Else nothing would ever be unloaded, and nobody would learn how long that takes."""
    s = scheduler(model("big"), model("small"), limits=Limits(wait=1_200.0))
    ask(s, "big", "first")
    s.apply(s.schedule(0.0), 0.0)
    s.loaded(next(iter(s.replicas)), load)
    settle(s, load)
    ask(s, "small", "second", now=load + 1.0)
    s.finish("first", load + 5.0)
    settle(s, load + 5.0)
    assert resident(s) == {"small"}


def test_a_model_whose_loads_take_longer_than_the_bound_can_be_loaded_again() -> None:
    s = scheduler(model("a"), model("b"), limits=Limits(wait=1_200.0))
    s.estimates.recall({"": {"load": 1_900.0}, "a": {"load": 1_900.0}})
    ask(s, "a", "first")
    (load,) = s.schedule(0.0).loads
    assert load.model == "a"
    # Whoever comes behind would wait for W too, and there is a promise to keep.
    with pytest.raises(WaitTooLong):
        ask(s, "b", "second", now=1.0)


def first_load() -> Scheduler:
    """`a` is loaded for the first time, since 0; `b` is known, and waits for its place."""
    models = model("a"), model("b", max_num_seqs=1), model("c")
    s = scheduler(*models, limits=Limits(wait=1_000.0))
    learnt(s, "b", "c")
    s.retire("c")
    settle(s, -1.0)
    ask(s, "a", "first")
    s.apply(s.schedule(0.0), 0.0)
    ask(s, "b", "second", now=1.0)
    return s


def test_behind_a_load_of_unknown_length_nobody_is_told_a_time() -> None:
    s = first_load()
    assert (s.eta("second", 1.0), dict(s.upcoming(1.0))["b"]) == (None, None)
    s.loaded(next(iter(s.replicas)), 50.0)
    s.apply(s.schedule(50.0), 50.0)
    assert s.running.keys() == {"first"}
    s.finish("first", 60.0)
    s.apply(s.schedule(60.0), 60.0)
    # From now on its loads are known.
    assert s.eta("second", 60.0) is not None


def test_at_the_door_the_rest_of_such_a_load_counts_as_nothing() -> None:
    """With its turn and all that waits behind it: nobody is told that, but W is promised."""
    s = first_load()
    early = outlook.planned(s, "c", 1.0)
    assert early is not None
    deep = outlook.wait(s, "b", 20, 1.0, suppose=True)
    s.estimates.recall({"a": {"load": 13.0}})
    known = outlook.wait(s, "c", 1, 1.0)
    assert known == pytest.approx(early + 12.0)
    # Whoever waits ahead is waited for, there too.
    known = outlook.wait(s, "b", 20, 1.0)
    assert deep is not None and known == pytest.approx(deep + 12.0)


def test_the_door_is_shut_behind_a_long_queue_while_a_load_of_unknown_length_is_under_way() -> None:
    s = first_load()
    with pytest.raises(WaitTooLong):
        for number in range(90):
            ask(s, "b", f"more-{number}", now=1.0)
    assert 70 < s.waiting("b") < 85


def beside_b(**more: object) -> tuple[Scheduler, Replica]:
    """`a` and `b` are known and have no places side by side; `a` has answered somebody since 0."""
    s = scheduler(model("a", **more), model("b"), limits=Limits(slice=300.0))
    learnt(s, "b", "a")
    ask(s, "a", "runs")
    settle(s, 0.0)
    (replica,) = s.replicas.values()
    replica.ready_at = 0.0
    return s, replica


def closing_moment(s: Scheduler, replica: Replica, now: float) -> float:
    """When its turn closes in a run in which nothing happens."""
    while not replica.closing:
        now += (s.next_change(now) or 0.0) + 0.001
        s.apply(s.schedule(now), now)
    return now


# Two mean answers; four loads where few are served by leaving; the slice where a batch is full.
@pytest.mark.parametrize(
    ("places", "load", "closes"), [(4, 3.0, 20.0), (4, 30.0, 120.0), (1, 3.0, 305.0)]
)
def test_the_time_left_of_a_turn_is_that_until_it_closes(
    places: int, load: float, closes: float
) -> None:
    s, replica = beside_b(max_num_seqs=places)
    for name in "ab":
        s.estimates.of(name).load.value = load
    assert s.turn_left(replica.id, 4.0) is None
    ask(s, "b", "waits", now=5.0, account="bob")
    settle(s, 5.0)
    told = [now + (s.turn_left(replica.id, now) or 0.0) for now in (5.0, 8.0, 12.0)]
    end = closing_moment(s, replica, 12.0)
    assert told == pytest.approx([end] * 3, abs=0.01)
    assert end == pytest.approx(closes, abs=0.01)
    assert s.turn_left(replica.id, end) == 0.0


@pytest.mark.parametrize(("due", "closes"), [(40.0, 40.0), (900.0, 300.0)])
def test_a_turn_ends_when_the_batch_lane_is_due_or_at_its_ceiling(
    due: float, closes: float
) -> None:
    """Before that its work closes no turn in which people are served, and nor need anybody ask."""
    s, replica = beside_b()
    s.batch_clock = due
    s.submit(Ticket("later", "b", "owl", -W, lane=Lane.BATCH), -W)
    settle(s, 1.0)
    told = 1.0 + (s.turn_left(replica.id, 1.0) or 0.0)
    assert told == pytest.approx(closes)
    assert closing_moment(s, replica, 1.0) == pytest.approx(closes, abs=0.01)


def test_whose_account_has_had_much_closes_a_turn_so_much_later() -> None:
    s, replica = beside_b()
    s.fairness.charge("alice", 10_000.0)
    ask(s, "b", "waits", now=5.0)
    settle(s, 5.0)
    assert s.head("b") == 5.0 + W * RANK_PART
    told = 5.0 + (s.turn_left(replica.id, 5.0) or 0.0)
    assert told == pytest.approx(s.head("b"))
    assert closing_moment(s, replica, 5.0) == pytest.approx(told, abs=0.01)


def test_only_the_turn_whose_place_is_wanted_ends() -> None:
    s = scheduler(*(model(name, 5) for name in "abc"), limits=Limits(slice=300.0))
    learnt(s, *"abc")
    for request, name in (("1", "a"), ("2", "b"), ("3", "b")):
        ask(s, name, request)
    settle(s, 0.0)
    ask(s, "c", "waits", now=1.0, account="bob")
    settle(s, 1.0)
    copies = {r.model: r for r in s.replicas.values()}
    assert s.turn_left(copies["b"].id, 1.0) is None
    told = 1.0 + (s.turn_left(copies["a"].id, 1.0) or 0.0)
    assert closing_moment(s, copies["a"], 1.0) == pytest.approx(told, abs=0.01)
    assert not copies["b"].closing


def test_what_somebody_has_waited_before_counts_at_the_door() -> None:
    s, _ = beside_b(max_num_seqs=1)
    for i in range(5):
        ask(s, "a", str(i), now=1.0, account=f"user{i}")
    # After 60 s of answers, at 85 % of what is left of W.
    s.submit(Ticket("early", "a", "bob", 1.0 - W + 80.0), 1.0)
    with pytest.raises(WaitTooLong, match="about 21 minutes"):
        s.submit(Ticket("late", "a", "bob", 1.0 - W + 60.0), 1.0)
