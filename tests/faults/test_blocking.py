"""Nothing blocks the event loop: every view is visited while its thread is watched."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.urls import get_resolver
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.api.asking import CHAT, user
from tests.api.test_errors import BODIES, GOOD, ROUTES
from tests.api.test_hardening_access import addresses
from tests.conftest import MakeServer
from tests.servers import RunningServer
from tests.staff import BOSS, sessions_of

WATCH = Path(__file__).parent / "watch"
# What a route of Hugging Face's kind is asked; the others are in BODIES.
INPUTS = {"inputs": "one two"}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the watched server's event loop is told on."""
    return tmp_path_factory.mktemp("watch") / "blocking.log"


@pytest.fixture(scope="module")
def watched(make_server: MakeServer, log: Path) -> RunningServer:
    """A server whose event loop is watched, with every log on."""
    path = os.pathsep.join([str(WATCH), *filter(None, [os.environ.get("PYTHONPATH")])])
    return make_server({"PYTHONPATH": path, "BLOCKING_LOG": str(log), "LOG_REQUESTS": "1"})


def paths() -> list[str]:
    """Every address; names in them are those of a model, of a number, of nothing in particular."""
    found = {f"/{each}" for each in addresses(get_resolver().url_patterns)} | {*ROUTES}
    filled = (each.replace("<path:model_id>", "echo").replace("<int:pk>", "1") for each in found)
    return sorted(filled)


def visit(server: RunningServer, session: str) -> int:
    """Ask everything there is as one of the staff, with bodies that are right and that are not."""
    seen = 0
    with httpx.Client(base_url=server.url, cookies={"sessionid": session}, timeout=60) as client:
        client.get("/accounts/login/")
        token = client.cookies.get("csrftoken") or ""
        headers = {"x-csrftoken": token, "origin": server.url}
        for path in paths():
            bodies: list[Any] = [BODIES.get(path, GOOD), GOOD | {"stream": True}, INPUTS, [1]]
            asked = [client.get(path)]
            # Signing out would end the visit.
            if "logout" not in path:
                asked += [client.post(path, json=body, headers=headers) for body in bodies]
            for answer in asked:
                assert answer.status_code < 500, (path, answer.status_code, answer.text[:300])
                seen += answer.status_code == 200
        # Large bodies are looked at beside the loop, whatever is in them.
        for body in (GOOD | {"messages": user("w " * 60_000)}, {"prompt": ["w"] * 20_000}):
            assert client.post(CHAT, json=body).status_code == 400
    chat(server)
    return seen


def chat(server: RunningServer) -> None:
    """One question over the websocket."""
    with connect(f"{server.ws_url}/ws/chat", origin=Origin(server.url)) as socket:
        asked = {"type": "chat", "id": "a", "model": "echo", "messages": user("one two")}
        socket.send(json.dumps(asked))
        while json.loads(socket.recv(timeout=20))["type"] != "done":
            pass


# R14
@pytest.mark.timeout(200)
def test_no_view_blocks_the_event_loop(watched: RunningServer, log: Path) -> None:
    """The first round imports, and reads templates; the second one is the everyday."""
    session = sessions_of(watched, boss=BOSS)["boss"]
    visit(watched, session)
    assert log.exists(), "the watch is on"
    os.truncate(log, 0)
    assert visit(watched, session) > 60
    held_up = log.read_text().splitlines()
    assert not held_up, "\n".join(sorted(set(held_up)))
