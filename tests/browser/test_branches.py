"""Edit, ask again, go back: the branches of a conversation, and what a tab keeps of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_conversation import LONG_QUESTION, answers, ask, finished

pytestmark = pytest.mark.browser


def edit(page: Page, place: int, text: str) -> None:
    """Ask the question at this place in other words."""
    turn = page.locator(".turn.user").nth(place)
    turn.hover()
    turn.get_by_role("button", name="Edit question").click()
    page.get_by_label("Your question in other words").fill(text)
    page.keyboard.press("Enter")


def test_an_edited_question_is_a_branch_and_the_old_one_is_an_arrow_away(page: Page) -> None:
    ask(page, "first")
    finished(page)
    ask(page, "second")
    finished(page, 2)
    edit(page, 0, "other")
    finished(page)
    expect(page.locator(".turn")).to_have_count(2)
    expect(answers(page)).to_have_text("0:other")
    question = page.locator(".turn.user")
    expect(question.locator(".place")).to_have_text("2 / 2")
    question.get_by_role("button", name="The version before").click()
    expect(page.locator(".turn")).to_have_count(4)
    expect(answers(page).last).to_have_text("0:second")
    page.locator(".turn.user").first.get_by_role("button", name="The next version").click()
    expect(answers(page)).to_have_text("0:other")


def test_only_the_chosen_branch_is_sent(page: Page) -> None:
    ask(page, "first")
    finished(page)
    edit(page, 0, "other")
    finished(page)
    page.get_by_role("button", name="Show code").click()
    code = page.get_by_role("tabpanel").inner_text()
    assert "other" in code and "first" not in code


def test_editing_can_be_given_up(page: Page) -> None:
    ask(page, "first")
    finished(page)
    page.locator(".turn.user").hover()
    page.get_by_role("button", name="Edit question").click()
    page.keyboard.press("Escape")
    expect(page.locator(".editing")).to_have_count(0)
    expect(page.locator(".turn.user .said")).to_have_text("first")


def test_a_tab_that_is_loaded_anew_shows_what_it_showed(page: Page) -> None:
    ask(page, "first")
    finished(page)
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator(".answer .place")).to_have_text("2 / 2")
    finished(page)
    page.reload()
    finished(page)
    expect(answers(page)).to_have_text("0:first")
    expect(page.locator(".stats")).to_contain_text("1 token")
    expect(page.locator(".answer .place")).to_have_text("2 / 2")


def test_an_answer_goes_on_when_the_page_is_loaded_anew(open_page: Callable[..., Page]) -> None:
    page = open_page("echo-slow")
    page.get_by_label("Maximum tokens").fill("60")
    ask(page, LONG_QUESTION)
    expect(answers(page)).to_contain_text("3:word3")
    page.reload()
    finished(page)
    assert answers(page).inner_text().split() == [f"{i}:word{i}" for i in range(60)]


def test_another_tab_is_another_conversation(page: Page, server: Any) -> None:
    ask(page, "first")
    finished(page)
    other = page.context.new_page()
    other.goto(server.url)
    expect(other.locator("#empty")).to_be_visible()
    other.locator("#model option[value='echo']").wait_for(state="attached")
    ask(other, "second")
    finished(other)
    expect(answers(other)).to_have_text("0:second")
    expect(answers(page)).to_have_text("0:first")
