"""W2: names that people chose are text on every page that shows them, the admin's too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.conftest import MakeServer
from tests.servers import RunningServer

pytestmark = pytest.mark.browser

# Out of an attribute, out of a script, out of a text; and what templates would take for theirs.
EVIL = "\"'></script></title><img src=x onerror=window.hit=1>{{7*7}}"
# The forms refuse most of this; what comes from a provider, a command or an older version does not
# come through a form.
FILL = """
import time
import uuid
from datetime import timedelta
from importlib import import_module
from django.conf import settings
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.auth.models import Group as DjangoGroup
from django.utils import timezone
from inference.models import CatalogueRow
from playground.accounts.models import ApiKey, Group, Invitation, Membership, Quota, UsageRecord
from playground.conversations.models import Conversation, Keeping, Share
from playground.custom.models import CustomModel

EVIL = {evil}
person = User.objects.create(
    username=EVIL, first_name=EVIL, last_name=EVIL, email=EVIL, is_staff=True, is_superuser=True
)
group = Group.objects.create(name=EVIL, allowed_models=[EVIL, "*"])
DjangoGroup.objects.create(name=EVIL)
Membership.objects.create(user=person, group=group)
Quota.objects.create(group=group, requests_per_minute=1000)
Quota.objects.create(person=person, scope="person", requests_per_minute=1000)
key = ApiKey(owner=person, name=EVIL, allowed_models=[EVIL])
key.draw()
key.save()
invitation = Invitation(group=group, expires=timezone.now() + timedelta(days=1))
invitation.draw()
invitation.save()
row = dict(source=EVIL, engine="echo", notes=EVIL, licence=EVIL, aliases=[EVIL + "2"])
CatalogueRow.objects.create(id=EVIL, **row)
used = dict(
    request_id=uuid.uuid4().hex, when=time.time() - 60, account="user:%d" % person.pk,
    key_id=key.pk, group_id=group.pk, model=EVIL, kind=EVIL[:30], prompt_tokens=1,
    completion_tokens=1, cached_tokens=0, queue_seconds=0, device_seconds=1, outcome="finished",
)
UsageRecord.objects.settle([used])
CustomModel.objects.create(
    name="evil", author=person, code=EVIL, requirements=EVIL, notes=EVIL, problem=EVIL,
    trace=EVIL, digest="0" * 64,
)
nodes = [
    dict(id="", chosen="1"),
    dict(id="1", parent="", chosen=None, role="user", content=EVIL),
]
Keeping.objects.create(person=person)
kept = Conversation.objects.create(owner=person, title=EVIL, system=EVIL, nodes=nodes, text=EVIL)
share = Share.objects.create(conversation=kept, title=EVIL, nodes=nodes)
LogEntry.objects.log_actions(person.pk, [person, group, key], ADDITION, EVIL)
session = import_module(settings.SESSION_ENGINE).SessionStore()
session[SESSION_KEY] = str(person.pk)
session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
session[HASH_SESSION_KEY] = person.get_session_auth_hash()
session.create()
print(session.session_key, share.token)
"""


@pytest.fixture(scope="module")
def house(make_server: MakeServer) -> RunningServer:
    """A server on which everything that has a name has an evil one."""
    return make_server()


@pytest.fixture(scope="module")
def filled(house: RunningServer) -> tuple[str, str]:
    """A session of the person with the name, and the token of what they share."""
    session, token = house.shell(FILL.format(evil=json.dumps(EVIL))).split()
    return session, token


@pytest.fixture
def staff(house: RunningServer, filled: tuple[str, str], visit: OpenPage) -> Iterator[Page]:
    """The person, who is staff too, in their browser."""
    page = visit(f"{house.url}/status")
    page.context.add_cookies([{"name": "sessionid", "value": filled[0], "url": house.url}])
    yield page


def assert_text(page: Page, url: str) -> str:
    """Nothing of a name became markup or ran; what the page says."""
    response = page.goto(url)
    assert response is not None and response.status == 200, url
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.hit") is None, url
    assert page.locator("img[src='x']").count() == 0, url
    text: str = page.locator("body").inner_text()
    assert "49" not in text or "{{7*7}}" in text, url
    return text


def test_names_are_text_on_the_pages_of_a_person(
    house: RunningServer, filled: tuple[str, str], staff: Page
) -> None:
    for path in ("/account", "/keys", f"/shared/{filled[1]}", "/usage", "/models", "/custom"):
        assert "onerror" in assert_text(staff, f"{house.url}{path}"), path
    for path in ("/", "/status", "/privacy", "/docs/api"):
        assert_text(staff, f"{house.url}{path}")


def test_names_are_text_in_the_playground(house: RunningServer, staff: Page) -> None:
    assert_text(staff, house.url)
    option = staff.locator("#model option", has_text="onerror")
    option.wait_for(state="attached")
    staff.select_option("#model", value=option.get_attribute("value"))
    staff.get_by_role("button", name="Conversations").click()
    kept = staff.locator("#kept li")
    expect(kept).to_contain_text("onerror")
    kept.get_by_role("button").first.click()
    expect(staff.locator(".turn.user")).to_contain_text("onerror")
    staff.get_by_label("Your message").fill("who is it")
    staff.keyboard.press("Enter")
    expect(staff.locator(".turn.answer:not([aria-busy])")).to_have_count(1)
    assert staff.evaluate("window.hit") is None
    assert staff.locator("img[src='x']").count() == 0


def links(page: Page, selector: str) -> list[str]:
    """Addresses inside this site, in their order."""
    found: list[str] = page.eval_on_selector_all(selector, "all => all.map((each) => each.href)")
    return list(dict.fromkeys(found))


@pytest.mark.slow
def test_names_are_text_in_the_whole_admin(house: RunningServer, staff: Page) -> None:
    """Each list, the form of its first row, and the pages that ask before they delete."""
    assert "onerror" in assert_text(staff, f"{house.url}/admin/")
    lists = [url for url in links(staff, "#content-main th a") if urlsplit(url).path.count("/") > 3]
    assert len(lists) > 10
    shown = set()
    for url in lists:
        text = assert_text(staff, url)
        rows = links(staff, "#result_list th a")
        if "onerror" in text:
            shown.add(urlsplit(url).path)
        evil = [each for each in rows if "onerror" in each] or rows[:1]
        for row in evil:
            assert_text(staff, row)
            for more in links(staff, "a.historylink, a.deletelink"):
                assert_text(staff, more)
    names = ("apikey", "group", "user", "cataloguerow", "custommodel", "usagerecord", "logentry")
    for name in names:
        assert any(f"/{name}/" in path for path in shown), name
