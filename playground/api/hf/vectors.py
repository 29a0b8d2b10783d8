"""The Hub's two tasks of vectors, for models of engines that embed or rank; and results of all
tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest

from inference.errors import UnsupportedParameter
from inference.requests import EmbedRequest, Question, ScoreRequest

from ..body import read_body
from .reading import Body, from_json


def read(request: HttpRequest, task: str) -> Body:
    """Texts to be vectors; or a sentence and others, to be compared: a ranker does only that."""
    body = read_body(request)
    pair = task == "rerank" or isinstance(body.get("inputs"), dict)
    return from_json(body, "sentence-similarity" if pair else "feature-extraction")


def question(body: Body) -> Question:
    """What to ask of the model."""
    if isinstance(body.inputs, dict):
        sentences = tuple(body.inputs["sentences"])
        queries = (body.inputs["source_sentence"],)
        return ScoreRequest(model="", queries=queries, documents=sentences)
    for name, idle in (("prompt_name", None), ("truncation_direction", "right")):
        if body.parameters.get(name, idle) != idle:
            param = f"parameters.{name}"
            raise UnsupportedParameter(f"'{name}' is not supported by this model.", param)
    if body.parameters.get("normalize") is False:
        reason = "The vectors of this model are normalized."
        raise UnsupportedParameter(reason, "parameters.normalize")
    texts = body.inputs if isinstance(body.inputs, list) else [body.inputs]
    cut = -1 if body.parameters.get("truncate") else None
    return EmbedRequest(model="", inputs=tuple(texts), truncate=cut)


def result(asked: Question, outputs: Sequence[Any]) -> Any:
    """The whole answer, of all Outputs."""
    if isinstance(asked, EmbedRequest):
        return [list(vector) for vector in outputs]
    return list(outputs) if isinstance(asked, ScoreRequest) else outputs[0]
