"""A model's parts from its repository: safetensors only, and no code of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from inference.engines.loading import Loading
from inference.errors import LoadFailed


class Origin:
    """Where a model comes from. A failure to load is LoadFailed, unless memory ran out."""

    def __init__(self, loading: Loading) -> None:
        self._loading = loading
        self.source = loading.source

    def pipeline(self, task: str, **parts: Any) -> Any:
        """transformers' pipeline for this task."""
        from transformers import pipeline

        rest = self._loading.weights()
        own = {name: rest.pop(name) for name in OWN if name in rest}
        if "device_map" not in own:
            own["device"] = self._loading.device
        with _told(f"The model cannot be loaded for {task}"):
            return pipeline(task=task, model=self.source, model_kwargs=rest, **own, **parts)

    def model(self, auto: str) -> Any:
        """The model, by the name of one of transformers' Auto classes."""
        import transformers

        weights = self._loading.weights()
        with _told("The model cannot be loaded"):
            found = getattr(transformers, auto).from_pretrained(self.source, **weights)
            if "device_map" not in weights:
                found = found.to(self._loading.device)
            return found.eval()

    def part(self, auto: str) -> Any:
        """The tokenizer, processor or configuration that stands beside it."""
        import transformers

        with _told("The model cannot be loaded"):
            found = getattr(transformers, auto)
            return found.from_pretrained(self.source, **self._loading.repository())


REASON = re.compile(r"^[\w.]*Error: (.+)$", re.MULTILINE)
# What `pipeline` takes itself; the rest it hands to the model.
OWN = ("revision", "trust_remote_code", "dtype", "device_map")


@contextmanager
def _told(what: str) -> Iterator[None]:
    import torch

    try:
        yield
    except (LoadFailed, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise LoadFailed(f"{what}: {_cause(error)}"[:1000]) from error


def _cause(error: Exception) -> str:
    # transformers quotes whole tracebacks, each with its reason in the last line.
    reasons = REASON.findall(str(error))
    text = " ".join((reasons[-1] if reasons else str(error)).split()) or type(error).__name__
    if "torchvision" in text.lower():
        return f"It needs torchvision, and no build of it that fits is installed. ({text[:300]})"
    return text
