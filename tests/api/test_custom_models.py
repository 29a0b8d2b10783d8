"""From a page of one's own to an answer of the API: submitted, approved, asked."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from huggingface_hub import InferenceClient
from openai import OpenAI
from PIL import Image

from tests.api.asking import CHAT, error_of, user
from tests.conftest import MakeServer
from tests.servers import ROOT, RunningServer, wait_until

pytestmark = pytest.mark.jail
EXAMPLES = ROOT / "docs" / "custom"
SESSIONS = """
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
for name, staff in (("alice", False), ("bob", False), ("boss", True)):
    user = User.objects.create_user(name, is_staff=staff, is_superuser=staff)
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = settings.AUTHENTICATION_BACKENDS[-1]
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.create()
    print(name, session.session_key)
"""
TROUBLE = """
import os, time

def load():
    return None

def run(model, messages: list):
    what = messages[-1]["content"]
    if what == "raise":
        raise ValueError("a word of its own")
    if what == "exit":
        os._exit(1)
    if what == "secrets":
        import socket
        found = [p for p in ("PLACES",) if os.path.exists(p)]
        try:
            socket.create_connection(("127.0.0.1", PORT), 2)
            found.append("the server")
        except OSError:
            pass
        yield str(found + [name for name in os.environ if "DJANGO" in name or "LLMS" in name])
        return
    while what == "ever":
        pass
    yield what
"""
STUBBORN = """
def load():
    raise OSError("no weights here")

def run(model, messages: list):
    yield ""
"""


@dataclass
class Site:
    """A server and who is signed in there."""

    server: RunningServer
    people: dict[str, httpx.Client]

    def post(self, who: str, path: str, **data: Any) -> httpx.Response:
        """Send a form of a page."""
        browser = self.people[who]
        assert browser.get("/custom").status_code == 200
        data["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
        return browser.post(path, data=data, follow_redirects=True)

    def approved(self, name: str, code: str, **more: str) -> str:
        """Alice submits, the boss approves; the model's id, once it may be asked."""
        page = self.post("alice", "/custom", name=name, code=code, **more)
        assert page.status_code == 200, page.text
        rows = self.people["boss"].get("/admin/custom/custommodel/?q=" + name).text
        pk = re.search(r"/admin/custom/custommodel/(\d+)/change/", rows)
        assert pk
        change = f"/admin/custom/custommodel/{pk[1]}/change/"
        digest = re.search(r"/approve/([0-9a-f]{64})/", self.people["boss"].get(change).text)
        assert digest
        self.post("boss", f"/admin/custom/custommodel/{pk[1]}/approve/{digest[1]}/")
        wait_until(lambda: self.known(name), 90, f"{name} is in service: {self.said('alice')}")
        return f"custom/{name}"

    def known(self, name: str) -> bool:
        return httpx.get(f"{self.server.url}/v1/models/custom/{name}").status_code == 200

    def said(self, name: str) -> str:
        """The page of somebody's own models."""
        return self.people[name].get("/custom").text

    def ask(self, model: str, text: str) -> httpx.Response:
        body = {"model": model, "messages": user(text)}
        return httpx.post(f"{self.server.url}{CHAT}", json=body, timeout=90)


@contextmanager
def signed_in_site(server: RunningServer) -> Iterator[Site]:
    """The server with its people, until the end of the block."""
    keys = dict(line.split() for line in server.shell(SESSIONS).splitlines())
    people = {
        name: httpx.Client(base_url=server.url, cookies={"sessionid": key}, timeout=60)
        for name, key in keys.items()
    }
    yield Site(server, people)
    for browser in people.values():
        browser.close()


@pytest.fixture(scope="module")
def site(make_server: MakeServer) -> Iterator[Site]:
    server = make_server({"CUSTOM_SECONDS": "3", "CUSTOM_MEMORY_BYTES": str(2**29)})
    with signed_in_site(server) as found:
        yield found
    server.stop()


