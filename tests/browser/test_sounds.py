"""Sounds in a chat: chosen, recorded, played, and offered only where the model hears."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.test_controls import drawn
from tests.browser.test_conversation import answers, ask, finished

pytestmark = pytest.mark.browser
DURATION = """audio => new Promise((resolve) => {
  if (audio.readyState) resolve(audio.duration);
  audio.addEventListener("loadedmetadata", () => resolve(audio.duration));
})"""


def beep(seconds: float) -> FilePayload:
    """A quiet WAV, as a browser is given a file."""
    into = io.BytesIO()
    with wave.open(into, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"\0\1" * int(16_000 * seconds))
    return {"name": "beep.wav", "mimeType": "audio/wav", "buffer": into.getvalue()}


def test_a_sound_goes_with_the_question(open_page: Callable[..., Page]) -> None:
    page = open_page("echo-ears")
    page.locator("#attached-file").set_input_files([beep(0.5)])
    sound = page.get_by_label("Sound 1", exact=True)
    expect(sound).to_be_visible()
    assert sound.evaluate(DURATION) == 0.5
    page.get_by_role("button", name="Remove sound 1").click()
    expect(sound).to_have_count(0)
    page.locator("#attached-file").set_input_files([beep(0.5)])
    ask(page, "what is it")
    finished(page)
    expect(answers(page)).to_have_text("0:sound 1:what 2:is 3:it")
    expect(page.get_by_label("A sound", exact=True)).to_be_visible()
    # It is still part of the conversation after a reload.
    page.reload()
    expect(page.get_by_label("A sound", exact=True)).to_be_visible()


def test_a_sound_is_recorded(open_page: Callable[..., Page]) -> None:
    page = open_page("echo-ears")
    page.get_by_role("button", name="Record a sound").click()
    page.get_by_role("button", name="Stop recording").click()
    expect(page.get_by_label("Sound 1", exact=True)).to_be_visible()
    assert page.get_by_label("Sound 1", exact=True).evaluate(DURATION) > 0
    expect(page.get_by_role("button", name="Record a sound")).to_be_visible()
    page.get_by_role("button", name="Send").click()
    finished(page)
    expect(answers(page)).to_have_text("0:sound")


def test_a_microphone_that_gives_nothing_is_told_of(open_page: Callable[..., Page]) -> None:
    page = open_page("echo-ears")
    # No piece of what it hears comes through.
    page.evaluate("""() => {
      const listen = EventTarget.prototype.addEventListener;
      MediaRecorder.prototype.addEventListener = function (kind, ...rest) {
        if (kind !== "dataavailable") listen.call(this, kind, ...rest);
      };
    }""")
    record = page.get_by_role("button", name="Record a sound")
    record.click()
    # A second click while it opens starts no second recording.
    expect(record).to_be_disabled()
    expect(page.locator("#notice")).to_have_text("The microphone cannot be used: it gives no sound")
    expect(record).to_be_enabled()


def test_a_deaf_model_is_offered_no_sounds(open_page: Callable[..., Page]) -> None:
    page = open_page("echo-eyes")
    expect(page.get_by_role("button", name="Add a picture")).to_be_visible()
    expect(page.get_by_role("button", name="Record a sound")).to_be_hidden()
    page.locator("#attached-file").set_input_files([beep(0.1)])
    expect(page.locator("#notice")).to_have_text("This model takes no sounds.")
    page.select_option("#model", "echo-ears")
    page.locator("#attached-file").set_input_files([drawn()])
    expect(page.locator("#notice")).to_have_text("This model takes no pictures.")


def test_more_than_fits_into_a_message_is_said(open_page: Callable[..., Page]) -> None:
    page = open_page("echo-ears")
    page.locator("#attached-file").set_input_files([beep(15), beep(15)])
    expect(page.get_by_label("Sound 2", exact=True)).to_be_visible()
    page.get_by_label("Your message").fill("too much")
    page.get_by_label("Your message").press("Enter")
    expect(page.locator("#notice")).to_contain_text("more pictures and sounds than fit")
    expect(page.get_by_label("Your message")).to_have_value("too much")
    page.get_by_role("button", name="Remove sound 2").click()
    page.get_by_label("Your message").press("Enter")
    finished(page)
    expect(answers(page)).to_have_text("0:sound 1:too 2:much")
