"""What goes into any-to-any and mask generation and what comes out, wherever torchvision is not.

The models themselves run where it is (`test_pipelines`); reading and writing need none.
"""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.engines.pipelines.media import written
from inference.engines.pipelines.mixed import AnyToAny
from inference.engines.pipelines.views import MaskGeneration
from inference.engines.program import Call
from inference.errors import InvalidRequest
from inference.requests import Media

RATE = 8000


def picture() -> Media:
    into = io.BytesIO()
    Image.new("RGB", (4, 2), "red").save(into, "png")
    return Media(into.getvalue(), "image/png")


SOUND = written(np.zeros(1600, np.float32), 16_000)


@pytest.fixture
def kind() -> AnyToAny:
    """As loaded, as far as reading and writing look at the model."""
    found = AnyToAny("any-to-any", SimpleNamespace())  # type: ignore[arg-type]
    ears = SimpleNamespace(sampling_rate=RATE)
    found.pipe = SimpleNamespace(processor=SimpleNamespace(feature_extractor=ears))
    return found


def test_text_and_media_side_by_side(kind: AnyToAny) -> None:
    read = kind.read(Call("", {"text": "What?", "image": picture(), "audio": [SOUND, SOUND]}))
    assert (read["text"], read["videos"]) == ("What?", None)
    assert [image.size for image in read["images"]] == [(4, 2)]
    # At the rate that the model hears.
    assert [len(samples) for samples in read["audio"]] == [800, 800]
    alone = kind.read(Call("", "What?"))
    assert (alone["images"], alone["audio"]) == (None, None)


def test_a_conversation_has_its_media_decoded(kind: AnyToAny) -> None:
    parts = [
        {"type": "text", "text": "What?"},
        {"type": "image", "image": picture()},
        {"type": "audio", "audio": SOUND},
    ]
    [said] = kind.read(Call("", [{"role": "user", "content": parts}]))
    text, image, audio = said["content"]
    assert text == parts[0]
    assert image["image"].size == (4, 2) and len(audio["audio"]) == 800


@pytest.mark.parametrize(
    ("inputs", "param"),
    [
        ({"text": 5}, "inputs.text"),
        ({"text": "x", "audio": "http://127.0.0.1/x.wav"}, "inputs.audio[0]"),
        ({"text": "x", "audio": [SOUND] * 17}, "inputs.audio"),
        ({"text": "x", "image": Media(b"no picture", "image/png")}, "inputs.images[0]"),
        ([], "inputs"),
        ([{"role": "user"}], "inputs[0].content"),
        ([{"role": 5, "content": "x"}], "inputs[0]"),
        ([{"role": "user", "content": [{"type": "image", "url": "x"}]}], "inputs[0].content[0]"),
        (
            [{"role": "user", "content": [{"type": "audio", "audio": Media(b"", "audio/wav")}]}],
            "inputs[0].content[0]",
        ),
    ],
)
def test_what_is_none_of_these_is_refused_by_name(kind: AnyToAny, inputs: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        kind.read(Call("", inputs))
    assert caught.value.param == param


def test_pictures_and_sounds_come_out_as_files(kind: AnyToAny) -> None:
    made = [
        {"input_text": "x", "generated_text": "a word"},
        {"generated_image": Image.new("RGB", (3, 3))},
        {"generated_audio": np.zeros(80, np.float32)},
    ]
    text, image, audio = kind.write(made, Call("", "x"))
    assert text == {"generated_text": "a word"}
    assert Image.open(io.BytesIO(image["generated_image"].data)).size == (3, 3)
    assert audio["generated_audio"].content_type == "audio/wav"


def test_what_is_asked_for_is_passed_on(kind: AnyToAny) -> None:
    asked = {"max_new_tokens": 5, "generation_parameters": {"temperature": 0.5}}
    found = kind.options(Call("", "x", asked))
    assert (found["max_new_tokens"], found["return_full_text"]) == (5, False)
    assert found["generate_kwargs"]["temperature"] == 0.5
    assert "return_full_text" not in kind.options(Call("", "x", {"generation_mode": "image"}))


def test_masks_come_best_first_as_pictures() -> None:
    kind = MaskGeneration("mask-generation", SimpleNamespace())  # type: ignore[arg-type]
    masks = [np.zeros((2, 3), bool), np.ones((2, 3), bool)]
    found = kind.write({"masks": masks, "scores": [0.25, 0.75]}, Call("", picture()))
    assert [each["score"] for each in found] == [0.75, 0.25]
    best, worst = (Image.open(io.BytesIO(each["mask"].data)) for each in found)
    assert (best.size, best.getextrema(), worst.getextrema()) == ((3, 2), (255, 255), (0, 0))
