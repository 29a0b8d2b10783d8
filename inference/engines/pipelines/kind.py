"""What all kinds of tasks share: reading inputs, asking the model, writing results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from inference.engines.program import Call
from inference.errors import EngineError, InvalidRequest
from inference.requests import Media

from .origin import Origin


class Kind:
    """One task and its loaded model.

    Calls of equal `key` may be asked together. `lists`: a list of inputs is that many calls;
    `listed`: one input is answered as a list of one, as Hugging Face's API does.
    """

    lists: ClassVar[bool] = False
    listed: ClassVar[bool] = False
    together: ClassVar[bool] = True

    def __init__(self, task: str, origin: Origin) -> None:
        self.task = task
        self.origin = origin

    def load(self) -> None:
        """Load the model. Raises LoadFailed."""
        raise NotImplementedError

    def key(self, call: Call) -> str:
        """What calls have to have in common to run together."""
        return json.dumps(call.parameters, sort_keys=True, default=repr)

    def read(self, call: Call) -> Any:
        """The input as the model's side takes it. Raises RequestError."""
        return call.inputs

    def options(self, call: Call) -> dict[str, Any]:
        """The parameters as the model's side names them."""
        return dict(call.parameters)

    def ask(self, inputs: list[Any], options: dict[str, Any]) -> Sequence[Any]:
        """One result for each input."""
        raise NotImplementedError

    def write(self, result: Any, call: Call) -> Any:
        """The result in the API's shape."""
        return result

    def facts(self) -> Mapping[str, Any]:
        """What the parent may want to know of the model."""
        return {}


class PipelineKind(Kind):
    """A task that transformers has a pipeline for; `name` is its name there."""

    name: ClassVar[str] = ""
    pipe: Any

    def load(self) -> None:
        self.pipe = self.origin.pipeline(self.name or self.task, **self.parts())

    def parts(self) -> dict[str, Any]:
        """What its pipeline does not find by itself."""
        return {}

    def ask(self, inputs: list[Any], options: dict[str, Any]) -> Sequence[Any]:
        from transformers import Pipeline

        # Pipelines of some tasks arrange their arguments first; ours are arranged already.
        return list(Pipeline.__call__(self.pipe, inputs, batch_size=len(inputs), **options))


class GeneratingKind(Kind):
    """A model that writes tokens, without a pipeline."""

    auto: ClassVar[str]
    part: ClassVar[str]
    model: Any
    reader: Any

    def load(self) -> None:
        self.reader = self.origin.part(self.part)
        self.model = self.origin.model(self.auto)

    def generate(self, encoded: Any, options: Mapping[str, Any]) -> Any:
        """Token ids of the answers."""
        import torch

        chosen = {"max_new_tokens": DEFAULT_NEW_TOKENS} if not _has_length(self.model) else {}
        with torch.inference_mode():
            return self.model.generate(
                **encoded.to(self.model.device), **chosen | generation(options)
            )


DEFAULT_NEW_TOKENS = 256


def _has_length(model: Any) -> bool:
    config = model.generation_config
    return config.max_new_tokens is not None or (config.max_length or 20) != 20


def generation(options: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `generate`; one that speaks of how long is the only one that does."""
    found = {name: value for name, value in options.items() if value is not None}
    if "temperature" in found or "top_p" in found or "top_k" in found:
        found.setdefault("do_sample", True)
    return found


def sampled(parameters: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Parameters for `generate` that stand in a field of their own."""
    return generation(parameters.get(field) or {})


def text(value: Any, param: str = "inputs") -> str:
    """The value, which has to be a text that is not empty."""
    if not isinstance(value, str):
        raise InvalidRequest("Expected a text.", param)
    if not value.strip():
        raise InvalidRequest("Expected a text that is not empty.", param)
    return value


def labels(call: Call) -> list[str]:
    """The candidate labels of a call without examples."""
    found = call.parameters.get("candidate_labels")
    if not isinstance(found, list) or not found or not all(isinstance(x, str) for x in found):
        raise InvalidRequest("Expected a list of labels.", "parameters.candidate_labels")
    return found


def template(call: Call) -> dict[str, str]:
    """The caller's hypothesis template, if any.

    Python's `format` could be told to look inside objects, or to write a gigabyte of blanks.
    """
    found = call.parameters.get("hypothesis_template")
    if found is None:
        return {}
    if found.count("{}") != 1 or set("{}") & set(found.replace("{}", "")):
        raise InvalidRequest(
            "Expected a text with one {} for the label and no other braces.",
            "parameters.hypothesis_template",
        )
    return {"hypothesis_template": found}


def ranked(result: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Labels with scores, best first."""
    found = [{"label": each["label"], "score": each["score"]} for each in result]
    return sorted(found, key=lambda each: -each["score"])


def plain(value: Any) -> Any:
    """Numbers of numpy and torch as Python's own. Raises EngineError for what is no number."""
    if isinstance(value, Media | str | bool) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        raise EngineError("The model answered with a number that is none.")
    return value
