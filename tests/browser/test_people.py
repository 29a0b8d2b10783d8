"""What people do with accounts, keys and limits, in a real browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, OpenPage
from tests.conftest import MakeServer
from tests.oidc import CLIENT, SECRET, Provider, provider
from tests.servers import DEFAULTS, RunningServer, wait_until

pytestmark = pytest.mark.browser
PASSWORD = "correct-horse-battery"
KEY = r"sk-llms-[\w-]{43}"


@pytest.fixture(scope="module")
def campus() -> Iterator[Provider]:
    """A provider that knows Alice."""
    with provider() as found:
        found.person = {"sub": "a1", "preferred_username": "alice-of-campus"}
        yield found


@pytest.fixture(scope="module")
def house(make_server: MakeServer, campus: Provider) -> RunningServer:
    """A server that demands keys, with open sign-up and a provider."""
    return make_server(
        {
            "AUTH_MODE": "key",
            "SIGNUP": "open",
            "OIDC_ISSUER": campus.issuer,
            "OIDC_CLIENT_ID": CLIENT,
            "OIDC_CLIENT_SECRET": SECRET,
            "OIDC_NAME": "Campus",
            "USAGE_FLUSH_SECONDS": "0.1",
        }
    )


def sign_up(page: Page, name: str) -> None:
    page.get_by_role("link", name="Sign up").click()
    page.get_by_label("Username").fill(name)
    page.locator("[name=password1]").fill(PASSWORD)
    page.locator("[name=password2]").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_label("Your message")).to_be_visible()


def run(program: str) -> subprocess.CompletedProcess[str]:
    """As whoever pasted it into a script does."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_newcomer_signs_up_makes_a_key_and_runs_the_shown_code(
    house: RunningServer, visit: OpenPage
) -> None:
    page = visit(house.url)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_up(page, "newcomer")
    page.get_by_role("link", name="Your keys").click()
    page.get_by_label("What for").fill("my script")
    page.get_by_role("button", name="Make the key").click()
    program = page.locator("#key-code").inner_text()
    key = page.locator("#key-text").inner_text()
    assert re.fullmatch(KEY, key) and key in program
    done = run(program)
    assert done.returncode == 0 and "capital" in done.stdout, done.stderr
    page.get_by_role("link", name="Keys", exact=True).click()
    expect(page.get_by_role("row", name=re.compile("my script"))).to_be_visible()
    expect(page.locator("#key-text")).to_have_count(0)
    page.get_by_role("link", name="Usage").click()
    expect(page.get_by_role("link", name=re.compile("my script"))).to_be_visible()
    page.get_by_role("link", name="Keys").click()
    page.get_by_role("button", name="Revoke my script").click()
    expect(page.get_by_text("revoked")).to_be_visible()
    headers = {"authorization": f"Bearer {key}"}
    url = f"{house.url}/v1/models"
    wait_until(lambda: httpx.get(url, headers=headers).status_code == 401, 6)


def until(page: Page, when: datetime) -> None:
    """Fill in when the key of the form ends, and save it."""
    page.locator("#id_expires_0").fill(f"{when:%Y-%m-%d}")
    page.locator("#id_expires_1").fill(f"{when:%H:%M:%S}")
    page.locator("[name=_save]").click()


def test_a_class_key_stops_at_its_date(house: RunningServer, visit: OpenPage) -> None:
    house.manage("groups", "set", "class", "--models", "echo")
    page = visit(f"{house.url}/admin/accounts/apikey/add/")
    page.locator("[name=login]").fill("admin")
    page.locator("[name=password]").fill(DEFAULTS["DJANGO_SUPERUSER_PASSWORD"])
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.locator("#id_group").select_option(label="class")
    page.locator("#id_name").fill("all of the class")
    until(page, datetime.now(UTC) + timedelta(days=1))
    said = re.search(KEY, page.locator(".messagelist").inner_text())
    assert said is not None
    # What the teacher shows, and what the class makes of it.
    page.goto(house.url)
    page.get_by_role("button", name="Show code").click()
    page.get_by_role("tab", name="Python").click()
    program = page.get_by_role("tabpanel").inner_text().replace("YOUR_API_KEY", said[0])
    assert said[0] in program
    done = run(program)
    assert done.returncode == 0 and "capital" in done.stdout, done.stderr
    page.goto(f"{house.url}/admin/accounts/apikey/")
    page.get_by_role("link", name="all of the class").click()
    end = datetime.now(UTC) + timedelta(seconds=2)
    until(page, end)
    expect(page.get_by_role("link", name="all of the class").first).to_be_visible()
    headers = {"authorization": f"Bearer {said[0]}"}
    url = f"{house.url}/v1/models"
    wait_until(lambda: httpx.get(url, headers=headers).status_code == 401, 10, "the class is over")
    assert datetime.now(UTC) >= end.replace(microsecond=0)
    done = run(program)
    assert done.returncode != 0 and "Error code: 401" in done.stderr
    page.goto(f"{house.url}/admin/admin/logentry/")
    expect(page.get_by_text("Changed Expires.")).to_be_visible()


def test_people_of_the_campus_come_in_by_one_click(house: RunningServer, visit: OpenPage) -> None:
    page = visit(house.url, watched=False)
    page.get_by_role("link", name="Campus").click()
    expect(page.get_by_label("Your message")).to_be_visible()
    page.goto(f"{house.url}/account")
    expect(page.get_by_role("heading", name="alice-of-campus")).to_be_visible()


def test_a_person_over_the_limit_sees_when_it_resets(house: RunningServer, visit: OpenPage) -> None:
    page = visit(house.url)
    sign_up(page, "eager")
    house.manage("groups", "set", "few", "--requests-per-minute", "1")
    house.manage("groups", "add", "few", "eager")
    limits = page.locator(".limits li")

    def in_force() -> bool:
        page.goto(f"{house.url}/usage")
        return limits.count() > 0

    wait_until(in_force, 15, "the group is in force")
    page.goto(house.url)
    # Until the line to the server is up, a question stays where it was typed.
    page.locator("#model option[value='echo']").wait_for(state="attached")
    page.get_by_label("Your message").fill("good morning")
    page.keyboard.press("Enter")
    expect(page.locator(".turn.answer .markdown")).to_have_text("0:good 1:morning")
    page.get_by_label("Your message").fill("once more")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"1 requests a minute.*in \d+ s"))
    page.goto(f"{house.url}/usage")
    limit = limits.filter(has_text="Requests in a minute")
    expect(limit).to_contain_text("1 of 1")
    expect(limit).to_contain_text(re.compile(r"free again at \d\d:\d\d:\d\d"))


def test_every_page_of_a_person_fits_a_phone(house: RunningServer, visit: OpenPage) -> None:
    page = visit(house.url, viewport=PHONE, has_touch=True)
    for path in ("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/privacy"):
        page.goto(f"{house.url}{path}")
        assert_fits(page)
    page.goto(house.url)
    sign_up(page, "caller")
    for path in ("/keys", "/usage", "/account", "/accounts/password/change/"):
        page.goto(f"{house.url}{path}")
        assert_fits(page)


def assert_fits(page: Page) -> None:
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], page.url
