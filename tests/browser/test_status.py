"""The public board at /status: live, and drawn for every screen."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.api.test_waiting import waiting
from tests.browser.conftest import PHONE
from tests.servers import RunningServer
from tests.turns import busy

pytestmark = pytest.mark.browser


def line(page: Page, table: str, model: str) -> Any:
    """A model's row of a table."""
    return page.locator(f"#{table} tbody tr", has=page.get_by_text(model, exact=True))


def test_the_board_lives_without_reload(turns: RunningServer, visit: Callable[..., Page]) -> None:
    page = visit(f"{turns.url}/status")
    expect(page.locator("#summary")).to_have_text("Nothing runs and nobody waits.")
    expect(line(page, "resident", "small")).to_contain_text("stays")
    with busy(turns):
        expect(line(page, "resident", "left").locator("[data-label=Running]")).to_have_text("1")
        expect(line(page, "resident", "left")).to_contain_text("nobody waits")
        with waiting(turns, "late"), waiting(turns, "late"):
            expect(line(page, "next", "late").locator("[data-label=Waiting]")).to_have_text("2")
            expect(line(page, "resident", "left")).to_contain_text("Finishing")
            expect(page.locator("#summary")).to_have_text("1 answer running, 2 requests waiting")
    expect(line(page, "resident", "left").locator("[data-label=Running]")).to_have_text("0")
    expect(page.locator("#next-none")).to_be_visible()
    with ExitStack() as stays:
        with busy(turns):
            # Whoever stays gets the place: then it is known how long unloading takes.
            stays.enter_context(waiting(turns, "late"))
            expect(line(page, "resident", "left")).to_contain_text("Finishing")
        expect(line(page, "resident", "left")).to_have_count(0)
    for part in ("Load", "Unload"):
        cell = line(page, "switching", "left").locator(f"[data-label={part}]")
        expect(cell).to_contain_text(" s")


def test_a_load_is_seen_coming(turns: RunningServer, visit: Callable[..., Page]) -> None:
    page = visit(f"{turns.url}/status")
    with busy(turns):
        expect(line(page, "resident", "late")).to_have_count(0)
    with waiting(turns, "late"):
        expect(line(page, "resident", "late")).to_contain_text("loading for")
    expect(page.locator(".piece", has_text="late")).to_have_attribute("data-state", "ready")


def test_the_board_shows_a_server_that_does_not_answer(
    turns: RunningServer, visit: Callable[..., Page]
) -> None:
    page = visit(f"{turns.url}/status", watched=False)
    expect(line(page, "resident", "small")).to_be_visible()
    page.route("**/v1/status", lambda route: route.abort())
    expect(page.get_by_role("status")).to_contain_text("does not answer")
    page.unroute("**/v1/status")
    expect(page.get_by_role("status")).to_be_hidden()


@pytest.mark.parametrize("options", [{}, {"viewport": PHONE, "has_touch": True}])
def test_the_board_fits_every_screen(
    turns: RunningServer, visit: Callable[..., Page], options: dict[str, Any]
) -> None:
    page = visit(f"{turns.url}/status", **options)
    expect(line(page, "resident", "small")).to_be_visible()
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]
    for name in ("Playground", "Docs"):
        expect(page.get_by_role("link", name=name, exact=True)).to_be_in_viewport()


def test_every_page_leads_to_the_board(turns: RunningServer, visit: Callable[..., Page]) -> None:
    for path in ("", "/docs/api"):
        page = visit(turns.url + path)
        page.get_by_role("link", name="Status", exact=True).click()
        expect(page).to_have_title("Status · LLMs for all")


def test_the_playground_shows_place_and_stage(
    turns: RunningServer, visit: Callable[..., Page]
) -> None:
    page = visit(turns.url)
    page.locator("#model option[value=late]").wait_for(state="attached")
    page.select_option("#model", "late")
    words = page.locator(".waiting .words")
    with busy(turns), waiting(turns, "late"):
        page.get_by_label("Your message").fill("good morning")
        page.keyboard.press("Enter")
        expect(words).to_contain_text("Waiting for late · number 2 in line")
    expect(words).to_have_text(re.compile(r"^late is loading for \d s · next in line · about \d s"))
    expect(page.locator(".turn.answer .markdown")).to_have_text("0:good 1:morning")
