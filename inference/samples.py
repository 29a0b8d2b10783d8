"""The least that can be asked of a model of each task: a word, a small picture, a short tone."""

from __future__ import annotations

import io
import math
import wave
from array import array
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from inference.requests import Media

SIDE = 64
RATE = 16_000
SECONDS = 1
FRAMES = 16
LABELS = {"candidate_labels": ["one", "two"]}
SHORT = {"max_new_tokens": 1}


def sample(task: str) -> tuple[Any, Mapping[str, Any]]:
    """Inputs and parameters for a model of this task."""
    inputs, parameters = SAMPLES.get(task, (lambda: "Hello", {}))
    return inputs(), parameters


@cache
def picture() -> Media:
    """A small picture of one colour turning into another."""
    into = io.BytesIO()
    _frame(0).save(into, format="PNG")
    return Media(into.getvalue(), "image/png")


@cache
def sound() -> Media:
    """A second of a tone."""
    tone = array(
        "h", (int(8000 * math.sin(i * 440 * math.tau / RATE)) for i in range(SECONDS * RATE))
    )
    into = io.BytesIO()
    with wave.open(into, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(tone.tobytes())
    return Media(into.getvalue(), "audio/wav")


@cache
def film() -> Media:
    """Some frames, as an animated GIF."""
    first, *rest = [_frame(i) for i in range(FRAMES)]
    into = io.BytesIO()
    first.save(into, format="GIF", save_all=True, append_images=rest, duration=100)
    return Media(into.getvalue(), "image/gif")


def _frame(shift: int) -> Any:
    from PIL import Image

    image = Image.linear_gradient("L").resize((SIDE, SIDE)).rotate(shift * 20)
    return Image.merge("RGB", (image, image.transpose(Image.Transpose.ROTATE_90), image))


def _question() -> dict[str, Any]:
    return {"image": picture(), "question": "What is this?"}


def _described() -> list[dict[str, Any]]:
    parts = [{"type": "image", "image": picture()}, {"type": "text", "text": "What is this?"}]
    return [{"role": "user", "content": parts}]


SAMPLES: Mapping[str, tuple[Callable[[], Any], Mapping[str, Any]]] = {
    "any-to-any": (_described, SHORT),
    "audio-classification": (sound, {}),
    "automatic-speech-recognition": (sound, {"generation_parameters": SHORT}),
    "depth-estimation": (picture, {}),
    "document-question-answering": (_question, {"word_boxes": [["Hello", [0, 0, 100, 100]]]}),
    "fill-mask": (lambda: "Hello [MASK]", {}),
    "image-classification": (picture, {}),
    "image-feature-extraction": (picture, {}),
    "image-segmentation": (picture, {}),
    "image-text-to-text": (_described, SHORT),
    "image-to-image": (picture, {}),
    "image-to-text": (picture, SHORT),
    "keypoint-matching": (lambda: [picture(), picture()], {}),
    "mask-generation": (picture, {"points_per_batch": 64, "points_per_crop": 1}),
    "object-detection": (picture, {}),
    "question-answering": (lambda: {"question": "Who?", "context": "Hello"}, {}),
    "sentence-similarity": (lambda: {"source_sentence": "Hello", "sentences": ["Hello"]}, {}),
    "summarization": (lambda: "Hello", {"generate_parameters": SHORT}),
    "table-question-answering": (lambda: {"query": "Who?", "table": {"name": ["Ann"]}}, {}),
    "text2text-generation": (lambda: "Hello", {"generate_parameters": SHORT}),
    "translation": (lambda: "Hello", {"generate_parameters": SHORT}),
    "video-classification": (film, {}),
    "visual-question-answering": (_question, {}),
    "zero-shot-audio-classification": (sound, LABELS),
    "zero-shot-classification": (lambda: "Hello", LABELS),
    "zero-shot-image-classification": (picture, LABELS),
    "zero-shot-object-detection": (picture, LABELS),
}
