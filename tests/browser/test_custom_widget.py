"""Custom code through its model's page: the form follows the type hints of `run`."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.api.test_custom_models import EXAMPLES, Site, signed_in_site
from tests.browser import widgets
from tests.browser.conftest import OpenPage
from tests.conftest import MakeServer

pytestmark = [pytest.mark.browser, pytest.mark.jail, pytest.mark.slow, pytest.mark.timeout(400)]
ODD = """
def load():
    return None

def run(model, words: list[str], box: dict[str, int], extra=None) -> list[dict]:
    return [{"label": each, "score": box["score"] / 100, "extra": extra} for each in words]
"""


@pytest.fixture(scope="module")
def site(make_server: MakeServer) -> Iterator[Site]:
    with signed_in_site(make_server({})) as found:
        yield found


def test_a_picture_goes_in_and_comes_out(site: Site, visit: OpenPage, tmp_path: Path) -> None:
    model = site.approved("poster", (EXAMPLES / "poster.py").read_text())
    page = visit(f"{site.server.url}/models/{model}")
    widgets.fill(page, model)
    expect(page.get_by_label("Bits")).to_contain_text("default: 2")
    page.get_by_label("Bits").select_option("1")
    page.get_by_label("Invert").select_option("true")
    widgets.ask(page)
    shown = page.locator("#answer .medium img")
    expect(shown).to_be_visible()
    assert shown.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [48, 40]
    expect(page.locator("#facts")).to_contain_text("custom code")
    folder = widgets.with_files(tmp_path)
    for language in widgets.LANGUAGES:
        widgets.run(language, widgets.code(page, language), folder)
        made = folder / "answer.png"
        assert Image.open(io.BytesIO(made.read_bytes())).size == (48, 40)
        made.unlink()


def test_hints_of_all_kinds_have_controls_and_refusals_their_place(
    site: Site, visit: OpenPage
) -> None:
    model = site.approved("odd", ODD)
    page = visit(f"{site.server.url}/models/{model}", watched=False)
    page.get_by_label("Words").fill("one\ntwo\n")
    page.get_by_label("Box").fill('{"score": "much"}')
    page.locator(".parameters summary").click()
    page.get_by_label("Extra").fill("just words")
    page.get_by_role("button", name="Ask", exact=True).click()
    complaint = page.locator(".control.json .complaint")
    expect(complaint).to_contain_text("Expected an integer for `parameters.box.score`")
    page.get_by_label("Box").fill('{"score": ')
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(complaint).to_have_text(re.compile("^Box has to be JSON"))
    page.get_by_label("Box").fill('{"score": 50}')
    widgets.ask(page)
    expect(page.locator("#answer .bar-words")).to_have_text(["one", "two"])
