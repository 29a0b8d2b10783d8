"""Who may come in by websocket, and whose account it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from playground import visitors
from playground.accounts.access import UNBOUND
from playground.accounts.directory import Directory
from playground.accounts.snapshot import Snapshot
from playground.errors import BadKey
from playground.visitors import caller_of, same_origin

ALICE = SimpleNamespace(is_authenticated=True, pk=7)
STRANGER = SimpleNamespace(is_authenticated=False, pk=None)


def scope(user: Any = STRANGER, client: tuple[str, int] = ("1.2.3.4", 5), **headers: str) -> Any:
    pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return {"user": user, "client": client, "headers": pairs}


@pytest.mark.parametrize(
    ("origin", "fine"),
    [
        ("https://llm.example", True),
        ("https://llm.example:8443", False),
        ("https://evil.example", False),
        ("https://llm.example.evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_only_pages_of_the_host_that_was_asked_come_in(origin: str, fine: bool) -> None:
    assert same_origin(scope(origin=origin, host="llm.example")) is fine


def test_an_origin_that_the_operator_trusts_comes_in(settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://desk.example"]
    assert same_origin(scope(origin="https://desk.example", host="llm.example"))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alice is the only person."""
    snapshot = Snapshot((), {}, frozenset(), {}, frozenset({7}), (UNBOUND,), float("inf"))
    found = Directory(lambda: snapshot, lambda: ())
    monkeypatch.setattr(visitors, "directory", found)


async def test_strangers_may_not_come_in_where_keys_are_demanded(
    settings: Any, known: None
) -> None:
    settings.AUTH_MODE = "key"
    assert (await caller_of(scope(ALICE))).user_id == 7
    for nobody in (STRANGER, SimpleNamespace(is_authenticated=True, pk=8)):
        with pytest.raises(BadKey):
            await caller_of(scope(nobody))


async def test_account_is_the_person_else_the_address_behind_trusted_proxies(
    settings: Any, known: None
) -> None:
    settings.TRUSTED_PROXIES = ("10.0.0.1",)
    assert (await caller_of(scope(ALICE))).account == "user:7"
    assert (await caller_of(scope(x_forwarded_for="9.9.9.9"))).account == "ip:1.2.3.4"
    proxied = scope(client=("10.0.0.1", 5), x_forwarded_for="6.6.6.6, 9.9.9.9")
    assert (await caller_of(proxied)).account == "ip:9.9.9.9"
