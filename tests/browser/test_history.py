"""Keeping conversations: off until it is switched on; found, renamed, shared, deleted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, OpenPage
from tests.browser.test_conversation import answers, ask, finished
from tests.browser.test_people import sign_up
from tests.conftest import MakeServer
from tests.servers import RunningServer

pytestmark = pytest.mark.browser
EVIL = "<img src=x onerror=window.hit=1>"


@pytest.fixture(scope="module")
def house(make_server: MakeServer) -> RunningServer:
    """A server on which anybody may make an account."""
    return make_server({"SIGNUP": "open"})


@pytest.fixture
def person(house: RunningServer, visit: OpenPage) -> OpenPage:
    """The playground of somebody new, with the list open."""

    def come(name: str, watched: bool = True) -> Page:
        page = visit(f"{house.url}/accounts/login/", watched)
        sign_up(page, name)
        page.locator("#model option[value='echo']").wait_for(state="attached")
        page.get_by_role("button", name="Conversations").click()
        return page

    return come


def keep(page: Page) -> None:
    page.get_by_label("Keep my conversations").check()
    expect(page.locator("#none-kept")).to_be_visible()


def test_nothing_is_kept_until_it_is_switched_on(person: OpenPage) -> None:
    page = person("careful")
    ask(page, "a secret")
    finished(page)
    page.reload()
    page.get_by_role("button", name="Conversations").click()
    expect(page.locator("#none-kept")).to_have_text("Nothing is kept.")
    keep(page)
    ask(page, "no secret")
    finished(page, 2)
    expect(page.locator("#kept li")).to_have_count(1)


def test_conversations_are_found_opened_renamed_and_deleted(
    person: OpenPage, house: RunningServer
) -> None:
    page = person("keeper")
    page.on("dialog", lambda dialog: dialog.accept())
    keep(page)
    for number, text in enumerate((EVIL, "about owls"), 1):
        page.get_by_role("button", name="New chat").click()
        ask(page, text)
        finished(page)
        expect(page.locator("#kept li")).to_have_count(number)
    assert page.evaluate("window.hit") is None
    page.get_by_label("Search conversations").fill("onerror img")
    expect(page.locator("#kept .title")).to_have_text([EVIL])
    page.locator("#kept .title").click()
    expect(page.locator(".said")).to_have_text(EVIL)
    page.locator("#kept li").hover()
    page.get_by_role("button", name=f"Rename {EVIL}").click()
    page.get_by_label("New title").fill(f"{EVIL}!")
    page.keyboard.press("Enter")
    expect(page.locator("#kept .title")).to_have_text([f"{EVIL}!"])
    page.get_by_label("Search conversations").fill("")
    expect(page.locator("#kept li")).to_have_count(2)
    page.locator("#kept li").last.hover()
    page.get_by_role("button", name=f"Delete {EVIL}!").click()
    expect(page.locator("#kept .title")).to_have_text(["about owls"])
    expect(page.locator("#empty")).to_be_visible()
    assert page.evaluate("window.hit") is None


def test_on_a_phone_the_list_gives_way_to_what_was_chosen(person: OpenPage) -> None:
    page = person("walker")
    keep(page)
    ask(page, "about owls")
    finished(page)
    expect(page.locator("#kept li")).to_have_count(1)
    page.set_viewport_size(PHONE)
    page.locator("#kept .title").click()
    expect(page.locator("#history")).to_be_hidden()
    expect(answers(page)).to_be_visible()


def test_a_shared_conversation_is_read_by_a_stranger_until_the_link_ends(
    person: OpenPage, visit: OpenPage
) -> None:
    page = person("sharer")
    keep(page)
    ask(page, EVIL)
    finished(page)
    page.locator("#kept li").hover()
    page.get_by_role("button", name=f"Share {EVIL}").click()
    shown = page.get_by_label("Link", exact=True)
    expect(shown).to_have_value(re.compile("/shared/"))
    link = shown.input_value()
    stranger = visit(link)
    expect(stranger.get_by_role("heading", level=1)).to_have_text(EVIL)
    expect(stranger.locator(".said")).to_have_text(EVIL)
    expect(stranger.locator(".answer .markdown")).to_contain_text("0:")
    expect(stranger.get_by_role("button", name="Edit question")).to_be_hidden()
    assert stranger.evaluate("window.hit") is None
    page.get_by_role("button", name="End the link").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    gone = stranger.request.get(link)
    assert gone.status == 404


def test_two_tabs_do_not_overwrite_each_other(person: OpenPage) -> None:
    # A refused version is an error to the browser's console.
    page = person("double", watched=False)
    keep(page)
    ask(page, "first")
    finished(page)
    expect(page.locator("#kept li")).to_have_count(1)
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Conversations").click()
    other.locator("#kept .title").click()
    finished(other)
    ask(other, "from the other tab")
    finished(other, 2)
    expect(other.get_by_role("button", name="Send")).to_be_visible()
    ask(page, "from this tab")
    finished(page, 2)
    expect(page.locator("#notice")).to_contain_text("changed in another tab")
    expect(page.locator("#kept li")).to_have_count(2)
    page.locator("#kept .title").last.click()
    expect(answers(page).last).to_have_text("0:from 1:the 2:other 3:tab")


def test_the_next_person_at_the_same_tab_sees_nothing_of_the_last_one(
    person: OpenPage, house: RunningServer
) -> None:
    page = person("first-one")
    ask(page, "a secret")
    finished(page)
    page.goto(f"{house.url}/account")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Your message")).to_be_visible()
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator(".turn")).to_have_count(0)


def test_a_conversation_is_saved_as_a_file(page: Page, tmp_path: Path) -> None:
    page.get_by_label("System prompt").fill("Be brief.")
    ask(page, "hello there")
    finished(page)
    page.get_by_role("button", name="Save", exact=True).click()
    for button, name in (("Markdown", "conversation.md"), ("JSON", "conversation.json")):
        with page.expect_download() as download:
            page.get_by_role("button", name=button).click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
    assert (tmp_path / "conversation.md").read_text() == (
        "> Be brief.\n\n## You\n\nhello there\n\n## echo\n\n0:hello 1:there \n"
    )
    saved = json.loads((tmp_path / "conversation.json").read_text())
    assert [node.get("role") for node in saved["nodes"]] == [None, "user", "assistant"]
