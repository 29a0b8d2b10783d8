"""One question to several models side by side, and what a page shows while one of them waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_conversation import answers, ask, finished
from tests.servers import RunningServer

pytestmark = pytest.mark.browser


def compare(page: Page, *models: str) -> None:
    """Have these models answer beside the chosen one."""
    page.get_by_role("button", name="Compare", exact=True).click()
    for number, model in enumerate(models, 2):
        if number > 2:
            page.get_by_role("button", name="Add a model").click()
        page.get_by_label(f"Model {number}").select_option(model)


def test_each_model_answers_as_its_turn_comes(
    open_page: Callable[..., Page], server: RunningServer
) -> None:
    server.unload("echo-late")
    page = open_page("echo")
    compare(page, "echo-late", "echo-eyes")
    ask(page, "good morning")
    turns = page.locator(".beside .turn")
    expect(turns).to_have_count(3)
    expect(turns.nth(1).locator(".words")).to_contain_text("loading")
    expect(turns.nth(0).locator(".markdown")).to_have_text("0:good 1:morning")
    finished(page, 3)
    expect(answers(page)).to_have_text(["0:good 1:morning"] * 3)
    expect(turns.locator(".speaker")).to_have_text(["echo", "echo-late", "echo-eyes"])


def test_one_that_fails_leaves_the_others(open_page: Callable[..., Page]) -> None:
    page = open_page("echo")
    compare(page, "echo-broken")
    ask(page, "hello")
    finished(page, 2)
    turns = page.locator(".beside .turn")
    expect(turns.nth(0).locator(".markdown")).to_have_text("0:hello")
    expect(turns.nth(1).get_by_role("alert")).to_contain_text("cheese")


def test_the_conversation_goes_on_from_the_answer_that_is_chosen(page: Page) -> None:
    compare(page, "echo-slow")
    page.get_by_label("Maximum tokens").fill("1")
    ask(page, "one two")
    finished(page, 2)
    second = page.locator(".beside .turn").nth(1)
    second.get_by_role("button", name="Go on from here").click()
    expect(second.get_by_role("button", name="Goes on from here")).to_be_visible()
    page.get_by_role("button", name="Compare", exact=True).click()
    ask(page, "three")
    finished(page, 3)
    expect(answers(page).last).to_have_text("0:three")
    expect(page.locator(".beside .turn")).to_have_count(2)


def test_stop_ends_all_of_them(open_page: Callable[..., Page]) -> None:
    page = open_page("echo-slow")
    compare(page, "echo-mute")
    ask(page, "word " * 100)
    expect(answers(page).first).to_contain_text("1:word")
    page.keyboard.press("Escape")
    finished(page, 2)
    expect(page.locator(".stats").first).to_contain_text("stopped")


def test_a_model_that_is_ready_is_offered_while_another_loads(
    open_page: Callable[..., Page], server: RunningServer
) -> None:
    server.unload("echo-late-too")
    page = open_page("echo-late-too")
    ask(page, "good morning")
    page.get_by_role("button", name="Ask echo instead, it is ready now").click()
    finished(page)
    expect(answers(page)).to_have_text("0:good 1:morning")
    expect(page.locator(".speaker")).to_have_text("echo")
    expect(page.locator("#model")).to_have_value("echo")
