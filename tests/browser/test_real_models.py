"""The playground with real models: a tool loop with `pocket`, a picture for one that sees."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.api import senses
from tests.browser.conftest import OpenPage
from tests.browser.test_controls import drawn
from tests.browser.test_conversation import answers, ask, finished
from tests.conftest import MakeServer
from tests.servers import RunningServer

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(300)]
LOADED = 120_000
CARDS = """
[[model]]
id = "eyes"
source = {source!r}
engine = "transformers"
dtype = "float32"
"""


def test_a_tool_loop_with_pocket(pocket_server: RunningServer, open_page: OpenPage) -> None:
    """The model calls by itself, is told what came of it, and says so."""
    page: Page = open_page("pocket")
    page.locator("#controls summary", has_text="Tools").click()
    page.get_by_role("button", name="Insert an example").click()
    ask(page, "What is the weather in Rome?")
    call = page.locator(".call")
    expect(call.locator(".name")).to_have_text("get_weather", timeout=LOADED)
    expect(call.locator(".arguments")).to_contain_text('"Rome"')
    finished(page)
    page.get_by_label("Result of get_weather").fill("sunny, 25 °C")
    page.get_by_role("button", name="Send the results").click()
    finished(page, 2)
    expect(page.locator(".tool-result .result")).to_have_text("sunny, 25 °C")
    expect(answers(page).last).to_contain_text(re.compile("sunny|25"))
    # It goes on as a conversation, with the tools at hand.
    ask(page, "What is the capital of France?")
    finished(page, 3)
    expect(answers(page).last).to_contain_text("Paris")


@pytest.fixture(scope="module")
def seeing(make_server: MakeServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    """A server whose only model sees. Its weights are random: it knows no word."""
    folder: Path = tmp_path_factory.mktemp("eyes")
    senses.write(folder / "model", "eyes")
    (folder / "cards.toml").write_text(CARDS.format(source=str(folder / "model")))
    return make_server({"CATALOGUE": str(folder / "cards.toml"), "DEFAULT_MODEL": "eyes"})


def test_a_picture_is_part_of_the_prompt(seeing: RunningServer, visit: OpenPage) -> None:
    blind, seen = (prompt_tokens(visit(seeing.url), picture) for picture in (False, True))
    assert seen > blind + 3


def prompt_tokens(page: Page, picture: bool) -> int:
    """Ask a question, with a picture or without: how long the prompt was, by the server's word."""
    frames: list[str] = []
    page.on("websocket", lambda line: line.on("framereceived", lambda text: frames.append(text)))
    page.reload()
    page.locator("#model option[value='eyes']").wait_for(state="attached")
    page.get_by_label("Maximum tokens").fill("8")
    if picture:
        page.locator("#attached-file").set_input_files([drawn()])
        expect(page.get_by_alt_text("Picture 1")).to_be_visible()
    ask(page, "What is it?")
    expect(page.locator(".turn.answer:not([aria-busy])")).to_have_count(1, timeout=LOADED)
    expect(page.get_by_alt_text("A picture")).to_have_count(int(picture))
    (done,) = [frame for frame in map(json.loads, frames) if frame["type"] == "done"]
    assert done["usage"]["completion_tokens"] == 8
    return int(done["usage"]["prompt_tokens"])
