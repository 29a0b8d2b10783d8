"""HARDENING.md, access: who may ask, and what a log may know."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from django.urls import get_resolver

from tests.api.asking import CHAT, TEXT, chat, error_of, user
from tests.api.test_errors import ROUTES
from tests.api.test_hardening_hosts import raw
from tests.api.test_keys import guarded, key, make_key
from tests.conftest import MakeServer
from tests.servers import RunningServer, wait_until

__all__ = ["guarded", "key"]
# Routes that answer without a key, whatever the mode. Everything else has to be 401, 403 or 302.
PROBES = {"/healthz", "/readyz"}
BOARD = {"/status", "/v1/status"}
# Whoever is not in yet has to get in, or to a new password.
DOOR = {
    "/accounts/login/", "/accounts/signup/", "/accounts/password/reset/",
    "/accounts/password/reset/done/", "/accounts/password/reset/key/done/", "/accounts/inactive/",
    "/accounts/confirm-email/", "/accounts/3rdparty/login/cancelled/",
}  # fmt: skip
DOCS = {"/docs", "/docs/waiting", "/docs/limits", "/docs/errors", "/docs/api", "/privacy"}
PUBLIC = {*PROBES, *BOARD, *DOOR, *DOCS, "/v1/openapi.json", "/hf/openapi.json"}
# Open to this very machine alone: tests/api/test_metrics.py asks it from elsewhere.
NEAR = {"/metrics"}
SOON_OVER = """
from datetime import timedelta
from django.utils import timezone
from playground.accounts.models import ApiKey
key = ApiKey.objects.get(name="class")
key.expires = timezone.now() + timedelta(seconds=1)
key.save()
"""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
ASKED = (
    "/v1/models", "/v1/models/echo", "/v1/models/nope", "/v1/engines", "/v1/engines/echo",
    "/v1/engines/echo/completions", "/v1/engines/echo/chat/completions", CHAT, TEXT,
    "/v1/embeddings", "/v1/queue", "/v1/files", "/v1", "/v1/", "/v1//models", "/v1/./models",
    "/v1/%2e%2e/healthz", "/v1/models/../../admin/", "/admin/", "/admin/accounts/apikey/",
    *(path for path in ROUTES if path.startswith(("/v1/rerank", "/v1/score", "/v1/engines/echo-"))),
    *(path for path in ROUTES if "tokenize" in path), "/rerank", "/score",
)  # fmt: skip


# A1
@pytest.mark.database
@pytest.mark.parametrize("path", ASKED)
def test_nothing_is_open_without_a_key(guarded: RunningServer, path: str) -> None:
    for method in METHODS:
        connection = http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=10)
        body = json.dumps({"prompt": "x", "messages": user("x")})
        connection.request(method, path, body, {"Cookie": "sessionid=x", "X-Api-Key": "x"})
        status = connection.getresponse().status
        connection.close()
        assert status in (301, 302, 401, 403), (method, status)


@pytest.mark.database
def test_what_is_public_is_on_the_list(guarded: RunningServer) -> None:
    known = {f"/{each}" for each in addresses(get_resolver().url_patterns)}
    assert known >= PUBLIC | NEAR
    for path in sorted(known - PUBLIC - NEAR):
        response = httpx.get(f"{guarded.url}{path}")
        # Addresses with a name in them lead nowhere here: a sign-up link, a link from a mail.
        refused = (301, 302, 401, 403, 405, *([404] if "<" in path else []))
        assert response.status_code in refused, (path, response.status_code)
    for path in sorted(PUBLIC):
        assert httpx.get(f"{guarded.url}{path}").status_code == 200, path


def addresses(patterns: list[Any], before: str = "") -> Iterator[str]:
    """Every fixed address of the site but the admin's, and one for each that has a name in it."""
    for each in patterns:
        plain = (
            re.sub(r"\^|/\?\\Z|\\Z", "", str(each.pattern))
            .replace("(?:/|)", "/")
            .replace("\\.", ".")
        )
        plain = before + re.sub(r"\(\?P<model>.*?\)", "echo", plain)
        if plain.startswith("admin"):
            yield "admin/"
        elif hasattr(each, "url_patterns"):
            yield from addresses(each.url_patterns, plain)
        else:
            yield plain


@pytest.mark.parametrize("path", sorted(PROBES))
def test_probes_are_public_and_say_little(guarded: RunningServer, path: str) -> None:
    response = httpx.get(f"{guarded.url}{path}")
    assert response.status_code == 200
    assert "echo" not in response.text and len(response.text) < 200


