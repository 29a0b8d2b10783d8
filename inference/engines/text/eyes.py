"""Pictures of prompts, turned into what a model takes, on a thread beside the one that computes."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from inference.engines.loading import Loading
from inference.engines.pipelines import media
from inference.errors import InvalidRequest
from inference.requests import Media

# How long an idle model waits for a picture before it looks at what else has come.
PATIENCE = 0.02
# What the generator makes of the tokens itself.
OWN = ("input_ids", "attention_mask")

Seen = tuple[list[int], Mapping[str, Any]]


class Eyes:
    """A model's processor, for one prompt after the other."""

    def __init__(self, processor: Any, dtype: Any, device: str) -> None:
        self._processor = processor
        self._dtype = dtype
        self._device = device
        # Prompts are read on one thread and looked at on another.
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "eyes")
        self._looking: dict[int, Future[Seen]] = {}

    def read(self, text: str, pictures: Sequence[Media], fields: Sequence[str]) -> Seen:
        """The tokens of a text with pictures, and what the model takes beside them.

        `fields` say where each picture stands. Raises InvalidRequest.
        """
        images = [media.picture(*each) for each in zip(pictures, fields, strict=True)]
        try:
            with self._lock:
                found = self._processor(
                    text=[text], images=images, add_special_tokens=False, return_tensors="pt"
                )
        except (ValueError, IndexError) as error:
            # A template without a place for so many pictures, a picture of an odd shape.
            raise InvalidRequest(f"The pictures do not fit: {error}"[:300], fields[0]) from error
        ids: list[int] = found["input_ids"][0].tolist()
        return ids, {name: value for name, value in found.items() if name not in OWN}

    # --- on the main thread ----------------------------------------------------------------------

    def begin(self, key: int, asked: Mapping[str, Any]) -> None:
        """Look at the pictures of a prompt; `looked` has the end of it."""
        self._looking[key] = self._thread.submit(
            self.read, asked["text"], asked["pictures"], asked["fields"]
        )

    def drop(self, key: int) -> None:
        """Nobody waits for these any more."""
        self._looking.pop(key).cancel()

    def looked(self, patient: bool) -> list[tuple[int, Mapping[str, Any] | Exception]]:
        """What has been seen meanwhile, or went wrong; with nothing else to do, wait a little."""
        if patient and self._looking:
            wait(self._looking.values(), PATIENCE, FIRST_COMPLETED)
        done = [key for key, future in self._looking.items() if future.done()]
        return [(key, self._result(self._looking.pop(key))) for key in done]

    def _result(self, future: Future[Seen]) -> Mapping[str, Any] | Exception:
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
    """The processor of a model that takes pictures beside text; None for one that does not."""
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    config = AutoConfig.from_pretrained(loading.source, **loading.repository())
    known = type(config) in AutoModelForImageTextToText._model_mapping
    if not known or getattr(config, "vision_config", None) is None:
        return None
    return AutoProcessor.from_pretrained(loading.source, **loading.repository())
