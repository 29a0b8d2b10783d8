"""What staff ask of models, as the scheduler and the service follow it: unload, reload, drain."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from inference.errors import ModelUnavailable
from inference.replica import ReplicaState
from inference.service import InferenceService
from tests.inference.scheduling import ask, model, resident, scheduler, settle
from tests.inference.test_service import CARDS, limits, said, service
from tests.inference.test_service import ask as question

__all__ = ["limits", "service"]


def test_a_drained_model_serves_who_waits_and_goes() -> None:
    s = scheduler(model("a", max_num_seqs=1))
    for name in ("1", "2"):
        ask(s, "a", name)
    settle(s, 0.0)
    s.set_models([model("a", max_num_seqs=1, wish="drain")])
    settle(s, 1.0)
    assert s.running.keys() == {"1"} and s.drains()
    s.finish("1", 2.0)
    settle(s, 2.0)
    assert s.running.keys() == {"2"}
    s.finish("2", 3.0)
    settle(s, 3.0)
    assert resident(s) == set() and not s.drains()


def test_a_drained_model_keeps_nobody_from_the_quick_way() -> None:
    s = scheduler(model("a"), model("b", wish="drain", size=2))
    ask(s, "a", "1")
    settle(s, 0.0)
    ask(s, "a", "2", now=1.0)
    assert [grant.request_id for grant in s.schedule(1.0).grants] == ["2"]
    assert s.wished == []


def test_unloading_reaches_a_copy_that_loads() -> None:
    s = scheduler(model("a", wish="preload"))
    decision = s.schedule(0.0)
    s.apply(decision, 0.0)
    s.set_models([model("a")])
    s.retire("a", before=1.0)
    assert not s.schedule(1.0)
    (load,) = decision.loads
    s.loaded(load.replica, 2.0)
    settle(s, 2.0)
    assert resident(s) == set() and s.retired == set()


@pytest.mark.parametrize("end", ["load_failed", "called_off"])
def test_unloading_a_copy_whose_load_fails_leaves_nothing_behind(end: str) -> None:
    s = scheduler(model("a", wish="preload"))
    (load,) = s.schedule(0.0).loads
    s.apply(s.schedule(0.0), 0.0)
    s.retire("a")
    if end == "load_failed":
        s.load_failed(load.replica, "no", 1.0)
    else:
        s.called_off(load.replica)
    assert s.retired == set()
    s.schedule(1.0)


def test_unloading_reaches_a_copy_that_sleeps() -> None:
    s = scheduler(model("a", sleep_bytes=1), model("b", sleep_bytes=1))
    s.limits = replace(s.limits, host_bytes=10)
    for at, name in enumerate("ab"):
        ask(s, name, name, now=float(at))
        while decision := s.schedule(float(at)):
            s.apply(decision, float(at))
            for load in decision.loads:
                s.loaded(load.replica, float(at))
            for replica in decision.sleeps:
                s.slept(replica, float(at))
        s.finish(name, at + 0.5)
    asleep = [r for r in s.replicas.values() if r.state is ReplicaState.SLEEPING]
    assert [r.model for r in asleep] == ["a"]
    s.retire("a")
    decision = s.schedule(3.0)
    assert decision.evictions == (asleep[0].id,) and decision.sleeps == ()
    settle(s, 3.0)
    assert resident(s) == {"b"}


async def test_a_drained_model_refuses_in_words(service: InferenceService) -> None:
    changed = [replace(c, wish="drain") if c.id == "one" else c for c in CARDS]
    await service.set_cards(changed)
    assert service.model_status("one").state == "closed"
    with pytest.raises(ModelUnavailable, match="out of service"):
        await service.generate(question("one"))
    await service.set_cards(CARDS)
    assert service.model_status("one").state == "unloaded"


async def test_reload_tries_a_failed_model_again_at_once(service: InferenceService) -> None:
    broken = next(card for card in CARDS if card.id == "broken")
    others = [card for card in CARDS if card.id != "broken"]
    await service.set_cards([*others, replace(broken, wish="preload")])

    async def failures(count: int) -> None:
        async with asyncio.timeout(10):
            while len(service.model_status("broken").switches) < count:
                await asyncio.sleep(0.01)

    await failures(1)
    assert service.model_status("broken").state == "failed"
    began = time.monotonic()
    again = replace(broken, wish="preload", unload_before=time.time())
    await service.set_cards([*others, again])
    await failures(2)
    # The next try by itself would have come after a second.
    assert time.monotonic() - began < 0.9


async def test_unloading_reaches_what_an_older_wish_began_to_load(
    service: InferenceService,
) -> None:
    # Staff take a wish back between the reading of the catalogue and the load that it leads to.
    others = [card for card in CARDS if card.id != "late"]
    wish = next(replace(card, wish="pin") for card in CARDS if card.id == "late")
    taken_back = replace(wish, wish="none", unload_before=time.time())
    await service.set_cards([*others, wish])
    assert service.model_status("late").state == "loading"
    await service.set_cards([*others, taken_back])
    async with asyncio.timeout(10):
        while service.model_status("late").state != "unloaded":
            await asyncio.sleep(0.01)


async def test_unloading_leaves_what_somebody_asked_for_afterwards(
    service: InferenceService,
) -> None:
    before = time.time()
    assert await said(service, question("late"))
    changed = [replace(c, unload_before=before) if c.id == "late" else c for c in CARDS]
    await service.set_cards(changed)
    assert service.model_status("late").state == "ready"
    assert await said(service, question("late"))
    assert len(service.model_status("late").switches) == 1
