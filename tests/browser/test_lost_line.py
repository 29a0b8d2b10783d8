"""The line to the server is cut: the answer goes on where it was, and nothing typed is lost."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import OpenPage
from tests.browser.test_conversation import LONG_QUESTION, answers, ask, finished
from tests.conftest import MakeServer
from tests.servers import RunningServer

pytestmark = pytest.mark.browser


def lines_of(page: Page) -> list[WebSocketRoute]:
    """The page's connections, the newest last, from its next load on."""
    lines: list[WebSocketRoute] = []

    def connect(line: WebSocketRoute) -> None:
        lines.append(line)
        line.connect_to_server()

    page.route_web_socket("**/ws/chat", connect)
    page.reload()
    page.locator("#model option[value='echo']").wait_for(state="attached")
    return lines


def test_an_answer_is_taken_up_where_the_line_was_cut(page: Page) -> None:
    lines = lines_of(page)
    page.select_option("#model", "echo-slow")
    page.get_by_label("Maximum tokens").fill("80")
    ask(page, LONG_QUESTION)
    expect(answers(page)).to_contain_text("3:word3")
    lines[-1].close(code=1012)
    expect(page.locator("#notice")).to_contain_text("Reconnecting")
    expect(page.locator("#notice")).to_be_hidden()
    finished(page)
    assert answers(page).inner_text().split() == [f"{i}:word{i}" for i in range(80)]
    expect(page.locator(".stats")).to_contain_text("80 tokens")
    assert len(lines) == 2


def test_a_question_that_waits_keeps_its_place(page: Page) -> None:
    lines = lines_of(page)
    page.select_option("#model", "echo-mute")
    ask(page, "are you there")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    lines[-1].close(code=1012)
    expect(page.locator("#notice")).to_contain_text("Reconnecting")
    expect(page.locator("#notice")).to_be_hidden()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_label("Your message")).to_have_value("are you there")


def test_what_is_typed_while_the_line_is_down_stays(page: Page) -> None:
    page.route_web_socket("**/ws/chat", lambda line: line.close(code=1012))
    page.reload()
    expect(page.locator("#notice")).to_contain_text("Reconnecting")
    ask(page, "hold this")
    expect(page.locator("#notice")).to_contain_text("still below")
    expect(page.get_by_label("Your message")).to_have_value("hold this")
    expect(page.locator(".turn")).to_have_count(0)


def test_a_server_that_starts_again_gives_the_question_back(
    make_server: MakeServer, visit: OpenPage
) -> None:
    server = make_server()
    page = visit(server.url, watched=False)
    page.select_option("#model", "echo-mute")
    ask(page, "are you there")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    server.process.send_signal(signal.SIGKILL)
    server.process.wait(10)
    expect(page.locator("#notice")).to_contain_text("Reconnecting")
    server.process = server._start()
    server.wait_ready()
    expect(page.get_by_label("Your message")).to_have_value("are you there")
    expect(page.get_by_role("alert")).to_contain_text("given the answer up")
    page.select_option("#model", "echo")
    page.get_by_role("button", name="Try again").click()
    finished(page)
    expect(answers(page)).to_have_text("0:are 1:you 2:there")


def test_two_tabs_that_lose_their_lines_get_their_own_answers(
    open_page: Callable[..., Page], server: RunningServer
) -> None:
    pages = [open_page("echo-slow"), open_page("echo-slow")]
    lines = [lines_of(page) for page in pages]
    for number, page in enumerate(pages):
        page.select_option("#model", "echo-slow")
        ask(page, " ".join(f"tab{number}" for _ in range(60)))
        expect(answers(page)).to_contain_text("1:")
    for line in lines:
        line[-1].close(code=1012)
    for number, page in enumerate(pages):
        finished(page)
        assert answers(page).inner_text().split() == [f"{i}:tab{number}" for i in range(60)]
