"""Walking the form of a model's page: what is filled in, and what an answer has to show."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.tiny_tasks import samples
from tests.tiny_tasks.calls import BOXES, TABLE, TEXT

# A model may have to be loaded first.
LOAD_SECONDS = 150
FILES: Mapping[str, FilePayload] = {
    "picture": {"name": "a cat.png", "mimeType": "image/png", "buffer": samples.picture()},
    "sound": {"name": "tone.wav", "mimeType": "audio/wav", "buffer": samples.sound()},
}
# What is typed and chosen, by label. The tiny models know few words, and are sure of nothing.
TYPED: Mapping[str, Mapping[str, str]] = {
    "any-to-any": {"Max new tokens": "4"},
    "automatic-speech-recognition": {"Return timestamps": "true"},
    "document-question-answering": {"Word boxes": json.dumps(BOXES), "Question": "what is red?"},
    "fill-mask": {"Text": "paris is [MASK].", "Top k": "3"},
    "image-text-to-text": {"Max new tokens": "4"},
    "image-to-text": {"Max new tokens": "4"},
    "mask-generation": {"Pred iou thresh": "0", "Stability score thresh": "0"},
    "object-detection": {"Threshold": "0"},
    "question-answering": {"Question": "who is good?", "Context": TEXT, "Top k": "2"},
    "summarization": {"Text": TEXT},
    "text-classification": {"Text": TEXT, "Top k": "2"},
    "text-to-audio": {"Text": "hello"},
    "text-to-speech": {"Text": "hello"},
    "token-classification": {"Text": TEXT, "Aggregation strategy": '"none"'},
    "zero-shot-object-detection": {"Threshold": "0"},
}
# What the answer is drawn as, and how many of them at least.
BARS = ("#answer .bars .fill", 2)
PROSE = ("#answer .prose", 1)
SOUND = ("#answer canvas.wave", 1)
DRAWN: Mapping[str, tuple[str, int]] = {
    "any-to-any": PROSE,
    "audio-classification": BARS,
    "automatic-speech-recognition": ("#answer .chunks .time", 1),
    "depth-estimation": ("#answer .side-by-side img", 2),
    "document-question-answering": ("#answer .bars .fill", 1),
    "feature-extraction": ("#answer .vectors .numbers", 1),
    "fill-mask": ("#answer .bars .fill", 3),
    "image-classification": BARS,
    "image-feature-extraction": ("#answer .vectors .numbers", 1),
    "image-segmentation": ("#answer .stack canvas.over", 1),
    "image-text-to-text": PROSE,
    "image-to-image": ("#answer .medium img", 1),
    "image-to-text": PROSE,
    "keypoint-matching": ("#answer .stack.pair img", 2),
    "mask-generation": ("#answer .stack canvas.over", 1),
    "object-detection": ("#answer .stack rect", 1),
    "question-answering": ("#answer .marked mark", 1),
    "sentence-similarity": ("#answer .bars .fill", 3),
    "summarization": PROSE,
    "table-question-answering": ("#answer table.values td", 4),
    "text-classification": BARS,
    "text-to-audio": SOUND,
    "text-to-speech": SOUND,
    "text2text-generation": PROSE,
    "token-classification": ("#answer .marked mark.entity small", 1),
    "translation": PROSE,
    "video-classification": BARS,
    "visual-question-answering": BARS,
    "zero-shot-audio-classification": BARS,
    "zero-shot-classification": BARS,
    "zero-shot-image-classification": BARS,
    # A box of random weights may be as flat as a line, which is there and not to be seen.
    "zero-shot-object-detection": ("#answer .legend .swatch", 1),
}
LANGUAGES = ("Python", "curl", "JavaScript")


def fill(page: Page, task: str) -> None:
    """Fill the form of a task's page in."""
    page.locator("#form-place .control").first.wait_for(state="attached")
    film: FilePayload = {"name": "film.mp4", "mimeType": "video/mp4", "buffer": b""}
    if page.locator(".control.film").count():
        film["buffer"] = samples.film()
    for kind, file in [*FILES.items(), ("film", film)]:
        for each in page.locator(f".control.{kind} input[type=file]").all():
            each.set_input_files(file)
    typed = TYPED.get(task, {})
    if page.locator(".parameters").count():
        page.locator(".parameters summary").click()
    for label, value in typed.items():
        control = page.get_by_label(label, exact=True)
        if control.evaluate("element => element.localName") == "select":
            control.select_option(value)
        else:
            control.fill(value)
    if page.locator(".control.table").count():
        for x, (name, cells) in enumerate(TABLE.items(), 1):
            page.get_by_label(f"Name of column {x}").fill(name)
            for y, cell in enumerate(cells, 1):
                page.get_by_label(f"Row {y}, column {x}").fill(cell)


def ask(page: Page) -> None:
    """Ask, and wait for the answer."""
    page.get_by_role("button", name="Ask", exact=True).click()
    answered(page)


def answered(page: Page) -> None:
    """Wait for the answer."""
    expect(page.locator("#words")).to_contain_text("Answered in", timeout=LOAD_SECONDS * 1000)
    expect(page.locator("#failure")).to_be_hidden()


def shows(page: Page, task: str) -> Locator:
    """What an answer of this task is drawn as."""
    selector, least = DRAWN[task]
    found = page.locator(selector)
    expect(found.nth(least - 1)).to_be_visible()
    return found


def code(page: Page, language: str) -> str:
    """The program that the page shows."""
    page.get_by_role("tab", name=language).click()
    found: str = page.locator("#code-text").inner_text()
    return found


def run(language: str, program: str, folder: Path) -> str:
    """What the program prints, run as it stands in a folder with the files."""
    commands: dict[str, list[str]] = {
        "Python": [sys.executable, "-c", program],
        "curl": ["sh", "-euc", program],
        "JavaScript": ["node", "--input-type=module", "-e", program],
    }
    done = subprocess.run(
        commands[language], cwd=folder, capture_output=True, text=True, timeout=LOAD_SECONDS
    )
    assert done.returncode == 0, f"{program}\n{done.stderr}"
    return done.stdout


def with_files(folder: Path, **names: bytes) -> Path:
    """The folder, with the files that the form has."""
    for name, content in ({"a cat.png": FILES["picture"]["buffer"]} | names).items():
        (folder / name).write_bytes(bytes(content))
    return folder


def same(left: Any, right: Any) -> bool:
    """Whether two answers are, but for the last digits of numbers."""
    if isinstance(left, float | int) and isinstance(right, float | int):
        return abs(left - right) <= 1e-4 * max(1, abs(left))
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return bool(left == right)
