"""Several copies of a model: who wants another, whose place it takes, and which can be spared."""

import pytest

from inference import copies, planning, turns
from inference.decisions import Limits, Model, Ticket
from inference.devices import Device
from inference.replica import Replica
from inference.requests import Lane
from inference.scheduler import Scheduler
from inference.state import State
from tests.inference.scheduling import GIB, ask, model, scheduler, settle, step


def machine(*models: Model, gpus: int = 2, limits: Limits | None = None) -> Scheduler:
    devices = [Device(str(i), "cuda", "test", 10 * GIB, 10 * GIB) for i in range(gpus)]
    made = Scheduler(devices, limits or Limits())
    made.set_models(list(models))
    return made


def hot(seqs: int = 2, replicas: int = 2, name: str = "hot") -> Model:
    return model(name, max_num_seqs=seqs, replicas=replicas)


def crowd(s: Scheduler, name: str, count: int, now: float) -> None:
    for i in range(count):
        ask(s, name, f"{name}-{now}-{i}", now=now, account=f"{name}-{now}-{i}")


def there(s: Scheduler, name: str) -> list[Replica]:
    return sorted(s.copies(name), key=lambda replica: replica.id)


def finish(s: Scheduler, replica: Replica, now: float) -> None:
    """All that run on it end, and nothing is learnt of how long answers take."""
    for request in sorted(replica.leases):
        s.finish(request, now, ran=False)


def two_models(waiting: int) -> Scheduler:
    """One device each for `hot`, where more wait than fit, and `other`, which runs somebody."""
    s = machine(hot(), model("other"))
    ask(s, "other", "o", now=0.0, account="o")
    settle(s, 0.0)
    crowd(s, "hot", 2 + waiting, 1.0)
    settle(s, 1.0)
    assert [r.model for r in s.replicas.values()] == ["other", "hot"]
    return s


def test_a_queue_beyond_its_place_takes_a_second_one_from_who_comes_later() -> None:
    s = two_models(waiting=2)
    ask(s, "other", "late", now=2.0, account="late")
    step(s, 2.0)
    other = there(s, "other")[0]
    assert other.closing and "late" not in s.running
    s.finish("o", 3.0, ran=False)
    settle(s, 3.0)
    assert len(there(s, "hot")) == 2 and not there(s, "other")
    assert [len(replica.leases) for replica in there(s, "hot")] == [2, 2]


def test_no_copy_for_less_than_a_whole_batch() -> None:
    s = two_models(waiting=1)
    s.finish("o", 3.0)
    settle(s, 3.0)
    assert len(there(s, "hot")) == 1 and there(s, "other")


def test_a_copy_comes_after_who_waits_longer_than_the_first_that_it_would_serve() -> None:
    """The place goes to the one who came first, though a whole batch waits beside it."""
    s = machine(hot(), model("other"), model("third"))
    crowd(s, "hot", 2, 0.0)
    settle(s, 0.0)
    ask(s, "other", "o", now=0.0, account="o")
    settle(s, 0.0)
    ask(s, "third", "t", now=5.0, account="t")
    crowd(s, "hot", 4, 6.0)
    assert [m.id for _, m in copies.contenders(s, 6.0)] == ["third", "hot"]
    s.finish("o", 7.0)
    settle(s, 7.0)
    assert "t" in s.running and len(there(s, "hot")) == 1


def test_what_is_served_while_a_copy_would_load_wants_none() -> None:
    """In the ten seconds of a load the place that is there serves two batches."""
    s = machine(hot(seqs=1, replicas=2), model("other"))
    crowd(s, "hot", 1, 0.0)
    settle(s, 0.0)
    s.estimates.recall({"hot": {"load": 20.0, "hold": 5.0}, "": {"unload": 0.0}})
    crowd(s, "hot", 2, 1.0)
    assert not copies.short(s, 1.0)
    crowd(s, "hot", 1, 2.0)
    # It wants its place as the one whom it would serve first: the last.
    assert copies.short(s, 2.0) == [(2.0, s.models["hot"])]
    settle(s, 2.0)
    assert len(there(s, "hot")) == 2


