"""What can be set for a question: parameters, a schema, tools, pictures."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, WebSocketRoute, expect

from tests.browser.test_conversation import answers, ask, finished

pytestmark = pytest.mark.browser


def drawn(width: int = 40, height: int = 30) -> FilePayload:
    """A picture as a file."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "png")
    return {"name": "red.png", "mimeType": "image/png", "buffer": file.getvalue()}


class Model:
    """A model of every ability, played by the test: it notes what is asked, and answers as told."""

    def __init__(self, page: Page) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        page.route_web_socket("**/ws/chat", self.connect)
        page.reload()
        page.locator("#model option[value='able']").wait_for(state="attached")

    def connect(self, line: WebSocketRoute) -> None:
        line.on_message(lambda text: self.hear(line, json.loads(text)))
        names = ["temperature", "top_p", "max_tokens", "response_format", "tools", "seed"]
        model = {"id": "able", "state": "ready", "detail": "", "tier": "A", "context": 100}
        counts = {"is_default": True, "running": 0, "waiting": 0, "pictures": False}
        known = {"parameters": names, "defaults": {"temperature": 0.6}}
        self.say(line, type="models", models=[model | counts | known])

    def hear(self, line: WebSocketRoute, frame: dict[str, Any]) -> None:
        if frame["type"] != "chat":
            return
        self.asked.append(frame)
        name, said = frame["id"], self.answers.pop(0)
        self.say(line, type="token", id=name, tokens=1, at=[0, 0, 0], **{"text": ""} | said)
        timings = {"ttft": 0.1, "tokens_per_second": 9, "device_seconds": 0.1, "queue_seconds": 0}
        usage = {"completion_tokens": 1}
        done = {"finish_reason": "stop", "usage": usage, "timings": timings, "model": "able"}
        self.say(line, type="done", id=name, **done)

    @staticmethod
    def say(line: WebSocketRoute, **frame: Any) -> None:
        line.send(json.dumps(frame))


@pytest.fixture
def model(page: Page) -> Model:
    return Model(page)


def test_the_panel_shows_what_the_model_can_do(page: Page) -> None:
    expect(page.get_by_label("Maximum tokens")).to_be_visible()
    for name in ("Temperature", "Answer as", "Seed"):
        expect(page.get_by_label(name)).to_be_hidden()
    expect(page.get_by_text("Tools", exact=True)).to_be_hidden()


def test_parameters_are_sent_once_they_are_set(page: Page, model: Model) -> None:
    expect(page.locator("#temperature-shown")).to_have_text("model’s default, 0.6")
    model.answers = [{"text": "one"}, {"text": "two"}, {"text": "three"}]
    ask(page, "first")
    finished(page)
    page.get_by_label("Temperature").fill("0.3")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Seed").fill("7")
    ask(page, "second")
    finished(page, 2)
    page.get_by_role("button", name="Use the model’s defaults").click()
    ask(page, "third")
    finished(page, 3)
    assert [each["params"] for each in model.asked] == [{}, {"temperature": 0.3, "seed": 7}, {}]


def test_a_schema_is_checked_while_it_is_typed(page: Page, model: Model) -> None:
    page.get_by_label("Answer as").select_option("JSON by a schema")
    schema = page.get_by_label("JSON schema")
    schema.fill('{"type": "object"')
    expect(page.locator("#schema-wrong")).to_contain_text("no JSON")
    ask(page, "hello")
    expect(page.locator("#notice")).to_contain_text("no JSON")
    expect(page.get_by_label("Your message")).to_have_value("hello")
    schema.fill('{"type": "object"}')
    model.answers = [{"text": "{}"}]
    page.get_by_label("Your message").press("Enter")
    finished(page)
    sent = model.asked[0]["params"]["response_format"]
    assert sent == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}},
    }


def test_a_tool_loop_is_shown_step_by_step(page: Page, model: Model) -> None:
    page.locator("#controls summary").click()
    page.get_by_role("button", name="Insert an example").click()
    first = {"index": 0, "id": "c1", "type": "function"}
    begun = {"tool_calls": [first | {"function": {"name": "get_weather", "arguments": '{"city":'}}]}
    model.answers = [
        {
            "tool_calls": [
                begun["tool_calls"][0],
                {"index": 0, "function": {"arguments": '"Rome"}'}},
            ]
        },
        {"text": "It is sunny."},
    ]
    ask(page, "What is the weather in Rome?")
    call = page.locator(".call")
    expect(call.locator(".name")).to_have_text("get_weather")
    expect(call.locator(".arguments")).to_have_text('{\n  "city": "Rome"\n}')
    page.get_by_label("Result of get_weather").fill("sunny, 25 °C")
    page.get_by_role("button", name="Send the results").click()
    finished(page, 2)
    expect(page.locator(".tool-result .result")).to_have_text("sunny, 25 °C")
    expect(answers(page).last).to_have_text("It is sunny.")
    user, asked, result = model.asked[1]["messages"]
    assert asked["tool_calls"][0]["function"]["arguments"] == '{"city":"Rome"}'
    assert result == {"role": "tool", "tool_call_id": "c1", "content": "sunny, 25 °C"}


def test_reasoning_is_folded(page: Page, model: Model) -> None:
    model.answers = [{"text": "42", "reasoning": "six times seven"}]
    ask(page, "What is it?")
    finished(page)
    expect(page.locator(".thought")).to_be_hidden()
    page.locator(".reasoning summary").click()
    expect(page.locator(".thought")).to_have_text("six times seven")


def test_a_picture_goes_with_the_question(open_page: Callable[..., Page]) -> None:
    page = open_page("echo-eyes")
    page.locator("#attached-file").set_input_files([drawn(3000, 1500)])
    thumb = page.get_by_alt_text("Picture 1")
    expect(thumb).to_be_visible()
    size = thumb.evaluate("image => image.decode().then(() => [image.naturalWidth])")
    assert size == [1024]
    ask(page, "what is it")
    finished(page)
    expect(answers(page)).to_have_text("0:picture 1:what 2:is 3:it")
    expect(page.get_by_alt_text("A picture")).to_be_visible()
    expect(thumb).to_have_count(0)


TRANSFER = """([kind, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "red.png", { type: "image/png" }));
  const options = { bubbles: true, cancelable: true };
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
    : new DragEvent("drop", { ...options, dataTransfer: transfer });
  document.getElementById("prompt").dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_a_picture_may_be_pasted_and_dropped(open_page: Callable[..., Page], kind: str) -> None:
    page = open_page("echo-eyes")
    data = base64.b64encode(drawn()["buffer"]).decode()
    page.evaluate(TRANSFER, [kind, data])
    expect(page.get_by_alt_text("Picture 1")).to_be_visible()
    page.get_by_role("button", name="Remove picture 1").click()
    expect(page.get_by_alt_text("Picture 1")).to_have_count(0)


def test_what_is_no_picture_is_said_and_a_blind_model_takes_none(
    open_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = open_page("echo-eyes")
    file = tmp_path / "notes.png"
    file.write_text("no picture")
    page.locator("#attached-file").set_input_files(file)
    expect(page.locator("#notice")).to_contain_text("notes.png is no picture")
    page.select_option("#model", "echo")
    expect(page.get_by_role("button", name="Add a picture")).to_be_hidden()
