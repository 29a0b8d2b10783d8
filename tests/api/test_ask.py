"""What models' pages ask, at /ask/{id}: for our own pages only, in the name of whoever looks."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import MakeServer
from tests.servers import RunningServer, wait_until
from tests.usage import row_of

CARDS = """
[[model]]
id = "echo"
source = "echo"
engine = "echo"

[[model]]
id = "near"
source = "echo"
engine = "echo"
task = "embedding"

[[model]]
id = "lab/late"
source = "echo"
engine = "echo"
task = "embedding"
engine_args = { load_seconds = 3 }

[[model]]
id = "lab/never"
source = "echo"
engine = "echo"
task = "embedding"
engine_args = { load_seconds = 600 }

[[model]]
id = '"><img/src=x/onerror=hit()>&amp;?a=b#c%2F../</script>'
source = "echo"
engine = "echo"
task = "embedding"
notes = "</script><img src=x onerror=hit()>"

[[model]]
id = "ranks"
source = "echo"
engine = "echo"
task = "rerank"
"""
ALICE = """
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
user = User.objects.create_user("alice")
session = SessionStore()
session["_auth_user_id"] = str(user.pk)
session["_auth_user_backend"] = settings.AUTHENTICATION_BACKENDS[-1]
session["_auth_user_hash"] = user.get_session_auth_hash()
session.create()
print(session.session_key, user.pk)
"""
PAIR = {"source_sentence": "a cat", "sentences": ["a cat", "tea"]}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cards") / "catalogue.toml"
    path.write_text(CARDS)
    return path


@pytest.fixture(scope="module")
def house(make_server: MakeServer, catalogue: Path) -> RunningServer:
    """A server that demands keys."""
    return make_server(
        {"CATALOGUE": str(catalogue), "AUTH_MODE": "key", "USAGE_FLUSH_SECONDS": "0.1"}
    )


@pytest.fixture(scope="module")
def open_house(make_server: MakeServer, catalogue: Path) -> RunningServer:
    """One that lets anybody in, and pages of another origin at its API."""
    return make_server({"CATALOGUE": str(catalogue), "CORS_ORIGINS": "https://campus.example"})


@contextmanager
def browser(server: RunningServer, model: str, **cookies: str) -> Iterator[httpx.Client]:
    """A browser with the page of a model open: it has the page's token."""
    with httpx.Client(base_url=server.url, cookies=cookies, timeout=60) as client:
        page = client.get(f"/models/{model}")
        assert page.status_code == 200, page.text
        client.headers.update({"Origin": server.url, "X-CSRFToken": client.cookies["csrftoken"]})
        yield client


@pytest.fixture(scope="module")
def alice(house: RunningServer) -> Iterator[tuple[httpx.Client, int]]:
    """Somebody who is signed in, and her number."""
    session, number = house.shell(ALICE).split()
    with browser(house, "near", sessionid=session) as client:
        yield client, int(number)


@pytest.fixture
def visitor(open_house: RunningServer) -> Iterator[httpx.Client]:
    """Nobody in particular."""
    with browser(open_house, "near") as client:
        yield client


def events(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    """Names and fields, in order."""
    assert response.headers["content-type"].startswith("text/event-stream"), response.text
    found = []
    for block in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def refused(response: httpx.Response, status: int) -> dict[str, Any]:
    """The refusal's fields."""
    assert response.status_code == status, response.text
    found: dict[str, Any] = response.json()
    return found


def test_a_visitor_is_answered(visitor: httpx.Client) -> None:
    [(name, fields)] = events(visitor.post("/ask/near", json={"inputs": PAIR}))
    assert name == "answer" and fields["result"][0] == pytest.approx(1)
    assert fields["queue_seconds"] >= 0 and fields["placement"].startswith("rung=full")


def test_a_ranker_scores_too(visitor: httpx.Client) -> None:
    [(_, fields)] = events(visitor.post("/ask/ranks", json={"inputs": PAIR}))
    hub = visitor.post("/hf/models/ranks", json={"inputs": PAIR}).json()
    assert fields["result"] == hub and hub[0] > hub[1]


def test_who_waits_hears_of_it(visitor: httpx.Client) -> None:
    *news, (name, fields) = events(visitor.post("/ask/lab/late", json={"inputs": PAIR}))
    assert name == "answer" and fields["queue_seconds"] > 2
    assert news and all(each == "waiting" for each, _ in news)
    _, first = news[0]
    assert (first["model"], first["position"], first["stage"]) == ("lab/late", 1, "loading")
    assert first["detail"].startswith("loading for") and first["progress"] is None


def test_who_leaves_gives_the_place_up(visitor: httpx.Client) -> None:
    def waiting() -> int:
        return int(visitor.get("/ask/lab/never").json()["waiting"])

    with visitor.stream("POST", "/ask/lab/never", json={"inputs": PAIR}) as response:
        # Kept, because the connection goes with what reads it.
        pieces = response.iter_raw()
        assert next(pieces).startswith(b"event: waiting")
        assert waiting() == 1
    wait_until(lambda: waiting() == 0, 10, "the place is free")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"inputs": {"sentences": ["a"]}}, "inputs.source_sentence"),
        ({"inputs": "a", "parameters": {"normalize": "no"}}, "parameters.normalize"),
        ({"inputs": "a", "colour": "red"}, "parameters.colour"),
    ],
)
def test_a_bad_body_is_refused_by_name(visitor: httpx.Client, body: Any, param: str) -> None:
    found = refused(visitor.post("/ask/near", json=body), 400)
    assert found["param"] == param and found["error"]