def test_the_younger_copy_is_spared_for_who_came_before_those_it_would_serve() -> None:
    s = machine(hot(), model("other"), model("third"))
    crowd(s, "hot", 4, 0.0)
    settle(s, 0.0)
    first, second = there(s, "hot")
    crowd(s, "hot", 6, 10.0)
    ask(s, "other", "o", now=5.0, account="o")
    assert copies.spare(s, second, 5.0) and not copies.spare(s, first, 5.0)
    # Whoever comes after them does not end its turn before its time.
    assert not copies.spare(s, second, 11.0)
    settle(s, 11.0)
    assert second.closing and not first.closing
    finish(s, second, 12.0)
    settle(s, 12.0)
    assert "o" in s.running and there(s, "hot") == [first]


def test_a_pinned_model_has_one_place_for_ever_and_gives_the_others_back() -> None:
    """Else the first crowd would take all devices from everybody, and keep them."""
    s = machine(model("hot", max_num_seqs=2, replicas=2, wish="pin"), model("other"))
    crowd(s, "hot", 6, 0.0)
    settle(s, 0.0)
    first, second = there(s, "hot")
    assert s.pinned(first) and not s.pinned(second)
    finish(s, first, 5.0)
    finish(s, second, 5.0)
    ask(s, "other", "o", now=6.0, account="o")
    settle(s, 6.0)
    finish(s, second, 20.0)
    settle(s, 20.0)
    assert "o" in s.running and there(s, "hot") == [first]


def test_two_who_want_a_place_do_not_spare_both_copies_of_a_model() -> None:
    """Each is spared because of the other; the older one keeps its turn."""
    s = machine(hot(), model("b"), model("c"), limits=Limits(slice=1_000.0))
    crowd(s, "hot", 4, 0.0)
    settle(s, 0.0)
    first, second = there(s, "hot")
    crowd(s, "hot", 9, 3.0)
    ask(s, "b", "b", now=1.0, account="b")
    ask(s, "c", "c", now=2.0, account="c")
    settle(s, 20.0)
    assert second.closing and not first.closing
    finish(s, first, 21.0)
    settle(s, 21.0)
    assert len(first.leases) == 2


def test_two_models_that_both_want_more_do_not_swap_their_copies() -> None:
    s = machine(hot(name="a", replicas=3), hot(name="b", replicas=3), gpus=4)
    for now in (0.0, 1.0):
        for name in "ab":
            crowd(s, name, 20, now)
        settle(s, now)
    before = [(r.id, r.model) for r in s.replicas.values()]
    assert sorted(name for _, name in before) == ["a", "a", "b", "b"]
    for now in range(2, 40):
        for replica in list(s.replicas.values()):
            finish(s, replica, float(now))
        for name in "ab":
            crowd(s, name, 5, float(now))
        settle(s, float(now))
    assert [(r.id, r.model) for r in s.replicas.values()] == before


def test_no_copy_takes_a_place_beside_another_one_of_its_model() -> None:
    """On the same device it would compute no more; room that nobody uses it may have."""
    s = machine(model("hot", 4, max_num_seqs=1, replicas=2), model("other", 4), gpus=1)
    ask(s, "other", "o", account="o")
    settle(s, 0.0)
    crowd(s, "hot", 5, 0.0)
    ask(s, "other", "late", now=9.0, account="late")
    settle(s, 9.0)
    assert not there(s, "other")[0].closing and "late" in s.running
    s.finish("o", 10.0)
    s.finish("late", 10.0)
    settle(s, 10.0)
    assert len(there(s, "hot")) == 2


def test_a_copy_that_leaves_ends_nobodys_turn() -> None:
    """Its model goes on beside it: it neither yields its place in the order nor measures a turn."""
    s = machine(hot(), model("other"))
    crowd(s, "hot", 4, 0.0)
    settle(s, 0.0)
    first, second = there(s, "hot")
    second.contested = True
    crowd(s, "hot", 3, 6.0)
    ask(s, "other", "o", now=5.0, account="o")
    settle(s, 11.0)
    finish(s, second, 12.0)
    settle(s, 12.0)
    assert there(s, "hot") == [first] and "o" in s.running
    assert s.estimates.of("hot").turn.value is None and "hot" not in s.yielded


