"""HARDENING.md for the catalogue: who may see and ask what, names that are evil, headers of pages.

Of the pages of staff (list, live board, switches, finding, import) and those of users (/models,
/wanted), in a server that demands keys.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote

import httpx
import pytest
from django.contrib.admin.utils import quote as quoted

from tests.conftest import MakeServer
from tests.hub import Hub, repo
from tests.servers import DEFAULTS, RunningServer
from tests.staff import BOSS, HELPER, STRANGER, permit, sessions_of, signed_in

EVIL = '"><img/src=x/onerror=hit()>'
CARDS = f"""
[[model]]
id = "small"
source = "echo"
engine = "echo"

[[model]]
id = '{EVIL}'
source = "echo"
engine = "echo"
wish = "preload"
notes = '{EVIL}'
licence = '{EVIL}'

[[model]]
id = "broken"
source = "echo"
engine = "echo"
wish = "preload"
engine_args = {{ fail_load = '{EVIL}' }}
"""
STAFF = "/admin/inference/cataloguerow/"
OF_STAFF = ("", "live/", "switches/", "find/", "import/", "add/", "small/change/", "small/history/")
REQUESTS = "/admin/catalogue/modelrequest/"
OF_USERS = ("/models", "/models/small", "/wanted")
ASKED = """
from django.contrib.auth.models import User
from playground.catalogue.models import ModelRequest
person = User.objects.get(username="boss")
ModelRequest.objects.create(model_id={evil!r}, person=person, reason={evil!r}, verdict={evil!r},
                            answer={evil!r})
