"""How long a key's answer is believed: no server, no clock, no database."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from playground.accounts import keys
from playground.accounts.keys import KeyCache, KeyOwner
from playground.errors import DatabaseUnavailable

KEY = "sk-llms-" + "A" * 43
OTHER = "sk-llms-" + "B" * 43


class Table:
    """A database of one key, and a clock to turn."""

    def __init__(self) -> None:
        self.now = 100.0
        self.owner: KeyOwner | None = KeyOwner(1, 1, None)
        self.down = False
        self.reads = 0
        self.cache = KeyCache(self.read, clock=lambda: self.now)

    def read(self, digest: str) -> KeyOwner | None:
        """What the database says."""
        self.reads += 1
        if self.down:
            raise OperationalError("database is locked")
        return self.owner


@pytest.fixture
def table() -> Table:
    """Alice's key, freshly made."""
    return Table()


async def test_a_key_is_read_once_in_five_seconds(table: Table) -> None:
    for _ in range(10):
        assert await table.cache.owner_of(KEY) == table.owner
    assert table.reads == 1
    table.now += 5.1
    await table.cache.owner_of(KEY)
    assert table.reads == 2


async def test_a_wrong_key_is_read_once_too(table: Table) -> None:
    table.owner = None
    for _ in range(10):
        assert await table.cache.owner_of(KEY) is None
    assert table.reads == 1


async def test_what_does_not_look_like_a_key_is_never_looked_up(table: Table) -> None:
    for text in ("", "irrelevant", KEY + "A", KEY[:-1], KEY + "\n", "x" * 10**6):
        assert await table.cache.owner_of(text) is None
    assert table.reads == 0


async def test_a_known_key_outlives_a_minute_without_database(table: Table) -> None:
    await table.cache.owner_of(KEY)
    table.down = True
    table.now += 59
    assert await table.cache.owner_of(KEY) == table.owner
    table.now += 2
    with pytest.raises(DatabaseUnavailable):
        await table.cache.owner_of(KEY)


async def test_an_unknown_key_waits_for_the_database(table: Table) -> None:
    table.down = True
    with pytest.raises(DatabaseUnavailable):
        await table.cache.owner_of(OTHER)


async def test_a_wrong_key_does_not_become_right_without_database(table: Table) -> None:
    table.owner = None
    await table.cache.owner_of(KEY)
    table.down = True
    table.now += 6
    with pytest.raises(DatabaseUnavailable):
        await table.cache.owner_of(KEY)


async def test_the_table_of_wrong_keys_is_bounded(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MAX_CACHED", 3)
    for letter in "abcdefgh":
        await table.cache.owner_of("sk-llms-" + letter * 43)
    assert len(table.cache._known) == 3
