"""A visit to the playground: ask, watch, stop, ask again, lose the line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, reload_without_script
from tests.servers import RunningServer

pytestmark = pytest.mark.browser

LONG_QUESTION = " ".join(f"word{i}" for i in range(200))


def ask(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")


def answers(page: Page) -> Any:
    return page.locator(".turn.answer .markdown")


def finished(page: Page, count: int = 1) -> None:
    """Wait until so many answers are complete."""
    expect(page.locator(".turn.answer:not([aria-busy])")).to_have_count(count)


def test_first_visit_to_first_answer_takes_one_click(page: Page) -> None:
    page.get_by_role("button", name="What is the capital of France?").click()
    finished(page)
    expect(answers(page)).to_have_text("0:What 1:is 2:the 3:capital 4:of 5:France?")
    expect(page.locator("#empty")).to_be_hidden()


def test_what_is_typed_before_the_script_is_there_is_sent_after(page: Page) -> None:
    come = reload_without_script(page, "home")
    send = page.get_by_role("button", name="Send")
    page.get_by_label("Your message").fill("one two")
    expect(send).to_be_disabled()
    come()
    expect(send).to_be_enabled()
    page.select_option("#model", "echo")
    send.click()
    finished(page)
    expect(answers(page)).to_have_text("0:one 1:two")


@pytest.mark.engine
def test_pocket_knows_the_capital_of_france(
    pocket_server: Any, open_page: Callable[..., Page]
) -> None:
    page = open_page("pocket")
    ask(page, "What is the capital of France?")
    expect(answers(page)).to_contain_text("Paris", timeout=60_000)
    finished(page)


def test_answer_grows_while_it_is_written(open_page: Callable[..., Page]) -> None:
    page = open_page("echo-slow")
    ask(page, LONG_QUESTION)
    expect(answers(page)).to_contain_text("2:word2")
    early = answers(page).inner_text()
    expect(answers(page)).to_contain_text("12:word12")
    later = answers(page).inner_text()
    assert later.startswith(early)
    assert "199:" not in later
    page.get_by_role("button", name="Stop").click()
    finished(page)


def test_line_under_an_answer_tells_tokens_and_speed(open_page: Callable[..., Page]) -> None:
    page = open_page("echo-slow")
    ask(page, "one two three four")
    expect(page.locator(".stats")).to_have_text(
        re.compile(r"^4 tokens · first after \d\.\d\d s · \d+ tokens/s · \d\.\d\d device-seconds$")
    )


@pytest.mark.parametrize("way", ["button", "key"])
def test_stop_keeps_what_was_said(open_page: Callable[..., Page], way: str) -> None:
    page = open_page("echo-slow")
    ask(page, LONG_QUESTION)
    expect(answers(page)).to_contain_text("1:word1")
    if way == "button":
        page.get_by_role("button", name="Stop").click()
    else:
        page.keyboard.press("Escape")
    finished(page)
    expect(page.locator(".stats")).to_contain_text("stopped")
    assert "199:" not in answers(page).inner_text()
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_stop_before_the_first_word_gives_the_question_back(
    open_page: Callable[..., Page],
) -> None:
    page = open_page("echo-mute")
    ask(page, "say nothing")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_label("Your message")).to_have_value("say nothing")
    expect(page.locator(".turn")).to_have_count(0)


def test_waiting_is_shown_while_a_model_loads(
    open_page: Callable[..., Page], server: RunningServer
) -> None:
    server.unload("echo-late")
    page = open_page("echo-late")
    ask(page, "good morning")
    expect(page.locator(".waiting .words")).to_contain_text("loading")
    expect(answers(page)).to_have_text("0:good 1:morning")


def test_ask_again_is_another_answer_beside_the_first(page: Page) -> None:
    ask(page, "first")
    finished(page)
    page.get_by_role("button", name="Ask again").click()
    finished(page)
    expect(page.locator(".turn")).to_have_count(2)
    expect(answers(page)).to_have_text("0:first")
    expect(page.locator(".answer .place")).to_have_text("2 / 2")


def test_conversation_goes_on_and_new_chat_begins_afresh(page: Page) -> None:
    ask(page, "first")
    finished(page)
    ask(page, "second")
    finished(page, 2)
    expect(answers(page).last).to_have_text("0:second")
    expect(page.get_by_role("button", name="Ask again")).to_have_count(1)
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#empty")).to_be_visible()


def test_frames_of_a_chat_left_behind_are_not_shown(open_page: Callable[..., Page]) -> None:
    page = open_page("echo-slow")
    ask(page, LONG_QUESTION)
    expect(answers(page)).to_contain_text("1:word1")
    page.get_by_role("button", name="New chat").click()
    ask(page, "fresh")
    finished(page)
    expect(answers(page)).to_have_text("0:fresh")


def test_parameters_reach_the_model(page: Page) -> None:
    page.get_by_label("Maximum tokens").fill("3")
    ask(page, "one two three four five")
    finished(page)
    expect(answers(page)).to_have_text("0:one 1:two 2:three")
    expect(page.locator(".stats")).to_contain_text("cut at the maximum length")


def test_shift_enter_starts_a_new_line(page: Page) -> None:
    box = page.get_by_label("Your message")
    box.press_sequentially("one")
    page.keyboard.press("Shift+Enter")
    box.press_sequentially("two")
    expect(box).to_have_value("one\ntwo")
    expect(page.locator(".turn")).to_have_count(0)


def test_refused_question_goes_back_to_where_it_was_typed(page: Page) -> None:
    question = "word " * 3000
    ask(page, question)
    expect(page.get_by_role("alert")).to_contain_text("maximum context length")
    expect(page.get_by_label("Your message")).to_have_value(question.strip())
    expect(page.locator(".turn")).to_have_count(0)


def test_model_that_fails_to_load_says_why(open_page: Callable[..., Page]) -> None:
    page = open_page("echo-broken")
    ask(page, "hello")
    expect(page.get_by_role("alert")).to_contain_text("cheese")
    expect(page.get_by_label("Your message")).to_have_value("hello")


@pytest.mark.parametrize("width", [780, 1024, 1200])
def test_the_bar_fits_and_the_model_can_be_read(open_page: Callable[..., Page], width: int) -> None:
    page = open_page(viewport={"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.get_by_role("button", name="Parameters", exact=True)).to_be_in_viewport(ratio=1)
    assert page.locator("#model").evaluate("picker => picker.clientWidth") >= 180


def test_phone_shows_everything_without_sideways_scrolling(open_page: Callable[..., Page]) -> None:
    page = open_page(viewport=PHONE, has_touch=True)
    ask(page, f"```\n{'x' * 400}\n```")
    finished(page)
    page.get_by_role("button", name="More", exact=True).click()
    for name in ("Show code", "Compare", "Parameters", "New chat"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_in_viewport()
    page.keyboard.press("Escape")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]
    page.get_by_role("button", name="Parameters", exact=True).click()
    expect(page.get_by_label("System prompt")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(page.get_by_label("System prompt")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_theme_follows_the_system_until_it_is_switched_and_stays_so(
    open_page: Callable[..., Page], scheme: str
) -> None:
    page = open_page(color_scheme=scheme)

    def is_dark() -> bool:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return int(re.findall(r"\d+", colour)[0]) < 128

    assert is_dark() == (scheme == "dark")
    page.get_by_role("button", name="Switch between light and dark").click()
    assert is_dark() == (scheme == "light")
    page.reload()
    assert is_dark() == (scheme == "light")
