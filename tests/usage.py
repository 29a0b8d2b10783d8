"""Usage records of a server, read from its own database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import httpx
import psycopg

from tests.api.asking import TEXT
from tests.servers import RunningServer, wait_until

COLUMNS = (
    "request_id", "account", "key_id", "model", "kind", "prompt_tokens", "completion_tokens",
    "cached_tokens", "queue_seconds", "device_seconds", "outcome",
)  # fmt: skip
MODELS = ("echo", "echo-slow", "echo-late", "echo-mute", "echo-embed", "echo-rerank")


def connected(server: RunningServer) -> Any:
    """A connection of our own to the server's database."""
    if "DATABASE_URL" in server.env:
        return psycopg.connect(server.env["DATABASE_URL"], autocommit=True)
    return sqlite3.connect(server.data / "db.sqlite3", isolation_level=None, timeout=10)


def rows(server: RunningServer) -> list[dict[str, Any]]:
    """All records, in the order in which they were settled; ids as the API shows them."""
    with closing(connected(server)) as database:
        sql = f"SELECT {', '.join(COLUMNS)} FROM accounts_usagerecord ORDER BY id"
        found = database.execute(sql).fetchall()
    return [dict(zip(COLUMNS, (_hex(row[0]), *row[1:]), strict=True)) for row in found]


def _hex(value: Any) -> str:
    return f"req_{value}".replace("-", "")


def row_of(server: RunningServer, request_id: str) -> dict[str, Any]:
    """The one record of a request, which comes before long."""
    found: list[dict[str, Any]] = wait_until(
        lambda: [row for row in rows(server) if row["request_id"] == request_id], 60, request_id
    )
    assert len(found) == 1
    return found[0]


def records_of(
    server: RunningServer, act: Callable[[], object], models: Sequence[str] = MODELS
) -> list[dict[str, Any]]:
    """The records that `act` causes. A last request marks their end: they come in order."""
    before = {row["request_id"] for row in rows(server)}
    act()
    wait_until(lambda: idle(server, models), 10, "nothing runs")
    mark = httpx.post(f"{server.url}{TEXT}", json={"model": "echo", "prompt": "mark"})
    mark_id = mark.headers["x-request-id"]
    row_of(server, mark_id)
    return [r for r in rows(server) if r["request_id"] not in before | {mark_id}]


def idle(server: RunningServer, models: Sequence[str] = MODELS) -> bool:
    """Whether nothing runs and nothing waits."""
    states = [server.model(name) for name in models]
    return all(state["running"] == state["waiting"] == 0 for state in states)


@contextmanager
def locked(server: RunningServer) -> Iterator[None]:
    """Nobody else can write usage records meanwhile."""
    with closing(connected(server)) as database:
        if isinstance(database, sqlite3.Connection):
            database.execute("BEGIN IMMEDIATE")
        else:
            database.execute("BEGIN")
            database.execute("LOCK TABLE accounts_usagerecord IN SHARE ROW EXCLUSIVE MODE")
        yield
        database.execute("ROLLBACK")
