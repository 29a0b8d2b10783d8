"""Where a model comes from, and how it is loaded: safetensors only, no code of its repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.errors import LoadFailed


@dataclass(frozen=True, slots=True)
class Origin:
    """A folder or Hub id, and the rest of what a load has to know.

    `device` is torch's name of it; `more` goes to `from_pretrained` as it is (`device_map`,
    `quantization_config`, `max_memory` …).
    """

    source: str
    revision: str | None = None
    device: str = "cpu"
    dtype: str = "auto"
    more: Mapping[str, Any] = field(default_factory=dict)

    def pipeline(self, task: str, **parts: Any) -> Any:
        """transformers' pipeline for this task. Raises LoadFailed."""
        from transformers import pipeline

        with _told(f"The model cannot be loaded for {task}"):
            return pipeline(
                task=task,
                model=self.source,
                revision=self.revision,
                dtype=self.dtype,
                trust_remote_code=False,
                **self._place(),
                model_kwargs={"use_safetensors": True, **self._rest()},
                **parts,
            )

    def model(self, auto: str) -> Any:
        """The model, by the name of one of transformers' Auto classes. Raises LoadFailed."""
        import transformers

        with _told("The model cannot be loaded"):
            found = getattr(transformers, auto).from_pretrained(
                self.source,
                revision=self.revision,
                dtype=self.dtype,
                trust_remote_code=False,
                use_safetensors=True,
                **self.more,
            )
            return (found if "device_map" in self.more else found.to(self.device)).eval()

    def part(self, auto: str) -> Any:
        """The tokenizer, processor or configuration that stands beside it. Raises LoadFailed."""
        import transformers

        with _told("The model cannot be loaded"):
            return getattr(transformers, auto).from_pretrained(
                self.source, revision=self.revision, trust_remote_code=False
            )

    def _place(self) -> dict[str, Any]:
        if "device_map" in self.more:
            return {"device_map": self.more["device_map"]}
        return {"device": self.device}

    def _rest(self) -> dict[str, Any]:
        return {name: value for name, value in self.more.items() if name != "device_map"}


class _told:
    """Failures of a load as LoadFailed, with the cause in words; memory that ran out as it is."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        import torch

        passed = (LoadFailed, MemoryError, torch.OutOfMemoryError)
        if isinstance(error, Exception) and not isinstance(error, passed):
            raise LoadFailed(f"{self._what}: {_cause(error)}"[:1000]) from error


def _cause(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "torchvision" in text.lower():
        return f"It needs torchvision, and no build of it that fits is installed. ({text[:300]})"
    return text or type(error).__name__