@pytest.mark.parametrize("why", ["loading", "failed", "as many as its card says"])
def test_who_wants_no_further_copy(why: str) -> None:
    s = machine(hot(replicas=3 if why != "as many as its card says" else 1), gpus=3)
    crowd(s, "hot", 9, 0.0)
    if why == "loading":
        s.apply(s.schedule(0.0), 0.0)
        assert not copies.short(s, 0.0)
        return
    step(s, 0.0)
    step(s, 0.0)
    if why == "failed":
        (load,) = s.schedule(0.0).loads
        s.apply(s.schedule(0.0), 0.0)
        assert s.load_failed(load.replica, "It broke.", 0.0) == []
        assert not copies.short(s, 0.5) and copies.short(s, 1.5)
    else:
        assert not copies.short(s, 0.0)


def test_a_copy_for_the_batch_lane_comes_after_people() -> None:
    s = machine(hot(), model("other"))
    for i in range(9):
        s.submit(Ticket(f"b{i}", "hot", "night", 0.0, lane=Lane.BATCH), 0.0)
    step(s, 0.0)
    assert [rank for rank, _ in copies.short(s, 0.0)] == [s.limits.wait]
    ask(s, "other", "o", now=1.0, account="o")
    assert [m.id for _, m in copies.contenders(s, 1.0)] == ["other", "hot"]


def test_a_turn_that_only_a_copy_waits_for_ends_at_its_moment() -> None:
    s = two_models(waiting=4)
    s.estimates.recall({"other": {"hold": 30.0, "load": 1.0}, "": {"unload": 0.0}})
    ask(s, "other", "late", now=2.0, account="late")
    settle(s, 2.0)
    # Two mean answers.
    assert "late" in s.running and s.next_change(2.0) == pytest.approx(58.0)
    (other,) = there(s, "other")
    assert s.turn_left(other.id, 2.0) == pytest.approx(58.0)
    ask(s, "other", "too late", now=61.0, account="too late")
    settle(s, 61.0)
    assert other.closing and "too late" not in s.running
    assert s.turn_left(other.id, 61.0) == 0.0


def test_the_last_answer_of_a_turn_is_stopped_for_a_copy_too() -> None:
    s = machine(hot(seqs=8), model("other"))
    s.submit(Ticket("long", "other", "o", 0.0, preemptable=True), 0.0)
    settle(s, 0.0)
    crowd(s, "hot", 24, 1.0)
    settle(s, 1.0)
    known = {"hold": 10.0, "tail": 5.0, "load": 1.0}
    s.estimates.recall({"hot": known, "other": known, "": {"unload": 0.0}})
    crowd(s, "hot", 24, 25.0)
    s.apply(s.schedule(30.0), 30.0)
    assert there(s, "other")[0].closing
    assert s.schedule(30.0).preemptions == ("long",)


def test_what_closes_for_a_copy_goes_on_closing_while_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though somebody else is sent to its place in the same moment."""
    s = machine(hot(), model("other"), model("third"))
    ask(s, "other", "o", now=0.0, account="o")
    settle(s, 0.0)
    crowd(s, "hot", 8, 1.0)
    settle(s, 1.0)
    ask(s, "third", "t", now=0.5, account="t")

    def limit(state: State, replica: Replica, rank: float, now: float) -> float:
        return turns.INFINITY if replica.model == "hot" or rank < 1.0 else -1.0

    monkeypatch.setattr(planning, "limit", limit)
    there(s, "other")[0].closing = True
    settle(s, 2.0)
    assert there(s, "other")[0].closing


def test_copies_that_staff_retired_count_for_nobody() -> None:
    s = machine(hot(), model("other"))
    crowd(s, "hot", 2, 0.0)
    settle(s, 0.0)
    crowd(s, "hot", 2, 1.0)
    first, *_ = there(s, "hot")
    assert copies.short(s, 1.0)
    s.cancel("hot-1.0-1", 1.0)
    assert not copies.short(s, 1.0)
    s.finish("hot-0.0-0", 1.5, ran=False)
    crowd(s, "hot", 1, 2.0)
    assert not copies.short(s, 2.0)
    s.retire("hot")
    assert first.id in s.retired and copies.short(s, 2.0)


def test_another_copy_comes_for_a_long_queue_where_there_is_room() -> None:
    s = scheduler(model("a", 4, max_num_seqs=2, replicas=2), model("b", 4))
    for i in range(5):
        ask(s, "a", str(i))
    settle(s, 0.0)
    assert sorted(len(r.leases) for r in s.replicas.values()) == [2, 2]


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