"""
WISH = """
from django.contrib.admin.models import LogEntry
from inference.models import CatalogueRow
print(CatalogueRow.objects.get(id="small").wish)
print([(each.user.username, each.change_message) for each in LogEntry.objects.all()])
"""
PEOPLE = ("nobody", "alice", "helper", "looker", "keeper", "boss")


@pytest.fixture(scope="module")
def house(
    make_server: MakeServer, hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> RunningServer:
    """A server that demands keys, with evil names in its catalogue."""
    hub.repos["alice/tiny"] = repo(licence="mit")
    path = tmp_path_factory.mktemp("cards") / "catalogue.toml"
    path.write_text(CARDS)
    env = {"CATALOGUE": str(path), "DEFAULT_MODEL": "small", "HF_ENDPOINT": hub.url}
    return make_server({**env, "AUTH_MODE": "key"})


@pytest.fixture(scope="module")
def people(house: RunningServer) -> Iterator[dict[str, httpx.Client]]:
    """A browser each: nobody in particular, a person, one of the staff without any right, one who
    may look, one who may change, and one who may do all."""
    sessions = sessions_of(
        house, alice=STRANGER, helper=HELPER, looker=HELPER, keeper=HELPER, boss=BOSS
    )
    permit(house, "looker", "view_cataloguerow")
    permit(house, "keeper", "view_cataloguerow", "change_cataloguerow")
    house.shell(ASKED.format(evil=EVIL))
    with ExitStack() as open_:
        found = {
            name: open_.enter_context(signed_in(house, session))
            for name, session in sessions.items()
        }
        found["nobody"] = open_.enter_context(httpx.Client(base_url=house.url))
        yield found


@pytest.fixture(scope="module")
def boss(people: dict[str, httpx.Client]) -> httpx.Client:
    return people["boss"]


def statuses(people: dict[str, httpx.Client], method: str, path: str) -> list[int]:
    """What each of PEOPLE is answered."""
    return [people[name].request(method, path).status_code for name in PEOPLE]


# --- A6: who may see what, and ask what ----------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", [302, 302, 403, 200, 200, 200]),
        ("live/", [302, 302, 403, 200, 200, 200]),
        ("switches/", [302, 302, 403, 200, 200, 200]),
        ("export/", [302, 302, 403, 200, 200, 200]),
        ("small/change/", [302, 302, 403, 200, 200, 200]),
        ("small/history/", [302, 302, 403, 200, 200, 200]),
        ("find/", [302, 302, 403, 403, 403, 200]),
        ("import/", [302, 302, 403, 403, 403, 200]),
        ("add/", [302, 302, 403, 403, 403, 200]),
    ],
)
def test_a6_each_page_of_staff_wants_its_right(
    people: dict[str, httpx.Client], path: str, expected: list[int]
) -> None:
    assert statuses(people, "GET", STAFF + path) == expected
    sent = people["nobody"].get(STAFF + path).headers["location"]
    assert "login" in sent and quote(STAFF + path) in sent


def test_a6_requests_of_users_are_for_staff_with_the_right(
    people: dict[str, httpx.Client],
) -> None:
    assert statuses(people, "GET", REQUESTS) == [302, 302, 403, 403, 403, 200]


@pytest.mark.parametrize("path", OF_USERS)
def test_a6_pages_of_users_want_a_person(people: dict[str, httpx.Client], path: str) -> None:
    assert statuses(people, "GET", path) == [302, 200, 200, 200, 200, 200]


def test_a6_buttons_are_for_those_who_may_change(
    house: RunningServer, people: dict[str, httpx.Client]
) -> None:
    ask = f"{STAFF}small/ask/drain"
    for name in ("nobody", "alice", "helper", "looker"):
        refused = people[name].post(ask)
        assert refused.status_code in (302, 403), name
        assert "login" in refused.headers.get("location", "login"), name
        listed = people[name].post(STAFF, data={"action": "drain", "_selected_action": "small"})
        assert listed.status_code in (302, 403) or "drain small" not in listed.text
        for path in ("import/", "find/"):
            text = '[[model]]\nid = "mine"\nsource = "echo"\nengine = "echo"\n'
            answer = people[name].post(f"{STAFF}{path}", data={"text": text, "id": "alice/tiny"})
            assert answer.status_code in (302, 403), (name, path)
    assert house.shell(WISH).splitlines() == ["pin", "[]"]
    assert "llms-asks" not in people["looker"].get(f"{STAFF}small/change/").text


def test_a6_of_opposite_buttons_the_last_one_logged_is_in_force(
    house: RunningServer, people: dict[str, httpx.Client]
) -> None:
    for name, what in (("keeper", "preload"), ("boss", "drain"), ("keeper", "pin")):
        answer = people[name].post(f"{STAFF}small/ask/{what}?from=live")
        assert answer.headers["location"] == f"{STAFF}live/"
    wish, log = house.shell(WISH).splitlines()
    assert wish == "pin"
    said = [("keeper", "asked to pin"), ("boss", "asked to drain"), ("keeper", "asked to preload")]
    assert log == str(said)


# --- W2: names that are markup --------------------------------------------------------------------

SHOWN = (
    STAFF,
    f"{STAFF}switches/",
    f"{STAFF}{quoted(EVIL)}/change/",
    f"{STAFF}{quoted(EVIL)}/history/",
    f"{STAFF}find/?id={quote(EVIL)}",
    f"{STAFF}?q={quote(EVIL)}",
    REQUESTS,
    "/models",
    f"/models?q={quote(EVIL)}",
    f"/models/{quote(EVIL)}",
    f"/wanted?id={quote(EVIL)}",
    "/wanted",
)
SENT = (
    (f"{STAFF}find/", {"id": EVIL, "wish": "none"}),
    (f"{STAFF}import/", {"text": f"[[model]]\nid = '{EVIL}'\nsource = ''\n"}),
    (f"{STAFF}import/", {"text": EVIL}),
    (f"{STAFF}add/", {"id": EVIL, "source": EVIL, "engine": EVIL, "aliases": EVIL}),
    ("/wanted", {"id": EVIL, "reason": EVIL}),
)


def assert_text(page: httpx.Response) -> None:
    """The evil name is there, and nowhere as markup."""
    assert "<img/" not in page.text, page.url
    told = html.unescape(page.text).replace("\\u003C", "<").replace("\\u003E", ">")
    assert "<img/src=x" in told.replace('\\"', '"'), page.url


@pytest.mark.parametrize("path", SHOWN)
def test_w2_names_are_text_on_every_page_of_the_catalogue(boss: httpx.Client, path: str) -> None:
    page = boss.get(path)
    assert page.status_code == 200
    assert_text(page)


@pytest.mark.parametrize(("path", "form"), SENT)
def test_w2_what_is_refused_is_shown_as_text(
    boss: httpx.Client, path: str, form: dict[str, str]
) -> None:
    page = boss.post(path, data=form)
    assert page.status_code in (200, 400)
    assert_text(page)


def test_w2_the_boards_answers_are_json_and_nothing_else(boss: httpx.Client) -> None:
    for path in ("/staff/live", f"/staff/live?model={quote(EVIL)}", f"/ask/{quote(EVIL)}"):
        answer = boss.get(path)
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.headers["x-content-type-options"] == "nosniff"


# --- W3: headers ----------------------------------------------------------------------------------

HEADED = (*(STAFF + each for each in OF_STAFF), REQUESTS, *OF_USERS, "/models?q=x&task=y")
INLINE = re.compile(
    r"<script(?![^>]*(\bsrc=|application/json))|\son\w+=|\sstyle=|<style|javascript:"
)


@pytest.mark.parametrize("path", HEADED)
def test_w3_policy_and_headers_hold_on_every_page_of_the_catalogue(
    boss: httpx.Client, path: str
) -> None:
    page = boss.get(path)
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy and "*" not in policy
    assert "default-src" in policy and "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "same-origin"
    assert INLINE.search(page.text) is None, INLINE.search(page.text)


def test_w3_cookies_are_out_of_reach(house: RunningServer) -> None:
    with httpx.Client(base_url=house.url, follow_redirects=False) as client:
        token = re.search(
            r'csrfmiddlewaretoken" value="(\w+)"', client.get("/accounts/login/").text
        )
        assert token is not None
        form = {
            "login": "admin",
            "password": DEFAULTS["DJANGO_SUPERUSER_PASSWORD"],
            "csrfmiddlewaretoken": token[1],
        }
        done = client.post("/accounts/login/", data=form, headers={"Origin": house.url})
        cookies = done.headers.get_list("set-cookie")
    session = next(each for each in cookies if each.startswith("sessionid="))
    assert "HttpOnly" in session
    assert cookies and all("SameSite=Lax" in each for each in cookies)
