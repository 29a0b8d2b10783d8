"""Tasks whose input is a text with pictures, sounds or films, or a conversation of such."""

from __future__ import annotations

from typing import Any

from inference.engines.program import Call
from inference.errors import InvalidRequest
from inference.requests import Media

from . import media
from .kind import GeneratingKind, PipelineKind, sampled, text

GENERATION = "generation_parameters"
MAX_MEDIA = 16
SPEECH_RATE = 16_000


class ImageToText(GeneratingKind):
    """[{generated_text}]"""

    auto = "AutoModelForImageTextToText"
    part = "AutoProcessor"
    listed = True
    together = False

    def load(self) -> None:
        super().load()
        self.words = getattr(self.reader, "tokenizer", self.reader)
        if not hasattr(self.reader, "image_processor"):
            # A model of two halves has no processor, only its parts.
            self.reader = self.origin.part("AutoImageProcessor")

    def read(self, call: Call) -> Any:
        return media.picture(call.inputs)

    def options(self, call: Call) -> dict[str, Any]:
        found = sampled(call.parameters, GENERATION)
        if (most := call.parameters.get("max_new_tokens")) is not None:
            found["max_new_tokens"] = most
        return found

    def ask(self, inputs: list[Any], options: dict[str, Any]) -> list[Any]:
        encoded = self.reader(images=inputs, return_tensors="pt")
        ids = self.generate(encoded, options)
        texts = self.words.batch_decode(ids, skip_special_tokens=True)
        return [{"generated_text": each.strip()} for each in texts]


class MixedKind(PipelineKind):
    """[{generated_text}] for a text, an object of text and media, or a list of messages."""

    together = False

    def read(self, call: Call) -> Any:
        if isinstance(call.inputs, list):
            return conversation(call.inputs, self._rate())
        if isinstance(call.inputs, dict):
            return self._loose(call.inputs)
        return self._loose({"text": call.inputs})

    def options(self, call: Call) -> dict[str, Any]:
        names = ("max_new_tokens", "generation_mode")
        found = {k: v for k, v in call.parameters.items() if k in names}
        if found.get("generation_mode") in (None, "text"):
            found["return_full_text"] = False
        return found | {"generate_kwargs": sampled(call.parameters, GENERATION)}

    def ask(self, inputs: list[Any], options: dict[str, Any]) -> Any:
        [each] = inputs
        from transformers import Pipeline

        return [Pipeline.__call__(self.pipe, each, **options)]

    def write(self, result: Any, call: Call) -> Any:
        return [{k: v for k, v in each.items() if k != "input_text"} for each in result]

    def _rate(self) -> int:
        reader = getattr(self.pipe.processor, "feature_extractor", None)
        return int(getattr(reader, "sampling_rate", SPEECH_RATE))

    def _loose(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Text and media side by side; the text says itself where they belong."""
        images = _several(inputs.get("images", inputs.get("image")), "images")
        found: dict[str, Any] = {"text": text(inputs.get("text"), "inputs.text")}
        found["images"] = [media.picture(x, f"inputs.images[{i}]") for i, x in enumerate(images)]
        return found


class ImageTextToText(MixedKind):
    """[{generated_text}]"""

    def _loose(self, inputs: dict[str, Any]) -> Any:
        found = super()._loose(inputs)
        return found if found["images"] else found["text"]


class AnyToAny(MixedKind):
    """[{generated_text}], or a picture or a sound with `generation_mode`."""

    def _loose(self, inputs: dict[str, Any]) -> dict[str, Any]:
        found = super()._loose(inputs)
        sounds = _several(inputs.get("audio"), "audio")
        rate = self._rate()
        heard = [media.sound(x, rate, f"inputs.audio[{i}]") for i, x in enumerate(sounds)]
        found["images"] = found["images"] or None
        return found | {"audio": heard or None, "videos": None}

    def write(self, result: Any, call: Call) -> Any:
        from PIL.Image import Image

        found = super().write(result, call)
        for each in found:
            if isinstance(made := each.get("generated_image"), Image):
                each["generated_image"] = media.png(made)
            if (made := each.get("generated_audio")) is not None:
                each["generated_audio"] = media.written(made, self._rate())
        return found


def conversation(messages: list[Any], rate: int) -> list[dict[str, Any]]:
    """Messages as chat templates take them, their media decoded.

    Every part is made anew: an address that came through would be opened by transformers.
    """
    found = []
    for i, message in enumerate(messages):
        param = f"inputs[{i}]"
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequest("Expected a message with role and content.", param)
        content = message.get("content")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not isinstance(content, list):
            raise InvalidRequest("Expected a text or a list of parts.", f"{param}.content")
        parts = [_part(x, f"{param}.content[{k}]", rate) for k, x in enumerate(content)]
        found.append({"role": message["role"], "content": parts})
    if not found:
        raise InvalidRequest("Expected at least one message.", "inputs")
    return found


def _part(part: Any, param: str, rate: int) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "image" and isinstance(part.get("image"), Media):
        return {"type": "image", "image": media.picture(part["image"], param)}
    if kind == "audio" and isinstance(part.get("audio"), Media):
        return {"type": "audio", "audio": media.sound(part["audio"], rate, param)}
    raise InvalidRequest("Expected a part that is a text, an image or audio.", param)


def _several(value: Any, name: str) -> list[Any]:
    found = [] if value is None else value if isinstance(value, list) else [value]
    if len(found) > MAX_MEDIA:
        raise InvalidRequest(f"Expected at most {MAX_MEDIA}.", f"inputs.{name}")
    return found
