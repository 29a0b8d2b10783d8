"""Pictures and sounds of prompts, turned into what a model takes, on a thread beside the one that
computes."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from inference.engines.loading import Loading
from inference.engines.pipelines import media
from inference.engines.sounds import window_of
from inference.errors import InvalidRequest
from inference.requests import Media

PICTURE, SOUND = "image/*", "audio/*"
# How long an idle model waits for a picture before it looks at what else has come.
PATIENCE = 0.02
# What the generator makes of the tokens itself.
OWN = ("input_ids", "attention_mask")
# A config that has one of these has ears.
EARS = ("audio_config", "encoder_config")

Perceived = tuple[list[int], Mapping[str, Any]]


class Senses:
    """A model's processor, for one prompt after the other."""

    def __init__(self, processor: Any, dtype: Any, device: str) -> None:
        self._processor = processor
        self._dtype = dtype
        self._device = device
        takes = inspect.signature(processor.__call__).parameters
        self.sees = hasattr(processor, "image_processor") and "images" in takes
        # Some read sounds only together with their own template: those are not heard here.
        self.hears = hasattr(processor, "feature_extractor") and "audio" in takes
        self._rate = int(processor.feature_extractor.sampling_rate) if self.hears else 0
        # Seconds of one sound, where the processor would drop the rest in silence.
        self.window = window_of(processor) if self.hears else None
        # Prompts are read on one thread and looked at on another.
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "senses")
        self._perceiving: dict[int, Future[Perceived]] = {}

    def read(self, text: str, files: Sequence[Media], fields: Sequence[str]) -> Perceived:
        """The tokens of a text with pictures and sounds, and what the model takes beside them.

        `fields` say where each file stands. Raises InvalidRequest.
        """
        given = self._decoded(files, fields)
        try:
            with self._lock:
                found = self._processor(
                    text=[text], add_special_tokens=False, return_tensors="pt", **given
                )
        except (ValueError, IndexError) as error:
            # A template without a place for so many, a picture of an odd shape.
            reason = f"The pictures and sounds do not fit: {error}"[:300]
            raise InvalidRequest(reason, fields[0]) from error
        ids: list[int] = found["input_ids"][0].tolist()
        return ids, {name: value for name, value in found.items() if name not in OWN}

    def _decoded(self, files: Sequence[Media], fields: Sequence[str]) -> dict[str, Any]:
        both = list(zip(files, fields, strict=True))
        images = [media.picture(*each) for each in both if each[0].content_type == PICTURE]
        given: dict[str, Any] = {"images": images} if images else {}
        sounds = [
            media.sound(file, self._rate, field)
            for file, field in both
            if file.content_type == SOUND
        ]
        return given | ({"audio": sounds, "sampling_rate": self._rate} if sounds else {})

    # --- on the main thread ----------------------------------------------------------------------

    def begin(self, key: int, asked: Mapping[str, Any]) -> None:
        """Look at the pictures of a prompt and hear its sounds; `perceived` has the end of it."""
        self._perceiving[key] = self._thread.submit(
            self.read, asked["text"], asked["files"], asked["fields"]
        )

    def drop(self, key: int) -> None:
        """Nobody waits for these any more."""
        self._perceiving.pop(key).cancel()

    def perceived(self, patient: bool) -> list[tuple[int, Mapping[str, Any] | Exception]]:
        """What is ready meanwhile, or went wrong; with nothing else to do, wait a little."""
        if patient and self._perceiving:
            wait(self._perceiving.values(), PATIENCE, FIRST_COMPLETED)
        done = [key for key, future in self._perceiving.items() if future.done()]
        return [(key, self._result(self._perceiving.pop(key))) for key in done]

    def _result(self, future: Future[Perceived]) -> Mapping[str, Any] | Exception:
        error = future.exception()
        if isinstance(error, Exception):
            return error
        return {name: self._placed(value) for name, value in future.result()[1].items()}

    def _placed(self, value: Any) -> Any:
        if not hasattr(value, "to"):
            return value
        kind = self._dtype if value.is_floating_point() else value.dtype
        return value.to(self._device, kind)


def processor_of(loading: Loading) -> Any:
    """The processor of a model that sees or hears; None for one that reads text only."""
    from transformers import AutoConfig, AutoModelForMultimodalLM, AutoProcessor

    config = AutoConfig.from_pretrained(loading.source, **loading.repository())
    known = type(config) in AutoModelForMultimodalLM._model_mapping
    senses = ("vision_config", *EARS)
    if not known or all(getattr(config, each, None) is None for each in senses):
        return None
    return AutoProcessor.from_pretrained(loading.source, **loading.repository())
