""" "Show code": what is shown runs as it stands."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

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


@pytest.mark.parametrize("text", ["", "hello there", NASTY])
@pytest.mark.parametrize("language", ["curl", "Python"])
def test_code_runs_as_it_stands(page: Page, language: str, text: str) -> None:
    page.get_by_label("System prompt").fill("You're brief.")
    page.get_by_label("Temperature").fill("0.3")
    page.get_by_label("Maximum tokens").fill("50")
    page.get_by_label("Your message").fill(text)
    code = shown(page, language)
    if language == "curl":
        said = json.loads(run("sh", "-c", code))["choices"][0]["message"]["content"]
    else:
        said = run(sys.executable, "-c", code)
    words = (text or "What is the capital of France?").split()
    assert said.split() == [f"{place}:{word}" for place, word in enumerate(words)]
    assert "temperature" in code
    assert "max_tokens" in code


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