def test_the_chat_of_the_examples(site: Site) -> None:
    model = site.approved("listener", (EXAMPLES / "listener.py").read_text())
    with OpenAI(base_url=f"{site.server.url}/v1", api_key="any", max_retries=0) as client:
        asked: Any = {"model": model, "messages": user("I need a holiday"), "seed": 1}
        whole = client.chat.completions.create(**asked)
        text = whole.choices[0].message.content
        assert text and "a holiday" in text and whole.choices[0].finish_reason == "stop"
        assert whole.usage and whole.usage.completion_tokens == len(text.split())
        pieces = [
            chunk.choices[0].delta.content or ""
            for chunk in client.chat.completions.create(**asked, stream=True)
            if chunk.choices
        ]
    assert "".join(pieces) == text and len(pieces) > 3
    about = httpx.get(f"{site.server.url}/v1/models/{model}").json()["llms"]
    assert (about["engine"], about["tier"], about["state"]) == ("custom", "C", "ready")
    assert "seed" in about["supported_parameters"]
    assert "temperature" not in about["supported_parameters"]


def test_the_classifier_of_the_examples(site: Site) -> None:
    model = site.approved("sentiment", (EXAMPLES / "sentiment.py").read_text())
    address = f"{site.server.url}/hf/models/{model}"
    client = InferenceClient(address, token="any", timeout=90)
    best = client.text_classification("I love this beautiful film", top_k=1)
    assert [(each.label, each.score > 0.5) for each in best] == [("positive", True)]
    wrong = httpx.post(address, json={"inputs": "x", "parameters": {"top_k": "two"}})
    assert wrong.status_code == 400 and wrong.json()["param"] == "parameters.top_k"
    assert httpx.get(address).json()["task"] == "text-classification"


def test_the_picture_of_the_examples(site: Site) -> None:
    """By types of its own: JSON in, or the picture by itself; a picture out."""
    model = site.approved("poster", (EXAMPLES / "poster.py").read_text())
    address = f"{site.server.url}/hf/models/{model}"
    into = io.BytesIO()
    Image.new("RGB", (3, 2), (200, 100, 7)).save(into, format="PNG")
    parameters = {"bits": 1, "invert": True}
    body = {"inputs": base64.b64encode(into.getvalue()).decode(), "parameters": parameters}
    answers = [
        (httpx.post(address, json=body, timeout=90), (127, 255, 255)),
        (httpx.post(address, content=into.getvalue(), timeout=90), (192, 64, 0)),
    ]
    for answer, colour in answers:
        assert answer.headers["content-type"] == "image/png", answer.text
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.size == (3, 2) and image.getpixel((0, 0)) == colour
    for wrong, param in (
        ({"inputs": "no base64!"}, "inputs"),
        ({"inputs": body["inputs"], "parameters": {"bits": 9}}, "parameters.bits"),
        ({"inputs": body["inputs"], "parameters": {"colour": 9}}, "parameters.colour"),
        ({"parameters": {"bits": 1}}, "inputs"),
    ):
        refused = httpx.post(address, json=wrong, timeout=90)
        assert refused.status_code == 400 and refused.json()["param"] == param, refused.text
    asked = site.ask(model, "hello")
    assert asked.status_code == 400 and error_of(asked)["code"] == "unsupported_parameter"


def test_code_finds_nothing_and_harms_nobody(site: Site) -> None:
    """C1 to C4 by the API: the caller is told, the author sees where, nobody else does."""
    server = site.server
    places = [str(server.data), str(ROOT / "playground"), "/etc/passwd", "/root/.ssh"]
    code = TROUBLE.replace('("PLACES",)', repr(tuple(places))).replace("PORT", str(server.port))
    model = site.approved("trouble", code)
    secrets = site.ask(model, "secrets").json()
    assert secrets["choices"][0]["message"]["content"] == "[]"
    for what in ("raise", "exit", "ever"):
        failed = site.ask(model, what)
        error = error_of(failed)
        assert (failed.status_code, error["code"]) == (500, "custom_code_error"), failed.text
        assert "Traceback" not in failed.text and "model.py" not in failed.text
        assert site.ask("echo", "hello").status_code == 200
        if what == "raise":
            assert "a word of its own" in site.said("alice")
            assert "Traceback" in site.said("alice")
        assert "custom/trouble" not in site.said("bob")
    assert site.ask(model, "again").status_code == 200


def test_a_load_that_fails_is_the_codes_own_error(site: Site) -> None:
    failed = site.ask(site.approved("stubborn", STUBBORN), "hello")
    assert failed.status_code == 500 and error_of(failed)["code"] == "custom_code_error"
    assert "no weights here" in failed.text and "Traceback" not in failed.text
    assert "Traceback" in site.said("alice")
