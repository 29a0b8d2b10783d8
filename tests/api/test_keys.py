"""Keys: demanded in key mode, tolerated in open mode, never shown."""

from __future__ import annotations

import httpx
import pytest

from tests.api.asking import TEXT, error_of
from tests.conftest import MakeServer
from tests.servers import RunningServer, wait_until

pytestmark = pytest.mark.database
MAKE = """
from datetime import timedelta
from django.contrib.auth import get_user_model
from django.utils import timezone
from playground.accounts.models import ApiKey
user, _ = get_user_model().objects.get_or_create(username={user!r}, is_active={active})
key = ApiKey(owner=user, name={name!r}, expires=timezone.now() + timedelta(hours={hours}))
text = key.draw()
key.save()
print(text)
"""
REVOKE = """
from django.utils import timezone
from playground.accounts.models import ApiKey
ApiKey.objects.filter(name={name!r}).update(revoked=timezone.now())
"""
ROUTES = ["models", "models/echo", "engines", "completions", "chat/completions", "nothing", ""]


def make_key(
    server: RunningServer, name: str, user: str = "", active: bool = True, hours: int = 1
) -> str:
    """A key in the server's own database, alice's if nobody's else."""
    user = user or ("alice" if active else "mallory")
    return server.shell(MAKE.format(user=user, active=active, name=name, hours=hours))


@pytest.fixture(scope="module")
def guarded(make_server: MakeServer) -> RunningServer:
    """A server that demands keys."""
    return make_server({"AUTH_MODE": "key"})


@pytest.fixture(scope="module")
def key(guarded: RunningServer) -> str:
    """Alice's key."""
    return make_key(guarded, "alice's")


def ask(server: RunningServer, key: str | None, scheme: str = "Bearer") -> httpx.Response:
    """One short question."""
    headers = {} if key is None else {"authorization": f"{scheme} {key}".encode()}
    return httpx.post(f"{server.url}{TEXT}", json={"prompt": "one"}, headers=headers)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("route", ROUTES)
def test_nothing_is_open_in_key_mode(guarded: RunningServer, method: str, route: str) -> None:
    response = httpx.request(method, f"{guarded.url}/v1/{route}")
    assert response.status_code == 401
    assert error_of(response)["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_real_key_opens(guarded: RunningServer, key: str, scheme: str) -> None:
    assert ask(guarded, key, scheme).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        "sk-wrong",
        "sk-llms-" + "A" * 43,
        "' OR 1=1 --",
        "sk-llms-" + "é" * 43,
        "x" * 5000,
    ],
)
def test_a_wrong_key_is_refused_and_not_repeated(guarded: RunningServer, wrong: str) -> None:
    response = ask(guarded, wrong)
    assert response.status_code == 401
    assert error_of(response)["code"] == "invalid_api_key"
    assert wrong not in response.text
    assert wrong not in guarded.log.read_text()


def test_a_key_in_another_scheme_or_header_is_no_key(guarded: RunningServer, key: str) -> None:
    assert ask(guarded, key, "Basic").status_code == 401
    cookie = httpx.get(f"{guarded.url}/v1/models", headers={"cookie": f"sessionid={key}"})
    assert cookie.status_code == 401


def test_an_expired_key_is_refused(guarded: RunningServer) -> None:
    assert ask(guarded, make_key(guarded, "old", hours=-1)).status_code == 401


def test_a_disabled_owner_has_no_keys(guarded: RunningServer) -> None:
    assert ask(guarded, make_key(guarded, "mallory's", active=False)).status_code == 401


def test_a_revoked_key_dies_within_five_seconds(guarded: RunningServer) -> None:
    doomed = make_key(guarded, "doomed")
    assert ask(guarded, doomed).status_code == 200
    guarded.shell(REVOKE.format(name="doomed"))
    wait_until(lambda: ask(guarded, doomed).status_code == 401, 5.5, "the key is dead")


def test_the_database_holds_no_key(guarded: RunningServer, key: str) -> None:
    for file in guarded.data.glob("db.sqlite3*"):
        assert key.encode() not in file.read_bytes()


def test_any_key_and_none_is_taken_in_open_mode(server: RunningServer) -> None:
    for text in (None, "irrelevant", "sk-llms-" + "A" * 43, "x" * 5000):
        assert ask(server, text).status_code == 200
