"""A disk that is full: the database and the Hub's files cannot grow either."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest

from tests.api.asking import TEXT, error_of
from tests.api.witness import unharmed
from tests.conftest import MakeServer
from tests.faults.conftest import SHORT
from tests.hub import Hub, repo
from tests.servers import RunningServer, wait_until
from tests.staff import STRANGER, sessions_of, signed_in
from tests.usage import row_of

NODES = [
    {"id": "", "chosen": "a"},
    {"id": "a", "parent": "", "chosen": None, "role": "user", "content": "one two"},
]
TALK: dict[str, Any] = {"title": "One", "system": "", "nodes": NODES}


@contextmanager
def full(server: RunningServer) -> Iterator[None]:
    """No file of the server's process takes another byte meanwhile."""
    pid = server.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


def refused(answer: httpx.Response) -> str:
    """Why it is not done now; an error object, of 503 or 507."""
    assert answer.status_code in (503, 507), answer.text[:500]
    return str(error_of(answer)["code"])


# R11
def test_what_cannot_be_written_is_refused_and_nothing_is_broken(
    make_server: MakeServer, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(hub.repos, "alice/large", repo(licence="mit"))
    server = make_server(SHORT | {"HF_ENDPOINT": hub.url, "HUB_MODELS": "open"})
    session = sessions_of(server, maria=STRANGER)["maria"]
    with unharmed(server), signed_in(server, session) as page:
        assert page.post("/conversations/keeping", json={"on": True}).status_code == 200
        kept = page.post("/conversations", json=TALK)
        assert kept.status_code == 201, kept.text
        with full(server):
            assert refused(page.post("/conversations", json=TALK)) == "database_unavailable"
            assert refused(page.delete("/conversations")) == "database_unavailable"
            asked = page.post(TEXT, json={"model": "alice/large", "prompt": "x"})
            assert refused(asked) in ("database_unavailable", "storage_full", "model_unavailable")
            # Pages of forms are pages; what was written is read, and answers need no disk.
            form = {"login": "maria", "password": "wrong", **token(page)}
            assert page.post("/accounts/login/", data=form).status_code in (200, 302, 503)
            found = page.get("/conversations")
            assert [each["title"] for each in found.json()["conversations"]] == ["One"]
            answer = page.post(TEXT, json={"prompt": "one two"})
            assert answer.status_code == 200
        # As soon as there is room.
        wait_until(lambda: page.post("/conversations", json=TALK).status_code == 201, 5, "kept")
        assert row_of(server, answer.headers["x-request-id"])["completion_tokens"] == 2
        assert len(page.get("/conversations").json()["conversations"]) == 2
    assert server.stop() == 0
    with closing(sqlite3.connect(server.data / "db.sqlite3")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    # What was begun of a model is not taken for the model.
    assert not list((server.data / "hub").rglob("*.safetensors"))


def token(page: httpx.Client) -> dict[str, str]:
    """What a form of ours has to hold."""
    return {"csrfmiddlewaretoken": page.cookies["csrftoken"]}
