"""Every task through its model's page, in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from playground.api.hf.forms import of_task
from tests import tiny_tasks
from tests.browser import widgets
from tests.browser.conftest import PHONE, OpenPage, reload_without_script
from tests.conftest import MakeServer
from tests.inference.test_pipelines import TASKS
from tests.servers import RunningServer
from tests.tiny_tasks import samples
from tests.tiny_tasks.cards import ECHO, TinyModels

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
MORE = f"""{ECHO}
[[model]]
id = "near"
source = "echo"
engine = "echo"
task = "embedding"

[[model]]
id = "lab/late"
source = "echo"
engine = "echo"
task = "embedding"
engine_args = {{ load_seconds = 4 }}

[[model]]
id = "lab/never"
source = "echo"
engine = "echo"
task = "embedding"
engine_args = {{ load_seconds = 600 }}
"""
QUICK = ("automatic-speech-recognition", "object-detection", "text-classification")
BY_SPEED = [t if t in QUICK else pytest.param(t, marks=pytest.mark.slow) for t in TASKS]
EVIL = "<img src=x onerror=window.hit=1>"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    """A model of each task, written when first asked for."""
    return TinyModels(tmp_path_factory.mktemp("models-by-task"), MORE)


@pytest.fixture(scope="module")
def house(make_server: MakeServer, models: TinyModels) -> RunningServer:
    """A server with all of them."""
    return make_server({"CATALOGUE": str(models.catalogue)})


@pytest.fixture
def open_model(visit: OpenPage, house: RunningServer, models: TinyModels) -> OpenPage:
    """Open the page of a task's model, or of any by its name."""

    def open_it(name: str, **options: Any) -> Page:
        name = models.named(name) if name in tiny_tasks.WRITERS else name
        return visit(f"{house.url}/models/{name}", **options)

    return open_it


@pytest.mark.parametrize("task", BY_SPEED)
def test_a_task_is_asked_and_its_answer_drawn_and_its_code_runs(
    open_model: OpenPage, task: str, tmp_path: Path
) -> None:
    page = open_model(task)
    widgets.fill(page, task)
    widgets.ask(page)
    widgets.shows(page, task)
    expect(page.locator("#facts")).to_contain_text("Ready")
    said = {each: widgets.code(page, each) for each in widgets.LANGUAGES}
    files = {"tone.wav": samples.sound()}
    if task == "video-classification":
        files["film.mp4"] = samples.film()
    folder = widgets.with_files(tmp_path, **files)
    printed = {each: widgets.run(each, program, folder) for each, program in said.items()}
    assert all(each.strip() for name, each in printed.items() if name != "curl")
    if of_task(task).method:
        assert f"client.{of_task(task).method}(" in said["Python"] or "httpx.post" in said["Python"]
    if made := of_task(task).file:
        assert (tmp_path / made).stat().st_size > 1000
        return
    page.locator(".raw summary").click()
    expect(page.locator("#answer .json")).to_be_visible()
    by_curl, by_node = json.loads(printed["curl"]), json.loads(printed["JavaScript"])
    assert widgets.same(by_curl, by_node)


def test_a_page_is_asked_once_its_script_is_there(open_model: OpenPage) -> None:
    page = open_model("near")
    come = reload_without_script(page, "model")
    button = page.get_by_role("button", name="Ask", exact=True)
    expect(button).to_be_disabled()
    come()
    expect(button).to_be_enabled()


def test_what_is_missing_is_said_before_anything_is_sent(open_model: OpenPage) -> None:
    page = open_model("object-detection")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".complaint:visible")).to_have_text("Picture is missing.")
    expect(page.locator("input[type=file]")).to_be_focused()
    expect(page.locator("#words")).to_have_text("Nothing was asked yet.")


