"""Keys, people and groups are read as they were at one moment, whoever writes meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections

from playground.accounts import snapshot
from playground.accounts.directory import Directory
from playground.accounts.models import Group, Membership
from playground.database import give_back


@pytest.fixture
def site(transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database as the server's threads have it: where it is SQLite, a file."""
    if connection.vendor == "sqlite":
        path = tmp_path / "db.sqlite3"
        with closing(sqlite3.connect(path)) as file:
            connection.connection.backup(file)
        # For connections from now on; the test's own stays as it is.
        monkeypatch.setitem(connections.settings["default"], "NAME", str(path))


def elsewhere(write: Callable[[], Any]) -> Any:
    """What `write` gives, in a thread that has a connection as any page's."""

    def written() -> Any:
        try:
            return write()
        finally:
            give_back()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(written).result()


async def test_a_group_that_is_made_during_a_look_is_seen_whole_or_not_at_all(
    site: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = elsewhere(lambda: User.objects.create_user("alice").pk)
    read_people = snapshot._people

    def join() -> None:
        Membership.objects.create(user_id=alice, group=Group.objects.create(name="lab"))

    def joined_meanwhile(*args: Any) -> Any:
        elsewhere(join)
        monkeypatch.setattr(snapshot, "_people", read_people)
        return read_people(*args)

    monkeypatch.setattr(snapshot, "_people", joined_meanwhile)
    directory = Directory()
    try:
        before = await directory.person(alice)
        assert before is not None and before.terms[0].name == ""
        directory._seen = float("-inf")
        after = await directory.person(alice)
        assert after is not None and after.terms[0].name == "lab"
    finally:
        directory._thread.submit(connections.close_all).result()
