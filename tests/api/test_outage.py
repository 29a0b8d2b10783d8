"""HARDENING.md R10 and P1: the database gives out, and nothing that was said is kept."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from websockets.sync.client import connect

from tests.api.asking import CHAT, TEXT, error_of, user
from tests.api.test_keys import make_key
from tests.api.test_limits import SIGN_IN
from tests.conftest import MakeServer
from tests.servers import RunningServer, wait_until
from tests.usage import connected, locked, row_of

pytestmark = pytest.mark.database


@pytest.fixture(scope="module")
def house(make_server: MakeServer) -> RunningServer:
    """A server that demands keys and does not wait for locks for long."""
    return make_server(
        {"AUTH_MODE": "key", "DATABASE_LOCK_SECONDS": "0.2", "USAGE_FLUSH_SECONDS": "0.1"}
    )


@contextmanager
def gone(server: RunningServer) -> Iterator[None]:
    """Nobody gets into the server's database meanwhile; a file can only be locked."""
    if "DATABASE_URL" not in os.environ:
        with locked(server):
            yield
        return
    name = server.env["DATABASE_URL"].rpartition("/")[2]
    shut = "ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}"
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
        database.execute(sql.SQL(shut).format(sql.Identifier(name), sql.SQL("false")))
        database.execute(kill, [name])
        try:
            yield
        finally:
            database.execute(sql.SQL(shut).format(sql.Identifier(name), sql.SQL("true")))


# R10
def test_without_the_database_known_keys_go_on_and_nothing_is_a_500(house: RunningServer) -> None:
    key = make_key(house, "known", "known")
    with httpx.Client(base_url=house.url, timeout=30) as client:
        known = {"authorization": f"Bearer {key}"}
        assert client.post(TEXT, json={"prompt": "x"}, headers=known).status_code == 200
        page = client.get("/accounts/login/").text
        token = page.partition('csrfmiddlewaretoken" value="')[2].partition('"')[0]
        form = {"login": "known", "password": "wrong", "csrfmiddlewaretoken": token}
        with gone(house):
            said = [client.post(TEXT, json={"prompt": "x"}, headers=known) for _ in range(5)]
            assert {each.status_code for each in said} == {200}
            unknown = {"authorization": "Bearer sk-llms-" + "x" * 43}
            refused = client.get("/v1/models", headers=unknown)
            if "DATABASE_URL" in os.environ:
                assert refused.status_code == 503
                assert error_of(refused)["code"] == "database_unavailable"
            else:
                # A locked file can still be read.
                assert refused.status_code == 401
            assert client.get("/v1/models").status_code == 401
            broken = client.post("/accounts/login/", data=form)
            assert (broken.status_code, broken.headers["retry-after"]) == (503, "5")
        for each in said:
            assert row_of(house, each.headers["x-request-id"])["completion_tokens"] == 1
        wait_until(lambda: client.get("/v1/models", headers=unknown).status_code == 401, 10)


def everything_kept(server: RunningServer) -> str:
    """All tables and all files that the server writes, as text."""
    found = [p.read_text(errors="replace") for p in server.data.rglob("*.log")]
    found += [p.read_text(errors="replace") for p in (server.data / "usage").rglob("*.*")]
    with closing(connected(server)) as database:
        if isinstance(database, sqlite3.Connection):
            found += list(database.iterdump())
        else:
            tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            for (table,) in database.execute(tables).fetchall():
                rows = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
                found += [text for (text,) in database.execute(rows).fetchall()]
    return "\n".join(found)


# P1
def test_what_is_asked_and_answered_is_nowhere(house: RunningServer) -> None:
    canary = f"canary{secrets.token_hex(8)}"
    key = make_key(house, "careful", "careful")
    headers = {"authorization": f"Bearer {key}", "x-request-id": canary}
    bodies: list[tuple[str, dict[str, Any]]] = [
        (CHAT, {"messages": user(canary)}),
        (CHAT, {"messages": user(canary), "stream": True}),
        (CHAT, {"messages": user(canary), "n": 0}),
        (CHAT, {"messages": user(canary), "user": canary, "metadata": {"a": canary}}),
        (TEXT, {"prompt": canary, "echo": True}),
        (TEXT, {"prompt": f"{canary} " * 3000}),
        (TEXT, {"model": canary, "prompt": "x"}),
        ("/v1/embeddings", {"model": "echo-embed", "input": canary}),
        ("/v1/rerank", {"model": "echo-rerank", "query": canary, "documents": [canary]}),
        ("/v1/tokenize", {"prompt": canary}),
        (f"/v1/{canary}", {}),
    ]
    with httpx.Client(base_url=house.url, headers=headers, timeout=30) as client:
        statuses = [client.post(path, json=body).status_code for path, body in bodies]
        assert statuses == [200, 200, 400, 200, 200, 400, 404, 200, 200, 200, 404]
        assert client.post(CHAT, content=f'{{"{canary}').status_code == 400
        last = client.post(TEXT, json={"prompt": canary})
    session = house.shell(SIGN_IN.format(user="careful"))
    cookie = {"Cookie": f"sessionid={session}"}
    address = f"{house.ws_url}/ws/chat"
    with connect(address, origin=house.url, additional_headers=cookie) as socket:  # type: ignore[arg-type]
        messages = [{"role": "user", "content": canary}]
        socket.send(json.dumps({"type": "chat", "id": "a", "model": "echo", "messages": messages}))
        while json.loads(socket.recv(timeout=10))["type"] != "done":
            pass
    row_of(house, last.headers["x-request-id"])
    kept = everything_kept(house)
    assert "careful" in kept
    assert canary not in kept and key not in kept and key.removeprefix("sk-llms-") not in kept
