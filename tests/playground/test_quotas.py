"""Limits: counted to the request, whatever happens in whichever order."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import EngineCrashed
from inference.requests import GenerateRequest, Message, Output, SamplingParams, Usage
from playground.accounts.access import FREE, Caller, Limits, Terms
from playground.accounts.quotas import Ledger, Window, most_tokens
from playground.accounts.usage import Meter, Recorder, metered
from playground.errors import BadKey, RateLimited


class Clock:
    """To be turned."""

    def __init__(self) -> None:
        self.now = 1000.5

    def __call__(self) -> float:
        return self.now


def caller(own: Limits = FREE, together: Limits = FREE, number: int = 1) -> Caller:
    """One of the people in a group."""
    terms = Terms(1, "lab", each=own, together=together)
    return Caller(f"user:{number}", number, terms=(terms,))


@given(
    st.lists(st.tuples(st.floats(0, 90), st.integers(1, 50)), max_size=30),
    st.floats(0, 90),
    st.integers(0, 60),
)
def test_a_window_never_forgets_too_soon(
    adds: list[tuple[float, int]], pause: float, least: int
) -> None:
    window, now, seen = Window(60, 1), 0.0, []
    for gap, amount in adds:
        now += gap
        window.add(amount, now)
        seen.append((now, amount))
    now += pause
    exact = sum(amount for when, amount in seen if now - when < 60)
    late = sum(amount for when, amount in seen if now - when < 61)
    assert exact <= window.used(now) <= late
    wait = window.fits_in(least, now)
    assert (wait == 0) == (window.used(now) <= least)
    assert window.used(now + wait) <= least


@pytest.mark.parametrize(
    ("limits", "kind", "reset"),
    [
        (Limits(requests_per_minute=3), "requests", 61),
        (Limits(concurrent_requests=3), "requests", 2),
        (Limits(tokens_per_minute=300), "tokens", 2),
    ],
)
def test_what_is_over_a_limit_is_refused_and_told_when_to_come_back(
    limits: Limits, kind: str, reset: float
) -> None:
    ledger = Ledger(Clock())
    for own, together in ((limits, Limits()), (Limits(), limits)):
        who = caller(own, together, number=2 if own == limits else 3)
        claims = [ledger.claim(who, "m", lambda: 100) for _ in range(4)]
        for claim in claims[:3]:
            assert claim is not None
            claim.take()
        with pytest.raises(RateLimited) as caught:
            assert claims[3] is not None
            claims[3].take()
        assert caught.value.kind == kind and reset - 1 <= caught.value.reset <= reset
        assert caught.value.retry_after >= 1


def test_nothing_stays_promised_when_nobody_asks_any_more() -> None:
    ledger = Ledger(Clock())
    who = caller(Limits(device_seconds_per_day=10))
    claims = []
    for model, seconds in (("a", 0.1), ("b", 0.2), ("c", 0.3)):
        ledger.note(model, seconds)
        claim = ledger.claim(who, model, lambda: 1)
        assert claim is not None
        claim.take()
        claims.append(claim)
    # 0.1 + 0.2 + 0.3 less each of them is not 0.
    for claim in claims:
        claim.settle(0, 0.0)
    for book in ledger._books.values():
        assert book.promised_seconds == 0


def test_without_limits_nothing_is_counted() -> None:
    assert Ledger().claim(caller(), "m", lambda: None) is None


def test_a_limit_of_zero_lets_nobody_in() -> None:
    for name in ("requests_per_minute", "tokens_per_minute", "concurrent_requests"):
        claim = Ledger().claim(caller(Limits(**{name: 0})), "m", lambda: 1)
        with pytest.raises(RateLimited):
            assert claim is not None
            claim.take()


def test_a_group_is_one_purse_for_all_of_its_members() -> None:
    ledger = Ledger(Clock())
    shared = Limits(requests_per_minute=2)
    for number in (1, 2):
        claim = ledger.claim(caller(together=shared, number=number), "m", lambda: 1)
        assert claim is not None
        claim.take()
    third = ledger.claim(caller(together=shared, number=3), "m", lambda: 1)
    with pytest.raises(RateLimited, match="the group lab has 2 requests"):
        assert third is not None
        third.take()


def test_what_was_used_before_a_restart_counts() -> None:
    clock = Clock()
    ledger = Ledger(clock)
    ledger.restore([("user:1", 7200, 50, 900, 80.0), ("user:1", 0.0, 2, 100, 30.0)])
    for limits in (
        Limits(device_seconds_per_day=110),
        Limits(requests_per_minute=2),
        Limits(tokens_per_minute=100),
    ):
        claim = ledger.claim(caller(limits), "m", lambda: 1)
        with pytest.raises(RateLimited):
            assert claim is not None
            claim.take()
    roomy = Limits(device_seconds_per_day=111, requests_per_minute=3, tokens_per_minute=101)
    claim = ledger.claim(caller(roomy), "m", lambda: 1)
    assert claim is not None
    claim.take()


def test_device_seconds_come_back_after_a_day() -> None:
    clock = Clock()
    ledger = Ledger(clock)
    who = caller(Limits(device_seconds_per_day=10))
    for expected in (True, False):
        claim = ledger.claim(who, "m", lambda: None)
        assert claim is not None
        if expected:
            claim.take()
            claim.settle(0, 10.0)
            continue
        with pytest.raises(RateLimited) as caught:
            claim.take()
        assert caught.value.kind == "device-seconds"
        assert 86400 <= caught.value.reset <= 87000
        # A request of this model may cost ten seconds again, but that is no reason to wait.
        clock.now += caught.value.reset
        claim.take()


@pytest.mark.parametrize(
    ("messages", "sampling", "context", "most"),
    [
        (["abc"], SamplingParams(max_tokens=10), None, 64 + 3 + 10),
        (["abc"], SamplingParams(max_tokens=10, n=3), 1000, 64 + 3 + 30),
        (["é" * 10], SamplingParams(max_tokens=1), None, 64 + 20 + 1),
        (["abc"], SamplingParams(), 1000, 64 + 3 + 1000),
        (["x" * 5000], SamplingParams(max_tokens=9999), 1000, 2000),
        (["abc"], SamplingParams(), None, None),
        ([[{"type": "image_url"}]], SamplingParams(max_tokens=1), None, None),
        ([[{"type": "image_url"}]], SamplingParams(max_tokens=1), 1000, 1001),
    ],
)
def test_the_most_that_a_request_can_cost(
    messages: list[Any], sampling: SamplingParams, context: int | None, most: int | None
) -> None:
    asked = tuple(Message("user", content) for content in messages)
    request = GenerateRequest(model="m", messages=asked, sampling=sampling)
    assert most_tokens([request], context) == most


class Stream:
    """So many tokens, one at a time when told to, then the end or a crash."""

    def __init__(self, tokens: int, crash: bool) -> None:
        self.device_seconds = 0.0
        self._outputs = self._all(tokens, crash)

    async def _all(self, tokens: int, crash: bool) -> AsyncGenerator[Output, None]:
        for i in range(tokens):
            self.device_seconds += 0.5
            usage = Usage(5, tokens) if i == tokens - 1 and not crash else None
            yield Output("x", (i,), usage=usage, prompt_token_ids=range(5) if i == 0 else ())
        if crash:
            raise EngineCrashed("gone")

    def __aiter__(self) -> AsyncGenerator[Output, None]:
        return self._outputs

    async def aclose(self) -> None:
        await self._outputs.aclose()


@dataclass
class Asked:
    """A request on its way."""

    meter: Meter
    bound: int
    task: asyncio.Task[None]
    steps: asyncio.Queue[None] = field(default_factory=asyncio.Queue)


LIMITS = Limits(5, 60, None, 3)
ACT = st.one_of(
    st.tuples(st.just("ask"), st.integers(1, 12), st.sampled_from(["end", "crash", "refuse"])),
    st.tuples(st.just("step"), st.integers(0, 7), st.just("")),
    st.tuples(st.sampled_from(["cancel", "call off"]), st.integers(0, 7), st.just("")),
    st.tuples(st.just("wait"), st.integers(1, 90), st.just("")),
)


class House:
    """A recorder, a ledger and one caller; checks the law at every admission."""

    def __init__(self, root: Path) -> None:
        self.clock = Clock()
        self.ledger = Ledger(self.clock)
        self.rows: list[Any] = []
        self.recorder = Recorder(root, self.rows.extend)
        self.running: list[Asked] = []
        self.begun: list[tuple[float, Meter]] = []
        self.ended: list[tuple[float, int]] = []
        self.ids = itertools.count()

    async def ask(self, tokens: int, fate: str) -> None:
        who, bound = caller(LIMITS, LIMITS), 5 + tokens
        claim = self.ledger.claim(who, "m", lambda: bound)
        meter = self.recorder.meter(f"{next(self.ids):032x}", who, "m", "chat", claim=claim)
        asked = Asked(meter, bound, asyncio.current_task())  # type: ignore[arg-type]
        asked.task = asyncio.create_task(self.run(asked, tokens, fate))
        await settled()

    async def run(self, asked: Asked, tokens: int, fate: str) -> None:
        async def open_it() -> Stream:
            self.check_law(asked)
            await asked.steps.get()
            if fate == "refuse":
                raise EngineCrashed("before it began")
            return Stream(tokens, fate == "crash")

        try:
            async with aclosing(await metered(open_it(), asked.meter)) as outputs:
                async for _ in outputs:
                    await asked.steps.get()
        except (EngineCrashed, BadKey, RateLimited):
            pass
        finally:
            if asked in self.running:
                self.running.remove(asked)
                row = asked.meter.row()
                self.ended.append((self.clock.now, row["prompt_tokens"] + row["completion_tokens"]))

    def check_law(self, new: Asked) -> None:
        """It was let in: then there was room for it."""
        now = self.clock.now
        assert sum(now - when < 60 for when, _ in self.begun) < 5
        assert len(self.running) < 3
        used = sum(tokens for when, tokens in self.ended if now - when < 60)
        assert used + sum(each.bound for each in self.running) < 60
        self.running.append(new)
        self.begun.append((now, new.meter))


async def settled() -> None:
    """Let everybody do what can be done now."""
    for _ in range(8):
        await asyncio.sleep(0)


async def live(root: Path, acts: list[Any]) -> House:
    """What happens, then the end of all."""
    house = House(root)
    for act, number, fate in acts:
        if act == "ask":
            await house.ask(number, fate)
        elif act == "wait":
            house.clock.now += number
        elif house.running:
            asked = house.running[number % len(house.running)]
            if act == "step":
                asked.steps.put_nowait(None)
            elif act == "cancel":
                asked.task.cancel()
            else:
                asked.meter.call_off()
        await settled()
    for asked in house.running.copy():
        asked.task.cancel()
    await settled()
    return house


@settings(deadline=None, max_examples=150)
@given(acts=st.lists(ACT, max_size=60))
def test_no_interleaving_gets_over_a_limit_or_loses_a_record(
    acts: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    house = asyncio.run(live(tmp_path_factory.mktemp("usage"), acts))
    assert not house.running and not house.recorder._running
    house.recorder.flush()
    assert house.recorder.settle()
    house.recorder._spool.close()
    assert [row["request_id"] for row in house.rows] != [] or not house.begun
    assert {row["request_id"] for row in house.rows} == {m.request_id for _, m in house.begun}
    assert len(house.rows) == len(house.begun)
    # Nothing stays promised: a minute later everybody may ask again.
    house.clock.now += 100
    for book in house.ledger._books.values():
        assert (book.running, book.promised_tokens, book.promised_seconds) == (0, 0, 0)
    claim = house.ledger.claim(caller(LIMITS, LIMITS), "m", lambda: 1)
    assert claim is not None
    claim.take()


async def test_whoever_is_shut_out_is_ended_wherever_the_request_is(tmp_path: Path) -> None:
    house = House(tmp_path)
    for steps in range(4):
        await house.ask(9, "end")
        [asked] = house.running
        for _ in range(steps):
            asked.steps.put_nowait(None)
            await settled()
        house.recorder.call_off(lambda who: who.user_id == 2)
        await settled()
        assert not asked.task.done()
        house.recorder.call_off(lambda who: who.user_id == 1)
        asked.steps.put_nowait(None)
        await settled()
        assert asked.task.done() and not asked.task.cancelled()
        assert asked.meter.row()["outcome"] == "cancelled"
        house.clock.now += 100
