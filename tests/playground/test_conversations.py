"""Conversations are kept only for whom wants it, seen by nobody else, and gone when deleted."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from playground.accounts import privacy
from playground.conversations.models import Conversation, Keeping, Share

pytestmark = pytest.mark.django_db

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
NODES: list[dict[str, Any]] = [
    {"id": "", "chosen": "q2"},
    {"id": "q1", "parent": "", "chosen": "a1", "role": "user", "content": "about parrots"},
    {"id": "a1", "parent": "q1", "chosen": None, "role": "assistant", "content": "They SING."},
    {
        "id": "q2",
        "parent": "",
        "chosen": "a2",
        "role": "user",
        "content": [PICTURE, {"type": "text", "text": "and owls"}],
    },
    {
        "id": "a2",
        "parent": "q2",
        "chosen": None,
        "role": "assistant",
        "content": "",
        "model": "echo",
        "stats": {"usage": {"completion_tokens": 1}},
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    },
]
BODY = {"title": "Birds", "system": "Be brief.", "nodes": NODES}


class Page:
    """What the script of the page does."""

    def __init__(self, name: str) -> None:
        self.person = User.objects.create_user(name)
        self.client = Client()
        self.client.force_login(self.person)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = "" if body is None else json.dumps(body)
        return self.client.generic(method, path, data, content_type="application/json")

    def keep(self, on: bool = True) -> None:
        assert self.ask("POST", "/conversations/keeping", {"on": on}).json() == {"keeping": on}

    def store(self, **more: Any) -> dict[str, Any]:
        made = self.ask("POST", "/conversations", BODY | more)
        assert made.status_code == 201, made.content
        return dict(made.json())

    def titles(self, words: str = "") -> list[str]:
        found = self.client.get("/conversations", {"q": words}).json()["conversations"]
        return [each["title"] for each in found]


@pytest.fixture
def alice(staff: Client) -> Page:
    page = Page("alice")
    page.keep()
    return page


@pytest.fixture
def bob(staff: Client) -> Page:
    return Page("bob")


def test_nothing_is_kept_unless_its_owner_wants_it(alice: Page, bob: Page) -> None:
    refused = bob.ask("POST", "/conversations", BODY)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "not_kept")
    made = alice.store()
    alice.keep(False)
    changed = alice.ask("PUT", f"/conversations/{made['id']}", BODY | {"version": 1})
    assert changed.json()["error"]["code"] == "not_kept"
    assert Conversation.objects.count() == 1
    assert alice.client.get("/conversations").json()["keeping"] is False


def test_it_comes_back_as_it_was(alice: Page) -> None:
    made = alice.store()
    found = alice.client.get(f"/conversations/{made['id']}").json()
    assert (found["title"], found["system"], found["nodes"]) == ("Birds", "Be brief.", NODES)


def test_a_stranger_gets_a_typed_refusal(client: Client) -> None:
    refused = client.get("/conversations")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


def test_somebody_elses_is_not_there(alice: Page, bob: Page) -> None:
    path = f"/conversations/{alice.store()['id']}"
    bob.keep()
    assert bob.client.get(path).status_code == 404
    assert bob.ask("PATCH", path, {"title": "mine"}).status_code == 404
    assert bob.ask("PUT", path, BODY | {"version": 1}).status_code == 404
    assert bob.ask("POST", f"{path}/share").status_code == 404
    bob.ask("DELETE", path)
    bob.ask("DELETE", "/conversations")
    assert bob.titles() == [] and alice.titles() == ["Birds"]


def test_search_looks_for_all_words_in_title_and_text(alice: Page) -> None:
    alice.store()
    alice.store(title="100%", nodes=NODES[:1])
    assert alice.titles("sing BIRDS") == ["Birds"]
    assert alice.titles("owls") == ["Birds"]
    assert alice.titles("%") == ["100%"]
    assert alice.titles("owls fish") == []
    assert alice.titles() == ["100%", "Birds"]


def test_the_slower_of_two_tabs_does_not_overwrite(alice: Page) -> None:
    path = f"/conversations/{alice.store()['id']}"
    first = alice.ask("PUT", path, BODY | {"version": 1, "system": "first"})
    assert first.json() == {"version": 2}
    second = alice.ask("PUT", path, BODY | {"version": 1, "system": "second"})
    assert (second.status_code, second.json()["error"]["code"]) == (409, "version_conflict")
    assert alice.client.get(path).json()["system"] == "first"


def test_rename_and_delete(alice: Page) -> None:
    path = f"/conversations/{alice.store()['id']}"
    assert alice.ask("PATCH", path, {"title": " Owls \n and more "}).json()["title"] == (
        "Owls and more"
    )
    alice.ask("PUT", path, BODY | {"version": 1})
    assert alice.titles() == ["Owls and more"]
    assert alice.ask("DELETE", path).status_code == 204
    assert Conversation.objects.count() == 0


def test_a_link_shows_the_chosen_branch_as_it_was_until_it_is_ended(
    alice: Page, client: Client
) -> None:
    path = f"/conversations/{alice.store()['id']}"
    token = alice.ask("POST", f"{path}/share").json()["shared"]
    alice.ask("PUT", path, BODY | {"version": 1, "nodes": NODES[:1]})
    page = client.get(f"/shared/{token}")
    assert page.status_code == 200 and "and owls" in page.content.decode()
    assert "parrots" not in page.content.decode() and "Be brief" not in page.content.decode()
    assert page["X-Robots-Tag"] == "noindex"
    other = alice.ask("POST", f"{path}/share").json()["shared"]
    assert client.get(f"/shared/{token}").status_code == 404
    alice.ask("DELETE", f"{path}/share")
    assert client.get(f"/shared/{other}").status_code == 404


def test_a_link_ends_with_its_conversation(alice: Page, client: Client) -> None:
    path = f"/conversations/{alice.store()['id']}"
    token = alice.ask("POST", f"{path}/share").json()["shared"]
    alice.ask("DELETE", path)
    assert client.get(f"/shared/{token}").status_code == 404
    assert Share.objects.count() == 0


def test_the_export_has_all_of_it_and_deletion_leaves_nothing(alice: Page) -> None:
    made = alice.store()
    alice.ask("POST", f"/conversations/{made['id']}/share")
    export = alice.client.get("/account/export")
    told = json.loads(b"".join(export.streaming_content))  # type: ignore[attr-defined]
    assert told["keeps_conversations"] is True and told["requests"] == []
    assert [each["nodes"] for each in told["conversations"]] == [NODES]
    assert told["conversations"][0]["share__token"]
    privacy.forget(alice.person)
    counts = [kind.objects.count() for kind in (Conversation, Share, Keeping)]
    assert counts == [0, 0, 0]


def test_all_of_them_go_at_once(alice: Page) -> None:
    alice.store()
    alice.store()
    assert alice.ask("DELETE", "/conversations").status_code == 204
    assert alice.titles() == []


EVIL = {"type": "image_url", "image_url": {"url": "https://evil.example/pixel.png"}}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"title": "x"},
        {"title": "", "nodes": NODES},
        {"title": "x" * 201, "nodes": NODES},
        {"title": "x", "nodes": []},
        {"title": "x", "nodes": [3]},
        {"title": "x", "nodes": [{"id": "a"}]},
        {"title": "x", "nodes": [{**NODES[1], "role": "system"}]},
        {"title": "x", "nodes": [{**NODES[1], "content": None}]},
        {"title": "x", "nodes": [{**NODES[1], "content": [EVIL]}]},
        {"title": "x", "nodes": [{**NODES[1], "model": 3}]},
        {"title": "x", "nodes": [{**NODES[4], "tool_calls": [{}]}]},
        {"title": "x", "nodes": [NODES[0]] * 4001},
    ],
)
def test_what_is_no_conversation_is_refused(alice: Page, body: dict[str, Any]) -> None:
    refused = alice.ask("POST", "/conversations", body)
    assert refused.status_code == 400 and refused.json()["error"]["message"]
    assert Conversation.objects.count() == 0


def test_more_than_the_limits_is_refused(alice: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    long = [{**NODES[1], "content": "x" * 4 * 2**20}]
    assert alice.ask("POST", "/conversations", BODY | {"nodes": long}).status_code == 413
    monkeypatch.setattr("playground.conversations.views.MAX_KEPT", 1)
    alice.store()
    assert alice.ask("POST", "/conversations", BODY).status_code == 400


def test_a_form_of_another_site_does_nothing(alice: Page) -> None:
    made = alice.store()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice.person)
    paths = ("/conversations", "/conversations/keeping", f"/conversations/{made['id']}/share")
    assert [strict.post(path).status_code for path in paths] == [403, 403, 403]
    assert strict.delete(f"/conversations/{made['id']}").status_code == 403
    assert alice.titles() == ["Birds"]


def test_one_that_never_was_is_not_there(alice: Page) -> None:
    assert alice.client.get(f"/conversations/{uuid.uuid4()}").status_code == 404
