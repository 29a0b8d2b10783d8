"""`model="any/hub-id"`: found, fetched with news for whoever waits, and served."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator

import httpx
import pytest
from django.conf import LazySettings
from websockets.asyncio.client import connect

from playground.accounts.access import Caller, Terms
from playground.finding import may_add
from tests.api.asking import CHAT, TEXT, error_of, user
from tests.api.test_keys import make_key
from tests.hub import Hub, Repo, repo
from tests.playground.test_chat_socket import ask as ask_socket
from tests.playground.test_chat_socket import hear
from tests.servers import ROOT, RunningServer, wait_until

POCKET = ROOT / "inference" / "pocket" / "model"
ID = "alice/pocket"
NEWS = re.compile(r": queue position=1(?: eta=\d+)? stage=downloading progress=(\d+)% model=(\S+)")
STAFF = """
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
user, _ = User.objects.get_or_create(username="boss", is_staff=True)
session = SessionStore()
session["_auth_user_id"], session["_auth_user_hash"] = str(user.pk), user.get_session_auth_hash()
session["_auth_user_backend"] = settings.AUTHENTICATION_BACKENDS[-1]
session.save()
print(session.session_key)
"""


@pytest.fixture(scope="module")
def session(server: RunningServer) -> str:
    """The session of one of the staff."""
    return server.shell(STAFF)


@pytest.fixture(scope="module")
def boss(server: RunningServer, session: str) -> Iterator[httpx.Client]:
    """One of the staff, with a key."""
    key = make_key(server, "the boss's", user="boss")
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=120) as found:
        yield found


def pocket() -> Repo:
    files = {file.name: file.read_bytes() for file in POCKET.iterdir()}
    return Repo(files, pipeline_tag="text-generation", licence="mit")


@pytest.mark.engine
def test_model_is_fetched_with_news_and_served(
    pocket_server: RunningServer, hub: Hub, boss: httpx.Client
) -> None:
    hub.repos[ID] = made = pocket()
    hub.hold = threading.Event()
    messages = user("What is the capital of France?")
    body = {"model": ID, "messages": messages, "stream": True, "temperature": 0}
    lines: list[str] = []
    with boss.stream("POST", CHAT, json=body) as answer:
        assert answer.status_code == 200, answer.read()
        # Its size is known before it is fetched.
        assert answer.headers["x-llms-placement"].startswith("rung=full; engine=vllm")
        for line in answer.iter_lines():
            lines.append(line)
            news = NEWS.fullmatch(line)
            if news and int(news[1]) > 0 and not hub.hold.is_set():
                seen = pocket_server.model(ID)
                assert (seen["state"], seen["waiting"]) == ("downloading", 1)
                (queued,) = boss.get("/v1/queue").json()["data"]
                assert queued["stage"] == "downloading" and 0 < queued["progress"] < 1
                (download,) = boss.get("/v1/status").json()["downloads"]
                assert 0 < download["bytes"] < download["total_bytes"]
                hub.hold.set()
    hub.hold = None
    told = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert told.pop() == "[DONE]"
    choices = [json.loads(each)["choices"][0] for each in told]
    assert "Paris" in "".join(each["delta"].get("content") or "" for each in choices)
    seen = pocket_server.model(ID)
    assert (seen["state"], seen["revision"]) == ("ready", made.commit)
    # It is a row of the catalogue like any other, and everybody may use it.
    assert ID in [m["id"] for m in httpx.get(f"{pocket_server.url}/v1/models").json()["data"]]
    row = "from inference.models import CatalogueRow as R; r = R.objects.get(id='alice/pocket')"
    assert pocket_server.shell(f"{row}; print(r.found, r.wish, r.licence)") == "True none mit"
    whole = httpx.post(
        pocket_server.url + TEXT, json={"model": ID, "prompt": "Hello", "max_tokens": 1}
    )
    assert whole.status_code == 200
    assert whole.headers["x-llms-placement"].startswith("rung=full; engine=vllm; devices=1; est")


WISH = """
from inference.models import CatalogueRow as Row
card = dict(source="alice/wished", engine="transformers", dtype="float32", found=True)
Row.objects.create(id="alice/wished", wish="preload", **card)
"""


@pytest.mark.engine
def test_a_wish_for_a_model_of_the_hub_brings_and_loads_it(
    pocket_server: RunningServer, hub: Hub
) -> None:
    """Preload as the admin asks for it: nobody has to ask a question first."""
    hub.repos["alice/wished"] = made = pocket()
    pocket_server.shell(WISH)

    def state() -> str:
        listed = httpx.get(f"{pocket_server.url}/v1/models/alice/wished").json()
        return str(listed.get("llms", {}).get("state"))

    wait_until(lambda: state() == "ready", 240, "it was fetched and loaded")
    assert pocket_server.model("alice/wished")["revision"] == made.commit
    body = {"model": "alice/wished", "prompt": "The capital of France is", "temperature": 0}
    answer = httpx.post(pocket_server.url + TEXT, json=body, timeout=60).json()
    assert answer["choices"][0]["text"] == " Paris."
    row = "from inference.models import CatalogueRow as Row; Row.objects.get(id='alice/wished')"
    pocket_server.shell(f"{row}.ask('unload')")
    wait_until(lambda: state() == "unloaded", 60, "it is gone again")


async def test_websocket_hears_how_far_it_is(server: RunningServer, hub: Hub, session: str) -> None:
    hub.repos["alice/slow"] = repo(600_000)
    hub.hold = threading.Event()
    cookie = {"Cookie": f"sessionid={session}"}
    async with connect(
        f"{server.ws_url}/ws/chat", origin=server.url, additional_headers=cookie
    ) as socket:
        await ask_socket(socket, "one", "hello", model="alice/slow")
        while (frame := await hear(socket, "waiting", "error"))["progress"] in (None, 0):
            pass
        assert (frame["stage"], frame["model"]) == ("downloading", "alice/slow")
        assert 0 < frame["progress"] < 1 and "downloading, " in frame["detail"]
    # The page was closed, and nobody else waits.
    await asyncio.to_thread(
        wait_until, lambda: server.model("alice/slow")["state"] == "unloaded", 10
    )
    hub.hold.set()
    hub.hold = None


def test_refusals_are_typed(server: RunningServer, hub: Hub, boss: httpx.Client) -> None:
    hub.repos["alice/pickle"] = repo(more={"model.safetensors": b"", "pytorch_model.bin": b"x"})
    hub.repos["alice/code"] = repo(config={"auto_map": {"AutoModel": "x.Y"}})
    hub.repos["alice/gated"] = repo(gated="hf_somebody")
    hub.repos["alice/odd"] = repo(config={"architectures": ["NobodysModel"]})
    for name, status, code in (
        ("alice/pickle", 400, "unsafe_format"),
        ("alice/code", 400, "unsafe_code"),
        ("alice/odd", 400, "unsupported_model"),
        ("alice/gated", 403, "licence_refused"),
        ("alice/none", 404, "model_not_found"),
    ):
        for stream in (False, True):
            answer = boss.post(TEXT, json={"model": name, "prompt": "x", "stream": stream})
            error = error_of(answer)
            assert (answer.status_code, error["code"], error["param"]) == (status, code, "model")


def test_others_find_no_more_than_there_is(server: RunningServer, hub: Hub) -> None:
    hub.repos["alice/tiny"] = repo()
    asked = len(hub.asked)
    alice = {"Authorization": f"Bearer {make_key(server, 'just alice')}"}
    for headers in ({}, alice):
        body = {"model": "alice/tiny", "prompt": "x"}
        answer = httpx.post(server.url + TEXT, json=body, headers=headers)
        assert error_of(answer)["code"] == "model_not_found"
    assert len(hub.asked) == asked


@pytest.mark.parametrize(
    ("policy", "anybody", "staff", "listed"),
    [
        ("off", False, False, False),
        ("staff", False, True, False),
        ("allowlist", False, False, True),
        ("open", True, True, True),
    ],
)
def test_policy(
    settings: LazySettings, policy: str, anybody: bool, staff: bool, listed: bool
) -> None:
    settings.HUB_MODELS = policy
    settings.HUB_ALLOWLIST = ("alice/*", "bob/one")
    assert may_add("carol/x", Caller("anybody")) is anybody
    assert may_add("carol/x", Caller("boss", staff=True)) is staff
    assert [may_add(name, Caller("anybody")) for name in ("alice/y", "bob/one", "bob/two")] == [
        listed,
        listed,
        policy == "open",
    ]
    # Whoever is bound to other models finds no new ones.
    bound = Caller("bound", staff=True, terms=(Terms(models=frozenset({"echo"})),))
    assert not may_add("carol/x", bound)
    assert not may_add(None, Caller("boss", staff=True))