@pytest.mark.parametrize("path", sorted(BOARD))
def test_the_board_is_public_and_tells_nothing_of_callers(
    guarded: RunningServer, key: str, path: str
) -> None:
    headers = {"authorization": f"Bearer {key}"}
    asked = httpx.post(f"{guarded.url}{TEXT}", json={"prompt": "hush"}, headers=headers)
    text = httpx.get(f"{guarded.url}{path}").text
    for private in ("hush", "alice", "user:", "ip:", asked.headers["x-request-id"][4:]):
        assert private not in text


# A4
@pytest.mark.database
def test_a_scoped_key_knows_no_other_model(guarded: RunningServer) -> None:
    command = ("keys", "create", "--name", "scoped", "--models", "echo,echo-embed")
    make_key(guarded, "first", "scoped-user")
    text = guarded.manage(*command, "--owner", "scoped-user").stdout.strip()
    headers = {"authorization": f"Bearer {text}"}
    with httpx.Client(base_url=guarded.url, headers=headers) as client:
        assert client.post(TEXT, json={"prompt": "x"}).status_code == 200
        for path in ("/v1/models", "/v1/engines"):
            assert {m["id"] for m in client.get(path).json()["data"]} == {"echo", "echo-embed"}
        asked = (
            client.post(TEXT, json={"model": "echo-slow", "prompt": "x"}),
            client.post(CHAT, json={"model": "echo-slow", "messages": user("x"), "stream": True}),
            client.post(
                "/v1/rerank", json={"model": "echo-rerank", "query": "a", "documents": ["b"]}
            ),
            client.get("/v1/models/echo-slow"),
            client.get("/v1/engines/echo-slow"),
        )
        for response in asked:
            assert response.status_code == 404
            assert error_of(response)["code"] == "model_not_found"


@pytest.mark.database
def test_a_class_key_ends_at_its_date(guarded: RunningServer) -> None:
    guarded.manage("groups", "set", "class", "--weight", "0.5")
    command = ("keys", "create", "--group", "class", "--name", "class", "--days", "1")
    text = guarded.manage(*command).stdout.strip()
    headers = {"authorization": f"Bearer {text}"}

    def status() -> int:
        return httpx.get(f"{guarded.url}/v1/models", headers=headers).status_code

    assert status() == 200
    guarded.shell(SOON_OVER)
    wait_until(lambda: status() == 401, 10, "the class is over")


# A5
ODD_KEYS = (
    "' OR '1'='1", "%00", "sk-llms-\u00fc\u00fc", "\u202esk", "a" * 6000, "sk-llms-" + "_" * 43,
    "..", "Bearer x", "{}", "-1",
)  # fmt: skip


@pytest.mark.database
@pytest.mark.parametrize("odd", ODD_KEYS, ids=range(len(ODD_KEYS)))
def test_an_odd_key_is_a_wrong_key(guarded: RunningServer, odd: str) -> None:
    headers = {"authorization": b"Bearer " + odd.encode()}
    response = httpx.get(f"{guarded.url}/v1/models", headers=headers)
    assert response.status_code in (400, 401), response.text
    assert len(odd) < 9 or odd not in response.text + guarded.log.read_text()


@pytest.mark.database
def test_a_key_of_a_megabyte_is_cut_off(guarded: RunningServer) -> None:
    try:
        said = raw(guarded, f"GET /v1/models HTTP/1.1\r\nAuthorization: Bearer {'k' * 2**20}")
    except OSError:
        return
    assert not said or said.split()[1] in ("400", "401", "431")


@pytest.mark.database
def test_every_wrong_key_takes_as_long_as_a_nearly_right_one(
    guarded: RunningServer, key: str
) -> None:
    gone = make_key(guarded, "gone", "gone-by")
    revoked = guarded.manage("keys", "list", "--owner", "gone-by").stdout.split()[0]
    guarded.manage("keys", "revoke", revoked)
    late = make_key(guarded, "late", "late-riser", hours=-1)

    def status(text: str) -> int:
        headers = {"authorization": f"Bearer {text}".encode()}
        return http_client.get("/v1/models", headers=headers).status_code

    kinds: dict[str, Callable[[], str]] = {
        "nearly right": lambda: key[:-6] + secrets.token_hex(3),
        "random": lambda: secrets.token_urlsafe(40),
        "revoked": lambda: gone,
        "expired": lambda: late,
        "as long as a head may be": lambda: secrets.token_hex(3000),
        "no key at all": lambda: secrets.token_hex(3),
        "SQL": lambda: f"' OR '1'='1' -- {secrets.token_hex(3)}",
    }
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    with httpx.Client(base_url=guarded.url) as http_client:
        wait_until(lambda: status(gone) == 401, 6, "the key is revoked")
        # In turn, so that what else runs here slows all of them alike.
        for _ in range(40):
            for kind, make in kinds.items():
                started = time.perf_counter()
                assert status(make()) == 401
                times[kind].append(time.perf_counter() - started)
    medians = {kind: statistics.median(each) for kind, each in times.items()}
    assert max(medians.values()) - min(medians.values()) < 0.02, medians


