"""The admin's page of switches, in a browser: each load, drain, sleep, wake and unload."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.api.asking import CHAT, user
from tests.api.test_waiting import waiting
from tests.servers import DEFAULTS, RunningServer, wait_until
from tests.turns import busy

pytestmark = pytest.mark.browser
SECONDS = re.compile(r"^\d+\.\d\d / \d+\.\d\d$")


def ask(server: RunningServer, model: str) -> None:
    """An answer, whatever has to make room for it."""
    body = {"model": model, "messages": user("x"), "stream": True}
    assert httpx.post(f"{server.url}{CHAT}", json=body, timeout=30).status_code == 200


def test_staff_see_what_every_part_of_a_switch_took(
    turns: RunningServer, visit: Callable[..., Page]
) -> None:
    for model in ("sleeper", "right", "sleeper"):
        ask(turns, model)
    with busy(turns), waiting(turns, "right"):
        wait_until(lambda: turns.model("left")["state"] == "draining")
    # The last drain has ended when the next model is there.
    ask(turns, "right")

    page = visit(f"{turns.url}/admin/inference/cataloguerow/")
    page.locator("[name=login]").fill("admin")
    page.locator("[name=password]").fill(DEFAULTS["DJANGO_SUPERUSER_PASSWORD"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Switches").click()
    expect(page).to_have_title(re.compile("^Switches"))
    by_model, events = (page.locator(".llms-switches table").nth(i) for i in range(2))
    heads = by_model.locator("thead th").all_inner_texts()

    def cell(model: str, kind: str) -> Any:
        row = by_model.locator("tbody tr", has=page.get_by_role("rowheader", name=model))
        return row.locator("th, td").nth([head.lower() for head in heads].index(kind))

    for model, kind in (
        ("sleeper", "load"),
        ("sleeper", "sleep"),
        ("sleeper", "wake"),
        ("left", "drain"),
        ("right", "unload"),
    ):
        expect(cell(model, kind)).to_have_text(SECONDS)
        named = events.locator("tbody tr", has_text=model).filter(has_text=kind)
        expect(named.first).to_contain_text("done")
    expect(cell("small", "drain")).to_have_text("–")