def test_what_the_server_refuses_is_said_where_it_was_typed(open_model: OpenPage) -> None:
    page = open_model("text-classification", watched=False)
    page.locator(".parameters summary").click()
    page.get_by_label("Top k").fill("100000")
    page.locator(".parameters summary").click()
    page.get_by_role("button", name="Ask", exact=True).click()
    words = "Invalid 'parameters.top_k'"
    expect(page.get_by_role("alert")).to_contain_text(words)
    expect(page.locator(".control.integer .complaint")).to_contain_text(words)
    expect(page.get_by_label("Top k")).to_be_focused()
    expect(page.get_by_label("Top k")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Top k").fill("2")
    expect(page.locator(".control.integer .complaint")).to_be_hidden()


def test_a_file_that_is_no_picture_is_refused_in_words(open_model: OpenPage) -> None:
    page = open_model("object-detection", watched=False)
    broken: Any = {"name": f'">{EVIL}.png', "mimeType": "image/png", "buffer": b"\x00 none"}
    page.locator("input[type=file]").set_input_files(broken)
    page.get_by_role("button", name="Ask", exact=True).click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("PNG, JPEG", timeout=widgets.LOAD_SECONDS * 1000)
    assert page.evaluate("window.hit") is None


def test_an_odd_name_of_a_file_is_only_a_name(open_model: OpenPage, tmp_path: Path) -> None:
    name = f'it\'s "$HOME" `id` \\n {EVIL}.png'
    page = open_model("object-detection")
    file: Any = {"name": name, "mimeType": "image/png", "buffer": samples.picture()}
    page.locator("input[type=file]").set_input_files(file)
    expect(page.locator(".file .name")).to_have_text(name)
    widgets.ask(page)
    (tmp_path / name).write_bytes(samples.picture())
    for language in widgets.LANGUAGES:
        widgets.run(language, widgets.code(page, language), tmp_path)
    assert page.evaluate("window.hit") is None


def test_dropped_and_pasted_pictures_are_taken(open_model: OpenPage) -> None:
    page = open_model("keypoint-matching")
    given = """(element, [type, name]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array([137, 80])], name, { type: "image/png" }));
      const init = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
      const made = type === "paste" ? new ClipboardEvent(type, init) : new DragEvent(type, init);
      element.dispatchEvent(made);
    }"""
    page.locator(".drop").nth(1).evaluate(given, ["drop", "second.png"])
    page.locator("body").evaluate(given, ["paste", "first.png"])
    expect(page.locator(".file .name")).to_have_text(["first.png", "second.png"])
    page.get_by_role("button", name="Remove first.png").click()
    expect(page.locator(".file .name")).to_have_text(["second.png"])


def test_a_sound_is_recorded_and_heard(open_model: OpenPage) -> None:
    page = open_model("automatic-speech-recognition")
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("button", name="Stop recording (1 s)")).to_be_visible()
    page.get_by_role("button", name="Stop recording").click()
    expect(page.locator(".file .name")).to_have_text("recording.wav")
    expect(page.locator(".drop canvas.wave")).to_be_visible()
    widgets.ask(page)
    expect(page.locator("#answer .prose")).to_be_visible()


def test_who_waits_sees_it_and_may_stop(open_model: OpenPage) -> None:
    page = open_model("lab/never")
    page.get_by_role("button", name="Ask", exact=True).click()
    # Seconds tick, and a busy browser does not show each of them.
    words = re.compile(r"^lab/never is loading for [1-9]\d* s · next in line$")
    expect(page.locator("#words")).to_have_text(words)
    expect(page.locator("#facts")).to_contain_text("loading for")
    page.get_by_role("button", name="Stop").press("Enter")
    expect(page.locator("#words")).to_have_text("Stopped.")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_focused()


def test_a_phone_sized_visit_by_keyboard_only(open_model: OpenPage) -> None:
    page = open_model("lab/late", viewport=PHONE, has_touch=True, color_scheme="dark")
    expect(page.get_by_role("tab", name="Sentence similarity")).to_be_visible()
    page.get_by_role("tab", name="Sentence similarity").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Feature extraction")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Text", exact=True)).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("a cat")
    page.keyboard.press("Control+Enter")
    widgets.answered(page)
    expect(page.locator("#answer .vectors")).to_contain_text("1 vectors of")
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]