@pytest.mark.slow
def test_ten_thousand_wrong_keys_hold_nobody_up(guarded: RunningServer, key: str) -> None:
    with httpx.Client(base_url=guarded.url) as client:
        for _ in range(10_000):
            headers = {"authorization": f"Bearer {secrets.token_urlsafe(40)}"}
            assert client.get("/v1/models", headers=headers).status_code == 401
        started = time.perf_counter()
        good = client.get("/v1/models", headers={"authorization": f"Bearer {key}"})
        assert good.status_code == 200 and time.perf_counter() - started < 1


@pytest.mark.database
def test_no_log_holds_a_key(guarded: RunningServer) -> None:
    fresh = make_key(guarded, f"logged-{secrets.token_hex(4)}")
    headers = {"authorization": f"Bearer {fresh}"}
    with httpx.Client(base_url=guarded.url, headers=headers) as client:
        assert client.post(TEXT, json={"prompt": "x"}).status_code == 200
        assert client.post(TEXT, json={"prompt": fresh, "n": 0}).status_code == 400
        assert client.get(f"/v1/models/{fresh}").status_code == 404
    for log in [guarded.log, *(guarded.data / "logs").rglob("*.log")]:
        assert fresh not in log.read_text()


# A7
@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "%2e%2e%2f", "....//", "x" * 10_000, "\u202e", "echo\n",
     "file:///etc/passwd", "C:\\", "${HOME}", "{{7*7}}", "echo ", " echo", "ECHO"],
    ids=range(14),
)  # fmt: skip
def test_an_odd_model_is_an_unknown_model(http: httpx.Client, name: str) -> None:
    for stream in (False, True):
        response = chat(http, model=name, stream=stream)
        assert response.status_code == 404
        assert error_of(response)["code"] == "model_not_found"
        assert len(response.text) < 500 and "root:" not in response.text


# Nothing in silence, and CORS as configured
def test_unknown_models_may_be_answered_by_the_default_and_it_is_said(
    make_server: MakeServer,
) -> None:
    origin = "https://page.example"
    server = make_server({"ALIAS_UNKNOWN": "default", "CORS_ORIGINS": origin})
    with httpx.Client(base_url=server.url) as client:
        answer = client.post(CHAT, json={"model": "gpt-9", "messages": user("x")})
        assert (answer.status_code, answer.json()["model"]) == (200, "echo")
        assert answer.headers["x-llms-model"] == "echo"
        for known in ("echo", "gpt-test"):
            answer = client.post(CHAT, json={"model": known, "messages": user("x")})
            assert "x-llms-model" not in answer.headers
        odd = client.post(CHAT, json={"model": "a\r\nx: y", "messages": user("x")})
        assert odd.headers["x-llms-model"] == "echo" and "x" not in odd.headers

        asked = {"origin": origin, "access-control-request-method": "POST"}
        before = client.options(CHAT, headers=asked)
        assert before.status_code == 204
        for response in (
            before,
            client.get("/v1/models", headers={"origin": origin}),
            client.post(CHAT, json={}, headers={"origin": origin}),
        ):
            assert response.headers["access-control-allow-origin"] == origin
            assert "access-control-allow-credentials" not in response.headers
        for other in ("https://evil.example", "null", f"{origin}.evil.example"):
            response = client.get("/v1/models", headers={"origin": other})
            assert "access-control-allow-origin" not in response.headers


def test_no_origin_is_welcome_unless_named(http: httpx.Client) -> None:
    response = http.get("/v1/models", headers={"origin": "https://page.example"})
    assert "access-control-allow-origin" not in response.headers


def test_strict_callers_hear_of_the_first_ignored_name(http: httpx.Client) -> None:
    strict = {"x-llms-strict": "true", "openai-organization": "org", "openai-project": "p"}
    for more in ({"user": "me"}, {"store": True}, {"anything": 1}):
        body = {"messages": user("x")} | more
        loose = http.post(CHAT, json=body)
        assert loose.headers["x-llms-ignored"] == next(iter(more))
        refused = http.post(CHAT, json=body, headers=strict)
        assert refused.status_code == 400
        assert error_of(refused)["param"] == next(iter(more))
    assert http.post(CHAT, json={"messages": user("x")}, headers=strict).status_code == 200
