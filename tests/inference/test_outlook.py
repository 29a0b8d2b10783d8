"""What is told of waits: known where it was measured, and not spoilt by what never leaves."""

from tests.inference.test_scheduler import ask, model, scheduler, settle


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