def test_a_model_that_chats_is_not_asked_here(visitor: httpx.Client) -> None:
    assert "chat" in refused(visitor.post("/ask/echo", json={"inputs": "a"}), 400)["error"]
    assert refused(visitor.post("/ask/nothing", json={}), 404)["code"] == "model_not_found"


def test_the_state_of_a_model(visitor: httpx.Client) -> None:
    found = visitor.get("/ask/near").json()
    assert (found["id"], found["task"], found["state"]) == ("near", "embedding", "ready")


def test_a_page_of_another_origin_asks_nothing(visitor: httpx.Client) -> None:
    """Nor one without the token, whichever way it is sent; CORS_ORIGINS change nothing here."""
    for headers in ({"Origin": "https://campus.example"}, {"X-CSRFToken": "x" * 32}):
        answer = visitor.post("/ask/near", json={"inputs": PAIR}, headers=headers)
        assert refused(answer, 403)["code"] == "foreign_page"
        assert "Access-Control-Allow-Origin" not in answer.headers
    del visitor.headers["X-CSRFToken"]
    assert refused(visitor.post("/ask/near", json={"inputs": PAIR}), 403)
    form = {"csrfmiddlewaretoken": visitor.cookies["csrftoken"]}
    assert refused(visitor.post("/ask/near", data=form), 400)["code"] == "invalid_json"
    read = visitor.options("/ask/near", headers={"Origin": "https://campus.example"})
    assert "Access-Control-Allow-Origin" not in read.headers


def test_only_whoever_is_signed_in_asks_where_keys_are_demanded(
    house: RunningServer, alice: Any
) -> None:
    client, number = alice
    body = {"inputs": PAIR}
    answer = client.post("/ask/near", json=body)
    assert events(answer)[-1][0] == "answer"
    row = row_of(house, answer.headers["x-request-id"])
    assert (row["account"], row["kind"], row["model"]) == (f"user:{number}", "playground", "near")
    # A key counts at the API alone, a session here alone.
    _, text = house.shell(KEY.format(number=number)).split()
    bearer = {"Authorization": f"Bearer {text}"}
    token = {"csrftoken": client.cookies["csrftoken"]}
    with httpx.Client(base_url=house.url, headers=client.headers, cookies=token) as stranger:
        assert refused(stranger.post("/ask/near", json=body, headers=bearer), 401)
        assert stranger.post("/hf/models/near", json=body, headers=bearer).status_code == 200
    assert client.post("/hf/models/near", json=body).status_code == 401


KEY = """
from playground.accounts.models import ApiKey
from django.contrib.auth.models import User
key, text = ApiKey.issue(owner=User.objects.get(pk={number}), name="k")
print(key.pk, text)
"""


def test_limits_hold_and_what_may_not_be_used_is_not_there(
    house: RunningServer, alice: Any
) -> None:
    client, _ = alice
    house.manage("groups", "set", "few", "--requests-per-minute", "1", "--models", "near")
    house.manage("groups", "add", "few", "alice")
    wait_until(lambda: client.get("/models/ranks").status_code == 404, 10, "the group is in force")
    assert "/models/near" in (listed := client.get("/models").text)
    assert "/models/ranks" not in listed
    assert refused(client.post("/ask/ranks", json={"inputs": PAIR}), 404)

    def over() -> bool:
        return bool(client.post("/ask/near", json={"inputs": PAIR}).status_code == 429)

    wait_until(over, 10, "the limit holds")
    answer = client.post("/ask/near", json={"inputs": PAIR})
    found = refused(answer, 429)
    assert "1 requests a minute" in found["error"] and answer.headers["retry-after"]


def test_an_odd_name_is_only_a_name(visitor: httpx.Client) -> None:
    """W2: in the list, on its page, and as an address."""
    listed = visitor.get("/models").text
    [address] = re.findall(r'href="(/models/[^"]*onerror[^"]*)"', listed)
    page = visitor.get(html.unescape(address))
    assert page.status_code == 200
    for text in (listed, page.text):
        assert "<img/src" not in text and "<img src=x" not in text
    [about] = re.findall(r'<script id="about" type="application/json">(.*?)</script>', page.text)
    ask = json.loads(about)["ask"]
    [(name, _)] = events(visitor.post(ask, json={"inputs": PAIR}))
    assert name == "answer"


def test_pages_ask_strangers_to_sign_in_where_keys_are_demanded(house: RunningServer) -> None:
    for path in ("/models", "/models/near"):
        assert httpx.get(f"{house.url}{path}").headers["location"].startswith("/accounts/login/")
    assert httpx.get(f"{house.url}/ask/near").status_code == 401
