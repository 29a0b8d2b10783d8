""" "Show code": what is shown runs as it stands."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.api.environments import python_with
from tests.servers import ROOT

pytestmark = pytest.mark.browser

CLIENT_PINS = ROOT / "requirements" / "clients.txt"
NODE = shutil.which("node") or ROOT / ".venv" / "bin" / "node"
NASTY = 'It\'s "quoted", $HOME `id` \\n {"a":"b","c"} 🦜 :"} ,"'


def shown(page: Page, language: str) -> str:
    page.get_by_role("button", name="Show code").click()
    page.get_by_role("tab", name=language).click()
    code: str = page.get_by_role("tabpanel").inner_text()
    page.keyboard.press("Escape")
    return code


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def echoed(text: str) -> list[str]:
    return [f"{place}:{word}" for place, word in enumerate(text.split())]


@pytest.mark.parametrize("language", ["curl", "Python", "JavaScript"])
def test_code_runs_as_it_stands(page: Page, language: str) -> None:
    page.get_by_label("System prompt").fill("You're brief.")
    page.get_by_label("Maximum tokens").fill("50")
    for text in ("", "hello there", NASTY):
        page.get_by_label("Your message").fill(text)
        code = shown(page, language)
        assert "max_tokens" in code
        assert said(language, code).split() == echoed(text or "What is the capital of France?")


def said(language: str, code: str) -> str:
    """What the program prints of the answer."""
    if language == "curl":
        return str(json.loads(run("sh", "-c", code))["choices"][0]["message"]["content"])
    if language == "JavaScript":
        return run(str(NODE), "--input-type=module", "-e", code)
    python = sys.executable if language == "Python" else python_with(CLIENT_PINS)
    return run(str(python), "-c", code)


KNOBS: dict[str, Any] = {
    "temperature": 0.3,
    "max_tokens": 50,
    "top_k": 5,
    "min_p": 0.1,
    "seed": 1,
    "stop": ["~~", "'"],
    "reasoning_effort": "low",
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": [None, True]}}}],
    "tool_choice": "none",
}
WRITE = """async ([language, body]) => {
  const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  const { WRITERS } = await import(loaded.find((name) => /\\/snippets\\.\\w+\\.js$/.test(name)));
  return WRITERS[language]({ base: `${location.origin}/v1`, key: "", body });
}"""


@pytest.mark.parametrize(
    "language",
    ["curl", "Python", "JavaScript", pytest.param("LangChain", marks=pytest.mark.slow)],
)
def test_code_with_every_knob_runs_as_it_stands(page: Page, language: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [picture, {"type": "text", "text": NASTY}]
    body = {"model": "echo-eyes", "messages": [{"role": "user", "content": parts}], **KNOBS}
    code = page.evaluate(WRITE, [language.lower(), body])
    assert all(name in code for name in KNOBS)
    # With tools the whole message is shown, which each language prints in its own way.
    assert "1:It" in said(language, code)


def test_code_shows_the_conversation_up_to_the_last_question(page: Page) -> None:
    for count, text in enumerate(("first", "second"), 1):
        page.get_by_label("Your message").fill(text)
        page.keyboard.press("Enter")
        expect(page.locator(".turn.answer:not([aria-busy])")).to_have_count(count)
    code = shown(page, "curl")
    roles = [line.split('"')[3] for line in code.splitlines() if '{"role"' in line]
    assert roles == ["user", "assistant", "user"]


def test_code_can_be_copied(page: Page, server: object) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Show code").click()
    page.locator("#copy-code").click()
    copied: str = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl http://127.0.0.1:")
    assert copied == page.get_by_role("tabpanel").inner_text()


def test_languages_are_reached_by_arrow_keys(page: Page) -> None:
    page.get_by_role("button", name="Show code").click()
    page.get_by_role("tab", name="curl").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Python")).to_be_focused()
    expect(page.get_by_role("tabpanel")).to_contain_text("from openai import OpenAI")
