"""How long what is known of keys and people is believed: no server, no clock, no database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from playground.accounts.access import UNBOUND, Caller, Terms
from playground.accounts.digests import digest_of
from playground.accounts.directory import Directory
from playground.accounts.snapshot import Snapshot, Stamp
from playground.errors import DatabaseUnavailable

KEY = "sk-llms-" + "A" * 43
OTHER = "sk-llms-" + "B" * 43
ALICE = Caller("user:1", 1, 1)


class Table:
    """A database of one key, and a clock to turn."""

    def __init__(self) -> None:
        self.now = 100.0
        self.keys = {digest_of(KEY): ALICE}
        self.version = 0
        self.down = False
        self.failure: Exception = OperationalError("database is locked")
        self.looks = 0
        self.reads = 0
        self.hang = threading.Event()
        self.hang.set()
        self.directory = Directory(self.read, self.stamp, clock=lambda: self.now)

    def stamp(self) -> Stamp:
        """Whether anything changed."""
        self.looks += 1
        self.hang.wait(10)
        if self.down:
            raise self.failure
        return (self.version,)

    def read(self) -> Snapshot:
        """Everything."""
        stamp = self.stamp()
        self.reads += 1
        ids = frozenset(each.key_id for each in self.keys.values())
        active = frozenset({1})
        return Snapshot(stamp, dict(self.keys), ids, {}, active, (UNBOUND,), float("inf"))

    def change(self, **keys: Caller) -> None:
        """Other keys from now on."""
        self.keys = {digest_of(text): caller for text, caller in keys.items()}
        self.version += 1


@pytest.fixture
def table() -> Table:
    """Alice's key, freshly made."""
    return Table()


async def test_a_known_key_is_answered_from_memory_for_five_seconds(table: Table) -> None:
    for _ in range(10):
        assert await table.directory.by_key(KEY) == ALICE
    assert (table.looks, table.reads) == (1, 1)
    table.now += 5.1
    await table.directory.by_key(KEY)
    assert (table.looks, table.reads) == (2, 1)


async def test_a_key_made_this_moment_opens(table: Table) -> None:
    assert await table.directory.by_key(OTHER) is None
    table.change(**{OTHER: ALICE})
    assert await table.directory.by_key(OTHER) == ALICE


async def test_a_revoked_key_is_dead_after_five_seconds(table: Table) -> None:
    await table.directory.by_key(KEY)
    table.change()
    table.now += 5.1
    assert await table.directory.by_key(KEY) is None
    assert not table.directory.still_in(ALICE)


async def test_wrong_keys_at_the_same_time_share_one_look(table: Table) -> None:
    await table.directory.by_key(KEY)
    wrong = (f"sk-llms-{i:043}" for i in range(500))
    assert set(await asyncio.gather(*map(table.directory.by_key, wrong))) == {None}
    assert table.looks == 2


async def test_what_does_not_look_like_a_key_is_never_looked_up(table: Table) -> None:
    for text in ("", "irrelevant", KEY + "A", KEY[:-1], KEY + "\n", "x" * 10**6, "' OR 1=1 --"):
        assert await table.directory.by_key(text) is None
    assert table.looks == 0


@pytest.mark.parametrize("hours", [-1, 1])
async def test_an_expired_key_is_dead_at_once(table: Table, hours: int) -> None:
    caller = replace(ALICE, expires=timezone.now() + timedelta(hours=hours))
    table.change(**{KEY: caller})
    assert await table.directory.by_key(KEY) == (caller if hours > 0 else None)
    assert table.directory.still_in(caller) is (hours > 0)


@pytest.mark.parametrize("failure", [OperationalError("database is locked"), KeyError(7)])
async def test_known_keys_outlive_a_minute_without_database(
    table: Table, failure: Exception
) -> None:
    await table.directory.by_key(KEY)
    table.down, table.failure = True, failure
    for _ in range(5):
        table.now += 11.9
        assert await table.directory.by_key(KEY) == ALICE
        assert await table.directory.person(1) is not None
    table.now += 1
    with pytest.raises(DatabaseUnavailable):
        await table.directory.by_key(KEY)


async def test_unknown_keys_wait_for_the_database(table: Table) -> None:
    await table.directory.by_key(KEY)
    table.down = True
    with pytest.raises(DatabaseUnavailable):
        await table.directory.by_key(OTHER)
    table.down = False
    assert await table.directory.by_key(OTHER) is None


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server looks all the time."""
    monkeypatch.setattr("playground.accounts.directory.LOOK_SECONDS", 0.001)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a state."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_failure_that_nobody_foresaw_ends_no_looking(
    table: Table, often: None, caplog: pytest.LogCaptureFixture
) -> None:
    await table.directory.by_key(KEY)
    table.down, table.failure = True, KeyError(7)
    table.directory.start()
    try:
        looks = table.looks
        await until(lambda: table.looks > looks + 3)
        with pytest.raises(DatabaseUnavailable):
            await table.directory.by_key(OTHER)
        table.down = False
        table.change()
        # Nobody asks, and it is seen all the same.
        await until(lambda: not table.directory.still_in(ALICE))
    finally:
        table.directory.stop()
    [said] = caplog.records
    assert said.levelname == "ERROR" and said.exc_info and said.exc_info[0] is KeyError


async def test_a_listener_that_fails_keeps_no_other_from_hearing(
    table: Table, often: None, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []

    def fail() -> None:
        heard.append(-1)
        raise RuntimeError("broken")

    table.directory.listen(fail)
    table.directory.listen(lambda: heard.append(table.version))
    table.directory.start()
    try:
        await until(lambda: sorted(heard) == [-1, 0])
        table.change()
        await until(lambda: sorted(heard) == [-1, -1, 0, 1])
    finally:
        table.directory.stop()
    assert [said.levelname for said in caplog.records] == ["ERROR", "ERROR"]


async def test_a_database_that_hangs_holds_known_keys_up_once(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("playground.accounts.directory.PATIENCE_SECONDS", 0.05)
    await table.directory.by_key(KEY)
    table.hang.clear()
    table.now += 6
    assert await table.directory.by_key(KEY) == ALICE
    monkeypatch.setattr("playground.accounts.directory.PATIENCE_SECONDS", 60)
    assert await table.directory.by_key(KEY) == ALICE
    table.hang.set()


async def test_listeners_hear_of_changes_only(table: Table) -> None:
    heard: list[int] = []
    table.directory.listen(lambda: heard.append(table.version))
    for _ in range(3):
        table.now += 6
        await table.directory.by_key(KEY)
    table.change()
    table.now += 6
    await table.directory.by_key(KEY)
    assert heard == [0, 1]


def test_the_heaviest_group_that_allows_a_model_counts() -> None:
    light, heavy = Terms(1, "class", 1, frozenset({"a"})), Terms(2, "lab", 3, frozenset({"b"}))
    caller = Caller("user:1", 1, terms=(heavy, light))
    assert caller.terms_for("a") is light and caller.terms_for("b") is heavy
    assert caller.terms_for("c") is None
    scoped = replace(caller, models=frozenset({"a", "c"}))
    assert scoped.terms_for("b") is None and scoped.terms_for("c") is None