def test_models_that_chat_lead_into_the_chat(visit: OpenPage, house: RunningServer) -> None:
    page = visit(house.url)
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
    page.get_by_role("link", name="echo", exact=True).click()
    page.get_by_role("link", name="Chat with it").click()
    expect(page.locator("#model")).to_have_value("echo")


# The page's own module, found among what the page has loaded.
DRAW = """async ([results, body, drawn]) => {
  const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  const url = (name) => loaded.find((each) => new RegExp(`/${name}\\\\.\\\\w+\\\\.js$`).test(each));
  const { drawn: draw } = await import(url("results"));
  const { Addresses, Medium } = await import(url("media"));
  const canvas = new OffscreenCanvas(8, 8);
  canvas.getContext("2d");
  const picture = new Medium("picture", new File([await canvas.convertToBlob()], "x.png"));
  for (const asked of [body, { inputs: picture }, { inputs: [picture, picture] }]) {
    for (const name of drawn) {
      for (const result of results) {
        const form = { drawn: name, file: "" };
        const context = { form, body: asked, addresses: new Addresses() };
        document.getElementById("answer").append(await draw(result, context));
      }
    }
  }
  for (const each of document.querySelectorAll(".raw summary")) each.click();
  await new Promise((done) => setTimeout(done, 100));
}"""
BOX = {"xmin": 1, "ymin": 1, "xmax": 5, "ymax": 5}
HOSTILE = [
    EVIL,
    [{"label": EVIL, "score": 0.5}],
    [{"label": EVIL, "score": 0.5, "box": BOX}],
    [{"token_str": EVIL, "score": 0.5, "sequence": EVIL}],
    [{"answer": EVIL, "score": 0.5, "start": 0, "end": 4}],
    [{"entity_group": EVIL, "score": 0.5, "start": 0, "end": 4, "word": EVIL}],
    [{"generated_text": EVIL}],
    {"text": EVIL, "chunks": [{"text": EVIL, "timestamp": [0, EVIL]}]},
    {"answer": EVIL, "aggregator": EVIL, "cells": [EVIL], "coordinates": [[0, 0]]},
    {"image": "PHN2Zz4=", "content_type": f"image/svg+xml{EVIL}"},
    {"html": "PGgxPg==", "content_type": "text/html"},
    [{EVIL: EVIL}],
    {EVIL: EVIL},
    {EVIL: [{EVIL: [EVIL]}]},
    [[0.5, 1.5], [2.5, 3.5]],
    None,
    [],
    {},
    7,
]


def test_whatever_a_model_answers_is_text(open_model: OpenPage) -> None:
    page = open_model("near")
    page.get_by_role("tab", name="Python").wait_for()
    body = {"inputs": EVIL + "  and a text", "parameters": {}}
    asked = {**body, "inputs": {"context": EVIL, "sentences": [EVIL], "table": {EVIL: [EVIL]}}}
    names = sorted({of_task(task).drawn for task in tiny_tasks.WRITERS})
    for each in (body, asked):
        page.evaluate(DRAW, [HOSTILE, each, names])
    assert page.evaluate("window.hit") is None
    assert page.locator("#answer .drawn").count() > 100
    forbidden = "#answer :is(script, iframe, svg:not(.over):not(.icon), [onerror], [src='x'])"
    expect(page.locator(forbidden)).to_have_count(0)
    saved = page.locator("#answer a[download]")
    assert all(str(each.get_attribute("href")).startswith("blob:") for each in saved.all())


TYPES = """async (types) => {
  const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  const { blobOf } = await import(loaded.find((each) => /\\/media\\.\\w+\\.js$/.test(each)));
  return types.map((type) => blobOf("AAAA", type).type);
}"""


def test_an_answer_is_never_of_a_type_that_a_browser_runs(open_model: OpenPage) -> None:
    page = open_model("near")
    page.get_by_role("tab", name="Python").wait_for()
    types = ["text/html", "image/svg+xml", "application/xhtml+xml", "image/png", "audio/wav"]
    plain = "application/octet-stream"
    assert page.evaluate(TYPES, types) == [plain, plain, plain, "image/png", "audio/wav"]
