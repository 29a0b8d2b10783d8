"""Limits and shutting people out, on a real server."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.api.asking import CHAT, TEXT, error_of, user
from tests.api.test_keys import guarded, make_key
from tests.servers import RunningServer, wait_until
from tests.usage import row_of

__all__ = ["guarded"]
pytestmark = pytest.mark.database
LONG = {"model": "echo-slow", "prompt": "a b", "max_tokens": 1000, "ignore_eos": True}
SIGN_IN = """
from django.contrib.auth import get_user_model
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.conf import settings
user = get_user_model().objects.get(username={user!r})
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.create()
print(session.session_key)
"""


def member(server: RunningServer, name: str, *limits: str) -> dict[str, str]:
    """A person in a group of that name with these limits; the headers with a key."""
    key = make_key(server, name, name)
    server.manage("groups", "set", name, *limits)
    server.manage("groups", "add", name, name)
    headers = {"authorization": f"Bearer {key}"}
    # The group is in force a few seconds after the key.
    wait_until(lambda: in_force(server, headers), 10, "the group is in force")
    return headers


def in_force(server: RunningServer, headers: dict[str, str]) -> bool:
    models = httpx.get(f"{server.url}/v1/models", headers=headers).json()["data"]
    return {each["id"] for each in models} == {"echo", "echo-slow"}


ONLY = ("--models", "echo,echo-slow")


def test_requests_over_the_limit_are_refused_with_the_time_to_come_back(
    guarded: RunningServer,
) -> None:
    headers = member(guarded, "few", *ONLY, "--requests-per-minute", "3")
    with httpx.Client(base_url=guarded.url, headers=headers) as client:
        said = [client.post(TEXT, json={"prompt": "x", "stream": i % 2 == 0}) for i in range(5)]
    assert [each.status_code for each in said] == [200, 200, 200, 429, 429]
    left = [each.headers["x-ratelimit-remaining-requests"] for each in said]
    assert left == ["2", "1", "0", "0", "0"]
    error = error_of(said[3])
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "requests")
    assert "3 requests a minute" in error["message"]
    found = said[3].headers
    assert 1 <= int(found["retry-after"]) <= 61
    assert found["x-ratelimit-limit-requests"] == "3"
    assert found["x-ratelimit-remaining-requests"] == "0"
    assert found["x-ratelimit-reset-requests"].endswith("s")


def test_tokens_are_counted_and_promised(guarded: RunningServer) -> None:
    headers = member(guarded, "thrifty", *ONLY, "--tokens-per-minute", "150")
    body = {"messages": user("a b c"), "max_tokens": 3}
    with httpx.Client(base_url=guarded.url, headers=headers) as client:
        said = [client.post(CHAT, json=body) for _ in range(25)]
        assert {each.status_code for each in said} == {200}
        left = [int(each.headers["x-ratelimit-remaining-tokens"]) for each in said]
        assert left == [150 - 6 * (i + 1) for i in range(25)]
        over = client.post(CHAT, json=body)
        assert error_of(over)["code"] == "rate_limit_exceeded"
        assert over.headers["x-ratelimit-limit-tokens"] == "150"


def test_at_once_are_no_more_than_allowed(guarded: RunningServer) -> None:
    headers = member(guarded, "single", *ONLY, "--concurrent-requests", "2")
    said: list[int] = []

    def ask() -> None:
        body = {"model": "echo-slow", "prompt": "a b c d e f", "max_tokens": 40, "ignore_eos": True}
        answer = httpx.post(f"{guarded.url}{TEXT}", json=body, headers=headers, timeout=60)
        said.append(answer.status_code)

    crowd = [threading.Thread(target=ask) for _ in range(6)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join(60)
    assert sorted(said) == [200, 200, 429, 429, 429, 429]


def test_device_seconds_are_the_part_of_the_time_that_a_request_had(
    guarded: RunningServer,
) -> None:
    headers = member(guarded, "timed", *ONLY)
    body = {"model": "echo-slow", "prompt": "a", "max_tokens": 20, "ignore_eos": True, "n": 1}
    began = time.monotonic()
    answers: list[httpx.Response] = []

    def ask() -> None:
        url = f"{guarded.url}{TEXT}"
        answers.append(httpx.post(url, json=body, headers=headers, timeout=60))

    crowd = [threading.Thread(target=ask) for _ in range(4)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join(60)
    wall = time.monotonic() - began
    costs = [row_of(guarded, each.headers["x-request-id"])["device_seconds"] for each in answers]
    # Twenty tokens take a second; side by side they share it.
    assert all(cost > 0.05 for cost in costs) and 0.9 < sum(costs) <= wall
    alone = httpx.post(f"{guarded.url}{TEXT}", json=body, headers=headers, timeout=60)
    assert row_of(guarded, alone.headers["x-request-id"])["device_seconds"] >= 0.9


def test_a_deactivated_person_is_shut_out_everywhere(guarded: RunningServer) -> None:
    key = make_key(guarded, "leaver", "leaver")
    headers = {"authorization": f"Bearer {key}"}
    session = guarded.shell(SIGN_IN.format(user="leaver"))
    lines: list[str] = []

    def read() -> None:
        body = LONG | {"stream": True}
        with httpx.stream(
            "POST", f"{guarded.url}{TEXT}", json=body, headers=headers, timeout=90
        ) as response:
            lines.extend(line for line in response.iter_lines() if line.startswith("data"))

    cookie = {"Cookie": f"sessionid={session}"}
    address = f"{guarded.ws_url}/ws/chat"
    with connect(address, origin=guarded.url, additional_headers=cookie) as socket:  # type: ignore[arg-type]
        ask: dict[str, Any] = {"type": "chat", "id": "a", "model": "echo-slow"}
        messages = [{"role": "user", "content": "one two " * 200}]
        socket.send(json.dumps(ask | {"messages": messages}))
        while json.loads(socket.recv(timeout=10))["type"] != "token":
            pass
        reader = threading.Thread(target=read)
        reader.start()
        guarded.shell(
            "from django.contrib.auth.models import User; "
            "User.objects.filter(username='leaver').update(is_active=False)"
        )
        began = time.monotonic()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(timeout=30)
        reader.join(30)
        assert time.monotonic() - began < 30
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
    assert json.loads(lines[-2].removeprefix("data: "))["error"]["code"] == "invalid_api_key"
    assert lines[-1] == "data: [DONE]"
    assert httpx.get(f"{guarded.url}/v1/models", headers=headers).status_code == 401


def test_strangers_have_no_socket_in_key_mode(guarded: RunningServer) -> None:
    from websockets.exceptions import InvalidStatus

    with (
        pytest.raises(InvalidStatus) as caught,
        connect(
            f"{guarded.ws_url}/ws/chat",
            origin=guarded.url,  # type: ignore[arg-type]
        ),
    ):
        pass
    assert caught.value.response.status_code == 403


def test_scripts_are_told_what_the_owner_of_their_key_used(guarded: RunningServer) -> None:
    headers = {"authorization": f"Bearer {make_key(guarded, 'counted', 'counted')}"}
    other = {"authorization": f"Bearer {make_key(guarded, 'another', 'another')}"}
    with httpx.Client(base_url=guarded.url, headers=headers, timeout=30) as client:
        for _ in range(2):
            said = client.post(TEXT, json={"prompt": "a b c", "max_tokens": 2})
        row_of(guarded, said.headers["x-request-id"])
        told = client.get("/v1/usage", params={"days": 1}).json()
        assert (told["object"], told["days"]) == ("usage", 1)
        wanted = {"requests": 2, "failures": 0, "prompt_tokens": 6, "completion_tokens": 4}
        assert told["total"].items() >= wanted.items()
        [key], [model] = told["keys"], told["models"]
        assert key["name"].startswith("counted") and key.items() >= wanted.items()
        assert model["id"] == "echo" and model.items() >= wanted.items()
        assert client.get("/v1/usage", headers=other).json()["total"]["requests"] == 0
        for days in ("0", "367", "-1", "x", "1.5"):
            refused = client.get("/v1/usage", params={"days": days})
            assert (refused.status_code, error_of(refused)["param"]) == (400, "days")
    assert httpx.get(f"{guarded.url}/v1/usage").status_code == 401
